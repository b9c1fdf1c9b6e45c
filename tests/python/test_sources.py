"""Test the lists of delivered and missing sources on a small warehouse."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from ai_manufacturing import cli
from ai_manufacturing.releases import headlines, sources

SERIES = [
    ("firm_count", "industry", False),
    ("firm_count", "manufacturing", False),
    ("gdp_100m_cny", "total", True),
    ("manufacturing_employment_10k", "total", False),
    ("rd_personnel_count", "total", False),
]
NEEDS = [
    ("table_1_col_1", "firm_count", "industry"),
    ("table_1_col_1", "gdp_100m_cny", "total"),
    ("table_1_col_1_manufacturing", "firm_count", "manufacturing"),
    ("table_3_col_4", "manufacturing_employment_10k", "total"),
    ("table_3_col_4", "firm_count", "industry"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a warehouse with only the tables that the list of sources reads."""
    path = tmp_path / "small.duckdb"
    lacking = {(series, scope) for series, scope, is_delivered in SERIES if not is_delivered}
    with duckdb.connect(str(path)) as connection:
        connection.execute("""
            create schema raw; create schema marts; create schema reports;
            create table raw.deliveries as
    select 'small' as extract_set, 'synthetic' as extract_set_kind;
            create table marts.fct_deliveries as
                select 'csmar' as provider, 'gdp' as source_name,
                    'commercial_vendor' as provenance_class,
                    'CSMAR' as publisher, 'a third party' as republished_by,
                        'none stated' as licence,
                    'https://example.org' as source_link, date '2026-11-28' as looked_up_on,
                        'a.csv' as file_path,
                    'used' as outcome;
            insert into marts.fct_deliveries select * replace (
                unnest(['a.csv', 'b.csv', 'c.csv', 'd.csv']) as file_path,
                unnest(['used', 'partly used', 'superseded', 'withdrawn']) as outcome
            ) from marts.fct_deliveries;
            insert into marts.fct_deliveries by name select 'no.csv' as file_path, 'x' as outcome;
            create table marts.dim_series (series varchar, scope varchar, is_delivered boolean,
                label_en varchar,
                label_zh varchar, absence_reason varchar);
            create table marts.dim_specification_series
                (specification_id varchar, quantity varchar, scope varchar, is_delivered boolean);
            create table reports.rpt_column_specifications as
                select unnest(['table_1_col_1', 'table_3_col_4']) as specification_id;
        """)
        connection.executemany(
            "insert into marts.dim_series values (?, ?, ?, 'a label', '名称', null)", SERIES
        )
        rows = [(*need, need[1:] not in lacking) for need in NEEDS]
        connection.executemany(
            "insert into marts.dim_specification_series values (?, ?, ?, ?)", rows
        )
    return path


def listed(file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return {
            (row["series"], row["scope"]): row for row in sources.read_sources(connection)["absent"]
        }


def test_a_series_that_is_absent_in_one_scope_is_listed_in_it(file: Path) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "update marts.dim_series set is_delivered = true where scope = 'industry'"
        )
    absent = listed(file)
    assert ("firm_count", "industry") not in absent
    row = absent["firm_count", "manufacturing"]
    assert row["specifications"] == ["table_1_col_1_manufacturing"]
    assert row["sources"] == [], "registered firms of all industries feed the scope industry alone"


def test_a_source_that_is_not_here_is_named_with_what_it_makes_estimable(file: Path) -> None:
    absent = listed(file)
    assert list(absent) == [
        (series, scope) for series, scope, is_delivered in SERIES if not is_delivered
    ]
    with duckdb.connect(str(file), read_only=True) as connection:
        (delivered,) = sources.read_sources(connection)["delivered"]
    assert delivered == {
        "provider": "csmar",
        "source_name": "gdp",
        "provenance_class": "commercial_vendor",
        "publisher": "CSMAR",
        "republished_by": "a third party",
        "licence": "none stated",
        "link": "https://example.org",
        "looked_up_on": "2026-11-28",
        "file_count": 2,
    }
    firms = absent["firm_count", "industry"]
    assert firms["specifications"] == ["table_1_col_1", "table_3_col_4"]
    assert firms["last_missing_of"] == ["table_1_col_1"]
    (place,) = firms["sources"]
    assert (place["provider"], place["source_name"], place["folder"]) == (
        "duhe1123",
        "firm_stock",
        "firm_stock",
    )
    assert (place["file_name"], place["estimable"]) == ("firms*.dta", ["table_1_col_1"])
    assert place["link"].endswith(
        "/blob/ba2d74828d6bc1a20ac2d0af5a1e5f4f227badf5/rawData/firms12_20.dta"
    )
    # Two series are missing for this column, and the yearbook would provide only one of them.
    (yearbook,) = absent["manufacturing_employment_10k", "total"]["sources"]
    assert (yearbook["source_name"], yearbook["looked_up_on"], yearbook["estimable"]) == (
        "city_yearbook",
        "2026-11-28",
        [],
    )
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "insert into marts.fct_deliveries by name select 'duhe1123' as provider, 'firm_stock'"
            " as source_name, 'used' as outcome"
        )
    assert listed(file)["firm_count", "industry"]["sources"] == []


def test_a_build_that_the_gate_held_lists_its_sources_and_says_that_nothing_is_estimable_yet(
    file: Path,
) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute("drop table reports.rpt_column_specifications")
    told = CliRunner().invoke(cli.main, ["sources", "--database", str(file)])
    assert told.exit_code == 0, told.output
    assert (
        "No estimates have been computed yet. If the quality gate failed, the table"
        " gates.gate_results lists the failed checks." in told.output
    )
    assert "firm_count (industry): a label, needed for 2 specifications\n" in told.output
    assert "rd_personnel_count (total): a label, which no specification needs\n" in told.output
    assert "lack only the series" not in told.output


def test_headlines_are_counted_once_with_the_series_that_they_lack() -> None:
    with duckdb.connect() as connection:
        connection.execute("""
            create schema marts; create schema reports;
            create table marts.dim_specification_series as from (values
                ('estimated', 'gdp', true, true), ('estimated', 'firms', true, true),
                ('lost', 'wages', false, true), ('lost', 'jobs', false, true),
                ('absent', 'jobs', false, true), ('reading', 'land', false, false),
                ('whole', 'prices', true, true)
            ) as used (specification_id, series, is_delivered, is_headline);
            create table reports.rpt_coefficients as from (values
                ('estimated', 1), ('estimated', 2), ('lost', null), ('reading', 3),
                ('whole', 4)
            ) as rows (specification_id, estimate)
        """)
        found = headlines.read_headlines(connection)
    assert found == headlines.Headlines(4, 2, ("jobs", "wages"))
    lacking = "2 of the 4 headline specifications have an estimate"
    assert str(found) == f"{lacking}; not delivered: jobs, wages"
    assert str(headlines.Headlines(4, 2, ())) == lacking


def test_a_file_of_earlier_code_is_one_message_with_a_way_out(file: Path) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute("alter table marts.fct_deliveries drop column source_link")
    told = CliRunner().invoke(cli.main, ["sources", "--json", "--database", str(file)])
    assert told.exit_code == 1
    assert told.stderr.startswith(
        f"Error: {file} was built by an earlier version of the code, or its "
    )
    assert told.stderr.endswith(
        "Build the warehouse or refresh the release again, or name another file with --database.\n"
    )
