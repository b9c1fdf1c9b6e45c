"""AI firms and patents by city and year on a map."""

import json
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from ai_manufacturing.site.charts import CLASSES, TABLE, figure, in_script
from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import Catalogue

# The paper's classes meet at 100, which spatial_classes.csv counts into the upper one.
PAPER_THRESHOLDS = (99, 200)
BOUNDARIES = Path(__file__).parent / "boundaries" / "provinces.geojson"


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the map, the outlines it is drawn on, and the measures that were not delivered."""
    data = release.frame(
        "select d.measure, d.year, d.city_id, d.name_zh, c.province_name_zh, c.longitude, c.latitude, d.measure_count, "
        "d.national_rank from marts.fct_spatial_distribution as d "
        "inner join marts.dim_city as c on d.city_id = c.city_id where d.measure_count is not null "
        "order by d.measure, d.year, d.measure_count desc"
    )
    outlines = json.loads(BOUNDARIES.read_text(encoding="utf-8"))["features"]
    delivered = sorted(data["measure"].unique())
    thresholds = {
        name: _thirds(data[data["measure"] == name]) if name in text.substituted else PAPER_THRESHOLDS
        for name in delivered
    }
    data["class"] = [
        _class(count, thresholds[name]) for name, count in zip(data["measure"], data["measure_count"], strict=True)
    ]
    return {
        "figure": _map(data, thresholds, text) if delivered else None,
        "outlines": in_script(outlines),
        "missing": not_delivered(release),
        "other_classes": Markup(", ").join(text.label(name) for name in delivered if name in text.substituted),
    }


def _thirds(data: pd.DataFrame) -> tuple[int, int]:
    """Return where the cities with any fall into thirds in the last year; the paper's classes are of other counts."""
    newest = data.loc[data["year"] == data["year"].max(), "measure_count"].astype(int)
    lower, upper = newest[newest > 0].quantile([1 / 3, 2 / 3], interpolation="lower")
    return int(lower), int(upper)


def _class(count: int, thresholds: tuple[int, int]) -> int:
    """Return the class of a count, from 0 for none to 3 for those above the upper threshold."""
    return 0 if count == 0 else 1 + sum(count > threshold for threshold in thresholds)


def class_labels(thresholds: tuple[int, int]) -> list[str]:
    """Return the classes as figures."""
    lower, upper = thresholds
    return ["0", f"1–{lower}", f"{lower + 1}–{upper}", f"> {upper}"]


def _map(data: pd.DataFrame, thresholds: dict[str, tuple[int, int]], text: Catalogue) -> Any:
    measures = [*thresholds]
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
        labels = f"({json.dumps({name: class_labels(thresholds[name]) for name in measures})})[measure][datum.value]"
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
                    "class:O",
                    scale=alt.Scale(domain=[*range(len(CLASSES))], range=[*CLASSES]),
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
    """Return the measures and years that cannot be estimated, with the reason where any city has a count."""
    return release.rows(
        "select measure, case when city_count > 0 then reason end as reason, "
        "case when city_count > 0 then reason_zh end as reason_zh, min(year) as first_year, max(year) as last_year "
        "from estimates.est_spatial_autocorrelation where status = 'not_estimable' group by all order by all"
    )
