"use strict";
// Curves: a chart a metric, side by side, with one cursor and one legend.
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
const USUAL = ["val_accuracy", "val_loss", "accuracy", "loss"];
const MOST_NAMED = 24;

function layout(extra) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true };
  const { xaxis = {}, yaxis = {}, ...rest } = extra;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: css("--text"), family: "system-ui, sans-serif", size: 12 },
    margin: { l: 50, r: 10, t: 10, b: 40 }, hoverlabel: { namelength: -1, bgcolor: css("--card"), bordercolor: css("--line") },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--muted"), activecolor: css("--accent") },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}

// Ticks at whole epochs, ten at most; one epoch alone in the middle.
function epochAxis(traces) {
  const [low, high] = traces.reduce(([least, most], { x }) => [Math.min(least, x[0]), Math.max(most, x[x.length - 1])], [Infinity, -Infinity]);
  const span = high - low, unit = 10 ** Math.floor(Math.log10(Math.max(1, span / 10)));
  const dtick = [1, 2, 5, 10].map((step) => step * unit).find((step) => span / step <= 10);
  const tick0 = dtick === 1 ? 1 : 0, room = Math.max(0.5, span * 0.02);
  return { dtick, tick0, tickformat: "d", ...(Number.isFinite(span) ? { range: [low - room, high + room] } : {}) };
}

function smoothed(values, weight) {
  if (!weight) return values;
  let mean = 0, share = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

// A ring around a run's best epoch, by its lowest val_loss.
function bestTrace(run, line, style) {
  const at = line.x.indexOf(data.runs[run].best.epoch);
  if (at < 0 || line.y[at] === null) return [];
  return [{ x: [line.x[at]], y: [line.y[at]], type: "scatter", mode: "markers", marker: { symbol: "circle-open", size: 11, color: style.color, line: { width: 2 } }, hoverinfo: "skip", showlegend: false, best: true }];
}

function runTraces(runs, curves, weight) {
  return runs.flatMap((run) => {
    const line = curves.lines[run];
    if (!line || !line.x.length) return [];
    const style = { color: colour(run), dash: dash(run) }, traces = [];
    if (weight) traces.push({ ...line, type: "scatter", mode: "lines", line: { ...style, width: 1 }, opacity: 0.25, hoverinfo: "skip", showlegend: false });
    const drawnLine = { x: line.x, y: smoothed(line.y, weight) };
    traces.push({ ...drawnLine, type: "scatter", mode: line.x.length < 15 ? "lines+markers" : "lines", name: escaped(labelOf(run)), line: { ...style, width: 2 }, hovertemplate: "%{y:.5g}" });
    return [...traces, ...(curves.axis === "epoch" && runs.length <= MOST_NAMED ? bestTrace(run, drawnLine, style) : [])];
  });
}

function groupTraces(runs, curves, weight) {
  return data.groups.flatMap((group, place) => {
    const lines = group.runs.filter((run) => runs.includes(run) && curves.lines[run]).map((run) => curves.lines[run]);
    const at = new Map();
    for (const line of lines) {
      smoothed(line.y, weight).forEach((value, index) => {
        if (value === null) return;
        if (!at.has(line.x[index])) at.set(line.x[index], []);
        at.get(line.x[index]).push(value);
      });
    }
    if (!at.size) return [];
    const x = [...at.keys()].sort((a, b) => a - b), values = x.map((key) => at.get(key)), tint = groupColour(place);
    const edge = { x, type: "scatter", mode: "lines", line: { width: 0, color: tint }, hoverinfo: "skip", showlegend: false };
    return [
      { ...edge, y: values.map((all) => Math.min(...all)) },
      { ...edge, y: values.map((all) => Math.max(...all)), fill: "tonexty", fillcolor: `${tint}33` },
      { x, y: values.map((all) => all.reduce((a, b) => a + b) / all.length), type: "scatter", mode: x.length < 15 ? "lines+markers" : "lines",
        line: { color: tint, width: 2.5 }, name: escaped(group.label), hovertemplate: "%{y:.5g}" },
    ];
  });
}
const groupColour = (place) => PALETTE[place % PALETTE.length];

function chosenMetrics() {
  const all = Object.keys(data.curves);
  if (!state.metrics) {
    const own = [data.metric, data.metric.replace(/^test_/, "val_")].find((name) => all.includes(name));
    state.metrics = [...new Set([own, ...USUAL])].filter((name) => all.includes(name)).slice(0, 2);
    if (!state.metrics.length) state.metrics = all.slice(0, 1);
  }
  return state.metrics.filter((name) => all.includes(name));
}

function drawMetricChooser() {
  const all = Object.keys(data.curves), chosen = chosenMetrics();
  fillChoices("metric-chooser", [["Drawn side by side", all.map((name) => [name, chosen.includes(name), (ticked) => {
    state.metrics = ticked ? [...state.metrics, name] : state.metrics.filter((each) => each !== name);
    redraw("curves");
  }])]]);
}

// Draws a chart a metric into a grid; `tracesOf` makes its traces, `titleOf` what stands above them.
function drawGrid(grid, metrics, tracesOf, logarithmic, titleOf = escaped) {
  const charts = new Map([...grid.children].map((chart) => [chart.dataset.metric, chart]));
  grid.replaceChildren(...metrics.map((metric) => {
    const chart = charts.get(metric) || element("div", { class: "chart curve" });
    chart.dataset.metric = metric;
    return chart;
  }));
  grid.classList.toggle("single", metrics.length === 1);
  for (const chart of grid.children) {
    const metric = chart.dataset.metric, { axis } = data.curves[metric], traces = tracesOf(metric);
    Plotly.react(chart, traces, layout({
      height: metrics.length === 1 ? 400 : 300, hovermode: traces.length > 3 * MOST_NAMED ? "closest" : "x unified", hoverdistance: -1, showlegend: false,
      title: { text: titleOf(metric), font: { size: 13 }, x: 0, xref: "paper", xanchor: "left", y: 1, yref: "container", yanchor: "top", pad: { t: 8 } },
      margin: { l: 10, r: 12, t: 32, b: 10 },
      xaxis: { title: { text: axis, standoff: 6, font: { size: 11 } }, ...(axis === "epoch" ? epochAxis(traces) : {}) },
      yaxis: { type: logarithmic ? "log" : "linear", nticks: 6 },
    }), { ...CONFIG, displayModeBar: window.innerWidth < NARROW ? false : "hover" });
    shareCursor(grid, chart);
  }
}

// What is under the cursor in one chart is shown in all charts over the same axis.
function shareCursor(grid, chart) {
  if (chart.isShared) return;
  chart.isShared = true;
  const others = () => [...grid.children].filter((each) => each !== chart && data.curves[each.dataset.metric].axis === data.curves[chart.dataset.metric].axis);
  chart.on("plotly_hover", (event) => {
    const xval = event.points[0].x;
    others().forEach((each) => Plotly.Fx.hover(each, { xval, yval: 0 }, ["xy"], true));
  });
  chart.on("plotly_unhover", () => others().forEach((each) => Plotly.Fx.unhover(each)));
}

function drawLegend(grouped, runs) {
  const entries = grouped
    ? data.groups.map((group, place) => [group.label, groupColour(place), "solid", group.runs]).filter(([, , , members]) => members.some((run) => runs.includes(run)))
    : runs.map((run) => [labelOf(run), colour(run), dash(run), [run]]);
  const dashes = { solid: "", dash: "6 4", dot: "2 3", dashdot: "6 3 2 3" };
  byId("curve-legend").replaceChildren(...entries.slice(0, MOST_NAMED).map(([label, tint, style]) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    line.innerHTML = `<line x1="0" y1="5" x2="22" y2="5" stroke="${tint}" stroke-width="3" stroke-dasharray="${dashes[style]}"/>`;
    return element("span", { class: "entry" }, line, label);
  }), ...(entries.length > MOST_NAMED ? [element("span", { class: "muted" }, `and ${entries.length - MOST_NAMED} more: the colours are those in the table`)] : []));
}

function drawCurves() {
  const metrics = chosenMetrics(), weight = Number(byId("smoothing").value), runs = [...state.shown].sort((a, b) => a - b);
  const grouped = byId("by-group").checked && data.groups.some((group) => group.values.length > 1);
  const make = grouped ? groupTraces : runTraces;
  drawGrid(byId("curve-grid"), metrics, (metric) => make(runs, data.curves[metric], weight), byId("log").checked);
  drawLegend(grouped, runs);
  byId("curve-note").textContent = !runs.length ? "No run is ticked in the table." : grouped || runs.length > MOST_NAMED ? "" : "A ring marks each run's best epoch, by its lowest val_loss.";
}
