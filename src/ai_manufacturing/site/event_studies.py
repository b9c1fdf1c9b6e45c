"""Build the site's event studies page, with a chart for each event study in the paper.

The charts share their axes, and each has a drop-down list of alternative specifications.
"""

import json
from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import (
    BLUE,
    CHART,
    GREY,
    ORANGE,
    Figure,
    draw_figure,
    make_drop_down,
    make_rule,
    make_tooltips,
)
from ai_manufacturing.site.release import Release, group_rows
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue

SQL = load_statements(__file__)


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return a chart and the specifications for each event study in the paper."""
    studies = release.fetch_rows(SQL["studies"])
    if not studies:
        return {}
    points = release.fetch_frame(SQL["points"])
    other_sign = release.fetch_groups(
        "column_id",
        SQL["other_sign"],
    )
    for row in [row for rows in other_sign.values() for row in rows]:
        row["shown"] = {
            name: f"{value:.3f}" for name, value in row.items() if isinstance(value, float)
        }
    common_ranges = _compute_ranges(points[points["reading"] == "default"], "transform")
    columns = []
    for name, rows in group_rows(studies, "column_id").items():
        readings = [row for row in rows if row["status"] != "not_estimable"]
        own = points[points["column_id"] == name]
        columns.append(
            {
                "id": name,
                "main": rows[0],
                "readings": readings,
                "missing": [row for row in rows if row["status"] == "not_estimable"],
                "other_sign": other_sign.get(name, []),
                "figure": (
                    _draw_column(f"event_study_{name}", readings, own, common_ranges, text)
                    if readings
                    else None
                ),
            }
        )
    return {"columns": columns}


def _compute_ranges(points: pd.DataFrame, key: str) -> dict[Any, list[Any]]:
    """Return the minimum and maximum plotted value for each value of the column `key`."""
    reach = points[["estimate", "conf_low", "conf_high", "printed_estimate"]].astype(float)
    ends = pd.DataFrame({"low": reach.min(axis=1), "high": reach.max(axis=1)})
    by_key = ends.groupby(points[key]).agg({"low": "min", "high": "max"})
    return by_key.T.to_dict("list")


def _draw_column(
    id_: str,
    studies: list[dict[str, Any]],
    points: pd.DataFrame,
    common_ranges: dict[str, list[float]],
    text: Catalogue,
) -> Figure:
    """Draw the event study of one table column, with a drop-down list of specifications.

    Specifications with the same transform as a printed column share the axis range of the printed
    columns.
    """
    names = [study["specification_id"] for study in studies]
    own = _compute_ranges(points, "specification_id")
    domains = {}
    for study in studies:
        low, high = own[study["specification_id"]]
        common_low, common_high = common_ranges.get(study["transform"], (low, high))
        domains[study["specification_id"]] = [min(low, common_low, 0), max(high, common_high, 0)]
    chart_points = points.drop(columns=["column_id", "transform", "reading"])
    years = [int(points["event_time"].min()), int(points["event_time"].max())]
    has_printed = chart_points["printed_estimate"].notna().any()

    def draw(language: str) -> alt.TopLevelMixin:
        keys = ("years_since_event", "estimate", "interval", "printed", "reading")
        words = {key: text.format_text(key, language) for key in keys}
        labels = [
            f"{text.find_label(study['reading'], language)}"
            f" ({text.find_label(study['transform'], language)})"
            for study in studies
        ]
        reading = make_drop_down("reading", names, labels, names[0], words["reading"])
        low, high = (alt.ExprRef(f"({json.dumps(domains)})[reading][{end}]") for end in (0, 1))
        y = alt.Y(
            "estimate:Q", title=words["estimate"], scale=alt.Scale(domain=[low, high], nice=True)
        )
        base = CHART.transform_filter("datum.specification_id == reading").encode(
            x=alt.X(
                "event_time:Q",
                title=words["years_since_event"],
                scale=alt.Scale(domain=years, nice=False, padding=10),
                axis=alt.Axis(tickMinStep=1, format="d", labelFlush=False),
            )
        )
        tooltip = make_tooltips(
            ("event_time:Q", words["years_since_event"]),
            ("estimate:Q", words["estimate"], ".4~g"),
            ("conf_low:Q", words["interval"] + " ↓", ".4~g"),
            ("conf_high:Q", words["interval"] + " ↑", ".4~g"),
        )
        intervals = base.mark_rule(color=BLUE, strokeWidth=2)
        layers = [
            make_rule(GREY, y=0),
            make_rule(GREY, 3, 3, x=-0.5),
            intervals.encode(y=alt.Y("conf_low:Q", title=words["estimate"]), y2="conf_high:Q"),
            base.mark_line(color=BLUE, strokeWidth=1, opacity=0.5).encode(y=y),
            base.mark_point(color=BLUE, filled=True, size=55, opacity=1).encode(
                y=y, tooltip=tooltip
            ),
        ]
        if has_printed:
            diamonds = base.mark_point(color=ORANGE, shape="diamond", size=55, xOffset=5, opacity=1)
            under = make_tooltips(("printed_estimate:Q", words["printed"], ".4~g"))
            layers.append(
                diamonds.encode(
                    y=alt.Y("printed_estimate:Q", title=words["estimate"]), tooltip=under
                )
            )
        chart = alt.layer(*layers).add_params(reading)
        return chart.properties(width="container", height=240, usermeta={"state": {"reading": id_}})

    first = chart_points[chart_points["specification_id"] == names[0]]
    after = first[first["event_time"] >= 0].dropna(subset=["conf_low"])
    apart = after[(after["conf_low"] > 0) | (after["conf_high"] < 0)]
    descriptions = text.format_words(
        "alt_event_study",
        first=first["event_time"].min(),
        last=first["event_time"].max(),
        apart=len(apart),
        after=len(after),
    )
    title = text.render_name(studies[0]["outcome_label_en"], studies[0]["outcome_label_zh"])
    return draw_figure(id_, title, chart_points, draw, descriptions)
