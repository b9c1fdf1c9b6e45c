"""Delivered sources, and absent series with their known sources and the columns that need them."""

import csv
from collections import defaultdict
from typing import Any

import duckdb

from ai_manufacturing.landing import declarations
from ai_manufacturing.system import duckdb_client, settings
from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

Row = dict[str, Any]
Series = tuple[str, str]  # name and scope


def known(release: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return the delivered sources and the absent series of an open release or warehouse.

    Returns
    -------
    dict
        `is_judged`: whether the file has estimates, which are needed to list printed columns; a
        build held at the gate has none. `delivered`: a row per source with a file, with its
        provenance and link. `absent`: a row per undelivered series and scope, with the
        specifications that need it, the printed columns that lack nothing else (`last_missing_of`),
        and known `sources`. Each source has a link, the folder and file name pattern under which
        its files land, and the printed columns for which it provides all missing series
        (`estimable`).

    Raises
    ------
    duckdb.CatalogException, duckdb.BinderException
        If the file lacks a table or column, because older code built it or its build failed.
    """
    delivered = duckdb_client.fetch_rows(
        release,
        SQL["delivered"],
    )
    absent = duckdb_client.fetch_rows(
        release,
        "select series, scope, label_en, label_zh, absence_reason from marts.dim_series "
        "where not is_delivered order by series, scope",
    )
    missing: defaultdict[str, set[Series]] = defaultdict(set)
    for row in duckdb_client.fetch_rows(
        release,
        "select distinct specification_id, quantity, scope from marts.dim_specification_series "
        "where is_delivered is false",
    ):
        missing[row["specification_id"]].add((row["quantity"], row["scope"]))
    of_columns = "select specification_id from reports.rpt_column_specifications"
    is_judged = bool(
        release.execute(
            "from duckdb_tables() where table_name = 'rpt_column_specifications'"
        ).fetchall()
    )
    printed = {name for (name,) in release.execute(of_columns).fetchall()} if is_judged else set()
    places = _places({(row["provider"], row["source_name"]) for row in delivered})
    for row in absent:
        series = row["series"], row["scope"]
        waiting = {name: needs for name, needs in missing.items() if series in needs}
        row["specifications"] = sorted(waiting)
        row["last_missing_of"] = sorted(
            printed & {name for name, needs in waiting.items() if len(needs) == 1}
        )
        row["sources"] = [
            {
                **place,
                "estimable": sorted(
                    printed & {name for name, needs in waiting.items() if needs <= fed}
                ),
            }
            for place, fed in places
            if series in fed
        ]
    return {"is_judged": is_judged, "delivered": delivered, "absent": absent}


def _places(delivered: set[tuple[str, str]]) -> list[tuple[Row, set[Series]]]:
    """Return the declared sources with a link but no delivered file, and the series they feed."""
    scopes = _scopes()
    places = []
    for source in declarations.read_sources():
        origin = source.provenance
        if (source.provider, source.name) in delivered or not origin.source_link:
            continue
        star = scopes[source.provider, "*"]
        fed = {
            (name, scope)
            for name in source.feeds
            for scope in scopes[source.provider, name] or star
        }
        folder, _, file_name = source.files.rpartition("/")
        place = {
            "provider": source.provider,
            "source_name": source.name,
            "licence": origin.licence,
            "link": origin.source_link,
            "looked_up_on": str(origin.looked_up_on),
            "folder": folder,
            "file_name": file_name,
        }
        places.append((place, fed))
    return places


def _scopes() -> defaultdict[tuple[str, str], set[str]]:
    """Return the scopes that each provider may feed, by provider and series (`*` for any).

    They are read from seeds/series_sources.csv, which a release does not contain.
    """
    scopes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    path = settings.project_root() / "seeds/series_sources.csv"
    with path.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            scopes[row["provider"], row["series"]].add(row["scope"])
    return scopes
