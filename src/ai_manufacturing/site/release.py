"""A release file as the pages read it."""

from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from ai_manufacturing import duckdb_client, gates
from ai_manufacturing.releases.store import read_manifest


class Release:
    """A release file, open read-only within a `with`."""

    def __init__(self, path: Path) -> None:
        self.manifest = read_manifest(path)
        self._connection = duckdb_client.connect(str(path), read_only=True)

    def __enter__(self) -> "Release":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def frame(self, query: str, *values: Any) -> pd.DataFrame:
        """Return the result of a query; what is missing is None in every column."""
        found = self._connection.execute(query, list(values)).df().astype(object)
        return found.where(found.notna(), None)

    def labels(self) -> dict[str, tuple[str, str]]:
        """Return what the data name in both languages, by name.

        Of a name of two kinds the label is the measure's, and of a series that of a scope that no substitute feeds.
        """
        rows = self.rows(
            "select name, label_en, label_zh from marts.dim_labels where kind not in ('series', 'fact') "
            "order by list_position(['term', 'column', 'measure'], kind)"
        )
        rows += self.rows(
            "select series as name, label_en, label_zh from marts.dim_series "
            "order by substitution is not null desc, scope"
        )
        return {row["name"]: (row["label_en"], row["label_zh"]) for row in rows}

    def substituted(self) -> list[dict[str, Any]]:
        """Return kind, name, label and substitution of what a substitute feeds here."""
        return self.rows("select * from marts.dim_labels where substitution is not null order by kind, name")

    def gate_results(self) -> str:
        """Return SQL of what the gates found."""
        return gates.all_results(self._connection)

    def period(self) -> dict[str, Any]:
        """Return first_year, last_year and base_year of what was built."""
        return self.rows(
            "select min(year) as first_year, max(year) as last_year, max(base_year) as base_year "
            "from marts.fct_ai_measure"
        )[0]

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Return the rows of a query by column name."""
        return list(self.frame(query, *values).to_dict("records"))
