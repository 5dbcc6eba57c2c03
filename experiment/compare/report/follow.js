"use strict";
// A followed page asks its own server, and nobody else, for what is new; a page in a file never does.
const EVERY = 1000; // milliseconds

// Puts new data in the place of the old; runs are the same ones by their keys.
function renew(news) {
  const keys = data.runs.map((run) => run.key), known = new Set(keys), all = known.size === state.shown.size;
  const shownKeys = new Set([...state.shown].map((run) => keys[run]));
  const chosen = ["first", "second"].map((id) => keys[Number(byId(id).value)]);
  data = news.data;
  state.shown = new Set(everyRun().filter((run) => shownKeys.has(data.runs[run].key) || (all && !known.has(data.runs[run].key))));
  byId("title").textContent = document.title = news.title;
  byId("written").textContent = news.written;
  byId("answers").innerHTML = news.answers; // made and escaped by the template that made the page
  choosePair();
  ["first", "second"].forEach((id, place) => {
    const found = data.runs.findIndex((run) => run.key === chosen[place]);
    if (found >= 0 && data.predictions[found]) byId(id).value = String(found);
  });
  settle();
  drawTable();
  route();
  drawn.forEach(redraw);
}

async function follow(version) {
  const live = byId("live");
  live.hidden = false;
  for (;;) {
    try {
      const answer = await fetch(`news?since=${version}`, { cache: "no-store" });
      if (!answer.ok) throw new TypeError(String(answer.status));
      if (answer.status === 200) {
        const news = await answer.json();
        version = news.version;
        renew(news);
      }
      live.className = "live";
      live.textContent = `live: ${data.runs.filter((run) => run.status === "running").length} running`;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what fetch raises where nobody answers
      live.className = "ended";
      live.textContent = "no longer followed: its command has ended";
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}
