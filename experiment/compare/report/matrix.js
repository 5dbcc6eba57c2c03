"use strict";
// Confusion matrices, and the examples behind a cell.
const decoded = new Map();
function bytes(text, wide) {
  if (!decoded.has(text)) {
    const content = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    decoded.set(text, wide ? new Uint16Array(content.buffer) : content);
  }
  return decoded.get(text);
}

function predictionsOf(run) {
  const test = data.tests[data.runs[run].testSet], stored = data.predictions[run];
  if (!test || !stored) return null;
  return { test, labels: bytes(test.labels, test.wide), predicted: bytes(stored.predicted, test.wide), sure: bytes(stored.sure, false) };
}

function confusion({ test, labels, predicted }) {
  const size = Math.max(test.classes.length, 1), matrix = Array.from({ length: size }, () => new Array(size).fill(0));
  labels.forEach((label, index) => { matrix[label][predicted[index]] += 1; });
  return matrix;
}

const sum = (values) => values.reduce((a, b) => a + b, 0);
// Each cell as the share of its row, the true class; of a class without examples, 0.
const shares = (matrix) => matrix.map((row) => row.map((value) => value / Math.max(1, sum(row))));

function cellText(value, isDiagonal, signed) {
  if (value === 0 && !isDiagonal) return "";
  const text = state.normalised ? (Math.abs(100 * value) < 9.95 && value !== 0 ? (100 * value).toFixed(1) : (100 * value).toFixed(0)) : String(value);
  return signed && value > 0 ? `+${text}` : text;
}

// Right answers are blue and errors red, each the stronger the more there are of it; of a difference, what
// B does worse is red and what it does better is green. No tint is so strong that its digits are hard to read.
function drawConfusion(id, title, counts, classes, signed, onCell) {
  const matrix = counts, most = (onDiagonal) => matrix.reduce((found, row, i) => row.reduce((least, value, j) => ((i === j) === onDiagonal ? Math.max(least, Math.abs(value)) : least), found), 0) || 1;
  const [right, wrong] = [most(true), most(false)];
  const tint = matrix.map((row, i) => row.map((value, j) => (i === j ? -value / (signed ? Math.max(right, wrong) : right) : value / (signed ? Math.max(right, wrong) : wrong))));
  const names = classes.map((name) => escaped(name)), dark = document.documentElement.dataset.theme === "dark", ground = css("--card");
  const cold = signed ? (dark ? "#1f6b4c" : "#8fd3b6") : dark ? "#2f4f9e" : "#a9c6f7", hot = dark ? "#8c3b34" : "#f2a59d";
  const places = names.map((_, place) => place), shown = window.innerWidth < NARROW ? 10 : 15;
  const trace = {
    z: tint, type: "heatmap", colorscale: [[0, cold], [0.5, ground], [1, hot]], zmin: -1, zmax: 1, showscale: false, xgap: 1, ygap: 1,
    customdata: matrix.map((row, i) => row.map((value, j) => cellText(value, i === j, signed) || "0")), x: places, y: places,
    hovertemplate: `true %{y}, predicted %{x}: %{customdata}${state.normalised ? " %" : ""}<extra></extra>`,
    // The heatmap's own text: that of a scatter trace loses numbers where an earlier matrix had none.
    text: matrix.map((row, i) => row.map((value, j) => cellText(value, i === j, signed))),
    texttemplate: classes.length <= shown ? "%{text}" : "", textfont: { size: 10, color: css("--text") },
  };
  const ticks = { tickvals: places, ticktext: names, showgrid: false, zeroline: false, constrain: "domain", tickfont: { size: 10 }, fixedrange: true };
  const chart = byId(id);
  Plotly.react(chart, [trace], layout({
    height: 370, plot_bgcolor: ground, title: { text: escaped(title) + (state.normalised ? ", in %" : ""), font: { size: 13 }, x: 0.02 }, margin: { l: 30, r: 5, t: 36, b: 30 },
    xaxis: ticks, yaxis: { ...ticks, autorange: "reversed", scaleanchor: "x" },
  }), { ...CONFIG, displayModeBar: false });
  chart.onCell = onCell;
  if (chart.isHeard) return;
  chart.isHeard = true;
  chart.on("plotly_click", (event) => chart.onCell(event.points[0].y, event.points[0].x));
}

// The most frequent confusions as buttons: what a click on a cell shows, for the keyboard, too.
function drawOften(id, counts, classes, onCell) {
  const found = counts.flatMap((row, i) => row.map((value, j) => [value, i, j])).filter(([value, i, j]) => i !== j && value > 0).sort((a, b) => b[0] - a[0]);
  byId(id).replaceChildren(...found.slice(0, 6).map(([value, i, j]) => {
    const button = element("button", { type: "button" }, `${classes[i]} → ${classes[j]} ×${value}`);
    button.addEventListener("click", () => onCell(i, j));
    return button;
  }));
}

function picture(images, place) {
  const [height, width, channels] = images.shape, pixels = bytes(images.pixels, false), size = height * width * channels;
  const canvas = element("canvas", { width, height }), context = canvas.getContext("2d"), pixelsDrawn = context.createImageData(width, height);
  for (let index = 0; index < height * width; index += 1) {
    for (let part = 0; part < 3; part += 1) pixelsDrawn.data[4 * index + part] = pixels[place * size + index * channels + (channels < 3 ? 0 : part)];
    pixelsDrawn.data[4 * index + 3] = 255;
  }
  context.putImageData(pixelsDrawn, 0, 0);
  return canvas;
}

const placesOf = (test) => new Map(test.images ? test.images.indices.map((index, at) => [index, at]) : []);

// Cards of test examples, those with a picture first; `lines` says of an example [its class, its text] a line.
function drawCards(target, test, indices, sure, lines) {
  const place = placesOf(test), sorted = [...indices].sort((a, b) => place.has(b) - place.has(a) || sure[b] - sure[a]);
  const card = (index) => element("div", { class: "mistake" },
    place.has(index) ? picture(test.images, place.get(index)) : element("div", { class: "muted" }, `example ${index}`),
    ...lines(index).map(([kind, text]) => element("div", { class: kind }, text)));
  const page = window.innerWidth < NARROW ? 9 : 24;
  const show = (from) => {
    target.append(...sorted.slice(from, from + page).map(card));
    if (from + page >= sorted.length) return;
    const more = element("button", { type: "button" }, `${sorted.length - from - page} more`);
    more.addEventListener("click", () => { more.remove(); show(from + page); });
    target.append(more);
  };
  target.replaceChildren(...(sorted.length ? [] : [element("p", { class: "muted" }, "none")]));
  show(0);
}

const certainty = (predictions, index) => percent(predictions.sure[index] / 255);

// The examples of true class i that each of the runs took for j: [[its letter, its predictions]].
function drawCell(id, runs, i, j) {
  const classes = runs[0][1].test.classes;
  byId(id).replaceChildren(...runs.flatMap(([letter, predictions]) => {
    const indices = [];
    predictions.labels.forEach((label, index) => { if (label === i && predictions.predicted[index] === j) indices.push(index); });
    const cards = element("div", { class: "mistakes" });
    drawCards(cards, predictions.test, indices, predictions.sure, (index) => [["muted", `${certainty(predictions, index)} sure`]]);
    return [element("h4", {}, `${letter}true ${classes[i]}, predicted ${classes[j]}: ${indices.length} example${indices.length === 1 ? "" : "s"}`), cards];
  }));
}

document.querySelectorAll(".normalised").forEach((box) => box.addEventListener("change", () => {
  state.normalised = box.checked;
  document.querySelectorAll(".normalised").forEach((each) => { each.checked = box.checked; });
  redraw("pair");
  redraw("one");
}));
