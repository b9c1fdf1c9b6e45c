"""Rewritten history: what a build changes of the values that were published.

The rules and why they are these: docs/decisions/releases.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import city_names
from ai_manufacturing.auditing.wording import some_of, spans, spans_in_words
from ai_manufacturing.landing import declared_revisions
from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import comments

CHANGED = 0.001  # a value that changed by more than this share of itself is rewritten
CELLS = 0.05  # of the published values of a series, scope and year
HISTORY = 3  # revisions of a series in the log of deliveries, at least, that say what is usual
PROVINCE_VALUES = 3  # of a province that moves alone, at least, that hold a build
CITY_YEARS = 0.01  # of the published city-years
FULL_HISTORY = 3  # published years of a series, at least, in all of which a city has a value
LISTED_CITIES = 3
LISTED_PROVINCES = 3
LISTED_SERIES = 3

COLUMNS = {
    "series": "Name of the series, with @provider if the provider is not used by default.",
    "scope": "Industries that it counts; total where they do not apply.",
    "city_id": "Six-digit GB/T 2260 code on 2020 boundaries.",
    "year": "Statistical year.",
    "value": "Value used, after corrections, in the unit of dim_series.",
    "quantity": "Name of the series without its provider.",
    "provider": "Folder of models/staging.",
}


class SeriesYear(NamedTuple):
    """Published values of a series, scope and year, and those that a build rewrites.

    `undeclared` values are rewritten and not declared; `unusual` ones are so by more than is usual,
    or lost. `usual` and the median `change` are shares of the old value; `revisions` is the number
    of revisions in the log that say what is usual, 0 where none do.
    """

    series: str
    scope: str
    provider: str
    label: str
    quantity: str
    year: int
    published: int
    rewritten: int
    lost: int
    undeclared: int
    unusual: int
    change: float
    usual: float
    revisions: int

    @property
    def heading(self) -> str:
        """The series in words."""
        return f"{self.label} ({self.series}, {self.scope}, {self.provider})"

    def __str__(self) -> str:
        known = f"by {self.revisions} revisions of the log" if self.revisions else "as declared"
        return (
            f"{self.heading} {self.year}:"
            f" {self.undeclared} of {self.published} published values changed, by"
            f" {100 * self.change:.2g} % in the median. Up to {100 * self.usual:.2g} % is usual,"
            f" {known}"
        )


class Province(NamedTuple):
    """Values of a province that moved further from those of all cities than is usual."""

    series: str
    scope: str
    provider: str
    label: str
    quantity: str
    province: str
    years: list[int]
    values: int
    change: float
    change_of_all: float
    usual: float

    def __str__(self) -> str:
        return (
            f"{self.label} ({self.series}, {self.scope}, {self.provider})"
            f" {spans_in_words(self.years)}: {self.province} moves alone, {self.values} values by"
            f" {100 * self.change:+.2g} % in the median, all cities by"
            f" {100 * self.change_of_all:+.2g} %. Up to {100 * self.usual:.2g} % is usual"
        )


class Cell(NamedTuple):
    """A rewritten value; new_value is None where it is lost."""

    series: str
    scope: str
    city_id: str
    city: str
    year: int
    old_value: float
    new_value: float | None
    is_declared: bool
    is_unusual: bool

    def __str__(self) -> str:
        new = "none" if self.new_value is None else f"{self.new_value:.6g}"
        return f"{self.city} ({self.city_id}) {self.year}: {self.old_value:.6g} -> {new}"


class LostCity(NamedTuple):
    """A city that had a value of a series in every published year, and has none any more."""

    city_id: str
    city: str
    series: str
    scope: str
    provider: str
    label: str
    quantity: str
    first_year: int
    last_year: int


class ReadAgain(NamedTuple):
    """Years that somebody named to be read again, and the files that had landed before."""

    years: range
    paths: frozenset[str]


@dataclass(frozen=True)
class Revisions:
    """What a build rewrites of the values of the published release.

    Attributes
    ----------
    series_years : tuple of SeriesYear
        Those with a rewritten value.
    cells : tuple of Cell
        All rewritten values, by series, scope and year, the largest moves first.
    declarations : tuple of Declaration
        Those that cover a rewritten value.
    explained : frozenset of str
        Published specifications that rest on a rewritten value, all of which are declared.
    city_years, lost_city_years : int
        Published city-years with any value; those with none but zeros in the build, but for
        declared ones.
    lost_cities : tuple of LostCity
        By city, all series that it has lost undeclared.
    provinces : tuple of Province
        Those of which at least PROVINCE_VALUES values move alone, undeclared.
    corrections : tuple of str
        Corrections, new ones and those that are gone, that cover a rewritten value, in words.
    """

    series_years: tuple[SeriesYear, ...] = ()
    cells: tuple[Cell, ...] = ()
    declarations: tuple[Declaration, ...] = ()
    explained: frozenset[str] = frozenset()
    city_years: int = 0
    lost_city_years: int = 0
    lost_cities: tuple[LostCity, ...] = ()
    provinces: tuple[Province, ...] = ()
    corrections: tuple[str, ...] = ()

    @property
    def beyond(self) -> tuple[SeriesYear, ...]:
        """The series and years of which more moves, undeclared and unusual, than passes."""
        return tuple(row for row in self.series_years if row.unusual > CELLS * row.published)

    @property
    def notes(self) -> list[str]:
        """Revisions that are named and do not hold a build: usual ones, and single values."""
        beyond = {*self.beyond}
        passing = {
            (row.series, row.scope, row.year): row for row in self.series_years if row not in beyond
        }
        unusual: dict[str, list[Cell]] = defaultdict(list)
        for cell in self.cells:
            of = passing.get((cell.series, cell.scope, cell.year))
            if of is not None and cell.is_unusual and not cell.is_declared:
                unusual[of.heading].append(cell)
        return [
            *(str(row) for row in passing.values() if row.undeclared > CELLS * row.published),
            *(_cells_line(heading, cells) for heading, cells in unusual.items()),
        ]

    @property
    def lines(self) -> list[str]:
        """Why the values hold a build, in words; empty if they do not."""
        by_series: dict[tuple[str, str], list[SeriesYear]] = defaultdict(list)
        for row in self.beyond:
            by_series[row.series, row.scope].append(row)
        by_city: dict[str, list[LostCity]] = defaultdict(list)
        for city in self.lost_cities:
            by_city[city.city_id].append(city)
        lines = [self._series_line(rows) for rows in by_series.values()]
        if self.lost_city_years > CITY_YEARS * self.city_years:
            lines.append(
                f"{self.lost_city_years} of {self.city_years} published city-years have no value"
                f" any more, more than {100 * CITY_YEARS:g} %."
            )
        lines += [_city_line(series) for series in by_city.values()]
        by_series_of_province: dict[tuple[str, str], list[str]] = defaultdict(list)
        for province in self.provinces:
            by_series_of_province[province.series, province.scope].append(str(province))
        return lines + [
            some_of(provinces, LISTED_PROVINCES, "; ", "; and {} more provinces") + "."
            for provinces in by_series_of_province.values()
        ]

    def _series_line(self, rows: Sequence[SeriesYear]) -> str:
        first, years = rows[0], {row.year for row in rows}
        largest: dict[str, Cell] = {}  # of each city, as the largest come first
        for cell in self.cells:
            if (
                (cell.series, cell.scope) == (first.series, first.scope)
                and cell.year in years
                and not cell.is_declared
            ):
                largest.setdefault(cell.city_id, cell)
        lost = sum(row.lost for row in rows)
        return (
            f"{first.heading} {spans_in_words(years)}: {sum(row.rewritten for row in rows)} of"
            f" {sum(row.published for row in rows)} published values changed by more than"
            f" {100 * CHANGED:g} %{f', {lost} of them are gone' if lost else ''}. Largest:"
            f" {'; '.join(map(str, [*largest.values()][:LISTED_CITIES]))}."
        )

    @property
    def to_declare(self) -> list[str]:
        """The declared revisions that would let these values pass, as `--revision` takes them."""
        years: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        for row in self.beyond:
            years[row.provider, row.quantity, row.scope].add(row.year)
        for city in self.lost_cities:
            years[city.provider, city.quantity, city.scope].update(
                range(city.first_year, city.last_year + 1)
            )
        for province in self.provinces:
            years[province.provider, province.quantity, province.scope].update(province.years)
        return [
            declared_revisions.in_words(*series, span)
            for series, of_series in sorted(years.items())
            for span in spans(of_series)
        ]

    def record(self) -> dict[str, Any]:
        """Return every series and year, and every rewritten value as CSV, for a report."""
        return {
            "rewritten_series_years": [row._asdict() for row in self.series_years],
            "rewritten_values": [
                ",".join("" if value is None else str(value) for value in row)
                for row in (Cell._fields, *self.cells)
            ],
            "city_years": self.city_years,
            "lost_city_years": self.lost_city_years,
            "lost_cities": [city._asdict() for city in self.lost_cities],
            "provinces": [province._asdict() for province in self.provinces],
        }


def _cells_line(heading: str, cells: Sequence[Cell]) -> str:
    """Name single values of a series that changed by more than is usual."""
    values = f"{len(cells)} value{'s' if len(cells) > 1 else ''}"
    listed = some_of([*map(str, cells)], LISTED_CITIES)
    return f"{heading}: {values} changed by more than is usual: {listed}"


def _city_line(series: Sequence[LostCity]) -> str:
    labels = [*dict.fromkeys(f"{row.label} ({row.series})" for row in series)]
    span = f"{min(row.first_year for row in series)}-{max(row.last_year for row in series)}"
    return (
        f"{series[0].city} ({series[0].city_id}) had a value in every published year, {span}, and"
        f" has none any more: {some_of(labels, LISTED_SERIES)}."
    )


def write_series(connection: DuckDBPyConnection) -> None:
    """Write new.release.series_values, from the warehouse attached as `built`."""
    connection.execute(f"create table new.release.series_values as {values('built')} order by all")
    comment = (
        "One row per series, scope, city and year with a value: what the next release is compared"
        " with."
    )
    connection.execute(comments("new.release.series_values", comment, COLUMNS))


def values(database: str) -> str:
    """Return the query of the values that a warehouse uses: one row per series, city and year."""
    return f"""
        select series, scope, city_id, cast(year as integer) as year, value, quantity, provider
        from {database}.intermediate.int_series_conformed
        where value is not null
    """


def compare(
    connection: DuckDBPyConnection,
    declarations: Sequence[Declaration],
    read_again: ReadAgain | None = None,
) -> Revisions:
    """Compare the values of a built warehouse with those of the published release.

    Parameters
    ----------
    connection : DuckDBPyConnection
        With the release attached as `old`, a warehouse of the same extract set as `built`, and
        `declared` written (declared_revisions.write).
    declarations : sequence of Declaration
        Those that are written.
    read_again : ReadAgain, optional
        Values of these years that come out of these files count as declared.
    """

    def rows(query: str) -> Iterable[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    connection.execute(
        "create temp table read_again (quantity varchar, provider varchar, city_id varchar, year"
        " integer)"
    )
    if read_again is not None:
        again = {
            "paths": sorted(read_again.paths),
            "first": read_again.years[0],
            "last": read_again.years[-1],
        }
        connection.execute(_READ_AGAIN, again)
    connection.execute(
        _COMPARED.format(
            values=values("built"),
            name=city_names.column(),
            prior=settings.variables()["usual_revision"],
        )
    )
    ((city_years, lost_city_years),) = rows(_CITY_YEARS)
    numbers = rows(
        "select distinct unnest(declared_by) as number from compared where is_rewritten order by"
        " number"
    )
    provinces = rows(_PROVINCES.format(language=settings.language(), least_values=PROVINCE_VALUES))
    return Revisions(
        tuple(SeriesYear(*row) for row in rows(_SERIES_YEARS)),
        tuple(Cell(*row) for row in rows(_CELLS)),
        tuple(declarations[number] for (number,) in numbers),
        frozenset(name for (name,) in rows(_EXPLAINED)),
        city_years,
        lost_city_years,
        tuple(LostCity(*row) for row in rows(_LOST_CITIES)),
        tuple(Province(*row) for row in provinces),
        tuple(text for (text,) in rows(_CORRECTIONS)),
    )


# What a correction makes of a value, in one of the two and not in the other.
_CHANGED_CORRECTIONS = " union all ".join(
    f"""
        select
            correction_id, reason, provider, series as quantity, scope, year,
            unnest([city_id, delivered_city_id]) as city_id
        from (
            select correction_id, reason, provider, series, scope, year, city_id,
                delivered_city_id, action, value
            from {one}.marts.fct_corrections
            except all
            select correction_id, reason, provider, series, scope, year, city_id,
                delivered_city_id, action, value
            from {other}.marts.fct_corrections
        )
    """
    for one, other in (("built", "old"), ("old", "built"))
)

_COMPARED = f"""
    create temp table compared as
    with

    new as ({{values}}),

    labels as (
        select series, scope, any_value(label_en) as label
        from old.marts.dim_series
        group by series, scope
    ),

    joined as (
        select
            old.series, old.scope, old.city_id, old.year, old.quantity,
            old.value as old_value,
            new.value as new_value,
            coalesce(new.provider, old.provider) as provider,
            new.value is null
            or abs(new.value - old.value) > {CHANGED} * abs(old.value) as is_rewritten,
            old.year = max(old.year) over a_series as is_last,
            case when bool_and(old.value = round(old.value)) over a_series then 1 else 0.01 end
            as unit
        from old.release.series_values as old
        left join new
            on
                old.series = new.series
                and old.scope = new.scope
                and old.city_id = new.city_id
                and old.year = new.year
        window a_series as (partition by old.series, old.scope)
    ),

    -- Of each value that a delivery repeated, in the release: how far it moved. Faults that were
    -- delivered and mended are revisions of the log too, so what is usual stays near the prior.
    repeated as (
        select
            series as quantity, provider, delivery_number,
            year = max(year) over before as is_last,
            abs(delivered_value / nullif(lag(delivered_value) over a_value, 0) - 1) as change
        from old.marts.fct_delivered_values
        window
            before as (
                partition by series, provider
                order by delivery_number range between unbounded preceding and 1 preceding
            ),
            a_value as (
                partition by series, provider, source_name, city_id, year, industry_code
                order by delivery_number
            )
    ),

    usual as (
        select
            quantity, provider, is_last,
            count(*) as revisions,
            least(greatest(2 * median(change), {{prior}} / 2), 4 * {{prior}}) as change
        from (
            select quantity, provider, is_last, quantile_cont(change, 1 - {CELLS}) as change
            from repeated
            group by quantity, provider, is_last, delivery_number
            having max(change) > {CHANGED}
        )
        group by quantity, provider, is_last
        having count(*) >= {HISTORY}
    ),

    corrections as (
        select provider, quantity, scope, year, city_id, list(distinct correction_id) as ids
        from ({_CHANGED_CORRECTIONS})
        group by all
    ),

    declarations as (
        select
            *,
            {declared_revisions.covering("joined")} as declared_by
        from joined
    )

    select
        declarations.*,
        coalesce(labels.label, declarations.series) as label,
        coalesce(cities.{{name}}, '') as city,
        coalesce(usual.change, {{prior}}) as usual,
        coalesce(usual.revisions, 0) as revisions,
        corrections.ids as corrections,
        len(declarations.declared_by) > 0
        or read_again.city_id is not null
        or corrections.city_id is not null as is_declared,
        declarations.new_value is null
        or abs(declarations.new_value - declarations.old_value)
        > coalesce(usual.change, {{prior}}) * abs(declarations.old_value) + declarations.unit
        as is_unusual
    from declarations
    left join labels on declarations.series = labels.series and declarations.scope = labels.scope
    left join old.marts.dim_city as cities on declarations.city_id = cities.city_id
    left join read_again
        on
            declarations.quantity = read_again.quantity
            and declarations.provider = read_again.provider
            and declarations.city_id = read_again.city_id
            and declarations.year = read_again.year
    left join usual
        on
            declarations.quantity = usual.quantity
            and declarations.provider = usual.provider
            and declarations.is_last = usual.is_last
    left join corrections
        on
            declarations.quantity = corrections.quantity
            and declarations.provider = corrections.provider
            and declarations.scope = corrections.scope
            and declarations.city_id = corrections.city_id
            and declarations.year = corrections.year
"""

# A value comes out of the files that deliver it now; one that is gone, out of those that delivered
# it before. What no table of delivered values has, as counts of a register, comes out of all files
# of its provider.
_READ_AGAIN = """
    insert into read_again
    with

    delivered as (
        {}
    ),

    cells as (
        select
            quantity, provider, city_id, year, when_delivered,
            bool_and(list_contains($paths, file_path)) as is_again
        from delivered
        group by all
    ),

    whole_providers as (
        select provider
        from built.raw.deliveries
        where valid_until_delivery is null
        group by provider
        having bool_and(list_contains($paths, file_path))
    )

    select quantity, provider, city_id, year
    from cells
    group by all
    having arg_min(is_again, when_delivered)
    union all
    select distinct quantity, provider, city_id, year
    from old.release.series_values
    where
        year between $first and $last
        and provider in (select provider from whole_providers)
        and (quantity, provider) not in (select (quantity, provider) from cells)
""".format(
    " union all ".join(
        f"select series as quantity, provider, city_id, year, file_path, {order} as when_delivered"
        f" from {database}.marts.fct_delivered_values where valid_until_delivery is null and"
        " delivered_value is not null and year between $first and $last"
        for order, database in enumerate(("built", "old"))
    )
)

_SERIES_YEARS = """
    select
        series, scope,
        arg_max(provider, is_rewritten),
        any_value(label),
        any_value(quantity),
        year,
        count(*),
        count(*) filter (is_rewritten),
        count(*) filter (new_value is null),
        count(*) filter (is_rewritten and not is_declared),
        count(*) filter (is_unusual and not is_declared),
        coalesce(
            median(abs(new_value / old_value - 1))
            filter (is_rewritten and not is_declared and old_value <> 0),
            0
        ),
        max(usual),
        max(revisions)
    from compared
    group by series, scope, year
    having bool_or(is_rewritten)
    order by series, scope, year
"""

_CELLS = """
    select series, scope, city_id, city, year, old_value, new_value, is_declared, is_unusual
    from compared
    where is_rewritten
    order by
        series, scope,
        case
            when new_value is null then 1
            when old_value = 0 then 'infinity'
            else abs(new_value - old_value) / abs(old_value)
        end desc,
        city_id, year
"""

# Where a provider lists only cities with a count, one that is in no file counts zero: zeros are no
# values here.
_CITY_YEARS = """
    select
        count(*),
        count(*) filter (
            has_undeclared and (new_count = 0 or (counted_before and not counted_now))
        )
    from (
        select
            city_id, year,
            count(new_value) as new_count,
            bool_or(old_value <> 0) as counted_before,
            coalesce(bool_or(new_value <> 0), false) as counted_now,
            bool_or(is_rewritten and not is_declared) as has_undeclared
        from compared
        group by city_id, year
    )
"""

_LOST_CITIES = f"""
    with

    histories as (
        select
            series, scope, city_id,
            any_value(city) as city,
            any_value(label) as label,
            any_value(provider) as provider,
            any_value(quantity) as quantity,
            min(year) as first_year,
            max(year) as last_year,
            count(*) filter (old_value <> 0) as years
        from compared
        group by series, scope, city_id
        having not coalesce(bool_or(new_value <> 0), false) and not bool_and(is_declared)
    ),

    published as (
        select series, scope, count(distinct year) as years
        from compared
        group by series, scope
    )

    select
        histories.city_id, histories.city, histories.series, histories.scope,
        histories.provider, histories.label, histories.quantity,
        histories.first_year, histories.last_year
    from histories
    inner join published
        on
            histories.series = published.series
            and histories.scope = published.scope
            and histories.years = published.years
    where histories.years >= {FULL_HISTORY}
    order by histories.city_id, histories.series, histories.scope
"""

# The median of all cities stands for that of the others. A unit of the last printed digit is no
# move.
_PROVINCES = """
    with

    moves as (
        select
            compared.*,
            compared.new_value / compared.old_value - 1 as change,
            median(compared.new_value / compared.old_value - 1) over (
                partition by compared.series, compared.scope, compared.year
            ) as change_of_all,
            compared.usual + compared.unit / abs(compared.old_value) as allowed,
            cities.province_name_{language} as province
        from compared
        inner join old.marts.dim_city as cities on compared.city_id = cities.city_id
        where
            not compared.is_declared
            and compared.new_value is not null
            and compared.old_value <> 0
    ),

    alone as (
        select
            series, scope, year, province,
            any_value(provider) as provider,
            any_value(label) as label,
            any_value(quantity) as quantity,
            count(*) filter (is_rewritten) as cities,
            median(change) as change,
            any_value(change_of_all) as change_of_all,
            max(usual) as usual
        from moves
        group by series, scope, year, province
        having abs(median(change) - any_value(change_of_all)) > median(allowed)
    )

    select
        series, scope, any_value(provider), any_value(label), any_value(quantity), province,
        list(year order by year),
        cast(sum(cities) as integer),
        median(change), median(change_of_all), max(usual)
    from alone
    group by series, scope, province
    having sum(cities) >= {least_values}
    order by series, scope, abs(median(change) - median(change_of_all)) desc, province
"""

_CORRECTIONS = f"""
    select distinct concat('correction ', ids.correction_id, ': ', changed.reason)
    from (select unnest(corrections) as correction_id from compared where is_rewritten) as ids
    inner join ({_CHANGED_CORRECTIONS}) as changed on ids.correction_id = changed.correction_id
    order by all
"""

_EXPLAINED = """
    select used.specification_id
    from old.marts.dim_specification_series as used
    inner join compared on used.series = compared.series and used.scope = compared.scope
    where compared.is_rewritten
    group by used.specification_id
    having bool_and(compared.is_declared)
"""
