"use strict";
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function layout(extra) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true };
  const { xaxis = {}, yaxis = {}, ...rest } = extra;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: css("--text"), family: "system-ui, sans-serif", size: 12 },
    margin: { l: 50, r: 10, t: 10, b: 40 }, hoverlabel: { namelength: -1 },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest,
  };
}

// --- groups -----------------------------------------------------------------------------------------------
function drawGroups() {
  document.querySelectorAll(".group-chart").forEach((chart, block) => drawBlock(chart, block));
}

function drawBlock(chart, block) {
  const groups = data.groups.filter((group) => group.block === block && group.values.length > 1).slice(0, 30);
  if (!groups.length) return;
  chart.hidden = byId("group-note").hidden = false;
  const row = groups.map((_, place) => groups.length - place);
  const points = groups.map((group, place) => ({
    x: group.values, y: group.values.map((_, index) => row[place] + 0.06 * ((index % 3) - 1)), mode: "markers", type: "scatter",
    marker: { color: PALETTE[data.groups.indexOf(group) % 10], size: 8, opacity: 0.55 }, text: group.runs.map((run) => escaped(labelOf(run))),
    hovertemplate: "%{text}<br>%{x:.4f}<extra></extra>", showlegend: false,
  }));
  const means = {
    x: groups.map((group) => group.mean), y: row, mode: "markers", type: "scatter", showlegend: false,
    error_x: { array: groups.map((group) => group.halfWidth || 0), color: css("--text"), thickness: 1.5, width: 6 },
    marker: { symbol: "diamond", size: 11, color: css("--text") },
    text: groups.map((group) => `${escaped(group.label)}<br>${group.mean.toFixed(4)} ± ${(group.halfWidth || 0).toFixed(4)}`),
    hovertemplate: "%{text}<extra></extra>",
  };
  const annotations = groups.map((group, place) => ({
    x: 0, xref: "paper", xanchor: "left", y: row[place], yshift: 22, showarrow: false,
    text: `${escaped(group.label)}: <b>${group.mean.toFixed(4)} ± ${(group.halfWidth || 0).toFixed(4)}</b>`,
  }));
  Plotly.react(chart, [...points, means], layout({
    height: 50 + 62 * groups.length, annotations, margin: { l: 10, r: 10, t: 24, b: 25 }, xaxis: { nticks: 6 },
    yaxis: { visible: false, range: [0.5, groups.length + 0.75], fixedrange: true },
  }), CONFIG);
}

// --- curves -----------------------------------------------------------------------------------------------
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

function runTraces(curves, weight) {
  const traces = [];
  for (const run of state.shown) {
    const line = curves.lines[run];
    if (!line) continue;
    const name = escaped(labelOf(run)), style = { color: colour(run), dash: dash(run) };
    if (weight) traces.push({ ...line, type: "scatter", mode: "lines", line: { ...style, width: 1 }, opacity: 0.25, hoverinfo: "skip", showlegend: false });
    traces.push({
      x: line.x, y: smoothed(line.y, weight), type: "scatter", mode: line.x.length < 15 ? "lines+markers" : "lines",
      name, line: { ...style, width: 2 }, hovertemplate: "%{y:.5g}",
    });
  }
  return traces;
}

function groupTraces(curves, weight) {
  return data.groups.flatMap((group, place) => {
    const lines = group.runs.filter((run) => state.shown.has(run) && curves.lines[run]).map((run) => curves.lines[run]);
    if (!lines.length) return [];
    const at = new Map();
    for (const line of lines) {
      smoothed(line.y, weight).forEach((value, index) => {
        if (value !== null) at.set(line.x[index], [...(at.get(line.x[index]) || []), value]);
      });
    }
    const x = [...at.keys()].sort((a, b) => a - b), values = x.map((key) => at.get(key));
    const tint = PALETTE[place % 10];
    const edge = { x, type: "scatter", mode: "lines", line: { width: 0, color: tint }, hoverinfo: "skip", showlegend: false };
    return [
      { ...edge, y: values.map((all) => Math.min(...all)) },
      { ...edge, y: values.map((all) => Math.max(...all)), fill: "tonexty", fillcolor: `${tint}33` },
      { x, y: values.map((all) => all.reduce((a, b) => a + b) / all.length), type: "scatter", mode: "lines",
        line: { color: tint, width: 2.5 }, name: escaped(group.label), hovertemplate: "%{y:.5g}" },
    ];
  });
}

function drawCurves() {
  const metric = byId("curve-metric").value, curves = data.curves[metric];
  if (!curves) return;
  const weight = Number(byId("smoothing").value);
  const traces = (byId("by-group").checked ? groupTraces : runTraces)(curves, weight);
  const few = curves.axis === "epoch" && traces.every((trace) => trace.x[trace.x.length - 1] <= 12);
  const named = traces.filter((trace) => trace.name).length; // of many the swatches in the table are the legend
  Plotly.react("curve-chart", traces, layout({
    height: byId("curve-chart").clientHeight || 420, hovermode: traces.length > 24 ? "closest" : "x unified",
    legend: { orientation: "h", y: -0.18, font: { size: 11 } }, showlegend: named <= 12,
    xaxis: { title: { text: curves.axis }, ...(few ? { dtick: 1 } : {}) },
    yaxis: { title: { text: escaped(metric) }, type: byId("log").checked ? "log" : "linear" },
  }), CONFIG);
}

// --- parameters -------------------------------------------------------------------------------------------
function axisOf(name, get, runs) {
  const values = runs.map(get), numeric = values.every((value) => typeof value === "number" && Number.isFinite(value));
  if (!numeric) {
    const texts = values.map((value) => (value === undefined || value === null ? "–" : shownText(value)));
    const kinds = [...new Set(texts)].sort((a, b) => compareCells(a, b));
    const at = (text) => (kinds.length > 1 ? kinds.indexOf(text) / (kinds.length - 1) : 0.5);
    return { name, places: texts.map(at), texts, ticks: kinds.length > 12 ? [] : kinds.map((text) => [at(text), text]) };
  }
  const low = Math.min(...values), high = Math.max(...values), logarithmic = low > 0 && high / low >= 50;
  const scale = (value) => (high === low ? 0.5 : logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  const middle = logarithmic ? Math.sqrt(low * high) : (low + high) / 2;
  const ticks = high === low ? [low] : [low, middle, high];
  return { name, places: values.map(scale), texts: values.map(shownText), ticks: ticks.map((value) => [scale(value), shownText(Number(value.toPrecision(3)))]) };
}

// The runs of the test set that most of them share: values of different ones say nothing of each other.
function runsOfOneTestSet() {
  const runs = data.runs.map((_, run) => run).filter((run) => Number.isFinite(data.runs[run].value));
  const of = (test) => runs.filter((run) => data.runs[run].testSet === test);
  return [...new Set(runs.map((run) => data.runs[run].testSet))].map(of).reduce((most, each) => (each.length > most.length ? each : most), []);
}

function drawParallel() {
  const runs = runsOfOneTestSet();
  const varied = data.parameters.filter((name) => new Set(runs.map((run) => shownText(data.runs[run].params[name])).filter(Boolean)).size > 1);
  if (runs.length < 3 || !varied.length) {
    byId("parameters-note").textContent = "Three runs or more that differ in a parameter are drawn here.";
    return;
  }
  byId("parallel-chart").hidden = false;
  const axes = varied.map((name) => axisOf(name, (run) => data.runs[run].params[name], runs));
  axes.push(axisOf(data.metric, (run) => data.runs[run].value, runs));
  const last = axes[axes.length - 1], bins = 8;
  const tint = ["#46327e", "#3f4f8b", "#31688e", "#26828e", "#1f9e89", "#4ab870", "#90c83c", "#e0b81f"];
  const traces = Array.from({ length: bins }, (_, bin) => {
    const trace = { x: [], y: [], text: [], type: "scatter", mode: "lines+markers", showlegend: false, line: { color: tint[bin], width: runs.length > 60 ? 1 : 2 }, opacity: 0.75, marker: { size: 5 }, hovertemplate: "%{text}<extra></extra>" };
    runs.forEach((run, place) => {
      if (Math.min(bins - 1, Math.floor(last.places[place] * bins)) !== bin) return;
      axes.forEach((axis, at) => { trace.x.push(at); trace.y.push(axis.places[place]); trace.text.push(`${escaped(labelOf(run))}<br>${escaped(axis.name)} = ${escaped(axis.texts[place])}`); });
      trace.x.push(null); trace.y.push(null); trace.text.push("");
    });
    return trace;
  });
  const annotations = axes.flatMap((axis, at) => axis.ticks.map(([place, text]) => ({ x: at, y: place, text: escaped(text), showarrow: false, xanchor: at ? "right" : "left", xshift: at ? -6 : 6, font: { size: 10 }, bgcolor: css("--card"), opacity: 0.85 })));
  const narrow = byId("parallel-chart").clientWidth < 600;
  Plotly.react("parallel-chart", traces, layout({
    height: 420, annotations, margin: { l: 20, r: 24, t: 10, b: 60 },
    xaxis: { tickvals: axes.map((_, at) => at), ticktext: axes.map((axis) => escaped(axis.name)), tickangle: narrow ? -40 : 0, zeroline: false },
    yaxis: { visible: false, range: [-0.06, 1.06] },
  }), CONFIG);
  byId("parameters-note").textContent = `One line a run, from its parameters to ${data.metric}; the lighter, the higher.` +
    (runs.length < data.runs.length ? ` Drawn: ${runs.length} of ${data.runs.length} runs, tested on the same examples.` : "");
}

function drawImportance() {
  if (!data.importance.length) return;
  byId("importance-chart").hidden = false;
  const ranked = data.importance.slice(0, 15).reverse();
  const sign = (each) => (each.correlation === null ? "" : `rank correlation ${each.correlation >= 0 ? "+" : "−"}${Math.abs(each.correlation).toFixed(2)}`);
  Plotly.react("importance-chart", [{
    x: ranked.map((each) => each.importance), y: ranked.map((each) => escaped(each.name)), type: "bar", orientation: "h",
    marker: { color: ranked.map((each) => (each.name === "seed" ? css("--muted") : css("--accent"))) },
    text: ranked.map(sign), textposition: "auto", hovertemplate: "%{y}: %{x:.3f}<br>%{text}<extra></extra>",
  }], layout({
    height: 110 + 30 * ranked.length, margin: { l: 10, r: 10, t: 34, b: 45 },
    title: { text: escaped(`What ${data.metric} depends on, by ${data.importanceRuns} runs of one test set`), font: { size: 13 }, x: 0.02 },
    xaxis: { title: { text: "share of what a random forest explains by it (seed: noise)", font: { size: 11 } } },
  }), CONFIG);
}

// --- wiring -----------------------------------------------------------------------------------------------
Object.assign(SECTIONS, { answers: drawGroups, curves: drawCurves, pair: drawPair, parameters: () => { drawParallel(); drawImportance(); } });
// Each in an idle moment of its own, so that a click is never kept waiting by more than one.
const whenIdle = window.requestIdleCallback ? (task) => requestIdleCallback(task, { timeout: 1000 }) : (task) => setTimeout(task, 50);
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    whenIdle(() => { drawn.add(target.id); SECTIONS[target.id](); });
  }
}, { rootMargin: "300px" });

function choose(id, options, chosen) {
  byId(id).replaceChildren(...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
}

function start() {
  const metrics = Object.keys(data.curves), preferred = [data.metric, data.metric.replace(/^test_/, "val_"), "val_accuracy", "val_loss", "accuracy", "loss"].find((name) => metrics.includes(name));
  choose("curve-metric", metrics.map((name) => [name, name]), preferred || metrics[0]);
  const grouped = data.groups.some((group) => group.values.length > 1);
  byId("by-group-label").hidden = !grouped;
  if (grouped) {
    data.groups.slice(0, 6).forEach((group) => group.runs.forEach((run) => state.shown.add(run)));
    byId("by-group").checked = true;
    drawTable();
  }
  const able = data.runs.map((_, run) => run).filter((run) => data.predictions[run]);
  const test = able.includes(data.baseline) ? data.runs[data.baseline].testSet : able.length ? data.runs[able[0]].testSet : null;
  const peers = able.filter((run) => data.runs[run].testSet === test);
  const a = peers.includes(data.baseline) ? data.baseline : peers[0];
  const b = peers.filter((run) => run !== a).sort(byMetric)[0];
  for (const [id, chosen] of [["first", a], ["second", b === undefined ? a : b]]) choose(id, able.map((run) => [run, labelOf(run)]), chosen);
  if (!able.length) {
    byId("pair-body").hidden = true;
    byId("pair-note").textContent = "None of these runs has stored predictions.";
    delete SECTIONS.pair;
  }
  if (!metrics.length) delete SECTIONS.curves;
  for (const id of ["curve-metric", "by-group", "log"]) byId(id).addEventListener("change", () => redraw("curves"));
  byId("smoothing").addEventListener("input", () => redraw("curves"));
  for (const id of ["first", "second"]) byId(id).addEventListener("change", () => redraw("pair"));
  byId("swap").addEventListener("click", () => {
    [byId("first").value, byId("second").value] = [byId("second").value, byId("first").value];
    redraw("pair");
  });
}

// Plotly blocks the page for a second while it starts: the first click shall not wait for that.
const GRACE = 400; // milliseconds
let plotlyIsThere = false;
function loadPlotly() {
  if (plotlyIsThere) return;
  plotlyIsThere = true;
  document.head.append(element("script", { textContent: byId("plotly").textContent }));
  Object.keys(SECTIONS).forEach((id) => watcher.observe(byId(id)));
}
start();
// Paper cannot be scrolled: all is drawn before it is printed, light and as wide as a page.
const PAPER = 980; // pixels across an A4 page that lies
let shade = null;
window.addEventListener("beforeprint", () => {
  loadPlotly();
  shade = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  for (const id of Object.keys(SECTIONS)) {
    watcher.unobserve(byId(id));
    drawn.add(id);
    SECTIONS[id]();
  }
  document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.relayout(plot, { width: plot.closest(".three") ? PAPER / 3 : PAPER }));
});
window.addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = shade;
  document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.relayout(plot, { width: null }));
  drawn.forEach(redraw);
});
window.addEventListener("load", () => setTimeout(() => whenIdle(loadPlotly), GRACE));
