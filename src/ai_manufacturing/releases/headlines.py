"""Headline estimates of a warehouse or a release, without which it shows no result."""

from typing import NamedTuple

from duckdb import DuckDBPyConnection

from ai_manufacturing.system.sql_text import beside

SQL = beside(__file__)


class Headlines(NamedTuple):
    """How many headline specifications have an estimate.

    Attributes
    ----------
    specification_count, estimated_count : int
        Headline specifications, and those of them that have an estimate.
    absent_series : tuple of str
        Series that headline specifications use and that were not delivered.
    """

    specification_count: int
    estimated_count: int
    absent_series: tuple[str, ...]

    def __str__(self) -> str:
        counted = f"{self.estimated_count or 'none'} of the {self.specification_count}"
        verb = "have" if self.estimated_count else "has"
        words = f"{counted} headline specifications {verb} an estimate"
        if not self.absent_series:
            return words
        return f"{words}; not delivered: {', '.join(self.absent_series)}"

    def record(self) -> dict[str, int]:
        """Return the two counts for JSON."""
        return {
            "specification_count": self.specification_count,
            "estimated_count": self.estimated_count,
        }


def read(database: DuckDBPyConnection) -> Headlines:
    """Return the headline estimates of an open warehouse or release."""
    ((specified, estimated, absent),) = database.execute(SQL["headlines"]).fetchall()
    return Headlines(specified, estimated, tuple(absent or ()))
