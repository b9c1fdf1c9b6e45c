"""Origin of the numbers in an open release or warehouse."""

from typing import NamedTuple

import duckdb

SYNTHETIC = "synthetic"


class Origin(NamedTuple):
    """Extract set and kind of the numbers in a file.

    Attributes
    ----------
    extract_set : str
        Name of the extract set.
    kind : str
        `synthetic` or `delivered`.
    """

    extract_set: str
    kind: str

    @property
    def is_synthetic(self) -> bool:
        """Whether a program generated the numbers."""
        return self.kind == SYNTHETIC

    def __str__(self) -> str:
        note = "SYNTHETIC: its numbers are not real" if self.is_synthetic else self.kind
        return f"{self.extract_set} ({note})"


def read_origin(connection: duckdb.DuckDBPyConnection) -> Origin | None:
    """Return the origin of an open release or warehouse, or None if no file has landed in it."""
    table = "release.manifest" if is_release(connection) else "raw.deliveries"
    try:
        rows = connection.execute(
            f"select extract_set, extract_set_kind from {table} limit 1"
        ).fetchall()
    except duckdb.CatalogException:
        return None
    return Origin(*rows[0]) if rows else None


def is_release(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether an open file is a release."""
    rows = connection.execute(
        "from duckdb_tables() where schema_name = 'release' and table_name = 'manifest' "
        "and database_name = current_database()"
    )
    return bool(rows.fetchall())
