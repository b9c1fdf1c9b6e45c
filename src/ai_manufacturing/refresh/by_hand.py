"""Publish, accept, roll back or compare releases by hand, and declare revisions."""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import duckdb

from ai_manufacturing import landing
from ai_manufacturing.auditing import anchors, basis, changes
from ai_manufacturing.landing import declared_revisions
from ai_manufacturing.refresh import build, publishing, writer
from ai_manufacturing.releases import fingerprint, headlines
from ai_manufacturing.releases.errors import (
    BadConfigurationError,
    BuildFailedError,
    GateFailedError,
    RefreshError,
)
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.refresh_log import OnEvent
from ai_manufacturing.releases.store import WAREHOUSE, Store, require_id
from ai_manufacturing.system import clock, duckdb_client, settings


def publish_held_build(
    store: Store, release_id: str, reason: str, on_event: OnEvent, replaces: bool = False
) -> Manifest:
    """Publish a build that a refresh held for review.

    Parameters
    ----------
    store : Store
        Release folder.
    release_id : str
        Number of the held build.
    reason : str
        Reason to record in the manifest.
    on_event : callable
        See cycle.refresh.
    replaces : bool
        See cycle.refresh.

    Returns
    -------
    Manifest
        Manifest of the published release.

    Raises
    ------
    RefreshError
        If the build does not exist, or its missing estimates cannot be built.
    """
    if not reason.strip():
        raise BadConfigurationError("Give a reason for publishing a held build: --reason '...'.")
    folder = store.locate_held_build(release_id)
    with publishing.lock_release_folder(store, on_event):
        if not (folder / "report.json").exists():
            held_ids = ", ".join(store.list_held_ids()) or "none"
            raise BadConfigurationError(
                f"There is no held build {release_id}. Existing held builds: {held_ids}."
            )
        store.require_intact_held_build(release_id)
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        held_manifest = report["manifest"]
        origin = Origin(held_manifest["extract_set"], held_manifest["extract_set_kind"])
        publishing.require_same_set(
            store, store.find_release_to_replace(), origin, f"The held build {release_id}", replaces
        )
        failed_gate = report["outcome"] == GateFailedError.__name__
        # A build that failed the gate has no estimates. They are computed now, which requires the
        # code and the deliveries of the original build.
        if (
            failed_gate
            and fingerprint.compute_fingerprint(held_manifest["delivery_hashes"])
            != held_manifest["fingerprint"]
        ):
            commit = held_manifest["git_commit"] or "(unknown)"
            raise BadConfigurationError(
                f"Held build {release_id} has no estimates yet, and the code, the packages or the"
                f" extract set changed after it was built at commit {commit}. Restore the earlier"
                " state to compute the estimates, or refresh again."
            )
        work = store.work / release_id
        work.mkdir()
        shutil.copyfile(folder / WAREHOUSE, work / WAREHOUSE)
        if failed_gate and build.run_dbt(
            store, work, "build", "--select", "gate_results+", accepted_reason=reason
        ):
            cause = build.explain_failure(work)
            raise BuildFailedError(
                f"The estimates of held build {release_id} could not be computed. {cause}"
            )
        # Update the gate summary with the checks of the estimates, which have just been computed.
        with duckdb_client.open_read_only(work / WAREHOUSE) as warehouse:
            held_manifest["gate_summary"] = writer.read_manifest_content(warehouse)["gate_summary"]
        reasons = "; ".join(filter(None, [reason, held_manifest["reason"]]))
        manifest_fields = {
            **held_manifest,
            "published_by": "hand",
            "reason": reasons,
            "published_at": clock.now(),
        }
        current_basis = basis.read_basis(store)
        previous = None if current_basis is None else current_basis.path
        with publishing.open_new_release(store, manifest_fields, previous) as new:
            release = duckdb_client.open_cursor(new.connection, "new")
            estimates = anchors.read_shown_estimates(release)
            anchor = anchors.create_anchor(release, release_id)
            if anchor.release_id:
                anchor = replace(anchor, accepted_at=new.manifest.published_at, reason=reason)
            elif current_basis is not None and current_basis.manifest.origin == origin:
                anchor = current_basis.anchor
            anchors.write_anchor(release, anchor, estimates)
        publishing.publish_release(store, new, anchor, on_event)
        shutil.rmtree(folder)
        return new.manifest


def accept_release(store: Store, release_id: str, reason: str, on_event: OnEvent) -> Manifest:
    """Accept the published release as the baseline from which later drift is measured.

    Parameters
    ----------
    store : Store
        Release folder.
    release_id : str
        Number of the published release.
    reason : str
        Reason to record in the log of refreshes and in later releases.
    on_event : callable
        See cycle.refresh.

    Returns
    -------
    Manifest
        Manifest of the release.

    Raises
    ------
    RefreshError
        If it is not the published release, is damaged, or has no headline estimate.
    """
    if not reason.strip():
        raise BadConfigurationError("Give a reason for accepting a release: --reason '...'.")
    with publishing.lock_release_folder(store, on_event):
        current = store.read_current_manifest()
        if current is None or current.release_id != require_id(release_id):
            published_id = current.release_id if current else "none"
            raise BadConfigurationError(
                f"Release {release_id} cannot be accepted, because it is not the published release"
                f" (published: {published_id}). Publish the release first, with `ai-manufacturing"
                " rollback` for a past release or `ai-manufacturing publish` for a held build."
            )
        with store.open_release(store.published_path) as (_, release):
            headline_summary = headlines.read_headlines(release)
        if not headline_summary.estimated_count:
            raise BadConfigurationError(
                f"Release {release_id} cannot be the anchor for measuring drift, because"
                f" {headline_summary}. Accept a release that has headline estimates."
            )
        store.append_to_log(
            {
                "release_id": release_id,
                "at": clock.now(),
                "outcome": anchors.ACCEPTED,
                "reason": reason,
            }
        )
        on_event(anchors.ACCEPTED, {"release_id": release_id, "reason": reason})
        return current


def declare_revisions(
    store: Store, revisions: Sequence[str], reason: str, declared_by: str, on_event: OnEvent
) -> None:
    """Declare revisions of published values, so that a refresh does not hold them for review.

    Parameters
    ----------
    store : Store
        Release folder.
    revisions : sequence of str
        Each as `provider,series,scope,first_year:last_year`.
    reason, declared_by : str
        Why the values change, and who declares it.
    on_event : callable
        See cycle.refresh.

    Raises
    ------
    RefreshError
        If a revision is invalid, or the log is damaged.
    """
    with publishing.lock_release_folder(store, on_event):
        current_basis = basis.read_basis(store)
        try:
            declarations = declared_revisions.add_revisions(
                revisions,
                extract_set=landing.read_extract_set(settings.extracts_dir()).name,
                after_release="" if current_basis is None else current_basis.manifest.release_id,
                reason=reason,
                declared_by=declared_by,
                declared_at=clock.now(),
            )
        except landing.LandingError as error:
            raise BadConfigurationError(str(error)) from error
        on_event(anchors.ACCEPTED, {"lines": [*map(str, declarations)]})


def roll_back(store: Store, release_id: str, on_event: OnEvent, replaces: bool = False) -> Manifest:
    """Roll back to a past release by publishing it again.

    Parameters
    ----------
    store : Store
        Release folder.
    release_id : str
        Number of the release.
    on_event : callable
        See cycle.refresh.
    replaces : bool
        See cycle.refresh.

    Returns
    -------
    Manifest
        Manifest of the published release.

    Raises
    ------
    RefreshError
        If the release does not exist, or its content does not match its manifest.
    """
    store.locate_past_release(release_id)  # raises if the ID is malformed
    with publishing.lock_release_folder(store, on_event):
        _require_past_release(store, release_id)
        manifest = store.read_past_manifest(release_id)
        publishing.require_same_set(
            store,
            store.find_release_to_replace(),
            manifest.origin,
            f"Release {release_id}",
            replaces,
        )
        instead_of = None
        with suppress(RefreshError):  # a damaged published file must not prevent a rollback
            current = store.read_current_manifest()
            instead_of = current.release_id if current else None
        store.publish_release(release_id)
        line = {
            "release_id": release_id,
            "at": clock.now(),
            "outcome": "rolled back to",
            "instead_of": instead_of,
        }
        store.append_to_log(line)
        publishing.build_site(store, on_event)
        return manifest


def summarise_changes(store: Store, old: str, new: str) -> changes.Summary:
    """Return a summary of the changes between two past releases.

    Raises
    ------
    RefreshError
        If a release is missing or damaged, or the releases belong to different extract sets.
    """
    paths = [store.locate_past_release(number) for number in (old, new)]
    for number in (old, new):
        _require_past_release(store, number)
    old_origin, new_origin = (store.read_past_manifest(number).origin for number in (old, new))
    if old_origin != new_origin:
        raise BadConfigurationError(
            f"Release {old} belongs to extract set {old_origin}, but release {new} belongs to"
            f" {new_origin}. Compare releases of the same extract set; `ai-manufacturing releases`"
            " lists the extract set of each release."
        )
    try:
        return changes.compare_releases(*paths)
    except duckdb.Error as error:
        old_path, new_path = paths
        reason = str(error).splitlines()[0]
        raise RefreshError(
            f"{old_path} and {new_path} cannot be compared ({reason}). Run `ai-manufacturing"
            " verify` to find damaged files."
        ) from error


def _require_past_release(store: Store, release_id: str) -> None:
    if release_id not in store.list_release_ids():
        existing_ids = ", ".join(store.list_release_ids()) or "none"
        raise BadConfigurationError(
            f"There is no release {release_id}. Existing releases: {existing_ids}."
        )
