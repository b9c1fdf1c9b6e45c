"""The comparison of two warehouse or release files, on copies of a real one that were changed in known places."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from ai_manufacturing.auditing.compare import CompareError, Section, as_records, compare
from ai_manufacturing.releases import databases
from tests.python import release_store
from tests.python.conftest import Build
from tests.python.test_command_line import keys


@pytest.fixture
def changed(light_build: Build, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies a warehouse of the sample and changes it."""

    def change(*statements: str) -> Path:
        copy = tmp_path / f"{len(list(tmp_path.iterdir()))}.duckdb"
        shutil.copyfile(light_build.warehouse, copy)
        with duckdb.connect(str(copy)) as connection:
            for statement in statements:
                connection.execute(statement)
        return copy

    return change


def compared(old: Path, new: Path) -> list[Section]:
    return compare(databases.read(old), databases.read(new))


def of(sections: list[Section]) -> dict[str, list[tuple]]:
    return {section.title: section.rows for section in sections}


def test_every_kind_of_difference_is_found_where_it_was_made(light_build: Build, changed: Callable[..., Path]) -> None:
    estimate, error = light_build.rows(
        "select estimate, std_error from reports.rpt_coefficients "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'"
    )[0]
    new = changed(
        "update reports.rpt_coefficients set estimate = estimate + 2.5 * std_error "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'",
        "update reports.rpt_coefficients set estimate = estimate + std_error where specification_id = 'table_1_col_2'",
        "update reports.rpt_coefficients set estimate = null where specification_id = 'table_1_col_3' "
        "and term = 'ai_patent_grants'",
        "delete from marts.fct_city_year_panel where city_id = '440300' and year = 2015",
        "update marts.fct_city_year_panel set ln_gdp = null where city_id = '440300' and year = 2016",
        # the order of a sum is no change
        "update marts.fct_city_year_panel set ln_loans = ln_loans * (1 + 1e-13)",
        "alter table marts.dim_city drop column name_zh",
        "alter table marts.dim_series add column note varchar",
        "drop table reports.rpt_table_6",
        "create table reports.rpt_other as select 1 as one",
    )
    sections = compared(light_build.warehouse, new)
    found = of(sections)
    records = as_records(sections)
    assert {"old", "new", *records} == keys("`compare`")
    assert records["rows"][0].keys() == {
        *("table", "matched_by", "rows_before", "rows_after", "lost", "gained", "changed")
    }
    assert records["estimates"][1]["moved_in_standard_errors"] == pytest.approx(2.5)
    assert as_records([]) == {key: [] for key in records}
    assert found["Tables"] == [("reports.rpt_table_6", "lost"), ("reports.rpt_other", "gained")]
    assert found["Columns"] == [("marts.dim_city", "name_zh", "lost"), ("marts.dim_series", "note", "gained")]
    rows = {table: counts for table, *counts in found["Rows"]}
    assert rows["marts.fct_city_year_panel"] == ["city_id, year", 4037, 4036, 1, 0, 1]
    assert [row[:3] for row in found["Cells"] if row[0] == "marts.fct_city_year_panel"] == [
        ("marts.fct_city_year_panel", "ln_gdp", 1)
    ]
    (lost, farthest, next_) = found["Estimates"][:3]
    assert lost[:2] == ("table_1_col_3", "ai_patent_grants")
    assert lost[4] is None
    assert farthest[:2] == ("table_1_col_1", "ai_firms")
    assert farthest[6] == pytest.approx(2.5)
    assert farthest[4] == pytest.approx(estimate + 2.5 * error)
    assert (next_[0], next_[6]) == ("table_1_col_2", pytest.approx(1))


def test_rows_that_nothing_identifies_are_counted_as_a_whole(tmp_path: Path) -> None:
    for name, rows in (("old", "(1, 0.5), (1, 0.5), (2, 0.1)"), ("new", "(1, 0.5), (2, 0.1), (2, 0.2)")):
        with duckdb.connect(str(tmp_path / f"{name}.duckdb")) as connection:
            connection.execute("create schema raw")
            connection.execute(
                "create table raw.deliveries as select 'a' as extract_set, 'delivered' as extract_set_kind"
            )
            connection.execute("create schema marts")
            connection.execute(f"create table marts.counts as from (values {rows}) as t (place, value)")
    found = of(compared(tmp_path / "old.duckdb", tmp_path / "new.duckdb"))
    assert found == {"Rows": [("marts.counts", "the whole row", 3, 3, 1, 1, 0)]}


def test_a_warehouse_whose_landing_store_is_gone_is_refused_by_the_name_of_the_file(tmp_path: Path) -> None:
    warehouse, landed = tmp_path / "warehouse.duckdb", tmp_path / "rows.parquet"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(f"copy (select 1 as value) to '{landed}'")
        connection.execute("create schema raw; create schema marts")
        connection.execute("create table raw.deliveries as select 'a' as extract_set, 'delivered' as extract_set_kind")
        connection.execute(f"create view marts.delivered as from read_parquet('{landed}')")
    assert compared(warehouse, warehouse) == []
    landed.unlink()
    with pytest.raises(CompareError, match=r"rows\.parquet[\s\S]*LANDING_DIR"):
        compared(warehouse, warehouse)


@pytest.mark.soak
def test_the_command_ends_as_diff_does(audited_build: Build, tmp_path: Path) -> None:
    def changed(*statements: str) -> Path:
        return release_store.changed(
            audited_build.warehouse, tmp_path / f"{len(list(tmp_path.iterdir()))}.duckdb", *statements
        )

    same = audited_build.command("compare", str(audited_build.warehouse), str(changed()))
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "No difference.")
    assert same.stdout.startswith("sample (SYNTHETIC: its numbers are not real), warehouse, ")
    other = changed("update reports.rpt_coefficients set warnings = 'a | b' where specification_id = 'table_4_col_1'")
    differs = audited_build.command("compare", "--markdown", str(audited_build.warehouse), str(other))
    assert differs.returncode == 1
    assert "|table|column|cells changed|largest relative change|at|before|after|\n|---|" in differs.stdout
    assert "a \\| b" in differs.stdout
    (tmp_path / "text.duckdb").write_text("no database", encoding="utf-8")
    for bad, why in (
        ("text.duckdb", "cannot be opened as a release"),
        ("absent.duckdb", "there is no such file"),
    ):
        refused = audited_build.command("compare", str(audited_build.warehouse), str(tmp_path / bad))
        assert refused.returncode == 2
        assert f"{bad}: {why}" in refused.stderr
    told = audited_build.command("compare", "--json", str(audited_build.warehouse), str(other))
    document = json.loads(told.stdout)
    assert (told.returncode, document.keys()) == (1, keys("`compare`"))
    assert document["old"].keys() == keys("`old` and `new` of `compare`")
    assert (document["new"]["path"], document["new"]["release_id"]) == (str(other), None)
    assert {cell["column"] for cell in document["cells"]} == {"warnings"}
    another = changed("update raw.deliveries set extract_set = 'another'")
    refused = audited_build.command("compare", str(audited_build.warehouse), str(another))
    assert refused.returncode == 2
    assert "of another (SYNTHETIC: its numbers are not real). Both must be of one extract set." in refused.stderr
