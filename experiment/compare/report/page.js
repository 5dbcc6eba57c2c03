"use strict";
// What all parts share. Everything that users typed reaches the page by textContent, or through `escaped`.
let data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const PALETTE = ["#3b6fd8", "#e2711d", "#2a9d6f", "#c8344f", "#8557c9", "#1f9bb4", "#b8860b", "#d15ba6", "#6b7a8f", "#7a9a01"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const FIRST_SHOWN = 10;
const NARROW = 600; // pixels

const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const colour = (run) => PALETTE[run % PALETTE.length];
const dash = (run) => DASHES[Math.floor(run / PALETTE.length) % DASHES.length];
const labelOf = (run) => `${data.runs[run].name} (${data.runs[run].key.slice(0, 8)})`;
const number = (value) => (typeof value === "string" && value !== "" ? Number(value) : value);
const isEmpty = (value) => value === null || value === undefined || value === "" || Number.isNaN(value);
const everyRun = () => data.runs.map((_, run) => run);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)}\u00a0%`;

// Orders values of the metric, the best first; runs without one last.
function byMetric(a, b) {
  const [first, second] = [data.runs[a].value, data.runs[b].value];
  if (!Number.isFinite(first) || !Number.isFinite(second)) return Number.isFinite(second) - Number.isFinite(first);
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
const ofMetric = (value) => (value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < 10) ? value.toFixed(4) : shownText(value));
// All differences of a column alike: to four places, or to three digits where they are smaller than that.
const ofDifference = (value) => `${value > 0 ? "+" : ""}${value === 0 || Math.abs(value) >= 0.00005 ? value.toFixed(4) : value.toPrecision(2)}`;

function shownText(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return typeof value === "object" ? JSON.stringify(value) : String(value);
  return Math.abs(value) < 1 && String(value).length > 6 && Math.abs(value) >= 0.001 ? value.toFixed(4) : String(Number(value.toPrecision(4)));
}

function clock(seconds) {
  if (!seconds) return "";
  const at = new Date(1000 * seconds), two = (value) => String(value).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor((whole % 3600) / 60);
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

// The page in Comet of a run; only what a browser opens as a page, whatever stands in the record.
function cometLink(run, text) {
  const url = data.runs[run].url;
  if (!/^https?:\/\//.test(url || "")) return null;
  return element("a", { class: "comet", href: url, target: "_blank", rel: "noreferrer", title: `${data.runs[run].name} in Comet` }, text);
}

// The runs that are drawn at first: all of a few; of many the baseline and the best.
function firstShown() {
  const all = everyRun();
  if (all.length <= FIRST_SHOWN) return new Set(all);
  const ranked = all.filter((run) => Number.isFinite(data.runs[run].value) && run !== data.baseline).sort(byMetric);
  return new Set([data.baseline, ...ranked.slice(0, FIRST_SHOWN - 1)]);
}

const state = { shown: firstShown(), sort: null, ascending: true, columns: new Map(), metrics: null, normalised: false, run: null, every: false, paper: false };

function compareCells(a, b) {
  if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

// Fills a menu with titled lists of boxes to tick: [title, [[name, is it ticked, told of its change]]].
function fillChoices(id, lists) {
  byId(id).replaceChildren(...lists.filter(([, entries]) => entries.length).map(([title, entries]) => element("fieldset", {}, element("legend", {}, title),
    ...entries.map(([name, ticked, change]) => {
      const box = element("input", { type: "checkbox", checked: ticked });
      box.addEventListener("change", () => change(box.checked));
      return element("label", {}, box, " ", name);
    }))));
}

document.addEventListener("click", (event) => {
  document.querySelectorAll("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelectorAll("details.menu[open]").forEach((menu) => { menu.open = false; menu.firstElementChild.focus(); });
});

// Charts are drawn when they come near the window, and again when what they show has changed.
const SECTIONS = {};
const drawn = new Set();
const redraw = (section) => { if (drawn.has(section) && !byId(section).hidden) SECTIONS[section](); };

document.documentElement.dataset.theme = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  drawn.forEach(redraw);
});
