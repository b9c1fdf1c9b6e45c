"""Build the site's credibility page, with a verdict on each column of the paper.

The page also shows the checks behind each verdict, and remarks on the paper.
"""

from typing import Any

import altair as alt
import numpy as np

from ai_manufacturing.site.charts import BLUE, CHART, CLASSES, Figure, choose_ticks, draw_figure
from ai_manufacturing.site.release import Release, group_rows
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue

SQL = load_statements(__file__)


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the credibility verdict on each column of the paper, with the underlying checks."""
    columns = read_paper_columns(release)
    checks = release.fetch_groups(
        "specification_id",
        "select * from reports.rpt_credibility order by specification_id, check_order",
    )
    designs = group_rows(
        release.fetch_rows(SQL["designs"]),
        "claim",
    )
    return {
        "columns": [
            {
                **row,
                **_select_checks(checks[row["specification_id"]]),
                "designs": [
                    {**design, **_select_checks(checks[design["specification_id"]])}
                    for design in designs[f"{row['table_id']}{row['column_number']}"]
                ],
            }
            for row in columns
            if row["cause"] != "no_data"
        ],
        "column_count": len(columns),
        "without_data": group_columns(
            [row for row in columns if row["cause"] == "no_data"], "reason"
        ),
        "verdicts": release.fetch_rows(SQL["verdicts"]),
        "score": release.fetch_rows(SQL["score"])[0],
        "permuted": _draw_permuted_slopes(release, text),
    }


def read_paper_columns(release: Release) -> list[dict[str, Any]]:
    """Return the regression columns of the paper, with labels, intervals and variants.

    The verdict refers to the printed design; another column summarises all designs.
    """
    return release.fetch_rows(SQL["columns"])


def group_columns(claims: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Group table columns by a text, such as the reason why data are missing."""
    return [
        {"text": text, "text_zh": rows[0][f"{key}_zh"], "columns": rows}
        for text, rows in group_rows(claims, key).items()
        if text
    ]


def _select_checks(checks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the checks of a column, or the shared reason if none of them could be run."""
    first = checks[0]
    is_common = all(
        row["figure"] is None and row["sentence"] == first["sentence"] for row in checks
    )
    return {
        "checks": [] if is_common else checks,
        "unchecked": first["sentence"],
        "unchecked_zh": first["sentence_zh"],
    }


def _draw_permuted_slopes(release: Release, text: Catalogue) -> Figure | None:
    """Draw a histogram of slopes under permuted weights, and mark the actual slope.

    The note states the printed number.
    """
    data = release.fetch_frame(SQL["permuted"])
    if not len(data):
        return None
    estimates = data.set_index("kind")["estimate"].astype(float)
    actual_slope, printed_slope = estimates["own"], estimates["printed"]
    slopes = estimates.loc[["permuted"]]
    low, high = min(slopes.min(), actual_slope), max(slopes.max(), actual_slope)
    margin = 0.08 * (high - low)
    step = (high - low + 2 * margin) / 40
    gaps = np.diff(np.unique(slopes))
    if release.is_rounded and len(gaps):  # public copies contain bin midpoints instead of slopes
        step = float(gaps.min())
        margin = (np.ceil(margin / step) + 0.5) * step
        low = slopes.min() - np.ceil((slopes.min() - low) / step) * step
    domain = [low - margin, high + margin]
    counts, _ = np.histogram(slopes, np.arange(domain[0], domain[1] + step, step))

    def draw(language: str) -> alt.TopLevelMixin:
        slope, permutations = (text.format_text(key, language) for key in ("slope", "permutations"))
        bars = (
            CHART.transform_filter("datum.kind == 'permuted'")
            .mark_bar(color=CLASSES[1])
            .encode(
                x=alt.X(
                    "estimate:Q",
                    bin=alt.Bin(step=step, extent=domain),
                    scale=alt.Scale(domain=domain, nice=False, zero=False),
                    title=slope,
                    axis=alt.Axis(values=choose_ticks(*domain)),
                ),
                # Leave space above the bars for the label of the actual slope.
                y=alt.Y(
                    "count():Q",
                    title=permutations,
                    scale=alt.Scale(domain=[0, 1.2 * int(counts.max())], nice=False),
                ),
                tooltip=[
                    alt.Tooltip("estimate:Q", bin=alt.Bin(step=step), title=slope),
                    alt.Tooltip("count():Q", title=permutations),
                ],
            )
        )
        actual = CHART.transform_filter("datum.kind == 'own'")
        is_right = actual_slope > (low + high) / 2
        label = actual.mark_text(
            color=BLUE,
            fontSize=13,
            fontWeight=600,
            align="right" if is_right else "left",
            dx=-6 if is_right else 6,
            text=text.format_text("marked_own", language, value=f"{actual_slope:.3f}"),
        )
        line = actual.mark_rule(color=BLUE, strokeWidth=2.5).encode(x="estimate:Q")
        return alt.layer(
            bars, line, label.encode(x="estimate:Q", y=alt.value(14)), width="container", height=230
        )

    descriptions = text.format_words(
        "alt_permuted",
        count=len(slopes),
        low=f"{slopes.min():.3f}",
        high=f"{slopes.max():.3f}",
        mean=f"{slopes.mean():.3f}",
        own=f"{actual_slope:.3f}",
        printed=f"{printed_slope:.3f}",
    )
    note = text.render_text("permuted_note", printed=f"{printed_slope:g}")
    return draw_figure(
        "permuted", text.render_text("permuted_title"), data, draw, descriptions, note
    )
