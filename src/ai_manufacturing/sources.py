"""What is delivered, what is not, where an absent series can be had, and what becomes estimable with it."""

import csv
import re
from typing import Any

import duckdb

from ai_manufacturing import settings
from ai_manufacturing.landing import declarations, provenance
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.terms import SOURCE_LINK

Row = dict[str, Any]


def known(release: duckdb.DuckDBPyConnection) -> dict[str, list[Row]]:
    """Return the delivered sources of an open release or warehouse, and its absent series.

    Returns
    -------
    dict
        `delivered`: a row for each source with a file, with its provenance and link. `absent`: a row for each series
        that is not delivered and that a specification asks for or a known source has, with the specifications that
        wait for it, those of printed columns that lack nothing else (`last_missing_of`) and, in `sources`, where its
        files are known to be, the folder of the extracts and the pattern of the name under which they land, and the
        printed columns for which they hold all that is missing (`estimable`).
    """
    delivered = duckdb_client.rows(
        release,
        "select provider, source_name, provenance_class, publisher, republished_by, licence, "
        f"{SOURCE_LINK} as link, cast(looked_up_on as varchar) as looked_up_on, "
        "count(distinct file_path) as file_count "
        "from marts.fct_deliveries where provider is not null and outcome not in ('superseded', 'withdrawn') "
        "group by all order by all",
    )
    absent = duckdb_client.rows(
        release,
        "select quantity as series, any_value(label_en) as label_en, any_value(label_zh) as label_zh, "
        "any_value(absence_reason) as absence_reason from marts.dim_series "
        "group by quantity having not bool_or(is_delivered) order by quantity",
    )
    missing: dict[str, set[str]] = {}
    for row in duckdb_client.rows(
        release,
        "select distinct specification_id, quantity from marts.dim_specification_series where is_delivered is false",
    ):
        missing.setdefault(row["specification_id"], set()).add(row["quantity"])
    printed = {
        row["specification_id"]
        for row in duckdb_client.rows(release, "select specification_id from reports.rpt_column_specifications")
    }
    places = _places(release, {(row["provider"], row["source_name"]) for row in delivered})
    for row in absent:
        waiting = {name: needs for name, needs in missing.items() if row["series"] in needs}
        row["specifications"] = sorted(waiting)
        row["last_missing_of"] = sorted(printed & {name for name, needs in waiting.items() if len(needs) == 1})
        row["sources"] = [
            {**place, "estimable": sorted(printed & {name for name, needs in waiting.items() if needs <= series})}
            for place, series in places
            if row["series"] in series
        ]
    return {"delivered": delivered, "absent": [row for row in absent if row["specifications"] or row["sources"]]}


def _places(release: duckdb.DuckDBPyConnection, delivered: set[tuple[str, str]]) -> list[tuple[Row, set[str]]]:
    """Return the declared sources that have an address and no file here, with the series that they may feed."""
    listed = _listed()
    origins = provenance.read()
    places = []
    for source in declarations.read():
        origin = origins[source.provider, source.name]
        if (source.provider, source.name) in delivered or not origin.source_address:
            continue
        series = {
            name for name in _series(source) if (source.provider, name) in listed or (source.provider, "*") in listed
        }
        (link,) = release.execute(
            f"select {SOURCE_LINK} from (select ? as source_address, ? as source_commit, ? as source_path)",
            [origin.source_address, origin.source_commit, origin.source_path],
        ).fetchone() or (None,)
        folder, _, file_name = source.files.rpartition("/")
        place = {
            **{"provider": source.provider, "source_name": source.name, "licence": origin.licence},
            **{"link": link, "looked_up_on": str(origin.looked_up_on), "folder": folder, "file_name": file_name},
        }
        places.append((place, series))
    return places


def _listed() -> set[tuple[str, str]]:
    """Return who may feed what: the rows of seeds/series_sources.csv by provider and series, or star."""
    path = settings.project_root() / "seeds/series_sources.csv"
    with path.open(encoding="utf-8", newline="") as rows:
        return {(row["provider"], row["series"]) for row in csv.DictReader(rows)}


def _series(source: declarations.Source) -> set[str]:
    """Return the columns that the staging model makes of columns of the source."""
    path = settings.project_root() / f"models/staging/{source.provider}/stg_{source.provider}__{source.entity}.sql"
    if not path.is_file():
        return set()
    _, *parts = re.split(r"\n    select\n", path.read_text(encoding="utf-8"), maxsplit=1)
    made = re.findall(r"(.*?)\bas (\w+),?\n", "".join(parts), flags=re.DOTALL)
    own = "|".join(re.escape(column) for column in source.columns if column not in source.key)
    return {name for expression, name in made if re.search(rf"(?<!\w)(?:{own})(?!\w)", expression)}
