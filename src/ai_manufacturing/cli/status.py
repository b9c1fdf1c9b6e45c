"""Command that shows the published release, the last refresh and the current run."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ai_manufacturing.cli.console import (
    JSON_OPTION,
    command,
    exit_on_refresh_error,
    print_event,
    print_json,
)
from ai_manufacturing.system import settings
from ai_manufacturing.system.exit_codes import ExitCode

if TYPE_CHECKING:
    from ai_manufacturing.releases.manifest import Manifest
    from ai_manufacturing.releases.store import Store

# Log fields that the JSON output includes for the last publication.
PUBLICATION_FIELDS = ("release_id", "at", "outcome", "reason", "instead_of")
Row = dict[str, Any]
Line = tuple[str, str | None]
"""A line of terminal output and its colour."""


@command(examples=["status", "status --json"], failure="there is no release, or a file is damaged")
@JSON_OPTION
def status(as_json: bool) -> None:
    """Show the published release, the last refresh attempt, and any running refresh.

    Also lists late providers, and warehouse tables that are older than their inputs.
    """
    from ai_manufacturing.releases import configured, lock, refresh_log
    from ai_manufacturing.releases.errors import RefreshError
    from ai_manufacturing.releases.store import SEEN

    with exit_on_refresh_error(print_event):
        store = configured.read_store()
        running, manifest = lock.read_holder(store.lock), store.read_current_manifest()
        document: Row = {
            "path": str(store.published_path),
            "release": None,
            "anchor": None,
            "providers": [],
        }
        lines: list[Line] = []
        if manifest is not None:
            document, lines = _describe_release(store, manifest)
        publications = [line for line in store.read_refreshes() if line["outcome"] in SEEN]
        last = publications[-1] if publications else None
        document |= {
            "last_attempt": refresh_log.read_last_attempt(store.folder),
            "last_publication": last and {name: last.get(name) for name in PUBLICATION_FIELDS},
            "running": running,
            "stale_relations": _list_stale_relations(),
        }
        if as_json:
            print_json(document)
        else:
            for line, colour in [*lines, *_describe_activity(document)]:
                click.secho(line, fg=colour)
        if manifest is None:
            next_step = "Run `ai-manufacturing refresh`."
            if running:
                next_step = f"A refresh has been running {_describe_run(running)}."
            raise RefreshError(
                f"{store.published_path}: no release has been published yet. {next_step}"
            )


def build_release_record(release: Row, published_id: str | None, anchor_id: str | None) -> Row:
    """Return a release as a JSON record for the commands `status` and `releases`.

    Parameters
    ----------
    release : dict
        Record of the release, as in Manifest.summary.
    published_id, anchor_id : str or None
        Numbers of the published release and of its anchor.
    """
    number = release["release_id"]
    return {**release, "is_published": number == published_id, "is_anchor": number == anchor_id}


def _describe_release(store: "Store", manifest: "Manifest") -> tuple[Row, list[Line]]:
    """Return the status of the published release, as JSON and as lines of text."""
    from ai_manufacturing.auditing import anchors, freshness
    from ai_manufacturing.releases import headlines
    from ai_manufacturing.system.duckdb_client import open_read_only

    with open_read_only(store.published_path) as release:
        anchor = anchors.read_anchor(store, release, manifest)
        drift = anchor.to_record(anchors.read_shown_estimates(release))
        headline_summary = headlines.read_headlines(release)
        providers = freshness.read_freshness(release)
    age, release_name = (
        _compute_age(manifest.published_at),
        f"{manifest.release_id} of {manifest.published_at}",
    )
    record = build_release_record(manifest.summary, manifest.release_id, anchor.release_id)
    document = {
        "path": str(store.published_path),
        "release": {
            **record,
            "age_days": age / timedelta(days=1),
            "headlines": headline_summary.to_record(),
        },
        "anchor": drift,
        "providers": [provider.to_record() for provider in providers],
    }
    files = f"{manifest.delivery_count} files"
    drift_line = "drift: not measured, because no release has had a headline estimate"
    if anchor.release_id:
        drift_line = f"drift: at most {drift['largest_drift']:.2f} standard errors from {anchor}"
    counts = manifest.gate_summary.items()
    gate = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts) or "no results"
    lines: list[Line] = [
        (f"{store.published_path}: release {release_name} ({age.days} days old)", None),
        (
            f"extract set {manifest.origin}, {files}",
            "yellow" if manifest.origin.is_synthetic else None,
        ),
        (f"headlines: {headline_summary}", None if headline_summary.estimated_count else "red"),
        (
            f"gate: {gate}; published by {manifest.published_by}: {manifest.reason}".rstrip(": "),
            None,
        ),
        (drift_line, None),
    ]
    for provider in providers:
        late = "yellow" if provider.is_late else None
        lines.append((str(provider), "red" if provider.is_stale else late))
    return document, lines


def _describe_activity(document: Row) -> Iterator[Line]:
    """Yield status lines on current and last refresh, last publication and stale tables."""
    running, last = document["running"], document["last_publication"]
    if running:
        yield f"running: {_describe_run(running)}", "yellow"
    yield _describe_attempt(document["last_attempt"], running)
    publication = f"{last['release_id']}, {last['at']}: {last['outcome']}" if last else "none"
    yield f"last publication: {publication}", None
    for row in document["stale_relations"]:
        message = f"{row['relation']} is older than {row['input_relation']}"
        yield f"{settings.warehouse_path()}: {message}", "yellow"


def _list_stale_relations() -> list[Row]:
    """Return the warehouse tables and views that are older than their inputs.

    The list is empty if there is no warehouse, or if a run is writing to it.
    """
    import duckdb

    from ai_manufacturing.system import duckdb_client

    query = "select relation, input_relation from intermediate.int_stale_relations order by all"
    try:
        with duckdb_client.open_read_only(settings.warehouse_path()) as warehouse:
            return duckdb_client.fetch_rows(warehouse, query)
    except duckdb.Error:
        return []


def _describe_attempt(attempt: Row | None, running: Row | None) -> tuple[str, str | None]:
    """Return a status line on the last refresh attempt, with its terminal colour."""
    if attempt is None:
        return "last attempt: none has been recorded", None
    start = (
        f"last attempt: {attempt['began_at']}, {_compute_age(attempt['began_at']).days} days ago"
    )
    if attempt["ended_at"] is None:
        if running and all(running[name] == attempt[name] for name in ("pid", "host")):
            return f"{start}, still running", None
        return (
            f"{start}, started but did not end: the process was killed, or the machine stopped"
        ), "red"
    is_failure = attempt["exit_code"] not in (ExitCode.DONE, ExitCode.NOTHING_NEW)
    message = f": {attempt['message']}" if attempt["message"] else ""
    text = f"{start}, exit code {attempt['exit_code']}, {attempt['outcome']}{message}"
    return text, "red" if is_failure else None


def _describe_run(running: Row) -> str:
    """Format the start time and the process of the running refresh."""
    if running["since"] is None:
        return "for a moment"
    return f"since {running['since']}, process {running['pid']} on {running['host']}"


def _compute_age(at: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(at)
