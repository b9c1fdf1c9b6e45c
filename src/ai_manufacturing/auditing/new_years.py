"""New years beside the published ones.

A new year has nothing published to be compared with, but cities' shares of a province and of the
total move slowly. What is odd, the gate's int_series_years says; its limits are in dbt_project.yml.
"""

from collections.abc import Sequence
from typing import NamedTuple

from duckdb import DuckDBPyConnection

from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import beside

SQL = beside(__file__)


class OddYear(NamedTuple):
    """A new year of a series whose shares are not like those of the years before.

    Attributes
    ----------
    series, scope : str
        The series.
    year : int
        The new year.
    provider, quantity : str
        As a declared revision names them.
    specifications : tuple of str
        Those that use the series.
    declared_by : tuple of Declaration
        Declarations that cover it.
    message : str
        What moved, and how far it moved before.
    """

    series: str
    scope: str
    year: int
    provider: str
    quantity: str
    specifications: tuple[str, ...]
    declared_by: tuple[Declaration, ...]
    message: str


def odd(
    connection: DuckDBPyConnection,
    declarations: Sequence[Declaration],
) -> list[OddYear]:
    """Return the new years of a build whose shares are not like those of the years before.

    Parameters
    ----------
    connection : DuckDBPyConnection
        With a release attached as `old`, a warehouse of the same extract set as `built`, and
        `declared` written (declared_revisions.write).
    declarations : sequence of Declaration
        Those that are written.
    """
    rows = connection.execute(SQL["odd"], {"language": settings.language()}).fetchall()
    return [
        OddYear._make(
            (*place, tuple(names), tuple(declarations[number] for number in numbers), message)
        )
        for *place, names, numbers, message in rows
    ]
