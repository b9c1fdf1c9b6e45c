"""Findings: what the data say of the paper's main claim, whether it is AI's, whether it is robust, what is unjudged."""

import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from ai_manufacturing.site import specification_curve
from ai_manufacturing.site.charts import BLUE, CLASSES, ORANGE, TABLE, Figure, figure
from ai_manufacturing.site.credibility import columns_by, verdict_counts
from ai_manufacturing.site.readings import overlap_note
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return what the first page shows."""
    claims = release.rows(
        "select v.*, coalesce(s.outcome_label_en, s.outcome) as outcome_en, "
        "coalesce(s.outcome_label_zh, s.outcome) as outcome_zh, s.regressor, s.estimator, s.status, "
        "s.regressor_label_en as regressor_en, s.regressor_label_zh as regressor_zh, s.reason, s.reason_zh, "
        "p.printed_text, p.printed_stars, p.printed_std_error_text, p.estimated_stars "
        "from reports.rpt_verdicts as v "
        "inner join reports.rpt_specifications as s on v.specification_id = s.specification_id "
        "left join reports.rpt_replication_scorecard as p on v.specification_id = p.specification_id "
        "and v.table_id = p.table_id and v.column_number = p.column_number and p.term = s.regressor "
        "order by v.table_id, v.column_number"
    )
    findings = release.rows("select * from reports.rpt_findings order by finding_order")
    return {
        "findings": findings,
        "permuted": _permuted(release, text),
        "also": _also(release),
        "claims": [row for row in claims if row["cause"] != "no_data"],
        "notes": columns_by([row for row in claims if row["estimate"] is not None], "substitutions"),
        "without_data": columns_by([row for row in claims if row["cause"] == "no_data"], "reason"),
        "unjudged": [row for row in claims if row["verdict"] == "cannot_tell"],
        "verdicts": verdict_counts(release),
        "score": release.rows(
            "select count(*) as printed, count(estimated_value) as estimated, "
            "count(case when verdict = 'compatible' then 1 end) as compatible, "
            "count(case when verdict = 'cannot_tell' then 1 end) as cannot_tell, "
            "count(case when verdict in ('differs', 'not_found') then 1 end) as excluded "
            "from reports.rpt_replication_scorecard where item_kind = 'coefficient'"
        )[0],
        "curve": specification_curve.curve(release, text),
        "main": claims[0],
        "period": release.period(),
        "remarks": release.rows("select * from reports.rpt_paper_remarks order by remark_number, figure_number"),
    }


def _also(release: Release) -> list[dict[str, Any]]:
    """Return facts beside the claim that have pages of their own: the page, the key of the text, and its values."""
    found: list[dict[str, Any]] = []
    for row in release.rows(
        "select c.*, m.base_year as share_year from reports.rpt_coefficients as c "
        "left join (select distinct measure, weighting, scope, base_year from marts.fct_ai_measure) as m "
        "on c.regressor = m.measure and c.weighting = m.weighting and c.scope = m.scope "
        "where c.term = 'ai_firms' and c.status <> 'not_estimable' and c.specification_id in "
        "('table_1_col_1_no_controls', 'table_1_col_1_observed', 'table_1_col_1_first_shares') "
        "order by c.specification_id <> 'table_1_col_1_no_controls', c.specification_id desc"
    ):
        key = f"also_{row['specification_id'].removeprefix('table_1_col_1_')}"
        told = {"estimate": f"{row['estimate']:.3f}", "count": f"{row['observation_count']:,}"}
        found.append({"page": "readings", "key": key, **told, "year": row["share_year"], "then": overlap_note(row)})
    for row in release.rows(
        "select min(year) as year, max(year) as base_year, "
        "arg_min(national_share_relative_to_base_year, year) as ratio from reports.rpt_fixed_ratio_test "
        "where measure = 'ai_firms' and national_share_relative_to_base_year is not null having count(*) > 1"
    ):
        found.append({"page": "measure", "key": "also_ratio", **row, "ratio": f"{row['ratio']:.2f}"})
    for row in release.rows(
        "select common.difference, common.difference_p_value as p, apart.difference as apart, "
        "apart.difference_p_value as p_apart from reports.rpt_heterogeneity as common "
        "inner join reports.rpt_heterogeneity as apart on common.grouping = apart.grouping "
        "and common.group_name = apart.group_name and apart.fixed_effects = 'city group-year' "
        "where common.specification_id = 'heterogeneity_income_median' and common.group_name = 'above' "
        "and common.difference is not null and apart.difference is not null"
    ):
        told = {name: f"{row[name]:+.3f}" for name in ("difference", "apart")}
        told |= {name: "< 0.001" if row[name] < 0.001 else f"= {row[name]:.3f}" for name in ("p", "p_apart")}
        found.append({"page": "heterogeneity", "key": "also_income", **told})
    for row in release.rows(
        "select min(year) as first_year, max(year) as last_year, arg_min(top_5_share, year) as first, "
        "arg_max(top_5_share, year) as last from marts.fct_spatial_concentration "
        "where measure = 'ai_firms' and top_5_share is not null having count(*) > 1"
    ):
        told = {"first": f"{100 * row['first']:.1f}", "last": f"{100 * row['last']:.1f}"}
        found.append({"page": "maps", "key": "also_concentration", **row, **told})
    return found


def _permuted(release: Release, text: Catalogue) -> Figure | None:
    """Draw the slopes with other cities' AI shares, the slope with the own, and the printed number."""
    data = release.frame(
        "with main as (select * from reports.rpt_verdicts where table_id = 'table_1' and column_number = 1), "
        "permuted as (select w.* from estimates.est_permuted_weights as w inner join main using (specification_id) "
        "where permutation is not null) "
        "select 'permuted' as kind, permutation, estimate from permuted union all "
        "select unnest(['own', 'printed']), null, unnest([estimate, printed_value]) from main "
        "where exists (from permuted) order by kind, permutation"
    )
    if not len(data):
        return None
    slopes = data.loc[data["kind"] == "permuted", "estimate"].astype(float)
    own, printed = (float(data.loc[data["kind"] == kind, "estimate"].iloc[0]) for kind in ("own", "printed"))
    low, high = min(slopes.min(), own, printed), max(slopes.max(), own, printed)
    margin = 0.08 * (high - low)
    # As many bars as can be told apart on a phone, and marks at round numbers.
    step = (high - low + 2 * margin) / 80
    tallest = int(pd.cut(slopes, np.arange(low - margin, high + margin + step, step)).value_counts().max())
    wide = 10 ** math.floor(math.log10(high - low)) if high > low else 1.0
    apart = next(wide * part for part in (0.1, 0.2, 0.5, 1) if (high - low) / (wide * part) <= 7)
    ticks = [round(apart * number, 6) for number in range(math.ceil(low / apart), math.floor(high / apart) + 1)]

    def draw(language: str) -> alt.TopLevelMixin:
        slope, permutations = (text.plain(key, language) for key in ("slope", "permutations"))
        scale = alt.Scale(domain=[low - margin, high + margin], nice=False, zero=False)
        bars = (
            alt.Chart(TABLE)
            .transform_filter("datum.kind == 'permuted'")
            .mark_bar(color=CLASSES[1])
            .encode(
                x=alt.X(
                    "estimate:Q",
                    bin=alt.Bin(step=step, extent=[low - margin, high + margin]),
                    scale=scale,
                    title=slope,
                    axis=alt.Axis(format=".3~f", values=ticks, labelOverlap=True),
                ),
                # Room for the marks above the bars.
                y=alt.Y("count():Q", title=permutations, scale=alt.Scale(domain=[0, 1.3 * tallest], nice=False)),
                tooltip=[
                    alt.Tooltip("estimate:Q", bin=alt.Bin(step=step), title=slope),
                    alt.Tooltip("count():Q", title=permutations),
                ],
            )
        )
        layers = [bars]
        for kind, value, colour, dash, line in (
            ("printed", printed, ORANGE, [5, 3], 14),
            ("own", own, BLUE, [1, 0], 32),
        ):
            marked = alt.Chart(TABLE).transform_filter(f"datum.kind == '{kind}'")
            layers.append(marked.mark_rule(color=colour, strokeWidth=2.5, strokeDash=dash).encode(x="estimate:Q"))
            is_right = value > (low + high) / 2
            words = text.plain(f"marked_{kind}", language, value=f"{value:.3f}")
            label = marked.mark_text(
                color=colour,
                fontSize=13,
                fontWeight=600,
                align="right" if is_right else "left",
                dx=-6 if is_right else 6,
                text=words,
            )
            layers.append(label.encode(x="estimate:Q", y=alt.value(line)))
        return alt.layer(*layers, width="container", height=230)

    numbers = {"low": slopes.min(), "high": slopes.max(), "mean": slopes.mean(), "own": own, "printed": printed}
    described = text.words(
        "alt_permuted", count=len(slopes), **{name: f"{value:.3f}" for name, value in numbers.items()}
    )
    return figure("permuted", text.both("permuted_title"), data, draw, described, text.both("permuted_note"))
