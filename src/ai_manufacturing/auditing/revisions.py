"""Rewritten history: what a build changes of the values and estimates that were published, and what was declared.

The rules and why they are these: docs/decisions/releases.md.
"""

import csv
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from ai_manufacturing import city_names, settings
from ai_manufacturing.auditing import changes, findings
from ai_manufacturing.releases.errors import BadConfigurationError, RefreshError
from ai_manufacturing.releases.store import ID, Manifest, Store, read_manifest, reading
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import comments, literal

CHANGED = 0.001  # a value that changed by more than this share of itself is rewritten
CELLS = 0.05  # of the published values of a series, scope and year
CITY_YEARS = 0.01  # of the published city-years
FULL_HISTORY = 3  # published years of a series, at least, in all of which a city has a value
LISTED_CITIES = 3
LISTED_SERIES = 3
ANY = "*"
SEED = Path("seeds/declared_revisions.csv")

COLUMNS = {
    "series": "Name of the series, with @provider if the provider is not used by default.",
    "scope": "Industries that it counts; total where they do not apply.",
    "city_id": "Six-digit GB/T 2260 code on 2020 boundaries.",
    "year": "Statistical year.",
    "value": "Value used, after corrections, in the unit of dim_series.",
    "quantity": "Name of the series without its provider.",
    "provider": "Folder of models/staging.",
}


@dataclass(frozen=True)
class Declaration:
    """A row of the seed: a revision of published values that somebody knows of.

    Attributes
    ----------
    provider, series, scope : str
        Whose series; * stands for all.
    first_year, last_year : int
        Years that it covers, both included.
    reason : str
        Why the values are other ones.
    declared_on : str
        Date on which the row was written.
    after_release : str
        Number of the published release that is revised.
    """

    provider: str
    series: str
    scope: str
    first_year: int
    last_year: int
    reason: str
    declared_on: str
    after_release: str

    def __str__(self) -> str:
        return (
            f"declared revision after {self.after_release}: {self.series} ({self.scope}) of {self.provider}, "
            f"{self.first_year}-{self.last_year}, {self.declared_on}: {self.reason}"
        )


class SeriesYear(NamedTuple):
    """Published values of a series, scope and year, and those that a build rewrites."""

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
    """Years that somebody has named to be read again, and the files that were: those that were landed before."""

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
    used : tuple of Declaration
        Declarations that cover a rewritten value.
    explained : frozenset of str
        Published specifications that rest on a rewritten value, all of which are declared.
    city_years, lost_city_years : int
        Published city-years with any value; those with none but zeros in the build, but for declared ones.
    lost_cities : tuple of LostCity
        By city, all series that it has lost undeclared.
    """

    series_years: tuple[SeriesYear, ...] = ()
    cells: tuple[Cell, ...] = ()
    used: tuple[Declaration, ...] = ()
    explained: frozenset[str] = frozenset()
    city_years: int = 0
    lost_city_years: int = 0
    lost_cities: tuple[LostCity, ...] = ()

    @property
    def beyond(self) -> tuple[SeriesYear, ...]:
        """The series and years of which more is rewritten, undeclared, than passes."""
        return tuple(found for found in self.series_years if found.undeclared > CELLS * found.published)

    @property
    def lines(self) -> list[str]:
        """Why the values hold a build, in words; empty if they do not."""
        lines = []
        by_series: dict[tuple[str, str], list[SeriesYear]] = defaultdict(list)
        for found in self.beyond:
            by_series[found.series, found.scope].append(found)
        for (series, scope), found_years in by_series.items():
            years = {found.year for found in found_years}
            largest: dict[str, Cell] = {}  # of each city, as the largest come first
            for cell in self.cells:
                if (cell.series, cell.scope) == (series, scope) and cell.year in years and not cell.is_declared:
                    largest.setdefault(cell.city_id, cell)
            lost = sum(found.lost for found in found_years)
            lines.append(
                f"{found_years[0].label} ({series}, {scope}, {found_years[0].provider}) {spans_said(years)}: "
                f"{sum(found.rewritten for found in found_years)} of "
                f"{sum(found.published for found in found_years)} published values changed by more than "
                f"{100 * CHANGED:g} %{f', {lost} of them are gone' if lost else ''}. Largest: "
                + "; ".join(
                    f"{cell.city} ({cell.city_id}) {cell.year}: {cell.old_value:.6g} -> "
                    f"{'none' if cell.new_value is None else f'{cell.new_value:.6g}'}"
                    for cell in [*largest.values()][:LISTED_CITIES]
                )
                + "."
            )
        if self.lost_city_years > CITY_YEARS * self.city_years:
            lines.append(
                f"{self.lost_city_years} of {self.city_years} published city-years have no value any more, more than "
                f"{100 * CITY_YEARS:g} %."
            )
        by_city: dict[str, list[LostCity]] = defaultdict(list)
        for city in self.lost_cities:
            by_city[city.city_id].append(city)
        for city_id, lost_series in by_city.items():
            labels = [*dict.fromkeys(f"{row.label} ({row.series})" for row in lost_series)]
            more = f" and {len(labels) - LISTED_SERIES} more" if len(labels) > LISTED_SERIES else ""
            span = f"{min(row.first_year for row in lost_series)}-{max(row.last_year for row in lost_series)}"
            lines.append(
                f"{lost_series[0].city} ({city_id}) had a value in every published year, {span}, and has none any "
                f"more: {', '.join(labels[:LISTED_SERIES])}{more}."
            )
        return lines

    def rows_to_declare(self, after_release: str, today: str) -> list[str]:
        """Return the rows of the seed that would let these values pass, but for their reason."""
        years: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        for found in self.beyond:
            years[found.provider, found.quantity, found.scope].add(found.year)
        for city in self.lost_cities:
            years[city.provider, city.quantity, city.scope].update(range(city.first_year, city.last_year + 1))
        return [
            row_to_declare(provider, quantity, scope, (first, last), after_release, today)
            for (provider, quantity, scope), found in sorted(years.items())
            for first, last in _spans(found)
        ]

    def record(self) -> dict[str, Any]:
        """Return what the report of a held build keeps: every series and year, and every rewritten value as CSV."""
        return {
            "rewritten_series_years": [found._asdict() for found in self.series_years],
            "rewritten_values": [
                ",".join("" if value is None else str(value) for value in row) for row in (Cell._fields, *self.cells)
            ],
            "city_years": self.city_years,
            "lost_city_years": self.lost_city_years,
            "lost_cities": [city._asdict() for city in self.lost_cities],
        }


def row_to_declare(
    provider: str, quantity: str, scope: str, years: tuple[int, int], after_release: str, today: str
) -> str:
    """Return a row of the seed, but for its reason."""
    return f"{provider},{quantity},{scope},{years[0]},{years[1]},<reason>,{today},{after_release}"


def _spans(years: Iterable[int]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for year in sorted(years):
        if spans and spans[-1][1] == year - 1:
            spans[-1] = (spans[-1][0], year)
        else:
            spans.append((year, year))
    return spans


def spans_said(years: Iterable[int]) -> str:
    """Return years as 2012-2018, 2020."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in _spans(years))


def write_series(connection: duckdb.DuckDBPyConnection) -> None:
    """Write new.release.series_values, from the warehouse attached as `built`."""
    connection.execute(f"create table new.release.series_values as {values('built')} order by all")
    comment = "One row per series, scope, city and year with a value: what the next release is compared with."
    connection.execute(comments("new.release.series_values", comment, COLUMNS))


def values(database: str) -> str:
    """Return the query of the values that a warehouse uses: one row per series, scope, city and year."""
    return f"""
        select series, scope, city_id, cast(year as integer) as year, value, quantity, provider
        from {database}.intermediate.int_series_conformed
        where value is not null
    """


def declared() -> list[Declaration]:
    """Return the rows of the seed.

    Raises
    ------
    BadConfigurationError
        With one line for each cell that is not what its column says.
    """
    path = settings.project_root() / SEED
    names = [*Declaration.__dataclass_fields__]
    with path.with_name("series.csv").open(encoding="utf-8-sig", newline="") as file:
        known = {ANY, *(row["series"] for row in csv.DictReader(file))}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != names:
            raise BadConfigurationError(
                f"{SEED}: the columns are {', '.join(reader.fieldnames or [])}. Write {','.join(names)}."
            )
        rows = list(enumerate(reader, start=2))
    found, faults = [], []
    for number, row in rows:
        wrong = {name: row[name] for name in names if not _is_right(name, row[name] or "", known)}
        if not wrong and int(row["first_year"]) > int(row["last_year"]):
            wrong = {"last_year": row["last_year"]}
        faults += [
            f"{SEED}, row {number}, column {name}: {value!r} is not {_EXPECTED.get(name, 'a name')}. Correct it."
            for name, value in wrong.items()
        ]
        if not wrong:
            values: dict[str, Any] = {**row, "first_year": int(row["first_year"]), "last_year": int(row["last_year"])}
            found.append(Declaration(**values))
    if faults:
        raise BadConfigurationError("\n".join(faults))
    return found


_EXPECTED = {
    "first_year": "a year",
    "last_year": "a year from first_year on",
    "reason": "a reason in words",
    "declared_on": "a date such as 2026-11-26",
    "after_release": "the number of a release, six digits",
    "series": "a series of series.csv (without @provider), or * for all",
}


def _is_right(name: str, text: str, series: Collection[str]) -> bool:
    if name.endswith("_year"):
        return text.isascii() and text.isdigit() and len(text) == 4
    if name == "after_release":
        return ID.fullmatch(text) is not None
    if name == "declared_on":
        with suppress(ValueError):
            return date.fromisoformat(text).isoformat() == text
        return False
    return text in series if name == "series" else bool(text.strip())


def standing(declarations: Sequence[Declaration], store: Store) -> list[Declaration]:
    """Return the declarations that a refresh may use: of the published release, and not used by a later one.

    After a rollback a later release may have used a row that names the release published now.
    """
    published = store.compared_with() if declarations else None
    if published is None:
        return []
    reasons = []
    for number in store.release_ids():
        if number > published.release_id:
            with suppress(RefreshError):  # a damaged file has published nothing that is still there
                reasons.append(read_manifest(store.past(number)).reason)
    return [
        row
        for row in declarations
        if row.after_release == published.release_id and not any(str(row) in reason for reason in reasons)
    ]


def compare(
    published: Path,
    warehouse: Path,
    declarations: Sequence[Declaration],
    spill: Path,
    read_again: ReadAgain | None = None,
) -> Revisions | None:
    """Compare the values of a built warehouse with those of the published release.

    Parameters
    ----------
    published, warehouse : Path
        A release, and a warehouse of the same extract set that no process writes to.
    declarations : sequence of Declaration
        Those that stand.
    spill : Path
        Folder for what exceeds the memory limit.
    read_again : ReadAgain, optional
        Values of these years that come out of these files count as declared.

    Returns
    -------
    Revisions or None
        None if the release was written before releases kept their series.
    """
    connection = duckdb_client.in_memory(spill)
    try:
        connection.execute(f"attach {literal(str(published))} as old (read_only)")
        connection.execute(f"attach {literal(str(warehouse))} as built (read_only)")
        kept = "from duckdb_tables() where database_name = 'old' and table_name = 'series_values'"
        if not connection.execute(kept).fetchall():
            return None
        covered(connection, declarations)
        connection.execute(
            "create temp table read_again (quantity varchar, provider varchar, city_id varchar, year integer)"
        )
        if read_again is not None:
            again = {"paths": sorted(read_again.paths), "first": read_again.years[0], "last": read_again.years[-1]}
            connection.execute(_READ_AGAIN, again)
        connection.execute(_COMPARED.format(values=values("built"), changed=CHANGED))
        ((city_years, lost_city_years),) = connection.execute(_CITY_YEARS).fetchall()
        name = city_names.column(connection, "old.marts.dim_city")
        cells = _CELLS.format(name=name)
        used = connection.execute(
            "select distinct unnest(declared_by) as number from compared where is_rewritten order by number"
        ).fetchall()
        return Revisions(
            tuple(SeriesYear(*row) for row in connection.execute(_SERIES_YEARS).fetchall()),
            tuple(Cell(*row) for row in connection.execute(cells).fetchall()),
            tuple(declarations[number] for (number,) in used),
            frozenset(name for (name,) in connection.execute(_EXPLAINED).fetchall()),
            int(city_years),
            int(lost_city_years),
            tuple(LostCity(*row) for row in connection.execute(_LOST_CITIES.format(name=name)).fetchall()),
        )
    finally:
        connection.close()


def covered(connection: duckdb.DuckDBPyConnection, declarations: Sequence[Declaration]) -> None:
    """Write the temporary table `declared`: what each declaration covers, by its place in the sequence."""
    connection.execute(
        "create temp table declared (number integer, provider varchar, series varchar, scope varchar, "
        "first_year integer, last_year integer)"
    )
    for number, row in enumerate(declarations):
        covers = [number, row.provider, row.series, row.scope, row.first_year, row.last_year]
        connection.execute("insert into declared values (?, ?, ?, ?, ?, ?)", covers)


def declared_by(values: str) -> str:
    """Return SQL of the declarations that cover a row of a relation: numbers of `declared`, as a list.

    Parameters
    ----------
    values : str
        Its name; it has the columns provider, quantity, scope and year.
    """
    return f"""(
        select coalesce(list(declared.number), [])
        from declared
        where
            declared.provider in ({values}.provider, '{ANY}')
            and declared.series in ({values}.quantity, '{ANY}')
            and declared.scope in ({values}.scope, '{ANY}')
            and {values}.year between declared.first_year and declared.last_year
    )"""


_COMPARED = f"""
    create temp table compared as
    with

    new as ({{values}}),

    joined as (
        select
            old.series, old.scope, old.city_id, old.year, old.quantity, old.value as old_value, new.value as new_value,
            coalesce(new.provider, old.provider) as provider,
            new.value is null or abs(new.value - old.value) > {{changed}} * abs(old.value) as is_rewritten
        from old.release.series_values as old
        left join new
            on
                old.series = new.series
                and old.scope = new.scope
                and old.city_id = new.city_id
                and old.year = new.year
    ),

    declarations as (
        select
            *,
            {declared_by("joined")} as declared_by
        from joined
    )

    select
        declarations.*,
        len(declarations.declared_by) > 0 or read_again.city_id is not null as is_declared
    from declarations
    left join read_again
        on
            declarations.quantity = read_again.quantity
            and declarations.provider = read_again.provider
            and declarations.city_id = read_again.city_id
            and declarations.year = read_again.year
"""

# A value comes out of the files that deliver it now; one that is gone, out of those that delivered it before. What no
# table of delivered values has, as counts of a register, comes out of all files of its provider.
_READ_AGAIN = """
    insert into read_again
    with

    delivered as (
        {}
    ),

    cells as (
        select quantity, provider, city_id, year, when_delivered, bool_and(list_contains($paths, file_path)) as is_again
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
        f"select series as quantity, provider, city_id, year, file_path, {order} as when_delivered "
        f"from {database}.marts.fct_delivered_values "
        "where valid_until_delivery is null and delivered_value is not null and year between $first and $last"
        for order, database in enumerate(("built", "old"))
    )
)

_SERIES_YEARS = """
    with

    counted as (
        select
            series, scope, year,
            arg_max(provider, is_rewritten) as provider,
            any_value(quantity) as quantity,
            count(*) as published,
            count(case when is_rewritten then 1 end) as rewritten,
            count(case when new_value is null then 1 end) as lost,
            count(case when is_rewritten and not is_declared then 1 end) as undeclared
        from compared
        group by series, scope, year
    ),

    labels as (
        select series, scope, any_value(label_en) as label
        from old.marts.dim_series
        group by series, scope
    )

    select
        counted.series, counted.scope, counted.provider, coalesce(labels.label, counted.series), counted.quantity,
        counted.year, counted.published, counted.rewritten, counted.lost, counted.undeclared
    from counted
    left join labels on counted.series = labels.series and counted.scope = labels.scope
    where counted.rewritten > 0
    order by counted.series, counted.scope, counted.year
"""

_CELLS = """
    select
        compared.series, compared.scope, compared.city_id, coalesce(cities.{name}, ''), compared.year,
        compared.old_value, compared.new_value, compared.is_declared
    from compared
    left join old.marts.dim_city as cities on compared.city_id = cities.city_id
    where compared.is_rewritten
    order by
        compared.series, compared.scope,
        case
            when compared.new_value is null then 1
            when compared.old_value = 0 then 'infinity'
            else abs(compared.new_value - compared.old_value) / abs(compared.old_value)
        end desc,
        compared.city_id, compared.year
"""

# Where a provider lists only cities with a count, one that is in no file counts zero: zeros are no values here.
_CITY_YEARS = """
    select
        count(*),
        count(case when has_undeclared and (new_count = 0 or (counted_before and not counted_now)) then 1 end)
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
            any_value(provider) as provider,
            any_value(quantity) as quantity,
            min(year) as first_year,
            max(year) as last_year,
            count(case when old_value <> 0 then 1 end) as years,
            coalesce(bool_or(new_value <> 0), false) as is_there,
            bool_and(is_declared) as is_declared
        from compared
        group by series, scope, city_id
    ),

    published as (
        select series, scope, count(distinct year) as years
        from compared
        group by series, scope
    ),

    labels as (
        select series, scope, any_value(label_en) as label
        from old.marts.dim_series
        group by series, scope
    )

    select
        histories.city_id, coalesce(cities.{{name}}, ''), histories.series, histories.scope, histories.provider,
        coalesce(labels.label, histories.series), histories.quantity, histories.first_year, histories.last_year
    from histories
    inner join published
        on
            histories.series = published.series
            and histories.scope = published.scope
            and histories.years = published.years
    left join labels on histories.series = labels.series and histories.scope = labels.scope
    left join old.marts.dim_city as cities on histories.city_id = cities.city_id
    where histories.years >= {FULL_HISTORY} and not histories.is_there and not histories.is_declared
    order by histories.city_id, histories.series, histories.scope
"""

_EXPLAINED = """
    select drawn.specification_id
    from old.marts.dim_specification_series as drawn
    inner join compared on drawn.series = compared.series and drawn.scope = compared.scope
    where compared.is_rewritten
    group by drawn.specification_id
    having bool_and(compared.is_declared)
"""


@dataclass(frozen=True)
class Moves:
    """How the shown estimates moved.

    Attributes
    ----------
    held : changes.Summary
        Changes of the shown columns that the limit judges.
    notes : tuple of str
        Columns that are beyond the limit because of new years only, in words.
    explained : frozenset of str
        Specifications whose moves declared revisions explain.
    on_published_years : mapping
        Estimates of the columns that reach new years on the published years alone, by specification and term.
    """

    held: changes.Summary
    notes: tuple[str, ...] = ()
    explained: frozenset[str] = frozenset()
    on_published_years: Mapping[tuple[str, str], float] = field(default_factory=dict)


def moves(
    published: Path,
    release: Path,
    warehouse: Path,
    limit: float,
    revisions: Revisions | None,
    doubted: Collection[str] = (),
) -> Moves:
    """Return the moves of shown estimates that a limit judges.

    Parameters
    ----------
    published, release : Path
        The published release, and the one that is written and not yet published.
    warehouse : Path
        What the release was written from.
    limit : float
        In published standard errors.
    revisions : Revisions or None
        What the build rewrites; columns that declared revisions explain are left out.
    doubted : collection of str
        Specifications whose new years are not like the years before: the limit judges their whole move.
    """
    explained = revisions.explained if revisions else frozenset()
    with reading(published) as connection:
        names = shown(connection)
        old_years = _sample_years(connection)
        before = {
            (name, term): (estimate, error)
            for name, term, estimate, error in connection.execute(
                f"select specification_id, term, estimate, std_error from {changes.COEFFICIENTS} "
                "where estimate is not null"
            ).fetchall()
        }
    with reading(release) as connection:
        names = (names or shown(connection)) - explained
        new_years = _sample_years(connection)
        beyond = dict(
            connection.execute(
                "select specification_id, max(moved_std_errors) from release.changes "
                "where change_kind = 'estimate_changed' and moved_std_errors > ? group by specification_id",
                [limit],
            ).fetchall()
        )
    # what new years add is no revision
    grown = {
        name: old_years[name]
        for name in sorted(names & old_years.keys() & new_years.keys())
        if new_years[name][0] < old_years[name][0] or new_years[name][1] > old_years[name][1]
    }
    again: dict[tuple[str, str], float] = {}
    if grown:
        from ai_manufacturing.auditing import published_years  # here, because it imports the estimators

        again = published_years.estimates(warehouse, grown)
    passed, notes = set(), []
    for name in sorted(grown.keys() & beyond.keys() - {*doubted}):
        revised = max(
            abs(again.get((name, term), float("inf")) - estimate) / error
            for (of, term), (estimate, error) in before.items()
            if of == name and error
        )
        if revised <= limit:
            passed.add(name)
            notes.append(
                f"{name} moved by {beyond[name]:.2f} standard errors as its sample reaches new years. On the "
                f"published years, {grown[name][0]}-{grown[name][1]}, it moved by {revised:.2f}"
            )
    return Moves(changes.of_specifications(release, names - passed), tuple(notes), explained, again)


def shown(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the shown columns of a release; none of one that was written before it had a table of them."""
    with suppress(duckdb.CatalogException):
        found = connection.execute("select specification_id from reports.rpt_column_specifications").fetchall()
        return {name for (name,) in found}
    return set()


def _sample_years(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    rows = connection.execute(
        "select specification_id, min(year), max(year) from estimates.estimation_samples group by specification_id"
    ).fetchall()
    return {name: (first, last) for name, first, last in rows}


def why_held(revisions: Revisions | None, moved: Moves, limit: float) -> list[str]:
    """Return why a build is held, in words; empty if it is not."""
    lines = list(revisions.lines) if revisions else []
    if moved.held.is_beyond(limit):
        estimates = [line for line in moved.held.lines if " -> " in line]
        lines.append(
            f"{moved.held.moved(limit)}, more than REFRESH_HOLD_ABOVE ({limit:.15g}) allows: "
            + "; ".join(estimates[: findings.LISTED_ROWS])
            + (f"; and {len(estimates) - findings.LISTED_ROWS} more" if len(estimates) > findings.LISTED_ROWS else "")
            + "."
        )
    return lines


def way_out(rows: Sequence[str], published: Manifest, described: Mapping[str, Any], held: Path) -> Iterator[str]:
    """Yield where a held rewrite comes from, as far as that is known, and what can be done.

    Parameters
    ----------
    rows : sequence of str
        Rows of the seed that would let it pass, but for their reason.
    published : Manifest
        Of the published release.
    described : mapping
        The fields of the manifest of the build.
    held : Path
        Its folder.
    """
    if described["delivery_hashes"] == published.delivery_hashes:
        commits = [commit[:12] or "unknown" for commit in (published.git_commit, described["git_commit"])]
        yield (
            f"The deliveries are those of release {published.release_id}: code, seeds or packages make the difference "
            f"(commit {commits[0]}, now {commits[1]})."
        )
    if rows:
        yield f"If these are revisions, add to {SEED}, each with its reason, and refresh again:"
        yield from rows
    yield (
        f"Held in {held}; report.json there has every change. To publish it anyway: ai-manufacturing publish "
        f"{described['release_id']} --reason '...'."
    )
