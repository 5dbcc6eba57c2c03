"use strict";
// The page of one run, at #run/KEY: result first, then curves, examples, parameters, where it came from.
const OTHERS = ["answers", "runs", "curves", "pair", "parameters"];

function runOfAddress() {
  const key = /^#run\/(\w+)$/.exec(window.location.hash)?.[1];
  const found = key ? data.runs.findIndex((run) => run.key.startsWith(key)) : data.runs.length === 1 && !window.location.hash ? 0 : -1;
  return found < 0 ? null : found;
}

// Shows one run, or all of them again, as the address says.
function route() {
  const before = state.run;
  state.run = runOfAddress();
  byId("one").hidden = state.run === null;
  OTHERS.forEach((id) => { byId(id).hidden = state.run !== null; });
  if (byId("suspects")) byId("suspects").hidden = state.run !== null;
  if (state.run === null) {
    if (before !== null) {
      drawn.forEach(redraw);
      byId(window.location.hash.slice(1))?.scrollIntoView();
    }
    return;
  }
  drawFacts();
  if (drawn.has("one")) SECTIONS.one();
  if (before !== state.run) window.scrollTo(0, 0);
}

function tile(value, label) {
  return element("div", { class: "tile" }, element("b", {}, value), element("span", { class: "muted" }, label));
}

function drawFacts() {
  const run = data.runs[state.run], tiles = [];
  if (Number.isFinite(run.value)) tiles.push([ofMetric(run.value), data.metric]);
  for (const name of ["test_accuracy", "test_loss", "test_ece_calibrated"]) {
    if (name !== data.metric && Number.isFinite(run.test[name])) tiles.push([ofMetric(run.test[name]), name]);
  }
  if (run.best.epoch) tiles.push([`${run.best.epoch} of ${run.epochs ?? "?"}`, Number.isFinite(run.best.val_loss) ? `best epoch, val_loss ${ofMetric(run.best.val_loss)}` : "best epoch"]);
  else if (run.epochs) tiles.push([String(run.epochs), "epochs"]);
  if (Number.isFinite(run.seconds)) tiles.push([duration(run.seconds), "in all"]);
  const group = data.groups.find((each) => each.runs.includes(state.run) && each.values.length > 1);
  if (group) tiles.push([`${group.mean.toFixed(4)} ± ${(group.halfWidth || 0).toFixed(4)}`, `${data.metric} of its group, ${group.label}`]);
  const swatch = element("span", { class: "swatch" });
  swatch.style.background = colour(state.run);
  byId("one-title").replaceChildren(swatch, run.name, element("span", { class: "key" }, run.key.slice(0, 12)));
  byId("one-facts").replaceChildren(
    element("p", {}, element("span", { class: `status ${run.status}` }, run.status), " ", element("span", { class: "muted" }, [run.dataset, clock(run.started)].filter(Boolean).join(" · ")),
      ...run.tags.map((tag) => element("span", { class: "tag" }, tag)), cometLink(state.run, "in Comet ↗")),
    ...(run.note ? [element("p", { class: "note" }, run.note)] : []),
    element("div", { class: "tiles" }, ...tiles.map(([value, label]) => tile(value, label))));
  const rows = (entries) => element("dl", {}, ...entries.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, shownText(value))]));
  const changed = Object.entries(run.params).filter(([name]) => run.changed.includes(name));
  const usual = Object.entries(run.params).filter(([name]) => !run.changed.includes(name));
  byId("one-details").replaceChildren(
    element("div", {}, element("h4", {}, "Parameters that are not the defaults"), changed.length ? rows(changed) : element("p", { class: "muted" }, "none"),
      element("details", {}, element("summary", { class: "muted" }, `${usual.length} at their defaults`), rows(usual))),
    ...run.facts.map(([title, entries]) => element("div", {}, element("h4", {}, title), rows(entries))));
}

function drawOne() {
  if (state.run === null) return;
  const run = state.run, metrics = Object.keys(data.curves).filter((name) => data.curves[name].lines[run]);
  const pairs = metrics.filter((name) => !(name.startsWith("val_") && metrics.includes(name.slice(4)))).sort((a, b) => metrics.includes(`val_${b}`) - metrics.includes(`val_${a}`));
  drawGrid(byId("one-curves"), pairs, (metric) => [[metric, PALETTE[0]], [`val_${metric}`, PALETTE[1]]].flatMap(([name, tint]) => {
    const curves = data.curves[name], line = curves && curves.lines[run];
    if (!line) return [];
    const traces = [{ ...line, type: "scatter", mode: line.x.length < 15 ? "lines+markers" : "lines", name: escaped(name), line: { color: tint, width: 2 }, hovertemplate: "%{y:.5g}" }];
    return curves.axis === "epoch" && name.startsWith("val_") ? [...traces, ...bestTrace(run, line, { color: tint })] : traces;
  }), false, (metric) => (data.curves[`val_${metric}`]?.lines[run] ? `<span style="color:${PALETTE[0]}">${escaped(metric)}</span>, <span style="color:${PALETTE[1]}">${escaped(`val_${metric}`)}</span>` : escaped(metric)));
  const predictions = predictionsOf(run);
  byId("one-examples").hidden = !predictions;
  if (!predictions) return;
  const { test, labels, predicted } = predictions, counts = confusion(predictions);
  const cell = (i, j) => drawCell("cell-one", [["", predictions]], i, j);
  byId("cell-one").replaceChildren();
  drawConfusion("confusion-one", data.runs[run].name, state.normalised ? shares(counts) : counts, test.classes, false, cell);
  drawOften("often-one", counts, test.classes, cell);
  const wrong = [];
  labels.forEach((label, index) => { if (label !== predicted[index]) wrong.push(index); });
  byId("only-one-title").textContent = `Mistakes: ${wrong.length} of ${labels.length}, the surest first`;
  drawCards(byId("only-one"), test, wrong, predictions.sure, (index) => [["good", `is ${test.classes[labels[index]]}`], ["bad", `${test.classes[predicted[index]]}, ${certainty(predictions, index)}`]]);
}

window.addEventListener("hashchange", route);
