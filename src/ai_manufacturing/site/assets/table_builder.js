"use strict";

// The model and the three formats that are text are those of ai_manufacturing/tables: a test compares them to the byte.
const builder = json(document.getElementById("builder"));
const { colon, comma, brackets } = builder.punctuation;
const errorNames = Object.keys(builder.errors);
const chooser = Object.fromEntries(["table", "decimals", "siunitx"].map((id) => [id, document.getElementById(id)]));
const place = () => (language() === "en" ? 0 : 1);

// ------------------------------------------------------------------------------------------------ the table

function cellText(cell, at, decimals) {
  if (cell === undefined) return "";
  if (Array.isArray(cell)) return cell[builder.decimals.indexOf(decimals)];
  return cell.words ? cell.words[at] : cell;
}

function assemble(name, readings, errors, at, decimals) {
  const table = builder.tables[name];
  const columns = readings.map((id) => table.columns.find((column) => column.id === id));
  const hidden = [...builder.names, ...errorNames.filter((error) => !errors.includes(error)).map((error) => builder.errors[error])];
  const lines = table.lines.filter(({ number, kind }) => !hidden.includes(kind) && columns.some(({ cells }) => number in cells));
  const said = (key) => builder.said[key][at];
  const marks = [...("table_synthetic" in builder.said ? [said("table_synthetic")] : []), ...(columns.some((column) => column.hasSubstitutes) ? [said("table_substitutes")] : [])];
  const notes = new Map();
  for (const error of [null, ...errorNames.filter((one) => errors.includes(one))])
    for (const column of columns)
      for (const note of column.notes.filter((one) => one.error === error)) {
        const [head, text] = [note.head[at], note.text[at]];
        if (!notes.has(head)) notes.set(head, new Map());
        notes.get(head).set(text, [...(notes.get(head).get(text) ?? []), column.tags[at]]);
      }
  const title = table.title[at] + (marks.length ? brackets[at].replace("{}", marks.join(comma[at])) : "");
  return {
    name,
    decimals,
    title,
    caption: `${table.name[at]}${colon[at]}${title}`,
    lang: at ? "zh-CN" : "en",
    specifications: readings,
    headings: columns.map((column) => column.titles[at]),
    rows: lines.map(({ number, kind, label }) => ({ kind, label: label[at], cells: columns.map(({ cells }) => cellText(cells[number], at, decimals)) })),
    notes: [
      said("table_mark"),
      ...errorNames.filter((error) => errors.includes(error)).map((error) => said(`table_${error}`)),
      said("table_stars"),
      ...[...notes].flatMap(([head, texts]) => [...texts].map(([text, tags]) => `${head} ${tags.join(" ")}${colon[at]}${text}`)),
    ],
  };
}

// ------------------------------------------------------------------------------------------------ formats

function markdown(table) {
  const safe = (text) => text.replace(/([\\`*_|<~])/g, "\\$1");
  const row = (cells) => `| ${cells.map(safe).join(" | ")} |`;
  return [
    `**${safe(table.caption)}**`,
    "",
    row(["", ...table.headings]),
    `| :--- |${" :---: |".repeat(table.headings.length)}`,
    ...table.rows.map(({ label, cells }) => row([label, ...cells])),
    "",
    ...table.notes.flatMap((note) => [safe(note), ""]),
  ].join("\n");
}

function html(table) {
  const safe = (text) => text.replace(/[&<>"']/g, (char) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" })[char]);
  return [
    `<table lang="${table.lang}">`,
    `<caption>${safe(table.caption)}</caption>`,
    "<thead>",
    `<tr><td></td>${table.headings.map((heading) => `<th scope="col">${safe(heading)}</th>`).join("")}</tr>`,
    "</thead>",
    "<tbody>",
    ...table.rows.map(({ label, cells }) => `<tr><th scope="row">${safe(label)}</th>${cells.map((cell) => `<td>${safe(cell)}</td>`).join("")}</tr>`),
    "</tbody>",
    "<tfoot>",
    ...table.notes.map((note) => `<tr><td colspan="${table.headings.length + 1}">${safe(note)}</td></tr>`),
    "</tfoot>",
    "</table>",
    "",
  ].join("\n");
}

function latex(table) {
  const { escapes, headingWidth, columnsInNormalPrint } = builder.latex;
  const siunitx = chooser.siunitx.checked;
  const safe = (text) => [...text].map((char) => escapes[char] ?? char).join("");
  const number = (text) => /^([([{]?)(-?)(\d+)(\.\d+)(.*)$/.exec(text);
  const linesOf = (text) => {
    const lines = [];
    for (const word of text.split(" ")) {
      if (lines.length && [...`${lines.at(-1)} ${word}`].length <= headingWidth) lines.push(`${lines.pop()} ${word}`);
      else lines.push(word);
    }
    const broken = `\\begin{tabular}[b]{@{}c@{}}${lines.map(safe).join("\\\\")}\\end{tabular}`;
    return siunitx ? `{${broken}}` : broken;
  };
  const cellOf = (text) => {
    if (!text) return "";
    const found = number(text);
    if (!found) return [...text].length > headingWidth ? linesOf(text) : siunitx ? `{${safe(text)}}` : safe(text);
    if (!siunitx) return found[2] ? `${safe(found[1])}$-$${found[3]}${found[4]}${safe(found[5])}` : safe(text);
    const [before, after] = [found[1], found[5]].map((part) => (part ? `{${safe(part)}}` : ""));
    return `${before}${found[2]}${found[3]}${found[4]}${after}`;
  };
  const isWide = table.headings.length > columnsInNormalPrint;
  const whole = Math.max(1, ...table.rows.flatMap(({ cells }) => cells.map((cell) => number(cell)?.[3].length ?? 1)));
  const column = siunitx ? `S[table-format=-${whole}.${table.decimals},table-align-text-before=false,table-align-text-after=false]` : "c";
  return [
    `% Needs the packages ${siunitx ? "booktabs, siunitx and threeparttable" : "booktabs and threeparttable"}; if its notes are not all Latin, ctex and XeLaTeX too.`,
    `% Specifications: ${table.specifications.join(", ")}.`,
    "\\begin{table}[htbp]",
    "\\centering",
    isWide ? "\\footnotesize" : "\\small",
    "\\setlength{\\tabcolsep}{3pt}",
    "\\begin{threeparttable}",
    `\\caption{${safe(table.title)}}`,
    `\\label{tab:${table.name.replace("table_", "")}}`,
    `\\begin{tabular}{${isWide ? "p{2.7cm}" : "l"}${column.repeat(table.headings.length)}}`,
    "\\toprule",
    ` & ${table.headings.map(linesOf).join(" & ")} \\\\`,
    "\\midrule",
    ...table.rows.flatMap(({ kind, label, cells }) => [...(kind === builder.firstBelowEstimates ? ["\\midrule"] : []), `${[safe(label), ...cells.map(cellOf)].join(" & ")} \\\\`]),
    "\\bottomrule",
    "\\end{tabular}",
    "\\begin{tablenotes}",
    "\\footnotesize",
    ...table.notes.map((note) => `\\item {}${safe(note)}`),
    "\\end{tablenotes}",
    "\\end{threeparttable}",
    "\\end{table}",
    "",
  ].join("\n");
}

const sources = { latex, markdown, html };

// ------------------------------------------------------------------------------------------------ the page

const boxes = (name) => [...document.querySelectorAll(`input[name=${name}]`)];
const checked = (name) => boxes(name).filter((box) => box.checked).map((box) => box.value);
const defaults = (name) => builder.tables[name].columns.filter((column) => column.isDefault).map((column) => column.id);

function listReadings(chosen) {
  const groups = new Map();
  for (const column of builder.tables[chooser.table.value].columns) {
    if (column.isDefault) groups.set(column, []);
    [...groups.values()].at(-1)?.push(column);
  }
  document.querySelector("#readings div").replaceChildren(
    ...[...groups].map(([first, columns]) => {
      const details = document.createElement("details");
      details.open = columns.some((column) => !column.isDefault && chosen.includes(column.id));
      const summary = document.createElement("summary");
      summary.textContent = `${first.titles[place()]} (${columns.length})`;
      details.append(summary);
      for (const column of columns) {
        const label = document.createElement("label");
        label.className = "choice";
        const box = document.createElement("input");
        Object.assign(box, { type: "checkbox", name: "readings", value: column.id, checked: chosen.includes(column.id) });
        label.append(box, ` ${column.readings[place()]}`);
        details.append(label);
      }
      return details;
    }),
  );
}

let built;

function draw() {
  const name = chooser.table.value;
  const [readings, errors, decimals] = [checked("readings"), checked("errors"), Number(chooser.decimals.value)];
  const same = (left, right) => left.join() === right.join();
  address.set({
    table: name,
    readings: same(readings, defaults(name)) ? "" : readings.join(",") || builder.noErrors,
    errors: same(errors, builder.defaults.errors) ? "" : errors.join(",") || builder.noErrors,
    decimals: decimals === builder.defaults.decimals ? "" : decimals,
    siunitx: chooser.siunitx.checked ? "yes" : "",
  });
  document.getElementById("no-reading").hidden = readings.length > 0;
  const area = document.getElementById("source");
  area.value = document.getElementById("copied").value = "";
  for (const link of document.querySelectorAll("[data-ending]")) link.href = `${link.dataset.folder}/${name}_${language()}.${link.dataset.ending}`;
  document.getElementById("command").textContent = ["ai-manufacturing table", name, "--format docx", ...(same(readings, defaults(name)) ? [] : [`--readings ${readings.join(",")}`]), `--errors ${errors.join(",") || builder.noErrors}`, `--language ${language()}`, `--decimals ${decimals}`].join(" ");
  built = readings.length ? assemble(name, readings, errors, place(), decimals) : undefined;
  const holder = document.createElement("template");
  if (built) holder.innerHTML = html(built);
  holder.content.querySelector("table")?.classList.add("plain", "built");
  document.getElementById("built").replaceChildren(holder.content);
}

function choose(readings) {
  listReadings(readings);
  draw();
}

for (const button of document.querySelectorAll("[data-source]"))
  button.addEventListener("click", async () => {
    if (!built) return;
    const area = document.getElementById("source");
    area.value = sources[button.dataset.source](built);
    area.select();
    try {
      await navigator.clipboard.writeText(area.value);
      document.getElementById("copied").value = builder.words.builder_copied[place()];
    } catch {
      document.getElementById("copied").value = builder.words.builder_not_copied[place()]; // not allowed here: the text is selected
    }
  });
document.getElementById("built-csv").addEventListener("click", () => {
  if (!built) return;
  const rows = built.rows.map(({ label, cells }) => Object.fromEntries([["line", label], ...built.headings.map((heading, i) => [heading, cells[i]])]));
  save(fileName(built.name, "csv"), "text/csv", csv([...rows, ...built.notes.map((note) => ({ line: note }))]));
});

const offered = (select, value) => [...select.options].some((option) => option.value === value);
for (const id of ["table", "decimals"]) if (offered(chooser[id], address.get(id))) chooser[id].value = address.get(id);
if (!address.get("decimals")) chooser.decimals.value = builder.defaults.decimals;
chooser.siunitx.checked = address.get("siunitx") === "yes";
const asked = address.get("errors")?.split(",") ?? builder.defaults.errors;
for (const box of boxes("errors")) box.checked = asked.includes(box.value);
choose(address.get("readings")?.split(",") ?? defaults(chooser.table.value));

chooser.table.addEventListener("change", () => choose(defaults(chooser.table.value)));
document.getElementById("choices").addEventListener("change", (event) => event.target !== chooser.table && draw());
chooser.siunitx.addEventListener("change", draw);
document.getElementById("choices").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("spoken", () => choose(checked("readings")));
