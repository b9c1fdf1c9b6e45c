"""How concentrated AI firms and patents are, over time, and how far in the east."""

from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import BLUE, GREEN, ORANGE, TABLE, Figure, figure
from ai_manufacturing.site.maps import not_delivered
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue

SHARES = ("top_1_share", "top_5_share", "top_10_share")
INDICES = ("gini", "theil", "theil_between_regions", "theil_within_regions")
GRADIENT = ("east_share", "mean_longitude")
NOTES = {"gini": "gini_note", "theil": "theil_note"}
COLOURS = {"ai_firms": BLUE, "ai_patent_applications": ORANGE, "ai_patent_grants": GREEN}


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the figures and the growth before and after the break."""
    data = release.frame(
        "select measure, year, national_count, city_count, "
        f"{', '.join((*SHARES, *INDICES, *GRADIENT))} from marts.fct_spatial_concentration order by measure, year"
    )
    moran = release.frame(
        "select measure, year, statistic as morans_i, expected, p_value, city_count "
        "from estimates.est_spatial_autocorrelation where status <> 'not_estimable' order by measure, year"
    )
    return {
        "shares": [_lines(name, data, text) for name in SHARES if data[name].notna().any()],
        "indices": [_lines(name, data, text) for name in INDICES if data[name].notna().any()],
        "gradient": [_lines(name, data, text) for name in GRADIENT if data[name].notna().any()],
        "moran": _lines("morans_i", moran, text, also=("expected", "p_value")) if len(moran) else None,
        "local": release.rows(
            "select l.measure, l.year, l.quadrant, count(*) as city_count, "
            "string_agg(c.name_en, ', ' order by l.statistic desc, c.city_id) as names_en, "
            "string_agg(c.name_zh, '、' order by l.statistic desc, c.city_id) as names_zh, "
            "any_value(l.substitutions) as substitutions from estimates.est_local_spatial_autocorrelation as l "
            "inner join marts.dim_city as c on l.city_id = c.city_id "
            "where l.p_value < 0.05 and l.year = "
            "(select max(year) from estimates.est_local_spatial_autocorrelation where status <> 'not_estimable') "
            "group by l.measure, l.year, l.quadrant order by l.measure, l.quadrant"
        ),
        "trend": release.rows("select * from marts.fct_spatial_trend order by measure, first_year"),
        "missing": not_delivered(release),
    }


def _lines(name: str, data: pd.DataFrame, text: Catalogue, also: tuple[str, ...] = ()) -> Figure:
    shown = data[["measure", "year", name, *also]].dropna()
    is_share = name.endswith("_share")
    measures = [measure for measure in COLOURS if measure in set(shown["measure"])]

    def draw(language: str) -> alt.TopLevelMixin:
        labels = " : ".join(
            f"datum.label == '{measure}' ? '{text.plain_label(measure, language)}'" for measure in measures
        )
        format_ = ".1%" if is_share else ".3f"
        axis = alt.Axis(format="%") if is_share else alt.Axis()
        return (
            alt.Chart(TABLE)
            .mark_line(point=alt.OverlayMarkDef(size=45))
            .encode(
                x=alt.X("year:Q", title=None, axis=alt.Axis(format="d", tickMinStep=1)),
                y=alt.Y(f"{name}:Q", title=None, axis=axis, scale=alt.Scale(zero=False)),
                color=alt.Color(
                    "measure:N",
                    scale=alt.Scale(domain=measures, range=[COLOURS[measure] for measure in measures]),
                    legend=alt.Legend(title=None, labelExpr=f"{labels} : datum.label", columns=1, labelLimit=300),
                ),
                tooltip=[
                    alt.Tooltip("year:Q", title=text.plain("year", language)),
                    alt.Tooltip(f"{name}:Q", title=text.plain_label(name, language), format=format_),
                    *(
                        alt.Tooltip(f"{other}:Q", title=text.plain_label(other, language), format=".3f")
                        for other in also
                    ),
                ],
            )
            .properties(width="container", height=220)
        )

    def describe(language: str) -> str:
        parts = []
        for measure in measures:
            line = shown[shown["measure"] == measure]
            values = [f"{value:.1%}" if is_share else f"{value:.3f}" for value in line[name].iloc[[0, -1]]]
            parts.append(
                text.plain(
                    "alt_line",
                    language,
                    series=text.plain_label(measure, language),
                    first=line["year"].iloc[0],
                    last=line["year"].iloc[-1],
                    start=values[0],
                    end=values[1],
                )
            )
        return f"{text.plain_label(name, language)}: {'; '.join(parts)}"

    note = text.both(NOTES[name]) if name in NOTES else ""
    return figure(name, text.label(name), shown, draw, describe, note)
