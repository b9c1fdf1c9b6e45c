"""From specification rows to output rows: second routes, and what cannot be estimated."""

import json
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimation import specifications
from ai_manufacturing.estimation.specifications import SpecificationError
from ai_manufacturing.estimation.tables import coefficients
from ai_manufacturing.gate import validation
from ai_manufacturing.system import contracts
from tests.lib import in_memory
from tests.lib.in_memory import Tables
from tests.python.conftest import PROJECT, Build

SEED = PROJECT / "seeds/regression_specifications.csv"


def read_tables(build: Build) -> Tables:
    """Read the tables that specifications rest on from a built warehouse, once."""
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
        published=table("seeds.published_estimates"),
    )


def test_a_second_row_of_the_key_of_an_estimate_is_named() -> None:
    rows = [{"specification_id": name, "term": None} for name in ("first", "second", "second")]
    assert contracts.table("est_coefficients", rows[:2]).num_rows == 2
    expected = (
        "est_coefficients has several rows of one key: specification_id second, term None,"
        " row_count 2"
    )
    with pytest.raises(ValueError, match=expected):
        contracts.table("est_coefficients", rows)


@pytest.fixture(scope="module")
def tables(sample_build: Build) -> Tables:
    return read_tables(sample_build)


def rows_of(*names: str, **changed: object) -> pd.DataFrame:
    """Return rows of the seed, with columns changed."""
    seed = pd.read_csv(SEED)
    return seed[seed["specification_id"].isin(names)].assign(**changed)


def estimated(rows: pd.DataFrame, tables: Tables, **years: int) -> pd.DataFrame:
    inputs = in_memory.inputs(rows, tables, **years)
    return coefficients(specifications.read(inputs.specifications), inputs).to_pandas()


def test_inputs_go_to_another_process_after_they_were_used(sample_build: Build) -> None:
    """The joint test of a refresh has two processes, and a build makes no permutations."""
    inputs = in_memory.inputs(rows_of("table_1_col_1"), read_tables(sample_build))
    (specification,) = specifications.read(inputs.specifications)
    rows = inputs.sample(specification).rows
    assert pickle.loads(pickle.dumps(inputs)).sample(specification).rows.equals(rows)


def demeaned(values: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """Sweep out the means of the first groups, or of all, and within them the dummies of the
    others.
    """
    first, *others = groups or [np.zeros(len(values))]
    dummies = [np.ones(len(values)), *(np.eye(codes.max() + 1)[codes] for codes in others)]
    columns = pd.DataFrame(np.column_stack([values, *dummies]))
    within = (columns - columns.groupby(first).transform("mean")).to_numpy()
    values, swept = np.split(within, [values.shape[1]], axis=1)
    return values - swept @ np.linalg.lstsq(swept, values)[0]


def plain(
    frame: pd.DataFrame,
    outcome: str,
    regressors: list[str],
    effects: list[str],
    cluster: str,
    period: str = "year",
) -> tuple[pd.DataFrame, int]:
    """Return slopes and clustered errors under effects, and the clusters, by numpy alone.

    The factor of the errors counts slopes and years; cities are nested in clusters, or count not at
    all.
    """
    codes = [pd.factorize(frame[name])[0] for name in effects]
    group = pd.factorize(frame[cluster])[0]
    within = demeaned(frame[[outcome, *regressors]].to_numpy(dtype=float), codes)
    y, x = within[:, 0], within[:, 1:]
    bread = np.linalg.inv(x.T @ x)
    slopes = bread @ (x.T @ y)
    scores = np.zeros((group.max() + 1, x.shape[1]))
    np.add.at(scores, group, x * (y - x @ slopes)[:, None])
    n, k, g = len(frame), len(regressors) + frame[period].nunique(), group.max() + 1
    variance = g / (g - 1) * (n - 1) / (n - k) * bread @ (scores.T @ scores) @ bread
    return pd.DataFrame({"slope": slopes, "error": np.sqrt(np.diag(variance))}, index=regressors), g


@pytest.mark.soak
@pytest.mark.parametrize(("extracts", "at_least"), [("sample_build", 120), ("public_build", 41)])
def test_plain_numpy_gives_the_estimates(
    extracts: str, at_least: int, request: pytest.FixtureRequest
) -> None:
    """Of every clustered two-way regression of a warehouse."""
    build: Build = request.getfixturevalue(extracts)
    inputs = in_memory.inputs(pd.read_csv(SEED), read_tables(build))
    found = build.frame("from reports.rpt_coefficients where status <> 'not_estimable'").set_index(
        "specification_id"
    )
    compared = 0
    for specification in specifications.read(inputs.specifications):
        name = specification.specification_id
        if name not in found.index or specification.covariance not in ("city", "province"):
            continue
        if specification.estimator in ("dynamic_panel", "iv_fixed_effects"):  # no two-way slope
            continue
        if name == "table_4_col_3_ln":  # an exact fit
            continue
        here = found.loc[[name]]
        frame = inputs.sample(specification).rows
        for term in here["term"]:
            if ":" in term:
                regressor, group = term.split(":")
                frame[term] = frame[regressor] * (frame[specification.grouping] == group)
            elif term not in frame.columns:
                reference = inputs.reference_group(specification.regressor)
                event = int(here.loc[here["term"] == term, "event_time"].iloc[0]) + 2016
                years = frame["year"]
                if "binned" in name:
                    years = years.clip(2011, 2019)
                frame[term] = (
                    (frame[specification.regressor] != reference) & (years == event)
                ).astype(float)
        time, terms = specification.period, list(here["term"])
        effects, cluster = ["city_id", time], f"{specification.covariance}_id"
        by_numpy, clusters = plain(frame, specification.outcome, terms, effects, cluster, time)
        slopes = by_numpy["slope"].to_numpy()
        assert here["estimate"].to_numpy() == pytest.approx(slopes, rel=1e-8, abs=1e-12), name
        few = (
            here["warnings"].str.contains("Too few cities", na=False).to_numpy()
        )  # no error is claimed there
        errors = here["std_error"].to_numpy()[~few]
        assert errors == pytest.approx(by_numpy["error"].to_numpy()[~few], rel=1e-8, abs=1e-12), (
            name
        )
        assert set(here["cluster_count"]) == {clusters}, name
        assert set(here["degrees_of_freedom"][~few]) <= {clusters - 1}, name
        compared += 1
    assert compared >= at_least


def measured(tables: Tables, measure: str, weighting: str) -> pd.DataFrame:
    cells = tables.measures
    of_measure = (
        (cells["measure"] == measure)
        & (cells["weighting"] == weighting)
        & (cells["scope"] == "industry")
    )
    return cells[of_measure]


def test_net_entries_below_zero_are_dropped_by_the_log_and_counted(
    sample_build: Build, tables: Tables
) -> None:
    lost = sample_build.value(
        "select observation_count from estimates.observation_losses where specification_id ="
        " 'table_5_col_3' and reason = 'log of one plus a value of -1 or less'"
    )
    net = measured(tables, "ai_firm_net_entries", "observed")
    placed = net["city_id"].isin(
        tables.groups.loc[tables.groups["grouping"] == "secondary_dominant", "city_id"]
    )
    assert lost == int((net.loc[placed, "measure_count"] <= -1).sum()) > 0


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
    warning = "Too few cities for an error or a test (largest 5)."
    assert set(found["joint_test"]) == {warning}
    assert found["warnings"].str.contains(warning, regex=False).all()


def test_warnings_are_of_all_years_that_an_estimate_rests_on(tables: Tables) -> None:
    """Lags and instruments before the sample, and the year of a grouping, beside the years of the
    sample.
    """
    rows = [{"series": "gdp_100m_cny", "scope": "total", "year": 2010}]
    rows += [{"series": "gdp_per_capita_cny", "scope": "total", "year": 2010}]
    warned = city_years_that_fail(tables, "", rows)
    warnings = {
        name: set(estimated(rows_of(name, first_year=first_year), warned)["warnings"].fillna(""))
        for name, first_year in (("table_4_col_4", 2010), ("heterogeneity_income_median", 2012))
    }
    fails = "{} fails this expectation of the quality gate in 2010: “odd”."
    assert any(fails.format("gdp_100m_cny") in text for text in warnings["table_4_col_4"])
    assert warnings["heterogeneity_income_median"] == {fails.format("gdp_per_capita_cny")}


def city_years_that_fail(tables: Tables, series: str, rows: list[dict[str, object]]) -> Tables:
    """Return the tables with one failed expectation about cities and years.

    It says that no estimate uses what fails, which an estimate with its warning does not repeat.
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
    """By series, sample, the base year of a measure, the year of a grouping, and the lags of a
    dynamic panel.
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
    # The specification holds GDP in its treatment only, which is of 2015.
    of_treatment = warned("gdp_100m_cny", three, "table_5_col_1")
    assert "2 of its " in of_treatment
    assert "(cities: 2)" in of_treatment
    assert warned("gdp_100m_cny", three, "controls_as_outcomes_1") == ""
    assert "1 of its " in warned("gdp_100m_cny", three, "table_1_col_1", first_year=2016)
    # Firms of the base year make the measure of every year; employment of that year is no part of
    # it.
    base = [("440300", 2020)]
    outside = warned("firm_count", base, "table_1_col_1", last_year=2016)
    assert "0 of its " in outside
    assert "and so have 1 outside its sample that give it a base year" in outside
    assert warned("unit_employment_10k", base, "table_1_col_1", last_year=2016) == ""
    # 2010 lends its GDP to the first lag, and not its employment.
    lags = [("440300", 2010)]
    lent = warned("gdp_100m_cny unit_employment_10k", lags, "table_4_col_4")
    assert "and so have 1 outside its sample" in lent
    assert "city-years" not in warned("unit_employment_10k", lags, "table_4_col_4")
    assert warned("gdp_100m_cny", [("999999", 2015)], "table_1_col_1") == ""


def test_a_series_that_fails_as_a_whole_warns_of_the_estimates_that_use_it(tables: Tables) -> None:
    """A mean out of its limits has no failing rows."""
    failed = city_years_that_fail(tables, "unit_employment_10k gdp_100m_cny", [])
    whole = replace(failed, gate_results=failed.gate_results.assign(failing_rows=None))
    found = estimated(rows_of("table_1_col_1", "controls_as_outcomes_1"), whole)
    warnings = found.groupby("specification_id")[["warnings", "warnings_zh"]].first()
    both = (
        "gdp_100m_cny, unit_employment_10k as a whole fails this expectation of the quality gate:"
        " “odd”."
    )
    assert warnings.loc["table_1_col_1", "warnings"] == both
    in_chinese = "gdp_100m_cny、unit_employment_10k整体不符合质量门的这一预期：“异常”。"
    assert warnings.loc["table_1_col_1", "warnings_zh"] == in_chinese
    assert "gdp_100m_cny" not in str(warnings.loc["controls_as_outcomes_1", "warnings"])


def test_a_shared_sample_passes_over_outcomes_that_are_not_delivered(tables: Tables) -> None:
    names = (
        "mechanism_gdp_1",
        "mechanism_secondary_value_added_1",
        "mechanism_share_1",
        "table_1_col_1",
    )
    absent = tables.series["series"].isin(
        ["secondary_employment_10k", "manufacturing_employment_10k"]
    )
    series = tables.series.assign(is_delivered=tables.series["is_delivered"] & ~absent)
    found = estimated(rows_of(*names), replace(tables, series=series))
    slopes = found[found["term"] == "ai_firms"].set_index("specification_id")
    panel = tables.panel.dropna(subset=["ln_gdp", "ln_secondary_value_added"])
    measure = measured(tables, "ai_firms", "fixed_ratio").dropna(subset="ln1p_measure")
    complete = panel.dropna(
        subset=["ln_registered_population", "ln_unit_employment", "ln_rd_personnel"]
    ).merge(measure, on=["city_id", "year"])
    assert set(slopes["observation_count"]) == {len(complete)} == {2858}


TWICE = "is listed twice among outcome, regressor and controls."


@pytest.mark.parametrize(
    ("name", "changed", "reason"),
    [
        ("table_5_col_1", {"controls": "ln_loans ln_loans"}, f"ln_loans {TWICE}"),
        ("table_4_col_4", {"controls": "ln_gdp"}, f"ln_gdp {TWICE}"),
        (
            "table_5_col_1",
            {"regressor": "income_tercile"},
            "income_tercile has 3 groups; a treatment needs two.",
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


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"estimator": "ols"}, "estimator is 'ols', not one of fixed_effects"),
        ({"transform": "log"}, "transform is 'log', not one of level, ln, ln1p, asinh"),
        ({"covariance": "region"}, "covariance is 'region', not one of city"),
        ({"fixed_effects": "city group-year"}, "year effects by group need a grouping"),
        ({"options": "endpoints=binned"}, "endpoints is unknown .known: complete, shared"),
        ({"estimator": "dynamic_panel", "options": "lags=2"}, "lags is '2', not first-last"),
        ({"estimator": "dynamic_panel", "options": "lags=a-3"}, "lags.0 is 'a', not a valid"),
        ({"subsample": "five_largest"}, "subsample is 'five_largest', not name=value"),
        ({"options": "complte=fdi"}, r"complte is unknown \(did you mean complete\?\)"),
        (
            {"estimator": "dynamic_panel", "options": "", "covariance": "iid"},
            "covariance 'iid' is not supported for",
        ),
        (
            {
                "estimator": "event_study",
                "options": "",
                "fixed_effects": "city group-year",
                "grouping": "region",
            },
            "fixed_effects 'city group-year' is not supported",
        ),
        (
            {"estimator": "dynamic_panel", "options": "", "fixed_effects": "city province-year"},
            "fixed_effects 'city province-year' is not supported",
        ),
    ],
)
def test_a_row_that_cannot_be_read_names_itself(changed: dict[str, str], message: str) -> None:
    with pytest.raises(SpecificationError, match=message) as raised:
        specifications.read(rows_of("table_1_col_1").assign(**changed))
    assert "table_1_col_1" in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"weighting": "by_hand"}, "measure_weightings.csv has no row ai_firms, by_hand"),
        ({"controls": "ln_weather"}, "'ln_weather' is not a variable: no row of series.csv has it"),
        ({"subsample": "climate=wet"}, "no grouping 'climate' in city_groupings.csv"),
    ],
)
def test_a_row_that_names_what_the_seeds_do_not_list_names_itself(
    changed: dict[str, str], message: str, tables: Tables
) -> None:
    with pytest.raises(SpecificationError, match=message):
        estimated(rows_of("table_1_col_1").assign(**changed), tables)


def test_the_paper_is_whole(sample_build: Build) -> None:
    """Footnote 1, column 3 of Table 5, and what Tables 1 to 3 are read by."""
    rows = sample_build.frame(
        "select * from reports.rpt_specifications where table_id like 'table_%'"
    )
    readings = {
        column: set(group["reading"])
        for column, group in rows.groupby(["table_id", "column_number"])
    }
    for table, count in (("table_1", 3), ("table_2", 3), ("table_3", 6)):
        for column in range(1, count + 1):
            assert {"default", "manufacturing only", "shares of the first year"} <= readings[
                table, column
            ]
    assert readings["table_5", 1] == readings["table_5", 2] == readings["table_5", 3]
    for column in range(1, 5):
        assert {"patent applications", "patent grants"} <= readings["table_4", column]
    assert set(rows.loc[rows["reading"] == "manufacturing only", "scope"]) == {"manufacturing"}
