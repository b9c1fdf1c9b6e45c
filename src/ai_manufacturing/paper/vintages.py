"""Which vintage of GDP the default series has in each province."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue

READING = "table_1_col_1_revised_gdp"
VINTAGES = ("revised", "unrevised", "mixed", "cannot be told")


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the provinces by vintage, and the headline with revised GDP if it is estimated."""
    provinces = release.rows(
        "select * from reports.rpt_gdp_vintages order by list_position(?, vintage), province_id",
        [*VINTAGES],
    )
    listed = {name: [row for row in provinces if row["vintage"] == name] for name in VINTAGES}
    return {
        "gdp_provinces": provinces,
        "provinces_by_vintage": {name: rows for name, rows in listed.items() if rows},
        "provinces_withheld": [row for row in provinces if row["vintage"] is None],
        "with_revised_gdp": release.rows(
            """
            select
                revised.specification_id,
                revised.estimate,
                revised.std_error,
                revised.observation_count,
                defaults.estimate as default_estimate,
                defaults.std_error as default_std_error,
                defaults.observation_count as default_observation_count
            from reports.rpt_coefficients as revised
            inner join reports.rpt_coefficients as defaults using (table_id, column_number, term)
            where
                revised.specification_id = ?
                and defaults.reading = 'default'
                and term = revised.regressor
                and revised.estimate is not null
                and defaults.estimate is not null
            """,
            READING,
        ),
    }
