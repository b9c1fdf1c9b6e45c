"""List the delivered sources, and for each missing series the sources that could provide it."""

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


def read_sources(release: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return the delivered sources and the undelivered series of an open release or warehouse.

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
    delivered_sources = duckdb_client.fetch_rows(
        release,
        SQL["delivered"],
    )
    absent_series = duckdb_client.fetch_rows(
        release,
        "select series, scope, label_en, label_zh, absence_reason from marts.dim_series "
        "where not is_delivered order by series, scope",
    )
    missing_series: defaultdict[str, set[Series]] = defaultdict(set)
    for row in duckdb_client.fetch_rows(
        release,
        "select distinct specification_id, quantity, scope from marts.dim_specification_series "
        "where is_delivered is false",
    ):
        missing_series[row["specification_id"]].add((row["quantity"], row["scope"]))
    query = "select specification_id from reports.rpt_column_specifications"
    has_estimates = bool(
        release.execute(
            "from duckdb_tables() where table_name = 'rpt_column_specifications'"
        ).fetchall()
    )
    printed_columns = (
        {name for (name,) in release.execute(query).fetchall()} if has_estimates else set()
    )
    places = _list_undelivered_sources(
        {(row["provider"], row["source_name"]) for row in delivered_sources}
    )
    for row in absent_series:
        series = row["series"], row["scope"]
        waiting_specifications = {
            name: needs for name, needs in missing_series.items() if series in needs
        }
        row["specifications"] = sorted(waiting_specifications)
        row["last_missing_of"] = sorted(
            printed_columns
            & {name for name, needs in waiting_specifications.items() if len(needs) == 1}
        )
        row["sources"] = [
            {
                **place,
                "estimable": sorted(
                    printed_columns
                    & {
                        name
                        for name, needs in waiting_specifications.items()
                        if needs <= fed_series
                    }
                ),
            }
            for place, fed_series in places
            if series in fed_series
        ]
    return {"is_judged": has_estimates, "delivered": delivered_sources, "absent": absent_series}


def _list_undelivered_sources(
    delivered_sources: set[tuple[str, str]],
) -> list[tuple[Row, set[Series]]]:
    """Return each undelivered source that has a link, with the series that it provides."""
    scopes = _read_scopes()
    places = []
    for source in declarations.read_sources():
        origin = source.provenance
        if (source.provider, source.name) in delivered_sources or not origin.source_link:
            continue
        default_scopes = scopes[source.provider, "*"]
        fed_series = {
            (name, scope)
            for name in source.feeds
            for scope in scopes[source.provider, name] or default_scopes
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
        places.append((place, fed_series))
    return places


def _read_scopes() -> defaultdict[tuple[str, str], set[str]]:
    """Return the scopes that each provider may supply, by provider and series (`*` for any).

    They are read from seeds/series_sources.csv, which a release does not contain.
    """
    scopes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    path = settings.project_root() / "seeds/series_sources.csv"
    with path.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            scopes[row["provider"], row["series"]].add(row["scope"])
    return scopes
