"""Publish a release or hold it for review, with locking, checks, logging and the website."""

import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ai_manufacturing import landing
from ai_manufacturing.auditing import findings
from ai_manufacturing.auditing.anchors import Anchor
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.refresh import writer
from ai_manufacturing.refresh.writer import NewRelease
from ai_manufacturing.releases import lock
from ai_manufacturing.releases.errors import BadConfigurationError, RefreshError
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.refresh_log import OnEvent, warn
from ai_manufacturing.releases.store import PUBLISHED, WAREHOUSE, Store, move_dbt_files
from ai_manufacturing.system import clock, settings
from ai_manufacturing.system.disk import sync

# ---------------------------------------------------------------- locking


@contextmanager
def lock_release_folder(store: Store, on_event: OnEvent) -> Iterator[None]:
    """Lock and prepare the release folder, and convert unexpected errors to RefreshError."""
    with lock.hold_lock(store.lock):
        store.prepare_folders()
        with _convert_errors(store):
            for line in store.restore_log():
                warn(on_event, f"{line}.")
            _warn_about_log(store.move_wal_aside(), on_event)
            yield


@contextmanager
def _convert_errors(store: Store) -> Iterator[None]:
    """Convert unexpected errors to RefreshError, stating which release is published."""
    inode_before = _read_inode(store.published_path)
    try:
        yield
    except RefreshError:
        raise
    except Exception as error:
        state = "The published release is unchanged"
        if _read_inode(store.published_path) != inode_before:
            state = "The new release is published; the steps after publication did not run"
        if isinstance(error, OSError):
            # When a copy fails, filename2 is the target.
            path = error.filename2 or error.filename or store.folder
            raise RefreshError(
                f"{path} cannot be read or written ({error.strerror}). {state}. Free disk space,"
                " restore the file or correct its permissions, and refresh again."
            ) from error
        path = store.folder / "traceback.txt"
        with suppress(OSError):
            path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        raise RefreshError(
            f"An unexpected error occurred ({type(error).__name__}: {reason}). {state}. If the"
            f" error occurs again, report it as a bug, with the traceback in {path}."
        ) from error


def _read_inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _warn_about_log(moved_log: Path | None, on_event: OnEvent) -> None:
    if moved_log is not None:
        warn(
            on_event,
            "Another program had written to the published file; the write-ahead log of that program"
            f" was moved to {moved_log}.",
        )


# ---------------------------------------------------------------- extract set


def require_same_set(
    store: Store,
    replaced_release: Manifest | None,
    origin: Origin,
    subject: str,
    replaces: bool,
) -> None:
    """Raise if a release would replace another extract set without the user's permission.

    Parameters
    ----------
    store : Store
        Release folder.
    replaced_release : Manifest or None
        Manifest of the release to replace.
    origin : Origin
        Extract set and kind of the new numbers.
    subject : str
        Subject of the error message: the folder, build or release with the new numbers.
    replaces : bool
        Whether the user asked to replace the extract set.

    Raises
    ------
    BadConfigurationError
        If the extract set or kind differs; the message names both.
    """
    if replaces or replaced_release is None or replaced_release.origin == origin:
        return
    old_id, old_origin = replaced_release.release_id, replaced_release.origin
    remedy = _describe_remedy(origin, old_origin)
    raise BadConfigurationError(
        f"{subject} belongs to extract set {origin}, but release {old_id} in {store.folder} belongs"
        f" to {old_origin}. Nothing was published. {remedy} To replace the published extract set,"
        " add --replace-extract-set."
    )


def require_declared_set(store: Store, replaced_release: Manifest | None, replaces: bool) -> None:
    """Check the declared extract set before the build, unless landing can still change it.

    Raises
    ------
    BadConfigurationError
        See require_same_set.
    """
    extract_set = landing.read_extract_set(settings.extracts_dir())
    origin, subject = (
        Origin(extract_set.name, extract_set.kind),
        f"The content of {describe_extracts()}",
    )
    # If the names match, the kind is checked after landing, which may detect a synthetic file.
    if (
        replaced_release is None
        or origin.is_synthetic
        or origin.extract_set != replaced_release.extract_set
    ):
        require_same_set(store, replaced_release, origin, subject, replaces)


def describe_extracts() -> str:
    """Return a description of the extracts folder, noting if EXTRACTS_DIR is not set."""
    folder = os.environ.get("EXTRACTS_DIR")
    sample = "the synthetic sample (the default, because EXTRACTS_DIR is not set)"
    return f"EXTRACTS_DIR ({folder})" if folder else sample


def _describe_remedy(origin: Origin, replaced_origin: Origin) -> str:
    """Return the remedy for a mismatch between extract sets.

    If the files may continue the replaced extract set, the remedy suggests its name.
    """
    extract_set = replaced_origin.extract_set
    settings_advice = (
        f"set EXTRACTS_DIR to the folder of {extract_set}, or RELEASE_DIR to another folder."
    )
    if origin.extract_set == extract_set or origin.kind != replaced_origin.kind:
        return f"S{settings_advice[1:]}"
    name = json.dumps(extract_set, ensure_ascii=False)
    return (
        f"If these files belong to that set, write name: {name} into their {DESCRIPTION}. Otherwise"
        f" {settings_advice}"
    )


# ---------------------------------------------------------------- publication


@contextmanager
def open_new_release(
    store: Store, manifest_fields: dict[str, Any], previous: Path | None
) -> Iterator[NewRelease]:
    """Write the release of a build to a file that is complete after the with block.

    Parameters
    ----------
    store : Store
        Release folder, with the build in its work folder.
    manifest_fields : dict
        All fields of Manifest except row_counts.
    previous : Path or None
        Release to list changes against.
    """
    work = store.work / manifest_fields["release_id"]
    # The file must not be named release.duckdb, because DuckDB would derive a catalog name that is
    # identical to the schema name `release`.
    target = work / "unpublished.duckdb"
    with writer.open_new_release(work / WAREHOUSE, target, manifest_fields, previous) as new:
        yield new


def publish_release(store: Store, new: NewRelease, anchor: Anchor, on_event: OnEvent) -> None:
    """Add a release to the past releases, publish it, and rebuild the website."""
    manifest = new.manifest
    release_id = manifest.release_id
    store.add_release(new.path, release_id)
    _warn_about_log(store.publish_release(release_id), on_event)
    by_hand = manifest.published_by == "hand"
    outcome = {"outcome": PUBLISHED[by_hand]} | ({"reason": manifest.reason} if by_hand else {})
    store.append_to_log({"release_id": release_id, "at": clock.now(), **outcome})
    facts = {
        "release_id": release_id,
        "path": str(store.published_path),
        "extract_set": str(manifest.origin),
        "pruned": store.prune_releases(anchor.release_id),
    }
    on_event("published", facts)
    shutil.rmtree(store.work / release_id)
    build_site(store, on_event)


def build_site(store: Store, on_event: OnEvent) -> None:
    """Build the website of the published release if SITE_DIR is set.

    If the build fails, the old site remains.
    """
    folder = settings.site_dir()
    if folder is None:
        return
    program = str(Path(sys.executable).parent / "ai-manufacturing")
    run = subprocess.run(
        [program, "report", "--release", str(store.published_path), "--out", str(folder)],
        cwd=settings.project_root(),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        reason = run.stderr.strip()[-findings.MAX_VALUE_CHARS :]
        warn(
            on_event,
            f"{folder}: the site could not be built; the old site is unchanged. {reason}",
        )
    else:
        on_event("site", {"path": str(folder)})


def hold_build(store: Store, report: dict[str, Any], on_event: OnEvent) -> None:
    """Move a build that needs review to the folder of held builds, atomically.

    Parameters
    ----------
    store : Store
        Release folder, with the build in its work folder.
    report : dict
        Content of report.json: the reasons, and the manifest fields of the build.
    on_event : callable
        Receives the numbers of pruned held builds.
    """
    release_id = report["manifest"]["release_id"]
    incoming = store.work / f"{release_id}.held"
    incoming.mkdir()
    (store.work / release_id / WAREHOUSE).replace(incoming / WAREHOUSE)
    move_dbt_files(store.work / release_id, f"{incoming}/")
    (incoming / "report.json").write_text(
        json.dumps(report, ensure_ascii=False, indent=2), encoding="utf-8"
    )
    sync(incoming / "report.json")
    store.add_held_build(incoming, release_id)
    if pruned_ids := store.prune_held_builds():
        on_event("pruned", {"held": pruned_ids})
