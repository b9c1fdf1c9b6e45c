"""Build the site's heterogeneity page, which compares estimates between groups of cities."""

from typing import Any

from ai_manufacturing.site.readings import draw_coefficients
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import LANGUAGES, Catalogue

SQL = load_statements(__file__)

# Columns that identify a difference between two groups of cities.
GROUP_COLUMNS = ("grouping", "group_name", "reference", "reading")


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return a chart of group differences, each group's estimate, and the missing estimates."""
    groups = release.fetch_frame(SQL["groups"])
    if groups.empty:
        return {}
    # Omit small groups, which have permutation p-values but no confidence intervals to draw.
    differences = groups[groups["conf_low"].notna()].copy()
    for language in LANGUAGES:
        differences[f"reading_{language}"] = [
            text.format_text(
                "group_difference",
                language,
                **{name: text.find_labels(row[name]) for name in GROUP_COLUMNS},
            )
            for row in differences.to_dict("records")
        ]
    differences["reading"] = differences["reading_en"]
    is_estimated = groups["status"] != "not_estimable"
    return {
        "figure": (
            draw_coefficients(
                "heterogeneity",
                text.render_text(
                    "group_differences_note", measure=text.render_label(groups["regressor"][0])
                ),
                differences,
                None,
                text,
                row_height=40,
            )
            if len(differences)
            else None
        ),
        "groups": groups[is_estimated].to_dict("records"),
        "missing": groups[~is_estimated].drop_duplicates("specification_id").to_dict("records"),
    }
