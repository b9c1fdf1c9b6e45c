"""Record revisions of delivered data that a user has declared to be intended.

Each line of `<store>/log/revisions.jsonl` (its format is in integrity.py) contains the revisions
that one call of `ai-manufacturing accept --revision` declared.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from duckdb import DuckDBPyConnection
from pydantic import Field, ValidationError, model_validator

from ai_manufacturing.landing import declarations
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.system import settings
from ai_manufacturing.system.declared import Row, Text, describe_errors
from ai_manufacturing.system.disk import file_mode, make_folder
from ai_manufacturing.system.integrity import Chain
from ai_manufacturing.system.sql_text import build_insert, load_statements

SQL = load_statements(__file__)

NAME = "log/revisions.jsonl"
ANY = "*"
COVERAGE_FIELDS = ("provider", "series", "scope", "first_year", "last_year")
Year = Annotated[int, Field(ge=1000, le=9999)]


class Declaration(Row):
    """A user's statement that changed values of a series are intended, not an error.

    Attributes
    ----------
    extract_set : str
        Name of the extract set.
    after_release : str
        Number of the published release that is revised; empty if none is published.
    provider, series, scope : str
        Series that it covers; * matches all.
    first_year, last_year : int
        First and last year that it covers.
    reason, declared_by, declared_at : str
        Why the values differ, who declared it, and when (UTC).
    """

    extract_set: Text
    after_release: str
    provider: Text
    series: Text
    scope: Text
    first_year: Year
    last_year: Year
    reason: Text
    declared_by: Text
    declared_at: Text

    @model_validator(mode="after")
    def _check_span(self) -> Self:
        if self.last_year < self.first_year:
            raise ValueError(
                f"the last year, {self.last_year}, is before the first year, {self.first_year}"
            )
        return self

    def __str__(self) -> str:
        return (
            f"revision of {self.series} ({self.scope}) from {self.provider},"
            f" {self.first_year}-{self.last_year}, declared by {self.declared_by} at"
            f" {self.declared_at}: {self.reason}"
        )


# ---------------------------------------------------------------- the log


def open_chain(store: Path) -> Chain:
    """Return the log of declared revisions; reading a damaged log raises LandingError."""

    def build_error(text: str) -> LandingError:
        way_out = (
            "Restore the log and its .head from the same backup. If you have no backup, delete"
            " both files, and declare the revisions that are not yet published again."
        )
        return LandingError(f"{text}. {way_out}")

    return Chain(store / NAME, file_mode(store), build_error)


def read_revisions(extract_set: str) -> list[Declaration]:
    """Return the revisions declared for an extract set, in the order of declaration.

    Raises
    ------
    LandingError
        If the log is damaged.
    """
    store = settings.landing_dir()
    lines = open_chain(store).read().lines if store.is_dir() else []
    rows = [Declaration(**row) for line in lines for row in line["revisions"]]
    return [row for row in rows if row.extract_set == extract_set]


def add_revisions(texts: Sequence[str], **others: str) -> list[Declaration]:
    """Parse values of the `--revision` option, append them to the log, and return them.

    If any value is invalid, nothing is appended.

    Parameters
    ----------
    texts : sequence of str
        Revisions in the format of `format_revision`.
    **others : str
        The remaining attributes, which are the same for each revision.

    Raises
    ------
    LandingError
        If a text is not a valid revision, with one line for each.
    OSError
        If the log cannot be written.
    """
    revisions, messages = [], []
    for text in texts:
        *series, years = text.split(",")
        first, _, last = years.partition(":")
        row = dict(zip(COVERAGE_FIELDS, (*series, first, last or first), strict=False)) | others
        option, way_out = f"--revision {text}", "Write provider,series,scope,first_year:last_year."
        try:
            revisions.append(Declaration.model_validate(row))
        except ValidationError as error:
            messages += describe_errors(error, row, option, way_out)
            continue
        if revisions[-1].series not in {ANY, *declarations.read_series_names()}:
            expectation = "a series of series.csv (without @provider), or * for all"
            messages.append(
                f"{option}: series is {revisions[-1].series!r}, but the value must be"
                f" {expectation}. {way_out}"
            )
    if messages:
        raise LandingError("\n".join(messages))
    append_revisions(settings.landing_dir(), revisions)
    return revisions


def append_revisions(store: Path, revisions: Sequence[Declaration]) -> None:
    """Append revisions to the log as a single line; do nothing if the sequence is empty."""
    if revisions:
        make_folder((store / NAME).parent, store)
        line = {"revisions": [row.model_dump() for row in revisions]}
        open_chain(store).append(lambda lines: line)


def format_revision(provider: str, series: str, scope: str, years: tuple[int, int]) -> str:
    """Format a revision as a value of the command-line option `--revision`."""
    return f"{provider},{series},{scope},{years[0]}:{years[1]}"


def list_coverage(extract_set: str) -> list[dict[str, Any]]:
    """Return the series and years that an extract set's declared revisions cover."""
    return [row.model_dump(include={*COVERAGE_FIELDS}) for row in read_revisions(extract_set)]


# ---------------------------------------------------------------- in SQL


def create_declared_table(connection: DuckDBPyConnection, revisions: Sequence[Declaration]) -> None:
    """Create a temporary table of declared revisions, and a macro that searches the table.

    The macro `declared_by` returns the positions of the revisions that cover a value.
    """
    connection.execute(SQL["declared"])
    connection.execute(SQL["declared_by"])
    for number, row in enumerate(revisions):
        values = [number, *(getattr(row, name) for name in COVERAGE_FIELDS)]
        connection.execute(build_insert("declared", len(values)), values)
