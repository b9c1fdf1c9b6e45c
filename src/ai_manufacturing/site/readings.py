"""Build the site's page of alternative specifications for each column of the paper."""

from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from ai_manufacturing.estimators.sentences import COMMAS
from ai_manufacturing.site.charts import (
    BLUE,
    CHART,
    LABEL_LIMIT,
    ORANGE,
    Figure,
    draw_figure,
    make_rule,
    make_tooltips,
)
from ai_manufacturing.site.release import Release, group_rows
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import LANGUAGES, SUBSTITUTE_MARK, Catalogue, render_pair

SQL = load_statements(__file__)

# Height of a row in the coefficient plots, in pixels.
ROW_HEIGHT = 24
# Columns that define a specification.
CHOICES = (
    "estimator",
    "outcome",
    "regressor",
    "transform",
    "weighting",
    "scope",
    "controls",
    "subsample",
    "grouping",
    "fixed_effects",
    "covariance",
    "options",
    "providers",
)


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return a coefficient plot for each column of the paper, and all specifications."""
    estimates = release.fetch_frame(SQL["estimates"])
    # Use province-clustered intervals, except for specifications that have another covariance or
    # lack province-clustered standard errors.
    own = (estimates["covariance"] != "city") | estimates["conf_low_province"].isna()
    for end in ("conf_low", "conf_high"):
        estimates[end] = estimates[end].where(own, estimates[f"{end}_province"])
    for language in LANGUAGES:
        error = estimates[f"error_{language}"].where(own, estimates[f"error_province_{language}"])
        estimates[f"reading_{language}"] = [
            f"{text.find_label(reading, language)} ({name})"
            for reading, name in zip(estimates["reading"], error, strict=True)
        ]
    return {
        "columns": [
            _build_column(table, column, data, text)
            for (table, column), data in estimates.groupby(
                ["table_id", "column_number"], sort=False
            )
        ],
        "choices": CHOICES,
        "specifications": _read_specifications(release),
    }


def _build_column(table: str, column: int, data: pd.DataFrame, text: Catalogue) -> dict[str, Any]:
    estimates = data[data["estimate"].notna()]
    first = data.iloc[0]
    title = Markup("{} ← {}").format(
        text.render_name(first["outcome_en"], first["outcome_zh"]),
        text.render_name(first["regressor_en"], first["regressor_zh"]),
    )
    # Plot specifications in levels separately, because their slopes have different units.
    in_levels = estimates["transform"] == "level"
    levels_title = Markup("{}: {}").format(title, text.render_label("level"))
    plots = [
        (f"readings_{table}_{column}", title, estimates[~in_levels], first["printed"]),
        (f"readings_{table}_{column}_level", levels_title, estimates[in_levels], None),
    ]
    overlaps = estimates.dropna(subset=["overlap_estimate", "overlap_default_estimate"])
    return {
        "id": f"readings_{table}_{column}",
        "title": Markup("{} ({})").format(text.render_label(table), column),
        "figures": [
            draw_coefficients(id_, name, rows, printed_number, text)
            for id_, name, rows, printed_number in plots
            if len(rows)
        ],
        "not_estimable": data[data["estimate"].isna()].to_dict("records"),
        "overlaps": overlaps.astype({"overlap_observation_count": int}).to_dict("records"),
        "fewer_controls": _select_fewer_controls(estimates),
    }


def _select_fewer_controls(estimates: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the default specification and those with fewer controls, on the same city-years.

    The result is empty if there are no specifications with fewer controls.
    """
    default = estimates[estimates["reading"] == "default"]
    if default.empty:
        return []
    first = default.iloc[0]
    data = estimates.assign(
        names=[tuple((text or "").split()) for text in estimates["controls"]],
        same_rows=estimates["overlap_observation_count"].fillna(estimates["observation_count"]),
        estimate=estimates["overlap_estimate"].fillna(estimates["estimate"]),
        error=estimates["overlap_std_error_province"].fillna(estimates["std_error_province"]),
    )
    alike = [name for name in CHOICES if name in data and name not in ("controls", "options")]
    is_alike = (data[alike].fillna("") == first[alike].fillna("")).all(axis=1)
    is_alike &= data["same_rows"] == first["observation_count"]
    controls = {*(first["controls"] or "").split()}
    is_part = data["names"].map(controls.issuperset)
    rows = data[is_alike & is_part].drop_duplicates("names")
    rows = rows.sort_values("names", key=lambda names: names.str.len())
    return rows.to_dict("records") if len(rows) > 1 else []


def draw_coefficients(
    id_: str,
    title: Markup,
    estimates: pd.DataFrame,
    printed_number: float | None,
    text: Catalogue,
    row_height: int = ROW_HEIGHT,
) -> Figure:
    """Draw a coefficient plot with one row per estimate, and a line at the printed number.

    `row_height` is in pixels. If it exceeds ROW_HEIGHT, names are split into one line per part on
    phones.
    """
    # Use filter, which ignores missing columns: group differences have no observation counts.
    data = estimates.filter(
        [
            "reading",
            "estimate",
            "conf_low",
            "conf_high",
            "observation_count",
            "city_count",
            "specification_id",
        ]
    )
    # Append the specification id to labels that occur more than once.
    is_duplicate = data["reading"].duplicated(keep=False)
    suffix = (" · " + data["specification_id"]).where(is_duplicate, "")
    suffix += estimates["substitutions"].map(
        lambda sentences: f" {SUBSTITUTE_MARK}" if sentences else ""
    )
    for language in LANGUAGES:
        data[f"reading_{language}"] = estimates[f"reading_{language}"] + suffix
    data["link"] = "readings.html#" + data["specification_id"]

    def draw(language: str) -> alt.TopLevelMixin:
        lines = f"windowSize()[0] < 600 ? split(datum.label, '{COMMAS[language]}') : datum.label"
        axis = alt.Axis(
            labelLimit=LABEL_LIMIT,
            labelPadding=6,
            labelExpr=lines if row_height > ROW_HEIGHT else alt.Undefined,
        )
        y = alt.Y(f"reading_{language}:N", sort=None, title=None, axis=axis)
        # Pass channel objects instead of shorthand strings, which altair is slow to parse.
        base = CHART.encode(y=y, href=alt.Href("link:N"))
        words = {
            key: text.format_text(key, language)
            for key in ("reading", "estimate", "interval", "cities", "specification")
        }
        tooltip = make_tooltips(
            (f"reading_{language}:N", words["reading"]),
            ("estimate:Q", words["estimate"], ".4~g"),
            ("conf_low:Q", words["interval"] + " ←", ".4~g"),
            ("conf_high:Q", words["interval"] + " →", ".4~g"),
            ("city_count:Q", words["cities"]),
            ("specification_id:N", words["specification"]),
        )
        has_intervals = data["conf_low"].notna().any()
        title = text.format_text(
            "estimate_with_interval" if has_intervals else "estimate", language
        )
        low = alt.X(
            "conf_low:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5)
        )
        bars = base.mark_rule(color=BLUE, strokeWidth=2).encode(
            x=low, x2=alt.X2("conf_high:Q"), tooltip=tooltip
        )
        points = base.mark_point(color=BLUE, filled=True, size=60, opacity=1)
        layers = [
            make_rule("#999", x=0),
            *([make_rule(ORANGE, 5, 3, x=printed_number)] if printed_number is not None else []),
            *([bars] if has_intervals else []),
            points.encode(x=alt.X("estimate:Q", title=title), tooltip=tooltip),
        ]
        return alt.layer(*layers, width="container", height=row_height * len(data))

    low, high = (f"{value:.3f}" for value in (data["estimate"].min(), data["estimate"].max()))
    key = "alt_readings" if len(data) > 1 else "alt_reading"
    descriptions = text.format_words(key, count=len(data), low=low, high=high)
    notes = [_render_substitutions(estimates)]
    if printed_number is not None:
        notes.insert(0, text.render_text("printed_line", value=f"{printed_number:g}"))
    return draw_figure(id_, title, data, draw, descriptions, Markup(" ").join(filter(None, notes)))


def build_overlap_note(row: dict[str, Any]) -> dict[str, str] | None:
    """Return the values of a note that compares a specification with the default.

    Both are estimated on the city-years that they have in common. The result is None if they use
    the same city-years.
    """
    names = ("overlap_estimate", "overlap_default_estimate")
    slopes = {
        name: (row[name], row[name.replace("estimate", "std_error_province")]) for name in names
    }
    if any(value is None for pair in slopes.values() for value in pair):
        return None
    own, default = (f"{slope:.3f} [{error:.3f}]" for slope, error in slopes.values())
    return {
        "key": "overlap_note",
        "count": f"{row['overlap_observation_count']:,.0f}",
        "own": own,
        "default": default,
    }


def _render_substitutions(estimates: pd.DataFrame) -> Markup:
    """Render the distinct notes on substitute data, or empty markup if there are none."""
    english, chinese = (
        separator.join(
            filter(None, estimates[column].dropna().str.split(separator).explode().unique())
        )
        for column, separator in (("substitutions", "; "), ("substitutions_zh", "；"))
    )
    return (
        render_pair(f"{SUBSTITUTE_MARK} {english}.", f"{SUBSTITUTE_MARK} {chinese}。")
        if english
        else Markup()
    )


def _read_specifications(release: Release) -> list[dict[str, Any]]:
    """Return all specifications with coefficients, dropped observations and robustness checks."""
    name = "specification_id"
    parts = {
        "terms": release.fetch_groups(
            name, "from reports.rpt_coefficients order by specification_id, term_order, term"
        ),
        "weights": release.fetch_groups(
            name,
            SQL["weights"],
        ),
        "losses": release.fetch_groups(
            name, "from estimates.observation_losses order by specification_id, step"
        ),
        # The query returns rows in the order of seeds/inference_checks.csv.
        "inference": release.fetch_groups(
            name,
            SQL["inference"],
        ),
        "influence": group_rows(_read_influence(release), name),
    }
    specifications = release.fetch_rows(
        "from reports.rpt_specifications order by specification_order"
    )
    for row in specifications:
        row |= {part: rows[row[name]] for part, rows in parts.items()}
        row["overlap"] = next(filter(None, map(build_overlap_note, row["terms"])), None)
    return specifications


def _read_influence(release: Release) -> list[dict[str, Any]]:
    """Return influence checks, such as estimates without the most influential city.

    Omitted cities and provinces are named in both languages.
    """
    return release.fetch_rows(SQL["influence"])
