"use strict";
// Groups of seeds, parallel coordinates, importance.
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
    marker: { color: groupColour(data.groups.indexOf(group)), size: 8, opacity: 0.55 }, text: group.runs.map((run) => escaped(labelOf(run))),
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

// --- parameters -------------------------------------------------------------------------------------------
function axisOf(name, get, runs) {
  const values = runs.map(get), numeric = values.every((value) => typeof value === "number" && Number.isFinite(value));
  if (!numeric) {
    const texts = values.map((value) => (isEmpty(value) ? "–" : shownText(value)));
    const kinds = [...new Set(texts)].sort((a, b) => compareCells(a, b));
    const at = (text) => (kinds.length > 1 ? kinds.indexOf(text) / (kinds.length - 1) : 0.5);
    return { name, places: texts.map(at), texts, ticks: kinds.length > 12 ? [] : kinds.map((text) => [at(text), text]) };
  }
  const low = Math.min(...values), high = Math.max(...values), logarithmic = low > 0 && high / low >= 50;
  const scale = (value) => (high === low ? 0.5 : logarithmic ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  const middle = logarithmic ? Math.sqrt(low * high) : (low + high) / 2;
  const whole = values.every(Number.isInteger), kinds = [...new Set(values)].sort((a, b) => a - b);
  const ticks = high === low ? [low] : kinds.length <= 6 ? kinds : [low, whole ? Math.round(middle) : middle, high];
  return { name, places: values.map(scale), texts: values.map(shownText), ticks: ticks.map((value) => [scale(value), shownText(Number(value.toPrecision(3)))]) };
}

// The runs of the test set that most of them share: values of different ones say nothing of each other.
function runsOfOneTestSet() {
  const by = new Map();
  for (const run of everyRun()) {
    if (!Number.isFinite(data.runs[run].value)) continue;
    if (!by.has(data.runs[run].testSet)) by.set(data.runs[run].testSet, []);
    by.get(data.runs[run].testSet).push(run);
  }
  return [...by.values()].reduce((most, each) => (each.length > most.length ? each : most), []);
}

const AXIS_PIXELS = 110, LONGEST_TICK = 16;
const cut = (text) => (text.length > LONGEST_TICK ? `${text.slice(0, LONGEST_TICK - 1)}…` : text);

function drawParallel() {
  const runs = runsOfOneTestSet();
  const varied = data.parameters.filter((name) => new Set(runs.map((run) => shownText(data.runs[run].params[name])).filter(Boolean)).size > 1);
  const able = runs.length >= 3 && varied.length > 0, chart = byId("parallel-chart");
  chart.hidden = !able;
  if (!able) {
    byId("parameters-note").textContent = "Three runs or more of one test set that differ in a parameter are drawn here.";
    return;
  }
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
  // As wide as its axes need: a narrow window scrolls. Names are turned where they would reach each other.
  const width = Math.max(chart.parentElement.clientWidth, AXIS_PIXELS * axes.length);
  const longest = Math.max(...axes.map((axis) => axis.name.length)), turned = 7.5 * longest > (width - 60) / axes.length;
  chart.style.width = `${width}px`;
  const annotations = axes.flatMap((axis, at) => axis.ticks.map(([place, text]) => ({
    x: at, y: place, text: escaped(cut(text)), showarrow: false, xanchor: at === axes.length - 1 ? "right" : "left", xshift: at === axes.length - 1 ? -6 : 6,
    font: { size: 10 }, bgcolor: css("--card"), opacity: 0.85,
  })));
  Plotly.react(chart, traces, layout({
    width, height: 420, annotations, margin: { l: 20, r: 24, t: 10, b: turned ? 30 + 4.5 * longest : 40 },
    xaxis: { tickvals: axes.map((_, at) => at), ticktext: axes.map((axis) => escaped(axis.name)), tickangle: turned ? -35 : 0, zeroline: false, automargin: true, range: [-0.15, axes.length - 0.85], fixedrange: true },
    yaxis: { visible: false, range: [-0.06, 1.06], fixedrange: true },
  }), { ...CONFIG, responsive: false, displayModeBar: false });
  byId("parameters-note").textContent = `One line a run, from its parameters to ${data.metric}; the lighter, the higher.` +
    (runs.length < data.runs.length ? ` Drawn: ${runs.length} of ${data.runs.length} runs, tested on the same examples.` : "");
}

function drawImportance() {
  byId("importance-chart").hidden = !data.importance.length;
  if (!data.importance.length) return;
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
