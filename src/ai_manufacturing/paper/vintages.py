"""Build the quality page's section on GDP data vintages by province."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue

SQL = load_statements(__file__)

READING = "table_1_col_1_revised_gdp"  # specification of the main estimate with revised GDP
VINTAGES = ("revised", "unrevised", "mixed", "cannot be told")  # in display order


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return provinces grouped by GDP vintage, and the main estimate with revised GDP."""
    provinces = release.fetch_rows(
        "from reports.rpt_gdp_vintages order by list_position($vintages, vintage), province_id",
        vintages=[*VINTAGES],
    )
    by_vintage = {name: [row for row in provinces if row["vintage"] == name] for name in VINTAGES}
    return {
        "gdp_provinces": provinces,
        "provinces_by_vintage": {name: rows for name, rows in by_vintage.items() if rows},
        "provinces_withheld": [row for row in provinces if row["vintage"] is None],
        "with_revised_gdp": release.fetch_rows(
            SQL["with_revised_gdp"],
            reading=READING,
        ),
    }
