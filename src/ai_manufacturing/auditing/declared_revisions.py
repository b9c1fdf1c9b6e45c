"""Declared revisions: rows of a seed that let rewritten values of a release pass."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Self

from duckdb import DuckDBPyConnection
from pydantic import Field, ValidationError, model_validator

from ai_manufacturing import settings
from ai_manufacturing.landing import declarations
from ai_manufacturing.releases.errors import BadConfigurationError, RefreshError
from ai_manufacturing.releases.manifest import Manifest, read_manifest
from ai_manufacturing.releases.store import ID, Store
from ai_manufacturing.system.declared import Row, Text, faults, matching

ANY = "*"
Year = Annotated[int, Field(ge=1000, le=9999)]
SEED = Path("seeds/declared_revisions.csv")


class Declaration(Row):
    """A row of the seed: a revision of published values that somebody knows of.

    Attributes
    ----------
    provider, series, scope : str
        Whose series; * stands for all.
    first_year, last_year : int
        Years that it covers, both included.
    reason : str
        Why the values are other ones.
    declared_on : date
        Date on which the row was written.
    after_release : str
        Number of the published release that is revised.
    """

    provider: Text
    series: Text
    scope: Text
    first_year: Year
    last_year: Year
    reason: Text
    declared_on: date
    after_release: Annotated[str, matching(ID.pattern, "the number of a release, six digits")]

    @model_validator(mode="after")
    def _is_a_span(self) -> Self:
        if self.last_year < self.first_year:
            raise ValueError(f"last_year {self.last_year} is before first_year {self.first_year}")
        return self

    def __str__(self) -> str:
        return (
            f"declared revision after {self.after_release}: {self.series} ({self.scope}) of"
            f" {self.provider}, {self.first_year}-{self.last_year}, {self.declared_on}:"
            f" {self.reason}"
        )


def row_to_declare(
    provider: str, quantity: str, scope: str, years: tuple[int, int], after_release: str, today: str
) -> str:
    """Return a row of the seed, but for its reason."""
    return f"{provider},{quantity},{scope},{years[0]},{years[1]},<reason>,{today},{after_release}"


# ---------------------------------------------------------------- the seed


def read() -> list[Declaration]:
    """Return the rows of the seed.

    Raises
    ------
    BadConfigurationError
        With one line for each row that is not what its columns say.
    """
    path = settings.project_root() / SEED
    names = [*Declaration.model_fields]
    known = {ANY, *declarations.series()}
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    if header != names:
        columns = ", ".join(header)
        raise BadConfigurationError(f"{SEED}: the columns are {columns}. Write {','.join(names)}.")
    found, wrong = [], []
    for number, cells in enumerate(rows, start=2):
        row, where = dict(zip(names, cells, strict=False)), f"{SEED}, row {number}"
        try:
            found.append(Declaration.model_validate(row))
        except ValidationError as error:
            wrong += faults(error, row, where, "Correct it.")
        if row.get("series", ANY) not in known:
            series = "a series of series.csv (without @provider), or * for all"
            wrong.append(f"{where}: series is {row['series']!r}, not {series}. Correct it.")
    if wrong:
        raise BadConfigurationError("\n".join(wrong))
    return found


def standing(
    declared: Sequence[Declaration],
    published: Manifest | None,
    store: Store,
) -> list[Declaration]:
    """Return the declarations of the published release that no later release has used.

    After a rollback a later release may have used a row that names the release published now.
    """
    if published is None or not declared:
        return []
    reasons = []
    for number in store.release_ids():
        if number > published.release_id:
            with suppress(RefreshError):  # a damaged file has published nothing that is still there
                reasons.append(read_manifest(store.past(number)).reason)
    return [
        row
        for row in declared
        if row.after_release == published.release_id
        and not any(str(row) in reason for reason in reasons)
    ]


# ---------------------------------------------------------------- in SQL


def write(connection: DuckDBPyConnection, declared: Sequence[Declaration]) -> None:
    """Write the temporary table `declared`: what each declaration covers, by its place."""
    connection.execute(
        "create temp table declared (number integer, provider varchar, series varchar, scope"
        " varchar, first_year integer, last_year integer)"
    )
    for number, row in enumerate(declared):
        covers = [number, row.provider, row.series, row.scope, row.first_year, row.last_year]
        connection.execute("insert into declared values (?, ?, ?, ?, ?, ?)", covers)


def covering(values: str) -> str:
    """Return SQL of the list of declarations, by number, that cover a row of a relation.

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
