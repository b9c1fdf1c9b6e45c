"""Build the site's specification curve page: curve, joint tests and effect of each choice.

A reader can select a combination of choices, which the page highlights.
"""

import json
from typing import Any

import altair as alt
import pandas as pd
from scipy import stats

from ai_manufacturing.robustness.specification_curve import AXES
from ai_manufacturing.site.charts import (
    BLUE,
    CHART,
    GREEN,
    GREY,
    ORANGE,
    Figure,
    choose_ticks,
    draw_figure,
    encode_json,
    make_rule,
    make_tooltips,
)
from ai_manufacturing.site.release import Release, group_rows
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import LANGUAGES, Catalogue

SQL = load_statements(__file__)

# Width in pixels reserved for the labels of the tick rows below the curve.
LABEL_EXTENT = alt.ExprRef("windowSize()[0] < 600 ? 130 : 250")
# Colours of estimates by the clustering, city or province, with which they are significant. Each
# class also has a row of ticks below the curve.
SIGNIFICANCE_COLOURS = {"both": BLUE, "city": GREEN, "province": ORANGE, "neither": GREY}
# Height in pixels of the chart including its tick rows, and of one tick row.
HEIGHT, TICK_ROW_HEIGHT = 380, 15
# Render on a canvas, because the page would become very large with thousands of SVG elements.
EMBED_OPTIONS = {"renderer": "canvas"}
# Keys of the translated texts that curve.js needs.
SCRIPT_TEXTS = (
    "option_needs",
    "point_is",
    "no_lines",
)


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the specification curve, the effect of each choice, and the joint tests."""
    axes = release.fetch_rows("select * from reports.rpt_specification_axes order by value_order")
    if not axes:
        return {}
    for row in axes:
        row["names"] = text.find_labels_of_kind(row["axis"], row["value"])
    curve = release.fetch_frame(
        SQL["curve"],
        axes=AXES,
    )
    half_width = curve.pop("error").astype(float) * stats.t.ppf(
        0.975, curve.pop("degrees_of_freedom").astype(float)
    )
    estimates = curve["standardised_estimate"].astype(float)
    curve["conf_low"] = (estimates - half_width).round(4)
    curve["conf_high"] = (estimates + half_width).round(4)
    drawn = {axis: {*curve[axis]} for axis in AXES}
    undominated_count = int((~curve.pop("is_dominated").astype(bool)).sum())
    return {
        "figure": _draw_curve(curve, axes, text) if len(curve) else None,
        # A public copy omits some combinations, and with them all estimates of some options.
        "choices": group_rows([row for row in axes if row["value"] in drawn[row["axis"]]], "axis"),
        "script_data": _build_script_data(release, text) if len(curve) else None,
        "part_of_years": release.fetch_rows(SQL["part_of_years"]),
        "withheld_count": release.fetch_rows(SQL["withheld"])[0]["curve_count"],
        "count": len(curve),
        "undominated": undominated_count,
        "axes": axes,
        "joint": release.fetch_rows(
            """
            select *
            from estimates.est_specification_curve_joint
            order by choices, errors, statistic
            """
        ),
        "permuted_shares": _compute_permuted_shares(release),
        "missing": release.fetch_rows(SQL["missing"]),
    }


def _compute_permuted_shares(release: Release) -> dict[str, str] | None:
    """Return the shares of same-sign and significant estimates, observed and under permutation.

    They cover the combinations without dominated choices, with standard errors by province. The
    result is None without a joint test.
    """
    rows = release.fetch_rows(SQL["permuted_shares"])
    shares: dict[str, str] = {}
    for row in rows:
        kind = row["statistic"].removeprefix("share_").removeprefix("of_")
        shares |= {
            kind: f"{100 * row['observed']:.0f}",
            f"{kind}_swapped": f"{100 * row['permuted_mean']:.0f}",
            f"{kind}_p": f"{row['p_value']:.3f}",
        }
    return shares or None


def _build_script_data(release: Release, text: Catalogue) -> Any:
    """Return the JSON data that curve.js needs in addition to the curve."""
    (headline,) = release.fetch_rows(SQL["headline"])
    return encode_json(
        {
            "headline": headline,
            "isRounded": release.is_rounded,
            "axes": AXES,
            "variables": release.fetch_rows(
                """
                select distinct prices, outcome, controls, population, control_variables
                from estimates.est_specification_curve
                """
            ),
            "words": {key: text.texts[key] for key in SCRIPT_TEXTS},
        }
    )


def _draw_curve(curve: pd.DataFrame, axes: list[dict[str, Any]], text: Catalogue) -> Figure:
    """Draw the estimates sorted by size, with province-clustered confidence intervals."""
    by_axis = group_rows(axes, "axis")
    numbers = ("standardised_estimate", "estimate", "p_value_by_city", "p_value_by_province")

    def draw(language: str) -> alt.TopLevelMixin:
        place = LANGUAGES.index(language)
        labels = {}
        for name, rows in by_axis.items():
            words = {row["value"]: row["names"][place] for row in rows}
            labels[f"{name}_label"] = f"{json.dumps(words, ensure_ascii=False)}[datum['{name}']]"
        title = text.format_text("standardised_estimate", language)
        # Move the title close to the axis. The margin is wide only because of the tick row labels.
        axis = alt.Axis(
            minExtent=LABEL_EXTENT,
            maxExtent=LABEL_EXTENT,
            titleX=-40,
            values=choose_ticks(bottom, top),
        )
        y = alt.Y(
            "standardised_estimate:Q",
            title=title,
            axis=axis,
            scale=alt.Scale(domain=domain, nice=False),
        )
        points = (
            CHART.transform_calculate(**labels)
            .mark_circle(size=10, opacity=0.9)
            .encode(
                x=alt.X(
                    "rank:Q",
                    title=text.format_text("curve_rank", language),
                    scale=alt.Scale(nice=False),
                    axis=alt.Axis(tickCount=6),
                ),
                y=y,
                color=alt.Color(
                    "significant_by:N",
                    scale=alt.Scale(
                        domain=[*SIGNIFICANCE_COLOURS], range=[*SIGNIFICANCE_COLOURS.values()]
                    ),
                    legend=None,
                ),
                tooltip=make_tooltips(
                    *((f"{name}:Q", text.format_text(name, language), ".3~g") for name in numbers),
                    *(
                        (f"{axis}_label:N", text.format_text(f"axis_{axis}", language))
                        for axis in by_axis
                    ),
                ),
            )
        )
        by_province = CHART.mark_area(color=GREY, opacity=0.25)
        intervals = by_province.encode(
            x="rank:Q", y=alt.Y("conf_low:Q", title=title), y2="conf_high:Q"
        )
        layers = [intervals, make_rule(GREY, y=0), points]
        for number, (name, colour) in enumerate(SIGNIFICANCE_COLOURS.items()):
            height = alt.value(
                HEIGHT - TICK_ROW_HEIGHT * (len(SIGNIFICANCE_COLOURS) - number - 0.5)
            )
            ticks = CHART.transform_filter(f"datum.significant_by == '{name}'")
            layers.append(
                ticks.mark_tick(color=colour, height=TICK_ROW_HEIGHT - 4, thickness=1).encode(
                    x="rank:Q", y=height
                )
            )
            label_place = CHART.transform_filter("datum.rank == 1").encode(
                x=alt.value(-8), y=height
            )
            label = text.format_text(f"significant_{name}", language)
            layers.append(
                label_place.mark_text(
                    color=colour, align="right", fontSize=11, limit=LABEL_EXTENT, text=label
                )
            )
        # curve.js sets this parameter to the rank of the specification that the user selects.
        selection = alt.param(name="chosen", value=1)
        selected_rule = CHART.transform_filter("datum.rank == chosen").mark_rule(color=ORANGE)
        layers.append(selected_rule.encode(x="rank:Q"))
        return alt.layer(
            *layers, width="container", height=HEIGHT, usermeta=EMBED_OPTIONS
        ).add_params(selection)

    estimates = curve["standardised_estimate"].astype(float)
    bottom, top = curve["conf_low"].min(), curve["conf_high"].max()
    ticks = TICK_ROW_HEIGHT * (len(SIGNIFICANCE_COLOURS) + 1)
    domain = [bottom - (top - bottom) * ticks / (HEIGHT - ticks), top]
    low, median, high = (f"{value:.3f}" for value in estimates.quantile([0, 0.5, 1]))
    counts = {name: int((curve["significant_by"] == name).sum()) for name in SIGNIFICANCE_COLOURS}
    descriptions = text.format_words(
        "alt_curve", count=len(curve), low=low, median=median, high=high, **counts
    )
    return draw_figure(
        "curve",
        text.render_text("curve_title"),
        curve,
        draw,
        descriptions,
        text.render_text("curve_note"),
    )
