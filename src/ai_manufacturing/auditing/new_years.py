"""Detect implausible data in years that no release has published before.

No published value exists for a new year, but the shares of cities in their province and in the
total change slowly. int_series_years marks odd years, with the limits in dbt_project.yml.
"""

from collections.abc import Sequence
from typing import NamedTuple

from duckdb import DuckDBPyConnection

from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)


class OddYear(NamedTuple):
    """A new year in which the city shares of a series differ unusually from earlier years.

    Attributes
    ----------
    series, scope : str
        The series.
    year : int
        The new year.
    provider, quantity : str
        Names that a declared revision uses for the series.
    specifications : tuple of str
        Specifications that use the series.
    declared_by : tuple of Declaration
        Declarations that cover the year.
    message : str
        Description of how far the shares moved in this year and in earlier years.
    """

    series: str
    scope: str
    year: int
    provider: str
    quantity: str
    specifications: tuple[str, ...]
    declared_by: tuple[Declaration, ...]
    message: str


def find_odd_years(
    connection: DuckDBPyConnection,
    declarations: Sequence[Declaration],
) -> list[OddYear]:
    """Return the new years in which city shares differ unusually from earlier years.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with a release attached as `old`, a warehouse of the same extract set as `built`,
        and the temporary table `declared` (see declared_revisions.create_declared_table).
    declarations : sequence of Declaration
        Rows of that table, in order.
    """
    rows = connection.execute(SQL["odd"], {"language": settings.language()}).fetchall()
    return [
        OddYear._make(
            (*place, tuple(names), tuple(declarations[number] for number in numbers), message)
        )
        for *place, names, numbers, message in rows
    ]
