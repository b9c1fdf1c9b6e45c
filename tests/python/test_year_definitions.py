"""Test that the gate finds years with another definition, scope or vintage of a series."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.paper.synthetic import draw_city_years
from ai_manufacturing.paper.synthetic.geography import read_units
from ai_manufacturing.system.settings import period
from tests.lib import judged_samples, samples
from tests.python.conftest import Build

SEED = judged_samples.FIRST_SEED + 7
RESIDENTS = "resident_population_10k"
REGISTERED = "registered_population_10k"
VALUE_ADDED = tuple(f"{name}_value_added_100m_cny" for name in ("primary", "secondary", "tertiary"))
PROVINCES = read_units().set_index("city_id")["province_id"]

Wide = dict[str, pd.Series]
"""Values of each series, by city and year."""
Change = Callable[[pd.Series, Wide, np.random.Generator], pd.Series]
"""Returns new values for the cells of a series, which may be missing."""


@dataclass(frozen=True)
class Inputs:
    """Input tables of the check for years with another definition, scope or vintage.

    Attributes
    ----------
    series, used : DataFrame
    pairs : DataFrame or None
        None if no series has a second source.
    """

    series: pd.DataFrame
    used: pd.DataFrame
    pairs: pd.DataFrame | None = None

    def undeclared(self) -> pd.DataFrame:
        """Return the rows of int_year_definitions that series_events.csv does not declare."""
        found = judged_samples.checked(
            self.series, self.used, self.pairs, only=["year_definitions"]
        )
        return found["year_definitions"].dropna(subset="undeclared_change")


def population(name: str) -> Change:
    """Return a function that replaces values by another population series."""
    return lambda values, wide, _: wide[name].reindex(values.index)


def per_registered_head(values: pd.Series, wide: Wide, _: np.random.Generator) -> pd.Series:
    return values * (wide[RESIDENTS] / wide[REGISTERED]).reindex(values.index)


def wider_scope(values: pd.Series, _: Wide, rng: np.random.Generator) -> pd.Series:
    """Increase all values by about a third, with random variation between cities."""
    return values * np.exp(rng.normal(0.3, 0.12, len(values)))


def other_vintage(values: pd.Series, _: Wide, rng: np.random.Generator) -> pd.Series:
    """Revise values by about 7 % (s.d.) for each province and about 2 % for each city."""
    provinces = values.index.get_level_values("city_id").map(PROVINCES)
    revisions = pd.Series(rng.normal(0, 0.07, PROVINCES.nunique()), index=PROVINCES.unique())
    cities = rng.normal(0, 0.02, len(values))
    return values * np.exp(revisions.loc[provinces].to_numpy() + cities)


KINDS: dict[str, tuple[tuple[str, ...], Change]] = {
    "registered population is residents": ((REGISTERED,), population(RESIDENTS)),
    "residents are registered population": ((RESIDENTS,), population(REGISTERED)),
    "GDP per registered head": (("gdp_per_capita_cny",), per_registered_head),
    "scope of employment": (("unit_employment_10k",), wider_scope),
    "vintage of GDP": (("gdp_100m_cny",), other_vintage),
    "vintage of secondary value added": (VALUE_ADDED[1:2], other_vintage),
    "vintage of GDP and its parts": (("gdp_100m_cny", *VALUE_ADDED), other_vintage),
}


def years_without_event(series: pd.DataFrame, name: str) -> list[int]:
    """Return the years of a series that no nationwide event in series_events.csv covers."""
    events = samples.seed_table("series_events")
    covering = events[events["series"].str.split().map(lambda names: name in names)]
    declared = {
        year
        for event in covering[covering["provinces"].eq("*")].itertuples()
        for year in range(event.first_year, event.last_year + 1)
    }
    counts = series[series["series"].eq(name)].groupby("year")["value"].count()
    return sorted({int(year) for year in counts[counts > 100].index} - declared)


def planted(inputs: Inputs, kind: str, seed: int) -> tuple[Inputs, int]:
    """Plant a fault in one year and half of the provinces; return the inputs and the year."""
    names, change = KINDS[kind]
    chooser = random.Random(f"{kind} {seed}")
    year = chooser.choice(years_without_event(inputs.series, names[0]))
    provinces = sorted(PROVINCES.unique())
    half = chooser.sample(provinces, len(provinces) // 2)
    drawn = chooser.randrange(10**9)
    cells = inputs.series.set_index(["city_id", "year"])
    wide = {name: rows["value"] for name, rows in cells.groupby("series")}

    series = inputs.series.copy()
    here = series["year"].eq(year) & series["city_id"].map(PROVINCES).isin(half)
    for name in names:
        at = here & series["series"].eq(name)
        values = series[at].set_index(["city_id", "year"])["value"]
        # The same random draw revises GDP and its parts alike.
        changed = change(values, wide, np.random.default_rng(drawn))
        series.loc[at, "value"] = changed.fillna(values).to_numpy()
    return Inputs(series, inputs.used), year


@pytest.fixture(scope="module")
def clean() -> Inputs:
    return Inputs(
        judged_samples.conformed(draw_city_years(SEED, period())), judged_samples.used_series()
    )


@pytest.fixture(scope="module")
def public(public_build: Build) -> Inputs:
    return Inputs(
        public_build.frame("from intermediate.int_series_conformed"),
        public_build.frame("from marts.dim_specification_series"),
        public_build.frame("from marts.fct_source_pairs"),
    )


@pytest.mark.parametrize(
    "kind", ["GDP per registered head", "scope of employment", "vintage of GDP"]
)
def test_a_year_on_another_definition_is_odd(clean: Inputs, kind: str) -> None:
    wrong, year = planted(clean, kind, 0)
    found = wrong.undeclared()
    assert {*found["year"]} & {year, year + 1}
    assert {*found["year"]} <= {year, year + 1}


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_every_planted_year_of_a_draw_is_found(clean: Inputs, kind: str) -> None:
    """The fault is found if the check reports its year or the next one, or if the gate fails an
    expectation that the clean data pass.
    """

    def failures(inputs: Inputs) -> set[str]:
        found = judged_samples.checked(inputs.series, inputs.used)
        results = judged_samples.judged(found, inputs.used)
        return {*results.loc[results["success"].eq(False), "description"]}

    for seed in range(3):
        wrong, year = planted(clean, kind, seed)
        if not wrong.undeclared()["year"].isin([year, year + 1]).any():
            assert not failures(wrong) <= failures(clean)


@pytest.mark.parametrize("seed", range(2))
def test_a_clean_draw_has_no_odd_year(seed: int) -> None:
    series = judged_samples.conformed(draw_city_years(judged_samples.FIRST_SEED + seed, period()))
    undeclared = Inputs(series, judged_samples.used_series()).undeclared()
    assert undeclared["undeclared_change"].tolist() == []


@pytest.mark.soak
def test_the_public_set_has_no_odd_year_that_no_event_declares(public: Inputs) -> None:
    assert public.undeclared()["undeclared_change"].tolist() == []
