"""Code that only this paper needs: site pages, figures, disclosure rules and synthetic data.

All other packages are independent of the study: they read its names from seeds, and look up the
constants below by name.
"""

PAGES = ("measure", "maps")
"""Modules of this package that are pages of the site, in menu order."""

ADDITIONS = {
    "index": "firms",
    "credibility": "remarks",
    "tables": "published_facts",
    "quality": "vintages",
}
"""Modules of this package with content to append to a page of the site, by page."""

SUMS_OVER_CITIES = "disclosure"
"""Module that decides which sums over cities may be published if single cities may not."""

EXHIBITS = (
    ("Classes of cities by AI firms", "rpt_spatial_classes", "spatial_classes.csv"),
    ("Figure 1, its numbers", "rpt_figure_1", "figure_1.csv"),
)
"""Exhibits that a replication package adds to its tables: title, released table, file name."""

FIGURES = {"Figure 1": ("rpt_figure_1", "figure_1")}
"""Figures of a replication package: released table, and the module that draws it as SVG."""

COMMANDS = ("commands",)
"""Modules of this package that add commands to `ai-manufacturing`."""

EXAMPLES = {
    "trace": [
        "trace --specification table_1_col_1",
        "trace --specification table_1_col_1 --city Shenzhen --year 2015",
    ],
    "table": [
        "table table_1 --format docx",
        "table table_3 --format latex --errors city,province,wild --language zh",
    ],
}
"""Example arguments for the general commands, shown in their help."""
