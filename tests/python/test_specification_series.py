"""The table of what a specification rests on, against a second reading of the seeds."""

import re

import pandas as pd
import pytest

from ai_manufacturing.estimation import in_memory
from tests.python.conftest import PROJECT, Build


def seed(name: str) -> pd.DataFrame:
    return pd.read_csv(PROJECT / f"seeds/{name}.csv", keep_default_na=False)


SPECIFICATIONS = seed("regression_specifications")
VARIABLES = seed("panel_variables").set_index("variable")
WEIGHTINGS = seed("measure_weightings").set_index(["measure", "weighting"])
GROUPINGS = seed("city_groupings").set_index("grouping")
SOURCES = seed("series_sources")
TOTAL = set(SOURCES.loc[SOURCES["scope"] == "total", "series"])


def by_hand(row: pd.Series) -> set[tuple[str, str]]:
    """Return the series and scopes of a row of the seed, read by Python."""
    is_event = row["estimator"] == "event_study"
    variables = row["controls"].split() + ([] if is_event else [row["outcome"]])
    for option in re.findall(r"(?:complete|shared)=(\S+)", row["options"]):
        variables += option.split(",")
    found = {
        (series, VARIABLES.loc[name, "scope"]) for name in variables for series in VARIABLES.loc[name, "series"].split()
    }
    weighting = WEIGHTINGS.loc[(row["outcome"] if is_event else row["regressor"], row["weighting"])]
    counts = [weighting[f"{kind}_series"] for kind in ("base", "minus", "scaling")]
    found |= {(series, "total" if series in TOTAL else row["scope"]) for series in counts if series}
    groupings = {row["grouping"], row["subsample"].split("=")[0], row["regressor"] if is_event else ""} - {""}
    for grouping in groupings:
        for series in GROUPINGS.loc[grouping, "series"].split():
            found.add((series, "total" if series in TOTAL else "industry"))
    return found


@pytest.mark.parametrize("name", SPECIFICATIONS["specification_id"])
def test_a_headline_gates_the_series_that_it_uses(name: str) -> None:
    rows = SPECIFICATIONS.assign(is_headline=SPECIFICATIONS["specification_id"] == name)
    gated = in_memory.headline_series(rows)
    assert gated == by_hand(rows[rows["is_headline"]].iloc[0])


def test_the_built_gate_holds_the_series_of_the_headlines(sample_build: Build) -> None:
    headlines = SPECIFICATIONS[SPECIFICATIONS["is_headline"].astype(str).str.lower() == "true"]
    expected = set().union(*(by_hand(row) for _, row in headlines.iterrows()))
    gated = sample_build.rows("select distinct series, scope from intermediate.int_series_years where is_headline")
    delivered = sample_build.rows("select distinct series, scope from intermediate.int_series_years")
    assert len(expected) == 11
    assert set(gated) == expected & set(delivered)
