"""The dictionary: what each column of the release is."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return all columns, the panel's first."""
    return {
        "columns": release.rows(
            "select table_schema, table_name, column_name, data_type, unit, label_en, label_zh, substitution, source, "
            "provenance_class, citation_en, citation_zh, first_year, last_year, missing_share "
            "from marts.data_dictionary "
            "order by table_name <> 'fct_city_year_panel', table_schema, table_name, column_number"
        )
    }
