"""Data quality: the gate's expectations, rows set aside, corrections applied, coverage by city and year."""

import json
from typing import Any

import altair as alt
from markupsafe import Markup

from ai_manufacturing.site.charts import LABEL_LIMIT, TABLE, Figure, figure, squares
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import LANGUAGES, Catalogue, pair

LISTED = 200  # rows set aside that the page lists; all are in the table that it names
FAILING_LISTED = 10
# Provinces whose names are told by more than two letters.
LONG_NAMES = ("内蒙古", "黑龙江")


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return what the gate found and what was delivered."""
    expectations = release.rows(
        "select suite, description, description_zh, severity, success, observed_value, checked_count, "
        "failing_row_count, failing_rows "
        f"from {release.gate_results()} order by success, severity, suite, description"
    )
    names = {
        row["city_id"]: pair(row["name_en"], row["name_zh"])
        for row in release.rows("select city_id, name_en, name_zh from marts.dim_city")
    }
    has_panel = bool(release.rows("select 1 from marts.fct_city_year_panel limit 1"))
    return {
        "gate": gate_counts(release),
        "expectations": [
            {**row, "failing": _failing(row["failing_rows"], names) if not row["success"] else []}
            for row in expectations
        ],
        "accounting": release.rows(
            "select provider, source_name, entity, disposition, count(*) as file_count, "
            "cast(sum(row_count) as bigint) as row_count from marts.fct_row_accounting group by all order by all"
        ),
        "set_aside": release.rows(
            "select provider, source_name, set_aside_reason, count(*) as row_count, min(year) as first_year, "
            "max(year) as last_year from marts.fct_rows_set_aside group by all "
            "order by row_count desc, provider, source_name, set_aside_reason"
        ),
        "set_aside_rows": release.rows(
            "select provider, file_path, row_number, city_name, year, set_aside_reason from marts.fct_rows_set_aside "
            "where set_aside_reason <> 'superseded' order by file_path, row_number limit ?",
            LISTED,
        ),
        # a correction of every city is one line
        "corrections": release.rows(
            "select c.correction_id, c.series, c.year, count(*) as city_count, any_value(d.name_en) as name_en, "
            "any_value(d.name_zh) as name_zh, any_value(r.name_en) as row_name_en, "
            "any_value(r.name_zh) as row_name_zh, "
            "any_value(c.delivered_value) as delivered_value, any_value(c.value) as value, "
            "any_value(c.action) as action, "
            "any_value(c.reason) as reason, any_value(c.reason_zh) as reason_zh "
            "from marts.fct_corrections as c left join marts.dim_city as d on c.city_id = d.city_id "
            "left join marts.dim_city as r on c.delivered_city_id = r.city_id and r.city_id <> c.city_id "
            "group by c.correction_id, c.series, c.year order by c.correction_id, c.series, c.year"
        ),
        "withheld": release.withheld_from("marts.fct_corrections", "gates.gate_results"),
        "by_city": _by_city(release, text) if has_panel else None,
        "by_series": _by_series(release, text) if has_panel else None,
    }


def gate_counts(release: Release) -> dict[str, int]:
    """Return how many expectations passed, failed by severity, or had nothing to check and so did neither."""
    return release.rows(
        "select count(case when success and checked_count is distinct from 0 then 1 end) as passed, "
        "count(case when success and checked_count = 0 then 1 end) as nothing_to_check, "
        "count(case when not success and severity = 'critical' then 1 end) as critical, "
        "count(case when not success and severity = 'warning' then 1 end) as warnings "
        f"from {release.gate_results()}"
    )[0]


def _failing(rows: str | None, names: dict[str, Markup]) -> list[dict[str, Any]]:
    """Return the first failing rows, with cities by name."""
    return [
        {name: names.get(value, value) if name == "city_id" else value for name, value in row.items()}
        for row in json.loads(rows or "[]")[:FAILING_LISTED]
    ]


def _panel_series(release: Release) -> list[str]:
    """Return the series that the panel holds, in its order."""
    return [
        row["column_name"]
        for row in release.rows(
            "select column_name from duckdb_columns() where schema_name = 'marts' "
            "and table_name = 'fct_city_year_panel' and column_name in (select series from marts.dim_series) "
            "order by column_index"
        )
    ]


def _filled(series: list[str]) -> str:
    """Return SQL of the city-years in which a series of the panel has a value, be it withheld here or not."""
    names = ", ".join(f"'{name}'" for name in series)
    return (
        "select series, city_id, year from release.series_values "
        f"where scope in ('industry', 'total') and series in ({names})"
    )


def _by_city(release: Release, text: Catalogue) -> Figure:
    series = _panel_series(release)
    data = release.frame(
        "select c.city_id, c.name_en, c.name_zh, c.province_name_en, c.province_name_zh, p.year, "
        "count(v.series) as series_count from marts.fct_city_year_panel as p "
        "inner join marts.dim_city as c on p.city_id = c.city_id "
        f"left join ({_filled(series)}) as v on p.city_id = v.city_id and p.year = v.year "
        "group by all order by c.city_id, p.year"
    )
    cities = data.drop_duplicates("city_id").drop(columns=["year", "series_count"])
    firsts = cities.drop_duplicates("province_name_zh")

    def draw(language: str) -> alt.TopLevelMixin:
        labels = " : ".join(
            f"datum.value == '{row.city_id}' ? '{_short(getattr(row, f'province_name_{language}'))}'"
            for row in firsts.itertuples()
        )
        return (
            alt.Chart(TABLE)
            .mark_rect()
            .encode(
                x=alt.X("year:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True, orient="top")),
                y=alt.Y(
                    "city_id:O",
                    title=None,
                    axis=alt.Axis(values=list(firsts["city_id"]), labelExpr=f"{labels} : ''", labelOverlap="greedy"),
                ),
                color=_blues("series_count", len(series), text.plain("series_with_value", language)),
                tooltip=[
                    alt.Tooltip(f"name_{language}:N", title=text.plain("city", language)),
                    alt.Tooltip("year:O", title=text.plain("year", language)),
                    alt.Tooltip("series_count:Q", title=text.plain("series_with_value", language)),
                ],
            )
            .properties(width="container", height=4 * data["city_id"].nunique())
        )

    def describe(language: str) -> str:
        return text.plain(
            "alt_coverage_by_city",
            language,
            cities=data["city_id"].nunique(),
            series=len(series),
            complete=int((data["series_count"] == len(series)).sum()),
            empty=int((data["series_count"] == 0).sum()),
        )

    shown = data[["city_id", "year", "series_count"]]
    return figure("coverage_by_city", text.both("coverage_by_city"), shown, draw, describe, shared=cities)


def _by_series(release: Release, text: Catalogue) -> Figure:
    series = _panel_series(release)
    columns = ", ".join(f"count(case when v.series = '{name}' then 1 end) as {name}" for name in series)
    ((cities,),) = release.frame("select count(*) from marts.dim_city").to_numpy().tolist()
    wide = release.frame(
        f"select p.year, {columns} from marts.fct_city_year_panel as p "
        f"left join ({_filled(series)}) as v on p.city_id = v.city_id and p.year = v.year group by all order by p.year"
    )
    data = wide.melt("year", var_name="series", value_name="city_count").astype(object)
    for language in LANGUAGES:
        data[f"label_{language}"] = [text.plain_label(name, language) for name in data["series"]]

    def draw(language: str) -> alt.TopLevelMixin:
        return (
            alt.Chart(TABLE)
            .mark_rect()
            .encode(
                x=alt.X("year:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
                y=alt.Y(f"label_{language}:N", title=None, sort=None, axis=alt.Axis(labelLimit=LABEL_LIMIT)),
                color=_blues("city_count", cities, text.plain("cities_with_value", language)),
                tooltip=[
                    alt.Tooltip(f"label_{language}:N", title=text.plain("series", language)),
                    alt.Tooltip("year:O", title=text.plain("year", language)),
                    alt.Tooltip("city_count:Q", title=text.plain("cities_with_value", language)),
                ],
            )
            .properties(width="container", height=20 * len(series))
        )

    def describe(language: str) -> str:
        totals = data.groupby("series")["city_count"].sum()
        missing = [text.plain_label(name, language) for name in series if totals[name] == 0]
        return text.plain("alt_coverage_by_series", language, series=len(series), missing=", ".join(missing) or "0")

    return figure("coverage_by_series", text.both("coverage_by_series"), data, draw, describe)


def _blues(column: str, most: int, title: str) -> alt.Color:
    """Return a scale from few to all; none at all is no pale blue."""
    return alt.condition(
        f"datum.{column} == 0",
        alt.value("#f0eeea"),
        alt.Color(f"{column}:Q", scale=alt.Scale(scheme="blues", domain=[0, most]), legend=squares(title)),
    )


def _short(province: str) -> str:
    """Return what a province is called in short: of a Chinese name two letters tell it, but for a few."""
    return province if province.isascii() else next(filter(province.startswith, LONG_NAMES), province[:2])
