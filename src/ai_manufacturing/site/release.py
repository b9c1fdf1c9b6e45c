"""Provide read-only access to a release database for the pages of the site."""

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
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue
from ai_manufacturing.tables import PaperTable, cells

SQL = load_statements(__file__)

Row = dict[str, Any]


class Release:
    """Context manager for read-only access to a release database."""

    def __init__(self, path: Path) -> None:
        self.manifest = read_manifest(path)
        self.connection = duckdb_client.open_read_only(path)

    def __enter__(self) -> "Release":
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()

    def fetch_frame(self, query: str, **values: Any) -> pd.DataFrame:
        """Run a query and return a data frame, with None for missing values in all columns."""
        frame = self.connection.execute(query, values).df().astype(object)
        return frame.where(frame.notna(), None)

    def load_catalogue(self) -> Catalogue:
        """Return the translated texts of the pages, with labels from this release."""
        return Catalogue.load().extend_from_database(self.connection)

    @cached_property
    def tables(self) -> dict[str, PaperTable]:
        """The paper's tables with all their specifications, by table id."""
        return cells.read_tables(self.connection, self.load_catalogue())

    @cached_property
    def restricted_providers(self) -> list[dict[str, Any]]:
        """Data providers whose values may not be redistributed, with their licences."""
        return terms.read_restricted_providers(self.connection)

    @cached_property
    def withheld_tables(self) -> set[str]:
        """Names of the tables from which restricted values were removed."""
        return {row["table_name"] for row in withholding.read_withheld_rows(self.connection)}

    @cached_property
    def is_rounded(self) -> bool:
        """Whether this is a public copy of a release, in which numbers are rounded."""
        return published_numbers.has_rounded_numbers(self.connection)

    def find_withheld_providers(self, *tables: str) -> list[dict[str, Any]]:
        """Return the data providers whose values were removed from any of the given tables.

        The result is empty if nothing is withheld.
        """
        return self.restricted_providers if self.withheld_tables & {*tables} else []

    def fetch_sources(self) -> list[Row]:
        """Return the data providers with their licences and citations."""
        return self.fetch_rows(SQL["sources"])

    def build_gate_query(self) -> str:
        """Return a SQL query for the results of all data quality checks."""
        return result_tables.select_all_results(self.connection)

    def fetch_period(self) -> dict[str, Any]:
        """Return the first year, last year and base year of the AI measure in this release.

        Without a measure, return the years of the main specification, and None as base year.
        """
        return self.fetch_rows(
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

    def fetch_rows(self, query: str, **values: Any) -> list[Row]:
        """Run a query and return its rows as dictionaries, with column names as keys."""
        return list(self.fetch_frame(query, **values).to_dict("records"))

    def count_rows(self, table: str) -> int:
        """Return the number of rows of a table.

        DuckDB's catalogue only contains an estimate, which includes deleted rows.
        """
        ((count,),) = self.connection.execute(f"select count(*) from {table}").fetchall()
        return int(count)

    def fetch_groups(self, key: str, query: str) -> dict[Any, list[Row]]:
        """Run a query and group its rows by the value of a column, preserving their order."""
        return group_rows(self.fetch_rows(query), key)


def group_rows(rows: Iterable[Row], key: str) -> dict[Any, list[Row]]:
    """Group rows by the value of a column, preserving their order."""
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups
