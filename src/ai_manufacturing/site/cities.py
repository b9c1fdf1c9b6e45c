"""City pages: one page on which a reader picks a city and sees its series beside region and country."""

from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import BLUE, GREY, ORANGE, TABLE, Figure, columnar, figure, in_script
from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import LANGUAGES, Catalogue

COLOURS = {"city": ORANGE, "region": BLUE, "country": GREY}


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return all cities' series, the means beside them, and an empty chart for each series."""
    cities = release.rows("select * from marts.dim_city order by city_id")
    found = release.rows(
        "select series, unit, is_delivered from marts.dim_series where scope in ('industry', 'total') "
        "and series = quantity "
        "order by scope, series"
    )
    delivered = [row["series"] for row in found if row["is_delivered"]]
    units = {row["series"]: row["unit"] for row in found}
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
                "values": columnar(_means(release, "city_id, year", delivered)),
                "regions": columnar(_means(release, "region, year", delivered)),
                "country": columnar(_means(release, "year", delivered)),
            }
        ),
        "figures": [_figure(name, units[name], text) for name in delivered],
        "missing": [row["series"] for row in found if not row["is_delivered"]],
    }


def _means(release: Release, keys: str, series: list[str]) -> pd.DataFrame:
    """Return the means of series by city and year, or by fewer keys, one column each."""
    names = ", ".join(f"'{name}'" for name in series)
    return release.frame(
        f"pivot (select {keys}, variable, avg(value) as value from marts.fct_city_year_values "
        "inner join marts.dim_city using (city_id) group by all) "
        f"on variable in ({names}) using max(value) group by {keys} order by all"
    )


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
