"""Test that expectations of the gate detect plausible but wrong deliveries.

Faults of many kinds are planted in series of a simulated sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ai_manufacturing.paper.synthetic import CityYears, draw_city_years
from ai_manufacturing.paper.synthetic.geography import read_units
from ai_manufacturing.system.settings import period
from tests.lib import judged_samples

SEED = 41
YEARS = list(period())
GDP = (
    "gdp_100m_cny",
    "primary_100m_cny",
    "secondary_100m_cny",
    "tertiary_100m_cny",
    "gdp_per_capita_cny",
)
EMPLOYMENT = ("unit_employment_10k", "secondary_employment_10k", "manufacturing_employment_10k")
PATENTS = ("applications", "grants")

Values = NDArray[np.float64]
Series = dict[str, Values]
Fault = Callable[[Series, np.random.Generator], None]


def series_of(drawn: CityYears) -> Series:
    """Return the series to which faults are applied, each as an array of shape (units, years)."""
    return {name: values.copy() for name, values in drawn.yearbook.items()} | {
        "firms": drawn.firms.astype(float),
        "ai_firms": drawn.ai_firms.stock.astype(float),
        "applications": drawn.applications.total.astype(float),
        "grants": drawn.grants.total.astype(float),
        "ai_applications": drawn.applications.ai.astype(float),
    }


def with_series(drawn: CityYears, series: Series) -> CityYears:
    """Return a copy of a simulated sample with these series, rounded like the delivered files."""

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
        applications=replace(
            drawn.applications, total=counts("applications"), ai=counts("ai_applications")
        ),
        grants=replace(drawn.grants, total=counts("grants")),
    )


def at(*years: int) -> list[int]:
    return [YEARS.index(year) for year in years]


def half_of_the_provinces(rng: np.random.Generator) -> NDArray[np.bool_]:
    provinces = read_units()["province_id"]
    chosen = rng.choice(provinces.unique(), provinces.nunique() // 2, replace=False)
    return provinces.isin(chosen).to_numpy()


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


def interpolated(names: Sequence[str], first: int, last: int) -> Fault:
    """Return a fault that interpolates the years between `first` and `last` at a constant growth
    rate.
    """

    def fault(series: Series, _: np.random.Generator) -> None:
        for name in names:
            start, end = series[name][:, at(first, last)].T
            for year in range(first + 1, last):
                along = (year - first) / (last - first)
                series[name][:, YEARS.index(year)] = start ** (1 - along) * end**along

    return fault


def swapped(one: str, other: str, years: Sequence[int] = YEARS, halved: bool = False) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        cities = half_of_the_provinces(rng) if halved else np.full(len(read_units()), True)
        for year in at(*years):
            first = series[one][cities, year].copy()
            series[one][cities, year] = series[other][cities, year]
            series[other][cities, year] = first

    return fault


def shifted(name: str, years: Sequence[int] = YEARS) -> Fault:
    """Return a fault that shifts a series by one city in the list of cities."""
    columns = np.searchsorted(YEARS, years)

    def fault(series: Series, _: np.random.Generator) -> None:
        listed = np.flatnonzero(~np.isnan(series["gdp_100m_cny"]).all(axis=1))
        cells = np.ix_(listed, columns)
        series[name][cells] = np.roll(series[name][cells], 1, axis=0)

    return fault


def copied(names: Sequence[str], cities: int, years: Sequence[int] = YEARS) -> Fault:
    """Return a fault that replaces some cities' values by the values of their province capital."""

    def fault(series: Series, rng: np.random.Generator) -> None:
        capital = (
            read_units()
            .groupby("province_id")["city_id"]
            .transform(lambda ids: ids.index[0])
            .to_numpy()
        )
        listed = np.flatnonzero(
            ~np.isnan(series["gdp_100m_cny"]).all(axis=1)
            & (capital != np.arange(len(read_units())))
        )
        for city in rng.choice(listed, cities, replace=False):
            for name in names:
                series[name][city, at(*years)] = series[name][capital[city], at(*years)]

    return fault


def slipped(name: str, year: int, factor: float, cities: int = 1) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        listed = np.flatnonzero(series[name][:, YEARS.index(year)] > 0)
        series[name][rng.choice(listed, cities, replace=False), YEARS.index(year)] *= factor

    return fault


def multiplied(names: Sequence[str], factor: Callable[[np.random.Generator], Values]) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        by = factor(rng)
        for name in names:
            series[name] *= by

    return fault


def other_ai_firms(rng: np.random.Generator) -> Values:
    return 1.0 + np.outer(half_of_the_provinces(rng), np.equal(YEARS, 2020))


def other_vintage(rng: np.random.Generator) -> Values:
    revisions = 0.15 * rng.standard_normal(len(read_units()))
    return np.exp(np.outer(revisions, np.greater_equal(YEARS, 2018)))


def deflator_of_the_east(_: np.random.Generator) -> Values:
    return 1.025 ** -np.outer(read_units()["region"].eq("east"), np.subtract(YEARS, YEARS[0]))


def cut_off(name: str, largest: float) -> Fault:
    def fault(series: Series, _: np.random.Generator) -> None:
        series[name][:] = np.fmin(series[name], largest) + 0 * series[name]

    return fault


def suppressed(name: str, below: int, years: Sequence[int]) -> Fault:
    """Return a fault that replaces counts below a threshold by zero in some years."""

    def fault(series: Series, _: np.random.Generator) -> None:
        columns = at(*years)
        counts = series[name][:, columns]
        series[name][:, columns] = np.where(counts < below, 0, counts)

    return fault


def booked_at_the_next_city(names: Sequence[str], cities: int, first: int) -> Fault:
    def fault(series: Series, rng: np.random.Generator) -> None:
        places = np.radians(read_units()[["latitude", "longitude"]].astype(float).to_numpy())
        listed = np.flatnonzero(series[names[0]][:, YEARS.index(first) - 1] >= 20)
        for city in rng.choice(listed, cities, replace=False):
            apart = np.hypot(
                places[:, 0] - places[city, 0],
                (places[:, 1] - places[city, 1]) * np.cos(places[city, 0]),
            )
            next_city = np.argsort(apart)[1]
            for name in names:
                later = series[name][:, YEARS.index(first) :]
                later[next_city] += later[city]
                later[city] = 0

    return fault


def booked_at_the_capital(name: str, years: Sequence[int]) -> Fault:
    """Return a fault that moves a third of each city's count to its province capital."""

    def fault(series: Series, _: np.random.Generator) -> None:
        provinces = read_units().reset_index(drop=True).groupby("province_id").groups
        for year in at(*years):
            for rows in provinces.values():
                cities = np.asarray(rows)
                third = np.nan_to_num(series[name][cities[1:], year]) / 3
                series[name][cities[1:], year] -= third
                series[name][cities[0], year] += third.sum()

    return fault


# Plausible data errors that move a printed coefficient by at least half a standard error. Each
# expectation has at least one error that it must detect.
FAULTS: dict[str, tuple[Fault, str, str]] = {
    "patents two years late": (late(PATENTS, 2), "repeated_year", "2012"),
    "patents cumulated": (cumulated(PATENTS), "rising_share", "2013"),
    "employment interpolated at one rate": (
        interpolated(EMPLOYMENT, 2013, 2017),
        "straight_share",
        "2015",
    ),
    "applications and grants swapped": (swapped(*PATENTS), "odd_national_ratio", "2015"),
    "applications and grants swapped in one year": (
        swapped(*PATENTS, [2017]),
        "ratio_change",
        "2017",
    ),
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
    "the sectors swapped": (
        swapped("secondary_100m_cny", "tertiary_100m_cny"),
        "odd_ratio_trend",
        "2020",
    ),
    "employment shifted by one city": (
        shifted(EMPLOYMENT[1]),
        "series_pairs.rank_correlation",
        "2015",
    ),
    "employment shifted in one year": (
        shifted(EMPLOYMENT[1], [2015]),
        "series_shapes.rank_correlation",
        "2015",
    ),
    "thirty cities copied in one series": (copied(["gdp_100m_cny"], 30), "shared_share", "2015"),
    "five cities copied in one year": (
        copied((*GDP, *EMPLOYMENT), 5, [2016]),
        "copied_cities",
        "2016",
    ),
    "a loans cell 1e9 too large": (
        slipped("loans_100m_cny", 2017, 1e9),
        "out_of_bounds_cities",
        "2017",
    ),
    "a digit too many in two cities' firms in the last year": (
        slipped("firms", 2020, 10, 2),
        "jumping_cities",
        "2020",
    ),
    "AI firms of half of the provinces by another definition": (
        multiplied(["ai_firms"], other_ai_firms),
        "province_spread",
        "2020",
    ),
    "GDP of another vintage": (
        multiplied(GDP, other_vintage),
        "growth_spread",
        "2018",
    ),
    "AI patents under five left out of a year": (
        suppressed("ai_applications", 5, [2019, 2020]),
        "is_suppressed",
        "2019",
    ),
    "patents booked at the next city": (
        booked_at_the_next_city(PATENTS, 20, 2016),
        "rebooked_cities",
        "2016",
    ),
    "GDP of the east deflated": (
        multiplied(GDP, deflator_of_the_east),
        "drifting_count",
        "2015",
    ),
    "patents of the last two years booked at the capital": (
        booked_at_the_capital("applications", [2019, 2020]),
        "series_years.gaining_cities",
        "2019",
    ),
    "GDP cut off at 9,999.99": (cut_off("gdp_100m_cny", 9999.99), "cities_at_maximum", "2020"),
}
QUICK = ("patents two years late", "employment shifted in one year")


@pytest.fixture(scope="module")
def drawn() -> CityYears:
    return draw_city_years(SEED, period())


def critical_of(drawn: CityYears, stated: CityYears | None = None) -> pd.DataFrame:
    series = judged_samples.conformed(drawn, stated)
    found = judged_samples.judged(
        judged_samples.checked(series, judged_samples.used_series()), judged_samples.used_series()
    )
    return found[(found["severity"] == "critical") & found["success"].eq(False)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.soak) for name in FAULTS]
)
def test_a_fault_of_a_kind_is_found_by_the_expectation_that_is_for_it(
    name: str, drawn: CityYears
) -> None:
    fault, column, year = FAULTS[name]
    series = series_of(drawn)
    fault(series, np.random.default_rng(SEED))
    failed = critical_of(with_series(drawn, series), drawn)
    suite, _, argument = column.rpartition(".")
    told = failed[
        failed["suite"].str.startswith(suite) & failed["arguments"].str.contains(f'"{argument}')
    ]
    assert f'"year": {year}' in " ".join(told["failing_rows"]), failed[
        ["arguments", "failing_rows"]
    ].to_dict("records")


def test_a_clean_draw_is_not_held_back(drawn: CityYears) -> None:
    assert critical_of(drawn)["description"].tolist() == []
