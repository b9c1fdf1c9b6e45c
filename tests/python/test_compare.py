"""Tests for the command `compare` on copies of a warehouse with known differences."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_manufacturing.auditing.changes import build_inequality
from ai_manufacturing.auditing.compare import (
    SECTIONS,
    CompareError,
    Section,
    compare_databases,
    format_markdown,
    format_text,
    to_records,
)
from ai_manufacturing.releases import databases
from tests.python import release_store
from tests.python.conftest import Build
from tests.python.test_command_line import keys


@pytest.fixture
def changed(light_build: Build, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies the sample's warehouse and applies SQL to the copy."""

    def change(*statements: str) -> Path:
        copy = tmp_path / f"{len(list(tmp_path.iterdir()))}.duckdb"
        return release_store.changed(light_build.warehouse, copy, *statements)

    return change


def compared(old: Path, new: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Compare two warehouses, whose views may read files in any folder."""
    before, after = map(databases.read_database, (old, new))
    sections = compare_databases(before, after, Path("/"))
    return {section.title: section.rows for section in sections}


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        # Pairs that two OpenBLAS kernels computed for one column of the sample.
        ("1.339361184096533e-63", "1.339361170380674e-63", False),
        ("0e0", "5.5e-17", False),
        ("9.3e-5", "9.3e-5 + 3.9e-13", False),
        ("9.3e-5", "9.3e-5 + 2e-12", True),
        ("3e6", "3e6 * (1 + 5e-10)", False),
        ("3e6", "3e6 * (1 + 2e-9)", True),
        ("null::double", "0e0", True),
    ],
)
def test_numbers_that_only_rounding_separates_count_as_equal(
    old: str, new: str, differs: bool
) -> None:
    assert duckdb.sql(f"select {build_inequality(old, new)}").fetchall() == [(differs,)]


def test_rows_that_nothing_identifies_are_counted_as_a_whole(tmp_path: Path) -> None:
    """Differences in a table without a key are counted by whole rows.

    The same files also test the error for a warehouse whose landing store is gone.
    """
    landed = tmp_path / "rows.parquet"
    old, new = tmp_path / "old.duckdb", tmp_path / "new.duckdb"
    for path, rows in (
        (old, "(1, 0.5), (1, 0.5), (2, 0.1)"),
        (new, "(1, 0.5), (2, 0.1), (2, 0.2)"),
    ):
        release_store.edit(
            path,
            f"copy (select 1 as value) to '{landed}'; create schema raw; create schema marts",
            "create table raw.deliveries as"
            " select 'a' as extract_set, 'delivered' as extract_set_kind",
            f"create table marts.counts as from (values {rows}) as t (place, value)",
            f"create view marts.delivered as from read_parquet('{landed}')",
        )
    assert compared(old, new) == {"Rows": [("marts.counts", "the whole row", 3, 3, 1, 1, 0)]}
    assert compared(old, old) == {}
    landed.unlink()
    with pytest.raises(CompareError, match=r"rows\.parquet[\s\S]*LANDING_DIR"):
        compared(old, new)


def test_rows_cells_and_estimates_of_a_table_with_a_key_are_compared(tmp_path: Path) -> None:
    """A sum that differs by rounding, and an integer stored as a double, are not changes."""
    old, new = tmp_path / "old.duckdb", tmp_path / "new.duckdb"
    panels = {
        old: "('a', 2015, 10, 'p', 1), ('a', 2016, 20, 'x', 2), ('b', 2015, 0.3, 'p', 3),"
        " ('c', 2015, 1, 'p', 4), ('c', 2016, null, 'x', 5)",
        new: "('a', 2015, 9, 'p', 1), ('a', 2016, 30, 'y', 8), ('b', 2015, 0.1e0 + 0.2e0, 'p', 3),"
        " ('c', 2016, 6, null, 9), ('d', 2015, 7, 'p', 6), ('d', 2016, 8, 'p', 7)",
    }
    estimates = {
        old: "('s0', 1e0, 1), ('s1', 1, 1), ('s2', 1, 0.5), ('s3', 1, 1)",
        new: "('s0', 1e0, 1), ('s1', 2.5, 1), ('s2', 2, 0.5), ('s3', null, 1)",
    }
    sides = ((old, "integer", "gone", "lost"), (new, "double", "come", "gained"))
    for path, size, table, column in sides:
        release_store.edit(
            path,
            "create schema raw; create schema marts; create schema reports",
            "create table raw.deliveries as"
            " select 'a' as extract_set, 'delivered' as extract_set_kind",
            "create table marts.data_dictionary as from (values"
            " ('marts', 'panel', 'year', 2, true), ('marts', 'panel', 'city', 1, true),"
            " ('marts', 'panel', 'gdp', 3, false))"
            " as t (table_schema, table_name, column_name, column_number, is_key)",
            "create table marts.panel"
            f" (city varchar, year integer, gdp double, note varchar, size {size})",
            f"insert into marts.panel values {panels[path]}",
            f"create table marts.{table} as select 1 as one",
            f"create table marts.city (city varchar, {column} varchar)",
            "create table reports.rpt_coefficients as select *, 'x' as term, '' as status,"
            " 0.5 as p_value, 0 as conf_low, 1 as conf_high"
            f" from (values {estimates[path]}) as t (specification_id, estimate, std_error)",
        )
    assert compared(old, new) == {
        "Tables": [("marts.gone", "lost"), ("marts.come", "gained")],
        "Columns": [
            ("marts.city", "lost", "lost"),
            ("marts.city", "gained", "gained"),
            ("marts.panel", "size", "INTEGER -> DOUBLE"),
        ],
        "Rows": [
            ("marts.panel", "city, year", 5, 6, 1, 2, 3),
            ("reports.rpt_coefficients", "the whole row", 4, 4, 3, 3, 0),
        ],
        "Cells": [
            ("marts.panel", "gdp", 3, 0.5, "a, 2016", "20.0", "30.0"),
            ("marts.panel", "note", 2, None, "a, 2016", "x", "y"),
            ("marts.panel", "size", 2, None, "a, 2016", "2", "8.0"),
        ],
        "Estimates": [
            ("s3", "x", 1, 1, None, 1, None),
            ("s2", "x", 1, 0.5, 2, 0.5, 2),
            ("s1", "x", 1, 1, 2.5, 1, 1.5),
        ],
    }
    release_store.edit(new, "update raw.deliveries set extract_set = 'b'")
    with pytest.raises(CompareError, match=r"old\.duckdb belongs to .* a .*new\.duckdb .* b "):
        compared(old, new)


def test_a_comparison_is_printed_as_aligned_text_markdown_or_records() -> None:
    tables = Section("Tables", ("table", "change"), [("a|b", None), (1234.56789, "two\n lines")])
    rows = Section("Rows", SECTIONS["Rows"], [("t", "y" * 60, "z" * 61, 4, 3, 2, 1)])
    assert format_text([tables, tables]) == "\n\n".join(
        ["Tables\n  table  change\n  a|b\n  1235   two lines"] * 2
    )
    assert format_markdown([tables, tables]) == "\n\n".join(
        ["## Tables\n\n|table|change|\n|---|---|\n|a\\|b||\n|1235|two lines|"] * 2
    )
    assert format_markdown([rows]).endswith(f"\n|t|{'y' * 60}|{'z' * 60}…|4|3|2|1|")
    records = to_records([tables, rows])
    assert [*records] == ["tables", "columns", "rows", "cells", "estimates"]
    assert records["tables"][0] == {"table": "a|b", "change": None}
    assert records["rows"][0]["rows_before"] == "z" * 61
    assert records["cells"] == []


@pytest.mark.soak
def test_the_command_ends_as_diff_does(light_build: Build, changed: Callable[..., Path]) -> None:
    def run(code: int, *arguments: object) -> str:
        ended = light_build.command("compare", *map(str, arguments))
        assert ended.returncode == code, ended.stderr
        return ended.stdout if code < 2 else ended.stderr

    old = light_build.warehouse
    printed = run(0, old, changed())
    assert printed.endswith("No difference.\n")
    assert printed.startswith("sample (SYNTHETIC: its numbers are not real), warehouse, ")
    other = changed(
        "update reports.rpt_coefficients set warnings = 'a | b' where specification_id ="
        " 'table_4_col_1'"
    )
    printed = run(1, "--markdown", old, other)
    head = "|table|column|cells changed|largest relative change|at|before|after|\n|---|"
    assert head in printed
    assert "a \\| b" in printed
    another = changed("update raw.deliveries set extract_set = 'another'")
    why = "to another (SYNTHETIC: its numbers are not real). Compare files of the same extract set."
    assert why in run(2, old, another)
    document = json.loads(run(1, "--json", old, other))
    assert document.keys() == keys("`compare`")
    assert document["old"].keys() == keys("`old` and `new` of `compare`")
    assert (document["new"]["path"], document["new"]["release_id"]) == (str(other), None)
    assert {cell["column"] for cell in document["cells"]} == {"warnings"}
