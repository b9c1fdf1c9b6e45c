"""Test the agreement and reliability of two sources of one series against numpy."""

import math

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.robustness import agreement
from tests.python.conftest import Build
from tests.python.estimator_tools import OnDummies, without_singletons

VENDORS = ("lily_han_ui", "ciciliujx")


def within(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return the residuals of columns after regression on city and year dummies."""
    return np.column_stack([OnDummies(rows, name, []).residuals for name in columns])


def values_of(build: Build, first: str, second: str) -> pd.DataFrame:
    """Return two variables by city and year, keeping rows in which both have values."""
    return build.frame(
        "select a.city_id, a.year, a.value as first, b.value as second from"
        " marts.fct_city_year_values as a inner join marts.fct_city_year_values as b on a.city_id"
        f" = b.city_id and a.year = b.year where a.variable = '{first}' and b.variable = '{second}'"
        " and a.value is not null and b.value is not null"
    )


def test_agreement_is_what_numpy_computes(public_build: Build) -> None:
    rows = values_of(public_build, "ai_firm_count", "ai_firm_count@ciciliujx")
    northeast = public_build.rows(
        "select city_id from marts.dim_city_groups"
        " where grouping = 'region' and group_name = 'northeast'"
    )
    rows = rows[rows["city_id"].isin([city for (city,) in northeast])]
    positive = rows[(rows["first"] > 0) & (rows["second"] > 0)]
    logs = np.log(positive[["first", "second"]])
    differences = logs["second"] - logs["first"]
    spread = 1.96 * differences.std()
    (found,) = public_build.frame(
        "from reports.rpt_source_agreement where series = 'ai_firm_count' and (first_provider,"
        f" second_provider) = {VENDORS} and group_name = 'northeast' and year is null"
    ).to_dict("records")
    assert (found["city_year_count"], found["city_count"]) == (len(rows), rows["city_id"].nunique())
    close = np.abs(rows["second"] - rows["first"]) <= 0.01 * rows["first"]
    by_city = differences.groupby(positive["city_id"])
    ranges = (by_city.max() - by_city.min())[by_city.count() >= 3]
    kept = without_singletons(positive.assign(**{name: logs[name] for name in logs}))
    expected = {
        "log_correlation": np.corrcoef(logs.T)[0, 1],
        "median_ratio": (rows["second"] / rows["first"].replace(0, np.nan)).median(),
        "mean_log_difference": differences.mean(),
        "lower_agreement_bound": differences.mean() - spread,
        "upper_agreement_bound": differences.mean() + spread,
        "share_within_1_percent": close.mean(),
        "steady_city_share": (ranges <= 0.01).mean(),
        "within_correlation": np.corrcoef(within(kept, ["first", "second"]).T)[0, 1],
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-8)


def test_the_reliability_of_ai_firms_is_what_numpy_computes(public_build: Build) -> None:
    rows = without_singletons(values_of(public_build, "ai_firm_count", "ai_firm_count@ciciliujx"))
    of_2020 = rows[(rows["year"] == 2020) & (rows[["first", "second"]] > 0).all(axis=1)]
    first, second = within(
        rows.assign(**np.log1p(rows[["first", "second"]])), ["first", "second"]
    ).T
    (found,) = public_build.frame(
        "from reports.rpt_measure_reliability where transform = 'ln1p' and grouping = 'all' and"
        " year is null"
    ).to_dict("records")
    assert (found["measure"], found["first_provider"], found["second_provider"]) == (
        "ai_firms",
        *VENDORS,
    )
    covariance = first @ second
    assert found["first_reliability"] == pytest.approx(covariance / (first @ first), rel=1e-8)
    assert found["second_reliability"] == pytest.approx(covariance / (second @ second), rel=1e-8)
    equal = covariance / math.sqrt((first @ first) * (second @ second))
    assert found["equal_errors_reliability"] == pytest.approx(equal, rel=1e-8)
    years = public_build.rows(
        "select year, correlation, assumption_en from reports.rpt_measure_reliability "
        "where transform = 'ln' and grouping = 'all' and year is not null order by year"
    )
    assert len(years) == 11
    assert {assumption for _, _, assumption in years} == {None}
    assert years[-1][1] == pytest.approx(
        np.corrcoef(np.log(of_2020[["first", "second"]]).T)[0, 1], rel=1e-8
    )


def test_the_second_vendor_is_a_reading_and_an_instrument(public_build: Build) -> None:
    name = "table_1_col_1_observed{}"
    found = public_build.frame(
        "select * from reports.rpt_coefficients where term = 'ai_firms' and table_id = 'table_1'"
        " and column_number = 1"
    ).set_index("specification_id")
    parts = ("", "_second_vendor", "_instrumented", "_second_vendor_instrumented")
    plain, second, by_second, by_first = (found.loc[name.format(part)] for part in parts)
    # All four estimates use one sample, so each IV estimate equals the reduced form divided by the
    # first stage.
    assert {row["observation_count"] for row in (plain, second, by_second, by_first)} == {
        plain["observation_count"]
    }
    assert by_second["estimate"] == pytest.approx(
        second["estimate"] / by_second["first_stage_estimate"], rel=1e-9
    )
    assert by_first["estimate"] == pytest.approx(
        plain["estimate"] / by_first["first_stage_estimate"], rel=1e-9
    )
    assert by_second["first_stage_f"] > 100
    assert "Not judged by the gate: ai_firm_count@ciciliujx." in by_second["warnings"]
    assert "Not judged" not in plain["warnings"]
    measure = "select series from marts.dim_specification_series where role = 'second_measure' "
    measure += "and specification_id = 'table_1_col_1_observed_instrumented'"
    assert public_build.rows(measure) == [("ai_firm_count@ciciliujx",)]


def test_the_gate_does_not_judge_what_no_headline_names(public_build: Build) -> None:
    assert public_build.value("select count(*) from marts.dim_series where series like '%@%'") >= 8
    assert (
        public_build.value(
            "select count(*) from intermediate.int_series_years where series like '%@%'"
        )
        == 0
    )


def test_a_trace_of_a_named_provider_ends_at_its_file(public_build: Build) -> None:
    name = "table_1_col_1_gdp_koishi0425"
    traced = public_build.command(
        "trace", "--specification", name, "--city", "深圳", "--year", "2012"
    )
    assert "from gdp_100m_cny@koishi0425" in traced.stdout
    assert "city_yearbook/job_data.csv, row" in traced.stdout
    name = "table_1_col_1_observed_instrumented"
    assert "first-stage F " in public_build.command("trace", "--specification", name).stdout
    traced = public_build.command(
        "trace", "--specification", name, "--city", "深圳", "--year", "2012"
    )
    _, second = traced.stdout.split("second measurement:")
    assert "ai_firm_count@ciciliujx 2012 = " in second
    assert "ai_firms/ai.csv, row" in second


def test_two_sources_without_anything_in_common_have_a_reason() -> None:
    logs = [0.0, 1.0, 0.0, 2.0, 5.0, 3.0]
    pairs = pd.DataFrame(
        {
            "extract_set": "set",
            "series": "s",
            "scope": "total",
            "first_provider": "a",
            "second_provider": "b",
            "city_id": ["1", "1", "1", "2", "2", "2"],
            "year": [2010, 2011, 2012] * 2,
            "first_ln": logs,
            "second_ln": 1.0,
            "first_ln1p": logs,
            "second_ln1p": np.multiply(logs, 2),
        }
    )
    everywhere = pairs.assign(grouping="all", group_name="all")
    east = pairs[pairs["city_id"] == "1"].assign(grouping="region", group_name="east")
    found = agreement.correlate_sources(pd.concat([everywhere, east])).to_pandas()
    found = found.set_index(["transform", "group_name"])
    assert "does not vary" in found.loc[("ln", "all"), "reason"]
    assert np.isnan(found.loc[("ln", "all"), "within_correlation"])
    exact = found.loc[("ln1p", "all")]
    assert list(
        exact[["within_correlation", "first_reliability", "second_reliability"]]
    ) == pytest.approx([1, 2, 0.5])
    assert "every city_id or year of the 3 rows" in found.loc[("ln", "east"), "reason"]
