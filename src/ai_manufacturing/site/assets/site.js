"use strict";

const language = () => (document.documentElement.lang === "en" ? "en" : "zh");
const json = (element) => JSON.parse(element.textContent);

// The library of charts is most of a page, which answers before it is there.
const library = new Promise((resolve) => {
  if (window.vegaEmbed) resolve();
  else document.getElementById("vega")?.addEventListener("load", resolve);
});

// What a reader chose stands in the address, so that it can be kept and sent. SQL is in the part that no server sees.
const UNSENT = ["sql"];
const address = {
  get: (name) => new URLSearchParams(UNSENT.includes(name) ? location.hash.slice(1) : location.search).get(name),
  set(choices) {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(choices)) {
      const part = new URLSearchParams(UNSENT.includes(name) ? url.hash.slice(1) : url.search);
      if (value === undefined || value === null || value === "") part.delete(name);
      else part.set(name, value);
      if (UNSENT.includes(name)) url.hash = part.toString();
      else url.search = part.toString().replaceAll("%2C", ",");
    }
    history.replaceState(null, "", url);
  },
};

// {names, columns} to one object a row; what all rows of one key share stands once, in `shared`.
function rowsOf({ names, columns, key, shared }) {
  const rows = (columns[0] ?? []).map((_, row) => Object.fromEntries(names.map((name, i) => [name, columns[i][row]])));
  if (!shared) return rows;
  const of = new Map(rowsOf(shared).map((row) => [row[key], row]));
  return rows.map((row) => ({ ...row, ...of.get(row[key]) }));
}

function save(name, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// What leaves the page says what it was made of, as the page does.
const { extractSet, synthetic } = document.documentElement.dataset;

const fileName = (name, extension) => `${[name, extractSet].join("_").replace(/[^\w.-]+/g, "_")}.${extension}`;

function csv(rows) {
  // A text that a spreadsheet would take for a formula, as in the exports.
  const safe = (value) => (typeof value === "string" && !/^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(value) && /^[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : (value ?? ""));
  const quote = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  rows = rows.map((row) => ({ ...row, extract_set: extractSet, is_synthetic: synthetic }));
  const names = Object.keys(rows[0] ?? {});
  // The mark at the start is what spreadsheets know UTF-8 by.
  return "\ufeff" + [names, ...rows.map((row) => names.map((name) => row[name]))].map((row) => row.map(safe).map(quote).join(",")).join("\r\n");
}

// A picture that leaves the page takes its marks along: that it is synthetic, and what a † stands for.
function marked(svg, caption) {
  const shown = (selector) => [...document.querySelectorAll(`${selector} .${language()}`)].map((element) => element.textContent);
  const texts = (item) => [...item.querySelectorAll(`.${language()}`)].map((part) => part.textContent).join(": ");
  const substitutes = [...document.querySelectorAll("#substitutes li")].map((item) => `† ${texts(item)}`);
  const notes = [...shown("#synthetic-mark strong"), ...(`${svg}${caption}`.includes("†") ? substitutes : [])];
  const image = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  const [width, height] = ["width", "height"].map((name) => Number(image.getAttribute(name)));
  const line = 16;
  image.setAttribute("height", height + line * notes.length);
  image.setAttribute("viewBox", `0 0 ${width} ${height + line * notes.length}`);
  notes.forEach((note, number) => {
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    const place = { x: 4, y: height + line * number + 12, "font-family": "sans-serif", "font-size": 11, fill: "#a3161a" };
    for (const [name, value] of Object.entries(place)) text.setAttribute(name, value);
    text.textContent = note;
    image.append(text);
  });
  return new XMLSerializer().serializeToString(image);
}

// An empty cell of a result is an empty text; what is missing says so.
function tableOf(rows, isNumber = (name) => typeof rows[0][name] === "number") {
  const table = document.createElement("table");
  table.className = "plain";
  const names = Object.keys(rows[0] ?? {});
  const head = table.createTHead().insertRow();
  for (const name of names) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    if (isNumber(name)) cell.className = "number";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const name of names) {
      const cell = line.insertCell();
      if (String(row[name]).startsWith("readings.html#")) {
        const link = document.createElement("a");
        link.href = link.textContent = row[name];
        cell.append(link);
      } else cell.textContent = row[name] ?? "";
      if (row[name] === null) cell.className = "missing";
      else if (isNumber(name)) cell.className = "number";
    }
  }
  return table;
}

// An option of a list holds no markup to hide.
function translate() {
  for (const element of document.querySelectorAll("[data-zh]")) element.textContent = element.dataset[language()];
}

// Colours of charts on a dark page, which keep their hue: lighter for lines and texts, darker for areas.
const DARK_COLOURS = {
  "#1f5a96": "#7db3ea", "#5e9bd1": "#4d7fb0", "#b8500b": "#f09552", "#6b6b6b": "#a7aeb6", "#2c7a4b": "#63bf8c", "#a3161a": "#f0807a",
  "#cfd4da": "#4b535c", "#dfe2e6": "#3c434b", "#f6f4ef": "#23282d", "#f0eeea": "#23282d", "#99a1a9": "#6d7680", "#e7e7e7": "#2f353b", "#333": "#d5dae0", "#999": "#7b848d", "#fff": "#15181b",
};
const DARK_CONFIG = { axis: { labelColor: "#c6cdd4", titleColor: "#e6e9ec", domainColor: "#6d7680", tickColor: "#6d7680" }, legend: { labelColor: "#c6cdd4", titleColor: "#e6e9ec" }, header: { labelColor: "#c6cdd4", titleColor: "#e6e9ec" }, text: { color: "#e6e9ec" } };
const darkness = matchMedia("screen and (prefers-color-scheme: dark)");

function darkened(specification) {
  const text = JSON.stringify(specification).replace(/"(#[0-9a-f]{3,6})"/g, (whole, colour) => (DARK_COLOURS[colour] ? `"${DARK_COLOURS[colour]}"` : whole));
  const made = JSON.parse(text);
  for (const [part, values] of Object.entries(DARK_CONFIG)) made.config[part] = { ...values, ...made.config[part] };
  return made;
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    const { specifications, data } = json(figure.querySelector("script"));
    Object.assign(this, { specifications, rows: rowsOf(data), signals: {} });
    figure.querySelector('[data-download="svg"]').addEventListener("click", async () => {
      await this.draw();
      if (this.rows.length) save(fileName(this.name, "svg"), "image/svg+xml", marked(await this.lightSvg(), figure.querySelector("figcaption").textContent));
    });
    figure.querySelector('[data-download="csv"]').addEventListener("click", () => {
      const title = figure.querySelector(`figcaption .${language()}`)?.textContent ?? figure.querySelector("figcaption").textContent;
      save(fileName(this.name, "csv"), "text/csv", csv(this.rows.map((row) => ({ ...row, figure: title.trim() }))));
    });
    figure.querySelector("details.values").addEventListener("toggle", () => this.list());
  }

  // What the reader chose is in the name of the file.
  get name() {
    return [this.figure.dataset.name, this.figure.dataset.chosen].filter(Boolean).join("_");
  }

  list() {
    const details = this.figure.querySelector("details.values");
    if (details.open) details.querySelector(".scroll").replaceChildren(tableOf(this.rows));
  }

  // A picture for a document is light, also if the page is dark.
  async lightSvg() {
    if (!darkness.matches) return this.view.toSVG();
    await this.render(language(), false);
    const svg = await this.view.toSVG();
    await this.render(language());
    return svg;
  }

  // One drawing after the other, so that the rows of the last one stay.
  draw() {
    const wanted = language();
    if (this.drawn !== wanted) {
      this.drawn = wanted;
      this.drawing = Promise.resolve(this.drawing).then(() => this.render(wanted));
    }
    return this.drawing;
  }

  async render(wanted, isDark = darkness.matches) {
    const element = this.figure.querySelector(".view");
    if (!this.rows.length) return element.firstElementChild.replaceChildren();
    const outlines = document.getElementById("outlines");
    const specification = structuredClone(this.specifications[wanted]);
    const { aspect, renderer = "svg", state = {} } = specification.usermeta ?? {};
    if (aspect) specification.height = Math.min(specification.height, aspect * element.clientWidth);
    for (const { encoding } of (this.axisTitle && specification.layer) ?? []) if (encoding.y?.field) encoding.y.title = this.axisTitle;
    for (const { encoding } of (this.scales && specification.layer) ?? []) for (const [channel, scale] of Object.entries(this.scales)) Object.assign(encoding[channel].scale ?? {}, scale);
    const datasets = { table: this.rows, ...(outlines && { outlines: json(outlines) }) };
    await library;
    const { view } = await vegaEmbed(
      element.firstElementChild,
      { ...(isDark ? darkened(specification) : specification), datasets, ...(isDark && { background: "transparent" }) },
      { actions: false, tooltip: { theme: isDark ? "dark" : "light" }, renderer, ast: true, bind: this.figure.querySelector(".bind") },
    );
    this.view = view;
    view.addEventListener("click", (_, item) => this.picked?.(item?.datum));
    // What a reader had chosen outlives a change of language, and is in the address.
    for (const [name, key] of Object.entries(state)) {
      const { value: initial, bind } = specification.params.find((param) => param.name === name);
      const chosen = this.signals[name] ?? (typeof initial === "number" ? Number(address.get(key)) : address.get(key));
      const offered = bind.options ? bind.options.includes(chosen) : chosen >= bind.min && chosen <= bind.max;
      if (offered) view.signal(name, chosen);
      view.addSignalListener(name, (_, value) => {
        this.signals[name] = value;
        address.set({ [key]: value === initial ? "" : value });
      });
    }
    await view.runAsync();
  }

  // Other rows, the scales of their channels and the title of the vertical axis, of a chart of layers.
  async redraw(rows, scales, axisTitle) {
    Object.assign(this, { rows, scales, axisTitle, drawn: undefined });
    this.list();
    await this.draw();
  }
}

darkness.addEventListener("change", () => {
  for (const chart of charts.values()) chart.redraw(chart.rows, chart.scales, chart.axisTitle);
});

const charts = new Map([...document.querySelectorAll("figure.chart")].map((figure) => [figure, new Chart(figure)]));

// Charts in sight first; the others when there is nothing else to do, so that a printed page has them all.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) charts.get(entry.target).draw();
});
for (const figure of charts.keys()) seen.observe(figure);
const waiting = [...charts.values()];
const whenIdle = window.requestIdleCallback ?? ((draw) => setTimeout(draw, 1)); // Safari has none
const loading = []; // what the script of a page waits for
(async function drawNext() {
  const chart = waiting.shift();
  if (chart) return whenIdle(async () => { await chart.draw(); drawNext(); });
  await Promise.all(loading);
  document.documentElement.dataset.drawn = "all";
})();

// What is to be pasted has the address that this page was read from.
if (location.protocol !== "file:") for (const code of document.querySelectorAll("pre > code")) code.textContent = code.textContent.replaceAll("https://…/", new URL(".", location).href);

translate();
// A link from here opens in the language that the reader chose.
if (localStorage.getItem("language")) address.set({ language: document.documentElement.lang });
document.getElementById("language").addEventListener("click", () => {
  const next = language() === "en" ? "zh-CN" : "en";
  speak(next);
  localStorage.setItem("language", next);
  address.set({ language: next });
  translate();
  document.dispatchEvent(new Event("spoken"));
  for (const chart of charts.values()) chart.draw();
});

const filter = document.getElementById("filter");
if (filter) {
  const sections = [...document.querySelectorAll("[data-filtered]")];
  const texts = sections.map((section) => section.textContent.toLowerCase());
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    sections.forEach((section, i) => (section.hidden = !words.every((word) => texts[i].includes(word))));
    document.getElementById("filter-count").value = sections.filter((section) => !section.hidden).length;
    address.set({ filter: filter.value });
  });
  filter.value = address.get("filter") ?? "";
  // When all scripts of the page listen to it.
  document.addEventListener("DOMContentLoaded", () => filter.value && filter.dispatchEvent(new Event("input")));
}
