"""Count the headline specifications that have an estimate in a warehouse or release."""

from typing import NamedTuple

from duckdb import DuckDBPyConnection

from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)


class Headlines(NamedTuple):
    """Number of headline specifications, in total and with an estimate.

    Attributes
    ----------
    specification_count, estimated_count : int
        Number of headline specifications, in total and with an estimate.
    absent_series : tuple of str
        Series that headline specifications need but that have not been delivered.
    """

    specification_count: int
    estimated_count: int
    absent_series: tuple[str, ...]

    def __str__(self) -> str:
        share = f"{self.estimated_count or 'none'} of the {self.specification_count}"
        verb = "have" if self.estimated_count else "has"
        words = f"{share} headline specifications {verb} an estimate"
        if not self.absent_series:
            return words
        return f"{words}; not delivered: {', '.join(self.absent_series)}"

    def to_record(self) -> dict[str, int]:
        """Return the total and estimated counts as a dict for JSON output."""
        return {
            "specification_count": self.specification_count,
            "estimated_count": self.estimated_count,
        }


def read_headlines(database: DuckDBPyConnection) -> Headlines:
    """Count the headline specifications with an estimate in an open database."""
    ((specification_count, estimated_count, absent_series),) = database.execute(
        SQL["headlines"]
    ).fetchall()
    return Headlines(specification_count, estimated_count, tuple(absent_series or ()))
