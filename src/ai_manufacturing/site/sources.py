"""Two sources of one series: how far they agree, and how reliable that makes the measure."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue

ORDER = "grouping <> 'all', grouping, group_name, year"


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return how far each pair of providers agrees, and how reliable each measure is."""
    agreement = release.rows(
        f"select * from reports.rpt_source_agreement order by series, scope, first_provider, second_provider, {ORDER}"
    )
    return {
        "agreement": [row for row in agreement if row["year"] is None and row["grouping"] == "all"],
        "by_group": [row for row in agreement if row["year"] is None and row["grouping"] != "all"],
        "by_year": [row for row in agreement if row["year"] is not None and row["grouping"] == "all"],
        "reliability": release.rows(
            "select * from reports.rpt_measure_reliability where year is null "
            f"order by measure, scope, first_provider, second_provider, transform, {ORDER}"
        ),
    }
