"use strict";

const { series, cities, words, provinces, regionLabels, labels, units, providers, files, values, regions, country } = json(document.getElementById("city-values"));
const PALETTE = ["#b8500b", "#1f5a96", "#2c7a4b", "#8a3b8f", "#8c6d00", "#007f87", "#a3161a", "#4b4f9e"];
const REGION = "#1f5a96";
const COUNTRY = "#6b6b6b";
const rowsBy = { city: rowsOf(values), region: rowsOf(regions), country: rowsOf(country) };
const years = [...new Set(rowsBy.country.map((row) => row.year))];
const inLanguage = (pair) => pair[language() === "en" ? 0 : 1];
const phrase = (key, given = {}) => inLanguage(words[key]).replace(/{(\w+)}/g, (_, name) => given[name]);
const element = (name, text = "", properties = {}) => Object.assign(document.createElement(name), { textContent: text, ...properties });
const nameOf = (id, place = language() === "en" ? 0 : 1) => `${cities[id].names[place]} ${id}`;
const delivered = new Map(); // city to what its own file says of it
let chosen = [];

// Each file of cities/ calls this: a script is read from a page that was opened from a file, and JSON is not.
function cityDelivered(id, content) {
  delivered.set(id, content);
}

function load(id) {
  return delivered.has(id)
    ? Promise.resolve()
    : new Promise((resolve) => {
        const script = document.createElement("script");
        Object.assign(script, { src: `cities/${id}.js`, onload: resolve, onerror: resolve });
        document.head.append(script);
      });
}

// Why a city has no value, as two texts; nothing where it has one.
function reasonOf(id, one, year) {
  const { missing = {}, reasons = [] } = delivered.get(id) ?? {};
  return reasons[missing[one]?.[year]] ?? [null, null];
}

function linesOf(one) {
  const row = (who, city_id, names, { year, [one]: value }, missing = [null, null]) => ({
    series: one, unit: units[one], who, city_id, name_en: names[0], name_zh: names[1], year, value, missing_en: missing[0], missing_zh: missing[1],
  });
  const found = chosen.flatMap((id) =>
    rowsBy.city.filter((line) => line.city_id === id).map((line) =>
      row("city", id, [nameOf(id, 0), nameOf(id, 1)], line, line[one] === null ? reasonOf(id, one, line.year) : undefined),
    ),
  );
  // The mean of a region stands beside one city; beside several it would be one line too many for each.
  const region = chosen.length === 1 ? cities[chosen[0]].region : undefined;
  found.push(...rowsBy.region.filter((line) => line.region === region).map((line) => row("region", null, regionLabels[region].mean, line)));
  found.push(...rowsBy.country.filter(() => chosen.length).map((line) => row("country", null, words.mean_of_country, line)));
  return found;
}

function coloursOf() {
  const names = [...chosen.map((id) => nameOf(id)), ...(chosen.length === 1 ? [inLanguage(regionLabels[cities[chosen[0]].region].mean)] : []), phrase("mean_of_country")];
  const range = [...chosen.map((_, i) => PALETTE[i]), ...(chosen.length === 1 ? [REGION] : []), COUNTRY];
  return { domain: names, range };
}

function redraw() {
  return Promise.all(
    [...charts.values()].map((chart) => {
      if (chosen.length) chart.figure.dataset.chosen = chosen.join("_");
      else delete chart.figure.dataset.chosen;
      return chart.redraw(linesOf(chart.figure.dataset.name), coloursOf());
    }),
  );
}

const input = document.getElementById("city");
const output = document.getElementById("city-name");

// The chosen cities by name, each with a button that takes it away.
function list() {
  output.replaceChildren(
    ...chosen.map((id) => {
      const { region } = cities[id];
      const item = element("span", `${nameOf(id)}, ${inLanguage(regionLabels[region].name)}`, { className: "chosen" });
      if (chosen.length > 1) {
        const away = element("button", "×", { type: "button", title: phrase("take_away", { city: nameOf(id) }) });
        away.setAttribute("aria-label", away.title);
        away.addEventListener("click", () => show(chosen.filter((other) => other !== id)));
        item.append(" ", away);
      }
      return item;
    }),
  );
}

async function show(ids) {
  chosen = ids.slice(0, PALETTE.length);
  address.set({ city: chosen.join(",") });
  sayMissing([]);
  await Promise.all(chosen.map(load));
  list();
  offer();
  corrections();
  doubtfulValues();
  await redraw();
}

// ---------------------------------------------------------------- finding a city

const plain = (text) => text.toLowerCase().replace(/['’\s]/g, "");

// The cities that a text means: one by code or whole name, several where a name is not enough.
function find(text) {
  const sought = plain(text);
  if (!sought) return [];
  const namesOf = (id) => [id, ...cities[id].names, nameOf(id, 0), nameOf(id, 1), cities[id].short].map(plain);
  const all = Object.keys(cities);
  const whole = all.filter((id) => namesOf(id).includes(sought));
  return whole.length ? whole : all.filter((id) => namesOf(id).some((name) => name.startsWith(sought)));
}

// Say that no city, or which cities, a text may mean.
function sayMissing(found, text = "") {
  const box = document.getElementById("city-missing");
  box.hidden = !text;
  document.getElementById("city-none").hidden = found.length > 0;
  document.getElementById("city-several").hidden = !found.length;
  document.getElementById("city-choices").replaceChildren(
    ...found.slice(0, 12).map((id) => {
      const choice = element("button", nameOf(id), { type: "button" });
      choice.addEventListener("click", () => show([id]));
      return choice;
    }),
  );
}

function search(isAdded) {
  const found = find(input.value);
  if (found.length === 1) {
    input.value = "";
    return show(isAdded ? [...new Set([...chosen, ...found])] : found);
  }
  // No city is chosen: the last one's charts would be taken for it.
  if (!isAdded) show([]);
  sayMissing(found, input.value);
}

input.addEventListener("change", () => input.value.trim() && search(false));
document.getElementById("compare").addEventListener("click", () => search(true));
// A press of the button leaves the field first, which would show the city alone.
document.getElementById("compare").addEventListener("mousedown", (event) => event.preventDefault());

function names() {
  document.getElementById("city-names").replaceChildren(
    ...Object.keys(cities).map((id) => new Option(inLanguage(provinces[cities[id].province]), nameOf(id))),
  );
}

// ---------------------------------------------------------------- where a value comes from

const [traceCity, traceSeries, traceYear] = ["city", "series", "year"].map((name) => document.getElementById(`trace-${name}`));

function options(select, entries, wanted) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  if (entries.some(([value]) => String(value) === String(wanted))) select.value = wanted;
}

function offer() {
  options(traceCity, chosen.map((id) => [id, nameOf(id)]), traceCity.value);
  options(traceSeries, series.map((one) => [one, inLanguage(labels[one])]), traceSeries.value || address.get("series"));
  options(traceYear, years.map((year) => [year, year]), traceYear.value || address.get("year") || years.at(-1));
  trace();
}

const figure = (value) => (value === null || value === undefined ? phrase("missing") : value.toLocaleString("en-US", { maximumFractionDigits: 10 }));

// A table of texts and numbers; the head is of words.
function table(head, rows) {
  const made = element("table", "", { className: "plain" });
  const line = made.createTHead().insertRow();
  for (const key of head) line.append(element("th", phrase(key), { scope: "col", className: ["delivered", "used", "row"].includes(key) ? "number" : "" }));
  const body = made.createTBody();
  for (const row of rows) {
    const cells = body.insertRow();
    row.forEach((content, i) => {
      const cell = cells.insertCell();
      if (["delivered", "used", "row"].includes(head[i])) cell.className = "number";
      if (content instanceof Node) cell.append(content);
      else cell.textContent = content;
    });
  }
  const box = element("div", "", { className: "scroll", tabIndex: 0 });
  box.append(made);
  return box;
}

const correctionsOf = (id, wanted = () => true) => (delivered.get(id)?.corrections ?? []).filter(wanted);
const correctionRow = (id, [correction, one, year, was, is, reason, reasonZh, place]) => [
  correction, place === id ? nameOf(id) : place, inLanguage(labels[one]), String(year), figure(was), figure(is), inLanguage([reason, reasonZh]),
];
const doubtfulOf = (id, wanted = () => true) => (delivered.get(id)?.doubtful ?? []).filter(wanted);
const doubtfulRow = (id, [one, year, value, expected, ...rule]) => [
  nameOf(id), inLanguage(labels[one]), String(year), figure(value), figure(Number(expected.toPrecision(4))), inLanguage(rule),
];
const DOUBTFUL = ["city", "series", "year", "used", "expected", "rule"];
const CORRECTION = ["correction", "city", "series", "year", "delivered", "used", "reason"];

function trace() {
  const result = document.getElementById("trace-result");
  const [id, one, year] = [traceCity.value, traceSeries.value, Number(traceYear.value)];
  if (!id) return result.replaceChildren();
  const value = rowsBy.city.find((row) => row.city_id === id && row.year === year)?.[one];
  const place = `${nameOf(id)}, ${year}, ${inLanguage(labels[one])}: `;
  const shown = element("p", `${place}${figure(value)}${value === null || value === undefined ? "" : ` (${inLanguage(labels[units[one]] ?? [units[one], units[one]])})`}, ${phrase("provider")} ${providers[one]}`);
  const parts = [shown];
  const [reason, reasonZh] = value === null ? reasonOf(id, one, year) : [];
  if (reason) parts.push(element("p", inLanguage([reason, reasonZh]), { className: "not-estimable" }));
  const { rows = [], more } = delivered.get(id)?.cells[one]?.[year] ?? {};
  if (rows.length) {
    parts.push(
      table(
        ["file", "sheet", "row", "delivered", "industry", "hash"],
        rows.map(([file, sheet, row, number, industry, place]) => [
          `${files[file][0]}${place ? ` (${place})` : ""}`, sheet ?? "", String(row), figure(number), industry ?? "", element("code", files[file][1].slice(0, 12), { title: files[file][1] }),
        ]),
      ),
    );
    if (more) parts.push(element("p", phrase("more_rows", { count: figure(more[0]), sum: figure(more[1]) }), { className: "note" }));
  } else if (value !== null && value !== undefined) parts.push(element("p", phrase("no_delivered_row"), { className: "note" }));
  const applied = correctionsOf(id, (correction) => correction[1] === one && correction[2] === year);
  if (applied.length) parts.push(table(CORRECTION, applied.map((correction) => correctionRow(id, correction))));
  const doubts = doubtfulOf(id, (doubt) => doubt[0] === one && doubt[1] === year);
  if (doubts.length) parts.push(element("p", phrase("is_doubtful"), { className: "warning" }), table(DOUBTFUL, doubts.map((doubt) => doubtfulRow(id, doubt))));
  result.replaceChildren(...parts);
}

function doubtfulValues() {
  const rows = chosen.flatMap((id) => doubtfulOf(id).map((doubt) => doubtfulRow(id, doubt)));
  document.getElementById("city-doubtful").replaceChildren(rows.length ? table(DOUBTFUL, rows) : element("p", phrase("no_doubtful_value")));
}

function corrections() {
  const rows = chosen.flatMap((id) => correctionsOf(id).map((correction) => correctionRow(id, correction)));
  document.getElementById("city-corrections").replaceChildren(rows.length ? table(CORRECTION, rows) : element("p", phrase("no_correction_of_city")));
}

for (const select of [traceCity, traceSeries, traceYear]) {
  select.addEventListener("change", () => {
    address.set({ series: traceSeries.value, year: traceYear.value });
    trace();
  });
}
for (const chart of charts.values()) {
  chart.picked = (datum) => {
    if (datum?.who !== "city") return;
    Object.assign(traceCity, { value: datum.city_id });
    Object.assign(traceSeries, { value: datum.series });
    Object.assign(traceYear, { value: datum.year });
    traceYear.dispatchEvent(new Event("change"));
    // Below the row of the chart, which stays in sight.
    chart.figure.after(document.getElementById("trace"));
    document.getElementById("trace").scrollIntoView({ block: "nearest" });
  };
}

document.addEventListener("spoken", () => {
  names();
  list();
  redraw();
  offer();
  corrections();
  doubtfulValues();
});
names();
const asked = (address.get("city") ?? "440300").split(",").filter((id) => Object.hasOwn(cities, id));
loading.push(show([...new Set(asked)]));
