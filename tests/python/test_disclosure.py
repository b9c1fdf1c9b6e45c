"""Tests that published sums over cities reveal no restricted value of a single city."""

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from ai_manufacturing.disclosure import terms
from ai_manufacturing.paper import disclosure
from tests.python.leaks import leaks

TABLES = """
    create schema marts; create schema reports; create schema seeds;
    create table marts.fct_spatial_distribution as
    select 'ai_firms' as measure, 2020 as year, row_number() over () as city_id, 'east' as region,
        'over_200' as class, false as is_single_digit, measure_count
    from (select unnest(?) as measure_count);
    create table marts.fct_spatial_concentration as select 1 as national_count;
    create table reports.rpt_spatial_classes as select 2020 as year;
    create table seeds.published_facts as
    select unnest(['one', 'all', 'a count']) as fact_id, 2020 as year,
        unnest(['1', '1 2 3 4', null]) as city_ids;
"""


OF_2020 = "select 'ai_firms' as measure, 2020 as year"


def warehouse_of(counts: list[int]) -> duckdb.DuckDBPyConnection:
    """Create an in-memory warehouse of cities with the given counts, attached as `built`."""
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as built; use built")
    connection.execute(TABLES.replace("?", f"{counts}::bigint[]"))
    return connection


def is_shown(connection: duckdb.DuckDBPyConnection, column: str, rows: str = OF_2020) -> list[bool]:
    """Return for each row of a query whether a public copy shows its value in the column."""
    table, _, name = column.rpartition(".")
    condition = disclosure.select_publishable_rows(connection)[table][name]
    shown = connection.execute(f"select {condition} from ({rows})").fetchall()
    return [answer for (answer,) in shown]


@pytest.mark.parametrize(
    ("counts", "is_safe"),
    [
        # Each of two cities could subtract its own value from the sum and learn the other value.
        ([10, 10], False),
        ([10, 10, 10], True),
        # The second largest city could infer the value of the largest city to within 9 %.
        ([100, 50, 9], False),
        ([100, 50, 5, 5], True),
        # Cities with a count of zero do not protect the other two cities.
        ([0, 0, 10, 10], False),
        ([], False),
    ],
)
def test_a_sum_is_shown_where_no_city_follows_from_it(counts: list[int], is_safe: bool) -> None:
    facts = "select unnest(['one', 'all', 'a count', 'unknown']) as fact_id"
    with warehouse_of(counts) as connection:
        for column, rows, expected in (
            ("marts.fct_spatial_concentration.national_count", OF_2020, [is_safe]),
            ("reports.rpt_published_facts.estimated_value", facts, [False, is_safe, True, False]),
            ("reports.rpt_spatial_classes.ai_firm_count", OF_2020, [is_safe]),
        ):
            assert is_shown(connection, column, rows) == expected, column


def test_ten_cities_of_which_one_is_nearly_all_are_not_summed() -> None:
    """A sum is withheld if one city dominates it, or if subtraction would isolate one city.

    For instance, a class may differ by one city from the five or ten largest.
    """
    counts = [1000, *[10] * 9, *[1] * 200]
    with warehouse_of(counts) as connection:
        connection.execute(
            "update marts.fct_spatial_distribution set class = '100_to_200' where measure_count <"
            " 10"
        )
        share = "marts.fct_spatial_concentration.top_10_share"
        assert is_shown(connection, share) == [False]
        # The class has six cities, so subtracting the total of the five largest cities would reveal
        # the sixth.
        connection.execute("update marts.fct_spatial_distribution set measure_count = 30 - city_id")
        connection.execute(
            "update marts.fct_spatial_distribution set class = if(city_id <= 6, 'over_200', 'rest')"
        )
        assert is_shown(connection, "reports.rpt_spatial_classes.ai_firm_count") == [False]


def tables_of(release: Path) -> dict[str, pd.DataFrame]:
    listed = "select concat(schema_name, '.', table_name) from duckdb_tables() order by all"
    with duckdb.connect(release, read_only=True) as connection:
        names = connection.execute(listed).fetchall()
        return {name: connection.execute(f"from {name}").df() for (name,) in names}


@pytest.mark.soak
def test_no_restricted_value_follows_from_two_published_columns(
    public_release: Path, tmp_path: Path
) -> None:
    terms.write_public_copy(public_release, tmp_path / "public.duckdb")
    whole = tables_of(public_release)
    # All values are restricted, because no provider of the public data permits redistribution.
    values = whole["release.series_values"]
    assert [*leaks(tables_of(tmp_path / "public.duckdb"), values)] == []
    # The scan must find a known leak of earlier releases: the largest city's share of a national
    # sum.
    concentration = "marts.fct_spatial_concentration"
    (leak,) = leaks({concentration: whole[concentration]}, values)
    assert leak.combination == "national_count * top_1_share"
    assert leak.found > 5 > 0.1 > leak.by_chance
