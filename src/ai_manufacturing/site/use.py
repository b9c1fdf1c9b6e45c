"""The page on use and citation: downloads, terms, quick starts, codebook and changes."""

from typing import Any

from ai_manufacturing.disclosure import terms
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.site import downloads
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue

SQL = load_statements(__file__)

# Main downloads: the table name in the release, and the file name of the export.
DATA_SETS = {
    "panel": ("fct_city_year_panel", "panel"),
    "estimates": ("rpt_coefficients", "estimates"),
    "curve": ("est_specification_curve", "specification_curve"),
    "codebook": ("data_dictionary", "data_dictionary"),
}
MAX_ESTIMATES = 300  # maximum number of changed estimates to list
# Example statements for any DuckDB client; the page's script replaces "https://…/" with its own
# address.
ADDRESS_LINES = f"""\
ATTACH 'https://…/{downloads.FOLDER}/{downloads.RELEASE}' AS ai_manufacturing (READ_ONLY);
FROM ai_manufacturing.reports.rpt_coefficients LIMIT 10;
FROM 'https://…/{downloads.FOLDER}/rpt_coefficients.parquet' LIMIT 10;
"""


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return data sets, tables with columns, terms, citation, quick starts and history."""
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
        # The query lists lost estimates first, then changed ones by size of change, then new ones.
        "estimates": release.fetch_rows(
            SQL["estimates"],
            listed=MAX_ESTIMATES,
        ),
        "cells": release.fetch_rows(SQL["cells"]),
    }


def _find_replaced_origin(release: Release) -> Origin | None:
    """Return the previous release's extract set if it differs from this one's, or None.

    Changes are not computed between different extract sets.
    """
    for row in release.fetch_rows(
        "select extract_set, extract_set_kind as kind from release.previous"
    ):
        before = Origin(**row)
        return None if before == release.manifest.origin else before
    return None
