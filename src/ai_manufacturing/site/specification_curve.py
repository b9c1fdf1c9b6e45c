"""All readings of the headline at once: the specification curve, its joint tests, and what moves it."""

import json
from typing import Any

import altair as alt
import pandas as pd
from scipy import stats

from ai_manufacturing.site.charts import BLUE, GREEN, GREY, ORANGE, TABLE, Figure, figure, squares
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import LANGUAGES, Catalogue, pair

BINS = 48  # neighbours on the curve that share a cell of the choices
# The room that names of choices take, in the curve and below it, so that both have the same ranks above each other.
EXTENT = alt.ExprRef("windowSize()[0] < 600 ? 130 : 250")
COLUMNS = alt.ExprRef("windowSize()[0] < 600 ? 1 : 2")
# By which errors an estimate differs from zero, each with its own colour and shape.
MARKS = {
    "both": (BLUE, "circle"),
    "city": (GREEN, "triangle-up"),
    "province": (ORANGE, "square"),
    "neither": (GREY, "cross"),
}


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the curve, its joint tests and its axes."""
    return {
        **curve(release, text),
        "joint": release.rows(
            "select * from estimates.est_specification_curve_joint order by choices, errors, statistic"
        ),
        "missing": release.rows(
            "select reason, reason_zh, count(distinct curve_id) as specification_count "
            "from estimates.est_specification_curve where status = 'not_estimable' "
            "group by all order by specification_count desc, reason"
        ),
    }


def curve(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the curve and its choices as figures, how many specifications it has, and what each choice does."""
    axes = release.rows("select * from reports.rpt_specification_axes order by value_order")
    names = list(dict.fromkeys(row["axis"] for row in axes))
    found = release.frame(
        f"select row_number() over (order by min(standardised_estimate), curve_id) as rank, {', '.join(names)}, "
        "bool_or(is_dominated) as is_dominated, "
        "min(standardised_estimate) as standardised_estimate, min(estimate) as estimate, "
        "min(case when errors = 'city' then p_value end) as p_value_by_city, "
        "min(case when errors = 'province' then p_value end) as p_value_by_province, "
        "min(case when errors = 'province' then std_error * standardised_estimate / nullif(estimate, 0) end) as error, "
        "min(case when errors = 'province' then degrees_of_freedom end) as degrees_of_freedom, "
        "case when bool_and(p_value < 0.05) then 'both' "
        "else coalesce(min(case when p_value < 0.05 then errors end), 'neither') end as significant_by "
        "from estimates.est_specification_curve where status <> 'not_estimable' "
        f"group by curve_id, {', '.join(names)} order by rank"
    )
    half = stats.t.ppf(0.975, found.pop("degrees_of_freedom").astype(float)) * found.pop("error").astype(float)
    for name, sign in (("conf_low", -1), ("conf_high", 1)):
        found[name] = (found["standardised_estimate"].astype(float) + sign * half).round(4).astype(object)
    undominated = int((~found.pop("is_dominated").astype(bool)).sum())
    named = [{**row, "name": pair(*(_choice(row, text, language) for language in LANGUAGES))} for row in axes]
    return {
        "figure": _figure(found, axes, text) if len(found) else None,
        "choices": _choices(found, axes, text) if len(found) else None,
        "count": len(found),
        "undominated": undominated,
        "axes": named,
    }


def _choice(row: dict[str, Any], text: Catalogue, language: str) -> str:
    """Return what a value of an axis is called: by both where its name alone has another meaning elsewhere."""
    both = f"{row['axis']}={row['value']}"
    return text.plain_label(both if both in text.labels else row["value"], language)


def _figure(curve: pd.DataFrame, axes: list[dict[str, Any]], text: Catalogue) -> Figure:
    names = list(dict.fromkeys(row["axis"] for row in axes))

    def draw(language: str) -> alt.TopLevelMixin:
        words = {
            axis: {row["value"]: _choice(row, text, language) for row in axes if row["axis"] == axis} for axis in names
        }
        labels = " : ".join(
            f"datum.label == '{name}' ? '{text.plain(f'significant_{name}', language)}'" for name in MARKS
        )
        legend = alt.Legend(title=None, labelExpr=f"{labels} : datum.label", columns=COLUMNS, labelLimit=300)
        domain = list(MARKS)
        numbers = ("standardised_estimate", "estimate", "p_value_by_city", "p_value_by_province")
        points = (
            alt.Chart(TABLE)
            .transform_calculate(
                **{f"{axis}_label": f"{json.dumps(words[axis], ensure_ascii=False)}[datum['{axis}']]" for axis in names}
            )
            .mark_point(size=14, opacity=0.8, strokeWidth=1)
            .encode(
                x=alt.X(
                    "rank:Q",
                    title=text.plain("curve_rank", language),
                    scale=alt.Scale(nice=False),
                    axis=alt.Axis(tickCount=6),
                ),
                y=alt.Y(
                    "standardised_estimate:Q",
                    title=text.plain("standardised_estimate", language),
                    axis=alt.Axis(minExtent=EXTENT, maxExtent=EXTENT),
                ),
                color=alt.Color(
                    "significant_by:N",
                    scale=alt.Scale(domain=domain, range=[MARKS[name][0] for name in domain]),
                    legend=legend,
                ),
                shape=alt.Shape(
                    "significant_by:N",
                    scale=alt.Scale(domain=domain, range=[MARKS[name][1] for name in domain]),
                    legend=legend,
                ),
                tooltip=[
                    *(alt.Tooltip(f"{name}:Q", title=text.plain(name, language), format=".3~g") for name in numbers),
                    *(alt.Tooltip(f"{axis}_label:N", title=text.plain(f"axis_{axis}", language)) for axis in names),
                ],
            )
        )
        zero = alt.Chart(TABLE).mark_rule(color=GREY).encode(y=alt.YDatum(0))
        title = text.plain("standardised_estimate", language)
        by_province = (
            alt.Chart(TABLE)
            .mark_area(color=GREY, opacity=0.25)
            .encode(x="rank:Q", y=alt.Y("conf_low:Q", title=title), y2="conf_high:Q")
        )
        return alt.layer(by_province, zero, points, width="container", height=320)

    def describe(language: str) -> str:
        estimates = curve["standardised_estimate"].astype(float)
        counts = curve["significant_by"].value_counts()
        return text.plain(
            "alt_curve",
            language,
            count=len(curve),
            low=f"{estimates.min():.3f}",
            median=f"{estimates.median():.3f}",
            high=f"{estimates.max():.3f}",
            **{name: counts.get(name, 0) for name in MARKS},
        )

    return figure("curve", text.both("curve_title"), curve, draw, describe, text.both("curve_note"))


def _choices(curve: pd.DataFrame, axes: list[dict[str, Any]], text: Catalogue) -> Figure:
    """Draw, below the curve, which values of each choice make the small estimates and which the large ones."""
    bins = min(BINS, len(curve))
    binned = curve.assign(bin=((curve["rank"].astype(int) - 1) * bins) // len(curve))
    counts = binned.groupby("bin").size()
    parts = []
    for row in axes:
        of_value = binned[binned[row["axis"]] == row["value"]]
        shares = of_value.groupby("bin").size().reindex(counts.index, fill_value=0) / counts
        parts.append(
            pd.DataFrame(
                {
                    "axis": row["axis"],
                    "value": row["value"],
                    "first_rank": [int(number * len(curve) / bins) + 1 for number in counts.index],
                    "last_rank": [int((number + 1) * len(curve) / bins) for number in counts.index],
                    "share": shares.round(4).to_list(),
                    **{
                        f"label_{language}": text.plain(
                            "axis_value",
                            language,
                            axis=text.plain(f"axis_{row['axis']}", language),
                            value=_choice(row, text, language),
                        )
                        for language in LANGUAGES
                    },
                }
            )
        )
    data = pd.concat(parts, ignore_index=True)

    def draw(language: str) -> alt.TopLevelMixin:
        return (
            alt.Chart(TABLE)
            .mark_rect()
            .encode(
                x=alt.X(
                    "first_rank:Q",
                    title=text.plain("curve_rank", language),
                    scale=alt.Scale(domain=[1, len(curve)], nice=False),
                    axis=alt.Axis(tickCount=6, grid=False),
                ),
                x2="last_rank:Q",
                y=alt.Y(
                    f"label_{language}:N",
                    title=None,
                    sort=None,
                    axis=alt.Axis(labelLimit=EXTENT, minExtent=EXTENT, maxExtent=EXTENT, ticks=False),
                ),
                color=alt.Color(
                    "share:Q",
                    scale=alt.Scale(scheme="blues", domainMin=0),
                    legend=squares(text.plain("share_of_specifications", language), format=".0%"),
                ),
                tooltip=[
                    alt.Tooltip(f"label_{language}:N", title=text.plain("choice", language)),
                    alt.Tooltip("first_rank:Q", title=text.plain("curve_rank", language)),
                    alt.Tooltip("share:Q", title=text.plain("share_of_specifications", language), format=".0%"),
                ],
            )
            .properties(width="container", height=14 * len(axes))
        )

    def describe(language: str) -> str:
        return text.plain("alt_choices", language, count=len(axes))

    return figure("choices", text.both("choices_title"), data, draw, describe, text.both("choices_note"))
