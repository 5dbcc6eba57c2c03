"use strict";
// The filter: words that are looked for everywhere, or the language of `--where`, as store/where.py defines it.
const CHOICES = { status: ["running", "finished", "failed", "interrupted", "killed"], mode: ["online", "offline", "disabled"] };
const ALIASES = { tag: "tags", run: "key", "process-s": "seconds" };
const UNITS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
const TOKEN = /\s*(?:(?<operator>!=|!~|<=|>=|==|=|<|>|~)|(?<paren>[()])|(?<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<word>[^\s()=!<>~"']+)|(?<other>\S))/gsu;
const DEEPEST = 50;

class Refused extends Error {}
function refuse(text, [start, end], reason) {
  throw new Refused(`${reason}\n  ${text.replace(/[\n\t]/g, " ")}\n  ${" ".repeat(start)}${"^".repeat(Math.max(1, end - start))}`);
}

const unquoted = ({ kind, text }) => (kind === "word" ? text : text.slice(1, -1).replace(/\\(.)/gs, "$1"));

// Returns the tree of an expression: { name, operator, value } | { not } | { all } | { any }.
function parseWhere(text) {
  const whole = text.trimEnd(), tokens = [];
  for (const found of whole.matchAll(TOKEN)) {
    const [kind, part] = Object.entries(found.groups).find(([, each]) => each !== undefined);
    tokens.push({ kind, text: part, place: [found.index + found[0].length - part.length, found.index + found[0].length] });
  }
  tokens.push({ kind: "end", text: "", place: [whole.length, whole.length] });
  let next = 0, depth = 0;
  const is = (kind, ...texts) => tokens[next].kind === kind && texts.includes(tokens[next].text.toLowerCase());
  const wrong = (reason) => refuse(text, tokens[next].place, tokens[next].kind !== "other" ? reason
    : `"'`.includes(tokens[next].text) ? `the quotation mark ${tokens[next].text} has no second one` : `'${tokens[next].text}' is no operator: there are = != < <= > >= ~ !~`);
  const several = (word, field, part) => {
    const parts = [part()];
    while (is("word", word)) { next += 1; parts.push(part()); }
    return parts.length === 1 ? parts[0] : { [field]: parts };
  };
  const expression = () => several("or", "any", () => several("and", "all", factor));
  function factor() {
    depth += 1;
    if (depth > DEEPEST) wrong(`it is nested deeper than ${DEEPEST}`);
    let found;
    if (is("word", "not")) { next += 1; found = { not: factor() }; } else found = is("paren", "(") ? group() : condition();
    depth -= 1;
    return found;
  }
  function group() {
    const opened = tokens[next++], found = expression();
    if (tokens[next].kind === "end") refuse(text, opened.place, "this '(' is never closed");
    if (!is("paren", ")")) wrong("'and', 'or' or ')' is missing here");
    next += 1;
    return found;
  }
  function condition() {
    if (!["word", "quoted"].includes(tokens[next].kind) || is("word", "and", "or", "not")) wrong("a condition is missing here, such as optimizer=adam, test_accuracy>0.97 or tag:best");
    const name = tokens[next++];
    if (name.kind === "word" && /^tag:/i.test(name.text)) {
      let value = name.text.slice(4);
      if (!value && tokens[next].kind === "quoted") value = unquoted(tokens[next++]);
      if (!value) wrong("a tag is missing here");
      return { name: "tag", operator: "=", value, place: name.place, valuePlace: name.place };
    }
    if (tokens[next].kind !== "operator") return { name: unquoted(name), operator: "", value: "", place: name.place };
    const operator = tokens[next++].text.replace("==", "=");
    if (!["word", "quoted"].includes(tokens[next].kind)) wrong("a value is missing here; quote one that holds spaces or signs");
    const value = tokens[next++];
    return { name: unquoted(name), operator, value: unquoted(value), place: name.place, valuePlace: value.place };
  }
  const found = expression();
  if (tokens[next].kind !== "end") wrong(tokens[next].text === ")" ? "a ')' too many" : "'and' or 'or' is missing here");
  return found;
}

const NOT_FINITE = { NaN: NaN, Infinity: Infinity, "-Infinity": -Infinity };
const spelled = (name) => name.toLowerCase().replaceAll("_", "-");

// All columns of the runs by their spelled names: facts, parameters, results; see store/columns.py.
function whereColumns() {
  const fact = (name) => (run) => run[name] || null;
  const columns = new Map([["key", (run) => run.key], ["name", (run) => run.name], ["status", (run) => run.status], ["mode", (run) => run.mode],
    ["tags", (run) => (run.tags.length ? run.tags : null)], ["note", fact("note")], ["started", fact("started")], ["age", (run) => (run.started ? Date.now() / 1000 - run.started : null)],
    ["seconds", (run) => run.results.seconds], ["epoch", (run) => run.results.epoch], ["project", fact("project")], ["workspace", fact("workspace")], ["commit", fact("commit")]]);
  const facts = new Set(columns.keys()), finite = (value) => (value in NOT_FINITE ? NOT_FINITE[value] : value);
  const add = (name, kind, get) => columns.set(columns.has(name) ? `${kind} ${name}` : name, get);
  for (const name of new Set(data.runs.flatMap((run) => Object.keys(run.params)))) add(name, "parameter", (run) => run.params[name]);
  for (const name of new Set(data.runs.flatMap((run) => Object.keys(run.results)))) if (!facts.has(name)) add(name, "result", (run) => finite(run.results[name]));
  return new Map([...columns].map(([name, get]) => [spelled(name), { name, get }]));
}

function readNumber(text) {
  if (/^[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Array(2).fill(Number(text.replaceAll("_", "")));
  const word = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (!word) throw new Error("should be a number");
  return Array(2).fill(word[2][0].toLowerCase() === "n" ? NaN : word[1] === "-" ? -Infinity : Infinity);
}

function readAge(text) {
  const found = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text.toLowerCase());
  if (!found) throw new Error("should be an age, such as 90s, 30m, 12h, 7d or 2w");
  return Array(2).fill(Number(found[1]) * UNITS[found[2]]);
}

function readTime(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?$/.exec(text);
  const [year, month, day, ...time] = (found || []).slice(1).map((part) => (part === undefined ? undefined : Number(part)));
  const begin = found && new Date(year, month - 1, day, ...time.map((part) => part ?? 0));
  if (!begin || begin.getDate() !== day || begin.getMonth() !== month - 1) throw new Error("should be a day or a time, such as 2026-11-26 or 2026-11-26T14:30");
  return time[0] === undefined ? [begin / 1000, new Date(year, month - 1, day + 1) / 1000 - 1e-6] : [begin / 1000, begin / 1000];
}
const READERS = { started: readTime, age: readAge, seconds: readNumber, epoch: readNumber };

const textsOf = (found) => (Array.isArray(found) ? found : [found]).map(String);

function spanOf({ operator, value, place, valuePlace }, { name, get }, text) {
  const ordered = "<>".includes(operator[0]), choices = CHOICES[name];
  if (choices && !ordered && !choices.includes(value)) refuse(text, valuePlace, `${name} is never '${value}': it is ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`);
  const kinds = new Set(data.runs.map(get).filter((found) => found !== null && found !== undefined).map((found) => typeof found));
  if (ordered && kinds.size && !kinds.has("number")) refuse(text, place, `${name} holds no numbers, and ${operator} compares numbers: ~ looks for a part of a text`);
  try {
    return (READERS[name] || readNumber)(value);
  } catch (error) {
    if (READERS[name] || ordered || (kinds.size === 1 && kinds.has("number"))) refuse(text, valuePlace, `${name} = '${value}' ${error.message}`);
    return [NaN, NaN];
  }
}

function testOf(condition, text, columns) {
  const { name, operator, value } = condition, wanted = spelled(name), key = ALIASES[wanted] || wanted;
  const column = columns.get(key) || (data.declared.includes(key) ? { name: key, get: () => null } : null);
  if (!column) refuse(text, condition.place, `no column '${name}': there are ${[...columns.values()].map((each) => each.name).join(", ")}`);
  const { get } = column, missing = (found) => found === null || found === undefined;
  if (!operator) return (run) => !missing(get(run)) && get(run) !== false;
  const negative = operator[0] === "!";
  const negated = (holds) => (run) => (missing(get(run)) ? negative && ["tag", "tags", "note"].includes(name.toLowerCase()) : holds(get(run)) !== negative);
  if (operator.endsWith("~")) return negated((found) => textsOf(found).some((each) => each.toLowerCase().includes(value.toLowerCase())));
  const [low, high] = spanOf(condition, column, text), number = (found) => typeof found === "number";
  if (operator === "<") return (run) => number(get(run)) && get(run) < low;
  if (operator === "<=") return (run) => number(get(run)) && get(run) <= high;
  if (operator === ">") return (run) => number(get(run)) && get(run) > high;
  if (operator === ">=") return (run) => number(get(run)) && get(run) >= low;
  return negated((found) => {
    if (typeof found === "boolean") return value.toLowerCase() === String(found);
    if (number(found)) return low <= found && found <= high;
    return column.name === "key" ? found.startsWith(value) : textsOf(found).includes(value);
  });
}

// Returns whether a run is meant by an expression; throws Refused where that is wrong.
function compileWhere(text) {
  const columns = whereColumns();
  const build = (part) => {
    if (part.not) { const inner = build(part.not); return (run) => !inner(run); }
    if (part.all) { const all = part.all.map(build); return (run) => all.every((test) => test(run)); }
    if (part.any) { const any = part.any.map(build); return (run) => any.some((test) => test(run)); }
    return testOf(part, text, columns);
  };
  return build(parseWhere(text));
}

function textOf(run) {
  return [run.key, run.name, run.status, run.dataset, run.note, ...run.tags, ...Object.entries(run.params).map(([name, value]) => `${name} ${value}`)].join(" ").toLowerCase();
}

// What holds an operator, a tag: or a bracket is an expression, and so are names of columns; else it is words.
function filterOf(text) {
  const wanted = text.trim().toLowerCase(), isWhere = /[=<>~()]|(^|\s)tag:/i.test(text);
  try {
    if (wanted) return { matches: compileWhere(text), error: null };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (isWhere) return { matches: () => true, error: error.message };
  }
  return { matches: (run) => textOf(run).includes(wanted), error: null };
}
