"""`ai-manufacturing status`: published release, last attempt to refresh, current run."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ai_manufacturing.cli.console import JSON, command, print_event, print_json, refresh_errors
from ai_manufacturing.system import settings
from ai_manufacturing.system.exit_codes import ExitCode

if TYPE_CHECKING:
    from ai_manufacturing.releases.manifest import Manifest
    from ai_manufacturing.releases.store import Store

# Fields of a log line that are included in the JSON output.
PUBLICATION = ("release_id", "at", "outcome", "reason", "instead_of")
Row = dict[str, Any]
Line = tuple[str, str | None]
"""A line of terminal output and its colour."""


@command(examples=["status", "status --json"], failed="there is no release, or a file is damaged")
@JSON
def status(as_json: bool) -> None:
    """Show the published release, the last attempt to refresh, and whether one is running.

    Also lists late providers, and relations of the warehouse that are older than their inputs.
    """
    from ai_manufacturing.releases import configured, lock, refresh_log
    from ai_manufacturing.releases.errors import RefreshError
    from ai_manufacturing.releases.store import SEEN

    with refresh_errors(print_event):
        store = configured.store()
        running, manifest = lock.holder(store.lock), store.current()
        document: Row = {
            "path": str(store.published),
            "release": None,
            "anchor": None,
            "providers": [],
        }
        lines: list[Line] = []
        if manifest is not None:
            document, lines = _published(store, manifest)
        publications = [line for line in store.refreshes() if line["outcome"] in SEEN]
        last = publications[-1] if publications else None
        document |= {
            "last_attempt": refresh_log.last_attempt(store.folder),
            "last_publication": last and {name: last.get(name) for name in PUBLICATION},
            "running": running,
            "stale_relations": _stale_relations(),
        }
        if as_json:
            print_json(document)
        else:
            for line, colour in [*lines, *_activity(document)]:
                click.secho(line, fg=colour)
        if manifest is None:
            way_out = "`ai-manufacturing refresh` does it."
            if running:
                way_out = f"A refresh has been running {_since(running)}."
            raise RefreshError(f"{store.published}: nothing is published yet. {way_out}")


def release_record(release: Row, published: str | None, anchor: str | None) -> Row:
    """Return the JSON record of a release, for `status` and `releases`.

    Parameters
    ----------
    release : dict
        Record of the release, as in Manifest.listed.
    published, anchor : str or None
        Numbers of the published release and of its anchor.
    """
    number = release["release_id"]
    return {**release, "is_published": number == published, "is_anchor": number == anchor}


def _published(store: "Store", manifest: "Manifest") -> tuple[Row, list[Line]]:
    """Return the status of the published release, as JSON and as lines of text."""
    from ai_manufacturing.auditing import anchors, freshness
    from ai_manufacturing.releases import headlines
    from ai_manufacturing.system.duckdb_client import reading

    with reading(store.published) as release:
        anchor = anchors.of(store, release, manifest)
        drift = anchor.record(anchors.shown_estimates(release))
        estimated = headlines.read(release)
        providers = freshness.of_release(release)
    age, of_release = (
        _age(manifest.published_at),
        f"{manifest.release_id} of {manifest.published_at}",
    )
    record = release_record(manifest.listed, manifest.release_id, anchor.release_id)
    document = {
        "path": str(store.published),
        "release": {
            **record,
            "age_days": age / timedelta(days=1),
            "headlines": estimated.record(),
        },
        "anchor": drift,
        "providers": [provider.record() for provider in providers],
    }
    files = f"{manifest.delivery_count} files"
    measured = "drift: not measured, as no release has had a headline estimate"
    if anchor.release_id:
        measured = f"drift: {drift['largest_drift']:.2f} standard errors at most, from {anchor}"
    counts = manifest.gate_summary.items()
    gate = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts) or "no results"
    lines: list[Line] = [
        (f"{store.published}: release {of_release} ({age.days} days old)", None),
        (
            f"extract set {manifest.origin}, {files}",
            "yellow" if manifest.origin.is_synthetic else None,
        ),
        (f"headlines: {estimated}", None if estimated.estimated_count else "red"),
        (f"gate: {gate}; by {manifest.published_by} {manifest.reason}".rstrip(), None),
        (measured, None),
    ]
    for provider in providers:
        late = "yellow" if provider.is_late else None
        lines.append((str(provider), "red" if provider.is_stale else late))
    return document, lines


def _activity(document: Row) -> Iterator[Line]:
    """Yield lines on the current run, the last attempt and publication, and stale relations."""
    running, last = document["running"], document["last_publication"]
    if running:
        yield f"running: {_since(running)}", "yellow"
    yield _attempt_in_words(document["last_attempt"], running)
    publication = f"{last['release_id']}, {last['at']}: {last['outcome']}" if last else "none"
    yield f"last publication: {publication}", None
    for row in document["stale_relations"]:
        older = f"{row['relation']} is older than {row['input_relation']}"
        yield f"{settings.warehouse_path()}: {older}", "yellow"


def _stale_relations() -> list[Row]:
    """Return the relations of the warehouse that are older than their inputs.

    The list is empty if there is no warehouse, or if a run is writing to it.
    """
    import duckdb

    from ai_manufacturing.system import duckdb_client

    query = "select relation, input_relation from intermediate.int_stale_relations order by all"
    try:
        with duckdb_client.reading(settings.warehouse_path()) as warehouse:
            return duckdb_client.rows(warehouse, query)
    except duckdb.Error:
        return []


def _attempt_in_words(attempt: Row | None, running: Row | None) -> tuple[str, str | None]:
    """Return the status line about an attempt to refresh, and its colour."""
    if attempt is None:
        return "last attempt: none is recorded", None
    began = f"last attempt: {attempt['began_at']}, {_age(attempt['began_at']).days} days ago"
    if attempt["ended_at"] is None:
        if running and all(running[name] == attempt[name] for name in ("pid", "host")):
            return f"{began}, is running", None
        return f"{began}, began and did not end: it was killed, or the machine stopped", "red"
    failed = attempt["exit_code"] not in (ExitCode.DONE, ExitCode.NOTHING_NEW)
    message = f": {attempt['message']}" if attempt["message"] else ""
    ended = f"{began}, exit code {attempt['exit_code']}, {attempt['outcome']}{message}"
    return ended, "red" if failed else None


def _since(running: Row) -> str:
    """Return the start time and process of the run that holds the lock, as text."""
    if running["since"] is None:
        return "for a moment"
    return f"since {running['since']}, process {running['pid']} on {running['host']}"


def _age(at: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(at)
