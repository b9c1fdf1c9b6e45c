"use strict";

const { headline, isRounded, axes, variables, labels, sums, words } = json(document.getElementById("steering-data"));
const form = document.getElementById("steering");
const curve = charts.get(document.getElementById("figure-curve"));
const phrase = (key, given = {}) => words[key][language() === "en" ? 0 : 1].replace(/{(\w+)}/g, (_, name) => given[name]);
const keyOf = (row) => axes.map((axis) => row[axis]).join("|");
const points = new Map(curve.rows.map((row) => [keyOf(row), row]));
const isYear = (name) => /^\d+$/.test(name);
// A rounded copy has fewer decimals: zeros at the end would pass for digits that it has.
const digits = (value) => (value === null ? "–" : isRounded ? String(Number(value.toFixed(3))) : value.toFixed(3));

// A choice that leaves no select has one value.
const choice = () => ({ ...curve.rows[0], ...Object.fromEntries([...form.elements].map((one) => [one.name, one.value])) });
const variablesOf = (row, ...names) => variables.find((one) => names.every((name) => one[name] === row[name])) ?? {};
const controlsOf = (row) => (variablesOf(row, "controls", "population").control_variables ?? "").split(" ").filter(Boolean);
const outcomeOf = (row) => variablesOf(row, "prices").outcome;
const labelled = (names) => names.map((name) => form.elements[name]?.selectedOptions[0].textContent ?? name).join(", ");

// ---------------------------------------------------------------- estimates from sums

// The solutions of symmetric equations, a column each; a column that the others have is left out.
function solved(matrix, rights) {
  const rows = matrix.map((row, i) => [...row, ...rights[i]]);
  const size = matrix.length;
  for (let at = 0; at < size; at++) {
    if (rows[at][at] <= 1e-10 * matrix[at][at] || !rows[at][at]) rows[at].fill(0);
    else
      rows.forEach((row, i) => {
        const share = i === at ? 0 : row[at] / rows[at][at];
        if (share) row.forEach((_, j) => (row[j] -= share * rows[at][j]));
      });
  }
  return rows.map((row, at) => row.slice(size).map((value) => (row[at] ? value / row[at] : 0)));
}

// Slope and errors of a regression of one period: CRV1 by city, CRV3 by groups of provinces.
function fitted(period, outcome, measure, controls) {
  const terms = [...new Set(period.pairs.flat())];
  const regressors = [measure, ...controls];
  const names = [...regressors, ...terms.filter(isYear)];
  const place = new Map([...names, outcome].map((name, i) => [name, i]));
  const size = names.length;
  const matrixOf = (values) => {
    const matrix = Array.from({ length: size + 1 }, () => new Float64Array(size + 1));
    period.pairs.forEach(([one, other], i) => {
      const [row, column] = [place.get(one), place.get(other)];
      if (row !== undefined && column !== undefined) matrix[row][column] = matrix[column][row] = values[i];
    });
    return matrix;
  };
  const slopesOf = (matrix) => solved(matrix.slice(0, size).map((row) => row.slice(0, size)), matrix.slice(0, size).map((row) => [row[size]])).map(([slope]) => slope);
  const groups = period.groups.map(matrixOf);
  const whole = matrixOf(period.groups[0].map((_, i) => period.groups.reduce((sum, values) => sum + values[i], 0)));
  const slopes = slopesOf(whole);
  const moves = groups.map((group) => slopesOf(whole.map((row, i) => row.map((value, j) => value - group[i][j])))[0] - slopes[0]);
  const count = groups.length;
  const byGroup = Math.sqrt(((count - 1) / count) * moves.reduce((sum, move) => sum + move ** 2, 0));

  const units = names.map((_, i) => [i ? 0 : 1]);
  const weights = solved(whole.slice(0, size).map((row) => row.slice(0, size)), units).map(([value]) => value);
  const weight = (name) => (regressors.includes(name) ? weights[place.get(name)] : 0);
  const residual = (name) => (name === outcome ? 1 : regressors.includes(name) ? -slopes[place.get(name)] : 0);
  const score = (one, other) => weight(one) * residual(other) + (one === other ? 0 : weight(other) * residual(one));
  let meat = 0;
  for (const [one, withOne, other, withOther, value] of period.products)
    meat += (one === other && withOne === withOther ? 1 : 2) * score(one, withOne) * score(other, withOther) * value;
  const { rows, cities } = period;
  const factor = ((cities / (cities - 1)) * (rows - 1)) / (rows - regressors.length - terms.filter(isYear).length - 1);
  return { estimate: slopes[0], byCity: period.products.length ? Math.sqrt(factor * meat) : null, byGroup, groups: count };
}

// What the sums say of a choice, or the axes that they lack.
function anew(row, controls) {
  const period = sums.find((one) => one.period === row.period);
  const terms = new Set(period?.pairs.flat());
  const measure = `${row.transform} ${row.weighting}`;
  const fixed = ["scope", "provider", "fixed_effects", "city_sample", "dynamics"];
  const lacking = fixed.filter((axis) => row[axis] !== headline[axis]);
  if (!period) lacking.push("period");
  if (!terms.has(measure)) lacking.push("transform", "weighting");
  if (!terms.has(outcomeOf(row))) lacking.push("prices");
  if (!controls.every((name) => terms.has(name))) lacking.push("controls", "population");
  return lacking.length ? { lacking } : { ...fitted(period, outcomeOf(row), measure, controls), period };
}

// ---------------------------------------------------------------- the page

const boxes = document.getElementById("controls");
const offered = [...new Set(sums.flatMap((period) => period.pairs.flat()))].filter((name) => !isYear(name) && !name.includes(" ") && !name.startsWith(headline.outcome));
for (const name of offered) {
  const label = document.createElement("label");
  const box = Object.assign(document.createElement("input"), { type: "checkbox", value: name });
  const [en, zh] = labels[name];
  label.append(box, " ", Object.assign(document.createElement("span"), { lang: "en", className: "en", textContent: en }), Object.assign(document.createElement("span"), { lang: "zh-CN", className: "zh", textContent: zh }), " ");
  boxes.append(label);
}
const checked = () => [...boxes.querySelectorAll(":checked")].map((box) => box.value);

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

async function show(keepsControls = false) {
  const row = choice();
  for (const one of form.elements)
    for (const option of one.options) option.disabled = !points.has(keyOf({ ...row, [one.name]: option.value })) && !option.selected;
  const point = points.get(keyOf(row));
  if (!keepsControls) for (const box of boxes.querySelectorAll("input")) box.checked = controlsOf(row).includes(box.value);
  const controls = keepsControls ? checked() : controlsOf(row);
  const numbers = point && { estimate: digits(point.estimate), by_city: digits(point.std_error_by_city), by_province: digits(point.std_error_by_province), rows: point.observation_count, cities: point.city_count, rank: point.rank, count: curve.rows.length };
  document.getElementById("point").textContent = point ? phrase("point_is", numbers) : phrase("no_point");
  const found = anew(row, controls);
  const same = point && found.period && (point.observation_count === found.period.rows ? phrase("sums_same_rows") : phrase("sums_other_rows", { rows: point.observation_count }));
  document.getElementById("anew").textContent = found.lacking
    ? phrase("sums_lack", { names: labelled(found.lacking) })
    : [phrase("sums_are", { rows: found.period.rows, period: found.period.period, estimate: digits(found.estimate), by_city: digits(found.byCity), by_group: digits(found.byGroup), groups: found.groups }), same].filter(Boolean).join(" ");
  document.getElementById("lines").textContent = linesOf(row, controls);
  address.set({ choice: keyOf(row) });
  await curve.draw();
  await curve.view.signal("chosen", point?.rank ?? 0).runAsync();
}

function choose(row) {
  for (const one of form.elements) one.value = row[one.name] ?? one.value;
  return show();
}

curve.picked = (datum) => datum?.rank && choose(curve.rows.find((row) => row.rank === datum.rank));
form.addEventListener("input", () => show());
boxes.addEventListener("input", () => show(true));
document.addEventListener("spoken", () => show(true));
const asked = points.get(address.get("choice"));
const isHeadline = (row) =>
  keyOf({ ...row, ...Object.fromEntries(Object.keys(headline).filter((name) => axes.includes(name)).map((name) => [name, headline[name]])) }) === keyOf(row) &&
  controlsOf(row).join(" ") === headline.control_variables;
const own = curve.rows.filter(isHeadline).sort((one, other) => other.observation_count - one.observation_count)[0];
loading.push(choose(asked ?? own ?? curve.rows[0]));
