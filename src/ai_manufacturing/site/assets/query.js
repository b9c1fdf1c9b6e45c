"use strict";

// Everything here is loaded by this page alone; the engine when the first query is run.
const questions = json(document.getElementById("questions"));
const sql = document.getElementById("sql");
const state = document.getElementById("query-status");
let connection;
let rows = [];

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
  await engine.open({ query: { castBigIntToDouble: true, castDecimalToDouble: true } });
  const release = await (await fetch(new URL("ai_manufacturing.duckdb", base))).arrayBuffer();
  await engine.registerFileBuffer("ai_manufacturing.duckdb", new Uint8Array(release));
  const opened = await engine.connect();
  // The page asks nothing of the network, not even for an extension.
  await opened.query("set autoinstall_known_extensions = false; set autoload_known_extensions = false");
  await opened.query("attach 'ai_manufacturing.duckdb' as ai_manufacturing (read_only)");
  await opened.query("use ai_manufacturing.marts");
  return opened;
}

const plain = (value) =>
  typeof value === "bigint" ? Number(value)
  : value !== null && typeof value === "object" ? String(value)
  : value;

async function draw() {
  const element = document.getElementById("result-chart");
  const names = Object.keys(rows[0] ?? {});
  const isNumber = (name) => rows.every((row) => row[name] === null || typeof row[name] === "number");
  const numbers = names.filter((name) => isNumber(name) && name !== "year");
  const x = names.find((name) => name === "year") ?? names.find((name) => !isNumber(name));
  element.hidden = !(numbers.length && x && rows.length > 1 && rows.length <= 400);
  if (element.hidden) return;
  const y = numbers[0];
  element.setAttribute("aria-label", `${y} / ${x}`);
  const group = x === "year" ? names.find((name) => !isNumber(name)) : undefined;
  const encoding = x === "year"
    ? { x: { field: x, type: "quantitative", axis: { format: "d" } }, y: { field: y, type: "quantitative" }, ...(group && { color: { field: group } }) }
    : { y: { field: x, type: "nominal", sort: null, title: null }, x: { field: y, type: "quantitative" } };
  const datasets = { table: rows };
  await vegaEmbed(
    element.firstElementChild,
    { width: "container", autosize: { type: "fit-x", contains: "padding" }, ...(x === "year" && { height: 240 }), data: { name: "table" }, datasets, mark: x === "year" ? { type: "line", point: true } : "bar", encoding },
    { actions: false, renderer: "svg" },
  );
}

async function run() {
  const button = document.getElementById("run");
  button.disabled = true;
  try {
    connection ??= await open();
    const result = await connection.query(sql.value);
    const names = result.schema.fields.map((field) => field.name);
    rows = result.toArray().map((row) => Object.fromEntries(names.map((name) => [name, plain(row[name])])));
    state.value = language() === "en" ? `${rows.length} rows` : `${rows.length}行`;
    document.getElementById("result").replaceChildren(tableOf(rows));
    document.getElementById("result-csv").disabled = !rows.length;
    await draw();
  } catch (error) {
    state.value = error.message;
  } finally {
    button.disabled = false;
  }
}

const question = document.getElementById("question");
question.addEventListener("change", () => (sql.value = questions[question.value]));
sql.value = questions[0];
document.getElementById("run").addEventListener("click", run);
document.getElementById("result-csv").addEventListener("click", () => save("query.csv", "text/csv", csv(rows)));
if (location.protocol === "file:") {
  document.getElementById("not-served").hidden = false;
  document.getElementById("run").disabled = true;
}
