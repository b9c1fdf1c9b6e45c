"""Publication of a release, or its hold: the lock, the extract set that stays, the site."""

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
from ai_manufacturing.refresh.writer import Written
from ai_manufacturing.releases import lock
from ai_manufacturing.releases.errors import BadConfigurationError, RefreshError
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.refresh_log import OnEvent, warn
from ai_manufacturing.releases.store import PUBLISHED, WAREHOUSE, Store
from ai_manufacturing.system import clock, settings
from ai_manufacturing.system.disk import sync

# ---------------------------------------------------------------- the lock, and words for errors


@contextmanager
def at_work(store: Store, on_event: OnEvent) -> Iterator[None]:
    """Hold the lock over a store that is ready."""
    with lock.held(store.lock):
        store.prepare()
        with _errors_in_words(store):
            for line in store.record_anew():
                warn(on_event, f"{line}.")
            _warn_of_log(store.move_log_aside(), on_event)
            yield


@contextmanager
def _errors_in_words(store: Store) -> Iterator[None]:
    """Report an error of the disk, DuckDB or the code, and the release that readers see."""
    before = _file_number(store.published)
    try:
        yield
    except RefreshError:
        raise
    except Exception as error:
        seen = "The published release is unchanged"
        if _file_number(store.published) != before:
            seen = "The new release is published; the steps after publication did not run"
        if isinstance(error, OSError):
            # where a file is copied, the second is the one that is written
            place = error.filename2 or error.filename or store.folder
            raise RefreshError(
                f"{place}: {error.strerror}. {seen}. Make room there, restore it or correct its"
                " permissions, and refresh again."
            ) from error
        path = store.folder / "traceback.txt"
        with suppress(OSError):
            path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        what = (str(error).splitlines() or [""])[0].rstrip(".")
        raise RefreshError(
            f"{type(error).__name__}: {what}. {seen}. If it happens again, it is a bug; {path} has"
            " the traceback."
        ) from error


def _file_number(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _warn_of_log(aside: Path | None, on_event: OnEvent) -> None:
    if aside is not None:
        what = "Someone had written to the published file"
        warn(on_event, f"{what}; the log was moved to {aside}.")


# ---------------------------------------------------------------- one extract set stays published


def require_same_set(
    store: Store,
    standing: Manifest | None,
    origin: Origin,
    what: str,
    replaces: bool,
) -> None:
    """Raise if a release would replace one of another extract set or kind unasked.

    Parameters
    ----------
    store : Store
        Where releases go.
    standing : Manifest or None
        Of the release that would be replaced.
    origin : Origin
        Whose numbers would be published.
    what : str
        What holds them, as the message begins.
    replaces : bool
        Whether it is asked for.

    Raises
    ------
    BadConfigurationError
        Naming both.
    """
    if replaces or standing is None or standing.origin == origin:
        return
    raise BadConfigurationError(
        f"{what} is of extract set {origin}; release {standing.release_id} in {store.folder} is of"
        f" {standing.origin}. Nothing was published. {_or_the_same_set(origin, standing.origin)}"
        f" EXTRACTS_DIR to the folder of {standing.extract_set}, or RELEASE_DIR to another folder."
        " To give that set up, add --replace-extract-set."
    )


def require_declared_set(store: Store, standing: Manifest | None, replaces: bool) -> None:
    """Refuse before the build what the extracts folder says of itself, as far as that is certain.

    Raises
    ------
    BadConfigurationError
        As require_same_set.
    """
    declared = landing.extract_set(settings.extracts_dir())
    origin, what = Origin(declared.name, declared.kind), f"What lies in {extracts_in_words()}"
    # it may still hold a synthetic file, as the published one of its name did
    if standing is None or origin.is_synthetic or origin.extract_set != standing.extract_set:
        require_same_set(store, standing, origin, what, replaces)


def extracts_in_words() -> str:
    """Return what EXTRACTS_DIR names, for whoever has forgotten to set it."""
    named = os.environ.get("EXTRACTS_DIR")
    sample = "the synthetic sample, as EXTRACTS_DIR is not set,"
    return f"EXTRACTS_DIR ({named})" if named else sample


def _or_the_same_set(origin: Origin, standing: Origin) -> str:
    """Return the first words of the way out: a name, where a set goes on under another one."""
    if origin.extract_set == standing.extract_set or origin.kind != standing.kind:
        return "Set"
    name = json.dumps(standing.extract_set, ensure_ascii=False)
    into = f"write name: {name} into their {DESCRIPTION}"
    return f"If these files continue that set, {into}. Otherwise set"


# ---------------------------------------------------------------- written, and published or held


@contextmanager
def written(store: Store, described: dict[str, Any], basis: Path | None) -> Iterator[Written]:
    """Write the release of a build into a file of its own, which is whole when the block ends.

    Parameters
    ----------
    store : Store
        With the build in its work folder.
    described : dict
        The fields of Manifest but row_counts.
    basis : Path or None
        The release to list changes against.
    """
    work = store.work / described["release_id"]
    # Not named release: a catalog of that name could not be told from the schema.
    target = work / "unpublished.duckdb"
    with writer.writing(work / WAREHOUSE, target, described, basis) as new:
        yield new


def publish(store: Store, new: Written, anchor: Anchor, on_event: OnEvent) -> None:
    """Move a written release to its place and before its readers."""
    manifest = new.manifest
    release_id = manifest.release_id
    store.add(new.path, release_id)
    _warn_of_log(store.publish(release_id), on_event)
    by_hand = manifest.published_by == "hand"
    outcome = {"outcome": PUBLISHED[by_hand]} | ({"reason": manifest.reason} if by_hand else {})
    store.record({"release_id": release_id, "at": clock.now(), **outcome})
    facts = {
        "release_id": release_id,
        "path": str(store.published),
        "extract_set": str(manifest.origin),
        "pruned": store.prune(anchor.release_id),
    }
    on_event("published", facts)
    shutil.rmtree(store.work / release_id)
    build_site(store, on_event)


def build_site(store: Store, on_event: OnEvent) -> None:
    """Build the site of what is published, where SITE_DIR names a folder.

    The old site stays if that fails.
    """
    folder = settings.site_dir()
    if folder is None:
        return
    program = str(Path(sys.executable).parent / "ai-manufacturing")
    run = subprocess.run(
        [program, "report", "--release", str(store.published), "--out", str(folder)],
        cwd=settings.project_root(),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        why = run.stderr.strip()[-findings.VALUE :]
        warn(on_event, f"{folder}: the site could not be built; the old site stays. {why}")
    else:
        on_event("site", {"path": str(folder)})


def hold(store: Store, report: dict[str, Any], on_event: OnEvent) -> None:
    """Keep a build that is not published, whole or not at all.

    Parameters
    ----------
    store : Store
        With the build in its work folder.
    report : dict
        Content of report.json: why it is held, and the fields of its manifest.
    on_event : callable
        Takes the numbers of held builds that are pruned.
    """
    release_id = report["manifest"]["release_id"]
    incoming = store.work / f"{release_id}.held"
    incoming.mkdir()
    (store.work / release_id / WAREHOUSE).replace(incoming / WAREHOUSE)
    (incoming / "report.json").write_text(
        json.dumps(report, ensure_ascii=False, indent=2), encoding="utf-8"
    )
    sync(incoming / "report.json")
    store.keep_held(incoming, release_id)
    if pruned := store.prune_held():
        on_event("pruned", {"held": pruned})
