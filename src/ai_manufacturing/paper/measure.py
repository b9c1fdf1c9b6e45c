"""Build the site's page on how AI firms and patents are measured.

The page shows the test of a fixed AI share, agreement between data sources, and the AI dictionary.
"""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue

SQL = load_statements(__file__)


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the fixed-ratio test, the agreement between data sources, and the AI dictionary."""
    test = release.fetch_rows("select * from reports.rpt_fixed_ratio_test order by measure, year")
    agreement = release.fetch_rows(SQL["agreement"])
    last_by_measure = {
        row["measure"]: row for row in test if row["fixed_ratio_estimate"] is not None
    }
    all_cities = [row for row in agreement if row["grouping"] == "all"]
    return {
        "fixed_ratio": test,
        "compared": [*last_by_measure.values()],
        "agreement": [row for row in all_cities if row["year"] is None],
        "by_group": [row for row in agreement if row["grouping"] != "all" and row["year"] is None],
        "by_year": [row for row in all_cities if row["year"] is not None],
        "reliability": release.fetch_rows(SQL["reliability"]),
        "sets": release.fetch_rows(SQL["sets"]),
        "zeros": release.fetch_rows(SQL["zeros"]),
        "registers": release.fetch_rows(SQL["registers"]),
        "terms": release.fetch_rows(SQL["terms"]),
    }
