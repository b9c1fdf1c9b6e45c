"use strict";

const { series, ranked, banded, cities, words, provinces, peerGroups, labels, units, providers, files, values, standings, strata, rankings } = json(document.getElementById("city-values"));
const rows = rowsOf(values);
const standing = rowsOf(standings);
const years = [...new Set(rows.map((row) => row.year))];
const inLanguage = (pair) => pair[language() === "en" ? 0 : 1];
const phrase = (key, given = {}) => inLanguage(words[key]).replace(/{(\w+)}/g, (_, name) => given[name]);
const element = (name, text = "", properties = {}) => Object.assign(document.createElement(name), { textContent: text, ...properties });
const nameOf = (id, place = language() === "en" ? 0 : 1) => `${cities[id].names[place]} ${id}`;
const isPeer = (id) => id !== chosen && cities[id].peers && cities[id].peers === cities[chosen]?.peers;
const hasValues = (one) => Object.hasOwn(providers, one);
const delivered = new Map(); // city to what its own file says of it
const COLOURS = { city: "#b8500b", peer: "#99a1a9", median: "#1f5a96", range: "#cfd4da" };
let chosen;

// Each file of cities/ calls this: a script is read from a page that was opened from a file, and JSON is not.
function cityDelivered(id, content) {
  delivered.set(id, content);
}

function load(id) {
  return delivered.has(id) || !series.some(hasValues)
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

// At most eight peers are named: the nearest in the latest ranking by the first variable.
const NAMED_PEERS = 8;
// So many labels fit above one another beside the vertical axis.
const LABELS_PER_AXIS = 22;

function namedPeers() {
  const rankOf = new Map(standing.filter((row) => row.variable === ranked[0]).map((row) => [row.city_id, row.national_rank]));
  const distance = (id) => Math.abs((rankOf.get(id) ?? Infinity) - (rankOf.get(chosen) ?? 0));
  return Object.keys(cities).filter(isPeer).sort((a, b) => distance(a) - distance(b)).slice(0, NAMED_PEERS);
}

// The city, its named peers, and the range and median of all peers. Ranks have no median, because it would lack the last tie.
function linesOf(one) {
  const row = (who, city_id, [name_en, name_zh], year, value, [missing_en, missing_zh] = [null, null]) => ({
    series: one, unit: hasValues(one) ? units[one] : "rank", who, city_id, name_en, name_zh, year, value, missing_en, missing_zh,
  });
  const isNamed = new Set(namedPeers());
  const found = [chosen, ...isNamed].flatMap((id) => {
    const lines = rows.filter((line) => line.city_id === id);
    return lines.map(({ year, [one]: value }) =>
      row(id === chosen ? "city" : "peer", id, [nameOf(id, 0), nameOf(id, 1)], year, value, id === chosen && value === null ? reasonOf(id, one, year) : undefined),
    );
  });
  labelEnds(found.filter((line) => line.who === "peer"));
  if (!hasValues(one)) return found;
  const summaries = years.flatMap((year) => {
    const sorted = rows.filter((line) => isPeer(line.city_id) && line.year === year && line[one] !== null).map((line) => line[one]).sort((a, b) => a - b);
    const middle = (sorted.length - 1) / 2;
    const median = sorted.length ? (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2 : null;
    return [row("median", null, words.line_median, year, median), { ...row("range", null, words.line_range, year, sorted[0] ?? null), high: sorted.at(-1) ?? null }];
  });
  return [...found, ...summaries];
}

// The last point of each line carries its name, at a height at which no two names overlap.
function labelEnds(lines) {
  const ends = [...new Map(lines.filter((line) => line.value !== null).map((line) => [line.city_id, line])).values()].sort((a, b) => a.value - b.value);
  const gap = Math.max(...lines.map((line) => line.value ?? 0)) / LABELS_PER_AXIS;
  ends.forEach((end, i) => (end.label_height = i ? Math.max(end.value, ends[i - 1].label_height + gap) : end.value));
}

const [chart] = charts.values();
const shown = document.getElementById("series");

function redraw() {
  chart.figure.dataset.chosen = `${shown.value}_${chosen}`;
  const who = hasValues(shown.value) ? ["city", "peer", "median", "range"] : ["city", "peer"];
  const lines = chosen ? linesOf(shown.value) : [];
  // The domain is explicit, because Vega warns of a layer without rows, such as the peers of a city that has none.
  const heights = lines.flatMap(({ value, high, label_height }) => [value, high, label_height]).filter(Number.isFinite);
  const [low, top] = [Math.min(...heights), Math.max(...heights)];
  const scales = {
    y: hasValues(shown.value) ? { domain: [Math.min(0, low), top] } : { domain: [low, top], reverse: true, zero: false, nice: false },
    color: { domain: who, range: who.map((one) => COLOURS[one]) },
  };
  return chart.redraw(lines, scales, shown.selectedOptions[0].text);
}

const input = document.getElementById("city");
const output = document.getElementById("city-name");

const place = (rank, count, isTie, last = rank) => (rank ? phrase(isTie ? "last_tie" : last > rank ? "band" : "place", { rank, last, count, tied: count - rank + 1 }) : phrase("no_rank"));
// A rounded copy contains the first rank of each quarter; this is the quarter's last rank. The first four ranks are exact.
const lastOf = (variable, rank, count) => (banded.includes(variable) && rank > 4 ? Math.ceil((Math.floor(((rank - 1) * 4) / count) + 1) * count / 4) : rank);

// The chosen city: one line for each variable that cities are ranked by, and its peers.
function stand() {
  const peers = Object.keys(cities).filter(isPeer);
  output.textContent = chosen ? `${nameOf(chosen)}, ${inLanguage(provinces[cities[chosen].province])}` : "";
  document.getElementById("city-group").textContent = peers.length ? inLanguage(peerGroups[cities[chosen].peers]) : "";
  document.getElementById("city-peers").replaceChildren(
    ...peers.flatMap((id) => [element("a", nameOf(id), { href: `?city=${id}`, onclick: (event) => (event.preventDefault(), show(id)) }), " "]),
  );
  const lines = ranked.map((variable) => {
    const line = standing.find((row) => row.city_id === chosen && row.variable === variable) ?? {};
    return [
      inLanguage(labels[variable]), String(line.year ?? ""), place(line.national_rank, line.city_count, line.is_last_tie, lastOf(variable, line.national_rank, line.city_count)), String(line.decile ?? ""),
      place(line.peer_rank, line.peer_count, line.is_last_tie, lastOf(variable, line.peer_rank, line.peer_count)), String(line.first_year ?? ""), place(line.growth_rank, line.growth_city_count, false, lastOf(variable, line.growth_rank, line.growth_city_count)),
      place(line.peer_growth_rank, line.peer_growth_count, false, lastOf(variable, line.peer_growth_rank, line.peer_growth_count)),
    ];
  });
  // A copy that has quarters has no tenths.
  const heads = ["series", "year", "among_all", "decile", "among_peers", "since", "growth_all", "growth_peers"];
  const kept = heads.map((head, i) => head !== "decile" || lines.some((line) => line[i]));
  const some = (list) => list.filter((_, i) => kept[i]);
  document.getElementById("standing").replaceChildren(...(chosen ? [table(some(heads), lines.map(some))] : []));
}

function say() {
  stand();
  offer();
  fill("corrections", CORRECTION, correctionsOf().map(correctionRow));
  fill("doubtful", DOUBTFUL, doubtfulOf().map(doubtfulRow));
  return redraw();
}

async function show(id) {
  chosen = id;
  if (id) input.value = "";
  address.set({ city: id });
  sayMissing([]);
  if (id) await load(id);
  await say();
}

// ---------------------------------------------------------------- finding a city

const wholeName = (id) => [...cities[id].names, id].join(" ");
const plain = (text) => text.toLowerCase().replace(/['’\s]/g, "");

// The cities that a text means: one by code or whole name, several where a name is not enough.
function find(text) {
  const sought = plain(text);
  if (!sought) return [];
  const namesOf = (id) => [id, ...cities[id].names, nameOf(id, 0), nameOf(id, 1), cities[id].short, wholeName(id)].map(plain);
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
      choice.addEventListener("click", () => show(id));
      return choice;
    }),
  );
}

input.addEventListener("change", async () => {
  const text = input.value;
  const found = find(text);
  if (!text.trim()) return;
  // Where no city is meant none is chosen: the last one's chart would be taken for it.
  await show(found.length === 1 ? found[0] : undefined);
  if (!chosen) sayMissing(found, text);
});
document.getElementById("city-names").append(...Object.keys(cities).map((id) => new Option(provinces[cities[id].province].join(" "), wholeName(id))));

// ---------------------------------------------------------------- where a value comes from

const traceYear = document.getElementById("trace-year");

function options(select, entries, wanted) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  if (entries.some(([value]) => String(value) === String(wanted))) select.value = wanted;
}

function offer() {
  const unitOf = (one) => (hasValues(one) ? inLanguage(labels[units[one]]) : phrase("rank"));
  options(shown, series.map((one) => [one, `${inLanguage(labels[one])} (${unitOf(one)})`]), shown.value || address.get("series"));
  if (traceYear) options(traceYear, years.map((year) => [year, year]), traceYear.value || address.get("year") || years.at(-1));
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

const correctionsOf = (wanted = () => true) => (delivered.get(chosen)?.corrections ?? []).filter(wanted);
const correctionRow = ([correction, one, year, was, is, reason, reasonZh, place]) => [
  correction, place === chosen ? nameOf(place) : place, inLanguage(labels[one]), String(year), figure(was), figure(is), inLanguage([reason, reasonZh]),
];
const doubtfulOf = (wanted = () => true) => (delivered.get(chosen)?.doubtful ?? []).filter(wanted);
const doubtfulRow = ([one, year, value, expected, ...rule]) => [inLanguage(labels[one]), String(year), figure(value), figure(Number(expected.toPrecision(4))), inLanguage(rule)];
const DOUBTFUL = ["series", "year", "used", "expected", "cause"];
const CORRECTION = ["correction", "city", "series", "year", "delivered", "used", "reason"];

function trace() {
  const section = document.getElementById("trace");
  const [one, year] = [shown.value, Number(traceYear?.value)];
  if (!section) return;
  section.hidden = !chosen || !hasValues(one);
  if (section.hidden) return;
  const value = rows.find((row) => row.city_id === chosen && row.year === year)?.[one];
  const place = `${nameOf(chosen)}, ${year}, ${inLanguage(labels[one])}: `;
  const said = element("p", `${place}${figure(value)}${value === null || value === undefined ? "" : ` (${inLanguage(labels[units[one]])})`}, ${phrase("provider")} ${providers[one]}`);
  const parts = [said];
  const [reason, reasonZh] = value === null ? reasonOf(chosen, one, year) : [];
  if (reason) parts.push(element("p", inLanguage([reason, reasonZh]), { className: "not-estimable" }));
  const { rows: lines = [], more } = delivered.get(chosen)?.cells[one]?.[year] ?? {};
  if (lines.length) {
    parts.push(
      table(
        ["file", "sheet", "row", "delivered", "industry", "hash"],
        lines.map(([file, sheet, row, number, industry, place]) => [
          `${files[file][0]}${place ? ` (${place})` : ""}`, sheet ?? "", String(row), figure(number), industry ?? "", element("code", files[file][1].slice(0, 12), { title: files[file][1] }),
        ]),
      ),
    );
    if (more) parts.push(element("p", phrase("more_rows", { count: figure(more[0]), sum: figure(more[1]) }), { className: "note" }));
  } else if (value !== null && value !== undefined) parts.push(element("p", phrase("no_delivered_row"), { className: "note" }));
  const applied = correctionsOf((correction) => correction[1] === one && correction[2] === year);
  if (applied.length) parts.push(table(CORRECTION, applied.map(correctionRow)));
  const doubts = doubtfulOf((doubt) => doubt[0] === one && doubt[1] === year);
  if (doubts.length) parts.push(element("p", phrase("is_doubtful"), { className: "warning" }), table(DOUBTFUL, doubts.map(doubtfulRow)));
  document.getElementById("trace-result").replaceChildren(...parts);
}

// A table of what was found of the city, or that there is none; a page without values has neither.
function fill(what, head, lines) {
  document.getElementById(`city-${what}`)?.replaceChildren(lines.length ? table(head, lines) : element("p", phrase(`no_${what}_of_city`)));
}

shown.addEventListener("change", () => {
  address.set({ series: shown.value });
  trace();
  redraw();
});
traceYear?.addEventListener("change", () => {
  address.set({ year: traceYear.value });
  trace();
});
chart.picked = (datum) => {
  if (!traceYear || datum?.who !== "city") return;
  traceYear.value = datum.year;
  traceYear.dispatchEvent(new Event("change"));
  document.getElementById("trace").scrollIntoView({ block: "nearest" });
};
document.addEventListener("spoken", say);
const asked = address.get("city");
loading.push(show(Object.hasOwn(cities, asked) ? asked : "440300"));
