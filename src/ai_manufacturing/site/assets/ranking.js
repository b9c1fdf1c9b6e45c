"use strict";

// The ranking of all cities in one variable and year. cities.js declares the data and the helpers.
const variableChoice = document.getElementById("ranked");
const yearChoice = document.getElementById("ranked-year");
const filters = document.getElementById("ranked-among");
const groupings = [...new Set(Object.keys(strata).map((one) => one.split("=")[0]))];
// Ranks are stored in the order of the city codes.
const cityIds = Object.keys(cities).sort();
let sortedBy = "ranks";

// The ranking of the year on the slider, or of the nearest year that has one.
function chosenRanking() {
  const distance = ({ year }) => Math.abs(year - yearChoice.value);
  return rankings.filter((one) => one.variable === variableChoice.value).reduce((best, one) => (distance(one) < distance(best) ? one : best));
}

function rankedCities({ ranks, growth_ranks }) {
  const groups = [...filters.querySelectorAll("select")].map((select) => select.value).filter(Boolean);
  const found = cityIds
    .map((id, i) => ({ id, ranks: ranks[i], growth: growth_ranks[i] }))
    .filter(({ id, ranks: rank }) => rank !== null && groups.every((group) => cities[id].peers.split(", ").includes(group)));
  return found.sort((a, b) => (a[sortedBy] ?? Infinity) - (b[sortedBy] ?? Infinity) || a.ranks - b.ranks);
}

function cityLink(id) {
  return element("a", nameOf(id), {
    href: `?city=${id}`,
    onclick(event) {
      event.preventDefault();
      show(id);
      document.getElementById("chosen-city").scrollIntoView();
    },
  });
}

function sortButton(by, text) {
  const button = element("button", text, { type: "button" });
  button.addEventListener("click", () => ((sortedBy = by), listRanks()));
  button.setAttribute("aria-pressed", String(sortedBy === by));
  return button;
}

function listRanks() {
  const ranking = chosenRanking();
  const { variable, year, city_count, first_tied_rank, first_year, growth_city_count } = ranking;
  document.getElementById("ranked-in").textContent = year;
  const values = hasValues(variable) && new Map(rows.filter((row) => row.year === year).map((row) => [row.city_id, row[variable]]));
  const found = rankedCities(ranking);
  const placeOf = ({ ranks: rank }) => place(rank, city_count, first_tied_rank !== null && rank >= first_tied_rank, lastOf(variable, rank, city_count));
  const lines = found.map((city) => [
    placeOf(city),
    cityLink(city.id),
    inLanguage(provinces[cities[city.id].province]),
    ...(values ? [figure(values.get(city.id))] : []),
    place(city.growth, growth_city_count, false, lastOf(variable, city.growth, growth_city_count)),
  ]);
  const made = table(["rank", "city", "province", ...(values ? ["used"] : []), "growth_all"], lines);
  const heads = [...made.querySelectorAll("th")];
  heads[0].replaceChildren(sortButton("ranks", phrase("rank")));
  heads.at(-1).replaceChildren(sortButton("growth", phrase("growth_rank", { year: first_year })));
  if (values) heads[3].textContent = inLanguage(labels[units[variable]]);
  document.getElementById("ranks").replaceChildren(made);
  const first = [...found].sort((a, b) => a.ranks - b.ranks)[0];
  document.getElementById("ranked-first").textContent = first ? phrase("first_city", { year, city: inLanguage(cities[first.id].names), place: placeOf(first) }) : phrase("no_rank");
}

function offerRankings() {
  options(variableChoice, ranked.map((one) => [one, inLanguage(labels[one])]), variableChoice.value || address.get("ranked"));
  const chosenGroups = [...filters.querySelectorAll("select")].map((select) => select.value);
  filters.replaceChildren(
    ...groupings.map((grouping, i) => {
      const select = element("select", "", { onchange: listRanks });
      const groups = Object.keys(strata).filter((one) => one.startsWith(`${grouping}=`));
      options(select, [["", phrase("any_city")], ...groups.map((one) => [one, inLanguage(strata[one])])], chosenGroups[i]);
      select.setAttribute("aria-label", inLanguage(labels[grouping]));
      return select;
    }),
  );
  if (!yearChoice.min) offerYears(address.get("ranked-year"));
  listRanks();
}

// The slider covers the years in which the variable has ranks.
function offerYears(wanted) {
  const found = rankings.filter((one) => one.variable === variableChoice.value).map(({ year }) => year);
  Object.assign(yearChoice, { min: Math.min(...found), max: Math.max(...found), value: wanted ?? Math.max(...found) });
}

variableChoice.addEventListener("change", () => (address.set({ ranked: variableChoice.value }), offerYears(yearChoice.value), listRanks()));
yearChoice.addEventListener("input", () => (address.set({ "ranked-year": yearChoice.value }), listRanks()));
document.addEventListener("spoken", offerRankings);
offerRankings();
