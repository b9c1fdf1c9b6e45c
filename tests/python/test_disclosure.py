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


def warehouse_of(counts: list[int]) -> duckdb.DuckDBPyConnection:
    """Create an in-memory warehouse of cities with the given counts, attached as `built`."""
    connection = duckdb.connect()
    connection.execute("attach ':memory:' as built; use built")
    for statement in TABLES.split(";"):
        connection.execute(statement, [counts] if "?" in statement else [])
    return connection


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
    with warehouse_of(counts) as connection:
        shown = disclosure.select_publishable_rows(connection)
        national = shown["marts.fct_spatial_concentration"]["national_count"]
        of_sum = f"select {national} from (select 'ai_firms' as measure, 2020 as year)"
        assert connection.execute(of_sum).fetchall() == [(is_safe,)]
        fact = shown["reports.rpt_published_facts"]["estimated_value"]
        facts = (
            f"select {fact} from (select unnest(['one', 'all', 'a count', 'unknown']) as fact_id)"
        )
        assert connection.execute(facts).fetchall() == [(False,), (is_safe,), (True,), (False,)]
        classes = shown["reports.rpt_spatial_classes"]["ai_firm_count"]
        assert connection.execute(f"select {classes}").fetchall() == [(is_safe,)]


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
        shown = disclosure.select_publishable_rows(connection)
        share = shown["marts.fct_spatial_concentration"]["top_10_share"]
        row = "(select 'ai_firms' as measure, 2020 as year)"
        assert connection.execute(f"select {share} from {row}").fetchall() == [(False,)]
        # The class has six cities, so subtracting the total of the five largest cities would reveal
        # the sixth.
        connection.execute("update marts.fct_spatial_distribution set measure_count = 30 - city_id")
        connection.execute(
            "update marts.fct_spatial_distribution set class = if(city_id <= 6, 'over_200', 'rest')"
        )
        classes = disclosure.select_publishable_rows(connection)["reports.rpt_spatial_classes"][
            "ai_firm_count"
        ]
        assert connection.execute(f"select {classes}").fetchall() == [(False,)]


def tables_of(release: Path) -> dict[str, pd.DataFrame]:
    listed = "select concat(schema_name, '.', table_name) from duckdb_tables() order by all"
    with duckdb.connect(release, read_only=True) as connection:
        names = [name for (name,) in connection.execute(listed).fetchall()]
        return {name: connection.execute(f"from {name}").df() for name in names}


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
