"""Decide which sums over cities may be shown, where the values of single cities may not.

A sum is safe if no city follows from it: it has at least three cities above zero, and what the
largest two leave is at least a tenth of the largest, so that the second largest cannot tell the
largest to within 10 % (the threshold rule and the p% rule). So are the differences of sums that
are shown side by side. Numbers that are never shown, such as the largest city's share, are
withheld by seeds/published_numbers.csv. Why these rules: docs/decisions/disclosure.md.

References
----------
Hundepool et al., Handbook on Statistical Disclosure Control, chapter 4 (magnitude tables).
"""

import duckdb

FEWEST_UNITS = 3
LEFT_BY_TWO = 0.10  # p: what the two largest leave, in times of the largest

CONCENTRATION = "marts.fct_spatial_concentration"
TREND = "marts.fct_spatial_trend"
CLASSES = "reports.rpt_spatial_classes"
FACTS = "reports.rpt_published_facts"


def shown(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Return, by table and column of a release, SQL of the rows in which a sum is shown.

    Parameters
    ----------
    connection : DuckDBPyConnection
        With the release attached as `built`.
    """
    _list_safe_sums(connection)

    def of(sums: str) -> str:
        return f"(measure, year) in (select (measure, year) from safe_sums where {sums})"

    of_trend = " and ".join(
        f"(measure, {year}) in (select (measure, year) from safe_sums where national)"
        for year in ("first_year", "last_year")
    )
    return {
        CONCENTRATION: {
            "national_count": of("national"),
            "top_5_share": of("national and top_5"),
            "top_10_share": of("national and top_10"),
            "east_share": of("national and east"),
        },
        TREND: dict.fromkeys(("first_national_count", "last_national_count"), of_trend),
        CLASSES: dict.fromkeys(
            ("ai_firm_count", "national_share", "cumulative_share"),
            "(select coalesce(bool_and(is_safe), false) from safe_classes)",
        ),
        FACTS: dict.fromkeys(
            ("estimated_value", "verdict"),
            "fact_id in (select fact_id from safe_facts where is_safe)",
        ),
    }


def _safe(condition: str = "true") -> str:
    """Return SQL that says whether the sum of `value` over some rows of a group is safe."""
    rows = f"filter (where {condition})"
    return (
        f"coalesce(count(*) {rows} >= {FEWEST_UNITS} and sum(value) {rows}"
        f" - list_sum(max(value, 2) {rows}) >= {LEFT_BY_TWO} * max(value) {rows}, false)"
    )


def _list_safe_sums(connection: duckdb.DuckDBPyConnection) -> None:
    """Make temporary tables of the sums that tables show, and whether each is safe."""
    connection.execute("""
        create or replace temp table counted_cities as
        select
            measure, year, city_id, region, class, is_single_digit, measure_count as value,
            row_number() over (
                partition by measure, year order by measure_count desc, city_id
            ) as place
        from built.marts.fct_spatial_distribution
        where measure_count > 0
    """)
    spans = {
        "national": _safe(),
        "top_5": f"{_safe('place <= 5')} and {_safe('place > 5')}",
        "top_10": " and ".join(map(_safe, ("place <= 10", "place between 6 and 10", "place > 10"))),
        "east": f"""{_safe("region = 'east'")} and {_safe("region <> 'east'")}""",
    }
    listed = ", ".join(f"{rule} as {name}" for name, rule in spans.items())
    connection.execute(
        f"create or replace temp table safe_sums as select measure, year, {listed}"
        " from counted_cities group by measure, year"
    )
    # the paper's classes, the two parts of one of them, and what lies between a class and the ranks
    # that are shown beside it
    last = "year = (select max(year) from built.reports.rpt_spatial_classes)"
    counted = f"from counted_cities where measure = 'ai_firms' and {last}"
    connection.execute(f"""
        create or replace temp table safe_classes as
        select {_safe()} as is_safe {counted} group by class
        union all
        select {_safe()} {counted} and class = '1_to_100' group by is_single_digit
        union all
        select bool_and(place = rank or abs(place - rank) >= {FEWEST_UNITS})
        from (
            select place, least(unnest([5, 10]), max(place) over ()) as rank
            from (select max(place) as place {counted} group by class)
        )
    """)
    connection.execute(f"""
        create or replace temp table safe_facts as
        with named as (
            select fact_id, year, unnest(string_split(city_ids, ' ')) as city_id
            from built.seeds.published_facts
            where city_ids is not null
        )

        select named.fact_id, {_safe("value is not null")} as is_safe
        from named
        left join counted_cities as cities
            on
                named.city_id = cities.city_id
                and named.year = cities.year
                and cities.measure = 'ai_firms'
        group by named.fact_id
        union all
        select 'five_largest_share', coalesce(bool_and(national and top_5), false)
        from safe_sums
        where measure = 'ai_firms'
        union all
        -- the others count cities
        select fact_id, true
        from built.seeds.published_facts
        where city_ids is null and fact_id <> 'five_largest_share'
    """)
