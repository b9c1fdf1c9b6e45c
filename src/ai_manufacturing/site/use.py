"""Use and cite: downloads, terms, quick starts, each column in words, and changes."""

from typing import Any

from ai_manufacturing.disclosure import terms
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.site import downloads
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import beside
from ai_manufacturing.system.text import Catalogue

SQL = beside(__file__)

# What most readers want, and its name in each format.
SETS = {
    "panel": ("fct_city_year_panel", "panel"),
    "estimates": ("rpt_coefficients", "estimates"),
    "curve": ("est_specification_curve", "specification_curve"),
    "codebook": ("data_dictionary", "data_dictionary"),
}
LISTED = 300  # changed estimates
# To paste into any client of DuckDB; in the browser, the page writes its own address for
# "https://…/".
ADDRESS_LINES = f"""\
ATTACH 'https://…/{downloads.FOLDER}/{downloads.RELEASE}' AS ai_manufacturing (READ_ONLY);
FROM ai_manufacturing.reports.rpt_coefficients LIMIT 10;
FROM 'https://…/{downloads.FOLDER}/rpt_coefficients.parquet' LIMIT 10;
"""


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return data sets, tables with columns, terms, citation, quick starts and history."""
    tables = release.grouped(
        "in_table",
        SQL["tables"],
    )
    kinds = release.rows(SQL["kinds"])
    return {
        "sets": SETS,
        "tables": tables,
        "row_counts": {name: release.row_count(name) for name in tables},
        "tables_withheld": release.withheld,
        "sources": release.sources(),
        "withheld": release.withheld_from(terms.WIDE, *release.withheld),
        "address_lines": ADDRESS_LINES,
        "own_licence": terms.ESTIMATES_LICENCE,
        "bibliography": downloads.bibliography(release.manifest),
        "quick_starts": downloads.quick_starts(release),
        "programs": downloads.QUICK_STARTS,
        "history": downloads.history(release),
        "replaced": _replaced(release),
        "kinds": kinds,
        "estimate_count": sum(
            row["change_count"] for row in kinds if row["change_kind"].startswith("estimate")
        ),
        # lost, then moved, the farthest first, then gained
        "estimates": release.rows(
            SQL["estimates"],
            listed=LISTED,
        ),
        "cells": release.rows(SQL["cells"]),
    }


def _replaced(release: Release) -> Origin | None:
    """Return whose numbers the release before had, if that was another extract set.

    Then there are no changes.
    """
    for row in release.rows("select extract_set, extract_set_kind as kind from release.previous"):
        before = Origin(**row)
        return None if before == release.manifest.origin else before
    return None
