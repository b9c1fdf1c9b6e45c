"""Test the table of series behind each specification by deriving it from the seeds in Python."""

import json
import re

import duckdb
import pandas as pd
import pytest

from ai_manufacturing.gate import validation
from tests.lib import in_memory
from tests.python.conftest import PROJECT, Build
from tests.python.test_estimates import read_tables


def seed(name: str) -> pd.DataFrame:
    return pd.read_csv(PROJECT / f"seeds/{name}.csv", keep_default_na=False)


SPECIFICATIONS = seed("regression_specifications")
WEIGHTINGS = seed("measure_weightings").set_index(["measure", "weighting"])
GROUPINGS = seed("city_groupings").set_index("grouping")
CONTROL_SETS = {f"@{row.control_set}": row.controls for row in seed("control_sets").itertuples()}
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
    """Return the series and scopes that a row of the specification seed requires."""
    is_event = row["estimator"] == "event_study"
    controls = [CONTROL_SETS.get(word, word) for word in row["controls"].split()]
    variables = " ".join(controls).split() + ([] if is_event else [row["outcome"]])
    for option in re.findall(r"(?:complete|shared)=(\S+)", row["options"]):
        variables += option.split(",")
    found = {
        (series, scope(series, "industry"))
        for name in variables
        for series in VARIABLES[name].split()
    }
    weighting = WEIGHTINGS.loc[(row["outcome"] if is_event else row["regressor"], row["weighting"])]
    counts = [weighting[f"{kind}_series"] for kind in ("base", "minus", "scaling")]
    found |= {(series, scope(series, row["scope"])) for series in counts if series}
    # The sample has a single provider, so every provider named here is a second one.
    providers = dict(pair.split("=") for pair in row["providers"].split())
    found = {
        (f"{name}@{providers[name]}" if name in providers else name, counted)
        for name, counted in found
    }
    for measure, provider in re.findall(r"(?:instrument|second)=(\w+)@(\w+)", row["options"]):
        series = WEIGHTINGS.loc[(measure, row["weighting"]), "base_series"]
        found.add((f"{series}@{provider}", scope(series, row["scope"])))
    groupings = {
        row["grouping"],
        row["subsample"].split("=")[0],
        row["regressor"] if is_event else "",
    } - {""}
    for grouping in groupings:
        found |= {
            (series, scope(series, "industry"))
            for series in GROUPINGS.loc[grouping, "series"].split()
        }
    return found


def test_the_interpolated_population_is_no_variable_of_any_specification() -> None:
    named = SPECIFICATIONS[["outcome", "controls", "options"]].to_numpy().ravel()
    assert not any("interpolated" in words for words in [*named, *CONTROL_SETS.values()])


def test_a_headline_gates_the_series_that_it_uses(sample_build: Build) -> None:
    rows = SPECIFICATIONS.assign(is_headline=True)
    drawn = in_memory.inputs(rows, read_tables(sample_build)).series.dropna(subset="series")
    gated = drawn[drawn["is_headline"]].groupby("specification_id")[["series", "scope"]]
    found = {name: set(pairs.itertuples(index=False, name=None)) for name, pairs in gated}
    assert found == {row["specification_id"]: by_hand(row) for _, row in rows.iterrows()}


def test_the_built_gate_holds_the_series_of_the_headlines(sample_build: Build) -> None:
    headlines = SPECIFICATIONS[SPECIFICATIONS["is_headline"].astype(str).str.lower() == "true"]
    expected = set().union(*(by_hand(row) for _, row in headlines.iterrows()))
    gated = sample_build.rows(
        "select distinct series, scope from intermediate.int_series_years where is_headline"
    )
    delivered = sample_build.rows(
        "select distinct series, scope from intermediate.int_series_years"
    )
    # Tables 1 to 3 of the paper use thirteen series.
    assert len(expected) == 13
    assert set(gated) == expected & set(delivered)


def test_a_headline_sample_may_lack_a_required_city_only_where_a_gap_of_it_is_declared(
    public_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shenzhen lacks secondary value added in 2011-2014, as expected_coverage.csv declares."""
    monkeypatch.setenv("DBT_PROJECT_DIR", str(PROJECT))
    monkeypatch.setenv("EXTRACTS_DIR", str(public_build.extracts))
    declared = (
        "select count(*) from gates.gate_results where suite = 'headline_samples' and success"
    )
    assert public_build.value(declared) == 1
    with duckdb.connect() as connection:
        for name in (
            "intermediate.int_specification_samples",
            "intermediate.int_specifications_sampled",
            "marts.dim_specification_series",
            "seeds.expected_coverage",
            "seeds.required_cities",
        ):
            in_memory.create(connection, name.partition(".")[2], public_build.frame(f"from {name}"))
        connection.execute("delete from expected_coverage where city_id is not null")
        in_memory.run(connection, "gate/int_headline_samples")
        found = connection.execute(
            "select *, 'public' as extract_set from int_headline_samples"
        ).df()
    [judged] = validation.validate(found, "headline_samples").to_pylist()
    assert (judged["success"], judged["severity"]) == (False, "critical")
    [failing] = json.loads(judged["failing_rows"])
    assert (
        failing.items()
        >= {
            "specification_id": "table_2_col_1",
            "city_id": "440300",
            "missing_year_count": 3,
        }.items()
    )


def test_specifications_of_one_design_share_a_sample_and_others_have_their_own(
    sample_build: Build,
) -> None:
    sample = sample_build.pairs(
        "select specification_id, sample_id from intermediate.int_specifications_sampled"
    )
    for name in ("iid", "robust", "province"):
        assert sample[f"table_1_col_1_{name}"] == sample["table_1_col_1"] is not None
    assert sample["table_4_col_4_lags_2_3"] == sample["table_4_col_4"]
    # Specifications with different variables, transforms, measures or lags have separate samples.
    for name in ("table_1_col_1_common", "table_1_col_1_ln", "table_1_col_2"):
        assert sample[name] not in (None, sample["table_1_col_1"])
    assert sample["table_4_col_4_lag_of_measure"] not in (None, sample["table_4_col_4"])
    city_years = "select count(*) from intermediate.int_specification_city_years"
    panel = sample_build.value("select count(*) from marts.fct_city_year_panel")
    assert sample_build.value(city_years) == panel * len({*sample.values()} - {None})


def test_the_shares_of_the_first_year_rest_on_the_year_in_which_both_series_begin(
    public_build: Build,
) -> None:
    """AI firms are counted from 2010 on, but all firms only from 2012 on."""
    begun = (
        "select first_year from marts.dim_series where series in ('ai_firm_count', 'firm_count') "
    )
    begun += "and scope = 'industry' order by series"
    assert public_build.rows(begun) == [(2010,), (2012,)]
    fixed = public_build.rows(
        "select series, fixed_year, first_year is not null from marts.dim_specification_series"
        " where specification_id = 'table_1_col_1_first_shares' and role in ('measure', 'scaling')"
        " order by series"
    )
    assert fixed == [("ai_firm_count", 2012, False), ("firm_count", 2012, True)]
    held = (
        "select distinct base_year from marts.fct_ai_measure where measure = 'ai_firms' and"
        " weighting = ? "
    )
    held += "and scope = 'industry'"
    assert (public_build.value(held, "first_ratio"), public_build.value(held, "fixed_ratio")) == (
        2012,
        2020,
    )
    name = "table_5_col_3_fixed_ratio"
    traced = public_build.command(
        "trace", "--specification", name, "--city", "深圳", "--year", "2015"
    )
    ratio = (
        "(ai_firm_entry_count 2020 minus ai_firm_exit_count 2020) / firm_count 2020 x firm_count"
        " 2015"
    )
    assert ratio in traced.stdout
