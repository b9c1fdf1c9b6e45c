"""Test the reports on the synthetic sample: printed tables, scorecard, remarks and event-study
figure.
"""

import csv
import re
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy import stats

from ai_manufacturing.system.sql_text import quote_literal
from tests.lib import in_memory
from tests.python.conftest import PROJECT, Build


def published() -> list[dict[str, str]]:
    with (PROJECT / "seeds/published_estimates.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def estimate(build: Build, specification: str, term: str, column: str = "estimate") -> Any:
    return build.value(
        f"select {column} from reports.rpt_coefficients where specification_id = ? and term = ?",
        specification,
        term,
    )


def test_at_least_48_of_the_56_printed_coefficients_are_inside_and_every_miss_is_explained(
    sample_build: Build,
) -> None:
    rows = sample_build.rows(
        "select item_id, verdict in ('compatible', 'cannot_tell'), explaining_remark_number, status"
        " from reports.rpt_replication_scorecard"
    )
    assert len(rows) == len(published()) == 56
    assert sum(inside for _, inside, _, _ in rows) >= 48
    remarks = sample_build.pairs(
        "select remark_number, count(value) from reports.rpt_paper_remarks group by remark_number"
    )
    for item, inside, remark, _ in rows:
        assert inside or remarks[remark] > 0, item
    # No sample can reproduce these two estimates, and a separate remark explains each of them.
    explained = {item: remark for item, inside, remark, _ in rows if not inside}
    assert explained["table_4_3_ai_firms"] == 4
    assert explained["table_4_4_ai_firms"] == 3
    assert ("table_4_3_ai_firms", "mechanical") in {(item, status) for item, _, _, status in rows}


def test_the_printed_facts_are_exact(sample_build: Build) -> None:
    facts = sample_build.rows(
        "select round(estimated_value, 1) = cast(printed_text as double), verdict"
        " from reports.rpt_published_facts"
    )
    assert facts == [(True, "compatible")] * 9


def test_the_scorecard_compares_digits_as_printed(sample_build: Build) -> None:
    printed, error, stars, value, largest, smallest, same_sign, same_stars = sample_build.rows(
        "select printed_text, printed_std_error_text, printed_stars, estimated_value,"
        " difference_in_largest_printed_errors, difference_in_smallest_printed_errors,"
        " is_same_sign, is_same_stars from reports.rpt_replication_scorecard where item_id ="
        " 'table_1_1_ai_firms'"
    )[0]
    assert (printed, error, stars, same_sign, same_stars) == ("0.125", "0.01", "***", True, True)
    assert value == estimate(sample_build, "table_1_col_1", "ai_firms")
    # A standard error printed as 0.01 is between 0.005 and 0.015.
    assert (largest, smallest) == pytest.approx(((value - 0.125) / 0.015, (value - 0.125) / 0.005))
    undefined = sample_build.rows(
        "select printed_std_error_text, difference_in_largest_printed_errors from"
        " reports.rpt_replication_scorecard where table_id = 'table_1' and column_number > 1"
    )
    assert undefined == [("0.00", None), ("0.00", None)]


def test_the_scorecard_says_how_far_an_estimate_misses_in_errors_by_province(
    sample_build: Build,
) -> None:
    rows = sample_build.rows("""
        select cast(s.printed_text as double), c.estimate, c.std_error_province,
            c.degrees_of_freedom_province,
        c.p_value_printed, s.miss_p_value_of_all
        from reports.rpt_replication_scorecard as s
        inner join reports.rpt_coefficients as c
            on s.specification_id = c.specification_id and s.term = c.term
        where c.std_error_province is not null
    """)
    estimated = sample_build.value(
        "select count(*) from reports.rpt_replication_scorecard where status = 'estimated'"
    )
    assert len(rows) == 56
    for printed, value, error, freedom, p_value, of_all in rows:
        assert p_value == pytest.approx(
            2 * stats.t.sf(abs(printed - value) / error, freedom), rel=1e-9
        )
        assert of_all == pytest.approx(min(1.0, estimated * p_value))


def test_observation_counts_are_the_printed_ones_where_a_sample_can_have_them(
    sample_build: Build,
) -> None:
    """Tables 5 and 6 are excluded, because no transform gives their counts (see truth.py)."""
    counts = sample_build.rows(
        "select printed_observation_count, observation_count from reports.rpt_replication_scorecard"
        " where table_id <= 'table_4' order by item_id"
    )
    assert len(counts) == 16
    assert all(counted == pytest.approx(printed, rel=0.001) for printed, counted in counts)


def test_every_printed_coefficient_stands_in_its_column(sample_build: Build) -> None:
    numbers = sample_build.pairs(
        "select (specification_id, term), [format('{:.3f}', estimate), format('({:.3f})',"
        " std_error)] from reports.rpt_coefficients"
    )
    tables = {f"table_{place}": f"from reports.rpt_table_{place}" for place in range(1, 7)}
    frames = {name: sample_build.frame(query).astype(str) for name, query in tables.items()}
    for printed in published():
        table, column, term = (printed[name] for name in ("table_id", "column_number", "term"))
        cells = frames[table][f"column_{column}"].str.rstrip("*‡")
        assert {*numbers[f"{table}_col_{column}", term]} <= {*cells}, printed


def test_a_table_names_its_dependent_variables_and_its_fixed_effects(sample_build: Build) -> None:
    cells = sample_build.rows(
        "select line_kind, column_1, column_6 from reports.rpt_table_3"
        " where line_kind in ('outcome', 'fixed_effects') order by line_kind desc"
    )
    assert cells == [
        ("outcome", "Log secondary employment", "Log manufacturing employment"),
        ("fixed_effects", "city and year", "city and year"),
    ]
    # The outcome of an event study is a count, transformed as its specification declares.
    assert sample_build.rows(
        "select cell, cell_zh from reports.rpt_table_cells "
        "where specification_id = 'table_6_col_2' and line_kind = 'outcome'"
    ) == [("AI invention patents granted (log)", "人工智能发明专利授权数（对数）")]
    assert not sample_build.rows(
        "select specification_id from reports.rpt_table_cells group by specification_id"
        " having count(*) filter (where line_kind = 'outcome') <> 1"
        " or count(*) filter (where line_kind = 'fixed_effects')"
        " <> count(*) filter (where line_kind = 'observations')"
    )


def test_table_4_shows_the_diagnostics_of_its_gmm_and_what_is_mechanical(
    sample_build: Build,
) -> None:
    lines = sample_build.pairs("select label_en, column_4 from reports.rpt_table_4")
    assert lines["Observations"] == "2600"
    for label, column, text in (
        ("Instruments", "instrument_count", "{:.0f}"),
        ("AR(2), p", "ar2_p_value", "{:.3f}"),
        ("Hansen, p", "hansen_p_value", "{:.3f}"),
        ("Difference-in-Hansen, p", "level_hansen_p_value", "{:.3f}"),
    ):
        number = estimate(sample_build, "table_4_col_4", "ai_firms", column)
        assert lines[label] == text.format(number)
    mechanical = sample_build.pairs("select label_en, column_3 from reports.rpt_table_4")
    assert mechanical["The regressor contains the outcome"] == "yes"
    # The p-value of a mechanical relationship tests nothing, so the estimate has no stars.
    value = estimate(sample_build, "table_4_col_3", "ai_firms")
    assert estimate(sample_build, "table_4_col_3", "ai_firms", "p_value") < 0.01
    assert f"{value:.3f}" in mechanical.values()
    assert sample_build.rows(
        "select estimated_stars, is_same_stars from reports.rpt_replication_scorecard where status"
        " = 'mechanical'"
    ) == [(None, None)]


def test_a_table_names_clusters_years_and_both_r2(sample_build: Build) -> None:
    lines = sample_build.pairs("select label_en, column_2 from reports.rpt_table_1")
    ((cities, first, last),) = sample_build.rows(
        "select count(distinct city_id)::text, min(year)::text, max(year)::text"
        " from estimates.estimation_samples where specification_id = 'table_1_col_2'"
    )
    r2 = estimate(sample_build, "table_1_col_2", "ai_patent_applications", "r2_within")
    expected = {
        "Standard errors clustered by": "city",
        "Clusters": cities,
        "First year of the sample": first,
        "Last year of the sample": last,
        "R2 within": f"{r2:.3f}",
    }
    assert lines.items() >= expected.items()


def test_an_unsound_gmm_carries_its_warnings(sample_build: Build) -> None:
    rows = sample_build.rows(
        "select specification_id, coalesce(warnings, ''), is_sound, ar1_p_value, ar2_p_value,"
        " hansen_p_value, level_hansen_p_value, instrument_count, city_count from"
        " reports.rpt_coefficients where estimator = 'dynamic_panel' and term = 'ai_firms' and"
        " status = 'estimated'"
    )
    for name, text, is_sound, ar1, ar2, hansen, level_hansen, instruments, cities in rows:
        failed = {
            "AR(1) does not reject": ar1 >= 0.05,
            "AR(2) rejects": ar2 < 0.05,
            ". Hansen rejects": hansen < 0.05,
            "Difference-in-Hansen rejects": level_hansen is not None and level_hansen < 0.05,
            "More instruments": instruments > cities,
        }
        assert {words: words in f". {text}" for words in failed} == failed, name
        assert is_sound == (not any(failed.values()) and "hardly distinguish" not in text), name
        assumed = "years and to the city effect:" if name.endswith("controls_in_both") else "years:"
        assert f"unrelated to the errors of all {assumed} ln_registered_population" in text
    unsound = {name for name, _, is_sound, *_ in rows if not is_sound}
    assert "table_4_col_4_lag_of_measure" in unsound
    assert "table_4_col_4" not in unsound


def test_figure_1_has_every_year_and_its_printed_numbers(sample_build: Build) -> None:
    for outcome, column, before5 in (
        ("ai_firm_entries", "table_5_col_1", -0.056),
        ("ai_firm_exits", "table_5_col_2", 0.013),
    ):
        points = sample_build.rows(
            "select event_time, year, estimate, conf_low, is_omitted, printed_estimate"
            " from reports.rpt_figure_1 where outcome = ? order by event_time",
            outcome,
        )
        assert [point[:2] for point in points] == [(j, 2016 + j) for j in range(-6, 5)]
        assert [point[:4] for point in points if point[4]] == [(-1, 2015, 0.0, None)]
        # The coefficient of 2010 is estimated here but was not printed in the paper.
        assert [point[5] for point in points[:2]] == [None, before5]
        assert points[9][2] == estimate(sample_build, column, "after3")


def test_the_remarks_are_computed_from_the_panel(sample_build: Build) -> None:
    def figures(remark: int) -> dict[str, float]:
        return sample_build.pairs(
            "select figure_en, value from reports.rpt_paper_remarks where remark_number = ?", remark
        )

    assert figures(1)["difference between the two slopes"] < 1e-10
    assert figures(4)["slope in logs with the regressor scaled by GDP"] == pytest.approx(
        1, abs=1e-9
    )
    assert estimate(sample_build, "table_4_col_3_ln", "ai_firms", "p_value") is None
    smallest, count = sample_build.rows(
        "select min(p_value_province), count(*) from reports.rpt_coefficients where"
        " specification_id = 'table_6_col_1' and event_time < 0"
    )[0]
    together = figures(6)["patent applications: joint p-value of the years before the event"]
    assert together == min(1, count * smallest)
    r2 = figures(7)
    assert r2["R2 including city and year effects"] > 0.97 > 0.5 > r2["R2 within cities and years"]
    # In the sample, firm entries do not depend on city size. The figure still exceeds 0.12, because
    # growth accelerates in large cities.
    assert figures(9)["effect on entries in 2019, with large cities as the treated group"] > 0.12
    for remark, figure, specification, column in (
        (1, "slope of log M_AI", "table_1_col_1_ln", "estimate"),
        (8, "slope of firms alone, on the same city-years", "table_1_col_1_common", "estimate"),
        (10, "standard error with CRV1 by province", "table_1_col_1_province", "std_error"),
    ):
        expected = estimate(sample_build, specification, "ai_firms", column)
        assert figures(remark)[figure] == expected
    common = "select distinct observation_count from reports.rpt_coefficients "
    common += "where specification_id similar to 'table_1_col_(._common|1_all_three)'"
    assert sample_build.rows(common) == [(2030,)]
    chance = figures(11)
    assert chance["printed values outside the interval that are not explained"] == 0
    counts = sample_build.pairs(
        "select verdict, count(*) from reports.rpt_replication_scorecard group by 1"
    )
    for verdict, beginning in {
        "compatible": "compatible: ",
        "cannot_tell": "cannot tell: ",
    }.items():
        (found,) = (value for name, value in chance.items() if name.startswith(beginning))
        assert found == counts[verdict]


def test_event_studies_show_three_kinds_of_errors(sample_build: Build) -> None:
    errors = sample_build.frame(
        "select std_error, std_error_iid, std_error_robust from reports.rpt_coefficients "
        "where specification_id = 'table_6_col_1' and event_time is not null"
    )
    # In a balanced panel without controls, homoskedastic standard errors are equal for all event
    # times.
    assert list(errors.round(12).nunique()[:2]) == [len(errors), 1]
    assert (errors["std_error_robust"] > 0).all()


def test_high_income_differs_in_one_pooled_regression(sample_build: Build) -> None:
    above, below = sample_build.frame(
        "from reports.rpt_heterogeneity where specification_id = 'heterogeneity_income_median'"
        " order by group_name"
    ).itertuples()
    assert (above.group_name, below.group_name, below.is_reference) == ("above", "below", True)
    assert above.difference > 0
    # The sample was simulated with a difference of 0.12 for high-income cities.
    assert above.difference_p_value < 0.001
    # With a single restriction, the F statistic is the square of t.
    assert above.difference_p_value == pytest.approx(above.joint_p_value, rel=1e-9)
    assert np.isnan(below.difference)
    # Four regions in two specifications (year effects, and year effects by region) give eight rows.
    groups = "select count(*) from reports.rpt_heterogeneity where specification_id like"
    groups += " 'heterogeneity_region%' and joint_df1 = 3 and joint_p_value is not null"
    assert sample_build.value(groups) == 8


def test_a_group_of_five_cities_has_no_error_and_a_p_value_of_permutations(
    sample_build: Build,
) -> None:
    ((error, p_value, joint, warnings),) = sample_build.rows(
        "select difference_std_error, difference_p_value, joint_p_value, warnings from"
        " reports.rpt_heterogeneity where specification_id = 'heterogeneity_five_largest' and"
        " group_name = 'largest'"
    )
    assert error is joint is None
    assert p_value * 1000 == pytest.approx(round(p_value * 1000))
    assert warnings.startswith("Too few cities for a standard error (largest 5)")


def remade(build: Build, model: str, changes: list[str], *tables: str) -> duckdb.DuckDBPyConnection:
    """Recompute a report from copies of a build's tables after these SQL changes."""
    connection = duckdb.connect()
    connection.execute(f"attach {quote_literal(str(build.warehouse))} as built (read_only)")
    for table in tables:
        connection.execute(f"create table {table.partition('.')[2]} as from built.{table}")
    for change in changes:
        connection.execute(change)
    in_memory.run(connection, f"reports/{model}")
    return connection


def test_a_pooled_regression_without_controls_finds_the_groups_alone(sample_build: Build) -> None:
    groups = (
        "select specification_id, group_name, split_sample_estimate, split_sample_city_count "
        "from {} where split_sample_estimate is not null order by all"
    )
    expected = sample_build.rows(groups.format("reports.rpt_heterogeneity"))
    assert len(expected) > 10
    none = "update regression_specifications set controls = null"
    tables = (
        "seeds.regression_specifications",
        "reports.rpt_coefficients",
        "marts.dim_city_groups",
    )
    with remade(sample_build, "rpt_heterogeneity", [none], *tables) as connection:
        assert connection.execute(groups.format("rpt_heterogeneity")).fetchall() == expected


def test_one_mechanical_term_makes_a_regression_mechanical_and_only_all_make_it_not_estimable(
    sample_build: Build,
) -> None:
    changes = [
        (
            "update rpt_coefficients set status = 'estimated' "
            "where specification_id = 'table_4_col_3' and term <> regressor"
        ),
        (
            "update rpt_coefficients set status = 'not_estimable' "
            "where specification_id = 'table_1_col_1' and term <> regressor"
        ),
    ]
    tables = ("intermediate.int_specifications_resolved", "marts.dim_variable", "marts.dim_labels")
    statuses = "select specification_id, status from {}rpt_specifications order by 1"
    expected = sample_build.rows(statuses.format("reports."))
    assert {("table_4_col_3", "mechanical"), ("table_1_col_1", "estimated")} <= {*expected}
    with remade(
        sample_build, "rpt_specifications", changes, *tables, "reports.rpt_coefficients"
    ) as connection:
        assert connection.execute(statuses.format("")).fetchall() == expected


def test_no_row_is_numbered_without_an_order() -> None:
    numbered = re.compile(
        r"\b(?:row_number|rank|dense_rank|lag|lead)\([^()]*\)\s*over\s*\(((?:[^()]|\([^()]*\))*)\)"
    )
    windows = [
        (path.name, window)
        for folder in ("models", "macros")
        for path in sorted((PROJECT / folder).rglob("*.sql"))
        for window in numbered.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(windows) > 10
    assert [(name, window) for name, window in windows if "order by" not in window] == []
