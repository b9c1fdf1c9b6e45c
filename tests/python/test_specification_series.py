"""The table of what a specification rests on, against a second reading of the seeds."""

import re

import pandas as pd

from ai_manufacturing.estimation import in_memory
from tests.python.conftest import PROJECT, Build
from tests.python.test_estimates import read_tables


def seed(name: str) -> pd.DataFrame:
    return pd.read_csv(PROJECT / f"seeds/{name}.csv", keep_default_na=False)


SPECIFICATIONS = seed("regression_specifications")
WEIGHTINGS = seed("measure_weightings").set_index(["measure", "weighting"])
GROUPINGS = seed("city_groupings").set_index("grouping")
SOURCES = seed("series_sources")
COUNTS = set(SOURCES.loc[SOURCES["scope"] != "total", "series"])
VARIABLES = {
    **{row.series: row.series for row in seed("series").itertuples()},
    **{row.log_variable: row.series for row in seed("series").itertuples()},
    **{row.variable: row.series for row in seed("derived_variables").itertuples()},
}


def scope(series: str, counted: str) -> str:
    return counted if series in COUNTS else "total"


def by_hand(row: pd.Series) -> set[tuple[str, str]]:
    """Return the series and scopes of a row of the seed, read by Python."""
    is_event = row["estimator"] == "event_study"
    variables = row["controls"].split() + ([] if is_event else [row["outcome"]])
    for option in re.findall(r"(?:complete|shared)=(\S+)", row["options"]):
        variables += option.split(",")
    found = {(series, scope(series, "industry")) for name in variables for series in VARIABLES[name].split()}
    weighting = WEIGHTINGS.loc[(row["outcome"] if is_event else row["regressor"], row["weighting"])]
    counts = [weighting[f"{kind}_series"] for kind in ("base", "minus", "scaling")]
    found |= {(series, scope(series, row["scope"])) for series in counts if series}
    # The sample has one provider: each that is named is another.
    providers = dict(pair.split("=") for pair in row["providers"].split())
    found = {(f"{name}@{providers[name]}" if name in providers else name, counted) for name, counted in found}
    for measure, provider in re.findall(r"(?:instrument|second)=(\w+)@(\w+)", row["options"]):
        series = WEIGHTINGS.loc[(measure, row["weighting"]), "base_series"]
        found.add((f"{series}@{provider}", scope(series, row["scope"])))
    groupings = {row["grouping"], row["subsample"].split("=")[0], row["regressor"] if is_event else ""} - {""}
    for grouping in groupings:
        found |= {(series, scope(series, "industry")) for series in GROUPINGS.loc[grouping, "series"].split()}
    return found


def test_a_headline_gates_the_series_that_it_uses(sample_build: Build) -> None:
    rows = SPECIFICATIONS.assign(is_headline=True)
    drawn = in_memory.inputs(rows, read_tables(sample_build)).series.dropna(subset="series")
    gated = drawn[drawn["is_headline"]].groupby("specification_id")[["series", "scope"]]
    found = {name: set(pairs.itertuples(index=False, name=None)) for name, pairs in gated}
    assert found == {row["specification_id"]: by_hand(row) for _, row in rows.iterrows()}


def test_the_built_gate_holds_the_series_of_the_headlines(sample_build: Build) -> None:
    headlines = SPECIFICATIONS[SPECIFICATIONS["is_headline"].astype(str).str.lower() == "true"]
    expected = set().union(*(by_hand(row) for _, row in headlines.iterrows()))
    gated = sample_build.rows("select distinct series, scope from intermediate.int_series_years where is_headline")
    delivered = sample_build.rows("select distinct series, scope from intermediate.int_series_years")
    assert len(expected) == 10
    assert set(gated) == expected & set(delivered)
