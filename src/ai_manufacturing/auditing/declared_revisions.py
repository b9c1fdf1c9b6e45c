"""Declared revisions: rows of a seed by which a person lets rewritten values of a published release pass."""

import csv
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing import settings
from ai_manufacturing.releases.errors import BadConfigurationError, RefreshError
from ai_manufacturing.releases.manifest import Manifest, read_manifest
from ai_manufacturing.releases.store import ID, Store

ANY = "*"
SEED = Path("seeds/declared_revisions.csv")


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


def row_to_declare(
    provider: str, quantity: str, scope: str, years: tuple[int, int], after_release: str, today: str
) -> str:
    """Return a row of the seed, but for its reason."""
    return f"{provider},{quantity},{scope},{years[0]},{years[1]},<reason>,{today},{after_release}"


# ---------------------------------------------------------------- the seed

_EXPECTED = {
    "first_year": "a year",
    "last_year": "a year from first_year on",
    "reason": "a reason in words",
    "declared_on": "a date such as 2026-11-26",
    "after_release": "the number of a release, six digits",
    "series": "a series of series.csv (without @provider), or * for all",
}


def read() -> list[Declaration]:
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
    declarations, faults = [], []
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
            declarations.append(Declaration(**values))
    if faults:
        raise BadConfigurationError("\n".join(faults))
    return declarations


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


def standing(
    declarations: Sequence[Declaration],
    published: Manifest | None,
    store: Store,
) -> list[Declaration]:
    """Return the declarations that a refresh may use: of the published release, and not used by a later one.

    After a rollback a later release may have used a row that names the release published now.
    """
    if published is None or not declarations:
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


# ---------------------------------------------------------------- in SQL


def write(connection: duckdb.DuckDBPyConnection, declarations: Sequence[Declaration]) -> None:
    """Write the temporary table `declared`: what each declaration covers, by its place in the sequence."""
    connection.execute(
        "create temp table declared (number integer, provider varchar, series varchar, scope varchar, "
        "first_year integer, last_year integer)"
    )
    for number, row in enumerate(declarations):
        covers = [number, row.provider, row.series, row.scope, row.first_year, row.last_year]
        connection.execute("insert into declared values (?, ?, ?, ?, ?, ?)", covers)


def covering(values: str) -> str:
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
