"""Build the site's maps page: AI firms and patents by city and year, and spatial clusters."""

import json
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from ai_manufacturing.paper import concentration
from ai_manufacturing.site.charts import (
    BLUE,
    CLASSES,
    TABLE,
    Figure,
    draw_figure,
    encode_json,
    make_drop_down,
    make_tooltips,
)
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import LANGUAGES, Catalogue

SQL = load_statements(__file__)

# Upper bounds of the classes 1–99 and 100–200. The classes printed in the paper overlap at 100,
# which seeds/spatial_classes.csv assigns to the upper class.
PAPER_THRESHOLDS = (99, 200)
BOUNDARIES = Path(__file__).parent / "boundaries" / "provinces.geojson"
# Columns that can be mapped: count, count per 10,000 firms, and the measure of equation 2.
QUANTITIES = ("measure_count", "per_10k_firms", "m_ai")
# Colours of local Moran clusters, distinguishable in greyscale. HL, for example, is a city with a
# high value and neighbours with low values; NS is not significant.
QUADRANTS = {"HH": "#a3161a", "HL": "#e9a08c", "LH": "#9cc3e6", "LL": BLUE, "NS": "#dfe2e6"}


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the template variables of the maps page: maps, province outlines and missing data."""
    data = release.fetch_frame(SQL["counts"])
    clusters = release.fetch_frame(SQL["clusters"])
    cities = release.fetch_frame(SQL["cities"])
    measures = sorted(data["measure"].unique())
    return {
        "figure": _draw_map(data, cities, text) if measures else None,
        "clusters": _draw_clusters(clusters, cities, text) if len(clusters) else None,
        "outlines": encode_json(json.loads(BOUNDARIES.read_text(encoding="utf-8"))["features"]),
        # The column `reason` is null for measures without any data.
        "missing": release.fetch_rows(SQL["missing"]),
        "withheld": release.find_withheld_providers("marts.fct_spatial_distribution"),
        "concentration": concentration.build_content(release, text),
        "other_classes": (
            Markup(", ").join(
                text.render_label(name) for name in measures if name in text.substitute_labels
            )
        ),
    }


def _compute_breaks(rows: pd.DataFrame) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the class boundaries of each mapped quantity, from the paper and by terciles.

    The paper defines classes for counts only; other quantities use terciles in both cases.
    """
    newest = rows[rows["year"] == rows["year"].max()]
    breaks: dict[str, dict[str, tuple[float, float]]] = {}
    for quantity in QUANTITIES:
        values = newest[quantity].dropna().astype(float)
        lower, upper = values[values > 0].quantile([1 / 3, 2 / 3], interpolation="lower")
        if quantity == "measure_count":
            breaks[quantity] = {"paper": PAPER_THRESHOLDS, "thirds": (int(lower), int(upper))}
        else:
            breaks[quantity] = dict.fromkeys(("paper", "thirds"), (lower, upper))
    return breaks


def format_class_labels(thresholds: tuple[float, float]) -> list[str]:
    """Return the legend labels of the four map classes, such as "0" and "1–99"."""
    lower, upper = thresholds
    if isinstance(lower, int):
        return ["0", f"1–{lower}", f"{lower + 1}–{upper}", f"> {upper}"]
    low, high = (f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for value in thresholds)
    return ["0", f"≤ {low}", f"{low}–{high}", f"> {high}"]


def _draw_on_outlines(
    circles: alt.Chart,
    tooltips: list[tuple[str, ...]],
    choices: list[Any],
    language: str,
    text: Catalogue,
) -> alt.LayerChart | alt.FacetChart:
    """Overlay city circles on the province outlines, and add controls and tooltips."""
    land = alt.Chart(alt.NamedData(name="outlines")).mark_geoshape(
        fill="#f6f4ef", stroke="#9aa0a6", strokeWidth=0.6
    )
    cities = circles.encode(
        longitude="longitude:Q",
        latitude="latitude:Q",
        tooltip=make_tooltips(
            (f"name_{language}:N", text.format_text("city", language)),
            (f"province_name_{language}:N", text.format_text("province", language)),
            ("year:Q", text.format_text("year", language)),
            *tooltips,
        ),
    )
    return (
        alt.layer(land, cities)
        .add_params(*choices)
        .project(type="conicEqualArea", parallels=[25, 47], rotate=[-105, 0, 0])
        .properties(
            width="container",
            height=560,
            usermeta={"aspect": 0.8, "state": {choice.name: choice.name for choice in choices}},
        )
    )


def _draw_map(data: pd.DataFrame, places: pd.DataFrame, text: Catalogue) -> Figure:
    quantities = [name for name in QUANTITIES if data[name].notna().any()]
    first, last = data["year"].min(), data["year"].max()
    breaks, most = {}, {}
    labels: dict[str, dict[str, Any]] = {}
    for measure, rows in data.groupby("measure"):
        breaks[measure] = _compute_breaks(rows)
        labels[measure] = {}
        for quantity, quantity_breaks in breaks[measure].items():
            labels[measure][quantity] = {
                classes: format_class_labels(bounds) for classes, bounds in quantity_breaks.items()
            }
        # Scale the circles by the maximum over all years, so that the year slider shows growth.
        most[measure] = rows[quantities].astype(float).max().replace(0, 1).to_dict()
    measures = [*breaks]

    def draw(language: str) -> alt.TopLevelMixin:
        def words(*keys: str) -> list[str]:
            return [text.format_text(key, language) for key in keys]

        shown_names = words(*(f"map_{name}" for name in quantities))
        year, shown_label, classes, colours, sizes, rank = words(
            "year", "shown", "classes", "count_in_city", "circle_area", "rank"
        )
        choices = [
            alt.param(
                name="year",
                value=last,
                bind=alt.binding_range(min=first, max=last, step=1, name=year),
            ),
            _make_measure_drop_down("measure", measures, language, text),
            make_drop_down("shown", quantities, shown_names, quantities[0], shown_label),
            make_drop_down(
                "classes",
                ["paper", "thirds"],
                words("classes_paper", "classes_thirds"),
                "thirds" if measures[0] in text.substitute_labels else "paper",
                classes,
            ),
        ]
        bounds = "breaks[measure][shown][classes]"
        circles = (
            alt.Chart(TABLE)
            .transform_filter(
                "datum.year == year && datum.measure == measure && isValid(datum[shown])"
            )
            .transform_calculate(
                value="datum[shown]",
                class_=(
                    f"datum[shown] == 0 ? 0 : 1 + (datum[shown] > {bounds}[0]) + (datum[shown] >"
                    f" {bounds}[1])"
                ),
            )
            .mark_circle(stroke="#333", strokeWidth=0.5, fillOpacity=0.55)
            .encode(
                color=alt.Color("class_:O")
                .scale(domain=[*range(len(CLASSES))], range=[*CLASSES])
                .legend(
                    columns=4,
                    labelExpr=f"({json.dumps(labels)})[measure][shown][classes][datum.value]",
                    title=colours,
                ),
                size=alt.Size("value:Q")
                .scale(
                    domainMax=alt.ExprRef("most[measure][shown]"),
                    domainMin=0,
                    rangeMax=alt.ExprRef("min(900, max(250, width))"),
                    rangeMin=10,
                )
                .legend(
                    orient="bottom",  # legends side by side do not fit on a phone
                    symbolFillColor="#fff",
                    symbolStrokeColor="#333",
                    tickCount=3,
                    title=sizes,
                ),
                order=alt.Order("value:Q", sort="descending"),
            )
        )
        numbers = [
            (f"{name}:Q", title, ",.6~g")
            for name, title in zip(quantities, shown_names, strict=True)
        ]
        chart = _draw_on_outlines(
            circles, [*numbers, ("national_rank:Q", rank)], choices, language, text
        )
        return chart.add_params(
            alt.param(name="breaks", value=breaks), alt.param(name="most", value=most)
        )

    newest = data[(data["year"] == last) & (data["measure"] == measures[0])]
    top = newest.iloc[0]
    descriptions = [
        text.format_text(
            "alt_map",
            language,
            measure=text.find_label(measures[0], language),
            year=last,
            city=places.set_index("city_id").loc[top["city_id"], f"name_{language}"],
            count=top["measure_count"],
            none=(newest["measure_count"] == 0).sum(),
            cities=len(newest),
        )
        for language in LANGUAGES
    ]
    return draw_figure(
        "map", text.render_text("map_title"), data, draw, descriptions, shared=places
    )


def _make_measure_drop_down(name: str, measures: list[str], language: str, text: Catalogue) -> Any:
    """Return a chart parameter with a drop-down list of measures."""
    labels = [text.find_label(measure, language) for measure in measures]
    return make_drop_down(
        name, measures, labels, measures[0], text.format_text("measure", language)
    )


def _draw_clusters(data: pd.DataFrame, places: pd.DataFrame, text: Catalogue) -> Figure:
    measures, years = (sorted(data[name].unique()) for name in ("measure", "year"))

    def draw(language: str) -> alt.TopLevelMixin:
        names = {name: text.format_text(f"cluster_{name}", language) for name in QUADRANTS}
        year = make_drop_down(
            "cluster_year",
            years,
            [*map(str, years)],
            years[-1],
            text.format_text("year", language),
        )
        label = f"({json.dumps(names)})[datum."
        circles = (
            alt.Chart(TABLE)
            .transform_filter("datum.year == cluster_year && datum.measure == cluster_measure")
            .transform_calculate(name=f"{label}cluster]")
            .mark_circle(stroke="#333", strokeWidth=0.3, opacity=0.95, size=70)
            .encode(
                color=alt.Color("cluster:N")
                .scale(domain=[*QUADRANTS], range=[*QUADRANTS.values()])
                .legend(columns=1, labelExpr=f"{label}value]", labelLimit=320, title=None),
                order=alt.Order("cluster:N", sort="descending"),
            )
        )
        tooltips = [
            ("name:N", text.format_text("cluster", language)),
            ("local_morans_i:Q", text.format_text("local_morans_i", language), ".3f"),
            ("p_value:Q", text.find_label("p_value", language), ".3f"),
        ]
        measure = _make_measure_drop_down("cluster_measure", measures, language, text)
        return _draw_on_outlines(circles, tooltips, [year, measure], language, text)

    newest = data[(data["year"] == years[-1]) & (data["measure"] == measures[0])]
    counts = {name.lower(): (newest["cluster"] == name).sum() for name in QUADRANTS}
    descriptions = [
        text.format_text(
            "alt_clusters",
            language,
            measure=text.find_label(measures[0], language),
            year=years[-1],
            **counts,
        )
        for language in LANGUAGES
    ]
    note = text.render_text("clusters_note")
    return draw_figure(
        "clusters",
        text.render_text("clusters_title"),
        data,
        draw,
        descriptions,
        note,
        shared=places,
    )
