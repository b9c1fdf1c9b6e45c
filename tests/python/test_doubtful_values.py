"""Tests for the checks that flag single wrong values, on real and simulated data."""

import json
import random

import numpy as np
import pandas as pd
import pytest
from linearmodels.panel import PanelOLS

from ai_manufacturing.gate import validation
from ai_manufacturing.paper.synthetic import draw_city_years
from ai_manufacturing.system.settings import period
from tests.lib import judged_samples
from tests.python.conftest import Build

HEADLINE = "table_1_col_1"
CELL = ["series", "scope", "city_id", "year"]

Frames = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
"""Series, the series that specifications use, and pairs of sources."""


def marked(series: pd.DataFrame, used: pd.DataFrame, pairs: pd.DataFrame | None) -> pd.DataFrame:
    """Return the cells that the checks flag as doubtful, without duplicates."""
    found = judged_samples.checked(series, used, pairs)["doubtful_values"]
    return found[CELL].drop_duplicates()


@pytest.fixture(scope="module")
def public(public_build: Build) -> Frames:
    return (
        public_build.frame("from intermediate.int_series_conformed"),
        public_build.frame("from marts.dim_specification_series"),
        public_build.frame("from marts.fct_source_pairs"),
    )


COPIED, COPIED_TWICE, COPIED_APART, OF_ITS_PROVINCE, OTHER_POPULATION, SPIKED = (
    "340100",
    "340200",
    "370500",
    "350200",
    "650200",
    "420600",
)
COPIED_TOGETHER = ("unit_employment_10k", "science_spending_100m_cny")
IN_AN_EVENT, WITHOUT_EVENT = "370200", "320200"
SHIFTED = "130200"
SECOND_SOURCE = {
    **dict.fromkeys(range(2010, 2021), 1.0),
    **dict.fromkeys((2010, 2011, 2012, 2014, 2015, 2017), 1.35),
}
"""First source divided by the second, by year. The second has no value for 2010 and 2016."""


def planted_values(series: pd.DataFrame) -> pd.DataFrame:
    """Return the series after planting one fault of each kind, each in a different city."""
    values = series.set_index(["series", "city_id", "year"])["value"].copy()

    def copy_the_year_before(name: str, city: str, *years: int) -> None:
        for year in years:
            values[name, city, year] = values[name, city, year - 1]

    for name in COPIED_TOGETHER:
        copy_the_year_before(name, COPIED, 2017)
    copy_the_year_before("unit_employment_10k", COPIED_TWICE, 2014, 2015)
    copy_the_year_before("unit_employment_10k", COPIED_APART, 2012, 2015)
    values["gdp_100m_cny", OF_ITS_PROVINCE, 2014] = values[
        "province_gdp_100m_cny", OF_ITS_PROVINCE, 2014
    ]
    values["gdp_100m_cny", SPIKED, 2014] *= 1.5
    values["registered_population_10k", SHIFTED, 2010] /= 10
    for city, first in ((IN_AN_EVENT, 2013), (WITHOUT_EVENT, 2016)):
        for year in range(first, 2021):
            values["unit_employment_10k", city, year] *= 3
    return series.assign(value=values.to_numpy())


def second_source(series: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of values from two population sources that disagree in one city."""
    rows = series[series["series"].eq("registered_population_10k")].dropna(subset="value")
    differs = rows["city_id"].eq(OTHER_POPULATION)
    rows = rows[~(differs & rows["year"].isin((2010, 2016)))]
    factors = rows["year"].map(SECOND_SOURCE).where(differs, 1.0)
    return judged_samples.source_pairs(rows, rows["value"] / factors)


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    """Return a fault-free simulated sample in which Beijing's province total is Beijing's own
    value.
    """
    series = judged_samples.conformed(draw_city_years(judged_samples.FIRST_SEED, period()))
    beijing = series[series["city_id"].eq("110000") & series["series"].eq("gdp_100m_cny")]
    total = "province_gdp_100m_cny"
    return pd.concat([series, beijing.assign(series=total, quantity=total)], ignore_index=True)


@pytest.fixture(scope="module")
def marks(clean: pd.DataFrame) -> pd.DataFrame:
    """Return the doubtful values that the checks find in the sample with planted faults."""
    found = judged_samples.checked(
        planted_values(clean),
        judged_samples.used_series(),
        second_source(clean),
        only=["doubtful_values"],
    )
    return found["doubtful_values"].sort_values(["series", "city_id", "year"])


Marks = list[tuple[int, str, str | None, bool]]
"""Year, cause, detail of the cause, and whether the value is unexplained."""


def marks_of(marks: pd.DataFrame, city: str, name: str) -> Marks:
    here = marks[marks["city_id"].eq(city) & marks["series"].eq(name)]
    columns = here[["year", "cause", "cause_detail", "is_unexplained"]].astype(object)
    return [*columns.where(columns.notna(), None).itertuples(index=False, name=None)]


@pytest.mark.parametrize("name", COPIED_TOGETHER)
def test_two_series_of_a_city_that_repeat_the_year_before_are_copies(
    marks: pd.DataFrame, name: str
) -> None:
    """Values are flagged as copies if two series of a city both repeat the year before.

    Either series alone repeats about one value in a thousand by chance.
    """
    assert marks_of(marks, COPIED, name) == [(2017, "repeat", None, False)]


def test_a_repeat_that_chance_makes_is_no_copy(clean: pd.DataFrame, marks: pd.DataFrame) -> None:
    """A repeated value is not flagged as a copy if the repeat is likely to occur by chance.

    Cases: a value of four digits repeated in consecutive and in separate years, and hundreds of
    repeated small counts.
    """
    twice = marks_of(marks, COPIED_TWICE, "unit_employment_10k")
    assert twice == [(2015, "repeat", None, False)]
    apart = marks_of(marks, COPIED_APART, "unit_employment_10k")
    assert "repeat" not in {cause for _, cause, *_ in apart}
    cells = clean.sort_values(["series", "city_id", "year"])
    before = cells.groupby(["series", "city_id"])["value"].shift()
    small = cells[
        cells["series"].str.endswith("_count")
        & cells["value"].eq(before)
        & cells["value"].between(1, 19)
    ]
    assert len(small) > 500
    assert small.merge(marks[marks["cause"].eq("repeat")], on=CELL).empty


def test_a_value_that_is_its_province_total_is_marked_but_in_a_municipality(
    marks: pd.DataFrame,
) -> None:
    """A city value that equals the province total is flagged, except in a municipality.

    A municipality is a province of its own.
    """
    of_a_city = marks_of(marks, OF_ITS_PROVINCE, "gdp_100m_cny")
    assert (2014, "province total", None, False) in of_a_city
    totals = marks[marks["cause"].eq("province total")]
    assert totals["city_id"].tolist() == [OF_ITS_PROVINCE]


def test_a_second_source_marks_the_years_in_which_it_differs_and_none_that_it_repeats(
    marks: pd.DataFrame,
) -> None:
    """Values are flagged in the years in which a second source differs, and in no others.

    A year without a second value is marked if the sources differ before and after it, and the first
    year if they differ in the next.
    """
    of_source = marks[marks["rules"].str.contains("second source")]
    assert {*of_source["city_id"]} == {OTHER_POPULATION}
    assert of_source["year"].tolist() == [2010, 2011, 2012, 2014, 2015, 2016, 2017]
    # A constant ratio between the two sources indicates different definitions.
    assert {*of_source["cause"]} == {"definition"}
    assert {*of_source["cause_detail"]} == {"registered_population_10k@another"}
    assert np.allclose(of_source["factor"], 1.35)


def test_a_level_that_changes_is_one_row_with_the_event_that_covers_it(
    marks: pd.DataFrame,
) -> None:
    employment = "unit_employment_10k"
    assert marks_of(marks, IN_AN_EVENT, employment) == [
        (2013, "level break", "employment_2013", False)
    ]
    assert marks_of(marks, WITHOUT_EVENT, employment) == [(2016, "break without event", None, True)]


@pytest.mark.parametrize("size", [1.6, 3])
def test_a_level_that_changes_in_any_year_but_the_first_two_and_the_last_is_one_row(
    clean: pd.DataFrame, size: float
) -> None:
    """A lasting change in the level of a series is flagged once, in the year it begins.

    GDP of five cities changes level in each year. With a single year on one side, a step would look
    like a spike.
    """
    name = "gdp_100m_cny"
    cities = sorted(clean.loc[clean["series"].eq(name), "city_id"].unique())
    chosen = random.Random(3).sample(cities, 40)
    first_years = {city: 2012 + number % 8 for number, city in enumerate(chosen)}
    begins = clean["city_id"].map(first_years)
    later = clean["series"].eq(name) & clean["year"].ge(begins)
    stepped = clean.assign(value=clean["value"] * np.where(later, size, 1))
    marks = judged_samples.checked(stepped, judged_samples.used_series(), only=["doubtful_values"])[
        "doubtful_values"
    ]
    rows = marks[marks["series"].eq(name) & marks["city_id"].isin(chosen)]

    of_the_step = rows[rows["year"].eq(rows["city_id"].map(first_years))]
    assert {*of_the_step["city_id"]} == {*chosen}
    assert (of_the_step["cause"].str.contains("break")).mean() > 0.9
    assert (rows.groupby("city_id").size() == 1).mean() > 0.9


def test_a_repeat_fails_the_gate_where_it_is_rare_or_breaks_another_rule(
    marks: pd.DataFrame,
) -> None:
    repeats = marks[marks["cause"].eq("repeat")].head(1)
    cases = [("repeat", 8.5), ("repeat", 4.5), ("neighbours, repeat", 4.5)]
    rows = pd.concat(
        repeats.assign(rules=rules, spreads=spreads, year=2010 + number)
        for number, (rules, spreads) in enumerate(cases)
    )
    results = validation.validate(rows, "doubtful_values").to_pylist()
    (failed,) = [result for result in results if result["success"] is False]
    assert [row["year"] for row in json.loads(failed["failing_rows"])] == [2010, 2012]


def test_a_spike_is_unexplained(marks: pd.DataFrame) -> None:
    assert marks_of(marks, SPIKED, "gdp_100m_cny") == [(2014, "spike", None, True)]


@pytest.mark.soak
def test_fewer_than_300_values_of_the_public_set_are_unexplained(public_build: Build) -> None:
    ((marked, unexplained, most_in_a_year),) = public_build.rows(
        "select count(*), count(*) filter (is_unexplained), max(in_the_year) from"
        " marts.fct_doubtful_values inner join (select year, count(*) as in_the_year from"
        " marts.fct_doubtful_values where is_unexplained group by year) using (year)"
    )
    assert 100 < unexplained < 300 < marked
    assert most_in_a_year < unexplained / 3


@pytest.mark.soak
def test_every_slip_that_was_corrected_is_doubtful_as_it_was_delivered(
    public_build: Build, public: Frames
) -> None:
    series, used, pairs = public
    corrected = public_build.frame(
        """
        select correction_id, series, scope, city_id, year, delivered_value
        from marts.fct_corrections
        where regexp_matches(correction_id, '^[a-z_]+_[0-9]{6}') and series not like 'deposits%'
        """
    )
    assert len(corrected) > 30
    given = series.merge(corrected, on=CELL, how="left")
    given["value"] = given["delivered_value"].fillna(given["value"])
    columns = [*series.columns]

    tables = judged_samples.checked(
        given[columns], used, pairs, only=["doubtful_values", "year_definitions"]
    )
    marks, years = tables["doubtful_values"], tables["year_definitions"].query("is_odd")
    # If two successive years are wrong, the series is only flagged in the year in which it returns
    # to its level, so also count the year before each break.
    marks = pd.concat([marks, marks[marks["cause"].str.contains("break")].eval("year = year - 1")])
    found = {*corrected.merge(marks[CELL], on=CELL)["correction_id"]}
    # If half of the cities in a province are wrong, the whole year is flagged as using another
    # definition.
    found |= {*corrected.merge(years[["series", "scope", "year"]])["correction_id"]}

    assert {*corrected["correction_id"]} - found == set()
    now = corrected.merge(marked(series, used, pairs), on=CELL)
    assert now["correction_id"].tolist() == []


def test_what_judges_a_series_is_said_and_what_nothing_judges(
    public_build: Build, sample_build: Build
) -> None:
    judged = "select quantity, checked_against from marts.dim_series where is_delivered"
    public, sample = public_build.pairs(judged), sample_build.pairs(judged)
    assert public["gdp_100m_cny"] == public["secondary_value_added_100m_cny"]
    assert public["gdp_100m_cny"] == "same row, second source"
    assert public["ai_firm_count"] == "second source, stock and flows"
    assert public["ai_firm_exit_count"] == "stock and flows"
    assert public["fdi_1m_usd"] is None
    assert sample["gdp_100m_cny"] == "province total, same row"
    assert sample["province_gdp_100m_cny"] == "province total"


@pytest.mark.soak
def test_hardly_a_cell_of_a_clean_draw_is_doubtful() -> None:
    series = judged_samples.conformed(draw_city_years(judged_samples.FIRST_SEED, period()))
    assert len(marked(series, judged_samples.used_series(), None)) / series["value"].count() < 0.002


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("gdp_100m_cny", {"neighbours", "same row", "second source"}),
        # Other series are divided by population, so a wrong population shifts their ratios in the
        # opposite direction.
        pytest.param(
            "registered_population_10k", {"neighbours", "same row"}, marks=pytest.mark.soak
        ),
    ],
)
def test_a_slip_is_expected_where_it_was(
    public: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], name: str, rules: set[str]
) -> None:
    """A misplaced decimal point is flagged only in the series in which it occurs.

    The wrong value distorts ratios of other series, too.
    """
    series, used, pairs = public
    wrong = series.copy()
    hefei = wrong["city_id"].eq("340100") & wrong["year"].eq(2015)
    at = hefei & wrong["series"].eq(name)
    true = wrong.loc[at, "value"].item()
    wrong.loc[at, "value"] = true / 10
    pair = pairs["city_id"].eq("340100") & pairs["year"].eq(2015) & pairs["series"].eq(name)
    first = pair & pairs["first_provider"].eq(wrong.loc[at, "provider"].item())
    pairs = pairs.assign(first_ln=pairs["first_ln"] - np.log(10) * first)
    found = judged_samples.checked(wrong, used, pairs)["doubtful_values"]
    found = found[found["city_id"].eq("340100") & found["year"].eq(2015)]
    assert found["series"].unique().tolist() == [name]
    assert rules <= {*found["rules"].item().split(", ")}
    assert (abs(np.log(found["expected_value"] / true)) < np.log(1.15)).all()


def test_an_estimate_without_doubtful_values_is_that_of_the_other_city_years(
    public_build: Build,
) -> None:
    """The estimate without doubtful values equals PanelOLS on the remaining city-years."""
    ((estimate, cities),) = public_build.rows(
        """
        select estimate_without, city_count from estimates.est_influence
        where specification_id = ? and setting = 'cluster=city' and method = 'leave_out_flagged'
        """,
        HEADLINE,
    )
    rows = public_build.frame(
        f"""
        with doubtful as (
            select distinct city_id, year
            from marts.fct_doubtful_values
            inner join marts.dim_specification_series using (series, scope)
            where specification_id = '{HEADLINE}' and first_year is not null
                and (
                    is_unexplained
                    or cause in ('repeat', 'province total') and (spreads >= 8 or rules <> cause)
                )
            union
            select cities.city_id, steps.year
            from intermediate.int_province_steps as steps
            inner join marts.dim_city as cities using (province_id)
            inner join marts.dim_specification_series using (series, scope)
            where specification_id = '{HEADLINE}' and first_year is not null
                and odd_factor is not null
        )
        select city_id, year, ln_gdp, ln1p_ai_firms_scaled, ln_registered_population,
            ln_unit_employment, ln_science_spending, doubtful.city_id is not null as is_doubtful
        from estimates.estimation_samples
        inner join marts.fct_city_year_panel using (city_id, year)
        left join doubtful using (city_id, year)
        where specification_id = '{HEADLINE}'
        """
    )
    assert rows.loc[rows["is_doubtful"], "city_id"].nunique() == cities
    kept = rows[~rows["is_doubtful"]].set_index(["city_id", "year"])
    fit = PanelOLS(
        kept["ln_gdp"],
        kept[
            [
                "ln1p_ai_firms_scaled",
                "ln_registered_population",
                "ln_unit_employment",
                "ln_science_spending",
            ]
        ],
        entity_effects=True,
        time_effects=True,
        singletons=False,
    ).fit()
    assert estimate == pytest.approx(fit.params["ln1p_ai_firms_scaled"], rel=1e-8)


def test_a_wrong_population_of_the_first_year_is_expected_where_it_was(
    clean: pd.DataFrame, marks: pd.DataFrame
) -> None:
    """Ratios to population move too, in the opposite direction, and no year precedes it."""
    (found,) = marks[marks["city_id"].eq(SHIFTED)].itertuples()
    assert (found.series, found.year) == ("registered_population_10k", 2010)
    assert {"neighbours", "same row"} <= {*found.rules.split(", ")}
    (true,) = clean.loc[
        clean["city_id"].eq(SHIFTED) & clean["series"].eq(found.series) & clean["year"].eq(2010),
        "value",
    ]
    assert abs(np.log(found.expected_value / true)) < np.log(1.15)
