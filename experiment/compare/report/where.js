"use strict";
// The filter: words that are looked for everywhere, or conditions as `--where` takes them.
function textOf(run) {
  return [run.key, run.name, run.status, run.dataset, run.note, ...run.tags, ...Object.entries(run.params).map(([name, value]) => `${name}=${value}`)].join(" ").toLowerCase();
}

function filterOf(text) {
  const wanted = text.trim().toLowerCase();
  return { matches: (run) => !wanted || textOf(run).includes(wanted), error: null };
}
