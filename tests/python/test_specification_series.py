"""The table of what a specification rests on, against a second reading of the seeds."""

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


def test_the_interpolated_population_is_no_variable_of_any_specification() -> None:
    named = SPECIFICATIONS[["outcome", "controls", "options"]].to_numpy().ravel()
    sets = seed("control_sets")["controls"]
    assert not any("interpolated" in words for words in [*named, *sets])


CONTROLS = "registered_population_10k unit_employment_10k rd_personnel_count"
FIRMS, BY_INDUSTRY = "ai_firm_count firm_count", re.compile("firm_|invention_")
SERIES = {
    "table_1_col_1": f"{FIRMS} gdp_100m_cny {CONTROLS}",
    "table_1_col_1_no_controls": f"{FIRMS} gdp_100m_cny",
    # options: complete and shared samples, another vendor's counts
    "table_1_col_1_common": (
        f"{FIRMS} gdp_100m_cny ai_invention_application_count ai_invention_grant_count {CONTROLS}"
    ),
    "mechanism_share_1": (
        f"{FIRMS} gdp_100m_cny secondary_value_added_100m_cny secondary_employment_10k"
        f" manufacturing_employment_10k {CONTROLS}"
    ),
    "table_1_col_1_observed_instrumented": (
        f"ai_firm_count ai_firm_count@ciciliujx gdp_100m_cny {CONTROLS}"
    ),
    # another provider, another scaling series, the series of a treatment and of a grouping
    "table_1_col_1_gdp_koishi0425": f"{FIRMS} gdp_100m_cny@koishi0425 {CONTROLS}",
    "table_4_col_3": f"ai_firm_count gdp_100m_cny {CONTROLS}",
    "table_5_col_3_fixed_ratio": (
        "ai_firm_entry_count ai_firm_exit_count firm_count gdp_100m_cny"
        f" secondary_value_added_100m_cny {CONTROLS}"
    ),
    "heterogeneity_income_median": f"{FIRMS} gdp_100m_cny gdp_per_capita_cny {CONTROLS}",
    "heterogeneity_income_median_above": f"{FIRMS} gdp_100m_cny gdp_per_capita_cny {CONTROLS}",
}


def of_scopes(names: str) -> set[tuple[str, str]]:
    return {(name, "industry" if BY_INDUSTRY.search(name) else "total") for name in names.split()}


def test_a_headline_gates_the_series_that_it_uses(sample_build: Build) -> None:
    rows = SPECIFICATIONS.assign(is_headline=True)
    drawn = in_memory.inputs(rows, read_tables(sample_build)).series.dropna(subset="series")
    gated = drawn[drawn["is_headline"]].groupby("specification_id")[["series", "scope"]]
    found = {name: set(pairs.itertuples(index=False, name=None)) for name, pairs in gated}
    assert {name: found[name] for name in SERIES} == {
        name: of_scopes(names) for name, names in SERIES.items()
    }
    counts = found["table_1_col_1_manufacturing"] - of_scopes(f"gdp_100m_cny {CONTROLS}")
    assert counts == {(name, "manufacturing") for name in FIRMS.split()}


def test_the_built_gate_holds_the_series_of_the_headlines(sample_build: Build) -> None:
    gated = sample_build.rows(
        "select distinct series, scope from intermediate.int_series_years where is_headline"
    )
    patents = "ai_invention_application_count ai_invention_grant_count invention_application_count"
    outcomes = f"invention_grant_count {SERIES['mechanism_share_1']}"
    assert {*gated} == of_scopes(f"{patents} {outcomes}")  # of Tables 1 to 3


def test_a_headline_sample_may_lack_a_required_city_only_where_a_gap_of_it_is_declared(
    public_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shenzhen has no secondary value added from 2011 to 2014: corrections, and a row of
    expected_coverage.csv.
    """
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
    sample = dict(
        sample_build.rows(
            "select specification_id, sample_id from intermediate.int_specifications_sampled"
        )
    )
    for name in ("iid", "robust", "province"):
        assert sample[f"table_1_col_1_{name}"] == sample["table_1_col_1"] is not None
    assert sample["table_4_col_4_lags_2_3"] == sample["table_4_col_4"]
    # shared variables, a log that drops zeros, another measure; a lag of the measure, not of GDP
    for name in ("table_1_col_1_common", "table_1_col_1_ln", "table_1_col_2"):
        assert sample[name] not in (None, sample["table_1_col_1"])
    assert sample["table_4_col_4_lag_of_measure"] not in (None, sample["table_4_col_4"])
    city_years = "select count(*) from intermediate.int_specification_city_years"
    panel = sample_build.value("select count(*) from marts.fct_city_year_panel")
    assert sample_build.value(city_years) == panel * len({*sample.values()} - {None})


def test_the_shares_of_the_first_year_rest_on_the_year_in_which_both_series_begin(
    public_build: Build,
) -> None:
    """AI firms are counted from 2010 on, all firms from 2012 on."""
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
        "(ai_firm_entry_count 2020 less ai_firm_exit_count 2020) / firm_count 2020 x firm_count"
        " 2015"
    )
    assert ratio in traced.stdout
