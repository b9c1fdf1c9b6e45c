"""A release file as the pages read it."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ai_manufacturing.disclosure import published_numbers, terms, withholding
from ai_manufacturing.gate import result_tables
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import beside
from ai_manufacturing.system.text import Catalogue
from ai_manufacturing.tables import PaperTable, cells

SQL = beside(__file__)

Row = dict[str, Any]


class Release:
    """A release file, open read-only within a `with`."""

    def __init__(self, path: Path) -> None:
        self.manifest = read_manifest(path)
        self.connection = duckdb_client.reading(path)

    def __enter__(self) -> "Release":
        return self

    def __exit__(self, *raised: object) -> None:
        self.connection.close()

    def frame(self, query: str, **values: Any) -> pd.DataFrame:
        """Return the result of a query; what is missing is None in every column."""
        found = self.connection.execute(query, values).df().astype(object)
        return found.where(found.notna(), None)

    def catalogue(self) -> Catalogue:
        """Return the words of the pages, with the labels of the data."""
        return Catalogue.read().with_labels_of(self.connection)

    @cached_property
    def tables(self) -> dict[str, PaperTable]:
        """Return the paper's tables, with all readings."""
        return cells.read(self.connection, self.catalogue())

    @cached_property
    def restricted(self) -> list[dict[str, Any]]:
        """Return the providers whose values may not be passed on, with their terms."""
        return terms.restricted(self.connection)

    @cached_property
    def withheld(self) -> set[str]:
        """Return the tables that do not hold here what may not be passed on."""
        return {row["table_name"] for row in withholding.listed(self.connection)}

    @cached_property
    def is_rounded(self) -> bool:
        """Return whether this is a public copy, whose numbers are rounded."""
        return published_numbers.is_rounded(self.connection)

    def withheld_from(self, *tables: str) -> list[dict[str, Any]]:
        """Return the providers whose values some tables do not hold here.

        None where nothing is withheld.
        """
        return self.restricted if self.withheld & {*tables} else []

    def sources(self) -> list[Row]:
        """Return whose files were delivered, under which terms and with which citation."""
        return self.rows(SQL["sources"])

    def gate_results(self) -> str:
        """Return SQL of what the gates found."""
        return result_tables.all_results(self.connection)

    def period(self) -> dict[str, Any]:
        """Return first_year and last_year of what was built, and base_year of its measure.

        A set without a measure has the years of the main specification, and no base year.
        """
        return self.rows(
            """
            select
                coalesce(min(m.year), any_value(s.first_year)) as first_year,
                coalesce(max(m.year), any_value(s.last_year)) as last_year,
                max(m.base_year) as base_year
            from (
                select first_year, last_year, weighting
                from reports.rpt_specifications
                where specification_id in (select specification_id from reports.rpt_findings)
            ) as s
            left join marts.fct_ai_measure as m using (weighting)
            """
        )[0]

    def rows(self, query: str, **values: Any) -> list[Row]:
        """Return the rows of a query by column name."""
        return list(self.frame(query, **values).to_dict("records"))

    def row_count(self, table: str) -> int:
        """Return how many rows a table has.

        DuckDB's own list of tables has an estimate, which counts deleted rows.
        """
        ((count,),) = self.connection.execute(f"select count(*) from {table}").fetchall()
        return int(count)

    def grouped(self, key: str, query: str) -> dict[Any, list[Row]]:
        """Return the rows of a query by their value of a column, in the order of the query."""
        return grouped(self.rows(query), key)


def grouped(rows: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    """Return rows by their value of a column."""
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups
