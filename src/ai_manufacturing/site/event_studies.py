"""Every event study that the paper prints.

One chart a column, on common axes, with a choice of readings.
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
    figure,
    line,
    select,
    tips,
)
from ai_manufacturing.site.release import Release, grouped
from ai_manufacturing.system.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the event studies with charts and readings, and those without an estimate."""
    studies = release.rows(
        """
        select
            s.*,
            concat(s.table_id, '_', s.column_number) as column_id,
            i.p_value as pre_trend_p_value,
            i.reason as pre_trend_reason,
            i.reason_zh as pre_trend_reason_zh,
            c.observation_count,
            c.city_count,
            c.substitutions,
            c.substitutions_zh,
            c.warnings,
            c.warnings_zh
        from reports.rpt_specifications as s
        inner join reports.rpt_coefficients as c on s.specification_id = c.specification_id
        left join estimates.est_inference as i
            on s.specification_id = i.specification_id and i.method = 'pre_trend'
        where s.estimator = 'event_study'
        qualify row_number() over (partition by s.specification_id order by c.term_order) = 1
        order by s.table_id, s.column_number, s.specification_order
        """
    )
    points = release.frame(
        """
        with estimated as (
            select *, concat(table_id, '_', column_number) as column_id
            from reports.rpt_coefficients
            where estimator = 'event_study' and status <> 'not_estimable'
        )

        select
            c.specification_id,
            c.column_id,
            c.transform,
            c.reading,
            c.event_time,
            c.estimate,
            c.conf_low_province as conf_low,
            c.conf_high_province as conf_high,
            try_cast(p.printed_text as double) as printed_estimate
        from estimated as c
        left join reports.rpt_replication_scorecard as p
            on c.specification_id = p.specification_id and c.term = p.term
        where c.event_time is not null
        -- the omitted year, whose zero is a normalisation
        union all
        select distinct specification_id, column_id, transform, reading, -1, 0.0, null, null, null
        from estimated
        order by specification_id, event_time
        """
    )
    other_sign = release.grouped(
        "column_id",
        """
        select
            concat(c.table_id, '_', c.column_number) as column_id,
            c.term,
            c.estimate,
            c.std_error_province,
            c.p_value_province,
            i.estimate as poisson,
            i.std_error as poisson_error,
            i.p_value as poisson_p_value
        from estimates.est_inference as i
        inner join reports.rpt_coefficients as c
            on i.specification_id = c.specification_id and i.term = c.term
        where i.method = 'poisson' and c.estimate * i.estimate < 0
        order by c.specification_id, c.term_order
        """,
    )
    for row in [row for rows in other_sign.values() for row in rows]:
        row["shown"] = {
            name: f"{value:.3f}" for name, value in row.items() if isinstance(value, float)
        }
    shared = _ranges(points[points["reading"] == "default"], "transform")
    columns = []
    for name, rows in grouped(studies, "column_id").items():
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
                    _column(f"event_study_{name}", readings, own, shared, text)
                    if readings
                    else None
                ),
            }
        )
    return {"columns": columns}


def _ranges(points: pd.DataFrame, key: str) -> dict[Any, list[Any]]:
    """Return how far estimates, intervals and printed numbers reach, by a column."""
    reach = points[["estimate", "conf_low", "conf_high", "printed_estimate"]].astype(float)
    ends = pd.DataFrame({"low": reach.min(axis=1), "high": reach.max(axis=1)})
    by_key = ends.groupby(points[key]).agg({"low": "min", "high": "max"})
    return by_key.T.to_dict("list")


def _column(
    id_: str,
    studies: list[dict[str, Any]],
    points: pd.DataFrame,
    shared: dict[str, list[float]],
    text: Catalogue,
) -> Figure:
    """Draw a column with a choice of its readings.

    Those of one transform have the axis of all printed columns.
    """
    names = [study["specification_id"] for study in studies]
    own = _ranges(points, "specification_id")
    domains = {}
    for study in studies:
        low, high = own[study["specification_id"]]
        common_low, common_high = shared.get(study["transform"], (low, high))
        domains[study["specification_id"]] = [min(low, common_low, 0), max(high, common_high, 0)]
    shown = points.drop(columns=["column_id", "transform", "reading"])
    years = [int(points["event_time"].min()), int(points["event_time"].max())]
    has_printed = shown["printed_estimate"].notna().any()

    def draw(language: str) -> alt.TopLevelMixin:
        keys = ("years_since_event", "estimate", "interval", "printed", "reading")
        words = {key: text.plain(key, language) for key in keys}
        labels = [
            f"{text.plain_label(study['reading'], language)}"
            f" ({text.plain_label(study['transform'], language)})"
            for study in studies
        ]
        reading = select("reading", names, labels, names[0], words["reading"])
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
        tooltip = tips(
            ("event_time:Q", words["years_since_event"]),
            ("estimate:Q", words["estimate"], ".4~g"),
            ("conf_low:Q", words["interval"] + " ↓", ".4~g"),
            ("conf_high:Q", words["interval"] + " ↑", ".4~g"),
        )
        intervals = base.mark_rule(color=BLUE, strokeWidth=2)
        layers = [
            line(GREY, y=0),
            line(GREY, 3, 3, x=-0.5),
            intervals.encode(y=alt.Y("conf_low:Q", title=words["estimate"]), y2="conf_high:Q"),
            base.mark_line(color=BLUE, strokeWidth=1, opacity=0.5).encode(y=y),
            base.mark_point(color=BLUE, filled=True, size=55, opacity=1).encode(
                y=y, tooltip=tooltip
            ),
        ]
        if has_printed:
            diamonds = base.mark_point(color=ORANGE, shape="diamond", size=55, xOffset=5, opacity=1)
            under = tips(("printed_estimate:Q", words["printed"], ".4~g"))
            layers.append(
                diamonds.encode(
                    y=alt.Y("printed_estimate:Q", title=words["estimate"]), tooltip=under
                )
            )
        chart = alt.layer(*layers).add_params(reading)
        return chart.properties(width="container", height=240, usermeta={"state": {"reading": id_}})

    first = shown[shown["specification_id"] == names[0]]
    after = first[first["event_time"] >= 0].dropna(subset=["conf_low"])
    apart = after[(after["conf_low"] > 0) | (after["conf_high"] < 0)]
    described = text.words(
        "alt_event_study",
        first=first["event_time"].min(),
        last=first["event_time"].max(),
        apart=len(apart),
        after=len(after),
    )
    title = text.named(studies[0]["outcome_label_en"], studies[0]["outcome_label_zh"])
    return figure(id_, title, shown, draw, described)
