"""The page of cities: where one stands, its peers, and where a value comes from."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import (
    CHART,
    Figure,
    columnar,
    figure,
    in_script,
    tips,
    words_for,
)
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import literal
from ai_manufacturing.system.text import Catalogue, Words

# The largest rows of a value, as a count of firms has one for each industry; the others are summed.
SHOWN_ROWS = 3
HEIGHT = 300
# What the script says; both languages go with it.
WORDS = (
    "line_median",
    "among_all",
    "among_peers",
    "decile",
    "since",
    "growth_all",
    "growth_peers",
    "place",
    "band",
    "last_tie",
    "no_rank",
    "rank",
    "missing",
    "provider",
    "more_rows",
    "no_delivered_row",
    "no_corrections_of_city",
    "no_doubtful_of_city",
    "expected",
    "cause",
    "is_doubtful",
    "correction",
    "city",
    "series",
    "year",
    "delivered",
    "used",
    "reason",
    "file",
    "sheet",
    "row",
    "industry",
    "hash",
)
SHOWN = "series = quantity and (series, scope) in (select (series, scope) from marts.dim_variable)"
FILES = "select distinct file_path, delivery_id from marts.fct_delivered_values order by all"
# Of a series that may not be passed on the file that the pages read has no values.
HAS_VALUES = "series in (select variable from marts.fct_city_year_values)"


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return where all cities stand, what can be drawn of them, and an empty chart."""
    cities = release.rows("select * from marts.dim_city order by city_id")
    found = release.rows(
        f"""
        select series, unit, provider, is_delivered, is_delivered and {HAS_VALUES} as has_values
        from marts.dim_series
        where {SHOWN}
        order by scope, series
        """
    )
    series = {row["series"]: row for row in found if row["has_values"]}
    withheld = defaultdict(list)
    for row in found:
        if row["is_delivered"] and not row["has_values"]:
            withheld[row["provider"]].append(row["series"])
    standings = release.frame(
        """
        select * exclude (extract_set)
        from reports.rpt_city_standing
        qualify year = max(year) over (partition by variable)
        order by variable, city_id
        """
    )
    peers = dict(zip(standings["city_id"], standings["peer_group"], strict=True))
    ranked = [*standings["variable"].unique()]
    banded = [name for name in ranked if release.is_rounded and name not in series]
    drawn = list(dict.fromkeys([*ranked, *series]))
    period = release.period()
    years = [period["first_year"], period["last_year"]]

    return {
        "values": in_script(
            {
                "series": drawn,
                "ranked": ranked,
                "banded": banded,
                "units": {name: row["unit"] for name, row in series.items()},
                "providers": {name: row["provider"] for name, row in series.items()},
                "labels": (
                    {name: text.names(name) for name in drawn}
                    | {
                        row["unit"]: text.names_within("unit", row["unit"])
                        for row in series.values()
                    }
                ),
                "words": {key: text.texts[key] for key in WORDS},
                "cities": {
                    city["city_id"]: {
                        "names": [city["name_en"], city["name_zh"]],
                        "short": city["short_name_zh"],
                        "province": city["province_id"],
                        "peers": peers.get(city["city_id"]),
                    }
                    for city in cities
                },
                "provinces": {
                    city["province_id"]: [city["province_name_en"], city["province_name_zh"]]
                    for city in cities
                },
                "peerGroups": {group: text.names(group) for group in {*peers.values()}},
                "files": release.frame(FILES).to_numpy().tolist(),
                "values": columnar(_drawn(release, drawn, [*series])),
                "standings": columnar(standings.drop(columns="peer_group")),
            }
        ),
        "figure": _figure(years, text) if drawn else None,
        "has_values": bool(series),
        "has_bands": bool(banded),
        "fewest": max(standings["fewest_of_a_share"].dropna(), default=None),
        "missing": [row["series"] for row in found if not row["is_delivered"]],
        "withheld": [
            {**row, "series": withheld[row["provider"]]}
            for row in release.withheld_from(
                "marts.fct_city_year_values", "marts.fct_delivered_values"
            )
        ],
    }


def write(release: Release, text: Catalogue, folder: Path) -> None:
    """Write a script for each city: delivered rows, reasons of gaps, corrections, doubts.

    Without a series there is none.
    """
    if not release.rows(
        f"from marts.dim_series where {SHOWN} and is_delivered and {HAS_VALUES} limit 1"
    ):
        return
    cells = _delivered_rows(release)
    missing: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
    reasons: dict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
    for row in _gaps(release):
        known = reasons[row["city_id"]]
        number = known.setdefault(tuple(_reason(row, text)), len(known))
        missing[row["city_id"]][row["series"]][row["year"]] = number
    corrections = _corrections(release)
    doubtful = _doubtful_values(release, text)
    target = folder / "cities"
    target.mkdir()
    for city_id in release.frame("select city_id from marts.dim_city")["city_id"]:
        told = {
            "missing": missing[city_id],
            "reasons": [*reasons[city_id]],
            "corrections": corrections[city_id],
            "doubtful": doubtful[city_id],
        }
        words = in_script(told)
        script = f'cityDelivered("{city_id}",{words[:-1]},"cells":{cells.get(city_id, "{}")}}});\n'
        (target / f"{city_id}.js").write_text(script, encoding="utf-8")


def _number(value: Any) -> Any:
    """Return a whole number without its decimals, and anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _reason(row: dict[str, Any], text: Catalogue) -> Words:
    """Return why a city has no value, in each language.

    The first of correction, row set aside, source, delivery.
    """
    if row["correction_id"] is not None:
        reason = row["correction_reason"]
        reasons = (reason, row["correction_reason_zh"] or reason)
        return text.words("missing_corrected", correction=row["correction_id"], reason=reasons)
    if row["set_aside_reason"] is not None:
        place = {"file": row["set_aside_file"], "row": row["set_aside_row"]}
        reasons = text.names(row["set_aside_reason"])
        return text.words("missing_set_aside", reason=reasons, **place)
    key = "missing_in_row" if row["has_year"] else "missing_in_year"
    return text.words(key, provider=row["provider"], year=row["year"])


def _delivered_rows(release: Release) -> dict[str, str]:
    """Return the delivered rows of each city as JSON.

    By series and year the largest rows, and the rest as a sum.

    A sample has a million of them, so the database puts them together.
    """
    found = release.frame(
        f"""
        with mergers as (
            select from_city_id as former_id, to_city_id as city_id
            from seeds.city_changes
            where kind = 'merger'
        ),
        files as (
            select *, row_number() over (order by file_path, delivery_id) - 1 as number
            from ({FILES})
        ),
        shown as (select series, scope, provider from marts.dim_series where {SHOWN}),
        cells as (
            select
                coalesce(m.city_id, d.city_id) as city_id, d.series, d.year, count(*) as row_count,
                sum(d.delivered_value) as value_sum,
                list({{
                    file: f.number,
                    sheet: d.sheet_name,
                    row_number: d.row_number,
                    number: d.delivered_value,
                    industry: d.industry_code,
                    place: case when m.city_id is not null then d.city_id end
                }} order by d.delivered_value desc, f.number, d.sheet_name, d.row_number
                )[:{SHOWN_ROWS}] as rows
            from marts.fct_delivered_values as d
            inner join shown as s on d.series = s.series and d.provider = s.provider
            inner join files as f on d.file_path = f.file_path and d.delivery_id = f.delivery_id
            left join mergers as m on d.city_id = m.former_id
            where d.valid_until_delivery is null
            and (
                d.section is null
                or s.scope = 'total'
                or (s.scope, d.section) in (select (scope, section) from seeds.industry_scopes)
            )
            group by all
        ),
        series as (
            select city_id, series, to_json(map_from_entries(list((year, json_object(
                'rows', list_transform(rows, lambda r: json_array(
                    r.file, r.sheet, r.row_number, r.number, r.industry, r.place
                )),
                'more', case when row_count > {SHOWN_ROWS} then json_array(
                    row_count - {SHOWN_ROWS},
                    round(value_sum - list_sum(list_transform(rows, lambda r: r.number)), 6)
                ) end
            )) order by year))) as years
            from cells
            group by all
        )
        select city_id, to_json(map_from_entries(list((series, years) order by series))) as cells
        from series
        group by all
        """
    )
    return dict(zip(found["city_id"], found["cells"], strict=True))


def _gaps(release: Release) -> list[dict[str, Any]]:
    """Return city-years without a value of a delivered series, with the reason if known."""
    return release.rows(f"""
        with shown as (
            select series, provider from marts.dim_series where {SHOWN} and is_delivered
        ),
        city_years as (
            select v.city_id, v.year, v.value, s.series, s.provider
            from marts.fct_city_year_values as v
            inner join shown as s on v.variable = s.series
        ),
        corrected as (
            select city_id, year, series, provider, min(correction_id) as correction_id,
                arg_min(reason, correction_id) as reason,
                arg_min(reason_zh, correction_id) as reason_zh
            from marts.fct_corrections
            where value is null
            group by all
        ),
        sources as (select distinct provider, source_name, series from marts.fct_delivered_values),
        set_aside as (
            select c.city_id, r.year, s.series, s.provider, min(r.set_aside_reason) as reason,
                arg_min(r.file_path, r.set_aside_reason) as file_path,
                arg_min(r.row_number, r.set_aside_reason) as row_number
            from marts.fct_rows_set_aside as r
            inner join sources as s on r.provider = s.provider and r.source_name = s.source_name
            inner join marts.dim_city as c
                on r.city_code = c.city_id or r.city_name in (c.name_zh, c.short_name_zh)
            where r.set_aside_reason
                not in ('out of period', 'superseded', 'withdrawn', 'duplicate row')
            group by all
        ),
        delivered_years as (
            select distinct series, year from city_years where value is not null
        )
        select g.city_id, g.year, g.series, g.provider, c.correction_id,
            c.reason as correction_reason, c.reason_zh as correction_reason_zh,
            a.reason as set_aside_reason, a.file_path as set_aside_file,
            a.row_number as set_aside_row, y.year is not null as has_year
        from city_years as g
        left join corrected as c
            on g.city_id = c.city_id and g.year = c.year
            and g.series = c.series and g.provider = c.provider
        left join set_aside as a
            on g.city_id = a.city_id and g.year = a.year
            and g.series = a.series and g.provider = a.provider
        left join delivered_years as y on g.series = y.series and g.year = y.year
        where g.value is null
        order by g.city_id, g.series, g.year
        """)


def _corrections(release: Release) -> dict[str, list[list[Any]]]:
    """Return the corrections of the series on the page, by city."""
    found = release.frame(
        f"""
        select
            city_id, correction_id, series, year, delivered_value, value, reason, reason_zh,
            delivered_city_id
        from marts.fct_corrections
        where (series, provider, scope) in (
            select (series, provider, scope)
            from marts.dim_series
            where {SHOWN} and is_delivered and {HAS_VALUES}
        )
        order by city_id, series, year, correction_id
        """
    )
    corrections = defaultdict(list)
    for city_id, *told in found.to_numpy().tolist():
        corrections[city_id].append([*map(_number, told)])
    return corrections


def _doubtful_values(release: Release, text: Catalogue) -> dict[str, list[list[Any]]]:
    """Return the unexplained, copied and redefined values of series on the page, by city."""
    found = release.frame(
        f"""
        select city_id, series, year, value, expected_value, cause, cause_detail
        from marts.fct_doubtful_values
        where cause not in ('confirmed', 'level break') and (series, scope) in (
            select (series, scope)
            from marts.dim_series
            where {SHOWN} and is_delivered and {HAS_VALUES}
        )
        order by city_id, series, year
        """
    )
    doubtful = defaultdict(list)
    for city_id, series, year, value, expected, cause, other in found.to_numpy().tolist():
        words = text.words(f"cause_{cause.replace(' ', '_')}", other=text.names(other or ""))
        doubtful[city_id].append([series, year, _number(value), _number(expected), *words])
    return doubtful


def _drawn(release: Release, names: list[str], series: list[str]) -> pd.DataFrame:
    """Return what is drawn by city and year: values of series, and ranks by other variables."""
    if not names:
        return pd.DataFrame()
    columns, valued = (", ".join(map(literal, some)) for some in (names, ["", *series]))
    return release.frame(
        f"""
        pivot (
            select city_id, year, variable, value
            from marts.fct_city_year_values
            where variable in ({valued})
            union all
            select city_id, year, variable, case when not is_last_tie then national_rank end
            from reports.rpt_city_standing
            where variable not in ({valued})
        )
        on variable in ({columns})
        using max(value)
        group by city_id, year
        order by all
        """
    )


def _figure(years: list[int], text: Catalogue) -> Figure:
    empty = pd.DataFrame({"who": [], "year": [], "value": []})

    def draw(language: str) -> alt.TopLevelMixin:
        words = {who: text.plain(f"line_{who}", language) for who in ("city", "peer", "median")}
        name = (f"name_{language}:N", text.plain("city", language))
        year = ("year:Q", text.plain("year", language))
        value = ("value:Q", text.plain("count", language), ",.6~g")
        missing = (f"missing_{language}:N", text.plain("missing", language))
        base = CHART.encode(
            x=alt.X("year:Q")
            .title(None)
            .axis(format="d", tickMinStep=1)
            .scale(domain=years, nice=False),
            # The page gives the scales: of ranks the first is at the top, and there is no median.
            color=alt.Color("who:N", scale=alt.Scale()).legend(
                title=None,
                symbolType="stroke",
                labelExpr=words_for("datum.value", words),
                columns=1,
            ),
        )
        lines = base.encode(y=alt.Y("value:Q").title(None).scale(zero=True), detail="city_id:N")
        return alt.layer(
            lines.transform_filter("datum.who == 'peer'")
            .mark_line(strokeWidth=1, opacity=0.6)
            .encode(tooltip=tips(name)),
            lines.transform_filter("datum.who != 'peer'")
            .mark_line(point=alt.OverlayMarkDef(size=35, cursor="pointer"))
            .encode(tooltip=tips(name, year, value)),
            base.transform_filter("isValid(datum.missing_en)")
            .mark_point(
                shape="cross", angle=45, size=45, filled=True, opacity=0.8, cursor="pointer"
            )
            .encode(y=alt.value(HEIGHT - 4), tooltip=tips(name, year, missing)),
            width="container",
            height=HEIGHT,
        )

    return figure("city", text.both("city_and_peers"), empty, draw, text.words("alt_city"))
