"""The dictionary: what each column of the release is."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return all columns by table, the panel's first."""
    columns = release.rows(
        "select table_schema, table_name, column_name, data_type, unit, label_en, label_zh, substitution, source, "
        "provenance_class, citation_en, citation_zh, first_year, last_year, missing_share "
        "from marts.data_dictionary "
        "order by table_name <> 'fct_city_year_panel', table_schema, table_name, column_number"
    )
    tables: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in columns:
        tables.setdefault((row["table_schema"], row["table_name"]), []).append(row)
    return {
        "columns": columns,
        "tables": [{"schema": schema, "name": name, "columns": rows} for (schema, name), rows in tables.items()],
    }
