"""Figure 1 and every event study, with intervals and the test of trends before the event."""

from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from ai_manufacturing.site.charts import BLUE, GREY, ORANGE, TABLE, Figure, figure
from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return Figure 1, and each event study as a figure or with the reason why there is none."""
    figure_1 = release.frame("select * from reports.rpt_figure_1 order by specification_id, event_time")
    studies = release.rows(
        "select s.*, c.joint_statistic, c.joint_df1, c.joint_df2, c.joint_p_value, c.observation_count, c.city_count, "
        "c.substitutions, c.substitutions_zh, c.warnings, c.warnings_zh from reports.rpt_specifications as s "
        "inner join reports.rpt_coefficients as c on s.specification_id = c.specification_id "
        "where s.estimator = 'event_study' "
        "qualify row_number() over (partition by s.specification_id order by c.term_order) = 1 "
        "order by s.specification_order"
    )
    points = release.frame(
        "select specification_id, event_time, estimate, conf_low, conf_high from reports.rpt_coefficients "
        "where estimator = 'event_study' and event_time is not null and status <> 'not_estimable'"
    )
    transforms = {study["specification_id"]: study["transform"] for study in studies}
    by_specification = dict(iter(points.groupby("specification_id")))
    return {
        "figure_1": [
            _figure(
                f"figure_1_{specification_id}",
                data,
                text.named(data["label_en"].iloc[0], data["label_zh"].iloc[0]),
                transforms[specification_id],
                text,
            )
            for specification_id, data in figure_1.groupby("specification_id", sort=False)
        ],
        "pre_trends": figure_1.drop_duplicates("specification_id").to_dict("records"),
        "studies": [
            {
                **study,
                "figure": _study(study, by_specification[study["specification_id"]], text)
                if study["specification_id"] in by_specification
                else None,
            }
            for study in studies
        ],
    }


def _study(study: dict[str, Any], points: pd.DataFrame, text: Catalogue) -> Figure:
    """Add the omitted year, whose zero is a normalisation, and draw."""
    omitted = {"specification_id": study["specification_id"], "event_time": -1, "estimate": 0.0}
    data = pd.concat([points, pd.DataFrame([omitted], dtype=object)]).sort_values("event_time")
    outcome = text.named(study["outcome_label_en"], study["outcome_label_zh"])
    title = Markup("{}: {}").format(outcome, text.label(study["reading"]))
    return _figure(study["specification_id"], data.where(data.notna(), None), title, study["transform"], text)


def _figure(id_: str, data: pd.DataFrame, title: Markup, transform: str, text: Catalogue) -> Figure:
    has_printed = "printed_estimate" in data and data["printed_estimate"].notna().any()
    names = ["event_time", "estimate", "conf_low", "conf_high"]
    shown = data[names + (["printed_estimate", "printed_std_error"] if has_printed else [])].copy()

    def draw(language: str) -> alt.TopLevelMixin:
        words = {key: text.plain(key, language) for key in ("years_since_event", "estimate", "interval", "printed")}
        axis = alt.Axis(tickMinStep=1, format="d", labelFlush=False)
        effect = text.plain("effect_on", language, outcome=text.plain_label(transform, language))
        x = alt.X("event_time:Q", title=words["years_since_event"], scale=alt.Scale(nice=False, padding=10), axis=axis)
        base = alt.Chart(TABLE).encode(x=x)
        tooltip = [
            alt.Tooltip("event_time:Q", title=words["years_since_event"]),
            alt.Tooltip("estimate:Q", title=words["estimate"], format=".4~g"),
            alt.Tooltip("conf_low:Q", title=words["interval"] + " ↓", format=".4~g"),
            alt.Tooltip("conf_high:Q", title=words["interval"] + " ↑", format=".4~g"),
        ]
        layers = [
            alt.Chart(TABLE).mark_rule(color=GREY).encode(y=alt.datum(0)),
            alt.Chart(TABLE).mark_rule(color=GREY, strokeDash=[3, 3]).encode(x=alt.datum(-0.5)),
            base.mark_rule(color=BLUE, strokeWidth=2).encode(y="conf_low:Q", y2="conf_high:Q"),
            base.mark_line(color=BLUE, strokeWidth=1, opacity=0.5).encode(y="estimate:Q"),
            base.mark_point(color=BLUE, filled=True, size=55, opacity=1).encode(
                y=alt.Y("estimate:Q", title=effect), tooltip=tooltip
            ),
        ]
        if has_printed:
            layers.append(
                base.mark_point(color=ORANGE, shape="diamond", size=55, xOffset=5, opacity=1).encode(
                    y="printed_estimate:Q",
                    tooltip=[alt.Tooltip("printed_estimate:Q", title=words["printed"], format=".4~g")],
                )
            )
        return alt.layer(*layers).properties(width="container", height=200)

    def describe(language: str) -> str:
        after = shown[(shown["event_time"] >= 0) & shown["conf_low"].notna()]
        apart = after[(after["conf_low"].astype(float) > 0) | (after["conf_high"].astype(float) < 0)]
        return text.plain(
            "alt_event_study",
            language,
            first=shown["event_time"].min(),
            last=shown["event_time"].max(),
            apart=len(apart),
            after=len(after),
        )

    return figure(id_, title, shown, draw, describe)
