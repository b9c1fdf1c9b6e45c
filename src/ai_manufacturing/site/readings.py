"""Coefficient plots: every reading of a column of the paper beside the printed number."""

from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from ai_manufacturing.site.charts import BLUE, LABEL_LIMIT, ORANGE, TABLE, Figure, figure
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import LANGUAGES, MARK, Catalogue, pair

ROW = 24  # pixels of a reading


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return one plot for each column whose readings are one coefficient."""
    estimates = release.frame(
        "select c.*, s.specification_order, s.description, "
        "coalesce(s.outcome_label_en, s.outcome) as outcome_en, coalesce(s.outcome_label_zh, s.outcome) as outcome_zh, "
        "coalesce(s.regressor_label_en, s.regressor) as regressor_en, "
        "coalesce(s.regressor_label_zh, s.regressor) as regressor_zh, "
        "try_cast(p.printed_text as double) as printed "
        "from reports.rpt_coefficients as c "
        "inner join reports.rpt_specifications as s on c.specification_id = s.specification_id "
        "left join reports.rpt_replication_scorecard as p "
        "on c.table_id = p.table_id and c.column_number = p.column_number and c.term = p.term "
        "where c.estimator <> 'event_study' and c.table_id <> 'heterogeneity' "
        "and (c.term = c.regressor or c.status = 'not_estimable') "
        "order by c.table_id not like 'table%', c.table_id, c.column_number, s.specification_order"
    )
    for language in LANGUAGES:
        estimates[f"reading_{language}"] = [text.plain_label(reading, language) for reading in estimates["reading"]]
    return {
        "columns": [
            _column(table, column, data, text)
            for (table, column), data in estimates.groupby(["table_id", "column_number"], sort=False)
        ],
    }


def _column(table: str, column: int, data: pd.DataFrame, text: Catalogue) -> dict[str, Any]:
    estimated = data[data["estimate"].notna()]
    first = data.iloc[0]
    title = Markup("{} ← {}").format(
        text.named(first["outcome_en"], first["outcome_zh"]), text.named(first["regressor_en"], first["regressor_zh"])
    )
    # A slope on the measure itself has another unit than one on its log.
    in_levels = estimated["transform"] == "level"
    drawn = [
        (f"readings_{table}_{column}", title, estimated[~in_levels], first["printed"]),
        (
            f"readings_{table}_{column}_level",
            Markup("{}: {}").format(title, text.label("level")),
            estimated[in_levels],
            None,
        ),
    ]
    return {
        "id": f"{table}_{column}",
        "title": Markup("{} ({})").format(text.label(table), column),
        "figures": [
            coefficient_plot(id_, name, rows, printed, text) for id_, name, rows, printed in drawn if len(rows)
        ],
        "not_estimable": data[data["estimate"].isna()].to_dict("records"),
        "overlaps": estimated[estimated["overlap_estimate"].notna() & estimated["overlap_default_estimate"].notna()]
        .astype({"overlap_observation_count": int})
        .to_dict("records"),
    }


def coefficient_plot(
    id_: str, title: Markup, estimated: pd.DataFrame, printed: float | None, text: Catalogue
) -> Figure:
    """Draw estimates with their intervals, a row each, beside the printed number if there is one."""
    names = ["reading", "estimate", "conf_low", "conf_high", "city_count", "specification_id"]
    if "observation_count" in estimated:
        names.insert(4, "observation_count")
    data = estimated[names].copy()
    # Two rows may have a reading of the same name.
    repeated = data["reading"].duplicated(keep=False)
    suffix = (" · " + data["specification_id"]).where(repeated, "")
    suffix += pd.Series(f" {MARK}", data.index).where(estimated["substitutions"].fillna("") != "", "")
    for language in LANGUAGES:
        data[f"reading_{language}"] = estimated[f"reading_{language}"] + suffix
    data["link"] = "specifications.html#" + data["specification_id"]

    def draw(language: str) -> alt.TopLevelMixin:
        y = alt.Y(f"reading_{language}:N", sort=None, title=None, axis=alt.Axis(labelLimit=LABEL_LIMIT, labelPadding=6))
        # channels are given as such: altair takes long to find out what a text in their place means
        base = alt.Chart(TABLE).encode(y=y, href=alt.Href("link:N"))
        words = {key: text.plain(key, language) for key in ("estimate", "interval", "cities")}
        tooltip = [
            alt.Tooltip(f"reading_{language}:N", title=text.plain("reading", language)),
            alt.Tooltip("estimate:Q", title=words["estimate"], format=".4~g"),
            alt.Tooltip("conf_low:Q", title=words["interval"] + " ←", format=".4~g"),
            alt.Tooltip("conf_high:Q", title=words["interval"] + " →", format=".4~g"),
            alt.Tooltip("city_count:Q", title=words["cities"]),
            alt.Tooltip("specification_id:N", title=text.plain("specification", language)),
        ]
        layers = [
            alt.Chart(TABLE).mark_rule(color="#999").encode(x=alt.XDatum(0)),
            base.mark_rule(color=BLUE, strokeWidth=2).encode(
                x=alt.X(
                    "conf_low:Q",
                    title=text.plain("estimate_with_interval", language),
                    scale=alt.Scale(zero=True),
                    axis=alt.Axis(tickCount=5),
                ),
                x2=alt.X2("conf_high:Q"),
                tooltip=tooltip,
            ),
            base.mark_point(color=BLUE, filled=True, size=60, opacity=1).encode(x=alt.X("estimate:Q"), tooltip=tooltip),
        ]
        if printed is not None:
            layers.insert(1, alt.Chart(TABLE).mark_rule(color=ORANGE, strokeDash=[5, 3]).encode(x=alt.XDatum(printed)))
        return alt.layer(*layers, width="container", height=ROW * len(data))

    def describe(language: str) -> str:
        return text.plain(
            "alt_readings",
            language,
            count=len(data),
            low=f"{data['estimate'].min():.3f}",
            high=f"{data['estimate'].max():.3f}",
        )

    notes = [text.both("printed_line", value=f"{printed:g}")] if printed is not None else []
    if said := _substitutions(estimated):
        notes.append(said)
    return figure(id_, title, data, draw, describe, Markup(" ").join(notes))


def overlap_note(row: dict[str, Any]) -> dict[str, str] | None:
    """Return the sentence on the city-years that a reading shares with the paper's; nothing if they are the same."""
    own, default, count = (row[f"overlap_{name}"] for name in ("estimate", "default_estimate", "observation_count"))
    if own is None or default is None:
        return None
    return {"key": "overlap_note", "count": f"{count:,.0f}", "own": f"{own:.3f}", "default": f"{default:.3f}"}


def _substitutions(estimated: pd.DataFrame) -> Markup:
    """Return what substitutes for what in any of the estimates, each sentence once; nothing if nothing does."""
    english, chinese = (
        dict.fromkeys(sentence for text in estimated[column].dropna() for sentence in text.split(separator) if sentence)
        for column, separator in (("substitutions", "; "), ("substitutions_zh", "；"))
    )
    return pair(f"{MARK} {'; '.join(english)}.", f"{MARK} {'；'.join(chinese)}。") if english else Markup()
