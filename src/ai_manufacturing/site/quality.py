"""Build the site's data quality page: sources, checks, rejected rows and coverage."""

import json
from typing import Any, Literal

import altair as alt
import pandas as pd
from markupsafe import Markup

from ai_manufacturing.releases import sources
from ai_manufacturing.site.charts import (
    CHART,
    LABEL_LIMIT,
    Figure,
    build_label_expression,
    draw_figure,
    make_square_legend,
    make_tooltips,
)
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import LANGUAGES, Catalogue, render_pair

SQL = load_statements(__file__)

# Maximum number of rejected rows to list. The page refers to the table that contains all of them.
MAX_ROWS_SET_ASIDE = 200
# Maximum number of failing rows to list per data quality check.
MAX_FAILING_ROWS = 10
# Provinces whose Chinese short names have three characters instead of two.
LONG_NAMES = ("内蒙古", "黑龙江")


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the data sources, the results of quality checks, and the number of rows used."""
    expectations = release.fetch_rows(
        f"from {release.build_gate_query()}"
        " order by success nulls last, severity, suite, description"
    )
    names = {
        row["city_id"]: render_pair(row["name_en"], row["name_zh"])
        for row in release.fetch_rows("select city_id, name_en, name_zh from marts.dim_city")
    }
    for row in expectations:
        row["failing"] = [] if row["success"] else _parse_failing_rows(row["failing_rows"], names)
    coverage = _read_coverage(release)
    return {
        "deliveries": sorted(release.manifest.delivery_hashes.items()),
        "packages": sorted(release.manifest.package_versions.items()),
        "series": release.fetch_rows(
            "select * from marts.dim_series order by is_delivered desc, series, scope"
        ),
        "sources": release.fetch_rows(SQL["sources"]),
        "absent": sources.read_sources(release.connection)["absent"],
        "gate": _count_results(release),
        "expectations": expectations,
        "accounting": release.fetch_rows(SQL["accounting"]),
        "set_aside": release.fetch_rows(SQL["set_aside"]),
        "set_aside_rows": release.fetch_rows(
            SQL["rows_set_aside"],
            listed=MAX_ROWS_SET_ASIDE,
        ),
        # The query returns a single row for a correction that applies to every city.
        "corrections": release.fetch_rows(SQL["corrections"]),
        "withheld": release.find_withheld_providers("marts.fct_corrections", "gates.gate_results"),
        "coverage": (
            [draw(coverage, text) for draw in (_draw_series_coverage, _draw_city_coverage)]
            if len(coverage)
            else []
        ),
    }


def _count_results(release: Release) -> dict[str, int]:
    """Count the data quality checks that passed, failed (by severity) or were not evaluated."""
    failures = dict(release.manifest.gate_summary)
    count = failures.pop("expectations")
    return {"passed": count - sum(failures.values()), **failures}


def _parse_failing_rows(rows: str | None, names: dict[str, Markup]) -> Any:
    """Parse the first rows that failed a check from JSON, with city names instead of codes."""
    failing = json.loads(rows or "[]")[:MAX_FAILING_ROWS]
    for row in failing:
        if "city_id" in row:
            row["city_id"] = names.get(row["city_id"], row["city_id"])
    return failing


def _read_coverage(release: Release) -> pd.DataFrame:
    """Return a flag for each city, year and series that is true if the panel has a value.

    Withheld values count as values.
    """
    return release.fetch_frame(SQL["coverage"])


def _draw_city_coverage(coverage: pd.DataFrame, text: Catalogue) -> Figure:
    """Draw a heat map of the number of series with a value, by city and year."""
    names = ["city_id", "name_en", "name_zh", "province_name_en", "province_name_zh"]
    cities = coverage[names].drop_duplicates("city_id")
    firsts = cities.drop_duplicates("province_name_zh")
    by_year = coverage.groupby(["city_id", "year"], as_index=False)
    data = by_year.agg(series_count=("is_filled", "sum"))
    most = coverage["series"].nunique()

    def draw(language: str) -> alt.TopLevelMixin:
        title = text.format_text("series_with_value", language)
        labels = dict(
            zip(
                firsts["city_id"],
                map(_shorten_province, firsts[f"province_name_{language}"]),
                strict=True,
            )
        )
        axis = alt.Axis(
            values=list(firsts["city_id"]),
            labelExpr=build_label_expression("datum.value", labels),
            labelOverlap="greedy",
        )
        tooltips = make_tooltips(
            (f"name_{language}:N", text.format_text("city", language)),
            ("year:O", text.format_text("year", language)),
            ("series_count:Q", title),
        )
        y = alt.Y("city_id:O", title=None, axis=axis)
        return _draw_heat_map("series_count", title, most, y, tooltips, orient="top").properties(
            height=4 * len(cities)
        )

    complete, empty = (int((data["series_count"] == count).sum()) for count in (most, 0))
    descriptions = text.format_words(
        "alt_coverage_by_city", cities=len(cities), series=most, complete=complete, empty=empty
    )
    return draw_figure(
        "coverage_by_city",
        text.render_text("coverage_by_city"),
        data,
        draw,
        descriptions,
        shared=cities,
    )


def _draw_series_coverage(coverage: pd.DataFrame, text: Catalogue) -> Figure:
    """Draw a heat map of the number of cities with a value, by series and year."""
    wide = coverage.pivot_table("is_filled", "year", "series", aggfunc="sum", sort=False)
    data = wide.reset_index().melt("year", value_name="city_count")
    for language in LANGUAGES:
        data[f"label_{language}"] = [text.find_label(name, language) for name in data["series"]]
    most = coverage["city_id"].nunique()

    def draw(language: str) -> alt.TopLevelMixin:
        title = text.format_text("cities_with_value", language)
        y = alt.Y(
            f"label_{language}:N", title=None, sort=None, axis=alt.Axis(labelLimit=LABEL_LIMIT)
        )
        tooltips = make_tooltips(
            (f"label_{language}:N", text.format_text("series", language)),
            ("year:O", text.format_text("year", language)),
            ("city_count:Q", title),
        )
        return _draw_heat_map("city_count", title, most, y, tooltips).properties(
            height=20 * data["series"].nunique()
        )

    counts = data.groupby("series", sort=False)["city_count"].sum()
    empty = [text.find_labels(name) for name in counts.index[counts == 0]]
    missing = tuple(", ".join(name[place] for name in empty) or "0" for place in (0, 1))
    descriptions = text.format_words("alt_coverage_by_series", series=len(counts), missing=missing)
    return draw_figure(
        "coverage_by_series", text.render_text("coverage_by_series"), data, draw, descriptions
    )


def _draw_heat_map(
    column: str,
    title: str,
    most: int,
    y: alt.Y,
    tooltip: list[alt.Tooltip],
    orient: Literal["top", "bottom"] = "bottom",
) -> alt.Chart:
    """Return a heat map of a count by year, with a separate colour for zero."""
    x = alt.X("year:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True, orient=orient))
    blues = alt.Color(
        f"{column}:Q",
        scale=alt.Scale(scheme="blues", domain=[0, most]),
        legend=make_square_legend(title),
    )
    colour = alt.condition(f"datum.{column} == 0", alt.value("#f0eeea"), blues)
    return (
        CHART.mark_rect()
        .encode(x=x, y=y, color=colour, tooltip=tooltip)
        .properties(width="container")
    )


def _shorten_province(province: str) -> str:
    """Return the short name of a province, such as 广东 for 广东省.

    Chinese names are cut to two characters, except for those in LONG_NAMES.
    """
    if province.isascii():
        return province
    return next(filter(province.startswith, LONG_NAMES), province[:2])
