"""Find totals over cities that can be published without disclosing the value of any city.

A sum is safe if no city's value can be inferred from it. It must include at least three cities
above zero (threshold rule). The total of all cities except the two largest must also be at least a
tenth of the largest, so that the second largest city cannot infer the largest to within 10 % (p%
rule). Differences of sums that are published together must satisfy both rules as well.
seeds/published_numbers.csv withholds numbers that are never published, such as the largest city's
share. docs/decisions/disclosure.md gives the reasons.

References
----------
Hundepool et al., Handbook on Statistical Disclosure Control, chapter 4 (magnitude tables).
"""

import duckdb

# Threshold rule: minimum number of cities with a positive value in a published total.
FEWEST_UNITS = 3
# p% rule: the total without its two largest cities must be at least this share of the largest city.
P_PERCENT = 0.10

CONCENTRATION = "marts.fct_spatial_concentration"
TREND = "marts.fct_spatial_trend"
CLASSES = "reports.rpt_spatial_classes"
FACTS = "reports.rpt_published_facts"


def select_publishable_rows(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Return SQL conditions, by table and column, that select the rows that may be published.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with the release attached as `built`.
    """
    _list_safe_sums(connection)

    def match_safe_sums(sums: str) -> str:
        return f"(measure, year) in (select (measure, year) from safe_sums where {sums})"

    trend_condition = " and ".join(
        f"(measure, {year}) in (select (measure, year) from safe_sums where national)"
        for year in ("first_year", "last_year")
    )
    return {
        CONCENTRATION: {
            "national_count": match_safe_sums("national"),
            "top_5_share": match_safe_sums("national and top_5"),
            "top_10_share": match_safe_sums("national and top_10"),
            "east_share": match_safe_sums("national and east"),
        },
        TREND: dict.fromkeys(("first_national_count", "last_national_count"), trend_condition),
        CLASSES: dict.fromkeys(
            ("ai_firm_count", "national_share", "cumulative_share"),
            "(select coalesce(bool_and(is_safe), false) from safe_classes)",
        ),
        FACTS: dict.fromkeys(
            ("estimated_value", "verdict"),
            "fact_id in (select fact_id from safe_facts where is_safe)",
        ),
    }


def _is_safe(condition: str = "true") -> str:
    """Return a SQL expression that tests the sum of `value` against both disclosure rules."""
    rows = f"filter (where {condition})"
    return (
        f"coalesce(count(*) {rows} >= {FEWEST_UNITS} and sum(value) {rows}"
        f" - list_sum(max(value, 2) {rows}) >= {P_PERCENT} * max(value) {rows}, false)"
    )


def _list_safe_sums(connection: duckdb.DuckDBPyConnection) -> None:
    """Create temporary tables that flag which published totals satisfy the disclosure rules."""
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
        "national": _is_safe(),
        "top_5": f"{_is_safe('place <= 5')} and {_is_safe('place > 5')}",
        "top_10": " and ".join(
            map(_is_safe, ("place <= 10", "place between 6 and 10", "place > 10"))
        ),
        "east": f"""{_is_safe("region = 'east'")} and {_is_safe("region <> 'east'")}""",
    }
    rule_columns = ", ".join(f"{rule} as {name}" for name, rule in spans.items())
    connection.execute(
        f"create or replace temp table safe_sums as select measure, year, {rule_columns}"
        " from counted_cities group by measure, year"
    )
    # Readers can subtract class totals from the published totals of the top 5 and top 10 cities.
    # Check the classes, both parts of class 1_to_100, and the number of cities in each difference.
    last = "year = (select max(year) from built.reports.rpt_spatial_classes)"
    newest_firms = f"from counted_cities where measure = 'ai_firms' and {last}"
    connection.execute(f"""
        create or replace temp table safe_classes as
        select {_is_safe()} as is_safe {newest_firms} group by class
        union all
        select {_is_safe()} {newest_firms} and class = '1_to_100' group by is_single_digit
        union all
        select bool_and(place = rank or abs(place - rank) >= {FEWEST_UNITS})
        from (
            select place, least(unnest([5, 10]), max(place) over ()) as rank
            from (select max(place) as place {newest_firms} group by class)
        )
    """)
    connection.execute(f"""
        create or replace temp table safe_facts as
        with named as (
            select fact_id, year, unnest(string_split(city_ids, ' ')) as city_id
            from built.seeds.published_facts
            where city_ids is not null
        )

        select named.fact_id, {_is_safe("value is not null")} as is_safe
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
