"""Build charts of the spatial concentration of AI firms and patents, for the maps page."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import (
    BLUE,
    GREEN,
    ORANGE,
    TABLE,
    Figure,
    build_label_expression,
    draw_figure,
    make_tooltips,
)
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import LANGUAGES, Catalogue

SQL = load_statements(__file__)

SHARES = ("top_1_share", "top_5_share", "top_10_share", "east_share")
COLOURS = {"ai_firms": BLUE, "ai_patent_applications": ORANGE, "ai_patent_grants": GREEN}


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the concentration charts, the significant city clusters and the growth rates."""
    data = release.fetch_frame(SQL["shares"])
    moran = release.fetch_frame(SQL["moran"])
    return {
        "shares": [_draw_figure(name, data, text) for name in SHARES if data[name].notna().any()],
        "gini": _draw_figure("gini", data, text) if data["gini"].notna().any() else None,
        "moran": (
            _draw_figure("morans_i", moran, text, also=("expected", "p_value"))
            if len(moran)
            else None
        ),
        "local": release.fetch_rows(SQL["local"]),
        "trend": release.fetch_rows(
            "select * from marts.fct_spatial_trend order by measure, first_year"
        ),
    }


def draw_lines(
    group: str,
    y: alt.Y,
    colours: Mapping[str, str],
    labels: dict[str, str],
    tooltip: list[alt.Tooltip],
    *,
    label_limit: int,
    height: int,
) -> alt.TopLevelMixin:
    """Return a line chart by year with one line for each value of a grouping column.

    Parameters
    ----------
    group : str
        Column that identifies the lines.
    y : alt.Y
        Vertical encoding.
    colours, labels : mapping of str to str
        Colour and legend label of each value of `group`; values without a colour are not drawn.
    tooltip : list of alt.Tooltip
        Fields of the tooltip.
    label_limit, height : int
        Maximum width of legend labels and height of the chart, in pixels.
    """
    chart: alt.TopLevelMixin = (
        alt.Chart(TABLE)
        .mark_line(point=alt.OverlayMarkDef(size=45))
        .encode(
            x=alt.X("year:Q", title=None).axis(format="d", tickMinStep=1),
            y=y,
            color=alt.Color(f"{group}:N")
            .scale(domain=[*colours], range=[*colours.values()])
            .legend(
                columns=1,
                labelExpr=build_label_expression("datum.label", labels),
                labelLimit=label_limit,
                title=None,
            ),
            tooltip=tooltip,
        )
        .properties(width="container", height=height)
    )
    return chart


def _draw_figure(
    name: str, data: pd.DataFrame, text: Catalogue, also: tuple[str, ...] = ()
) -> Figure:
    """Draw one concentration statistic by year, with a line each for AI firms and patents."""
    rows = data[["measure", "year", name, *also]].dropna()
    measures = set(rows["measure"])
    colours = {measure: COLOURS[measure] for measure in COLOURS if measure in measures}
    digits = ".1%" if name in SHARES else ".3f"

    def draw(language: str) -> alt.TopLevelMixin:
        axis = alt.Axis(format="%") if name in SHARES else alt.Axis()
        others = [(f"{other}:Q", text.find_label(other, language), ".3f") for other in also]
        return draw_lines(
            "measure",
            alt.Y(f"{name}:Q", title=None, axis=axis).scale(zero=False),
            colours,
            {measure: text.find_label(measure, language) for measure in colours},
            make_tooltips(
                ("year:Q", text.format_text("year", language)),
                (f"{name}:Q", text.find_label(name, language), digits),
                *others,
            ),
            label_limit=300,
            height=220,
        )

    def describe(language: str) -> str:
        parts = []
        for measure in colours:
            points = rows[rows["measure"] == measure]
            first, last = points.iloc[0], points.iloc[-1]
            parts.append(
                text.format_text(
                    "alt_line",
                    language,
                    series=text.find_label(measure, language),
                    first=first["year"],
                    last=last["year"],
                    start=format(first[name], digits),
                    end=format(last[name], digits),
                )
            )
        return f"{text.find_label(name, language)}: {'; '.join(parts)}"

    note = text.render_text("gini_note") if name == "gini" else ""
    return draw_figure(name, text.render_label(name), rows, draw, [*map(describe, LANGUAGES)], note)
