"""Data and quality: sources, expectations, rows set aside, corrections, coverage."""

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
    figure,
    squares,
    tips,
    words_for,
)
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import LANGUAGES, Catalogue, pair

LISTED = 200  # rows set aside that the page lists; all are in the table that it names
FAILING_LISTED = 10
# Provinces whose names are told by more than two letters.
LONG_NAMES = ("内蒙古", "黑龙江")


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return what was delivered, what the gate found, and what became of the rows."""
    expectations = release.rows(
        f"""
        select
            suite,
            description,
            description_zh,
            severity,
            success,
            observed_value,
            checked_count,
            failing_row_count,
            failing_rows
        from {release.gate_results()}
        order by success nulls last, severity, suite, description
        """
    )
    names = {
        row["city_id"]: pair(row["name_en"], row["name_zh"])
        for row in release.rows("select city_id, name_en, name_zh from marts.dim_city")
    }
    for row in expectations:
        row["failing"] = [] if row["success"] else _failing(row["failing_rows"], names)
    coverage = _coverage(release)
    return {
        "deliveries": sorted(release.manifest.delivery_hashes.items()),
        "packages": sorted(release.manifest.package_versions.items()),
        "series": release.rows(
            "select * from marts.dim_series order by is_delivered desc, series, scope"
        ),
        "sources": release.rows(
            """
            select
                provider,
                source_name,
                provenance_class,
                publisher,
                republished_by,
                licence,
                interpolated_series,
                citation_en,
                citation_zh,
                source_link as link,
                cast(looked_up_on as varchar) as looked_up_on,
                count(*) as file_count,
                string_agg(distinct outcome, ', ' order by outcome) as outcomes
            from marts.fct_deliveries
            where provider is not null
            group by all
            order by all
            """
        ),
        "absent": sources.known(release.connection)["absent"],
        "gate": _gate_counts(release),
        "expectations": expectations,
        "accounting": release.rows(
            """
            select
                provider,
                source_name,
                entity,
                disposition,
                count(file_path) as file_count,
                cast(sum(row_count) as bigint) as row_count
            from marts.fct_row_accounting
            group by all
            order by all
            """
        ),
        "set_aside": release.rows(
            """
            select
                provider,
                source_name,
                set_aside_reason,
                count(*) as row_count,
                min(year) as first_year,
                max(year) as last_year
            from marts.fct_rows_set_aside
            group by all
            union all
            select provider, source_name, disposition, cast(sum(row_count) as bigint), null, null
            from marts.fct_row_accounting
            where
                entity in ('firm_register', 'patent_register')
                and disposition not in ('used', 'in no series', 'out of period')
            group by all
            order by row_count desc, provider, source_name, set_aside_reason
            """
        ),
        "set_aside_rows": release.rows(
            """
            select file_path, row_number, city_name, year, set_aside_reason
            from marts.fct_rows_set_aside
            where set_aside_reason <> 'superseded'
            order by file_path, row_number
            limit ?
            """,
            LISTED,
        ),
        # a correction of every city is one line
        "corrections": release.rows(
            """
            select
                c.correction_id,
                c.series,
                c.year,
                count(*) as city_count,
                any_value(d.name_en) as name_en,
                any_value(d.name_zh) as name_zh,
                any_value(r.name_en) as row_name_en,
                any_value(r.name_zh) as row_name_zh,
                any_value(c.delivered_value) as delivered_value,
                any_value(c.value) as value,
                any_value(c.action) as action,
                any_value(c.reason) as reason,
                any_value(c.reason_zh) as reason_zh
            from marts.fct_corrections as c
            left join marts.dim_city as d on c.city_id = d.city_id
            left join marts.dim_city as r
                on c.delivered_city_id = r.city_id
                and r.city_id <> c.city_id
            group by c.correction_id, c.series, c.year
            order by c.correction_id, c.series, c.year
            """
        ),
        "withheld": release.withheld_from("marts.fct_corrections", "gates.gate_results"),
        "coverage": (
            [draw(coverage, text) for draw in (_by_series, _by_city)] if len(coverage) else []
        ),
    }


def _gate_counts(release: Release) -> dict[str, int]:
    """Return how many expectations passed, failed by severity, or were not evaluated."""
    return release.rows(
        f"""
        select
            count(case when success then 1 end) as passed,
            count(case when success is null then 1 end) as not_evaluated,
            count(case when not success and severity = 'critical' then 1 end) as critical,
            count(case when not success and severity = 'warning' then 1 end) as warnings
        from {release.gate_results()}
        """
    )[0]


def _failing(rows: str | None, names: dict[str, Markup]) -> Any:
    """Return the first failing rows, with cities by name."""
    failing = json.loads(rows or "[]")[:FAILING_LISTED]
    for row in failing:
        if "city_id" in row:
            row["city_id"] = names.get(row["city_id"], row["city_id"])
    return failing


def _coverage(release: Release) -> pd.DataFrame:
    """Return whether each city, year and series of the panel has a value, withheld or not."""
    return release.frame(
        """
        with panel_series as (
            select column_name as series, column_index as series_order
            from duckdb_columns()
            where
                schema_name = 'marts'
                and table_name = 'fct_city_year_panel'
                and column_name in (select series from marts.dim_series)
        ),
        filled as (
            select distinct series, city_id, year
            from release.series_values
            where (series, scope) in (select (series, scope) from marts.dim_variable)
        )
        select
            c.city_id,
            c.name_en,
            c.name_zh,
            c.province_name_en,
            c.province_name_zh,
            p.year,
            s.series,
            f.series is not null as is_filled
        from marts.fct_city_year_panel as p
        inner join marts.dim_city as c on p.city_id = c.city_id
        cross join panel_series as s
        left join filled as f on s.series = f.series and p.city_id = f.city_id and p.year = f.year
        order by c.city_id, p.year, s.series_order
        """
    )


def _by_city(coverage: pd.DataFrame, text: Catalogue) -> Figure:
    """Draw how many series have a value, by city and year."""
    names = ["city_id", "name_en", "name_zh", "province_name_en", "province_name_zh"]
    cities = coverage[names].drop_duplicates("city_id")
    firsts = cities.drop_duplicates("province_name_zh")
    by_year = coverage.groupby(["city_id", "year"], as_index=False)
    data = by_year.agg(series_count=("is_filled", "sum"))
    most = coverage["series"].nunique()

    def draw(language: str) -> alt.TopLevelMixin:
        title = text.plain("series_with_value", language)
        labels = dict(
            zip(firsts["city_id"], map(_short, firsts[f"province_name_{language}"]), strict=True)
        )
        axis = alt.Axis(
            values=list(firsts["city_id"]),
            labelExpr=words_for("datum.value", labels),
            labelOverlap="greedy",
        )
        under = tips(
            (f"name_{language}:N", text.plain("city", language)),
            ("year:O", text.plain("year", language)),
            ("series_count:Q", title),
        )
        y = alt.Y("city_id:O", title=None, axis=axis)
        return _heat_map("series_count", title, most, y, under, orient="top").properties(
            height=4 * len(cities)
        )

    complete, empty = (int((data["series_count"] == count).sum()) for count in (most, 0))
    described = text.words(
        "alt_coverage_by_city", cities=len(cities), series=most, complete=complete, empty=empty
    )
    return figure(
        "coverage_by_city", text.both("coverage_by_city"), data, draw, described, shared=cities
    )


def _by_series(coverage: pd.DataFrame, text: Catalogue) -> Figure:
    """Draw how many cities have a value, by series and year."""
    wide = coverage.pivot_table("is_filled", "year", "series", aggfunc="sum", sort=False)
    data = wide.reset_index().melt("year", value_name="city_count")
    for language in LANGUAGES:
        data[f"label_{language}"] = [text.plain_label(name, language) for name in data["series"]]
    most = coverage["city_id"].nunique()

    def draw(language: str) -> alt.TopLevelMixin:
        title = text.plain("cities_with_value", language)
        y = alt.Y(
            f"label_{language}:N", title=None, sort=None, axis=alt.Axis(labelLimit=LABEL_LIMIT)
        )
        under = tips(
            (f"label_{language}:N", text.plain("series", language)),
            ("year:O", text.plain("year", language)),
            ("city_count:Q", title),
        )
        return _heat_map("city_count", title, most, y, under).properties(
            height=20 * data["series"].nunique()
        )

    counts = data.groupby("series", sort=False)["city_count"].sum()
    empty = [text.names(name) for name in counts.index[counts == 0]]
    missing = tuple(", ".join(name[place] for name in empty) or "0" for place in (0, 1))
    described = text.words("alt_coverage_by_series", series=len(counts), missing=missing)
    return figure("coverage_by_series", text.both("coverage_by_series"), data, draw, described)


def _heat_map(
    column: str,
    title: str,
    most: int,
    y: alt.Y,
    tooltip: list[alt.Tooltip],
    orient: Literal["top", "bottom"] = "bottom",
) -> alt.Chart:
    """Return rows by year, shaded from few to all; none at all is no pale blue."""
    x = alt.X("year:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True, orient=orient))
    blues = alt.Color(
        f"{column}:Q", scale=alt.Scale(scheme="blues", domain=[0, most]), legend=squares(title)
    )
    colour = alt.condition(f"datum.{column} == 0", alt.value("#f0eeea"), blues)
    return (
        CHART.mark_rect()
        .encode(x=x, y=y, color=colour, tooltip=tooltip)
        .properties(width="container")
    )


def _short(province: str) -> str:
    """Return what a province is called in short.

    Of a Chinese name two letters tell it, but for a few.
    """
    if province.isascii():
        return province
    return next(filter(province.startswith, LONG_NAMES), province[:2])
