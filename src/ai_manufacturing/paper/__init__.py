"""What the paper alone says: its measure, maps, figure, commands, and the sample.

All other rooms take the study's names from seeds, and what is declared here by name.
"""

PAGES = ("measure", "maps")
"""Modules of this room that are pages of the site, in the order of the menu."""

ADDITIONS = {
    "index": "firms",
    "credibility": "remarks",
    "tables": "published_facts",
    "quality": "vintages",
}
"""Modules of this room whose content stands on a page of the site, below its own."""

SUMS_OVER_CITIES = "disclosure"
"""Module of this room that says which of its sums may be shown where single cities may not."""

EXHIBITS = (
    ("Classes of cities by AI firms", "rpt_spatial_classes", "spatial_classes.csv"),
    ("Figure 1, its numbers", "rpt_figure_1", "figure_1.csv"),
)
"""Of a replication package, beside its tables: name, released table, file of its rows."""

FIGURES = {"Figure 1": ("rpt_figure_1", "figure_1")}
"""Of a replication package: released table, and the module here that draws it as SVG."""

COMMANDS = ("commands",)
"""Modules of this room whose commands `ai-manufacturing` has."""

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
"""Of commands that any study has: what to type here, by command."""
