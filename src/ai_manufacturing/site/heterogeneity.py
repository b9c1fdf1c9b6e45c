"""Where the coefficient differs: regions, incomes, the largest cities."""

from typing import Any

from ai_manufacturing.site.readings import coefficient_plot
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import LANGUAGES, Catalogue

PARTS = ("grouping", "group_name", "reference", "reading")  # of a difference of groups


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return differences of groups as a figure, each group's estimate, and what has none."""
    groups = release.frame(
        """
        select
            h.*,
            s.regressor,
            max(case when is_reference then group_name end)
                over (partition by h.specification_id) as reference,
            difference as estimate,
            difference_conf_low_province as conf_low,
            difference_conf_high_province as conf_high
        from reports.rpt_heterogeneity as h
        left join reports.rpt_specifications as s on h.specification_id = s.specification_id
        order by h.grouping, h.specification_id, is_reference desc, group_name
        """
    )
    # a handful of cities has a p-value of permutations, and no interval to draw
    differences = groups[groups["conf_low"].notna()].copy()
    for language in LANGUAGES:
        differences[f"reading_{language}"] = [
            text.plain(
                "group_difference", language, **{name: text.names(row[name]) for name in PARTS}
            )
            for row in differences.to_dict("records")
        ]
    differences["reading"] = differences["reading_en"]
    is_estimated = groups["status"] != "not_estimable"
    return {
        "figure": (
            coefficient_plot(
                "heterogeneity",
                text.both("group_differences_note", measure=text.label(groups["regressor"][0])),
                differences,
                None,
                text,
                row=40,
            )
            if len(differences)
            else None
        ),
        "groups": groups[is_estimated].to_dict("records"),
        "missing": groups[~is_estimated].drop_duplicates("specification_id").to_dict("records"),
    }
