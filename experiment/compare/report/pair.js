"use strict";
// Two runs, example by example: confusion matrices, mistakes with pictures, scores by class.
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

function drawConfusion(id, title, matrix, classes, signed) {
  const off = matrix.map((row, i) => row.map((value, j) => (i === j ? null : value)));
  const most = off.flat().reduce((largest, value) => Math.max(largest, Math.abs(value || 0)), 1);
  const names = classes.map((name) => escaped(name)), dark = document.documentElement.dataset.theme === "dark";
  const ground = css("--card"), sign = (value) => (signed && value > 0 ? "+" : "");
  const text = matrix.map((row, i) => row.map((value, j) => (value === 0 && i !== j ? "" : sign(value) + value)));
  const cold = dark ? "#4fc99a" : "#12805c", hot = dark ? "#ff7b6e" : "#d3483d";
  const scale = signed ? [[0, cold], [0.5, ground], [1, hot]] : [[0, ground], [1, dark ? "#5b7fff" : "#4c6fe0"]];
  const traces = [{
    z: off, type: "heatmap", colorscale: scale, zmin: signed ? -most : 0, zmax: most, showscale: false, xgap: 1, ygap: 1,
    customdata: matrix, hovertemplate: "true %{y}, predicted %{x}: %{customdata}<extra></extra>",
    x: names.map((_, place) => place), y: names.map((_, place) => place), hoverongaps: true,
    // The heatmap's own text: that of a scatter trace loses numbers where an earlier matrix had none.
    text, texttemplate: classes.length <= 15 ? "%{text}" : "", textfont: { size: 10 },
  }];
  const ticks = { tickvals: names.map((_, place) => place), ticktext: names, showgrid: false, zeroline: false, constrain: "domain", tickfont: { size: 10 } };
  Plotly.react(id, traces, layout({
    height: 370, plot_bgcolor: ground, title: { text: escaped(title), font: { size: 13 }, x: 0.02 }, margin: { l: 30, r: 5, t: 36, b: 30 },
    xaxis: ticks, yaxis: { ...ticks, autorange: "reversed", scaleanchor: "x" },
  }), { ...CONFIG, displayModeBar: false });
}

function scoresOf(matrix) {
  return matrix.map((row, label) => {
    const right = row[label], examples = row.reduce((a, b) => a + b), claimed = matrix.reduce((sum, each) => sum + each[label], 0);
    const precision = claimed ? right / claimed : 0, recall = examples ? right / examples : 0;
    return { examples, precision, recall, f1: precision + recall ? (2 * precision * recall) / (precision + recall) : 0 };
  });
}

function drawScores(first, second, classes) {
  const head = ["class", "examples", "precision A", "B", "recall A", "B", "F1 A", "B", "Δ F1"];
  byId("scores").tHead.replaceChildren(element("tr", {}, ...head.map((title, place) => element("th", { scope: "col", class: place ? "number" : "" }, title))));
  byId("scores").tBodies[0].replaceChildren(...classes.map((name, label) => {
    const [a, b] = [first[label], second[label]], delta = b.f1 - a.f1;
    const values = [a.precision, b.precision, a.recall, b.recall, a.f1, b.f1].map((value) => value.toFixed(4));
    return element("tr", {}, element("td", {}, name), element("td", { class: "number" }, String(a.examples)),
      ...values.map((value) => element("td", { class: "number" }, value)),
      element("td", { class: `number ${delta > 0 ? "good" : delta < 0 ? "bad" : ""}` }, (delta > 0 ? "+" : "") + delta.toFixed(4)));
  }));
}

function picture(images, place) {
  const [height, width, channels] = images.shape, pixels = bytes(images.pixels, false), size = height * width * channels;
  const canvas = element("canvas", { width, height }), context = canvas.getContext("2d"), drawn = context.createImageData(width, height);
  for (let index = 0; index < height * width; index += 1) {
    for (let part = 0; part < 3; part += 1) drawn.data[4 * index + part] = pixels[place * size + index * channels + (channels < 3 ? 0 : part)];
    drawn.data[4 * index + 3] = 255;
  }
  context.putImageData(drawn, 0, 0);
  return canvas;
}

function drawMistakes(id, indices, right, wrong, letters) {
  const { test, labels } = right, place = new Map(test.images ? test.images.indices.map((index, at) => [index, at]) : []);
  const sorted = [...indices].sort((a, b) => place.has(b) - place.has(a) || wrong.sure[b] - wrong.sure[a]);
  const card = (index) => element("div", { class: "mistake" },
    place.has(index) ? picture(test.images, place.get(index)) : element("div", { class: "muted" }, `example ${index}`),
    element("div", {}, `is ${test.classes[labels[index]]}`),
    element("div", { class: "bad" }, `${letters[1]}: ${test.classes[wrong.predicted[index]]}, ${Math.round(wrong.sure[index] / 2.55)} %`),
    element("div", { class: "good" }, `${letters[0]}: ${Math.round(right.sure[index] / 2.55)} % sure`));
  const page = window.innerWidth < 600 ? 9 : 24;
  const show = (from) => {
    const cards = sorted.slice(from, from + page).map(card);
    byId(id).append(...cards);
    if (from + page >= sorted.length) return;
    const more = element("button", { type: "button" }, `${sorted.length - from - page} more`);
    more.addEventListener("click", () => { more.remove(); show(from + page); });
    byId(id).append(more);
  };
  byId(id).replaceChildren(...(sorted.length ? [] : [element("p", { class: "muted" }, "none")]));
  show(0);
}

function drawPair() {
  const [a, b] = [Number(byId("first").value), Number(byId("second").value)];
  const [first, second] = [predictionsOf(a), predictionsOf(b)];
  const same = first && second && first.test === second.test && first.predicted.length === second.predicted.length;
  byId("pair-body").hidden = !same;
  if (!same) {
    byId("pair-note").textContent = first && second ? "These two were tested on different examples." : "One of these has no stored predictions here.";
    return;
  }
  const onlyA = [], onlyB = [];
  let both = 0;
  first.labels.forEach((label, index) => {
    const [rightA, rightB] = [first.predicted[index] === label, second.predicted[index] === label];
    if (rightA && !rightB) onlyB.push(index); else if (rightB && !rightA) onlyA.push(index); else if (!rightA) both += 1;
  });
  byId("pair-note").textContent = `Of ${first.labels.length} test examples ${onlyB.length} only A got right, ${onlyA.length} only B; ${both} both got wrong.`;
  const [matrixA, matrixB] = [confusion(first), confusion(second)];
  drawConfusion("confusion-a", `A: ${data.runs[a].name}`, matrixA, first.test.classes, false);
  drawConfusion("confusion-b", `B: ${data.runs[b].name}`, matrixB, first.test.classes, false);
  drawConfusion("confusion-d", "B − A: red, where B errs more", matrixB.map((row, i) => row.map((value, j) => value - matrixA[i][j])), first.test.classes, true);
  byId("only-b-title").textContent = `Only B errs: ${onlyB.length}`;
  byId("only-a-title").textContent = `Only A errs: ${onlyA.length}`;
  drawMistakes("only-b", onlyB, first, second, "AB");
  drawMistakes("only-a", onlyA, second, first, "BA");
  drawScores(scoresOf(matrixA), scoresOf(matrixB), first.test.classes);
}
