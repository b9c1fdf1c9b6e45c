"""Test which SQL queries a public copy with withheld values can answer without misleading."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from ai_manufacturing.disclosure import withholding
from ai_manufacturing.system import lineage

COPY = """
    create schema release;
    create schema marts;
    create table marts.wages (city varchar, wage double);
    create table marts.cities (city varchar, region varchar, people double, gdp double);
    insert into marts.cities values ('A', 'east', 1, null), ('B', 'west', null, null);
    create table marts.sectors (city varchar);
    create table release.withheld (
        table_name varchar, column_name varchar, row_count bigint, shown_count bigint,
        providers varchar
    );
    insert into release.withheld values
        ('marts.wages', null, 936, 0, 'vendor, office'),
        ('marts.cities', null, 3, 2, 'vendor, office'),
        ('marts.cities', 'people', 1, 1, 'vendor, office'),
        ('marts.cities', 'gdp', 2, 0, 'vendor, office'),
        ('marts.cities', 'area', 2, 0, 'vendor, office'),
        ('marts.other', 'region', 7, 0, 'vendor, office');
    create table release.questions (question varchar, answer varchar);
    insert into release.questions values
        ('wages?', 'table: `marts.wages`\n asked through the door: `query: from marts.wages`'),
        ('where?', 'asked through the door: `query: select region from marts.cities`'),
        ('which file?', 'asked through the door: `trace: table_1_col_1, Shenzhen, 2015`'),
        ('which sample?', 'asked through the door: `trace: table_1_col_1`'),
        ('what is it?', 'asked through the door: `describe: marts.wages`'),
        ('elsewhere?', 'table: `ai-manufacturing sources`');
"""


@pytest.fixture(scope="module")
def copy() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(COPY)
        yield connection


def judged(copy: duckdb.DuckDBPyConnection, sql: str) -> tuple[set[str], bool]:
    """Return the withheld names that a query reads, and whether the query's result misleads."""
    rows = withholding.read_withheld_rows(copy)
    with lineage.open_planner(copy) as planner:
        reads = lineage.find_dependencies(planner, sql)
    touched = withholding.find_withheld_inputs(rows, reads)
    names = {withholding.format_name(row) for row in touched}
    return names, withholding.is_misleading(touched, reads, copy.execute(sql).fetchall())


# Some rows of this table are withheld, so every query on the table is affected.
CITIES = "marts.cities"
STATEMENTS: dict[str, tuple[set[str], bool]] = {
    # All rows of marts.wages are withheld, so even a row count would mislead.
    "select count(*) from marts.wages": ({"marts.wages"}, True),
    "select 1 from marts.cities where city not in (select city from marts.wages)": (
        {CITIES, "marts.wages"},
        True,
    ),
    # `select *` includes the column that the public copy omits.
    "from marts.cities": (
        {CITIES, *(f"{CITIES}.{name}" for name in ("people", "gdp", "area"))},
        False,
    ),
    "select city, gdp from marts.cities": ({CITIES, f"{CITIES}.gdp"}, False),
    "select people from marts.cities": ({CITIES, f"{CITIES}.people"}, False),
    "select count(*) from marts.cities": ({CITIES}, False),
    # A null result is not misleading, but a count, a default value or a filter on withheld values
    # is.
    "select count(gdp) from marts.cities": ({CITIES, f"{CITIES}.gdp"}, True),
    "select coalesce(gdp, 0) as gdp from marts.cities": ({CITIES, f"{CITIES}.gdp"}, True),
    "select city from marts.cities where gdp > 1": ({CITIES, f"{CITIES}.gdp"}, True),
    "select city from marts.cities order by gdp limit 1": ({CITIES, f"{CITIES}.gdp"}, True),
    "select count(*) from marts.sectors": (set(), False),
}


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_result_is_misleading_if_it_says_something_of_what_is_not_there(
    sql: str, copy: duckdb.DuckDBPyConnection
) -> None:
    assert judged(copy, sql) == STATEMENTS[sql]


def test_an_error_about_a_column_that_was_left_out_says_so(copy: duckdb.DuckDBPyConnection) -> None:
    """A misspelt column, or a column of another table, is not reported as withheld."""
    rows = withholding.read_withheld_rows(copy)
    for column, expected in (
        ("Area from marts.cities", ["marts.cities.area"]),
        ("c.area from marts.cities as c", ["marts.cities.area"]),
        ("aria from marts.cities", []),
        ("gdp from marts.sectors", []),
    ):
        with pytest.raises(duckdb.BinderException) as raised:
            copy.execute(f"select {column}")
        omitted = withholding.find_omitted_columns(rows, raised.value)
        assert [withholding.format_name(row) for row in omitted] == expected


def test_a_sentence_names_tables_first_whose_values_they_hold_and_who_sees_them(
    copy: duckdb.DuckDBPyConnection,
) -> None:
    rows = withholding.read_withheld_rows(copy)
    (wages,) = [row for row in rows if row["table_name"] == "marts.wages"]
    assert withholding.describe_withheld_rows([wages]) == (
        "This public copy withholds marts.wages (all 936 rows), because they contain or would"
        " reveal values of vendor, office that may not be passed on. The private release"
        " contains all values."
    )
    assert withholding.describe_extent(wages) == ("all 936 rows", "全部936行")
    parts = "marts.cities (3 of its rows), marts.wages (all 936 rows), marts.cities.area (all 2 val"
    assert parts in withholding.describe_withheld_rows(rows)
    many: list[dict[str, Any]] = [wages] * 14
    assert ", 2 more (release.withheld), because they" in withholding.describe_withheld_rows(many)


def test_a_file_that_is_no_public_copy_withholds_nothing() -> None:
    with duckdb.connect() as connection:
        assert withholding.read_withheld_rows(connection) == []


def test_a_copy_offers_the_questions_that_it_answers(copy: duckdb.DuckDBPyConnection) -> None:
    statements = {
        "from marts.wages": False,
        "select c.city from marts.cities as c left join marts.wages using (city)": False,
        # No data were delivered for this table, so there is no answer.
        "from marts.sectors": False,
        "select gdp from marts.cities": False,
        "select area from marts.cities": False,
        "select s.city from marts.cities left join marts.sectors as s using (city)": True,
        "select 1": True,
        # The statements are not run, so they read no withheld data.
        "select 1; drop table marts.cities": True,
        # The answer still contains the columns that are not withheld.
        "from marts.cities": True,
        # The count covers only the values that are not withheld.
        "select count(people) from marts.cities": True,
        "select comment from duckdb_tables()": True,
    }
    assert withholding.check_answerable(copy, [*statements]) == [*statements.values()]
    assert withholding.find_unanswered_questions(copy) == ["wages?", "which file?"]
