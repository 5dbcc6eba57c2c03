"use strict";
// Everything that users typed reaches the page by textContent, or through `escaped` into Plotly's labels.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const PALETTE = ["#3b6fd8", "#e2711d", "#2a9d6f", "#c8344f", "#8557c9", "#1f9bb4", "#b8860b", "#d15ba6", "#6b7a8f", "#7a9a01"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const FIRST_SHOWN = 10;

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const colour = (run) => PALETTE[run % PALETTE.length];
const dash = (run) => DASHES[Math.floor(run / PALETTE.length) % DASHES.length];
const labelOf = (run) => `${data.runs[run].name} (${data.runs[run].key.slice(0, 8)})`;
const number = (value) => (typeof value === "string" && value !== "" ? Number(value) : value);
// Orders values of the metric, the best first; runs without one last.
function byMetric(a, b) {
  const [first, second] = [data.runs[a].value, data.runs[b].value];
  if (first === null || second === null) return (first === null) - (second === null);
  return data.directions[data.metric] === "lower" ? first - second : second - first;
}

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const rounded = (value) => (Math.abs(value) >= 10 ? value.toFixed(1) : shownText(value));
const ofMetric = (value) => (Math.abs(value) >= 0.001 && Math.abs(value) < 10 ? value.toFixed(4) : shownText(value));

function shownText(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return typeof value === "object" ? JSON.stringify(value) : String(value);
  return Math.abs(value) < 1 && String(value).length > 6 && Math.abs(value) >= 0.001 ? value.toFixed(4) : String(Number(value.toPrecision(4)));
}

// The runs that are drawn at first: all of a few; of many the baseline and the best.
function firstShown() {
  const all = data.runs.map((_, run) => run);
  if (all.length <= FIRST_SHOWN) return new Set(all);
  const ranked = all.filter((run) => data.runs[run].value !== null && run !== data.baseline).sort(byMetric);
  return new Set([data.baseline, ...ranked.slice(0, FIRST_SHOWN - 1)]);
}

const state = { shown: firstShown(), sort: null, ascending: true, allParameters: false };

function parameterNames() {
  if (!state.allParameters) return data.parameters;
  return [...new Set(data.runs.flatMap((run) => Object.keys(run.params)))];
}

function columns() {
  const base = data.runs[data.baseline];
  const comparable = (run) => run.value !== null && base.value !== null && (run.testSet === base.testSet || !data.metric.startsWith("test_"));
  const metrics = (place, names) =>
    names
      .filter((name) => data.runs.some((run) => run[place][name] !== undefined))
      .map((name) => ({ title: place === "test" ? name : `${name}, ${place}`, get: (run) => number(run[place][name]), best: name, shown: ofMetric }));
  const tests = [...new Set(data.runs.flatMap((run) => Object.keys(run.test)))].sort();
  const chosen = { title: data.metric, get: (run) => run.value, best: data.metric, shown: ofMetric };
  return [
    { title: "run", get: (run) => run.name, kind: "name" },
    ...(data.runs.every((run) => run.status === "finished") ? [] : [{ title: "status", get: (run) => run.status, kind: "status" }]),
    chosen,
    { title: "Δ", get: (run) => (comparable(run) ? run.value - base.value : null), kind: "delta" },
    ...parameterNames().map((name) => ({ title: name, get: (run) => run.params[name] })),
    ...metrics("test", tests.filter((name) => name !== data.metric)),
    { title: "best epoch", get: (run) => run.best.epoch },
    ...metrics("best", ["val_loss", "val_accuracy"]),
    ...metrics("last", ["val_loss", "val_accuracy"]),
    { title: "seconds", get: (run) => run.seconds, best: "seconds", shown: rounded },
  ];
}

function compareCells(a, b) {
  const empty = (value) => value === null || value === undefined || Number.isNaN(value);
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function visibleRuns(shownColumns) {
  const wanted = byId("filter").value.trim().toLowerCase();
  let runs = data.runs.map((_, run) => run);
  if (wanted) {
    const text = (run) => [run.key, run.name, run.status, run.dataset, ...run.tags, ...Object.entries(run.params).flat()].join(" ");
    runs = runs.filter((run) => text(data.runs[run]).toLowerCase().includes(wanted));
  }
  const column = shownColumns.find((each) => each.title === state.sort);
  if (column) {
    const empty = (value) => value === null || value === undefined;
    runs.sort((a, b) => {
      const [first, second] = [column.get(data.runs[a]), column.get(data.runs[b])];
      const order = compareCells(first, second);
      return empty(first) || empty(second) || state.ascending ? order : -order;
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
    if (Number.isFinite(column.get(run))) values.set(run.testSet, [...(values.get(run.testSet) || []), column.get(run)]);
  }
  values.forEach((all, test) => { if (all.length > 1) best.set(test, (direction === "lower" ? Math.min : Math.max)(...all)); });
  return best;
}

function cellOf(column, run, best) {
  const value = column.get(data.runs[run]);
  if (column.kind === "name") {
    const tick = element("input", { type: "checkbox", checked: state.shown.has(run), "aria-label": `draw ${labelOf(run)}` });
    tick.addEventListener("change", () => {
      state.shown[tick.checked ? "add" : "delete"](run);
      redraw("curves");
    });
    const tags = data.runs[run].tags.filter((tag) => !data.runs.every((each) => each.tags.includes(tag))).map((tag) => element("span", { class: "tag" }, tag));
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = colour(run);
    return element("td", { class: "name" }, tick, " ", swatch, element("b", { title: value }, value), element("span", { class: "key" }, data.runs[run].key.slice(0, 8)), ...tags);
  }
  if (column.kind === "status") return element("td", {}, element("span", { class: `status ${value === "finished" ? "finished" : ""}` }, value));
  const classes = [typeof value === "number" ? "number" : ""];
  if (Number.isFinite(value) && best.get(data.runs[run].testSet) === value) classes.push("best");
  if (column.kind === "delta") {
    if (run === data.baseline) return element("td", { class: "number muted" }, "baseline");
    const direction = data.directions[data.metric];
    if (value && direction) classes.push((value < 0) === (direction === "lower") ? "good" : "bad");
    return element("td", { class: classes.join(" ") }, value > 0 ? `+${shownText(value)}` : shownText(value));
  }
  const text = column.shown && typeof value === "number" ? column.shown(value) : shownText(value);
  return element("td", { class: classes.join(" ") }, text);
}

function drawTable() {
  const shownColumns = columns();
  const head = element("tr");
  for (const column of shownColumns) {
    const button = element("button", { type: "button" }, column.title);
    const cell = element("th", { scope: "col" }, button);
    if (column.title === state.sort) cell.setAttribute("aria-sort", state.ascending ? "ascending" : "descending");
    if (data.runs.some((run) => typeof column.get(run) === "number")) cell.className = "number";
    button.addEventListener("click", () => {
      const again = state.sort === column.title;
      state.ascending = again ? !state.ascending : true;
      state.sort = column.title;
      drawTable();
      [...document.querySelectorAll("#run-table th button")].find((each) => each.textContent === column.title).focus();
    });
    head.append(cell);
  }
  byId("run-table").tHead.replaceChildren(head);
  const runs = visibleRuns(shownColumns);
  const best = shownColumns.map(bestOf);
  const rows = runs.map((run) => element("tr", {}, ...shownColumns.map((column, place) => cellOf(column, run, best[place]))));
  byId("run-table").tBodies[0].replaceChildren(...rows);
  byId("count").textContent = `${runs.length} of ${data.runs.length} runs`;
}

// Charts are drawn when they come near the window, and again when what they show has changed.
const SECTIONS = {};
const drawn = new Set();
const redraw = (section) => { if (drawn.has(section)) SECTIONS[section](); };

document.documentElement.dataset.theme = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  drawn.forEach(redraw);
});
byId("filter").addEventListener("input", drawTable);
byId("all-params").addEventListener("change", (event) => { state.allParameters = event.target.checked; drawTable(); });
drawTable();
