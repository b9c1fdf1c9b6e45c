"""Deliveries that can be read and look right, and are wrong: what the expectations that know the series say of them.

In memory a fault is put into a draw of the sample, many kinds in many series. Faults that moved printed estimates most
are delivered, too, and judged in a good warehouse.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ai_manufacturing.settings import period
from ai_manufacturing.synthetic import CityYears, draw
from ai_manufacturing.synthetic.geography import units
from benchmarks import gate
from tests.python.conftest import Build

SEED = 41
YEARS = list(period())
GDP = ("gdp_100m_cny", "primary_100m_cny", "secondary_100m_cny", "tertiary_100m_cny", "gdp_per_capita_cny")
EMPLOYMENT = ("unit_employment_10k", "secondary_employment_10k", "manufacturing_employment_10k")
PATENTS = ("applications", "grants")

Values = NDArray[np.float64]
Series = dict[str, Values]
Fault = Callable[[Series, np.random.Generator], None]


def series_of(drawn: CityYears) -> Series:
    """Return what the faults change: the yearbook, firms and patents, units by years."""
    return {name: values.copy() for name, values in drawn.yearbook.items()} | {
        "firms": drawn.firms.astype(float),
        "ai_firms": drawn.ai_firms.stock.astype(float),
        "applications": drawn.applications.total.astype(float),
        "grants": drawn.grants.total.astype(float),
    }


def with_series(drawn: CityYears, series: Series) -> CityYears:
    """Return a draw with these series, rounded as they are printed."""

    def counts(name: str) -> NDArray[np.int64]:
        return np.rint(series[name]).astype(np.int64)

    return replace(
        drawn,
        yearbook={
            name: np.round(series[name], 0 if (values % 1 == 0).mean() > 0.5 else 2)
            for name, values in drawn.yearbook.items()
        },
        firms=counts("firms"),
        ai_firms=replace(drawn.ai_firms, stock=counts("ai_firms")),
        applications=replace(drawn.applications, total=counts("applications")),
        grants=replace(drawn.grants, total=counts("grants")),
    )


def at(*years: int) -> list[int]:
    return [YEARS.index(year) for year in years]


def half_of_the_provinces(rng: np.random.Generator) -> NDArray[np.bool_]:
    provinces = units()["province_id"]
    chosen = rng.choice(provinces.unique(), provinces.nunique() // 2, replace=False)
    return provinces.isin(chosen).to_numpy()


def repeated(names: Sequence[str], year: int, earlier: int, factor: float = 1, share: float = 1) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        cities = rng.random(len(units())) < share
        for name in names:
            series[name][cities, YEARS.index(year)] = series[name][cities, YEARS.index(earlier)] * factor

    return fault


def late(names: Sequence[str], years: int) -> Fault:
    def fault(series: Series, _: np.random.Generator) -> None:
        for name in names:
            series[name][:, years:] = series[name][:, :-years].copy()

    return fault


def cumulated(names: Sequence[str]) -> Fault:
    def fault(series: Series, _: np.random.Generator) -> None:
        for name in names:
            series[name][:] = np.nancumsum(series[name], axis=1) + 0 * series[name]

    return fault


def interpolated(names: Sequence[str], first: int, last: int, by_rate: bool = False, share: float = 1) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        cities = rng.random(len(units())) < share
        for name in names:
            ends = series[name][cities][:, at(first, last)]
            ends = np.log(ends) if by_rate else ends
            for year in range(first + 1, last):
                along = (year - first) / (last - first)
                value = (1 - along) * ends[:, 0] + along * ends[:, 1]
                series[name][cities, YEARS.index(year)] = np.exp(value) if by_rate else value

    return fault


def swapped(one: str, other: str, years: Sequence[int] = YEARS, halved: bool = False) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        cities = half_of_the_provinces(rng) if halved else np.full(len(units()), True)
        for year in at(*years):
            first = series[one][cities, year].copy()
            series[one][cities, year] = series[other][cities, year]
            series[other][cities, year] = first

    return fault


def shifted(names: Sequence[str], rows: int, years: Sequence[int] = YEARS) -> Fault:
    def fault(series: Series, _: np.random.Generator) -> None:
        for name in names:
            listed = np.flatnonzero(~np.isnan(series["gdp_100m_cny"]).all(axis=1))
            for year in at(*years):
                series[name][listed, year] = np.roll(series[name][listed, year], rows)

    return fault


def copied(names: Sequence[str], cities: int, years: Sequence[int] = YEARS) -> Fault:
    """The first city of the province in the list is its capital."""

    def fault(series: Series, rng: np.random.Generator) -> None:
        capital = units().groupby("province_id")["city_id"].transform(lambda ids: ids.index[0]).to_numpy()
        listed = np.flatnonzero(~np.isnan(series["gdp_100m_cny"]).all(axis=1) & (capital != np.arange(len(units()))))
        for city in rng.choice(listed, cities, replace=False):
            for name in names:
                series[name][city, at(*years)] = series[name][capital[city], at(*years)]

    return fault


def slipped(name: str, year: int, factor: float, cities: int = 1) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        listed = np.flatnonzero(series[name][:, YEARS.index(year)] > 0)
        series[name][rng.choice(listed, cities, replace=False), YEARS.index(year)] *= factor

    return fault


def redefined(names: Sequence[str], factor: float, years: Sequence[int]) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        cities = half_of_the_provinces(rng)
        for name in names:
            series[name][np.ix_(cities, at(*years))] *= factor

    return fault


def of_another_vintage(names: Sequence[str], spread: float, years: Sequence[int]) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        revision = np.exp(spread * rng.standard_normal((len(units()), 1)))
        for name in names:
            series[name][:, at(*years)] *= revision

    return fault


def cut_off(name: str, largest: float) -> Fault:
    def fault(series: Series, _: np.random.Generator) -> None:
        series[name][:] = np.fmin(series[name], largest) + 0 * series[name]

    return fault


# Of each kind what moves a printed coefficient by half a standard error or more.
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "population repeats a year": (repeated(["registered_population_10k"], 2014, 2013), "repeated_year", "2014"),
    "GDP repeats the year before last times 1.2": (repeated(GDP, 2016, 2014, 1.2), "repeated_year", "2016"),
    "four cities in ten repeat": (
        repeated(["unit_employment_10k"], 2017, 2016, 1, 0.4),
        "repeated_year",
        "2017",
    ),
    "patents two years late": (late(PATENTS, 2), "repeated_year", "2012"),
    "R&D personnel one year late": (late(["rd_personnel"], 1), "repeated_year", "2011"),
    "patents cumulated": (cumulated(PATENTS), "rising_share", "2013"),
    "foreign investment cumulated": (cumulated(["fdi_million_usd"]), "rising_share", "2016"),
    "GDP interpolated": (interpolated(GDP, 2012, 2018), "straight_share", "2015"),
    "employment interpolated at one rate": (interpolated(EMPLOYMENT, 2013, 2017, True), "straight_share", "2015"),
    "two cities in five interpolated": (interpolated(GDP, 2012, 2018, share=0.4), "straight_share", "2015"),
    "applications and grants swapped": (swapped(*PATENTS), "odd_national_ratio", "2015"),
    "applications and grants swapped in one year": (swapped(*PATENTS, [2017]), "ratio_change", "2017"),
    "applications and grants swapped in half of the provinces": (
        swapped(*PATENTS, halved=True),
        "ratio_spread",
        "2015",
    ),
    "the populations swapped": (
        swapped("registered_population_10k", "resident_population_10k"),
        "odd_larger_share",
        "2015",
    ),
    "the populations swapped in one year": (
        swapped("registered_population_10k", "resident_population_10k", [2015]),
        "growth_spread",
        "2015",
    ),
    "the sectors swapped": (swapped("secondary_100m_cny", "tertiary_100m_cny"), "odd_ratio_trend", "2020"),
    "the sectors swapped in one year": (
        swapped("secondary_100m_cny", "tertiary_100m_cny", [2014]),
        "growth_spread",
        "2014",
    ),
    "employment shifted by one city": (shifted(EMPLOYMENT[1:2], 1), "rank_correlation", "2015"),
    "all employment shifted by three cities": (shifted(EMPLOYMENT, 3), "rank_correlation", "2015"),
    "R&D personnel shifted in one year": (shifted(["rd_personnel"], 1, [2020]), "rank_correlation", "2020"),
    "GDP shifted by one city": (shifted(GDP, 1), "rank_correlation", "2015"),
    "thirty cities copied from their capital": (copied((*GDP, *EMPLOYMENT), 30), "copied_cities", "2015"),
    "thirty cities copied in one series": (copied(["gdp_100m_cny"], 30), "shared_share", "2015"),
    "five cities copied in one year": (copied((*GDP, *EMPLOYMENT), 5, [2016]), "copied_cities", "2016"),
    "a loans cell 1e9 too large": (slipped("loans_100m_cny", 2017, 1e9), "out_of_bounds_cities", "2017"),
    "a science cell 1,000 too small": (slipped("science_spending_100m_cny", 2016, 1e-3), "odd_year_cities", "2016"),
    "a digit too many in employment": (slipped("unit_employment_10k", 2015, 10, 3), "odd_year_cities", "2015"),
    "a digit too many in two cities' firms in the last year": (slipped("firms", 2020, 10, 2), "jumping_cities", "2020"),
    "AI firms of half of the provinces by another definition": (
        redefined(["ai_firms"], 2, [2020]),
        "province_spread",
        "2020",
    ),
    "GDP of half of the provinces by another definition": (
        redefined(GDP, 1.2, range(2015, 2021)),
        "province_spread",
        "2015",
    ),
    "GDP of another vintage": (of_another_vintage(GDP, 0.15, [2018, 2019, 2020]), "growth_spread", "2018"),
    "GDP cut off at 9,999.99": (cut_off("gdp_100m_cny", 9999.99), "cities_at_maximum", "2020"),
}
QUICK = ("patents two years late", "employment shifted by one city")


@pytest.fixture(scope="module")
def drawn() -> CityYears:
    return draw(SEED, period())


def critical_of(drawn: CityYears) -> pd.DataFrame:
    found = gate.judged(gate.checked(gate.conformed(drawn), gate.used_series()), gate.used_series())
    return found[(found["severity"] == "critical") & ~found["success"]]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.soak) for name in FAULTS]
)
def test_a_fault_of_a_kind_is_found_by_the_expectation_that_is_for_it(name: str, drawn: CityYears) -> None:
    fault, column, year = FAULTS[name]
    series = series_of(drawn)
    fault(series, np.random.default_rng(SEED))
    failed = critical_of(with_series(drawn, series))
    told = failed[failed["arguments"].str.contains(f'"{column}')]
    assert f'"year": {year}' in " ".join(told["failing_rows"]), failed[["arguments", "failing_rows"]].to_dict("records")


def test_a_clean_draw_is_not_held_back(drawn: CityYears) -> None:
    assert critical_of(drawn)["description"].tolist() == []


CITY, YEAR, INDUSTRY, KIND = "城市代码", "年份", "行业代码", "专利类型"
COUNTS = ["专利申请数", "专利授权数", "人工智能专利申请数", "人工智能专利授权数"]


def patents_cumulated(rows: pd.DataFrame) -> pd.DataFrame:
    keys = [CITY, INDUSTRY, KIND]
    return rows.assign(**{name: rows.sort_values(YEAR).groupby(keys)[name].cumsum() for name in COUNTS})


def populations_swapped(rows: pd.DataFrame) -> pd.DataFrame:
    registered, resident = "户籍人口(万人)", "常住人口(万人)"
    return rows.rename(columns={registered: resident, resident: registered})[rows.columns]


def employment_shifted(rows: pd.DataFrame) -> pd.DataFrame:
    name = "第二产业从业人员(万人)"
    return rows.assign(**{name: rows.groupby(YEAR)[name].transform(lambda listed: np.roll(listed, 1))})


def loans_cell(rows: pd.DataFrame) -> pd.DataFrame:
    name = "年末金融机构贷款余额(亿元)"
    rows.loc[(rows[CITY] == "330100") & (rows[YEAR] == 2017), name] *= 1e9
    return rows


def ai_firms_redefined(rows: pd.DataFrame) -> pd.DataFrame:
    half = rows[CITY].str[:2].astype(int) % 2 == 0
    wider = half & (rows[YEAR] == 2020)
    added = rows["人工智能企业存续数"].where(wider, 0)
    ai, of_all = ["人工智能企业存续数", "人工智能企业新设数"], ["企业存续数", "企业新设数"]
    return rows.assign(**{name: rows[name] + added for name in (*ai, *of_all)})


REWRITTEN: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str, str, int]] = [
    ("patents", patents_cumulated, "invention_application_count", "rising_share", 2014),
    ("city_yearbook", employment_shifted, "secondary_employment_10k", "rank_correlation", 2015),
    ("city_yearbook", loans_cell, "loans_100m_cny", "out_of_bounds_cities", 2017),
    ("firm_survival", ai_firms_redefined, "ai_firm_count", "province_spread", 2020),
    ("city_yearbook", populations_swapped, "registered_population_10k", "odd_larger_share", 2015),
]
FAILED = "select arguments, failing_rows from gates.gate_results where severity = 'critical' and not success"


@pytest.mark.soak
def test_delivered_faults_that_are_plausible_are_named_by_the_gate(delivery: Build) -> None:
    """Each of these was published once, with estimates 4 to 15 standard errors from those before."""
    for entity, fault, *_ in REWRITTEN:
        paths = sorted((delivery.extracts / entity).glob("*.csv"))
        texts = {CITY: str, INDUSTRY: str}
        rows = pd.concat([pd.read_csv(path, dtype=texts) for path in paths], ignore_index=True)
        plain = partial(np.format_float_positional, trim="-")
        for path, (_, part) in zip(paths, fault(rows).groupby(YEAR), strict=True):
            part.to_csv(path, index=False, float_format=plain)
    assert [*delivery.models("gate_results").failed]
    failed = delivery.rows(FAILED)
    for _, _, series, column, year in REWRITTEN:
        found = [row for arguments, rows in failed if f'"{column}' in arguments for row in json.loads(rows)]
        assert any((row["series"], row["year"]) == (series, year) for row in found), (column, failed)


@pytest.mark.soak
def test_public_faults_are_named_with_their_cities_and_years(public_build: Build, fresh: Build, tmp_path: Path) -> None:
    """A digit too many in the firm counts of two cities, and five years of one population."""
    fresh.extracts = Path(shutil.copytree(public_build.extracts, tmp_path / "public"))
    shutil.copy(public_build.warehouse, fresh.warehouse)
    fresh.manifest = public_build.manifest
    fresh.landing = Path(shutil.copytree(public_build.scratch / "landing", tmp_path / "store"))
    path = fresh.extracts / "firm_stock/firms12_20.dta"
    firms = pd.read_stata(path)
    wrong = firms["citycode"].astype(str).isin(["330100", "430100"]) & (firms["year"].astype(int) == 2016)
    assert wrong.sum() == 2
    firms.loc[wrong, "firm"] *= 10
    firms.to_stata(path, write_index=False, version=118)
    path = fresh.extracts / "city_yearbook/job_data.csv"
    jobs = pd.read_csv(path, encoding="gb18030", dtype=str)
    name, year = "户籍人口(万人)", jobs["年份"].str[:4]
    of_2013 = jobs[year == "2013"].set_index("城市代码")[name]
    later = year.isin(["2014", "2015", "2016", "2017"])
    jobs.loc[later, name] = jobs.loc[later, "城市代码"].map(of_2013)
    jobs.to_csv(path, index=False, encoding="gb18030")

    assert [*fresh.models("gate_results").failed]
    rows = [row for _, found in fresh.rows(FAILED) for row in json.loads(found)]

    (moved,) = (row for row in rows if row.get("odd_year_cities") and row["series"] == "firm_count")
    assert (moved["year"], moved["odd_year_cities"].split(" ")[0::2]) == (2016, ["杭州市", "长沙市"])
    repeats = {row["year"] for row in rows if row.get("repeated_year") and row["series"] == "registered_population_10k"}
    assert repeats >= {2014, 2015, 2016, 2017}
