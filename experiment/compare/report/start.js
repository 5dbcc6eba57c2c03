"use strict";
// Wiring. Each chart is drawn in an idle moment of its own, so that a click is never kept waiting by more than one.
Object.assign(SECTIONS, { one: drawOne, answers: drawGroups, curves: drawCurves, parameters: () => { drawParallel(); drawImportance(); } });
const whenIdle = window.requestIdleCallback ? (task) => requestIdleCallback(task, { timeout: 1000 }) : (task) => setTimeout(task, 50);
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting || !SECTIONS[target.id]) continue;
    watcher.unobserve(target);
    whenIdle(() => { drawn.add(target.id); SECTIONS[target.id]?.(); });
  }
}, { rootMargin: "300px" });

// What depends on the runs that there are, not on what is chosen of them.
function settle() {
  byId("by-group-label").hidden = !data.groups.some((group) => group.values.length > 1);
  document.querySelector(".back").hidden = data.runs.length === 1;
  drawColumnChooser();
  drawMetricChooser();
}

function start() {
  if (data.groups.some((group) => group.values.length > 1)) {
    data.groups.slice(0, 6).forEach((group) => group.runs.forEach((run) => state.shown.add(run)));
    byId("by-group").checked = true;
  }
  choosePair();
  settle();
  drawTable();
  for (const id of ["by-group", "log"]) byId(id).addEventListener("change", () => redraw("curves"));
  byId("smoothing").addEventListener("input", () => redraw("curves"));
  route();
  if (document.body.dataset.version) follow(document.body.dataset.version);
}

// The chart of parameters is as wide as its axes need, so it does not follow the window by itself.
let resized = 0;
window.addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => redraw("parameters"), 200);
});

// Plotly blocks the page for a second while it starts: the first click shall not wait for that.
const GRACE = 400; // milliseconds
let plotlyIsThere = false;
function loadPlotly() {
  if (plotlyIsThere) return;
  plotlyIsThere = true;
  document.head.append(element("script", { textContent: byId("plotly").textContent }));
  ["one", ...OTHERS].forEach((id) => watcher.observe(byId(id)));
}
start();

// Paper cannot be scrolled: all is drawn before it is printed, light and as wide as a page.
const PAPER = 980; // pixels across an A4 page that lies
let shade = null;
window.addEventListener("beforeprint", () => {
  loadPlotly();
  shade = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  state.paper = state.every = true;
  drawTable();
  for (const id of Object.keys(SECTIONS)) {
    if (byId(id).hidden) continue;
    watcher.unobserve(byId(id));
    drawn.add(id);
    SECTIONS[id]();
  }
  document.querySelectorAll(".js-plotly-plot").forEach((plot) => {
    if (!plot.layout) return;
    const across = plot.closest(".three") ? 3 : plot.closest(".two, .grid:not(.single)") ? 2 : 1;
    Plotly.relayout(plot, { width: PAPER / across - 10 });
  });
});
window.addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = shade;
  state.paper = state.every = false;
  drawTable();
  drawn.forEach(redraw);
  document.querySelectorAll(".js-plotly-plot").forEach((plot) => { if (plot.layout && plot.offsetParent) Plotly.Plots.resize(plot); });
});
window.addEventListener("load", () => setTimeout(() => whenIdle(loadPlotly), GRACE));
