"use strict";

const { headline, isRounded, axes, variables, words } = json(document.getElementById("steering-data"));
const form = document.getElementById("steering");
const curve = charts.get(document.getElementById("figure-curve"));
const phrase = (key, given = {}) => words[key][language() === "en" ? 0 : 1].replace(/{(\w+)}/g, (_, name) => given[name]);
const keyOf = (row) => axes.map((axis) => row[axis]).join("|");
const points = new Map(curve.rows.map((row) => [keyOf(row), row]));
// A rounded copy has fewer decimals: zeros at the end would pass for digits that it has.
const digits = (value) => (value === null ? "–" : isRounded ? String(Number(value.toFixed(3))) : value.toFixed(3));

// A choice that leaves no select has one value.
const choice = () => ({ ...curve.rows[0], ...Object.fromEntries([...form.elements].map((one) => [one.name, one.value])) });
const variablesOf = (row, ...names) => variables.find((one) => names.every((name) => one[name] === row[name])) ?? {};
const controlsOf = (row) => (variablesOf(row, "controls", "population").control_variables ?? "").split(" ").filter(Boolean);
const outcomeOf = (row) => variablesOf(row, "prices").outcome;
const labelled = (names) => names.map((name) => form.elements[name]?.selectedOptions[0].dataset[language()] ?? name).join(", ");

function linesOf(row, controls) {
  const before = ["provider", "city_sample", "dynamics"].filter((axis) => row[axis] !== headline[axis]);
  if (before.length) return `# ${phrase("no_lines", { names: labelled(before) })}`;
  const column = { level: "measure_10k", ln: "ln_measure", ln1p: "ln1p_measure", asinh: "asinh_measure" }[row.transform];
  const right = [column, ...controls].join(" + ");
  const [first, last] = row.period.split("-");
  const byProvince = row.fixed_effects !== "city year";
  const effects = `city_id + ${byProvince ? "province_id^year" : "year"}`;
  return [
    `# fct_city_year_panel with fct_ai_measure where measure = '${headline.regressor}', weighting = '${row.weighting}', scope = '${row.scope}'`,
    `pf.feols("${outcomeOf(row)} ~ ${right} | ${effects}", data.query("${first} <= year <= ${last}"), vcov={"CRV1": "city_id"})  # pyfixest`,
    `feols(${outcomeOf(row)} ~ ${right} | ${effects}, subset(data, year >= ${first} & year <= ${last}), cluster = ~city_id)  # fixest`,
    `reghdfe ${outcomeOf(row)} ${right.replaceAll(" + ", " ")} if inrange(year, ${first}, ${last}), absorb(city_id ${byProvince ? "province_id#year" : "year"}) vce(cluster city_id)  // Stata`,
  ].join("\n");
}

const nameOfOption = (option) => option.dataset[language()];
const optionOf = (axis, value) => [...(form.elements[axis]?.options ?? [])].find((option) => option.value === value);

// The estimate with a given option that shares most choices with the present one, and the choices in which it differs.
function nearest(row, axis, value) {
  const differing = (one) => axes.filter((name) => name !== axis && one[name] !== row[name]);
  const candidates = curve.rows.filter((one) => one[axis] === value);
  return candidates.map((one) => differing(one).map((name) => optionOf(name, one[name]))).reduce((best, one) => (one.length < best.length ? one : best));
}

// An option without an estimate beside the other choices is disabled, and names the choices that it needs.
function offerOptions(row) {
  for (const select of form.elements)
    for (const option of select.options) {
      option.disabled = !option.selected && !points.has(keyOf({ ...row, [select.name]: option.value }));
      const needed = option.disabled ? nearest(row, select.name, option.value).filter(Boolean) : [];
      option.textContent = needed.length ? phrase("option_needs", { option: nameOfOption(option), needed: needed.map(nameOfOption).join(", ") }) : nameOfOption(option);
    }
}

async function show() {
  const row = choice();
  offerOptions(row);
  const point = points.get(keyOf(row));
  const controls = controlsOf(row);
  const numbers = { estimate: digits(point.estimate), by_city: digits(point.std_error_by_city), by_province: digits(point.std_error_by_province), rows: point.observation_count, cities: point.city_count, rank: point.rank, count: curve.rows.length };
  document.getElementById("point").textContent = phrase("point_is", numbers);
  document.getElementById("lines").textContent = linesOf(row, controls);
  address.set({ choice: keyOf(row) });
  await curve.draw();
  await curve.view.signal("chosen", point.rank).runAsync();
}

function choose(row) {
  for (const one of form.elements) one.value = row[one.name] ?? one.value;
  return show();
}

curve.picked = (datum) => datum?.rank && choose(curve.rows.find((row) => row.rank === datum.rank));
form.addEventListener("input", () => show());
document.addEventListener("spoken", () => show());
const asked = points.get(address.get("choice"));
const isHeadline = (row) =>
  keyOf({ ...row, ...Object.fromEntries(Object.keys(headline).filter((name) => axes.includes(name)).map((name) => [name, headline[name]])) }) === keyOf(row) &&
  controlsOf(row).join(" ") === headline.control_variables;
const own = curve.rows.filter(isHeadline).sort((one, other) => other.observation_count - one.observation_count)[0];
loading.push(choose(asked ?? own ?? curve.rows[0]));
