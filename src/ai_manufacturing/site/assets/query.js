"use strict";

// Everything here is loaded by this page alone; the engine when the first query is run.
const questions = json(document.getElementById("questions"));
const sql = document.getElementById("sql");
const state = document.getElementById("query-status");
const choice = document.getElementById("chart-number");
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

// What tells the rows apart: as many of the columns as it takes, or none if they do not.
function labelsOf(columns, x) {
  for (let count = 1; count <= columns.length; count += 1) {
    const labels = rows.map((row) => columns.slice(0, count).map((name) => row[name] ?? "").join(", "));
    if (new Set(labels.map((label, i) => `${label} ${x ? rows[i][x] : ""}`)).size === rows.length) return labels;
  }
}

const isNumber = (name) => rows.every((row) => row[name] === null || typeof row[name] === "number");

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
  const table = rows.map((row, i) => ({ x: row[x], y: row[y], label: labels[i] }));
  const number = { field: "y", type: "quantitative", title: y };
  const label = { field: "label", type: "nominal", sort: null, title: null };
  const shape = x
    ? { height: 240, mark: { type: "line", point: true }, encoding: { x: { field: "x", type: "quantitative", title: x, axis: { format: "d", tickMinStep: 1 } }, y: number, ...(new Set(labels).size > 1 && { color: { ...label, legend: { orient: "top", columns: 4 } } }) } }
    : { height: 20 * rows.length, mark: "bar", encoding: { y: { ...label, axis: { labelLimit: { expr: "windowSize()[0] < 600 ? 150 : 420" } } }, x: number } };
  await vegaEmbed(
    element.firstElementChild,
    { width: "container", autosize: { type: "fit-x", contains: "padding" }, data: { name: "table" }, datasets: { table }, ...shape },
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
    offer();
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
choice.addEventListener("change", draw);
document.getElementById("result-csv").addEventListener("click", () => save("query.csv", "text/csv", csv(rows)));
if (location.protocol === "file:") {
  document.getElementById("not-served").hidden = false;
  document.getElementById("run").disabled = true;
}
