"""Tests for estimating regression specifications, from seed rows to rows of the output table."""

import json
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from ai_manufacturing.estimation import specifications
from ai_manufacturing.estimation.specifications import SpecificationError
from ai_manufacturing.estimation.tables import estimate_coefficients
from ai_manufacturing.gate import validation
from ai_manufacturing.system import contracts
from tests.lib import in_memory
from tests.lib.in_memory import Tables
from tests.python.conftest import PROJECT, Build

SEED = PROJECT / "seeds/regression_specifications.csv"


def read_tables(build: Build) -> Tables:
    """Read the tables that the estimators need from a built warehouse, and cache them."""
    return _tables_of(build.warehouse)


@cache
def _tables_of(warehouse: Path) -> Tables:
    def table(name: str) -> pd.DataFrame:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            return connection.table(name).df()

    return Tables(
        panel=table("intermediate.int_city_year_variables"),
        measures=table("marts.fct_ai_measure"),
        groups=table("marts.dim_city_groups"),
        series=table("marts.dim_series"),
        gate_results=table("gates.gate_results"),
        published_estimates=table("seeds.published_estimates"),
    )


def test_a_second_row_of_the_key_of_an_estimate_is_named() -> None:
    rows = [{"specification_id": name, "term": None} for name in ("first", "second", "second")]
    assert contracts.build_table("est_coefficients", rows[:2]).num_rows == 2
    expected = (
        "est_coefficients has more than one row with the same key: specification_id"
        " second, term None,"
        " row_count 2"
    )
    with pytest.raises(ValueError, match=expected):
        contracts.build_table("est_coefficients", rows)


@pytest.fixture(scope="module")
def tables(sample_build: Build) -> Tables:
    return read_tables(sample_build)


def rows_of(*names: str, **changed: object) -> pd.DataFrame:
    """Return the named rows of the specification seed, optionally with some columns changed."""
    seed = pd.read_csv(SEED)
    return seed[seed["specification_id"].isin(names)].assign(**changed)


def estimated(rows: pd.DataFrame, tables: Tables, **years: int) -> pd.DataFrame:
    inputs = in_memory.inputs(rows, tables, **years)
    return estimate_coefficients(
        specifications.read_specifications(inputs.specifications), inputs
    ).to_pandas()


def test_inputs_go_to_another_process_after_they_were_used(sample_build: Build) -> None:
    """Estimation inputs can still be pickled and sent to another process after use.

    Only the joint test of a refresh uses a second process, so a build would not find a fault.
    """
    inputs = in_memory.inputs(rows_of("table_1_col_1"), read_tables(sample_build))
    (specification,) = specifications.read_specifications(inputs.specifications)
    rows = inputs.sample(specification).rows
    assert pickle.loads(pickle.dumps(inputs)).sample(specification).rows.equals(rows)


def test_net_entries_below_zero_are_dropped_by_the_log_and_counted(sample_build: Build) -> None:
    lost = sample_build.value(
        "select observation_count from estimates.observation_losses where specification_id ="
        " 'table_5_col_3' and reason = 'log of one plus a value of -1 or less'"
    )
    negative = sample_build.value(
        "select count(*) from marts.fct_ai_measure semi join marts.dim_city_groups as placed"
        " on fct_ai_measure.city_id = placed.city_id and grouping = 'secondary_dominant'"
        " where measure = 'ai_firm_net_entries' and weighting = 'observed' and scope = 'industry'"
        " and measure_count <= -1"
    )
    assert lost == negative > 0


A_FEW = (
    "table_1_col_1",
    "table_1_col_2",
    "table_1_col_1_province",
    "table_1_col_2_ln1p",
    "table_4_col_4",
    "table_5_col_1",
    "table_6_col_1",
    "table_6_col_2",
    "heterogeneity_income_median",
    "heterogeneity_region_group_years",
)


@pytest.mark.parametrize(
    ("city_id", "reason"),
    [
        ("440300", "singletons of their city or year|there are 1 for"),
        ("999999", "No city-year has all of"),
    ],
)
def test_a_sample_of_one_city_or_none_is_a_row_with_the_reason(
    city_id: str, reason: str, tables: Tables
) -> None:
    left = replace(tables, panel=tables.panel[tables.panel["city_id"] == city_id])
    found = estimated(rows_of(*A_FEW), left)
    assert list(found["status"]) == ["not_estimable"] * len(A_FEW)
    assert found["reason"].str.contains(reason).all(), found["reason"].tolist()
    assert found["estimate"].isna().all()


def test_a_treated_handful_has_estimates_and_no_error_or_test(tables: Tables) -> None:
    found = estimated(rows_of("table_5_col_1", regressor="five_largest"), tables)
    assert found["estimate"].notna().all()
    assert (
        found[["std_error", "p_value", "conf_low", "p_value_robust", "joint_p_value"]]
        .isna()
        .all(axis=None)
    )
    warning = "Too few cities for a standard error or a test (largest 5)."
    assert set(found["joint_test"]) == {warning}
    assert found["warnings"].str.contains(warning, regex=False).all()


def test_warnings_are_of_all_years_that_an_estimate_rests_on(tables: Tables) -> None:
    """An estimate's warnings also cover earlier years of lags and the base year of a grouping."""
    rows = [{"series": "gdp_100m_cny", "scope": "total", "year": 2010}]
    rows += [{"series": "gdp_per_capita_cny", "scope": "total", "year": 2010}]
    warned = city_years_that_fail(tables, "", rows)
    for name, first_year, series in (
        ("table_4_col_4", 2010, "gdp_100m_cny"),
        ("heterogeneity_income_median", 2012, "gdp_per_capita_cny"),
    ):
        warnings = estimated(rows_of(name, first_year=first_year), warned)["warnings"].dropna()
        fails = f"{series} fails this expectation of the quality gate in 2010: “odd”."
        assert warnings.str.contains(fails, regex=False).any()


def city_years_that_fail(tables: Tables, series: str, rows: list[dict[str, object]]) -> Tables:
    """Return the tables with one failed gate expectation for the given cities and years.

    Its description says that no estimate uses the failing values; the estimates' warnings omit
    that.
    """
    failing = tables.gate_results.iloc[[0]].assign(
        suite="panel_consistency",
        success=False,
        description=f"{validation.OTHER_SERIES[0]}odd.",
        description_zh=f"{validation.OTHER_YEARS[1]}异常。",
        series=series,
        failing_rows=json.dumps(rows),
    )
    return replace(tables, gate_results=failing)


def test_a_city_year_that_fails_warns_of_the_estimates_that_rest_on_it(tables: Tables) -> None:
    """An estimate's warning counts only the failing city-years on which the estimate depends.

    The dependence is on the series, the sample, a measure's base year, a grouping's year, and the
    lags of a dynamic panel.
    """

    def warned(series: str, city_years: list[tuple[str, int]], name: str, **changed: object) -> str:
        rows = [{"growth": 9.0, "city_id": city_id, "year": year} for city_id, year in city_years]
        found = estimated(rows_of(name, **changed), city_years_that_fail(tables, series, rows))[
            "warnings"
        ]
        return str(found.fillna("").iloc[0])

    three = [("440300", 2015), ("440300", 2016), ("110000", 2015)]
    assert warned("gdp_100m_cny", three, "table_1_col_1") == (
        "3 of its 2,858 city-years (cities: 2) have a value that fails this expectation of the"
        " quality gate: “odd”."
    )
    # This specification uses GDP only to define the treatment group, from values of 2015.
    of_treatment = warned("gdp_100m_cny", three, "table_5_col_1")
    assert "2 of its " in of_treatment
    assert "(cities: 2)" in of_treatment
    assert warned("gdp_100m_cny", three, "controls_as_outcomes_1") == ""
    assert "1 of its " in warned("gdp_100m_cny", three, "table_1_col_1", first_year=2016)
    # The AI measure in every year depends on the number of firms in the base year 2020, but not on
    # employment in 2020.
    base = [("440300", 2020)]
    outside = warned("firm_count", base, "table_1_col_1", last_year=2016)
    assert "0 of its " in outside
    assert "; 1 more, outside its sample, are used for a base year" in outside
    assert warned("unit_employment_10k", base, "table_1_col_1", last_year=2016) == ""
    # The dynamic panel uses GDP of 2010 as a lag, but not employment of 2010.
    lags = [("440300", 2010)]
    lent = warned("gdp_100m_cny unit_employment_10k", lags, "table_4_col_4")
    assert "; 1 more, outside its sample" in lent
    assert "city-years" not in warned("unit_employment_10k", lags, "table_4_col_4")
    assert warned("gdp_100m_cny", [("999999", 2015)], "table_1_col_1") == ""


def test_a_series_that_fails_as_a_whole_warns_of_the_estimates_that_use_it(tables: Tables) -> None:
    """A failed expectation without failing rows causes a warning wherever the series is used.

    A mean outside its limits has no failing rows.
    """
    failed = city_years_that_fail(tables, "unit_employment_10k gdp_100m_cny", [])
    whole = replace(failed, gate_results=failed.gate_results.assign(failing_rows=None))
    found = estimated(rows_of("table_1_col_1", "controls_as_outcomes_1"), whole)
    warnings = found.groupby("specification_id")[["warnings", "warnings_zh"]].first()
    both = (
        "gdp_100m_cny, unit_employment_10k as a whole fails this expectation of the quality gate:"
        " “odd”."
    )
    assert warnings.loc["table_1_col_1", "warnings"] == both
    in_chinese = "gdp_100m_cny、unit_employment_10k整体未通过质量门的这项检验：“异常”。"
    assert warnings.loc["table_1_col_1", "warnings_zh"] == in_chinese
    assert "gdp_100m_cny" not in str(warnings.loc["controls_as_outcomes_1", "warnings"])


def test_a_shared_sample_passes_over_outcomes_that_are_not_delivered(tables: Tables) -> None:
    absent = tables.series["series"].isin(
        ["secondary_employment_10k", "manufacturing_employment_10k"]
    )
    series = tables.series.assign(is_delivered=tables.series["is_delivered"] & ~absent)
    rows = rows_of("mechanism_gdp_1", "mechanism_share_1", "table_1_col_1")
    found = estimated(rows, replace(tables, series=series))
    assert set(found["observation_count"]) == {2858}


TWICE = "is listed twice among outcome, regressor and controls."


@pytest.mark.parametrize(
    ("name", "changed", "reason"),
    [
        ("table_5_col_1", {"controls": "ln_loans ln_loans"}, f"ln_loans {TWICE}"),
        ("table_4_col_4", {"controls": "ln_gdp"}, f"ln_gdp {TWICE}"),
        (
            "table_5_col_1",
            {"regressor": "income_tercile"},
            "income_tercile has 3 groups, but a treatment requires two.",
        ),
        ("heterogeneity_region_east", {"subsample": "region=atlantis"}, "No city-year has all of "),
    ],
)
def test_what_cannot_be_estimated_is_a_row_with_the_reason(
    name: str, changed: dict[str, str], reason: str, tables: Tables
) -> None:
    (found,) = estimated(rows_of(name, **changed), tables).itertuples()
    assert found.status == "not_estimable"
    assert found.reason.startswith(reason)


GMM = {"estimator": "dynamic_panel", "options": ""}
EVENTS = {"estimator": "event_study", "options": "", "grouping": "region"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"estimator": "ols"}, "the estimator 'ols' is unknown. Choose one of fixed_effects"),
        (
            {"fixed_effects": "city group-year"},
            "'city group-year' in the column fixed_effects requires a grouping",
        ),
        ({"options": "endpoints=binned"}, r"is unknown \(known names: complete, shared\)"),
        (
            GMM | {"options": "lags=2"},
            "lags is '2', but the value must be a range of lags in the form first-last",
        ),
        (GMM | {"options": "lags=a-3"}, "lags.0 is 'a', but the value must be a valid"),
        (
            {"subsample": "five_largest"},
            "subsample is 'five_largest', but the value must have the form name=value",
        ),
        ({"options": "complte=fdi"}, r"complte is unknown \(did you mean complete\?\)"),
        (GMM | {"covariance": "iid"}, "does not support the value 'iid' in the column covariance"),
        (
            EVENTS | {"fixed_effects": "city group-year"},
            "does not support the value 'city group-year'",
        ),
        (
            GMM | {"fixed_effects": "city province-year"},
            "does not support the value 'city province-year'",
        ),
    ],
)
def test_a_row_that_cannot_be_read_names_itself(changed: dict[str, str], message: str) -> None:
    with pytest.raises(SpecificationError, match=f"table_1_col_1.*{message}"):
        specifications.read_specifications(rows_of("table_1_col_1").assign(**changed))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"weighting": "by_hand"},
            "measure_weightings.csv has no row for measure ai_firms and weighting by_hand",
        ),
        ({"controls": "ln_weather"}, "'ln_weather' is not a variable that series.csv"),
        ({"subsample": "climate=wet"}, "city_groupings.csv has no grouping 'climate'"),
    ],
)
def test_a_row_that_names_what_the_seeds_do_not_list_names_itself(
    changed: dict[str, str], message: str, tables: Tables
) -> None:
    with pytest.raises(SpecificationError, match=message):
        estimated(rows_of("table_1_col_1").assign(**changed), tables)
