"""Find published values that a new build would change.

The rules and their reasons are in docs/decisions/refreshes_and_releases.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing.wording import find_spans, format_spans, join_first
from ai_manufacturing.landing import declared_revisions
from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import build_comments, load_statements

SQL = load_statements(__file__)

MIN_RELATIVE_CHANGE = 0.001  # smaller relative changes do not count as revisions
MAX_REVISED_SHARE = 0.05  # maximum share of unusual revisions per series and year
MIN_LOGGED_REVISIONS = 3  # minimum number of past revisions to estimate their usual size
MIN_PROVINCE_VALUES = 3  # number of revised values in a province that blocks publication
MAX_LOST_SHARE = 0.01  # maximum share of published city-years that may lose all values
MIN_PUBLISHED_YEARS = 3  # a lost city blocks publication only in series this long
MAX_LISTED_CITIES = 3  # maximum number of cities or values listed in a message
MAX_LISTED_PROVINCES = 3
MAX_LISTED_SERIES = 3

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
    """Number of published values that a build changes, for one series, scope and year.

    `undeclared` counts rewritten values without a declaration; `unusual` counts undeclared values
    that are lost or moved by more than usual. `change` is the median change of the undeclared
    values, and `usual` the largest usual change, both as shares of the old value. `revisions` is
    the number of logged revisions that `usual` is based on, or 0 if it is the declared default.
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
        """Label of the series, with series name, scope and provider in parentheses."""
        return f"{self.label} ({self.series}, {self.scope}, {self.provider})"

    def __str__(self) -> str:
        basis = (
            f"according to {self.revisions} logged revisions"
            if self.revisions
            else "as declared in dbt_project.yml"
        )
        return (
            f"{self.heading} {self.year}:"
            f" {self.undeclared} of {self.published} published values changed,"
            f" with a median change of {100 * self.change:.2g} %. Changes of up to"
            f" {100 * self.usual:.2g} % are usual, {basis}"
        )


class Province(NamedTuple):
    """A province in which the values of a series changed unusually, relative to all cities."""

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
            f" {format_spans(self.years)}: {self.province} changed differently from the"
            f" other provinces: its {self.values} values changed by a median of"
            f" {100 * self.change:+.2g} %, compared with {100 * self.change_of_all:+.2g} % in all"
            f" cities. Changes of up to {100 * self.usual:.2g} % are usual"
        )


class Cell(NamedTuple):
    """A published value that a build changes; `new_value` is None if the value was lost."""

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
    """A city that had values of a series in all published years, and has none in the build."""

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
    """Years and already loaded files that the user asked to read again."""

    years: range
    paths: frozenset[str]


@dataclass(frozen=True)
class Revisions:
    """Published values that a build changes, and the declarations that allow the changes.

    Attributes
    ----------
    series_years : tuple of SeriesYear
        Series-years with a rewritten value.
    cells : tuple of Cell
        All rewritten values by series and scope, largest moves first.
    declarations : tuple of Declaration
        Declarations that cover a rewritten value.
    explained_specifications : frozenset of str
        Published specifications that use rewritten values, all of them declared.
    city_years, lost_city_years : int
        Number of published city-years, and number of them that lose their values or keep only
        zeros without a full declaration.
    lost_cities : tuple of LostCity
        Undeclared losses, one per city and series.
    provinces : tuple of Province
        Provinces with at least MIN_PROVINCE_VALUES undeclared values that move alone.
    corrections : tuple of str
        Descriptions of added or removed corrections that cover a rewritten value.
    """

    series_years: tuple[SeriesYear, ...] = ()
    cells: tuple[Cell, ...] = ()
    declarations: tuple[Declaration, ...] = ()
    explained_specifications: frozenset[str] = frozenset()
    city_years: int = 0
    lost_city_years: int = 0
    lost_cities: tuple[LostCity, ...] = ()
    provinces: tuple[Province, ...] = ()
    corrections: tuple[str, ...] = ()

    @property
    def held_series_years(self) -> tuple[SeriesYear, ...]:
        """Series and years with more unusual, undeclared revisions than the limit allows."""
        return tuple(
            row for row in self.series_years if row.unusual > MAX_REVISED_SHARE * row.published
        )

    @property
    def notes(self) -> list[str]:
        """Messages about revisions that do not prevent publication."""
        held_series_years = {*self.held_series_years}
        passing = {
            (row.series, row.scope, row.year): row
            for row in self.series_years
            if row not in held_series_years
        }
        unusual: dict[str, list[Cell]] = defaultdict(list)
        for cell in self.cells:
            series_year = passing.get((cell.series, cell.scope, cell.year))
            if series_year is not None and cell.is_unusual and not cell.is_declared:
                unusual[series_year.heading].append(cell)
        return [
            *(
                str(row)
                for row in passing.values()
                if row.undeclared > MAX_REVISED_SHARE * row.published
            ),
            *(_describe_cells(heading, cells) for heading, cells in unusual.items()),
        ]

    @property
    def lines(self) -> list[str]:
        """Reasons not to publish the build; empty if all changes are allowed."""
        by_series: dict[tuple[str, str], list[SeriesYear]] = defaultdict(list)
        for row in self.held_series_years:
            by_series[row.series, row.scope].append(row)
        by_city: dict[str, list[LostCity]] = defaultdict(list)
        for city in self.lost_cities:
            by_city[city.city_id].append(city)
        lines = [self._describe_series(rows) for rows in by_series.values()]
        if self.lost_city_years > MAX_LOST_SHARE * self.city_years:
            lines.append(
                f"{self.lost_city_years} of {self.city_years} published city-years no longer"
                f" have a value, which exceeds the limit of {100 * MAX_LOST_SHARE:g} %."
            )
        lines += [_describe_city(series) for series in by_city.values()]
        by_series_of_province: dict[tuple[str, str], list[str]] = defaultdict(list)
        for province in self.provinces:
            by_series_of_province[province.series, province.scope].append(str(province))
        return lines + [
            join_first(provinces, MAX_LISTED_PROVINCES, "; ", "; and {} more provinces") + "."
            for provinces in by_series_of_province.values()
        ]

    def _describe_series(self, rows: Sequence[SeriesYear]) -> str:
        first, years = rows[0], {row.year for row in rows}
        largest: dict[str, Cell] = {}  # by city; self.cells starts with the largest change
        for cell in self.cells:
            if (
                (cell.series, cell.scope) == (first.series, first.scope)
                and cell.year in years
                and not cell.is_declared
            ):
                largest.setdefault(cell.city_id, cell)
        lost = sum(row.lost for row in rows)
        note = f", and {lost} of them are now missing" if lost else ""
        return (
            f"{first.heading} {format_spans(years)}: {sum(row.rewritten for row in rows)} of"
            f" {sum(row.published for row in rows)} published values changed by more than"
            f" {100 * MIN_RELATIVE_CHANGE:g} %{note}."
            f" Largest changes: {'; '.join(map(str, [*largest.values()][:MAX_LISTED_CITIES]))}."
        )

    @property
    def declarable_revisions(self) -> list[str]:
        """Values of the option `--revision` that would declare, and thus allow, the changes."""
        years: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        for row in self.held_series_years:
            years[row.provider, row.quantity, row.scope].add(row.year)
        for city in self.lost_cities:
            years[city.provider, city.quantity, city.scope].update(
                range(city.first_year, city.last_year + 1)
            )
        for province in self.provinces:
            years[province.provider, province.quantity, province.scope].update(province.years)
        return [
            declared_revisions.format_revision(*series, span)
            for series, series_years in sorted(years.items())
            for span in find_spans(series_years)
        ]

    def to_record(self) -> dict[str, Any]:
        """Return the revisions as a dict for report.json, with single values as CSV lines."""
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


def _describe_cells(heading: str, cells: Sequence[Cell]) -> str:
    """Describe the individual values of a series that changed by more than usual."""
    values = f"{len(cells)} value{'s' if len(cells) > 1 else ''}"
    examples = join_first([*map(str, cells)], MAX_LISTED_CITIES)
    return f"{heading}: {values} changed by more than usual: {examples}"


def _describe_city(series: Sequence[LostCity]) -> str:
    labels = [*dict.fromkeys(f"{row.label} ({row.series})" for row in series)]
    span = f"{min(row.first_year for row in series)}-{max(row.last_year for row in series)}"
    return (
        f"{series[0].city} ({series[0].city_id}) had a value in every published year, {span},"
        f" but no longer has one: {join_first(labels, MAX_LISTED_SERIES)}."
    )


def write_series_values(connection: DuckDBPyConnection) -> None:
    """Copy the series values of the warehouse `built` to the table new.release.series_values."""
    connection.execute(SQL["series_values"])
    comment = (
        "One row per series, scope, city and year with a value: what the next release is compared"
        " with."
    )
    connection.execute(build_comments("new.release.series_values", comment, COLUMNS))


def find_revisions(
    connection: DuckDBPyConnection,
    declarations: Sequence[Declaration],
    read_again: ReadAgain | None = None,
) -> Revisions:
    """Find the published values that differ in a newly built warehouse.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with the release attached as `old`, a warehouse of the same extract set as
        `built`, and the temporary table `declared` (see declared_revisions.create_declared_table).
    declarations : sequence of Declaration
        Rows of that table, in order.
    read_again : ReadAgain, optional
        Values of these years that come from these files count as declared.
    """

    def run_query(name: str, **values: Any) -> Iterable[tuple[Any, ...]]:
        return connection.execute(SQL[name], values).fetchall()

    connection.execute(
        "create temp table read_again (quantity varchar, provider varchar, city_id varchar, year"
        " integer)"
    )
    if read_again is not None:
        parameters = {
            "paths": sorted(read_again.paths),
            "first": read_again.years[0],
            "last": read_again.years[-1],
        }
        connection.execute(SQL["read_again"], parameters)
    language = settings.language()
    run_query("changed_corrections")
    run_query(
        "compared",
        language=language,
        usual_revision=settings.variables()["usual_revision"],
        changed=MIN_RELATIVE_CHANGE,
        cells=MAX_REVISED_SHARE,
        history=MIN_LOGGED_REVISIONS,
    )
    ((city_years, lost_city_years),) = run_query("city_years")
    provinces = run_query("provinces", language=language, least_values=MIN_PROVINCE_VALUES)
    return Revisions(
        tuple(SeriesYear(*row) for row in run_query("series_years")),
        tuple(Cell(*row) for row in run_query("cells")),
        tuple(declarations[number] for (number,) in run_query("declarations")),
        frozenset(name for (name,) in run_query("explained")),
        city_years,
        lost_city_years,
        tuple(LostCity(*row) for row in run_query("lost_cities", full_history=MIN_PUBLISHED_YEARS)),
        tuple(Province(*row) for row in provinces),
        tuple(text for (text,) in run_query("corrections")),
    )
