"""Build the site's page on downloads, licence terms, citation and changes."""

from typing import Any

from ai_manufacturing.disclosure import terms
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.site import downloads
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue

SQL = load_statements(__file__)

# Main downloads, as (table in the release, name of the export file).
DATA_SETS = {
    "panel": ("fct_city_year_panel", "panel"),
    "estimates": ("rpt_coefficients", "estimates"),
    "curve": ("est_specification_curve", "specification_curve"),
    "codebook": ("data_dictionary", "data_dictionary"),
}
# Maximum number of changed estimates to list.
MAX_ESTIMATES = 300
# Example statements for any DuckDB client. The page's script replaces "https://…/" with the URL of
# the site.
ADDRESS_LINES = f"""\
ATTACH 'https://…/{downloads.FOLDER}/{downloads.RELEASE}' AS ai_manufacturing (READ_ONLY);
FROM ai_manufacturing.reports.rpt_coefficients LIMIT 10;
FROM 'https://…/{downloads.FOLDER}/rpt_coefficients.parquet' LIMIT 10;
"""


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the downloads, codebook, licences, citation, example programs and release history."""
    tables = release.fetch_groups(
        "in_table",
        SQL["tables"],
    )
    kinds = release.fetch_rows(SQL["kinds"])
    return {
        "sets": DATA_SETS,
        "tables": tables,
        "row_counts": {name: release.count_rows(name) for name in tables},
        "tables_withheld": release.withheld_tables,
        "sources": release.fetch_sources(),
        "withheld": release.find_withheld_providers(terms.PANEL, *release.withheld_tables),
        "address_lines": ADDRESS_LINES,
        "own_licence": terms.ESTIMATES_LICENCE,
        "bibliography": downloads.build_bibliography(release.manifest),
        "quick_starts": downloads.build_quick_starts(release),
        "programs": downloads.QUICK_STARTS,
        "history": downloads.fetch_history(release),
        "replaced": _find_replaced_origin(release),
        "kinds": kinds,
        "estimate_count": sum(
            row["change_count"] for row in kinds if row["change_kind"].startswith("estimate")
        ),
        # The query returns lost estimates first, then changes by size, then new estimates.
        "estimates": release.fetch_rows(
            SQL["estimates"],
            listed=MAX_ESTIMATES,
        ),
        "cells": release.fetch_rows(SQL["cells"]),
    }


def _find_replaced_origin(release: Release) -> Origin | None:
    """Return the extract set of the previous release if it differs from this one's, or None.

    Changes are not computed between different extract sets.
    """
    for row in release.fetch_rows(
        "select extract_set, extract_set_kind as kind from release.previous"
    ):
        before = Origin(**row)
        return None if before == release.manifest.origin else before
    return None
