"""Build the credibility page's section of questions about the paper, with answers."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the questions about the paper and their answers from rpt_paper_remarks."""
    return {
        "remarks": release.fetch_rows(
            "select * from reports.rpt_paper_remarks order by remark_number, figure_number"
        )
    }
