"""New years beside the published ones.

A new year has nothing published to be compared with, but cities' shares of a province and of the
total move slowly. What is odd, the gate's int_series_years says; its limits are in dbt_project.yml.
"""

from collections.abc import Sequence
from typing import NamedTuple

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import city_names
from ai_manufacturing.landing import declared_revisions
from ai_manufacturing.landing.declared_revisions import Declaration


class OddYear(NamedTuple):
    """A new year of a series whose shares are not like those of the years before.

    Attributes
    ----------
    series, scope : str
        The series.
    year : int
        The new year.
    provider, quantity : str
        As a declared revision names them.
    specifications : tuple of str
        Those that use the series.
    declared_by : tuple of Declaration
        Declarations that cover it.
    message : str
        What moved, and how far it moved before.
    """

    series: str
    scope: str
    year: int
    provider: str
    quantity: str
    specifications: tuple[str, ...]
    declared_by: tuple[Declaration, ...]
    message: str


def odd(
    connection: DuckDBPyConnection,
    declarations: Sequence[Declaration],
) -> list[OddYear]:
    """Return the new years of a build whose shares are not like those of the years before.

    Parameters
    ----------
    connection : DuckDBPyConnection
        With a release attached as `old`, a warehouse of the same extract set as `built`, and
        `declared` written (declared_revisions.write).
    declarations : sequence of Declaration
        Those that are written.
    """
    rows = connection.execute(_ODD.format(name=city_names.column())).fetchall()
    return [
        OddYear._make(
            (*place, tuple(names), tuple(declarations[number] for number in numbers), message)
        )
        for *place, names, numbers, message in rows
    ]


_ODD = f"""
    with

    judged as (
        select
            years.* exclude (year),
            cast(years.year as integer) as year,
            split_part(years.series, '@', 1) as quantity
        from built.intermediate.int_series_years as years
        inner join (
            select series, scope, min(year) as first_year, max(year) as last_year
            from old.release.series_values
            group by series, scope
        ) as published
            on years.series = published.series and years.scope = published.scope
        where
            years.gaining_cities is not null
            and years.year not between published.first_year and published.last_year
    )

    select
        judged.series, judged.scope, judged.year, judged.provider, judged.quantity,
        (
            select coalesce(list(distinct used.specification_id order by used.specification_id), [])
            from built.marts.dim_specification_series as used
            where used.series = judged.series and used.scope = judged.scope
        ),
        {declared_revisions.covering("judged")},
        concat(
            coalesce(labels.label_en, judged.series), ' (',
            concat_ws(', ', judged.series, judged.scope, judged.provider), ') ', judged.year,
            format(
                ': {{{{:.1f}}}} % of the total moved between cities, before at most {{{{:.1f}}}}',
                100 * judged.moved_share, 100 * judged.earlier_moved_share
            ),
            format(
                '; in the median province the capital''s share moved by {{{{:+.3f}}}}, before by'
                || ' at most {{{{:.3f}}}}',
                judged.capital_shift, judged.earlier_capital_shift
            ),
            '. Largest gains: ',
            (
                select
                    string_agg(
                        concat(cities.{{name}}, ' (', cities.city_id, ')'), ', '
                        order by strpos(judged.gaining_cities, cities.city_id)
                    )
                from built.marts.dim_city as cities
                where contains(judged.gaining_cities, cities.city_id)
            )
        )
    from judged
    left join built.marts.dim_series as labels
        on judged.series = labels.series and judged.scope = labels.scope
    order by judged.series, judged.scope, judged.year
"""
