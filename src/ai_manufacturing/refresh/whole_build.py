"""The whole `dbt build` of a warehouse: what it was made from and what it holds, so that a refresh can publish it.

The hooks of dbt write one row into main.build_record (macros/record_build.sql); any later run that builds drops it. A
refresh takes the warehouse if deliveries, code, packages, seeds and settings are those of the row, and every table,
view and comment is what the run left. In any doubt it builds (docs/decisions/a_refresh_builds_from_nothing.md).
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing import landing, settings
from ai_manufacturing.auditing.wording import some_of
from ai_manufacturing.landing import log
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.releases import fingerprint, last_build
from ai_manufacturing.releases.errors import RefreshError
from ai_manufacturing.system import duckdb_client, integrity
from ai_manufacturing.system.disk import copy
from ai_manufacturing.system.duckdb_client import reading
from ai_manufacturing.system.sql_text import identifier, literal

RECORD = "build_record"  # in the schema main
COLUMNS = ("started_at", "inputs", "landed", "content")
PERMUTATIONS = "CURVE_PERMUTATIONS"
ACCEPTED = "ACCEPTED_GATE_FAILURES"
NAMED = 3  # of what differs, in a message
VARIABLES = re.compile(
    "CURVE_PERMUTATIONS|WAREHOUSE_(THREADS|MEMORY_LIMIT)|ACCEPTED_GATE_FAILURES|DBT_(?!LOG_|.*(DIR|PATH)$).*"
)
"""Of the environment, on which tables depend; where dbt finds and writes its files and how it logs are none of them."""
# A view counts by its words: DuckDB prints its brackets, types and EXCLUDE lists anew once the file was closed.
CATALOGUE = f"""
    select 'views' as relation, md5(string_agg(concat_ws(' ', schema_name, view_name, comment,
        list_sort(string_split_regex(replace(lower(sql), 'text', 'varchar'), '[ ,;()]+'))), chr(10)
        order by schema_name, view_name)) as fingerprint
    from duckdb_views() where not internal and database_name = current_database()
    union all
    select 'columns', md5(string_agg(concat_ws(' ', schema_name, table_name, column_index, column_name, data_type,
        comment), chr(10) order by schema_name, table_name, column_index))
    from duckdb_columns()
    where not internal and database_name = current_database() and table_name <> '{RECORD}'
    union all
    select 'comments', md5(string_agg(concat_ws(' ', schema_name, table_name, comment), chr(10)
        order by schema_name, table_name))
    from duckdb_tables() where database_name = current_database() and table_name <> '{RECORD}'
"""


class NotTakenError(Exception):
    """Why the warehouse is not published as it is."""


@dataclass(frozen=True)
class Taken:
    """A whole build that a refresh publishes.

    Attributes
    ----------
    started_at : str
        When its run began, UTC.
    permutations : str
        How many permutations of the specification curve it made.
    """

    started_at: str
    permutations: str


def inputs() -> str:
    """Return what a build that begins now is made from, as JSON; empty where it cannot be read, which landing says."""
    try:
        return json.dumps(_inputs(fingerprint.delivery_hashes(settings.extracts_dir())), ensure_ascii=False)
    except (RefreshError, OSError):
        return ""


def landed() -> str:
    """Return the last event of the log of deliveries, as JSON; empty where it cannot be read."""
    try:
        name = landing.extract_set(settings.extracts_dir()).name
        return json.dumps(log.read(settings.landing_dir(), name)[-1:], ensure_ascii=False)
    except (landing.LandingError, OSError):
        return ""


def content_query(tables: Sequence[str]) -> str:
    """Return a query for the content of a warehouse: relation and fingerprint, one row each.

    Parameters
    ----------
    tables : sequence of str
        All tables, each as schema.table.
    """
    selects = [
        f"select {literal(name)} as relation, "
        "concat_ws(' ', count(*), sum(hash(counted)), md5(any_value(typeof(counted)))) as fingerprint "
        f"from {'.'.join(map(identifier, name.split('.')))} as counted"
        for name in sorted(tables)
        if name != f"main.{RECORD}"
    ]
    return " union all ".join([*selects, CATALOGUE])


def take(work: Path, hashes: dict[str, str]) -> Taken:
    """Copy the warehouse of WAREHOUSE_PATH to where a refresh builds, if it is a whole build of what is there now.

    Parameters
    ----------
    work : Path
        Folder of the build, without a warehouse.
    hashes : dict of str to str
        SHA-256 of each delivered file, now.

    Raises
    ------
    NotTakenError
        With the reason, if there is any doubt.
    """
    path = settings.warehouse_path()
    if not path.exists():
        raise NotTakenError(f"{path} is not there")
    if path.with_name(path.name + ".wal").exists():
        raise NotTakenError(f"{path} is open in another process, or was not closed cleanly")
    if duckdb.__version__.startswith("1.") and path.stem != Path(last_build.WAREHOUSE).stem:
        raise NotTakenError(f"views in {path} name the file, which this version of DuckDB cannot rename")
    try:
        with reading(path) as connection:  # no process can write to it meanwhile
            record = _record(connection, path)
            made_from = json.loads(record["inputs"])
            _require_same(path, made_from, _inputs(hashes))
            if record["landed"] != landed():
                raise NotTakenError(f"other files have landed in {settings.landing_dir()} since {path} was built")
            _require_content(connection, path, json.loads(record["content"]))
            copy(path, work / last_build.WAREHOUSE)
    except duckdb.Error as error:
        raise NotTakenError(f"{path} cannot be read: {str(error).splitlines()[0].rstrip('.')}") from error
    with duckdb_client.connect(str(work / last_build.WAREHOUSE)) as copied:
        copied.execute(f"drop table main.{RECORD}")
    if (parsed := settings.target_dir() / last_build.PARSED).exists():
        (work / "target").mkdir()
        shutil.copyfile(parsed, work / "target" / last_build.PARSED)
    return Taken(record["started_at"], made_from["settings"].get(PERMUTATIONS) or "0")


def _inputs(hashes: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return what tables are a function of, by kind."""
    extracts = settings.extracts_dir()
    described = extracts / DESCRIPTION
    return {
        "deliveries": hashes,
        "code": fingerprint.code(),
        "packages": {**fingerprint.package_versions(), "python": sys.version},
        "places": {
            "extract_set": [str(extracts), integrity.sha256(described) if described.is_file() else None],
            "landing_dir": str(settings.landing_dir()),
        },
        "settings": {name: value for name, value in sorted(os.environ.items()) if VARIABLES.fullmatch(name)},
    }


def _record(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """Return the row of a run that ended whole."""
    try:
        rows = connection.execute(f"select {', '.join(COLUMNS)} from main.{RECORD}").fetchall()
    except duckdb.CatalogException:
        rows = []
    if len(rows) != 1 or not all(rows[0]):
        raise NotTakenError(f"the last run in {path} was no whole dbt build that ended well, or it had --vars")
    return dict(zip(COLUMNS, rows[0], strict=True))


def _require_same(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    if before.keys() != now.keys():
        raise NotTakenError(f"{path} was built by another version")
    if before["settings"].get(ACCEPTED):
        raise NotTakenError(f"{path} was built with failures of the gate accepted")
    # a refresh makes the permutations by itself
    before, now = ({**one, "settings": {**one["settings"], PERMUTATIONS: None}} for one in (before, now))
    for what in now:
        if names := _differing(before[what], now[what]):
            raise NotTakenError(f"{path} was built from other {what}: {names}")


def _require_content(connection: duckdb.DuckDBPyConnection, path: Path, before: dict[str, str]) -> None:
    tables = connection.execute(
        "select schema_name || '.' || table_name from duckdb_tables() where database_name = current_database()"
    ).fetchall()
    now = dict(connection.execute(content_query([name for (name,) in tables])).fetchall())
    if names := _differing(before, now):
        raise NotTakenError(f"{path} was changed since it was built: {names}")


def _differing(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Return the names whose values differ, the first few; empty if none does."""
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return some_of(names, NAMED)
