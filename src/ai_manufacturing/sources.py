"""What is delivered, what is not, where an absent series can be had, and what becomes estimable with it."""

import csv
from typing import Any

import duckdb
import yaml

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
        wait for it and, in `sources`, where its files are known to be, under which name to put them in the extracts
        folder, and the specifications that they alone make estimable.
    """
    delivered = duckdb_client.rows(
        release,
        "select provider, source_name, provenance_class, publisher, republished_by, licence, "
        f"{SOURCE_LINK} as link, cast(accessed_on as varchar) as accessed_on, count(distinct file_path) as file_count "
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
    places = _places(release, {(row["provider"], row["source_name"]) for row in delivered})
    for row in absent:
        row["specifications"] = sorted(name for name, needs in missing.items() if row["series"] in needs)
        row["sources"] = [
            {
                **place,
                "estimable": sorted(
                    name for name, needs in missing.items() if row["series"] in needs and needs <= series
                ),
            }
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
            name
            for name in _columns(source.provider, source.entity)
            if (source.provider, name) in listed or (source.provider, "*") in listed
        }
        (link,) = release.execute(
            f"select {SOURCE_LINK} from (select ? as source_address, ? as source_commit, ? as source_path)",
            [origin.source_address, origin.source_commit, origin.source_path],
        ).fetchone() or (None,)
        place = {
            **{"provider": source.provider, "source_name": source.name, "licence": origin.licence},
            **{"link": link, "accessed_on": str(origin.accessed_on), "put_at": source.files},
        }
        places.append((place, series))
    return places


def _listed() -> set[tuple[str, str]]:
    """Return who may feed what: the rows of seeds/series_sources.csv by provider and series, or star."""
    path = settings.project_root() / "seeds/series_sources.csv"
    with path.open(encoding="utf-8", newline="") as rows:
        return {(row["provider"], row["series"]) for row in csv.DictReader(rows)}


def _columns(provider: str, entity: str) -> set[str]:
    """Return the columns of the staging model of a provider's entity, as its property file describes them."""
    path = settings.project_root() / "models/staging" / provider / f"_{provider}__models.yml"
    models = yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    return {
        column["name"]
        for model in models
        if model["name"] == f"stg_{provider}__{entity}"
        for column in model["columns"]
    }
