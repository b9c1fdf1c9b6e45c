"use strict";

// Everything here is loaded by this page alone; the engine when the first query is run.
const questions = json(document.getElementById("questions"));
const sql = document.getElementById("sql");
const state = document.getElementById("query-status");
const SHOWN = 500; // more rows take seconds to lay out; the CSV has all
const choice = document.getElementById("chart-number");
let connection;
let rows = [];
let types = {};

function load(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src: source, onload: resolve, onerror: () => reject(new Error(`${source} is not there`)) });
    document.head.append(script);
  });
}

async function open() {
  state.value = language() === "en" ? "Loading the release …" : "正在载入数据……";
  await load("query_page/duckdb.js");
  const { AsyncDuckDB, ConsoleLogger, LogLevel } = duckdbWasm;
  const base = new URL("query_page/", location.href);
  const engine = new AsyncDuckDB(new ConsoleLogger(LogLevel.WARNING), new Worker(new URL("duckdb-worker.js", base)));
  await engine.instantiate(new URL("duckdb.wasm", base).href);
  const release = await (await fetch(new URL("ai_manufacturing.duckdb", base))).arrayBuffer();
  await engine.registerFileBuffer("ai_manufacturing.duckdb", new Uint8Array(release));
  const opened = await engine.connect();
  // The page asks nothing of the network, not even for an extension.
  await opened.query("set autoinstall_known_extensions = false; set autoload_known_extensions = false");
  await opened.query("attach 'ai_manufacturing.duckdb' as ai_manufacturing (read_only)");
  await opened.query("use ai_manufacturing.marts");
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

// Offer the numbers of a result to be drawn; places and ranks come last.
function offer() {
  const names = Object.keys(rows[0] ?? {}).filter((name) => name !== "year" && isNumber(name));
  const isPlace = (name) => /(year|rank|order|number|step)$/.test(name);
  choice.replaceChildren(...[...names.filter((name) => !isPlace(name)), ...names.filter(isPlace)].map((name) => new Option(name)));
}

async function draw() {
  const element = document.getElementById("result-chart");
  const names = Object.keys(rows[0] ?? {});
  const x = names.includes("year") && isNumber("year") ? "year" : undefined;
  const words = names.filter((name) => !isNumber(name));
  const labels = x && new Set(rows.map((row) => row[x])).size === rows.length ? rows.map(() => "") : labelsOf(words, x);
  const y = choice.value;
  const hidden = !(y && labels && rows.length > 1 && rows.length <= 400);
  element.hidden = document.getElementById("chart-choice").hidden = hidden;
  if (hidden) return;
  element.setAttribute("aria-label", `${y} / ${x ?? words.join(", ")}`);
  const figure = (value) => (value === null || value === undefined ? null : Number(value));
  const table = rows.map((row, i) => ({ x: figure(row[x]), y: figure(row[y]), label: labels[i] }));
  const number = { field: "y", type: "quantitative", title: y };
  const label = { field: "label", type: "nominal", sort: null, title: null };
  const shape = x
    ? { height: 240, mark: { type: "line", point: true }, encoding: { x: { field: "x", type: "quantitative", title: x, axis: { format: "d", tickMinStep: 1 } }, y: number, ...(new Set(labels).size > 1 && { color: { ...label, legend: { orient: "top", columns: 4 } } }) } }
    : { height: 20 * rows.length, mark: "bar", encoding: { y: { ...label, axis: { labelLimit: { expr: "windowSize()[0] < 600 ? 150 : 420" } } }, x: number } };
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
  try {
    const statements = statementsOf(sql.value);
    if (!statements.length) return;
    connection ??= await open();
    state.value = language() === "en" ? "Running …" : "正在运行……";
    let found = 0;
    for (const statement of statements) found = await answer(statement);
    const [en, zh] = [[`${count(found)} rows`], [`${count(found)}行`]];
    if (found > rows.length) {
      en.push(`the first ${count(rows.length)} are shown; the CSV has all`);
      zh.push(`只显示前${count(rows.length)}行，CSV含全部`);
    }
    if (statements.length > 1) {
      en.push(`of ${statements.length} statements, all of which ran, the last is shown`);
      zh.push(`共运行${statements.length}条语句，显示最后一条的结果`);
    }
    state.value = language() === "en" ? en.join("; ") : zh.join("；");
    document.getElementById("result").replaceChildren(tableOf(rows, isNumber));
    document.getElementById("result-csv").disabled = !rows.length;
    offer();
    await draw();
  } catch (error) {
    clear();
    state.value = error.message;
  } finally {
    button.disabled = false;
  }
}

async function download() {
  save(fileName("query", "csv"), "text/csv", csv(Object.keys(types).length ? await texts("") : rows));
}

const question = document.getElementById("question");
question.addEventListener("change", () => (sql.value = questions[question.value]));
sql.value = questions[0];
document.getElementById("run").addEventListener("click", run);
choice.addEventListener("change", draw);
document.getElementById("result-csv").addEventListener("click", download);
sql.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
if (location.protocol === "file:") {
  document.getElementById("not-served").hidden = false;
  document.getElementById("run").disabled = true;
}
