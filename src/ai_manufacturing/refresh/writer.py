"""Write a built warehouse as a release: one compact DuckDB file of commented tables.

DuckDB 1.2 and later can read the file.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import changes, revisions
from ai_manufacturing.gate import result_tables
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.contents import INPUTS, SCHEMAS, copy_comments
from ai_manufacturing.releases.errors import RefreshError
from ai_manufacturing.releases.manifest import (
    JSON_COLUMNS,
    MANIFEST_COLUMNS,
    MANIFEST_COMMENTS,
    Manifest,
    load_manifest,
)
from ai_manufacturing.releases.origin import read_origin
from ai_manufacturing.system import clock, disk, duckdb_client, settings, trusted_files
from ai_manufacturing.system.sql_text import (
    build_comments,
    build_create_table,
    build_insert,
    load_statements,
    quote_identifier,
)

SQL = load_statements(__file__)

HISTORY_COMMENTS = {
    "release_id": "Number of the release.",
    "published_at": "UTC.",
    "git_commit": "Commit of the code, as in the manifest.",
    "fingerprint": "Hash of deliveries, code and packages.",
    "specification_id": "The headline: the first claim, as it is printed.",
    "estimate": "Its estimate; null where it cannot be estimated.",
    "std_error_province": "Its error, CRV3 by province; null of releases that did not keep it.",
    "std_error": "Its error, CRV1 by city.",
    "substitutions": "What substitutes for a series or control of it; null if nothing does.",
    "verdict_en": "Its verdict.",
    "verdict_zh": "The verdict in Chinese.",
}
PREVIOUS_COLUMNS = {
    name: ("varchar", MANIFEST_COMMENTS[name])
    for name in ("release_id", "extract_set", "extract_set_kind")
}
QUESTION_COLUMNS = {
    "question": ("varchar", "What a reader asks."),
    "answer": ("varchar", "Where the answer is: a line for each heading of docs/questions.md."),
}
CELL_SEPARATOR = re.compile(r"(?<!\\)\|")  # an unescaped | between cells of a Markdown table
RULE_LINE = re.compile(r"[|: -]+")  # line below the headings of a Markdown table


@dataclass(frozen=True)
class NewRelease:
    """Release file that has not been published yet.

    Attributes
    ----------
    path : Path
        The release file.
    manifest : Manifest
    connection : DuckDBPyConnection
        Connection with the release attached as `new` and, read-only, the warehouse as `built` and
        the previous release, if there is one, as `old`. It closes together with the file.
    """

    path: Path
    manifest: Manifest
    connection: DuckDBPyConnection


@contextmanager
def open_new_release(
    warehouse: Path,
    target: Path,
    manifest: dict[str, Any],
    previous: Path | None,
    *,
    reads_files: bool = True,
) -> Iterator[NewRelease]:
    """Copy the released schemas of a warehouse to a new release file, as a context manager.

    Parameters
    ----------
    warehouse : Path
        A built warehouse that no process is writing to.
    target : Path
        The file to write; it must not exist.
    manifest : dict
        All fields of Manifest except row_counts.
    previous : Path or None
        Release to list changes against. No changes are listed for another extract set.
    reads_files : bool
        Whether this project has just built the warehouse; see duckdb_client.attach.

    Raises
    ------
    RefreshError
        If the file cannot be written, for example on a full disk; a partial file is deleted.
    RefusedError
        See duckdb_client.attach and require_views.
    """
    with duckdb_client.open_in_memory(target.with_name("spill")) as connection:
        with _delete_partial_file(connection, target):
            # Disable FSST compression, because it is rarely chosen and testing it is slow. Files
            # are written faster without it and are not larger.
            connection.execute("set disabled_compression_methods = 'fsst,dict_fsst'")
            databases = {"built": warehouse} | ({} if previous is None else {"old": previous})
            duckdb_client.attach(connection, databases, new_file=target, reads_files=reads_files)
            release_manifest = _copy_release(
                connection, warehouse, manifest, has_previous=previous is not None
            )
        yield NewRelease(target, release_manifest, connection)
        with _delete_partial_file(connection, target):
            connection.execute("checkpoint new")
            connection.execute("detach new")
    if reads_files or all(map(trusted_files.is_trusted, databases.values())):
        trusted_files.record_file(target)


def write_release(
    warehouse: Path, target: Path, manifest: dict[str, Any], previous: Path | None
) -> Manifest:
    """Write a release and return its manifest; see `open_new_release` for parameters and errors."""
    with open_new_release(warehouse, target, manifest, previous) as new:
        return new.manifest


def read_manifest_content(warehouse: DuckDBPyConnection) -> dict[str, Any]:
    """Return the manifest fields that describe a warehouse; missing content gives empty fields."""
    fields: dict[str, Any] = {"extract_set": "", "extract_set_kind": "", "gate_summary": {}}
    origin = read_origin(warehouse)
    if origin is not None:
        fields["extract_set"], fields["extract_set_kind"] = origin
    with suppress(duckdb.CatalogException):  # the build stopped before the gate
        counts = warehouse.execute(
            "select count(*), count(case when not success and severity = 'critical' then 1 end), "
            "count(case when not success and severity = 'warning' then 1 end), "
            "count(case when success is null then 1 end) "
            f"from {result_tables.select_all_results(warehouse)}"
        ).fetchall()[0]
        names = ("expectations", "critical", "warnings", "not_evaluated")
        fields["gate_summary"] = dict(zip(names, counts, strict=True))
    return fields


def write_unpublished_release(warehouse: Path, target: Path) -> None:
    """Write a warehouse as an unpublished release, from which a website can be generated.

    See `open_new_release` for errors.
    """
    with duckdb_client.open_read_only(warehouse) as connection:
        fields = read_manifest_content(connection)
        hashes = dict(
            connection.execute(
                "select distinct file_path, delivery_id from raw.deliveries"
            ).fetchall()
        )
    manifest = {
        "release_id": "unpublished",
        "published_at": clock.now(),
        "git_commit": fingerprint.read_git_commit(),
        "fingerprint": "",
        "published_by": "",
        "reason": "",
        "delivery_hashes": hashes,
        "package_versions": fingerprint.read_package_versions(),
    }
    with open_new_release(warehouse, target, manifest | fields, None, reads_files=False):
        pass


@contextmanager
def _delete_partial_file(connection: DuckDBPyConnection, target: Path) -> Iterator[None]:
    """Delete an incomplete release file if writing fails, and explain the error."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        connection.close()
        for path in (target, target.with_name(target.name + ".wal")):
            path.unlink(missing_ok=True)
        if isinstance(error, (duckdb_client.RefusedError, *duckdb_client.LIMIT_ERRORS)):
            raise
        reason, remedy = str(error).splitlines()[0], "Free disk space"
        if isinstance(error, OSError):
            reason, remedy = disk.describe_failure(error, target)
        raise RefreshError(
            f"{target}: the release could not be written ({reason}). The published release is"
            f" unchanged. {remedy}, or set RELEASE_DIR to another disk."
        ) from error


def _copy_release(
    connection: DuckDBPyConnection,
    warehouse: Path,
    manifest: dict[str, Any],
    *,
    has_previous: bool,
) -> Manifest:
    """Write a release without its anchor, the baseline for drift, and return its manifest."""
    previous_manifest = (
        load_manifest(duckdb_client.open_cursor(connection, "old")) if has_previous else None
    )
    connection.execute("begin")
    relations = _list_relations(connection)
    names = [f"{schema}.{table}" for schema, table in relations]
    duckdb_client.require_views(connection, "built", warehouse, names)
    schemas = dict.fromkeys([*SCHEMAS, "release", *(schema for schema, _ in relations)])
    for schema in schemas:
        connection.execute(f"create schema new.{schema}")
    counts = {
        f"{schema}.{table}": _copy_relation(connection, schema, table)
        for schema, table in relations
    }
    copy_comments(connection, counts)
    release_manifest = Manifest(**manifest, row_counts=counts)
    _write_manifest(connection, release_manifest)
    _write_freshness(connection)
    _write_questions(connection)
    revisions.write_series_values(connection)
    _write_previous(connection, previous_manifest)
    follows = previous_manifest is not None and previous_manifest.origin == release_manifest.origin
    changes.write_changes(connection, follows=follows)
    _write_history(connection, release_manifest, follows=follows)
    connection.execute("commit")
    return release_manifest


def _list_relations(connection: DuckDBPyConnection) -> list[tuple[str, str]]:
    parameters = {"schemas": [*SCHEMAS], "inputs": [*INPUTS]}
    return connection.execute(SQL["relations"], parameters).fetchall()


def _copy_relation(connection: DuckDBPyConnection, schema: str, table: str) -> int:
    """Copy a table or a view to the release as a table, and return the number of rows."""
    name = f"{quote_identifier(schema)}.{quote_identifier(table)}"
    ((count,),) = connection.execute(f"create table new.{name} as from built.{name}").fetchall()
    return int(count)


def _write_freshness(connection: DuckDBPyConnection) -> None:
    """Record when each provider last delivered new content; a renamed file does not count."""
    connection.execute(SQL["freshness"])
    columns = {
        "provider": "Folder of models/staging.",
        "newest_delivery_at": "When its newest delivery landed, UTC.",
    }
    comment = "One row per provider: when its newest delivery landed, UTC."
    connection.execute(build_comments("new.release.freshness", comment, columns))


def _write_questions(connection: DuckDBPyConnection) -> None:
    """Copy the questions of docs/questions.md, each with the table or command that answers it."""
    comment = "One row per question: which table, rows or command answers it."
    connection.execute(build_create_table("new.release.questions", QUESTION_COLUMNS, comment))
    path = settings.project_root() / "docs" / "questions.md"
    for row in parse_questions(path.read_text(encoding="utf-8")) if path.exists() else []:
        connection.execute(build_insert("new.release.questions", len(row)), row)


def parse_questions(text: str) -> list[tuple[str, str]]:
    """Return the question and the answer in each row of a Markdown page's question tables.

    The first heading of such a table begins with "question".
    """
    rows: list[tuple[str, str]] = []
    headings: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in CELL_SEPARATOR.split(line)[1:-1]]
        if not cells:
            headings = []
        elif not headings:
            headings = cells
        elif headings[0].startswith("question") and not RULE_LINE.fullmatch(line):
            answers = zip(headings[1:], cells[1:], strict=False)
            lines = (f"{heading}: {cell}" for heading, cell in answers if cell)
            rows.append((cells[0], "\n".join(lines)))
    return rows


def _write_manifest(connection: DuckDBPyConnection, manifest: Manifest) -> None:
    values = asdict(manifest)
    row = [
        json.dumps(values[name], sort_keys=True) if name in JSON_COLUMNS else values[name]
        for name in MANIFEST_COLUMNS
    ]
    columns = {name: ("varchar", text) for name, text in MANIFEST_COMMENTS.items()}
    connection.execute(
        build_create_table(
            "new.release.manifest", columns, "One row: this file's identity and inputs."
        )
    )
    connection.execute(build_insert("new.release.manifest", len(row)), row)


def _write_previous(connection: DuckDBPyConnection, previous_manifest: Manifest | None) -> None:
    """Record which release was published before this one.

    Changes are listed only if it belongs to the same extract set.
    """
    comment = (
        "One row: the release that was published before; none for the first. release.changes is"
        " empty if it is of another extract set or kind."
    )
    connection.execute(build_create_table("new.release.previous", PREVIOUS_COLUMNS, comment))
    if previous_manifest is not None:
        row = [getattr(previous_manifest, name) for name in PREVIOUS_COLUMNS]
        connection.execute(build_insert("new.release.previous", len(row)), row)


def _write_history(connection: DuckDBPyConnection, manifest: Manifest, *, follows: bool) -> None:
    """Record the headline estimate of every release, because old release files are deleted.

    Parameters
    ----------
    follows : bool
        Whether the previous release belongs to the same set and is attached as `old`.
    """
    names = ("release_id", "published_at", "git_commit", "fingerprint")
    connection.execute(SQL["history"], {name: getattr(manifest, name) for name in names})
    if follows:
        connection.execute("insert into new.release.history by name from old.release.history")
    comment = "One row per release of this extract set, each followed by the next."
    connection.execute(build_comments("new.release.history", comment, HISTORY_COMMENTS))
