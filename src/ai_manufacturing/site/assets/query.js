"use strict";

// Everything here is loaded by this page alone; the engine when the first query is run.
const questions = json(document.getElementById("questions"));
const sql = document.getElementById("sql");
const state = document.getElementById("query-status");
const SHOWN = 1000; // more rows take seconds to lay out; the CSV has all
const [kind, choice, against] = ["kind", "number", "against"].map((name) => document.getElementById(`chart-${name}`));
const progress = document.getElementById("loaded");
const queryWords = json(document.getElementById("query-words"));
const phrase = (key, given = {}) => queryWords[key][language() === "en" ? 0 : 1].replace(/{(\w+)}/g, (_, name) => given[name]);
const withheld = json(document.getElementById("withheld"));
const NAMED = 12; // parts of the copy in a sentence
let connection;
let unpruned; // the optimizers of DuckDB but those that prune columns
let rows = [];
let types = {};

function load(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src: source, onload: resolve, onerror: () => reject(new Error(`${source} is not there`)) });
    document.head.append(script);
  });
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

// Fetch what is packed, telling how much has come, and unpack it, unless the server has told the browser to.
async function fetchPacked(names, base) {
  const sizes = new Map();
  let come = 0;
  const tell = () => {
    const all = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    Object.assign(progress, { hidden: false, max: all, value: come });
    state.value = phrase("loading_release", { come: megabytes(come), all: megabytes(all) });
  };
  const responses = await Promise.all(names.map((name) => fetch(new URL(`${name}.gz`, base))));
  return Promise.all(
    responses.map(async (response) => {
      if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
      sizes.set(response.url, Number(response.headers.get("content-length")));
      const chunks = [];
      for (const reader = response.body.getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) break;
        chunks.push(value);
        come += value.length;
        tell();
      }
      const packed = new Blob(chunks);
      const isPacked = chunks[0]?.[0] === 0x1f && chunks[0]?.[1] === 0x8b;
      return new Response(isPacked ? packed.stream().pipeThrough(new DecompressionStream("gzip")) : packed).arrayBuffer();
    }),
  );
}

async function open() {
  const base = new URL("query_page/", location.href);
  const [[engineCode, release]] = await Promise.all([fetchPacked(["duckdb.wasm", "ai_manufacturing.duckdb"], base), load("query_page/duckdb.js")]);
  const { AsyncDuckDB, ConsoleLogger, LogLevel } = duckdbWasm;
  const engine = new AsyncDuckDB(new ConsoleLogger(LogLevel.WARNING), new Worker(new URL("duckdb-worker.js", base)));
  const code = URL.createObjectURL(new Blob([engineCode], { type: "application/wasm" }));
  await engine.instantiate(code);
  URL.revokeObjectURL(code);
  // A query may name an address: then only the parts that it reads are fetched.
  await engine.open({ filesystem: { reliableHeadRequests: true, allowFullHTTPReads: false, forceFullHTTPReads: false } });
  await engine.registerFileBuffer("ai_manufacturing.duckdb", new Uint8Array(release));
  const opened = await engine.connect();
  // The page asks nothing of the network, not even for an extension.
  await opened.query("set autoinstall_known_extensions = false; set autoload_known_extensions = false");
  await opened.query("attach 'ai_manufacturing.duckdb' as ai_manufacturing (read_only)");
  await opened.query("use ai_manufacturing.marts");
  const optimizers = valuesOf(await opened.query("from duckdb_optimizers()")).map(({ name }) => name);
  unpruned = optimizers.filter((name) => !["cte_inlining", "unused_columns"].includes(name)).join(",");
  return opened;
}

// A text of SQL as its statements: a semicolon in quotes, dollar quotes or a comment does not end one.
function statementsOf(text) {
  const found = [];
  let statement = "";
  const token = /\be'(?:[^'\\]|\\[^]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$)[^]*?\1|--[^\n]*|\/\*[^]*?\*\/|;|[^]/gi;
  for (const [part] of text.matchAll(token)) {
    if (part === ";") {
      found.push(statement);
      statement = "";
    } else statement += part;
  }
  // What holds nothing but comments is no statement.
  return [...found, statement].filter((one) => one.replace(/--[^\n]*|\/\*[^]*?\*\//g, "").trim());
}

const valuesOf = (result) => {
  const names = result.schema.fields.map((field) => field.name);
  return result.toArray().map((row) => Object.fromEntries(names.map((name) => [name, row[name]])));
};

// The scans of a statement by DuckDB's plan, each with table and columns; none of a statement that has no plan.
async function scansOf(statement) {
  await connection.query(`set disabled_optimizers = '${unpruned}'`);
  try {
    const [plan] = valuesOf(await connection.query(`explain (format json) ${statement}`));
    const scans = (operators) => operators.flatMap(({ children = [], extra_info: facts = {} }) => [...(facts.Table ? [facts] : []), ...scans(children)]);
    return scans(JSON.parse(plan.explain_value)).map((facts) => ({ table: facts.Table.replaceAll('"', ""), columns: [facts.Projections ?? []].flat() }));
  } catch {
    return []; // running it says what is wrong with it
  } finally {
    await connection.query("reset disabled_optimizers");
  }
}

// The parts that the copy withholds of the tables and columns that a statement reads; who reads all columns asks for those that are not there too.
async function touched(statement) {
  if (!withheld.parts.length) return [];
  const scans = await scansOf(statement);
  return withheld.parts.filter(({ table, column, width }) =>
    scans.some((scan) => `.${scan.table}`.endsWith(`.${table}`) && (column === null || scan.columns.includes(column) || scan.columns.length === width)),
  );
}

// The columns that an error does not find, because they were left out of the copy.
const missing = ({ message }) => {
  const named = [...message.split("\n")[0].matchAll(/"([^"]+)"/g)].map(([, name]) => name.toLowerCase());
  return withheld.parts.filter(({ column, isLeftOut }) => isLeftOut && named.includes(column));
};

function withheldSentence(parts) {
  const tablesFirst = [...parts].sort((one, other) => (one.column !== null) - (other.column !== null));
  const named = tablesFirst.slice(0, NAMED).map(({ table, column, extent }) => `${[table, column].filter(Boolean).join(".")} (${extent[language() === "en" ? 0 : 1]})`);
  if (parts.length > NAMED) named.push(phrase("withheld_more", { count: parts.length - NAMED }));
  return phrase("withheld_from_copy", { what: named.join(language() === "en" ? ", " : "、"), providers: withheld.providers });
}

// DuckDB writes each value as text: JavaScript has no type for half of its types, and would round others.
const texts = (limit) => connection.query(`select columns(*)::varchar from temp.query_result ${limit}`).then(valuesOf);

// Run one statement and return how many rows it gives; a query's rows go to a temporary table, where they keep their types.
async function answer(statement) {
  try {
    await connection.query(`create or replace temp table query_result as from (${statement}\n)`);
  } catch {
    // It is no query, or it is wrong: run as it is written, so that a message has the places of what was written.
    const written = await connection.query(statement);
    rows = valuesOf(written).map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value === null ? null : String(value)])));
    types = {};
    return rows.length;
  }
  const described = valuesOf(await connection.query("select column_name, data_type from duckdb_columns() where database_name = 'temp' and table_name = 'query_result'"));
  types = Object.fromEntries(described.map((column) => [column.column_name, column.data_type]));
  rows = await texts(`limit ${SHOWN}`);
  return Number(valuesOf(await connection.query("select count(*) as count from temp.query_result"))[0].count);
}

// What tells the rows apart: as many of the columns as it takes, or none if they do not.
function labelsOf(columns, x) {
  for (let count = 1; count <= columns.length; count += 1) {
    const labels = rows.map((row) => columns.slice(0, count).map((name) => row[name] ?? "").join(", "));
    if (new Set(labels.map((label, i) => `${label} ${x ? rows[i][x] : ""}`)).size === rows.length) return labels;
  }
}

const isNumber = (name) => /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|U?INTEGER|FLOAT|DOUBLE|DECIMAL.*)$/.test(types[name] ?? "");

// The columns of an interval, such as conf_low and conf_high.
function boundsOf(names) {
  for (const low of names.filter((name) => /(^|_)low(er)?(_|$)/.test(name))) {
    const high = low.replace(/lower/, "upper").replace(/low(?=_|$)/, "high");
    if (high !== low && names.includes(high)) return [low, high];
  }
}

const options = (select, entries) => select.replaceChildren(...entries.map(([value, text = value]) => new Option(text, value)));

// Offer the numbers of a result to be drawn; places and ranks come last.
function offer() {
  const numbers = Object.keys(rows[0] ?? {}).filter(isNumber);
  const names = numbers.filter((name) => name !== "year");
  const isPlace = (name) => /(year|rank|order|number|step)$/.test(name);
  options(choice, [...names.filter((name) => !isPlace(name)), ...names.filter(isPlace)].map((name) => [name]));
  options(against, [...numbers].reverse().map((name) => [name]));
  const kinds = ["auto", ...(numbers.length > 1 ? ["scatter"] : []), ...(boundsOf(numbers) ? ["intervals"] : [])];
  options(kind, kinds.map((name) => [name, phrase(`chart_${name}`)]));
}

const number = (value) => (value === null || value === undefined ? null : Number(value));
const quantity = (title) => ({ type: "quantitative", title, scale: { zero: false } });

// Each row a point: one number against another.
function scatter(names) {
  const words = names.filter((name) => !isNumber(name) || name === "year");
  const table = rows.map((row) => ({ x: number(row[against.value]), y: number(row[choice.value]), label: words.map((name) => row[name] ?? "").join(", ") }));
  return {
    table,
    described: `${choice.value} / ${against.value}`,
    shape: {
      height: 360,
      mark: { type: "point", filled: true, opacity: 0.6 },
      encoding: { x: { field: "x", ...quantity(against.value) }, y: { field: "y", ...quantity(choice.value) }, tooltip: ["label", "x", "y"].map((field) => ({ field, title: { label: words.join(", "), x: against.value, y: choice.value }[field] })) },
    },
  };
}

// Each row a line from its lower to its upper bound, with the chosen number on it.
function intervals(names, labels) {
  const bounds = boundsOf(names);
  const table = rows.map((row, i) => ({ y: number(row[choice.value]), low: number(row[bounds[0]]), high: number(row[bounds[1]]), label: labels[i] }));
  const label = { field: "label", type: "nominal", sort: null, title: null, axis: { labelLimit: { expr: "windowSize()[0] < 600 ? 150 : 420" } } };
  return {
    table,
    described: `${choice.value} [${bounds.join(", ")}]`,
    shape: {
      height: 20 * rows.length,
      encoding: { y: label },
      layer: [
        { mark: { type: "rule", strokeWidth: 2 }, encoding: { x: { field: "low", ...quantity(choice.value) }, x2: { field: "high" } } },
        { mark: { type: "point", filled: true, size: 50, opacity: 1 }, encoding: { x: { field: "y", ...quantity(choice.value) } } },
      ],
    },
  };
}

// Lines over the years, or bars.
function linesOrBars(words, labels, x) {
  const y = choice.value;
  const table = rows.map((row, i) => ({ x: number(row[x]), y: number(row[y]), label: labels[i] }));
  const value = { field: "y", type: "quantitative", title: y };
  const label = { field: "label", type: "nominal", sort: null, title: null };
  const lines = new Set(labels).size;
  const shape = x
    ? { height: 240, mark: { type: "line", point: true }, encoding: { x: { field: "x", type: "quantitative", title: x, axis: { format: "d", tickMinStep: 1 } }, y: value, ...(lines > 1 && { color: { ...label, legend: lines > 40 ? null : { orient: "top", columns: 4, symbolLimit: 40 } } }) } }
    : { height: 20 * rows.length, mark: "bar", encoding: { y: { ...label, axis: { labelLimit: { expr: "windowSize()[0] < 600 ? 150 : 420" } } }, x: value } };
  return { table, described: `${y} / ${x ?? words.join(", ")}`, shape };
}

async function draw() {
  const element = document.getElementById("result-chart");
  const names = Object.keys(rows[0] ?? {});
  const isScatter = kind.value === "scatter";
  const x = kind.value === "auto" && names.includes("year") && isNumber("year") ? "year" : undefined;
  const words = names.filter((name) => !isNumber(name) || (kind.value === "intervals" && name === "year"));
  const labels = x && new Set(rows.map((row) => row[x])).size === rows.length ? rows.map(() => "") : labelsOf(words, x);
  const drawn = choice.value && rows.length > 1 && (isScatter || (labels && rows.length <= 400));
  element.hidden = !drawn;
  document.getElementById("chart-against-choice").hidden = !isScatter;
  document.getElementById("chart-choice").hidden = !drawn && kind.length < 2;
  if (!drawn) return;
  const { table, described, shape } = isScatter ? scatter(names) : kind.value === "intervals" ? intervals(names, labels) : linesOrBars(words, labels, x);
  element.setAttribute("aria-label", described);
  await library;
  await vegaEmbed(
    element.firstElementChild,
    { width: "container", autosize: { type: "fit-x", contains: "padding" }, data: { name: "table" }, datasets: { table }, ...shape },
    { actions: false, renderer: "svg", ast: true },
  );
}

// Nothing of the last query is left beside the words of this one.
function clear() {
  rows = [];
  types = {};
  state.value = "";
  document.getElementById("result").replaceChildren();
  document.getElementById("result-csv").disabled = true;
  document.getElementById("result-chart").hidden = document.getElementById("chart-choice").hidden = true;
}

const count = (number) => number.toLocaleString("en-US");

async function run() {
  const button = document.getElementById("run");
  if (button.disabled) return;
  button.disabled = true;
  clear();
  address.set({ sql: sql.value });
  try {
    const statements = statementsOf(sql.value);
    if (!statements.length) return;
    connection ??= await open();
    progress.hidden = true;
    state.value = phrase("running");
    let found = 0;
    const parts = new Set();
    for (const statement of statements) {
      const read = await touched(statement);
      // no row of such a table is here, so that any result would be wrong
      const lost = read.filter(({ column, isAll }) => column === null && isAll);
      if (lost.length) throw new Error(withheldSentence(lost));
      for (const part of read) parts.add(part);
      found = await answer(statement);
    }
    const said = [phrase("rows_found", { count: count(found) })];
    if (found > rows.length) said.push(phrase("rows_shown", { count: count(rows.length) }));
    if (statements.length > 1) said.push(phrase("statements_run", { count: statements.length }));
    if (parts.size) said.push(withheldSentence([...parts]));
    state.value = said.join(language() === "en" ? "; " : "；");
    document.getElementById("result").replaceChildren(tableOf(rows, isNumber));
    document.getElementById("result-csv").disabled = !rows.length;
    offer();
    await draw();
  } catch (error) {
    clear();
    const columns = missing(error);
    state.value = columns.length ? withheldSentence(columns) : error.message;
  } finally {
    progress.hidden = true;
    button.disabled = false;
  }
}

async function download() {
  save(fileName("query", "csv"), "text/csv", csv(Object.keys(types).length ? await texts("") : rows));
}

// ---------------------------------------------------------------- tables and columns

function made(name, text, properties = {}) {
  return Object.assign(document.createElement(name), { textContent: text, ...properties });
}

// A click writes the name where the cursor is.
function writes(name) {
  const button = made("button", name, { type: "button", className: "name" });
  button.addEventListener("click", () => {
    sql.setRangeText(name, sql.selectionStart, sql.selectionEnd, "end");
    sql.focus();
  });
  return button;
}

const schema = document.getElementById("schema");
const schemaFilter = document.getElementById("schema-filter");

// The tables that hold all words sought, in their own name or in one column; the columns of a table when it is opened.
function tree() {
  const sought = schemaFilter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (text) => sought.every((word) => text.toLowerCase().includes(word));
  const branches = json(document.getElementById("tables")).flatMap(([name, rowCount, comment, columns, extent]) => {
    const shown = holds(name) ? columns : columns.filter((column) => holds([name, ...column].join(" ")));
    if (!shown.length && !holds(name)) return [];
    const branch = made("details", "");
    const summary = made("summary", "");
    summary.append(made("code", name), extent ? ` (${phrase("withheld_part", { extent: extent[language() === "en" ? 0 : 1] })})` : ` (${count(rowCount)})`);
    branch.append(summary, writes(name));
    if (comment) branch.append(made("p", comment, { className: "note en", lang: "en" }));
    const fill = () => {
      if (!branch.open || branch.querySelector("ul")) return;
      const list = made("ul", "");
      for (const [column, type, unit, en, zh] of shown) {
        const item = made("li", "");
        item.append(writes(column), ` ${[type, unit].filter(Boolean).join(", ")}: ${(language() === "en" ? en : zh) ?? ""}`);
        list.append(item);
      }
      branch.append(list);
    };
    branch.addEventListener("toggle", fill);
    return branch;
  });
  document.getElementById("schema-tree").replaceChildren(...branches);
  if (sought.length && branches.length <= 5) for (const branch of branches) branch.open = true;
}
schema.addEventListener("toggle", () => schema.open && tree());
schemaFilter.addEventListener("input", tree);
document.addEventListener("spoken", () => {
  if (schema.open) tree();
  const chosen = kind.value;
  options(kind, [...kind.options].map(({ value }) => [value, phrase(`chart_${value}`)]));
  kind.value = chosen;
});

const question = document.getElementById("question");
question.addEventListener("change", () => (sql.value = questions[question.value]));
sql.value = address.get("sql") ?? questions[0];
question.value = questions.indexOf(sql.value);
document.getElementById("run").addEventListener("click", run);
for (const select of [kind, choice, against]) select.addEventListener("change", draw);
document.getElementById("share").addEventListener("click", async () => {
  address.set({ sql: sql.value });
  await navigator.clipboard?.writeText(location.href);
  state.value = phrase("link_copied");
});
document.getElementById("result-csv").addEventListener("click", download);
sql.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
if (location.protocol === "file:") {
  document.getElementById("not-served").hidden = false;
  document.getElementById("run").disabled = true;
}
