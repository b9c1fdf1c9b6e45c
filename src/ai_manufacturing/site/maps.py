"""AI firms and patents by city and year on a map."""

import json
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import CLASSES, TABLE, figure, in_script
from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import Catalogue

BOUNDARIES = Path(__file__).parent / "boundaries" / "provinces.geojson"


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the map, the outlines it is drawn on, and the measures that were not delivered."""
    data = release.frame(
        "select d.measure, d.year, d.city_id, d.name_zh, c.province_name_zh, c.longitude, c.latitude, d.measure_count, "
        "d.national_rank, d.class from marts.fct_spatial_distribution as d "
        "inner join marts.dim_city as c on d.city_id = c.city_id where d.measure_count is not null "
        "order by d.measure, d.year, d.measure_count desc"
    )
    outlines = json.loads(BOUNDARIES.read_text(encoding="utf-8"))["features"]
    delivered = sorted(data["measure"].unique())
    return {
        "figure": _map(data, delivered, text) if delivered else None,
        "outlines": in_script(outlines),
        "missing": not_delivered(release),
        "stand_ins": stand_ins(release),
    }


def _map(data: pd.DataFrame, measures: list[str], text: Catalogue) -> Any:
    first, last = int(data["year"].min()), int(data["year"].max())
    most_by_measure = {name: int(count) for name, count in data.groupby("measure")["measure_count"].max().items()}

    def draw(language: str) -> alt.TopLevelMixin:
        year = alt.param(
            name="year",
            value=last,
            bind=alt.binding_range(min=first, max=last, step=1, name=text.plain("year", language)),
        )
        measure = alt.param(
            name="measure",
            value=measures[0],
            bind=alt.binding_select(
                options=measures,
                labels=[text.plain_label(name, language) for name in measures],
                name=text.plain("measure", language),
            ),
        )
        labels = " : ".join(f"datum.label == '{name}' ? '{class_label(name)}'" for name in CLASSES) + " : datum.label"
        largest = alt.ExprRef("min(420, max(80, width * 0.45))")
        # One scale for all years, so that the slider shows growth.
        most = alt.ExprRef(f"({json.dumps(most_by_measure)})[measure]")
        land = alt.Chart(alt.NamedData(name="outlines")).mark_geoshape(
            fill="#f6f4ef", stroke="#9aa0a6", strokeWidth=0.6
        )
        cities = (
            alt.Chart(TABLE)
            .transform_filter("datum.year == year && datum.measure == measure")
            .mark_circle(stroke="#333", strokeWidth=0.3, opacity=0.9)
            .encode(
                longitude="longitude:Q",
                latitude="latitude:Q",
                color=alt.Color(
                    "class:N",
                    scale=alt.Scale(domain=list(CLASSES), range=list(CLASSES.values())),
                    legend=alt.Legend(title=text.plain("count_in_city", language), labelExpr=labels, columns=4),
                ),
                size=alt.Size(
                    "measure_count:Q",
                    scale=alt.Scale(type="sqrt", domainMin=0, domainMax=most, rangeMin=12, rangeMax=largest),
                    legend=None,
                ),
                order=alt.Order("measure_count:Q", sort="descending"),
                tooltip=[
                    alt.Tooltip("name_zh:N", title=text.plain("city", language)),
                    alt.Tooltip("province_name_zh:N", title=text.plain("province", language)),
                    alt.Tooltip("year:Q", title=text.plain("year", language)),
                    alt.Tooltip("measure_count:Q", title=text.plain("count", language)),
                    alt.Tooltip("national_rank:Q", title=text.plain("rank", language)),
                ],
            )
        )
        return (
            alt.layer(land, cities)
            .add_params(year, measure)
            .project(type="conicEqualArea", parallels=[25, 47], rotate=[-105, 0, 0])
            .properties(width="container", height=560, usermeta={"aspect": 0.8})
        )

    def describe(language: str) -> str:
        newest = data[(data["year"] == last) & (data["measure"] == measures[0])]
        top = newest.iloc[0]
        return text.plain(
            "alt_map",
            language,
            measure=text.plain_label(measures[0], language),
            year=last,
            city=top["name_zh"],
            count=top["measure_count"],
            none=int((newest["measure_count"] == 0).sum()),
            cities=len(newest),
        )

    return figure("map", text.both("map_title"), data, draw, describe)


def not_delivered(release: Release) -> list[dict[str, Any]]:
    """Return the measures and years without a count, with the reason, its year left out."""
    return release.rows(
        "select measure, regexp_replace(reason, ' in \\d{4}', '') as reason, min(year) as first_year, "
        "max(year) as last_year from estimates.est_spatial_autocorrelation where status = 'not_estimable' "
        "group by all order by all"
    )


def stand_ins(release: Release) -> list[dict[str, Any]]:
    """Return what stands in for what among the counts that are drawn."""
    return release.rows(
        "select series, substitution from marts.dim_series where scope = 'industry' and substitution is not null "
        "and series in ('ai_firm_count', 'ai_invention_application_count', 'ai_invention_grant_count') order by series"
    )


def class_label(name: str) -> str:
    """Return a class of the paper as figures: `100_to_200` as 100–200, `over_200` as > 200."""
    return name.replace("over_", "> ").replace("_to_", "–").replace("zero", "0")
