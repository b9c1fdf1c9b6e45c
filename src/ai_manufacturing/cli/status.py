"""`ai-manufacturing status`: what is published, what was tried last, and what runs."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from ai_manufacturing import settings
from ai_manufacturing.cli.console import JSON, command, print_event, print_json, refresh_errors
from ai_manufacturing.system.exit_codes import ExitCode

if TYPE_CHECKING:
    from ai_manufacturing.releases.attempts import Attempt
    from ai_manufacturing.releases.manifest import Manifest
    from ai_manufacturing.releases.store import Store

# Of a line of the log, in JSON.
PUBLICATION = ("release_id", "at", "outcome", "reason", "instead_of")


@command(examples=["status", "status --json"])
@JSON
def status(as_json: bool) -> None:
    """Show the published release, its deliveries, late providers, the last attempt, and whether one runs.

    And, of the warehouse, what is older than the tables that it is made of.
    """
    from ai_manufacturing.releases import configured, lock
    from ai_manufacturing.releases.errors import RefreshError

    with refresh_errors(print_event):
        store = configured.store()
        running = lock.holder(store.lock)
        manifest = store.current()
        if as_json:
            print_json(_document(store, manifest, running))
        else:
            for line, colour in _lines(store, manifest, running):
                click.secho(line, fg=colour)
        if manifest is None:
            way_out = (
                f"A refresh has been running {_since(running)}."
                if running
                else "`ai-manufacturing refresh` does it."
            )
            raise RefreshError(f"{store.published}: nothing is published yet. {way_out}")


def release_record(
    release: dict[str, Any], published: str | None, anchor: str | None
) -> dict[str, Any]:
    """Return what `status` and `releases` say of a release in JSON.

    Parameters
    ----------
    release : dict
        As Manifest.listed.
    published, anchor : str or None
        Numbers of the published release and of its anchor.
    """
    number = release["release_id"]
    return {**release, "is_published": number == published, "is_anchor": number == anchor}


def _document(
    store: "Store", manifest: "Manifest | None", running: dict[str, Any] | None
) -> dict[str, Any]:
    from ai_manufacturing.auditing import anchors, freshness
    from ai_manufacturing.releases import attempts
    from ai_manufacturing.system.duckdb_client import reading

    publication, attempt = _last_publication(store), attempts.last(store.folder)
    document: dict[str, Any] = {
        "path": str(store.published),
        "release": None,
        "anchor": None,
        "providers": [],
        "last_attempt": attempt and asdict(attempt),
        "last_publication": publication and {name: publication.get(name) for name in PUBLICATION},
        "running": running,
        "stale_relations": _stale_relations(),
    }
    if manifest is not None:
        with reading(store.published) as release:
            anchor = anchors.of(store, release, manifest)
            document["anchor"] = anchor.record(anchors.shown_estimates(release))
            document["providers"] = [
                provider.record() for provider in freshness.of_release(release)
            ]
        record = release_record(manifest.listed, manifest.release_id, anchor.release_id)
        document["release"] = {
            **record,
            "age_days": _age(manifest.published_at) / timedelta(days=1),
        }
    return document


def _lines(
    store: "Store", manifest: "Manifest | None", running: dict[str, Any] | None
) -> Iterator[tuple[str, str | None]]:
    """Yield the lines of status and their colours."""
    from ai_manufacturing.auditing import anchors, freshness
    from ai_manufacturing.releases import attempts
    from ai_manufacturing.system.duckdb_client import reading

    if manifest is not None:
        of = (
            f"release {manifest.release_id} of {manifest.published_at}"
            f" ({_age(manifest.published_at).days} days old)"
        )
        yield f"{store.published}: {of}", None
        files = f"{manifest.delivery_count} files"
        yield (
            f"extract set {manifest.origin}, {files}",
            "yellow" if manifest.origin.is_synthetic else None,
        )
        gate = ", ".join(
            f"{count} {name.replace('_', ' ')}" for name, count in manifest.gate_summary.items()
        )
        yield (
            f"gate: {gate or 'no results'}; by {manifest.published_by} {manifest.reason}".rstrip(),
            None,
        )
        with reading(store.published) as release:
            anchor = anchors.of(store, release, manifest)
            drift = anchor.record(anchors.shown_estimates(release))["largest_drift"]
            providers = freshness.of_release(release)
        yield f"drift: {drift:.2f} standard errors at most, from {anchor}", None
        for provider in providers:
            yield (
                str(provider),
                "red" if provider.is_stale else "yellow" if provider.is_late else None,
            )
    if running:
        yield f"running: {_since(running)}", "yellow"
    yield _attempt_in_words(attempts.last(store.folder), running)
    last = _last_publication(store)
    publication = f"{last['release_id']}, {last['at']}: {last['outcome']}" if last else "none"
    yield f"last publication: {publication}", None
    for stale in _stale_relations():
        yield (
            (
                f"{settings.warehouse_path()}: {stale['relation']} is older than"
                f" {stale['input_relation']}"
            ),
            "yellow",
        )


def _stale_relations() -> list[dict[str, Any]]:
    """Return what is older in the warehouse than its inputs.

    Nothing where there is none, or a run writes to it.
    """
    import duckdb

    from ai_manufacturing.system import duckdb_client

    query = "select relation, input_relation from intermediate.int_stale_relations order by all"
    try:
        with duckdb_client.reading(settings.warehouse_path()) as warehouse:
            return duckdb_client.rows(warehouse, query)
    except duckdb.Error:
        return []


def _last_publication(store: "Store") -> dict[str, Any] | None:
    """Return the line of the log of refreshes since which readers see a release."""
    from ai_manufacturing.releases.store import SEEN

    return next((line for line in reversed(store.refreshes()) if line["outcome"] in SEEN), None)


def _attempt_in_words(
    attempt: "Attempt | None", running: dict[str, Any] | None
) -> tuple[str, str | None]:
    """Return the line of status on an attempt, and its colour."""
    if attempt is None:
        return "last attempt: none is recorded", None
    began = f"last attempt: {attempt.began_at}, {_age(attempt.began_at).days} days ago"
    if attempt.ended_at is None:
        if running and (running["pid"], running["host"]) == (attempt.pid, attempt.host):
            return f"{began}, is running", None
        return f"{began}, began and did not end: it was killed, or the machine stopped", "red"
    failed = attempt.exit_code not in (ExitCode.DONE, ExitCode.NOTHING_NEW)
    ended = f"{began}, exit code {attempt.exit_code}, {attempt.outcome}"
    return ": ".join(filter(None, (ended, attempt.message))), "red" if failed else None


def _since(running: dict[str, Any]) -> str:
    """Return since when the holder of a lock is at work, and which process it is."""
    if running["since"] is None:
        return "for a moment"
    return f"since {running['since']}, process {running['pid']} on {running['host']}"


def _age(at: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(at)
