"use strict";
// The table of runs: its columns and which of them are shown, its order, its filter.
const ROWS = 200; // drawn at first; more at a click
const PAPER_COLUMNS = 14, PAPER_PARAMETERS = 7; // as many as a sheet holds without breaking a number
const RUN = "Run", METRICS = "Metrics", PARAMETERS = "Parameters";

function metricColumns() {
  const held = (place) => {
    const names = new Set(data.runs.flatMap((run) => Object.keys(run[place])));
    names.delete("epoch");
    return [...names];
  };
  const column = (place, name, usual) => ({
    title: place === "test" ? name : `${name}, ${place}`, list: METRICS, usual, best: name, shown: ofMetric, get: (run) => number(run[place][name]),
  });
  const usual = ["val_loss", "val_accuracy"];
  return [
    ...held("test").sort().filter((name) => name !== data.metric).map((name) => column("test", name, true)),
    { title: "best epoch", list: METRICS, usual: true, get: (run) => run.best.epoch },
    ...["best", "last"].flatMap((place) => {
      const names = held(place);
      return [...usual.filter((name) => names.includes(name)), ...names.filter((name) => !usual.includes(name))].map((name) => column(place, name, usual.includes(name)));
    }),
  ];
}

function allColumns() {
  const base = data.runs[data.baseline];
  const comparable = (run) => Number.isFinite(run.value) && Number.isFinite(base.value) && (run.testSet === base.testSet || !data.metric.startsWith("test_"));
  const parameters = [...new Set([...data.parameters, ...data.runs.flatMap((run) => Object.keys(run.params))])];
  const some = (get) => data.runs.some((run) => !isEmpty(get(run)));
  return [
    { title: "run", get: (run) => run.name, kind: "name" },
    { title: "status", list: RUN, usual: data.runs.some((run) => run.status !== "finished"), get: (run) => run.status, kind: "status" },
    { title: data.metric, list: METRICS, usual: true, get: (run) => run.value, best: data.metric, shown: ofMetric },
    { title: "Δ", list: METRICS, usual: true, get: (run) => (comparable(run) ? run.value - base.value : null), kind: "delta" },
    { title: "note", list: RUN, usual: some((run) => run.note), get: (run) => run.note, kind: "text" },
    ...parameters.map((name) => ({ title: name, list: PARAMETERS, usual: data.parameters.includes(name), get: (run) => run.params[name] })),
    ...metricColumns(),
    { title: "epochs done", list: RUN, usual: false, get: (run) => run.epochs },
    { title: "started", list: RUN, usual: true, get: (run) => run.started, shown: clock },
    { title: "seconds", list: RUN, usual: true, get: (run) => run.seconds, best: "seconds", shown: rounded },
    { title: "tags", list: RUN, usual: false, get: (run) => run.tags.join(", "), kind: "text" },
    { title: "data set", list: RUN, usual: false, get: (run) => run.dataset },
    { title: "key", list: RUN, usual: false, get: (run) => run.key.slice(0, 12) },
  ].map((column) => ({ ...column, id: `${column.list || ""} ${column.title}` }));
}

const isShown = (column) => column.kind === "name" || (state.columns.get(column.id) ?? column.usual);

function drawColumnChooser() {
  const all = allColumns();
  fillChoices("column-chooser", [RUN, METRICS, PARAMETERS].map((list) => [list, all.filter((column) => column.list === list).map((column) =>
    [column.title, isShown(column), (ticked) => { state.columns.set(column.id, ticked); drawTable(); }])]));
}

function visibleRuns(shownColumns) {
  const { matches, error } = filterOf(byId("filter").value);
  byId("filter").setAttribute("aria-invalid", error ? "true" : "false");
  byId("filter-error").hidden = !error;
  byId("filter-error").textContent = error || "";
  const runs = everyRun().filter((run) => matches(data.runs[run]));
  const column = shownColumns.find((each) => each.id === state.sort);
  if (column) {
    const held = new Map(runs.map((run) => [run, column.get(data.runs[run])]));
    runs.sort((a, b) => {
      const [first, second] = [held.get(a), held.get(b)], order = compareCells(first, second);
      return isEmpty(first) || isEmpty(second) || state.ascending ? order : -order;
    });
  }
  return runs;
}

// The best value of a column among the runs of each test set: of different ones neither is the better.
function bestOf(column) {
  const best = new Map(), direction = data.directions[column.best];
  if (!direction) return best;
  const values = new Map();
  for (const run of data.runs) {
    if (!Number.isFinite(column.get(run))) continue;
    if (!values.has(run.testSet)) values.set(run.testSet, []);
    values.get(run.testSet).push(column.get(run));
  }
  values.forEach((all, test) => { if (all.length > 1) best.set(test, all.reduce((a, b) => ((direction === "lower") === (a < b) ? a : b))); });
  return best;
}

function nameCell(run, shared) {
  const facts = data.runs[run];
  const tick = element("input", { type: "checkbox", checked: state.shown.has(run), "aria-label": `draw ${labelOf(run)}` });
  tick.addEventListener("change", () => {
    state.shown[tick.checked ? "add" : "delete"](run);
    redraw("curves");
  });
  const tags = facts.tags.filter((tag) => !shared.has(tag)).map((tag) => element("span", { class: "tag" }, tag));
  const swatch = element("span", { class: "swatch" });
  swatch.style.background = colour(run);
  const link = element("a", { href: `#run/${facts.key}`, title: facts.note ? `${facts.name}: ${facts.note}` : facts.name }, element("b", {}, facts.name));
  return element("td", { class: "name" }, tick, " ", swatch, link, element("span", { class: "key" }, facts.key.slice(0, 8)), cometLink(run, " ↗"), ...tags);
}

function cellOf(column, run, best, shared) {
  if (column.kind === "name") return nameCell(run, shared);
  const value = column.get(data.runs[run]);
  if (column.kind === "status") return element("td", {}, element("span", { class: `status ${value}` }, value));
  if (column.kind === "text") return element("td", { class: "text", title: value }, value);
  const classes = [typeof value === "number" ? "number" : ""];
  if (Number.isFinite(value) && best.get(data.runs[run].testSet) === value) classes.push("best");
  if (column.kind === "delta") {
    if (run === data.baseline) return element("td", { class: "number muted" }, "baseline");
    const direction = data.directions[data.metric];
    if (value && direction) classes.push((value < 0) === (direction === "lower") ? "good" : "bad");
    return element("td", { class: classes.join(" ") }, Number.isFinite(value) ? ofDifference(value) : "");
  }
  return element("td", { class: classes.join(" ") }, column.shown && typeof value === "number" ? column.shown(value) : shownText(value));
}

function headingOf(column) {
  const button = element("button", { type: "button" }, column.title);
  const cell = element("th", { scope: "col", class: column.kind === "name" ? "name" : "" }, button);
  if (column.id === state.sort) cell.setAttribute("aria-sort", state.ascending ? "ascending" : "descending");
  if (data.runs.some((run) => typeof column.get(run) === "number")) cell.className = "number";
  button.addEventListener("click", () => {
    const higher = data.directions[column.kind === "delta" ? data.metric : column.best] === "higher"; // the best come first
    state.ascending = state.sort === column.id ? !state.ascending : !higher && column.title !== "started";
    state.sort = column.id;
    drawTable();
    [...document.querySelectorAll("#run-table th button")].find((each) => each.textContent === column.title).focus();
  });
  return cell;
}

function forPaper(columns) {
  let room = PAPER_PARAMETERS;
  return columns.filter((column) => column.list !== PARAMETERS || room-- > 0).slice(0, PAPER_COLUMNS);
}

function drawTable() {
  const chosen = allColumns().filter(isShown), shownColumns = state.paper ? forPaper(chosen) : chosen;
  byId("run-table").tHead.replaceChildren(element("tr", {}, ...shownColumns.map(headingOf)));
  const runs = visibleRuns(shownColumns);
  const best = shownColumns.map(bestOf);
  const shared = new Set((data.runs.length > 1 ? data.runs[0].tags : []).filter((tag) => data.runs.every((run) => run.tags.includes(tag))));
  const rows = (state.every ? runs : runs.slice(0, ROWS)).map((run) =>
    element("tr", {}, ...shownColumns.map((column, place) => cellOf(column, run, best[place], shared))));
  if (rows.length < runs.length) {
    const more = element("button", { type: "button", id: "more-runs" }, `${runs.length - rows.length} more`);
    more.addEventListener("click", () => { state.every = true; drawTable(); });
    rows.push(element("tr", {}, element("td", { colSpan: shownColumns.length }, more)));
  }
  byId("run-table").tBodies[0].replaceChildren(...rows);
  byId("count").textContent = `${runs.length} of ${data.runs.length} runs`;
  byId("run-note").textContent = shownColumns.length < chosen.length
    ? `Printed: ${shownColumns.length} of ${chosen.length} columns; choose others by unticking some of these under Columns.`
    : state.paper ? "" : "Ticked runs are drawn below. Click a heading to sort, a name to see the run.";
}

byId("filter").addEventListener("input", drawTable);
