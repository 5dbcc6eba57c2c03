"use strict";
// Two runs, example by example.
function scoresOf(matrix) {
  return matrix.map((row, label) => {
    const right = row[label], examples = sum(row), claimed = sum(matrix.map((each) => each[label]));
    const precision = claimed ? right / claimed : 0, recall = examples ? right / examples : 0;
    return { examples, precision, recall, f1: precision + recall ? (2 * precision * recall) / (precision + recall) : 0 };
  });
}

function drawScores(first, second, classes) {
  const head = ["class", "examples", "precision A", "B", "recall A", "B", "F1 A", "B", "Δ F1"];
  byId("scores").tHead.replaceChildren(element("tr", {}, ...head.map((title, place) => element("th", { scope: "col", class: place ? "number" : "name" }, title))));
  byId("scores").tBodies[0].replaceChildren(...classes.map((name, label) => {
    const [a, b] = [first[label], second[label]], delta = b.f1 - a.f1;
    const values = [a.precision, b.precision, a.recall, b.recall, a.f1, b.f1].map((value) => value.toFixed(4));
    return element("tr", {}, element("td", { class: "name" }, name), element("td", { class: "number" }, String(a.examples)),
      ...values.map((value) => element("td", { class: "number" }, value)),
      element("td", { class: `number ${delta > 0 ? "good" : delta < 0 ? "bad" : ""}` }, (delta > 0 ? "+" : "") + delta.toFixed(4)));
  }));
}

function drawMistakes(id, indices, right, wrong, letters) {
  const { test, labels } = right;
  drawCards(byId(id), test, indices, wrong.sure, (index) => [
    ["", `is ${test.classes[labels[index]]}`],
    ["bad", `${letters[1]}: ${test.classes[wrong.predicted[index]]}, ${certainty(wrong, index)}`],
    ["good", `${letters[0]}: ${certainty(right, index)} sure`],
  ]);
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
  const { classes } = first.test, counts = [confusion(first), confusion(second)];
  const [matrixA, matrixB] = state.normalised ? counts.map(shares) : counts;
  const difference = matrixB.map((row, i) => row.map((value, j) => value - matrixA[i][j]));
  const cell = (...runs) => (i, j) => drawCell("cell-pair", runs, i, j);
  byId("cell-pair").replaceChildren();
  drawConfusion("confusion-a", `A: ${data.runs[a].name}`, matrixA, classes, false, cell(["A: ", first]));
  drawConfusion("confusion-b", `B: ${data.runs[b].name}`, matrixB, classes, false, cell(["B: ", second]));
  drawConfusion("confusion-d", "B − A: red, where B does worse", difference, classes, true, cell(["A: ", first], ["B: ", second]));
  drawOften("often-a", counts[0], classes, cell(["A: ", first]));
  drawOften("often-b", counts[1], classes, cell(["B: ", second]));
  byId("only-b-title").textContent = `Only B errs: ${onlyB.length}`;
  byId("only-a-title").textContent = `Only A errs: ${onlyA.length}`;
  drawMistakes("only-b", onlyB, first, second, "AB");
  drawMistakes("only-a", onlyA, second, first, "BA");
  drawScores(scoresOf(counts[0]), scoresOf(counts[1]), classes);
}

function choose(id, options, chosen) {
  byId(id).replaceChildren(...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
}

// The baseline and the best of those that were tested on the same examples.
function choosePair() {
  const able = everyRun().filter((run) => data.predictions[run]);
  const test = able.includes(data.baseline) ? data.runs[data.baseline].testSet : able.length ? data.runs[able[0]].testSet : null;
  const peers = able.filter((run) => data.runs[run].testSet === test);
  const a = peers.includes(data.baseline) ? data.baseline : peers[0];
  const b = peers.filter((run) => run !== a).sort(byMetric)[0];
  for (const [id, chosen] of [["first", a], ["second", b === undefined ? a : b]]) choose(id, able.map((run) => [run, labelOf(run)]), chosen);
  byId("pair-body").hidden = !able.length;
  byId("pair-note").textContent = able.length ? "" : "None of these runs has stored predictions.";
  if (able.length) SECTIONS.pair = drawPair;
  else delete SECTIONS.pair;
}

for (const id of ["first", "second"]) byId(id).addEventListener("change", () => redraw("pair"));
byId("swap").addEventListener("click", () => {
  [byId("first").value, byId("second").value] = [byId("second").value, byId("first").value];
  redraw("pair");
});
