"""Questions about the paper, answered with these data, for the credibility page."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the remarks on the paper with their figures."""
    return {
        "remarks": release.fetch_rows(
            "select * from reports.rpt_paper_remarks order by remark_number, figure_number"
        )
    }
