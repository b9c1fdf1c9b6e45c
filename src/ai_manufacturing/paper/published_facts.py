"""Compare numbers that the paper prints outside its tables with their values in these data."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the city classes and numbers printed in the paper, each with its reproduced value."""
    return {
        "spatial": release.fetch_rows(
            "select * from reports.rpt_spatial_classes order by row_number"
        ),
        "facts": release.fetch_rows(
            "select * from reports.rpt_published_facts order by fact_id like 'cities%',"
            " cast(printed_text as double), fact_id desc"
        ),
    }
