"""Test queries of the site's pages on a few rows written by hand."""

import json
from types import ModuleType
from typing import Any

import duckdb
import pytest

from ai_manufacturing.auditing import trace
from ai_manufacturing.paper import concentration, firms, maps, measure, vintages
from ai_manufacturing.site import (
    charts,
    cities,
    credibility,
    event_studies,
    metadata,
    quality,
    readings,
    specification_curve,
    use,
)
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue


def opened(*tables: str) -> duckdb.DuckDBPyConnection:
    """Return a database of tables, each given as "schema.table(columns): (row), (row)"."""
    connection = duckdb.connect()
    for table in tables:
        head, _, rows = table.partition(":")
        name, _, columns = head.partition("(")
        connection.execute(f"create schema if not exists {name.partition('.')[0]}")
        connection.execute(f"create table {name} as from (values {rows}) as given({columns}")
    return connection


def ask(page: ModuleType, query: str, *tables: str, **values: Any) -> list[tuple[Any, ...]]:
    """Run a page's query on tables that are given as for `opened`."""
    with opened(*tables) as connection:
        return connection.execute(page.SQL[query], values).fetchall()


CITIES = (
    "marts.dim_city(city_id, name_zh, short_name_zh, name_en, province_id, province_name_en,"
    " province_name_zh): ('1', '甲市', '甲', 'A', '9', 'P', '省'),"
    " ('2', '乙市', '乙', 'B', '9', 'P', '省'), ('3', '丙市', '丙', 'C', '8', 'Q', '区')"
)


def test_the_reason_for_a_gap_is_of_the_same_city_year_series_and_provider() -> None:
    others = "'out of period', 'superseded', 'withdrawn', 'duplicate row'"
    found = ask(
        cities,
        "gaps",
        CITIES,
        "main.shown_series(series, provider, is_delivered):"
        " ('gdp', 'p', true), ('tax', 'p', true), ('old', 'p', false)",
        "marts.fct_city_year_values(city_id, year, variable, value):"
        " ('3', 2010, 'gdp', null), ('1', 2010, 'gdp', null), ('2', 2010, 'gdp', null),"
        " ('1', 2011, 'gdp', 5), ('3', 2011, 'gdp', null), ('1', 2010, 'old', null)",
        "marts.fct_corrections(city_id, year, series, provider, correction_id, reason, reason_zh,"
        " value): ('1', 2010, 'gdp', 'p', 'c2', 'b', '乙', null),"
        " ('1', 2010, 'gdp', 'p', 'c1', 'x', '丁', null),"
        " ('1', 2010, 'gdp', 'p', 'c0', 'a', '', 4), ('3', 2012, 'gdp', 'p', 'c3', 'c', '',"
        " null), ('3', 2011, 'tax', 'p', 'c4', 'd', '',"
        " null),"
        " ('3', 2011, 'gdp', 'q', 'c5', 'e', '', null), ('4', 2011, 'gdp', 'p', 'c6', 'f', '',"
        " null)",
        "marts.fct_delivered_values(provider, source_name, series):"
        " ('p', 's', 'gdp'), ('p', 't', 'tax'), ('q', 's', 'gdp')",
        "marts.fct_rows_set_aside(city_code, city_name, year, provider, source_name, file_path,"
        " row_number, set_aside_reason): ('2', '', 2010, 'p', 's', 'g', 8, 'unknown'),"
        " ('?', '乙市', 2010, 'p', 's', 'h', 6, 'not a number'), ('2', '', 2010, 'p', 't', '', 0,"
        " 'a'),"
        " ('?', '丙', 2010, 'p', 's', 'f', 7, 'b'), ('3', '', 2012, 'p', 's', 'f', 5, 'b'),"
        " ('3', '', 2011, 'q', 's', 'f', 5, 'b')"
        + "".join(f", ('3', '', 2011, 'p', 's', '', 1, {reason})" for reason in others.split(", ")),
    )
    nothing = (None, None, None)
    assert found == [
        ("1", 2010, "gdp", "p", "c1", "x", "丁", *nothing, False),
        ("2", 2010, "gdp", "p", *nothing, "not a number", "h", 6, False),
        ("3", 2010, "gdp", "p", *nothing, "b", "f", 7, False),
        ("3", 2011, "gdp", "p", *nothing, *nothing, True),
    ]


def test_a_value_lists_its_largest_rows_within_the_scope_and_sums_the_others() -> None:
    ((city, cells),) = ask(
        cities,
        "delivered_rows",
        "main.shown_series(series, provider, scope): ('n', 'p', 'industry')",
        "seeds.industry_scopes(scope, section): ('industry', 'B'), ('total', 'A')",
        "marts.fct_delivered_values(file_path, delivery_id, value_city_id, city_id, series,"
        " provider, year, sheet_name, row_number, delivered_value, industry_code, section,"
        " valid_until_delivery): ('b', 'd', '1', '1', 'n', 'p', 2010, 's', 4, 1.5, 'B1', 'B',"
        " null),"
        " ('b', 'd', '1', '2', 'n', 'p', 2010, 's', 3, 7, null, null, null),"
        " ('b', 'd', '1', '1', 'n', 'p', 2010, 's', 2, 1, 'B2', 'B', null),"
        " ('a', 'd', '1', '1', 'n', 'p', 2010, 't', 9, 1.5, 'B1', 'B', null),"
        " ('a', 'e', '1', '1', 'n', 'p', 2009, 's', 5, 6, 'B1', 'B', null),"
        " ('a', 'e', '1', '1', 'n', 'p', 2009, 's', 6, 6, 'B1', 'B', null),"
        " ('a', 'd', '1', '1', 'n', 'p', 2010, 's', 1, 9, 'A1', 'A', null),"
        " ('a', 'd', '1', '1', 'n', 'p', 2010, 's', 1, 9, 'B1', 'B', 2),"
        " ('a', 'd', '1', '1', 'n', 'q', 2010, 's', 1, 9, 'B1', 'B', null),"
        " ('a', 'd', '1', '1', 'm', 'p', 2010, 's', 1, 9, 'B1', 'B', null)",
        most=2,
    )
    assert city == "1"
    assert json.loads(cells) == {
        "n": {
            "2009": {
                "rows": [[1, "s", 5, 6, "B1", None], [1, "s", 6, 6, "B1", None]],
                "more": None,
            },
            "2010": {
                "rows": [[2, "s", 3, 7, None, "2"], [0, "t", 9, 1.5, "B1", None]],
                "more": [2, 2.5],
            },
        }
    }


def test_a_page_of_a_city_lists_corrections_and_doubts_of_the_series_with_values() -> None:
    shown = (
        "main.shown_series(series, provider, scope, has_values):"
        " ('n', 'p', 'all', true), ('m', 'p', 'all', false)"
    )
    assert ask(
        cities,
        "doubtful_values",
        shown,
        "marts.fct_doubtful_values(city_id, series, scope, year, value, expected_value, cause,"
        " cause_detail): ('1', 'n', 'all', 2011, 5, 6, 'copied', 'x'),"
        " ('1', 'n', 'all', 2010, 3, 4, 'unexplained', null), ('1', 'm', 'all', 2010, 3, 4, 'c',"
        " ''),"
        " ('1', 'n', 'part', 2010, 3, 4, 'c', ''), ('1', 'n', 'all', 2010, 3, 4, 'confirmed', ''),"
        " ('1', 'n', 'all', 2010, 3, 4, 'level break', '')",
    ) == [
        ("1", "n", 2010, 3, 4, "unexplained", None),
        ("1", "n", 2011, 5, 6, "copied", "x"),
    ]
    assert ask(
        cities,
        "corrections",
        shown,
        "marts.fct_corrections(city_id, correction_id, series, provider, scope, year,"
        " delivered_value, value, reason, reason_zh, delivered_city_id):"
        " ('1', 'c', 'n', 'p', 'all', 2010, 1, 2, 'r', 'z', '3'),"
        " ('1', 'c', 'm', 'p', 'all', 2010, 1, 2, 'r', 'z', '3'),"
        " ('1', 'c', 'n', 'q', 'all', 2010, 1, 2, 'r', 'z', '3'),"
        " ('1', 'c', 'n', 'p', 'part', 2010, 1, 2, 'r', 'z', '3')",
    ) == [("1", "c", "n", 2010, 1, 2, "r", "z", "3")]


def test_the_quality_page_counts_rows_set_aside_and_used_and_cities_of_a_correction() -> None:
    aside = (
        "marts.fct_rows_set_aside(provider, source_name, set_aside_reason, year, file_path,"
        " row_number, city_name): ('p', 's', 'b', 2010, 'f', 3, 'A'), ('p', 's', 'b', 2012, 'f', 2,"
        " 'B'), ('p', 'r', 'superseded', 2011, 'e', 1, 'C')"
    )
    account = (
        "marts.fct_row_accounting(provider, source_name, entity, disposition, file_path,"
        " row_count):"
        " ('q', 's', 'firm_register', 'used', 'f', 5), ('q', 's', 'firm_register', 'used', null,"
        " 4),"
        " ('q', 's', 'firm_register', 'in no series', 'f', 1),"
        " ('q', 's', 'firm_register', 'out of period', 'f', 1),"
        " ('q', 's', 'patent_register', 'no city', 'f', 6), ('q', 's', 'firm_register',"
        " 'no city', 'f', 3),"
        " ('p', 's', 'series', 'b', 'f', 2)"
    )
    assert ask(quality, "set_aside", aside, account) == [
        ("q", "s", "no city", 9, None, None),
        ("p", "s", "b", 2, 2010, 2012),
        ("p", "r", "superseded", 1, 2011, 2011),
    ]
    assert ask(quality, "rows_set_aside", aside, listed=1) == [("f", 2, "B", 2012, "b")]
    assert ("q", "s", "firm_register", "used", 1, 9) in ask(quality, "accounting", account)
    assert ask(
        quality,
        "corrections",
        CITIES,
        "marts.fct_corrections(correction_id, series, year, city_id, delivered_city_id,"
        " delivered_value, value, action, reason, reason_zh): ('c', 'n', 2010, '1', '2', 3, 4,"
        " 'a', 'r',"
        " 'z'), ('d', 'n', 2010, '1', '1', 3, 4, 'a', 'r', 'z'), ('c', 'n', 2011, null, null, 3,"
        " null,"
        " 'a', 'r', 'z'), ('c', 'n', 2011, null, null, 3, null, 'a', 'r', 'z')",
    ) == [
        ("c", "n", 2010, 1, "A", "甲市", "B", "乙市", 3, 4, "a", "r", "z"),
        ("c", "n", 2011, 2, None, None, None, None, 3, None, "a", "r", "z"),
        ("d", "n", 2010, 1, "A", "甲市", None, None, 3, 4, "a", "r", "z"),
    ]


def test_the_firms_section_compares_with_all_firms_and_counts_the_rows_of_its_registers() -> None:
    counts = (
        "('ai_firms', 2010, {}), ('ai_firms', 2011, {}), ('patents', 2010, {}), ('ai_firms', {})"
    )
    growth = ask(
        firms,
        "growth",
        "marts.fct_spatial_concentration(measure, year, national_count): "
        + counts.format(10, 30, 7, "2012, 50"),
        "reports.rpt_fixed_ratio_test(measure, year, national_share): "
        + counts.format(0.1, 0.2, 0.5, "2012, 0"),
    )
    assert growth == [
        (2010, "ai_firms", 10, 100),
        (2011, "ai_firms", 30, 300),
        (2010, "firms", 100, 100),
        (2011, "firms", 150, 150),
    ]
    release = Release.__new__(Release)
    release.__dict__ |= {
        "restricted_providers": ["p"],
        "withheld_tables": {"marts.fct_register_entries"},
        "connection": opened(
            "marts.fct_register_placement(provider, source_name, covers, entity):"
            " ('q', 's', 'all', 'firm_register'), ('p', 's', 'all', 'firm_register'),"
            " ('p', 's', 'all', 'firm_register'), ('p', 't', 'few', 'patent_register')",
            "marts.fct_row_accounting(provider, source_name, row_count):"
            " ('p', 's', 4), ('p', 's', 5), ('q', 's', 6), ('p', 't', 8)",
            "reports.rpt_scope_vintage(provider, source_name, entry_year, firm_count,"
            " ai_firm_count): ('p', 's', 2011, 1, 1), ('p', 's', 2010, 2, 0), ('p', 't', 2010, 5,"
            " 4)",
            "marts.fct_register_entries(provider, source_name, province_name_en,"
            " province_name_zh, section, firm_count, ai_firm_count):"
            " ('p', 's', 'A', '甲', 'C', 1, 1), ('p', 's', null, null, 'B', 2, 1),"
            " ('p', 's', 'A', '甲', 'B', 4, 2), ('q', 's', 'B', '乙', 'C', 3, 0)",
        ),
    }
    first, second = firms._read_registers(release)
    assert [*first.values()][:5] == ["p", "s", "all", 9, 3]
    assert [*second.values()][:5] == ["q", "s", "all", 6, 0]
    assert {name: [[*row.values()] for row in rows] for name, rows in first["groups"].items()} == {
        "year": [[2010, 2, 0], [2011, 1, 1]],
        "province": [["A", "甲", 5, 3], ["not known", "未知", 2, 1]],
        "section": [["B", 6, 3], ["C", 1, 1]],
    }
    assert first["withheld"] == ["p"]


def test_the_maps_page_names_clusters_of_the_last_year_and_years_without_estimate() -> None:
    status = ", 'estimated', null"
    local = (
        "estimates.est_local_spatial_autocorrelation(measure, year, city_id, quadrant, statistic,"
        " p_value, substitutions, status):"
        f" ('f', 2019, '1', 'HH', 2, 0.01, 's'{status[:-6]}), ('f', 2020, '1', 'HH', 2, 0.04, 's'"
        f"{status[:-6]}), ('f', 2020, '2', 'HH', 3, 0.01, 's'{status[:-6]}), ('f', 2020, '3',"
        f" 'HH', 4,"
        " 0.05, 's', 'estimated'), ('f', 2021, null, null, null, null, 's', 'not_estimable')"
    )
    assert ask(concentration, "local", CITIES, local) == [
        ("f", 2020, "HH", 2, "B, A", "乙市、甲市", "s")
    ]
    assert [row[-1] for row in ask(maps, "clusters", local)] == ["HH", "HH", "HH", "NS"]
    assert ask(
        maps,
        "missing",
        "estimates.est_spatial_autocorrelation(measure, year, city_count, status, reason,"
        " reason_zh): ('f', 2010, 0, 'not_estimable', 'r', 'z'), ('f', 2012, 0, 'not_estimable',"
        " 'q',"
        " 'z'), ('g', 2011, 9, 'not_estimable', 'r', 'z'), ('g', 2009, 9, 'estimated', 'r', 'z')",
    ) == [("f", None, None, 2010, 2012), ("g", "r", "z", 2011, 2011)]


def test_an_event_study_has_its_checks_and_a_zero_in_the_year_before_the_event() -> None:
    coefficients = (
        "reports.rpt_coefficients(specification_id, table_id, column_number, estimator, status,"
        " transform, reading, event_time, estimate, std_error_province, p_value_province,"
        " conf_low_province, conf_high_province, term, term_order, observation_count, city_count,"
        " substitutions, substitutions_zh, warnings, warnings_zh):"
        " ('a', 't', 1, 'event_study', 'estimated', 'x', 'r', 1, 2.0, 3, 4, 5, 6, 'after1', 2, 7,"
        " 8,"
        " '', '', '', ''), ('a', 't', 1, 'event_study', 'estimated', 'x', 'r', 0, -1.0, 3, 4, 5, 6,"
        " 'after0', 1, 9, 8, 's', 'z', 'w', 'v'), ('a', 't', 1, 'event_study', 'estimated', 'x',"
        " 'r',"
        " null, 1.0, 3, 4, 5, 6, 'control', 3, 7, 8, '', '', '', ''),"
        " ('b', 't', 2, 'event_study', 'not_estimable', 'x', 'r', null, null, 3, 4, 5, 6, 'q', 1,"
        " 7, 8,"
        " '', '', '', ''), ('c', 't', 3, 'poisson', 'estimated', 'x', 'r', 1, 2.0, 3, 4, 5, 6,"
        " 'q', 1, 7,"
        " 8, '', '', '', '')"
    )
    inference = (
        "estimates.est_inference(specification_id, term, method, estimate, std_error, p_value,"
        " reason,"
        " reason_zh): ('a', 'after0', 'poisson', 2.5, 1, 11, '', ''), ('a', 'after1', 'poisson',"
        " 2.5, 1,"
        " 11, '', ''), ('a', 'control', 'poisson', 0.0, 1, 11, '', ''),"
        " ('a', 'after1', 'crv3', -2.5, 1, 11, '', ''), ('a', null, 'pre_trend', null, 1, 12,"
        " 'e', 'f')"
    )
    scorecard = (
        "reports.rpt_replication_scorecard(specification_id, term, printed_text):"
        " ('a', 'after1', '0.5'), ('b', 'after0', '0.7')"
    )
    assert ask(event_studies, "points", coefficients, scorecard) == [
        ("a", "t_1", "x", "r", -1, 0, None, None, None),
        ("a", "t_1", "x", "r", 0, -1, 5, 6, None),
        ("a", "t_1", "x", "r", 1, 2, 5, 6, 0.5),
    ]
    assert ask(event_studies, "other_sign", coefficients, inference) == [
        ("t_1", "after0", -1, 3, 4, 2.5, 1, 11)
    ]
    assert ask(
        event_studies,
        "studies",
        coefficients,
        inference,
        "reports.rpt_specifications(specification_id, estimator, table_id, column_number,"
        " specification_order): ('b', 'event_study', 't', 2, 1), ('a', 'event_study', 't', 1, 2),"
        " ('c', 'poisson', 't', 3, 3)",
    ) == [
        ("a", "event_study", "t", 1, 2, "t_1", 12, "e", "f", 9, 8, "s", "z", "w", "v"),
        ("b", "event_study", "t", 2, 1, "t_2", None, None, None, 7, 8, "", "", "", ""),
    ]


def test_the_curve_page_counts_combinations_withheld_or_without_an_estimate() -> None:
    curve = (
        "estimates.est_specification_curve(curve_id, specification_id, status,"
        " standardised_estimate, reason, reason_zh): (1, 'a', 'estimated', null, null, null),"
        " (1, 'a', 'estimated', null, null, null), (2, 'a', 'estimated', 0.1, null, null),"
        " (3, 'a', 'not_estimable', null, 'q', 'z'), (3, 'a', 'not_estimable', null, 'q', 'z'),"
        " (4, 'a', 'not_estimable', null, 'p', 'y'), (5, 'a', 'not_estimable', null, 'r', 'x'),"
        " (6, 'd', 'not_estimable', null, 'r', 'x')"
    )
    assert ask(specification_curve, "withheld", curve) == [(1,)]
    assert ask(specification_curve, "missing", curve) == [
        ("r", "x", 2),
        ("p", "y", 1),
        ("q", "z", 1),
    ]
    assert ask(
        specification_curve,
        "part_of_years",
        curve,
        "reports.rpt_specifications(specification_id, first_year, last_year, asked_first_year,"
        " asked_last_year): ('a', 2011, 2015, 2010, 2016), ('b', 2011, 2015, 2009, 2016),"
        " ('d', 2011, 2015, 2011, 2015)",
    ) == [(2011, 2015, 2010, 2016)]
    assert ask(
        specification_curve,
        "permuted_shares",
        "estimates.est_specification_curve_joint(statistic, choices, errors, observed,"
        " permuted_mean, p_value): ('share_of_sign', 'without_dominated', 'province', 1, 2, 3),"
        " ('share_significant', 'without_dominated', 'province', 4, 5, 6),"
        " ('median_estimate', 'without_dominated', 'province', 1, 2, 3),"
        " ('share_of_sign', 'all', 'province', 1, 2, 3),"
        " ('share_of_sign', 'without_dominated', 'city', 1, 2, 3)",
    ) == [("share_of_sign", 1, 2, 3), ("share_significant", 4, 5, 6)]


def test_a_reading_has_its_negative_weights_and_the_influence_of_single_places() -> None:
    assert ask(
        readings,
        "weights",
        "estimates.est_sensitivity(specification_id, method, setting, value):"
        " ('a', 'negative_weights', 'figure=share', 0.25), ('a', 'negative_weights',"
        " 'figure=sum', -3),"
        " ('a', 'bounds', 'figure=sum', 7)",
    ) == [("a", 25, -3)]
    found = ask(
        readings,
        "influence",
        CITIES,
        "reports.rpt_specifications(specification_id, regressor, estimator):"
        " ('a', 'x', 'fixed_effects'), ('b', 'x', 'event_study')",
        "estimates.est_influence(specification_id, term, method, unit_kind, unit_id, setting,"
        " status,"
        " rank): ('a', 'x', 'leave_one_out', 'city', '9', 'errors=city', 'estimated', 1),"
        " ('a', 'x', 'leave_one_out', 'city', '1', 'errors=city', 'estimated', 2),"
        " ('a', 'x', 'leave_one_out', 'province', '9', 'errors=city', 'estimated', 1),"
        " ('a', 'x', 'leave_one_out', 'city', '2', 'errors=province', 'estimated', 1),"
        " ('a', 'x', 'leave_one_out', 'city', '2', 'errors=city', 'not_estimable', 1),"
        " ('a', 'x', 'leave_out_flagged', null, null, 'errors=city', 'estimated', null),"
        " ('a', 'x', 'with_city_trends', null, null, 'errors=city', 'estimated', null),"
        " ('a', 'w', 'leave_one_out', 'city', '2', 'errors=city', 'estimated', 1),"
        " ('b', 'w', 'leave_one_out', 'city', '2', 'errors=city', 'estimated', 1)",
    )
    assert [(row[0], row[1], row[2], *row[-3:]) for row in found] == [
        ("a", "x", "with_city_trends", None, None, "city"),
        ("a", "x", "leave_out_flagged", None, None, "city"),
        ("a", "x", "leave_one_out", "P", "省", "city"),
        ("a", "x", "leave_one_out", "B", "乙市", "province"),
        ("a", "x", "leave_one_out", None, None, "city"),
        ("b", "w", "leave_one_out", "B", "乙市", "city"),
    ]


def test_changes_since_the_previous_release_are_counted_by_kind_and_column() -> None:
    changes = (
        "release.changes(change_kind, column_name, city_id, year, specification_id, term,"
        " moved_std_errors): ('cell_changed', 'n', '1', 2010, null, null, null),"
        " ('cell_changed', 'n', '1', 2012, null, null, null),"
        " ('cell_gained', 'n', '2', 2009, null, null, null),"
        " ('estimate_gained', null, null, null, 'a', 'x', null),"
        " ('estimate_changed', null, null, null, 'b', 'x', 1),"
        " ('estimate_changed', null, null, null, 'c', 'y', 2),"
        " ('estimate_changed', null, null, null, 'c', 'x', 2),"
        " ('estimate_lost', null, null, null, 'd', 'x', null)"
    )
    kinds = ask(use, "kinds", changes)
    assert (kinds[0], kinds[3]) == (("cell_changed", 2, 1), ("estimate_gained", 1, 0))
    assert ask(use, "cells", changes) == [("n", 2, 1, 2010, 2012)]
    listed = ask(use, "estimates", changes, listed=9)
    assert [row[4] + row[5] for row in listed] == ["dx", "cx", "cy", "bx", "ax"]


def test_the_measure_page_counts_zeros_that_logs_drop_and_texts_of_each_term() -> None:
    rows = "('{0}', 'x', 'x', {1}, {2}), ('{0}', 'w', 'x', 99, 9)"
    assert ask(
        measure,
        "zeros",
        "reports.rpt_coefficients(specification_id, term, regressor, observation_count,"
        " overlap_observation_count): "
        + ", ".join(
            rows.format(*numbers)
            for numbers in (
                ("table_1_col_1", 50, 40),
                ("table_1_col_1_ln", 30, 20),
                ("other", 7, 5),
            )
        )
        + ", ('table_1_col_1', 'v', 'v', 60, null), ('table_1_col_1_ln', 'v', 'v', 60, null),"
        " ('table_1_col_1', 'u', 'u', 70, null), ('table_1_col_1_ln', 'u', 'u', null, 5)",
    ) == [(50, 30), (60, 0)]
    evaluation = (
        "marts.fct_ai_dictionary_evaluation(class_set, corpus, entry_year, text_count,"
        " class_text_count, tagged_text_count, precision_share, recall_share, tagged_share):"
        " ('s', 'c', 1, 2, 3, 4, 5, 6, 7), (null, 'c', 2010, 2, 3, 4, 5, 6, 7)"
    )
    assert ask(measure, "sets", evaluation) == [("s", 2, 3, 4, 5, 6)]
    assert ask(measure, "registers", evaluation) == [("c", 2010, 2, 4, 7)]
    terms = ask(
        measure,
        "terms",
        "marts.fct_ai_term_evaluation(corpus, term, is_used, searched_in, reason,"
        " matched_text_count, sole_text_count, core_share, narrow_share, wide_share, example_ids):"
        " ('a', 't', true, 'n', 'r', 1, 2, 3, 4, 5, 'e'), ('b', 'v', true, 'n', 'r', 1, 2, 3, 4,"
        " 5, 'e'),"
        " ('b', 't', true, 'n', 'r', 1, 2, 3, 4, 5, 'e'), ('b', 'w', true, 'n', 'r', 4, 2, 3, 4,"
        " 5, 'e'),"
        " ('b', 'w', true, 'n', 'r', 5, 1, 3, 4, 5, 'e')",
    )
    assert [row[:2] + row[5:7] for row in terms] == [
        ("b", "w", 9, 3),
        ("b", "t", 1, 2),
        ("b", "v", 1, 2),
        ("a", "t", 1, 2),
    ]


def test_agreement_of_sources_is_listed_in_total_by_group_and_by_year() -> None:
    release = Release.__new__(Release)
    release.connection = opened(
        "reports.rpt_fixed_ratio_test(measure, year, fixed_ratio_estimate):"
        " ('m', 2012, null), ('m', 2011, 0.2), ('m', 2010, 0.1), ('k', 2010, null)",
        "reports.rpt_source_agreement(series, scope, first_provider, second_provider, grouping,"
        " group_name, year): ('n', 's', 'p', 'q', 'area', 'east', null), ('n', 's', 'p', 'q',"
        " 'all', '',"
        " 2010), ('n', 's', 'p', 'q', 'all', '', null), ('n', 's', 'p', 'q', 'area', 'west', 2010),"
        " ('m', 's', 'p', 'q', 'all', '', null)",
        "reports.rpt_measure_reliability(measure, scope, first_provider, second_provider,"
        " transform,"
        " grouping, group_name, year): ('m', 's', 'p', 'q', 't', 'all', '', 2010),"
        " ('m', 's', 'p', 'q', 't', 'area', 'east', null), ('m', 's', 'p', 'q', 't', 'all', '',"
        " null)",
        "reports.rpt_coefficients(specification_id, term, regressor, observation_count,"
        " overlap_observation_count): ('', '', '', 0, 0)",
        "marts.fct_ai_dictionary_evaluation(class_set, corpus, entry_year, text_count,"
        " class_text_count, tagged_text_count, precision_share, recall_share, tagged_share):"
        " ('', '', 0, 0, 0, 0, 0, 0, 0)",
        "marts.fct_ai_term_evaluation(corpus, term, is_used, searched_in, reason,"
        " matched_text_count, sole_text_count, core_share, narrow_share, wide_share, example_ids):"
        " ('', '', true, '', '', 0, 0, 0, 0, 0, '')",
    )
    content = measure.build_content(release, Catalogue.load())
    shown = {
        name: [tuple(row.values()) for row in content[name]]
        for name in ("fixed_ratio", "compared", "agreement", "by_group", "by_year", "reliability")
    }
    pair = ("s", "p", "q")
    assert shown == {
        "fixed_ratio": [("k", 2010, None), ("m", 2010, 0.1), ("m", 2011, 0.2), ("m", 2012, None)],
        "compared": [("m", 2011, 0.2)],
        "agreement": [("m", *pair, "all", "", None), ("n", *pair, "all", "", None)],
        "by_group": [("n", *pair, "area", "east", None)],
        "by_year": [("n", *pair, "all", "", 2010)],
        "reliability": [
            ("m", *pair, "t", "all", "", None),
            ("m", *pair, "t", "area", "east", None),
        ],
    }


def test_provinces_are_listed_by_vintage_beside_the_estimate_with_revised_gdp() -> None:
    release = Release.__new__(Release)
    reading = vintages.READING
    rows = ", ".join(
        f"('{name}', '{table}', {column}, '{term}', '{of}', {estimate}, 4, 5, 'x')"
        for name, table, column, term, of, estimate in (
            (reading, "t", 1, "x", "revised", 0.2),
            ("d", "t", 1, "x", "default", 0.1),
            ("o", "t", 1, "x", "other", 0.3),
            (reading, "t", 1, "w", "revised", 0.4),
            ("d", "t", 1, "w", "default", 0.5),
            ("e", "t", 2, "x", "default", 0.6),
            ("f", "u", 1, "x", "default", 0.7),
            (reading, "t", 3, "x", "revised", "null"),
            ("g", "t", 3, "x", "default", 0.8),
            (reading, "t", 4, "x", "revised", 0.9),
            ("h", "t", 4, "x", "default", "null"),
        )
    )
    release.connection = opened(
        "reports.rpt_gdp_vintages(province_id, vintage):"
        " ('2', 'mixed'), ('1', 'mixed'), ('4', null), ('3', 'revised'), ('5', 'unrevised')",
        "reports.rpt_coefficients(specification_id, table_id, column_number, term, reading,"
        " estimate,"
        f" std_error, observation_count, regressor): {rows}",
    )
    content = vintages.build_content(release, Catalogue.load())
    (main,) = content["with_revised_gdp"]
    assert [*main.values()] == [reading, 0.2, 4, 5, 0.1, 4, 5]
    listed = content["provinces_by_vintage"].items()
    assert {name: [row["province_id"] for row in rows] for name, rows in listed} == {
        "revised": ["3"],
        "unrevised": ["5"],
        "mixed": ["1", "2"],
    }
    assert [row["province_id"] for row in content["provinces_withheld"]] == ["4"]


VERDICTS = (
    "reports.rpt_verdicts(table_id, column_number, design_order, specification_id, verdict_en,"
    " verdict_zh, meaning, meaning_zh, estimate, printed_value):"
    " ('t', 1, 1, 'a', 'holds', '成立', 'm', '意', 0.1, 0.2),"
    " ('t', 1, 2, 'a2', 'holds', '成立', 'm', '意', 0.3, 0.2),"
    " ('t', 2, 1, 'b', 'holds', '成立', 'm', '意', 0.4, 0.5),"
    " ('t', 3, 1, 'c', 'unclear', '不明', 'n', '义', 0.6, 0.7),"
    " ('t', 4, 1, 'd', 'no data', '无', 'o', '缺', null, 0.8)"
)
SCORECARD = (
    "reports.rpt_replication_scorecard(specification_id, table_id, column_number, term,"
    " printed_text, printed_stars, printed_std_error_text, estimated_stars, conf_low, conf_high,"
    " verdict, estimated_value): ('b', 't', 2, 'x', '.5', '**', '.1', '*', 3, 4, 'differs', 1),"
    " ('b', 't', 2, 'w', '', '', '', '', 7, 7, 'not_found', 1),"
    " ('b', 't', 9, 'x', '', '', '', '', 7, 7, 'compatible', 1),"
    " ('b', 'u', 2, 'x', '', '', '', '', 7, 7, 'cannot_tell', 1),"
    " ('z', 't', 2, 'x', '', '', '', '', 7, 7, 'not_comparable', 1),"
    " ('c', 't', 3, 'w', '', '', '', '', 7, 7, 'not_estimable', null)"
)


def test_claims_are_counted_by_the_verdict_of_their_first_design() -> None:
    assert ask(credibility, "verdicts", VERDICTS) == [
        ("holds", "成立", "m", "意", 2),
        ("no data", "无", "o", "缺", 1),
        ("unclear", "不明", "n", "义", 1),
    ]
    designs = ask(credibility, "designs", VERDICTS)
    assert [(row[3], row[-1]) for row in designs] == [
        ("a", "t1"),
        ("b", "t2"),
        ("c", "t3"),
        ("a2", "t1"),
    ]
    # Printed numbers, estimated ones, and those by verdict.
    assert ask(credibility, "score", SCORECARD) == [(6, 5, 1, 1, 2, 1)]


def test_a_claim_of_the_same_outcome_and_regressor_names_its_variant() -> None:
    with opened(
        VERDICTS,
        SCORECARD,
        "reports.rpt_claims(table_id, column_number, association, association_en, association_zh,"
        " ai_en, ai_zh, ai_meaning, ai_meaning_zh): ('t', 4, 'k', '', '', '', '', '', ''),"
        " ('t', 1, 'k', '', '', '', '', '', ''), ('t', 2, 'k', '', '', '', '', '', ''),"
        " ('t', 3, 'k', '', '', '', '', '', '')",
        "reports.rpt_specifications(specification_id, specification_order, regressor, estimator,"
        " reason, reason_zh, outcome_label_en, outcome, outcome_label_zh, regressor_label_en,"
        " regressor_label_zh): ('d', 15, 'x', 'e', '', '', null, 'y', null, '', ''),"
        " ('a', 10, 'x', 'e', '', '', null, 'y', null, '', ''),"
        " ('b', 20, 'x', 'e', '', '', 'log y', 'y', '对数', '', ''),"
        " ('c', 30, 'w', 'e', '', '', null, 'y', null, '', '')",
        "marts.data_dictionary(table_name, column_name, description_en, description_zh):"
        " ('rpt_t', 'column_1', 'First.', '一'), ('rpt_t', 'column_2', 'With controls.', '二'),"
        " ('rpt_t', 'column_3', 'Third.', '三'), ('rpt_t', 'column_4', 'GMM in steps.', '四'),"
        " ('rpt_u', 'column_2', 'Other.', '五')",
    ) as connection:
        claims = connection.execute(credibility.SQL["columns"]).fetch_df()
    claims = claims.astype(object).where(claims.notna(), None)
    shown = ["specification_id", "outcome_en", "variant_en", "variant_zh", "printed_text"]
    assert claims[[*shown, "city_conf_high"]].to_numpy().tolist() == [
        ["a", "y", None, None, None, None],
        ["d", "y", "GMM in steps", "四", None, None],
        ["b", "log y", "with controls", "二", ".5", 4],
        ["c", "y", None, None, "", 7],
    ]


def test_permuted_estimates_are_drawn_beside_the_own_and_the_printed_one() -> None:
    found = "reports.rpt_findings(specification_id): ('a'), ('c')"
    weights = "estimates.est_permuted_weights(specification_id, permutation, estimate): "
    permuted = "('a', 2, 0.2), ('a', 1, 0.3), ('a', null, 9), ('b', 1, 8)"
    headline = VERDICTS.replace("('t', 3, 1, 'c', ", "('t', 3, 1, 'c3', ")
    assert [
        (kind, permutation, float(estimate))
        for kind, permutation, estimate in ask(
            credibility, "permuted", headline, found, weights + permuted
        )
    ] == [("own", None, 0.1), ("permuted", 1, 0.3), ("permuted", 2, 0.2), ("printed", None, 0.2)]
    assert ask(credibility, "permuted", headline, found, weights + "('a', null, 9.5)") == []


def test_metadata_describe_a_column_by_its_label_or_else_by_its_comment() -> None:
    dictionary = (
        "marts.data_dictionary(table_schema, table_name, column_name, column_number, label_en,"
        " label_zh, description_en, description_zh, unit, source, is_key, missing_share):"
        " ('marts', 'panel', 'year', 3, 'Year', '年', 'The year.', '年份', null, '', true, 0),"
        " ('marts', 'panel', 'gdp', 2, 'GDP', '产值', 'All GDP.', '全部', 'yuan', 's', false, 0.5),"
        " ('marts', 'panel', 'tax', 1, 'Tax', '税', 'Tax', '税', null, '', false, 0),"
        " ('marts', 'panel', 'empty', 4, '', '', 'Empty.', '', null, '', false, 1),"
        " ('marts', 'other', 'gdp', 5, 'x', 'x', 'x', 'x', 'x', 'x', true, 0)"
    )
    panel = ask(metadata, "panel_columns", dictionary, panel="marts.panel")
    assert panel == [("tax", "Tax", None), ("gdp", "GDP", "yuan")]
    with opened(dictionary, "marts.panel(gdp, tax, plain): (1, 2, 'a')") as connection:
        connection.execute("comment on column marts.panel.plain is 'Plain.'")
        connection.execute("comment on table marts.panel is 'A panel.'")
        rows = connection.execute(metadata.SQL["columns"]).fetchall()
        tables = connection.execute(metadata.SQL["tables"], {"schemas": ["marts"]}).fetchall()
        assert not connection.execute(metadata.SQL["tables"], {"schemas": ["raw"]}).fetchall()
    assert [row[1:] for row in rows if row[0] == "marts.panel"] == [
        ("gdp", "INTEGER", "GDP", "产值", "All GDP.", "全部", "yuan", "s", False, 0.5),
        ("tax", "INTEGER", None, None, "Tax", "税", None, "", False, 0),
        ("plain", "VARCHAR", None, None, "Plain.", None, None, None, False, None),
    ]
    assert [row[0] for row in tables] == ["marts.data_dictionary", "marts.panel"]
    assert tables[1][-1] == "A panel."


def test_a_trace_offers_the_nearest_estimated_specifications() -> None:
    rows = (
        "reports.rpt_specifications(specification_id, specification_order, table_id, column_number,"
        " regressor, outcome, reading, estimator, status): "
    )
    this = "('this', 1, 't', 1, 'x', 'y', 'r', 'e', 'not_estimable')"
    nearest = (
        "('b', 4, 't', 1, 'x', 'z', 'r', 'f', 'estimated')",
        "('c', 3, 't', 2, 'x', 'y', 'r', 'f', 'estimated')",
        "('d', 2, 'u', 1, 'x', 'y', 'default', 'e', 'estimated')",
    )
    others = (
        "('e', 5, 't', 1, 'x', 'z', 'r', 'f', 'mechanical')",
        "('f', 6, 'u', 1, 'x', 'y', 'r', 'e', 'estimated')",
        "('g', 7, 'u', 1, 'x', 'y', 'default', 'f', 'estimated')",
    )
    for start, answer in enumerate([("b", 0), ("c", 1), ("d", 2)]):
        table = rows + ", ".join((this, *nearest[start:], *others))
        found = ask(trace, "other_specifications", table, specification_id="this")
        assert found == [answer]


def test_a_trace_lists_corrections_of_the_city_its_province_and_the_cities_merged_into_it() -> None:
    found = ask(
        trace,
        "corrections",
        "intermediate.int_series_corrected(correction_id, series, provider, year, city_id):"
        " ('c1', 's', 'p', 2010, '1'), ('c2', 's', 'p', 2010, '9'), ('c3', 's', 'p', 2010, '5'),"
        " ('c3', 's', 'p', 2010, '1'), ('c4', 's', 'p', 2010, '6'), ('c4', 's', 'p', 2010, '7'),"
        " ('c5', 't', 'p', 2010, '1'), ('c5', 's', 'q', 2010, '1'), ('c5', 's', 'p', 2011, '1'),"
        " ('c5', 's', 'p', 2010, '2'), ('c5', 's', 'p', 2010, '8')",
        "seeds.corrections(correction_id, action, reason): ('c5', 'a', ''), ('c3', 'b', 'r'),"
        " ('c2', 'b', ''), ('c1', 'b', ''), ('c4', 'b', '')",
        "seeds.cities(city_id, province_id): ('1', '9'), ('2', '8')",
        "seeds.city_changes(kind, from_city_id, to_city_id): ('merger', '5', '1'),"
        " ('split', '6', '1'), ('merger', '7', '2'), ('merger', '1', '2')",
        series="s",
        provider="p",
        year=2010,
        city_id="1",
    )
    assert found == [("c1", "b", ""), ("c2", "b", ""), ("c3", "b", "r")]


def test_a_trace_lists_later_changes_of_boundaries_of_values_in_those_of_their_year() -> None:
    def changes(boundaries: str, year: int) -> list[tuple[Any, ...]]:
        return ask(
            trace,
            "boundary_changes",
            "seeds.city_changes(change_id, note, from_city_id, to_city_id, first_year):"
            " ('from', 'n', '1', '2', 2012), ('to', 'n', '2', '1', 2013),"
            " ('other', 'n', '2', '3', 2012)",
            "intermediate.int_series_sources(series, provider, boundaries):"
            f" ('s', 'p', '{boundaries}'), ('s', 'q', 'as_of_year'), ('t', 'p', 'as_of_year')",
            city_id="1",
            series="s",
            provider="p",
            year=year,
        )

    assert changes("as_of_year", 2011) == [("from", "n"), ("to", "n")]
    assert changes("as_of_year", 2012) == [("to", "n")]
    assert changes("fixed", 2011) == []


def test_a_trace_lists_the_valid_rows_of_a_city_year_in_the_sections_of_its_scope() -> None:
    found = ask(
        trace,
        "delivered_rows",
        "marts.fct_delivered_values(row_number, file_path, series, provider, year, value_city_id,"
        " section, delivered_value, sheet_name, valid_until_delivery):"
        " (1, 'b', 's', 'p', 2010, '1', 'C', 5, 'x', null),"
        " (2, 'b', 's', 'p', 2010, '1', null, 7, 'x', null),"
        " (3, 'b', 's', 'p', 2010, '1', 'C', 5, 'w', null),"
        " (5, 'a', 's', 'p', 2010, '1', 'C', 5, 'x', null),"
        " (4, 'a', 's', 'p', 2010, '1', 'C', 5, 'x', null),"
        " (6, 'a', 's', 'p', 2010, '1', 'J', 5, 'x', null),"
        " (7, 'a', 's', 'p', 2010, '1', 'C', 5, 'x', 'd'),"
        " (8, 'a', 's', 'p', 2010, '2', 'C', 5, 'x', null),"
        " (9, 'a', 's', 'p', 2011, '1', 'C', 5, 'x', null),"
        " (10, 'a', 's', 'q', 2010, '1', 'C', 5, 'x', null),"
        " (11, 'a', 't', 'p', 2010, '1', 'C', 5, 'x', null)",
        "seeds.industry_scopes(scope, section): ('made', 'C'), ('all', 'C'), ('all', 'J')",
        series="s",
        provider="p",
        year=2010,
        city_id="1",
        scope="made",
    )
    assert [row[0] for row in found] == [2, 4, 5, 3, 1]


def test_a_trace_of_counts_lists_the_valid_files_of_the_sources_and_no_copies() -> None:
    def files(series: str, provider: str = "p") -> list[tuple[Any, ...]]:
        return ask(
            trace,
            "counted_files",
            "raw.deliveries(file_path, delivery_id, entity, provider, source_name,"
            " valid_until_delivery, copy_of_delivery):"
            " ('firms', '1', 'firm_register', 'r', 'firms', null, null),"
            " ('patents', '2', 'patent_register', 'r', 'patents', null, null),"
            " ('old', '3', 'firm_register', 'r', 'firms', 'd', null),"
            " ('copy', '4', 'firm_register', 'r', 'firms', null, 'd'),"
            " ('table', '5', 'x', 'p', 'table', null, null),"
            " ('foreign', '6', 'x', 'q', 'table', null, null)",
            "intermediate.int_series_corrected(series, provider, source_name):"
            " ('born', 'p', 'firm_register'), ('born', 'p', 'firm_register'),"
            " ('filed', 'p', 'industry_concordance'), ('both', 'p', 'table'),"
            " ('both', 'q', 'firm_register'), ('rows', 'p', 'table')",
            "marts.fct_delivered_values(series, provider): ('rows', 'p'), ('born', 'q')",
            series=series,
            provider=provider,
        )

    assert files("born") == [("firms, sha256 1", True)]
    assert files("filed") == [("patents, sha256 2", True)]
    assert files("both") == [("table, sha256 5", False)]
    assert files("both", "q") == [("firms, sha256 1", True)]
    assert files("rows") == []


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.5, 8.5, [1, 2, 3, 4, 5, 6, 7, 8]),
        (-30, 51, [-20, 0, 20, 40]),
        (0.11, 0.31, [0.15, 0.2, 0.25, 0.3]),
    ],
)
def test_an_axis_has_at_most_nine_round_ticks(low: float, high: float, ticks: list[float]) -> None:
    assert charts.choose_ticks(low, high) == ticks


@pytest.mark.parametrize(
    ("province", "name"),
    [("广东省", "广东"), ("内蒙古自治区", "内蒙古"), ("黑龙江省", "黑龙江"), ("Shanxi", "Shanxi")],
)
def test_the_chinese_name_of_a_province_is_shortened(province: str, name: str) -> None:
    assert quality._shorten_province(province) == name
