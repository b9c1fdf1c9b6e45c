"""Build the site's cities page: ranks, comparison with peer cities, and data provenance."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from ai_manufacturing.site.charts import (
    CHART,
    GREY,
    Figure,
    build_label_expression,
    convert_to_columns,
    draw_figure,
    encode_json,
    make_tooltips,
)
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue, Words

SQL = load_statements(__file__)

# Maximum number of source rows to list per value, largest first; the rest are summed. A firm count,
# for example, has one source row per industry.
SHOWN_ROWS = 3
# Height of the chart in pixels.
HEIGHT = 300
# Maximum width of a city's name beside the chart in pixels.
LABEL_WIDTH = alt.ExprRef("windowSize()[0] < 600 ? 70 : 160")
# Keys of the translated texts that cities.js needs.
SCRIPT_TEXTS = (
    "line_median",
    "line_range",
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
    "province",
    "any_city",
    "first_city",
    "growth_rank",
)


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the ranks and time series of all cities, and an empty chart filled by cities.js."""
    cities = release.fetch_rows("select * from marts.dim_city order by city_id")
    series_rows = _read_series(release)
    series = {row["series"]: row for row in series_rows if row["has_values"]}
    withheld_series = defaultdict(list)
    for row in series_rows:
        if row["is_delivered"] and not row["has_values"]:
            withheld_series[row["provider"]].append(row["series"])
    standings = release.fetch_frame(SQL["standings"])
    peers = dict(zip(standings["city_id"], standings["peer_group"], strict=True))
    # Parts of the peer groups, such as region=east, by which the ranking can be filtered.
    strata = sorted({part for group in peers.values() for part in group.split(", ")})
    groupings = sorted({part.partition("=")[0] for part in strata})
    ranked_variables = [*standings["variable"].unique()]
    banded_variables = [
        name for name in ranked_variables if release.is_rounded and name not in series
    ]
    chart_variables = list(dict.fromkeys([*ranked_variables, *series]))
    period = release.fetch_period()
    years = [period["first_year"], period["last_year"]]

    return {
        "values": encode_json(
            {
                "series": chart_variables,
                "ranked": ranked_variables,
                "banded": banded_variables,
                "units": {name: row["unit"] for name, row in series.items()},
                "providers": {name: row["provider"] for name, row in series.items()},
                "labels": (
                    {name: text.find_labels(name) for name in [*chart_variables, *groupings]}
                    | {
                        row["unit"]: text.find_labels_of_kind("unit", row["unit"])
                        for row in series.values()
                    }
                ),
                "words": {key: text.texts[key] for key in SCRIPT_TEXTS},
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
                "peerGroups": {group: text.find_labels(group) for group in {*peers.values()}},
                "strata": {name: text.find_labels(name) for name in strata},
                "files": release.fetch_frame(SQL["files"]).to_numpy().tolist(),
                "values": convert_to_columns(
                    _read_chart_values(release) if chart_variables else pd.DataFrame()
                ),
                "standings": convert_to_columns(standings.drop(columns="peer_group")),
                "rankings": _read_rankings(release),
            }
        ),
        "figure": _draw_city_chart(years, text) if chart_variables else None,
        "has_values": bool(series),
        "has_bands": bool(banded_variables),
        "fewest": max(standings["fewest_of_a_share"].dropna(), default=None),
        "missing": [row["series"] for row in series_rows if not row["is_delivered"]],
        "withheld": [
            {**row, "series": withheld_series[row["provider"]]}
            for row in release.find_withheld_providers(
                "marts.fct_city_year_values", "marts.fct_delivered_values"
            )
        ],
    }


def write_city_scripts(release: Release, text: Catalogue, folder: Path) -> None:
    """Write a JavaScript file per city with source rows, gaps, corrections and doubtful values.

    Writes nothing if no series has values.
    """
    if not any(row["has_values"] for row in _read_series(release)):
        return
    cells = _read_delivered_rows(release)
    missing: dict[str, Any] = defaultdict(lambda: defaultdict(dict))
    reasons: dict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
    for row in _read_gaps(release):
        numbers = reasons[row["city_id"]]
        number = numbers.setdefault(tuple(_explain_gap(row, text)), len(numbers))
        missing[row["city_id"]][row["series"]][row["year"]] = number
    corrections = _read_corrections(release)
    doubtful = _read_doubtful_values(release, text)
    target = folder / "cities"
    target.mkdir()
    for city_id in release.fetch_frame("select city_id from marts.dim_city")["city_id"]:
        details = {
            "missing": missing[city_id],
            "reasons": [*reasons[city_id]],
            "corrections": corrections[city_id],
            "doubtful": doubtful[city_id],
        }
        words = encode_json(details)
        script = f'cityDelivered("{city_id}",{words[:-1]},"cells":{cells.get(city_id, "{}")}}});\n'
        (target / f"{city_id}.js").write_text(script, encoding="utf-8")


def _read_series(release: Release) -> list[dict[str, Any]]:
    """Return the time series of the cities page, with flags for delivered and available values."""
    release.connection.execute(SQL["shown_series"])
    return release.fetch_rows("from shown_series order by scope, series")


def _read_rankings(release: Release) -> list[dict[str, Any]]:
    """Return the ranks of all cities, in the order of their codes, by variable and year."""
    rankings = release.connection.execute(SQL["rankings"])
    names = [column[0] for column in rankings.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rankings.fetchall()]


def _shorten_number(value: Any) -> Any:
    """Convert a float that is a whole number to int, and return other values unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _explain_gap(row: dict[str, Any], text: Catalogue) -> Words:
    """Return the reason for a missing value, in English and Chinese.

    A correction takes precedence, followed by a row set aside, and finally a gap in the delivery.
    """
    if row["correction_id"] is not None:
        reason = row["correction_reason"]
        reasons = (reason, row["correction_reason_zh"] or reason)
        return text.format_words(
            "missing_corrected", correction=row["correction_id"], reason=reasons
        )
    if row["set_aside_reason"] is not None:
        place = {"file": row["set_aside_file"], "row": row["set_aside_row"]}
        reasons = text.find_labels(row["set_aside_reason"])
        return text.format_words("missing_set_aside", reason=reasons, **place)
    key = "missing_in_row" if row["has_year"] else "missing_in_year"
    return text.format_words(key, provider=row["provider"], year=row["year"])


def _read_delivered_rows(release: Release) -> dict[str, str]:
    """Return each city's source rows as a JSON string, by city id.

    For each series and year these are the largest rows, and the sum of the others. The database
    assembles them, because the sample has a million.
    """
    frame = release.fetch_frame(SQL["delivered_rows"], most=SHOWN_ROWS)
    return dict(zip(frame["city_id"], frame["cells"], strict=True))


def _read_gaps(release: Release) -> list[dict[str, Any]]:
    """Return the missing city-years of each delivered series, with the reason if known."""
    return release.fetch_rows(SQL["gaps"])


def _read_corrections(release: Release) -> dict[str, list[list[Any]]]:
    """Return the data corrections to list on the cities page, by city id."""
    frame = release.fetch_frame(SQL["corrections"])
    corrections = defaultdict(list)
    for city_id, *values in frame.to_numpy().tolist():
        corrections[city_id].append([*map(_shorten_number, values)])
    return corrections


def _read_doubtful_values(release: Release, text: Catalogue) -> dict[str, list[list[Any]]]:
    """Return values flagged as unexplained, copied or redefined, by city id."""
    frame = release.fetch_frame(SQL["doubtful_values"])
    doubtful = defaultdict(list)
    for city_id, series, year, value, expected, cause, detail in frame.to_numpy().tolist():
        words = text.find_labels(cause)
        if detail:
            words = text.format_words(
                "cause_with_detail", cause=words, detail=text.find_labels(detail)
            )
        doubtful[city_id].append(
            [series, year, _shorten_number(value), _shorten_number(expected), *words]
        )
    return doubtful


def _read_chart_values(release: Release) -> pd.DataFrame:
    """Return the series values and ranks that the chart shows, by city and year."""
    return release.fetch_frame(SQL["drawn"])


def _draw_city_chart(years: list[int], text: Catalogue) -> Figure:
    empty = pd.DataFrame({"who": [], "year": [], "value": []})

    def draw(language: str) -> alt.TopLevelMixin:
        words = {
            who: text.format_text(f"line_{who}", language)
            for who in ("city", "peer", "median", "range")
        }
        name = (f"name_{language}:N", text.format_text("city", language))
        year = ("year:Q", text.format_text("year", language))
        value = ("value:Q", text.format_text("count", language), ",.6~g")
        missing = (f"missing_{language}:N", text.format_text("missing", language))
        base = CHART.encode(
            x=alt.X("year:Q")
            .title(None)
            .axis(format="d", tickMinStep=1)
            .scale(domain=years, nice=False),
            # cities.js sets the scales: rank 1 is at the top, and ranks have no median line.
            color=alt.Color("who:N", scale=alt.Scale()).legend(
                title=None,
                symbolType="stroke",
                symbolOpacity=1,
                symbolStrokeWidth=3,
                labelExpr=build_label_expression("datum.value", words),
                columns=1,
            ),
        )
        lines = base.encode(y=alt.Y("value:Q").title(None).scale(zero=True), detail="city_id:N")
        peers = lines.transform_filter("datum.who == 'peer'")
        return alt.layer(
            base.transform_filter("datum.who == 'range'")
            .mark_area(opacity=0.5)
            .encode(y=alt.Y("value:Q").scale(), y2=alt.Y2("high:Q")),
            peers.mark_line(strokeWidth=1).encode(tooltip=make_tooltips(name, year, value)),
            base.transform_filter("isValid(datum.label_height)")
            .mark_text(align="left", dx=6, fontSize=10, limit=LABEL_WIDTH)
            .encode(
                y=alt.Y("label_height:Q").scale(), text=f"name_{language}:N", color=alt.value(GREY)
            ),
            lines.transform_filter("datum.who == 'city' || datum.who == 'median'")
            .mark_line(point=alt.OverlayMarkDef(size=35, cursor="pointer"))
            .encode(tooltip=make_tooltips(name, year, value)),
            base.transform_filter("isValid(datum.missing_en)")
            .mark_point(
                shape="cross", angle=45, size=45, filled=True, opacity=0.8, cursor="pointer"
            )
            .encode(y=alt.value(HEIGHT - 4), tooltip=make_tooltips(name, year, missing)),
            width="container",
            height=HEIGHT,
        )

    return draw_figure(
        "city", text.render_text("city_and_peers"), empty, draw, text.format_words("alt_city")
    )
