"""New years beside the published ones: cities' shares of a province and of the total.

Such shares move slowly.

A new year has nothing published to be compared with, but its shape has. The limits, and how they
were measured: docs/decisions/releases.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from duckdb import DuckDBPyConnection

from ai_manufacturing import city_names
from ai_manufacturing.auditing import declared_revisions
from ai_manufacturing.auditing.declared_revisions import Declaration
from ai_manufacturing.auditing.revisions import values

HISTORY = 3  # published changes from year to year, at least, that a new one is compared with
PROVINCES = 10  # with a capital and two other cities, at least, for a median
# A larger shift is odd, if it is also more than so many times the largest before.
CAPITAL_SHIFT, CAPITAL_FACTOR = 0.1, 2
MOVED_SHARE, MOVED_FACTOR = 0.05, 5
LISTED_CITIES = 3


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
    connection.execute(_CHANGES.format(values=values("built")))
    names = city_names.column()
    return [
        OddYear._make(
            (
                *place,
                tuple(specifications),
                tuple(declarations[number] for number in numbers),
                _in_words(facts),
            )
        )
        for *place, specifications, numbers, facts in connection.execute(
            _ODD.format(name=names)
        ).fetchall()
    ]


def _in_words(facts: Mapping[str, Any]) -> str:
    if facts["is_shift_odd"]:
        change = (
            f"a capital's share of its province moved by {facts['shift']:+.3f} in the median"
            f" province, before by at most {facts['shift_before']:.3f}"
        )
    else:
        change = (
            f"{facts['moved']:.1%} of the total moved between cities, before at most"
            f" {facts['moved_before']:.1%}"
        )
    return f"{facts['place']}: {change}. Largest gains: {', '.join(facts['cities'])}"


# A city counts in a change if it has a value in both years.
_CHANGES = """
    create temp table changes as
    with

    new as ({values}),

    additive as (
        select series as quantity
        from built.seeds.series
        where cast(is_additive as boolean)
    ),

    published as (
        select series, scope, min(year) as first_year, max(year) as last_year
        from old.release.series_values
        group by series, scope
    ),

    paired as (
        select
            now.series, now.scope, now.quantity, now.provider, now.city_id, now.year, now.value,
            lag(now.value) over a_city as value_before,
            lag(now.year) over a_city as year_before
        from new as now
        inner join additive on now.quantity = additive.quantity
        window a_city as (partition by now.series, now.scope, now.city_id order by now.year)
    )

    select
        paired.*,
        left(paired.city_id, 2) as province,
        right(paired.city_id, 4) = '0100' as is_capital,
        paired.year not between published.first_year and published.last_year as is_new,
        paired.value / nullif(sum(paired.value) over a_year, 0)
        - paired.value_before / nullif(sum(paired.value_before) over a_year, 0) as share_change
    from paired
    inner join published on paired.series = published.series and paired.scope = published.scope
    where paired.year = paired.year_before + 1
    window a_year as (partition by paired.series, paired.scope, paired.year)
"""

_ODD = f"""
    with

    provinces as (
        select
            series, scope, year, province,
            sum(case when is_capital then value end) / nullif(sum(value), 0)
            - sum(case when is_capital then value_before end)
            / nullif(sum(value_before), 0) as shift
        from changes
        group by series, scope, year, province
        having count(*) > 2
    ),

    shifts as (
        select series, scope, year, median(shift) as shift
        from provinces
        group by series, scope, year
        having count(shift) >= {PROVINCES}
    ),

    moves as (
        select
            series, scope, year,
            any_value(quantity) as quantity,
            any_value(provider) as provider,
            any_value(is_new) as is_new,
            sum(abs(share_change)) / 2 as moved,
            arg_max(city_id, share_change, {LISTED_CITIES}) as gaining
        from changes
        group by series, scope, year
    ),

    years as (
        select
            moves.*, shifts.shift,
            count(*) filter (not moves.is_new) over a_series as history,
            max(moves.moved) filter (not moves.is_new) over a_series as moved_before,
            coalesce(
                max(abs(shifts.shift)) filter (not moves.is_new) over a_series, 0
            ) as shift_before
        from moves
        left join shifts
            on
                moves.series = shifts.series
                and moves.scope = shifts.scope
                and moves.year = shifts.year
        window a_series as (partition by moves.series, moves.scope)
    ),

    judged as (
        select
            *,
            coalesce(
                abs(shift) > greatest({CAPITAL_SHIFT}, {CAPITAL_FACTOR} * shift_before), false
            ) as is_shift_odd,
            moved > greatest({MOVED_SHARE}, {MOVED_FACTOR} * moved_before) as is_move_odd
        from years
        where is_new and history >= {HISTORY}
    )

    select
        judged.series, judged.scope, judged.year, judged.provider, judged.quantity,
        (
            select coalesce(list(distinct used.specification_id order by used.specification_id), [])
            from built.marts.dim_specification_series as used
            where used.series = judged.series and used.scope = judged.scope
        ),
        {declared_revisions.covering("judged")},
        {{{{
            place: format(
                '{{{{}}}} ({{{{}}}}) {{{{}}}}',
                coalesce(labels.label_en, judged.series),
                concat_ws(', ', judged.series, judged.scope, judged.provider),
                judged.year
            ),
            shift: judged.shift,
            shift_before: judged.shift_before,
            moved: judged.moved,
            moved_before: judged.moved_before,
            is_shift_odd: judged.is_shift_odd,
            cities: (
                select
                    list(concat(cities.{{name}}, ' (', gained.city_id, ')') order by gained.place)
                from (
                    select
                        unnest(judged.gaining) as city_id,
                        generate_subscripts(judged.gaining, 1) as place
                ) as gained
                left join built.marts.dim_city as cities on gained.city_id = cities.city_id
            )
        }}}}
    from judged
    left join built.marts.dim_series as labels
        on judged.series = labels.series and judged.scope = labels.scope
    where judged.is_shift_odd or judged.is_move_odd
    order by judged.series, judged.scope, judged.year
"""
