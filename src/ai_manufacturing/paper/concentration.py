"""How concentrated AI firms and patents are, over time, and how far in the east."""

from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import BLUE, GREEN, ORANGE, TABLE, Figure, figure, tips, words_for
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import LANGUAGES, Catalogue

SHARES = ("top_1_share", "top_5_share", "top_10_share", "east_share")
COLOURS = {"ai_firms": BLUE, "ai_patent_applications": ORANGE, "ai_patent_grants": GREEN}


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the figures, the clusters of cities, and the growth around the break."""
    data = release.frame(
        f"select measure, year, {', '.join((*SHARES, 'gini'))} from marts.fct_spatial_concentration"
        " order by all"
    )
    moran = release.frame(
        "select measure, year, statistic as morans_i, expected, p_value, city_count from"
        " estimates.est_spatial_autocorrelation where status <> 'not_estimable' order by measure,"
        " year"
    )
    return {
        "shares": [_lines(name, data, text) for name in SHARES if data[name].notna().any()],
        "gini": _lines("gini", data, text) if data["gini"].notna().any() else None,
        "moran": (
            _lines("morans_i", moran, text, also=("expected", "p_value")) if len(moran) else None
        ),
        "local": release.rows(
            "select l.measure, l.year, l.quadrant, count(*) as city_count, string_agg(c.name_en, ',"
            " ' order by l.statistic desc, c.city_id) as names_en, string_agg(c.name_zh, '、' order"
            " by l.statistic desc, c.city_id) as names_zh, any_value(l.substitutions) as"
            " substitutions from estimates.est_local_spatial_autocorrelation as l inner join"
            " marts.dim_city as c on l.city_id = c.city_id where l.p_value < 0.05 and l.year ="
            " (select max(year) from estimates.est_local_spatial_autocorrelation where status <>"
            " 'not_estimable') group by l.measure, l.year, l.quadrant order by l.measure,"
            " l.quadrant"
        ),
        "trend": release.rows("select * from marts.fct_spatial_trend order by measure, first_year"),
    }


def _lines(name: str, data: pd.DataFrame, text: Catalogue, also: tuple[str, ...] = ()) -> Figure:
    """Draw a figure of the distribution over the years, a line for each measure."""
    shown = data[["measure", "year", name, *also]].dropna()
    measures = [measure for measure in COLOURS if measure in set(shown["measure"])]
    digits = ".1%" if name in SHARES else ".3f"

    def draw(language: str) -> alt.TopLevelMixin:
        labels = {measure: text.plain_label(measure, language) for measure in measures}
        axis = alt.Axis(format="%") if name in SHARES else alt.Axis()
        colours = alt.Scale(domain=measures, range=[COLOURS[measure] for measure in measures])
        legend = alt.Legend(
            title=None, labelExpr=words_for("datum.label", labels), columns=1, labelLimit=300
        )
        others = [(f"{other}:Q", text.plain_label(other, language), ".3f") for other in also]
        lines: alt.TopLevelMixin = (
            alt.Chart(TABLE)
            .mark_line(point=alt.OverlayMarkDef(size=45))
            .encode(
                x=alt.X("year:Q", title=None, axis=alt.Axis(format="d", tickMinStep=1)),
                y=alt.Y(f"{name}:Q", title=None, axis=axis, scale=alt.Scale(zero=False)),
                color=alt.Color("measure:N", scale=colours, legend=legend),
                tooltip=tips(
                    ("year:Q", text.plain("year", language)),
                    (f"{name}:Q", text.plain_label(name, language), digits),
                    *others,
                ),
            )
            .properties(width="container", height=220)
        )
        return lines

    def describe(language: str) -> str:
        parts = []
        for measure in measures:
            line = shown[shown["measure"] == measure].iloc[[0, -1]]
            (first, last), (start, end) = (
                line["year"],
                (format(value, digits) for value in line[name]),
            )
            series = text.plain_label(measure, language)
            parts.append(
                text.plain(
                    "alt_line",
                    language,
                    series=series,
                    first=first,
                    last=last,
                    start=start,
                    end=end,
                )
            )
        return f"{text.plain_label(name, language)}: {'; '.join(parts)}"

    described = [describe(language) for language in LANGUAGES]
    return figure(
        name,
        text.label(name),
        shown,
        draw,
        described,
        text.both("gini_note") if name == "gini" else "",
    )
