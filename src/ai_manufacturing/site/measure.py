"""The measure: whether the fixed ratio of equation 2 holds, how reliable the counts are, how good the dictionary."""

from typing import Any

from ai_manufacturing.site.ai_terms import dictionary_sets
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the fixed-ratio test by measure and year, the reliability of each measure, and the dictionary's."""
    test = release.rows("select * from reports.rpt_fixed_ratio_test order by measure, year")
    return {
        "fixed_ratio": test,
        "compared": list({row["measure"]: row for row in test if row["fixed_ratio_estimate"] is not None}.values()),
        "reliability": release.rows(
            "select * from reports.rpt_measure_reliability where year is null and grouping = 'all' "
            "order by measure, scope, first_provider, second_provider, transform"
        ),
        "sets": dictionary_sets(release),
    }
