"""City pages: one page on which a reader picks a city and sees its series beside region and country."""

from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import BLUE, GREY, ORANGE, TABLE, Figure, columnar, figure, in_script
from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import LANGUAGES, Catalogue

SERIES = (
    "ai_firm_count",
    "ai_firm_entry_count",
    "ai_invention_application_count",
    "ai_invention_grant_count",
    "firm_count",
    "gdp_100m_cny",
    "gdp_per_capita_cny",
    "secondary_value_added_100m_cny",
    "secondary_employment_10k",
    "manufacturing_employment_10k",
    "registered_population_10k",
    "rd_personnel_count",
    "loans_100m_cny",
    "science_spending_100m_cny",
)
COLOURS = {"city": ORANGE, "region": BLUE, "country": GREY}


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return all cities' series, the means beside them, and an empty chart for each series."""
    cities = release.rows("select * from marts.dim_city order by city_id")
    names = ", ".join(SERIES)
    means = ", ".join(f"avg({name}) as {name}" for name in SERIES)
    units = {row["series"]: row["unit"] for row in release.rows("select distinct series, unit from marts.dim_series")}
    values = release.frame(f"select city_id, year, {names} from marts.fct_city_year_panel order by city_id, year")
    delivered = [name for name in SERIES if values[name].notna().any()]
    return {
        "cities": cities,
        "values": in_script(
            {
                "series": delivered,
                "units": {name: units[name] for name in delivered},
                "cities": {city["city_id"]: [city["name_zh"], city["region"]] for city in cities},
                "region_labels": {
                    region: [text.plain_label(region, language) for language in LANGUAGES]
                    for region in {city["region"] for city in cities}
                },
                "values": columnar(values[["city_id", "year", *delivered]]),
                "regions": columnar(
                    release.frame(
                        f"select region, year, {means} from marts.fct_city_year_panel group by all order by all"
                    )
                ),
                "country": columnar(
                    release.frame(f"select year, {means} from marts.fct_city_year_panel group by all order by all")
                ),
            }
        ),
        "figures": [_figure(name, units[name], text) for name in delivered],
        "missing": [name for name in SERIES if name not in delivered],
    }


def _figure(name: str, unit: str, text: Catalogue) -> Figure:
    empty = pd.DataFrame({"who": [], "year": [], "value": []})

    def draw(language: str) -> alt.TopLevelMixin:
        names = " : ".join(f"datum.label == '{who}' ? '{text.plain(who, language)}'" for who in COLOURS)
        legend = alt.Legend(title=None, labelExpr=f"{names} : datum.label", symbolType="stroke")
        return (
            alt.Chart(TABLE)
            .mark_line(point=alt.OverlayMarkDef(size=35))
            .encode(
                x=alt.X("year:Q", title=None, axis=alt.Axis(format="d", tickMinStep=1)),
                y=alt.Y("value:Q", title=text.plain_label(unit, language), scale=alt.Scale(zero=True)),
                color=alt.Color(
                    "who:N",
                    scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
                    legend=legend,
                ),
                strokeDash=alt.StrokeDash(
                    "who:N", legend=legend, scale=alt.Scale(domain=list(COLOURS), range=[[1, 0], [6, 3], [2, 2]])
                ),
                tooltip=[
                    alt.Tooltip("year:Q", title=text.plain("year", language)),
                    alt.Tooltip("value:Q", title=text.plain_label(name, language), format=",.6~g"),
                ],
            )
            .properties(width="container", height=190)
        )

    def describe(language: str) -> str:
        return text.plain("alt_city", language, series=text.plain_label(name, language))

    return figure(name, text.label(name), empty, draw, describe)
