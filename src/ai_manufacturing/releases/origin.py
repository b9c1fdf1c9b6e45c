"""Whose numbers an open release or warehouse holds."""

from typing import NamedTuple

import duckdb

SYNTHETIC = "synthetic"


class Origin(NamedTuple):
    """Whose numbers a file holds.

    Attributes
    ----------
    extract_set : str
        Name of the extract set.
    kind : str
        synthetic or delivered.
    """

    extract_set: str
    kind: str

    @property
    def is_synthetic(self) -> bool:
        """Whether the numbers are drawn by a program."""
        return self.kind == SYNTHETIC

    def __str__(self) -> str:
        said = "SYNTHETIC: its numbers are not real" if self.is_synthetic else self.kind
        return f"{self.extract_set} ({said})"


def origin_of(connection: duckdb.DuckDBPyConnection) -> Origin | None:
    """Return whose numbers an open release or warehouse holds; None if no file has landed in it."""
    table = "release.manifest" if is_release(connection) else "raw.deliveries"
    try:
        found = connection.execute(f"select extract_set, extract_set_kind from {table} limit 1").fetchall()
    except duckdb.CatalogException:
        return None
    return Origin(*found[0]) if found else None


def is_release(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether an open file is a release."""
    found = connection.execute(
        "from duckdb_tables() where schema_name = 'release' and table_name = 'manifest' "
        "and database_name = current_database()"
    )
    return bool(found.fetchall())
