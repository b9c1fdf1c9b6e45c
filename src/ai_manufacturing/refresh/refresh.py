"""The cycle of a refresh: lock, land and build in private, audit, write the release, publish."""

import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing import landing, settings
from ai_manufacturing.auditing import anchors, changes, deliveries, findings, freshness, judgement, revisions
from ai_manufacturing.auditing.revisions import Declaration, ReadAgain
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.refresh import build, whole_build, writer
from ai_manufacturing.refresh.progress import Told
from ai_manufacturing.releases import fingerprint, last_build, lock
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.errors import (
    BadConfigurationError,
    BuildFailedError,
    GateFailedError,
    HeldError,
    NothingNewError,
    RefreshError,
    StaleError,
)
from ai_manufacturing.releases.origin import SYNTHETIC, Origin
from ai_manufacturing.releases.store import Manifest, Store, checked_id, read_manifest
from ai_manufacturing.system.disk import sync

PUBLISHED = ("published", "published by hand")  # in the log of refreshes

Report = Callable[[str, dict[str, Any]], None]


def refresh(
    store: Store,
    limits: Limits,
    report: Report,
    years: range | None = None,
    replaces: bool = False,
    told: Told | None = None,
) -> Manifest:
    """Build what the deliveries give and publish it, if there is something new and nothing wrong.

    Parameters
    ----------
    store : Store
        Where releases go.
    limits : Limits
        How far estimates may move.
    report : callable
        Takes an event and its facts: progress for a terminal, or lines for a log.
    years : range, optional
        Read the delivered files of these years again, and publish even if nothing is new.
    replaces : bool
        Whether the release may replace one of another extract set or kind.
    told : callable, optional
        Takes the progress of dbt, several times a second, for a terminal.

    Returns
    -------
    Manifest
        Of the release that is now published.

    Raises
    ------
    RefreshError
        One of errors.py; readers then still see the release that they saw, but for StaleError, which comes last.
    """
    with _at_work(store, report):
        freshness.allowed_ages()  # a wrong declaration is reported before the build
        declared = revisions.standing(revisions.declared(), store)
        hashes = fingerprint.delivery_hashes(settings.extracts_dir())
        _keep_the_declared_set(store, replaces)
        code = fingerprint.of(hashes)
        held = _leave_what_was_judged(store, code, limits, declared, report) if years is None else None
        release_id = store.next_id()
        report("started", {"release_id": release_id, "deliveries": len(fingerprint.delivered(hashes))})
        with _recorded(store, release_id):
            manifest = _build_and_publish(
                store, release_id, code, hashes, limits, declared, report, years, replaces, told, held
            )
        _say_late_providers(store, report, f"Release {release_id} is published.", is_published=True)
        return manifest


def _leave_what_was_judged(
    store: Store, code: str, limits: Limits, declared: Sequence[Declaration], report: Report
) -> str | None:
    """End a refresh that would build a release again that is published, was rolled back, or is held.

    Returns
    -------
    str or None
        A held build of the same deliveries, code and packages that something else decides of now: to be judged again.
    """
    published = store.current()
    same = "same deliveries, code and packages"
    nothing = None
    if published is not None and published.fingerprint == code:
        nothing = f"Nothing new since release {published.release_id}: {same}."
    elif published is not None:
        number = _taken_back(store, code, published.release_id)
        if number is not None:
            nothing = (
                f"Nothing new since release {number}: {same}. It was rolled back to {published.release_id}. To publish "
                f"it again: ai-manufacturing rollback {number}."
            )
    if nothing is not None:
        _say_late_providers(store, report, nothing, is_published=False)
        raise NothingNewError(nothing)
    judged_by = judgement.judged_by(store, limits.hold_above, declared)
    again = None
    for folder in sorted((store.folder / "held").glob("*")):
        try:
            kept = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a build that is not whole judges nothing
            continue
        is_same = kept["outcome"] == GateFailedError.__name__ or kept.get("judged_by") == judged_by
        if kept["manifest"]["fingerprint"] != code:
            continue
        if is_same:
            message = (
                f"Nothing new since build {folder.name}, which is held: {same}. {folder / 'report.json'} says why. "
                f"To publish it anyway: ai-manufacturing publish {folder.name} --reason '...'; or delete its folder, "
                "and refresh, to judge it again."
            )
            if kept["outcome"] == HeldError.__name__:
                raise HeldError(message)
            raise GateFailedError(message, folder.name)
        with suppress(RefreshError):  # a damaged one is built again
            store.require_held(folder.name)
            again = folder.name
    return again


def _taken_back(store: Store, code: str, published: str) -> str | None:
    """Return the release of the same fingerprint that was published after the present one, and rolled back."""
    lines = store.refreshes()
    were_published = {line["release_id"] for line in lines if line["outcome"] in PUBLISHED}
    # a refresh that died before its line was whole is known from the rollback
    were_published |= {line["instead_of"] for line in lines if line.get("instead_of")}
    for number in store.release_ids():
        if number in were_published and number > published:
            with suppress(RefreshError):  # a damaged file
                if read_manifest(store.past(number)).fingerprint == code:
                    return number
    return None


def publish_held(store: Store, release_id: str, reason: str, report: Report, replaces: bool = False) -> Manifest:
    """Publish a held build by hand.

    Parameters
    ----------
    store : Store
        Where releases go.
    release_id : str
        Number of the held build.
    reason : str
        Kept in the manifest.
    report : callable
        As in refresh.
    replaces : bool
        As in refresh.

    Returns
    -------
    Manifest
        Of the release that is now published.

    Raises
    ------
    RefreshError
        If there is no such build, or it has no estimates and they cannot be made.
    """
    if not reason.strip():
        raise BadConfigurationError("Give a reason for publishing a held build: --reason '...'.")
    folder = store.held(release_id)
    with _at_work(store, report):
        if not (folder / "report.json").exists():
            known = ", ".join(store.held_ids()) or "none"
            raise BadConfigurationError(f"No held build {release_id}. There are: {known}.")
        store.require_held(release_id)
        kept = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        origin = Origin(kept["manifest"]["extract_set"], kept["manifest"]["extract_set_kind"])
        _keep_the_set(store, origin, f"The held build {release_id}", replaces)
        at_gate = kept["outcome"] == GateFailedError.__name__
        # what the gate stopped is estimated now, by the code of now
        if at_gate and fingerprint.of(kept["manifest"]["delivery_hashes"]) != kept["manifest"]["fingerprint"]:
            raise BadConfigurationError(
                f"{release_id} has no estimates yet, and the code, packages or extract set changed since it was built "
                f"at commit {kept['manifest']['git_commit'] or 'unknown'}. Restore them, or refresh again."
            )
        work = store.work / release_id
        work.mkdir()
        warehouse = work / "warehouse.duckdb"
        shutil.copyfile(folder / "warehouse.duckdb", warehouse)
        if at_gate and build.dbt(work, warehouse, "build", "--select", "gate_results+", accepted=reason):
            raise BuildFailedError(f"The estimates of {release_id} could not be built. {build.why_failed(work)}")
        reasons = "; ".join(filter(None, [reason, kept["manifest"]["reason"]]))
        described = {**kept["manifest"], "published_by": "hand", "reason": reasons, "published_at": _now()}
        target, manifest = _write(store, described)
        anchors.write(target, anchors.own(target, release_id, manifest.published_at, reason))
        _publish(store, manifest, target, report)
        shutil.rmtree(folder)
        return manifest


def accept(store: Store, release_id: str, reason: str, report: Report) -> Manifest:
    """Record that a person accepts the published release: from now on, drift is measured from it.

    Parameters
    ----------
    store : Store
        Where releases are.
    release_id : str
        Number of the published release.
    reason : str
        Why it is accepted; the log of refreshes keeps it, and each release after it.
    report : callable
        As in refresh.

    Returns
    -------
    Manifest
        Of the release.

    Raises
    ------
    RefreshError
        If it is not the published release, or that is damaged.
    """
    if not reason.strip():
        raise BadConfigurationError("Give a reason for accepting a release: --reason '...'.")
    with _at_work(store, report):
        published = store.current()
        if published is None or published.release_id != checked_id(release_id):
            now = f"{published.release_id} is" if published else "none is"
            raise BadConfigurationError(
                f"Release {release_id} is not the published one ({now}). A person accepts the numbers that readers "
                "see: publish it with `ai-manufacturing rollback` first, or a held build with `publish`."
            )
        store.record({"release_id": release_id, "at": _now(), "outcome": anchors.ACCEPTED, "reason": reason})
        report(anchors.ACCEPTED, {"release_id": release_id, "reason": reason})
        return published


def rollback(store: Store, release_id: str, report: Report, replaces: bool = False) -> Manifest:
    """Publish a past release again.

    Parameters
    ----------
    store : Store
        Where releases go.
    release_id : str
        Number of the release.
    report : callable
        As in refresh.
    replaces : bool
        As in refresh.

    Returns
    -------
    Manifest
        Of the release that is now published.

    Raises
    ------
    RefreshError
        If there is no such release, or its content is not what its manifest says.
    """
    store.past(release_id)  # refuses what is no number
    with _at_work(store, report):
        if release_id not in store.release_ids():
            raise BadConfigurationError(
                f"No release {release_id}. There are: {', '.join(store.release_ids()) or 'none'}."
            )
        manifest = store.whole(release_id)
        _keep_the_set(store, manifest.origin, f"Release {release_id}", replaces)
        taken_back = None
        with suppress(RefreshError):  # the damaged file that a rollback is the remedy for
            published = store.current()
            taken_back = published.release_id if published else None
        store.publish(release_id)
        store.record({"release_id": release_id, "at": _now(), "outcome": "rolled back to", "instead_of": taken_back})
        build_site(store, report)
        return manifest


def difference(store: Store, old: str, new: str) -> changes.Summary:
    """Return what changed between two past releases.

    Raises
    ------
    RefreshError
        If one of them is not there or damaged, or they are of different extract sets.
    """
    paths = [store.past(number) for number in (old, new)]
    for number, path in zip((old, new), paths, strict=True):
        if not path.exists():
            raise BadConfigurationError(f"No release {number}. There are: {', '.join(store.release_ids()) or 'none'}.")
    origins = [store.whole(number).origin for number in (old, new)]
    if origins[0] != origins[1]:
        raise BadConfigurationError(
            f"Release {old} is of {origins[0]}, release {new} of {origins[1]}: numbers of different extract sets are "
            "not compared. `ai-manufacturing releases` says of which set each release is."
        )
    try:
        return changes.between(*paths)
    except duckdb.Error as error:
        raise RefreshError(f"{paths[0]} and {paths[1]} cannot be compared ({str(error).splitlines()[0]}).") from error


def _now() -> str:
    return datetime.now(UTC).isoformat("T", "seconds")


@contextmanager
def _at_work(store: Store, report: Report) -> Iterator[None]:
    """Hold the lock over a store that is ready."""
    with lock.held(store.lock):
        store.prepare()
        with _in_words(store):
            for line in store.adopt():
                report("warning", {"message": f"{line}."})
            _warn_of_log(store.move_log_aside(), report)
            yield


@contextmanager
def _in_words(store: Store) -> Iterator[None]:
    """Report an error of the disk, DuckDB or the code, and the release that readers see."""
    before = _file_number(store.published)
    try:
        yield
    except RefreshError:
        raise
    except Exception as error:
        if _file_number(store.published) == before:
            seen = "The published release is unchanged"
        else:
            seen = "The new release is published; the steps after publication did not run"
        if isinstance(error, OSError):
            # where a file is copied, the second is the one that is written
            place = error.filename2 or error.filename or store.folder
            raise RefreshError(
                f"{place}: {error.strerror}. {seen}. Make room there, restore it or correct its permissions, and "
                "refresh again."
            ) from error
        said = store.folder / "traceback.txt"
        with suppress(OSError):
            said.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        what = (str(error).splitlines() or [""])[0].rstrip(".")
        raise RefreshError(
            f"{type(error).__name__}: {what}. {seen}. If it happens again, it is a bug; {said} has the traceback."
        ) from error


@contextmanager
def _recorded(store: Store, release_id: str) -> Iterator[None]:
    """Add a line to the log for a refresh that fails, whatever it fails of."""
    try:
        with _in_words(store):
            yield
    except RefreshError as error:
        line = {"release_id": release_id, "at": _now(), "outcome": type(error).__name__, "message": str(error)}
        with suppress(OSError):  # the disk that refuses the line has refused the release, which is what the error says
            store.record(line)
        raise


def _file_number(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _warn_of_log(aside: Path | None, report: Report) -> None:
    if aside is not None:
        report("warning", {"message": f"Someone had written to the published file; the log was moved to {aside}."})


def _say_late_providers(store: Store, report: Report, outcome: str, is_published: bool) -> None:
    """Warn of providers that are late, and fail for those that are stale, whatever the refresh did."""
    found = freshness.of_release(store.published)
    for provider in found:
        if provider.is_late and not provider.is_stale:
            report("warning", {"message": f"{provider}."})
    stale = [str(provider) for provider in found if provider.is_stale]
    if stale:
        lines = [outcome, *(f"{line}. Ask for a delivery, or allow more." for line in stale)]
        raise StaleError("\n".join(lines), is_published)


def _prepare_landing(years: range | None, report: Report) -> list[str]:
    """Read years again, if some are named, and build nothing on a landing store whose log is damaged.

    Returns
    -------
    list of str
        The files that were read again.
    """
    paths: list[str] = []
    try:
        for line in landing.clean_up():
            report("warning", {"message": line})
        if years is not None:
            paths = landing.land_again(years)
            report("read again", {"years": _named(years), "files": len(paths)})
    except landing.LandingError as error:
        raise BuildFailedError(f"The published release is unchanged.\n{error}") from error
    return paths


def _named(years: range) -> str:
    return f"{years.start}:{years.stop - 1}"


def _build_and_publish(
    store: Store,
    release_id: str,
    code: str,
    hashes: dict[str, str],
    limits: Limits,
    declared: Sequence[Declaration],
    report: Report,
    years: range | None,
    replaces: bool,
    told: Told | None,
    held: str | None,
) -> Manifest:
    work = store.work / release_id
    work.mkdir()
    warehouse = work / "warehouse.duckdb"
    published = store.compared_with()
    delivery = deliveries.since(published, hashes, landing.extract_set(settings.extracts_dir()).name, store)
    report("delivery", delivery.facts())
    read_again = _prepare_landing(years, report)
    failed = False
    if held is not None:
        made_by, seeds = last_build.lay_out(store.held(held), work)
        report("judged again", {"held": held})
    else:
        made_by, seeds = last_build.made_by(), last_build.seeds()
        failed = _built(store, work, hashes, report, years, told)
    _check_unchanged(hashes, code)
    described = {
        "release_id": release_id,
        "published_at": _now(),
        "git_commit": fingerprint.git_commit(),
        "fingerprint": code,
        "published_by": "refresh",
        "reason": "" if years is None else f"years {_named(years)} read again",
        "delivery_hashes": hashes,
        "package_versions": fingerprint.package_versions(),
    } | build.content(warehouse)
    is_at_gate = failed and build.failed_at_the_gate(work)
    if failed and not is_at_gate:
        raise BuildFailedError(build.why_failed(work))
    # one synthetic file makes the set synthetic, which only landing finds out
    origin = Origin(described["extract_set"], described["extract_set_kind"])
    _keep_the_set(store, origin, f"The build of {_extracts_said()}", replaces)
    delivery = delivery.landed(warehouse)
    report("landed", {"records": delivery.records(), "lines": delivery.record_lines})
    if not is_at_gate and held is None:
        report("built", {"release_id": release_id})
    for facts in findings.warnings(warehouse, published, store):
        report("warning", facts)
    judged_by = judgement.judged_by(store, limits.hold_above, declared)
    if is_at_gate:
        failures = findings.failed(warehouse, "critical")
        lines = [
            f"The gate holds back release {release_id}; the published release is unchanged.",
            *delivery.causes,
            *map(str, failures),
            *findings.lost_records(warehouse, failures),
            f"Held in {store.held(release_id)}: query warehouse.duckdb there. To publish it anyway: "
            f"ai-manufacturing publish {release_id} --reason '...'.",
        ]
        found = [failure.record() for failure in failures]
        # it moves the warehouse, so that nothing reads it afterwards
        kept = {"outcome": GateFailedError.__name__, "manifest": described, "found": found}
        kept["delivery"] = delivery.facts()
        _hold(store, kept, judged_by, report)
        raise GateFailedError("\n".join(lines), release_id)
    if published is not None and published.origin != origin:
        report("warning", {"message": f"Release {release_id} of {origin} replaces one of {published.origin}."})
    compared = None
    if published is not None and published.origin == origin:
        again = None if years is None else ReadAgain(years, judgement.unchanged(read_again, hashes, published))
        compared = judgement.compare(store, published, warehouse, declared, again, report)
        described["reason"] = "; ".join(filter(None, [described["reason"], *map(str, compared.used)]))
    target, manifest = _write(store, described)
    summary = changes.recorded(target)
    report("changes", {"counts": summary.counts, "largest_move": summary.largest_move, "lines": list(summary.lines)})
    if years is not None and (others := changes.outside(target, years)).lines:
        heading = f"Years outside {_named(years)} also changed."
        report("warning", {"message": findings.listed(heading, others.lines, "release.changes")})
    anchor = anchors.own(target, release_id, "", "")
    if published is not None and compared is not None:
        judged = judgement.judge(store, published, described, target, limits.hold_above, compared)
        if judged.why:
            kept = {"outcome": HeldError.__name__, "manifest": described, "found": [*judged.why, *summary.lines]}
            kept["delivery"] = delivery.facts()
            kept |= compared.rewritten.record() if compared.rewritten else {}
            _hold(store, kept, judged_by, report, (made_by, seeds))
            first = f"Release {release_id} is held: it rewrites what was published. The published release is unchanged."
            way_out = revisions.way_out(judged.rows, published, described, store.held(release_id))
            causes = delivery.causes if delivery.has_changed else []
            raise HeldError("\n".join([first, *causes, *judged.why, *way_out]))
        for note in judged.notes:
            report("warning", {"message": f"{note}."})
        anchor = judged.anchor
    anchors.write(target, anchor)
    if summary.is_beyond(limits.warn_above):
        report("warning", {"message": f"{summary.moved(limits.warn_above)}."})
    last_build.keep(store.folder, work, made_by, seeds)
    _publish(store, manifest, target, report)
    if held is not None:
        shutil.rmtree(store.held(held))
    return manifest


def _built(
    store: Store, work: Path, hashes: dict[str, str], report: Report, years: range | None, told: Told | None
) -> bool:
    """Take the whole build that is in WAREHOUSE_PATH, or let dbt build; return whether dbt failed."""
    warehouse = work / last_build.WAREHOUSE
    reason = "years are read again"  # whoever does that does not trust what was built
    if years is None:
        try:
            taken = whole_build.take(work, hashes)
        except whole_build.NotTakenError as error:
            reason = str(error)
        else:
            report("build", {"message": f"publishes the build of {taken.started_at} in {settings.warehouse_path()}"})
            is_short = taken.permutations != build.permutations()
            failed = is_short and build.dbt(work, warehouse, "build", "--select", build.JOINT_TEST, told=told)
            taken.add_results(work)
            return failed
    report("build", {"message": f"builds, because {reason}"})
    if years is None and (damaged := last_build.start_from(store.folder, work)):
        report("warning", {"message": f"{damaged}. It is not used: this build starts from nothing."})
    return build.dbt(work, warehouse, "build", told=told)


def _extracts_said() -> str:
    """Return what EXTRACTS_DIR names, for whoever has forgotten to set it."""
    named = os.environ.get("EXTRACTS_DIR")
    return f"EXTRACTS_DIR ({named})" if named else "the synthetic sample, as EXTRACTS_DIR is not set,"


def _keep_the_set(store: Store, origin: Origin, what: str, replaces: bool) -> None:
    """Let no release replace one of another extract set or kind, unless that is asked for.

    Raises
    ------
    BadConfigurationError
        Naming both.
    """
    standing = store.standing()
    if replaces or standing is None or standing.origin == origin:
        return
    raise BadConfigurationError(
        f"{what} is of extract set {origin}; release {standing.release_id} in {store.folder} is of {standing.origin}. "
        f"Nothing was published. {_or_the_same_set(origin, standing.origin)} EXTRACTS_DIR to the folder of "
        f"{standing.extract_set}, or RELEASE_DIR to another folder. To give that set up, add --replace-extract-set."
    )


def _or_the_same_set(origin: Origin, standing: Origin) -> str:
    """Return the beginning of the way out, which is the name where a set goes on under another one."""
    if origin.extract_set == standing.extract_set or origin.kind != standing.kind:
        return "Set"
    name = json.dumps(standing.extract_set, ensure_ascii=False)
    return f"If these files continue that set, write name: {name} into their {DESCRIPTION}. Otherwise set"


def _keep_the_declared_set(store: Store, replaces: bool) -> None:
    """Refuse before the build what the extracts folder says of itself, as far as that is certain."""
    declared = landing.extract_set(settings.extracts_dir())
    if declared.kind != SYNTHETIC:
        standing = store.standing()
        # it may still hold a synthetic file, as the published one of its name did
        if standing is not None and declared.name == standing.extract_set:
            return
    _keep_the_set(store, Origin(declared.name, declared.kind), f"What lies in {_extracts_said()}", replaces)


def _write(store: Store, described: dict[str, Any]) -> tuple[Path, Manifest]:
    work = store.work / described["release_id"]
    # Not named release: a catalog of that name could not be told from the schema.
    target = work / "unpublished.duckdb"
    previous = store.basis if store.basis.exists() else None
    return target, writer.write(work / "warehouse.duckdb", target, described, previous)


def _publish(store: Store, manifest: Manifest, target: Path, report: Report) -> None:
    """Move a written release to its place and before its readers."""
    release_id = manifest.release_id
    store.add(target, release_id)
    _warn_of_log(store.publish(release_id), report)
    by_hand = manifest.published_by == "hand"
    outcome = {"outcome": PUBLISHED[by_hand]} | ({"reason": manifest.reason} if by_hand else {})
    store.record({"release_id": release_id, "at": _now(), **outcome})
    facts = {"release_id": release_id, "path": str(store.published), "extract_set": str(manifest.origin)}
    anchor = anchors.of(store, store.published, manifest)
    report("published", {**facts, "pruned": store.prune(anchor.release_id)})
    shutil.rmtree(store.work / release_id)
    build_site(store, report)


def build_site(store: Store, report: Report) -> None:
    """Build the site of what is published, where SITE_DIR names a folder; a failure leaves release and old site."""
    folder = settings.site_dir()
    if folder is None:
        return
    run = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "ai-manufacturing"), "report"),
            *("--release", str(store.published), "--out", str(folder)),
        ],
        cwd=settings.project_root(),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        message = f"{folder}: the site could not be built; the old site stays. {run.stderr.strip()[-findings.VALUE :]}"
        report("warning", {"message": message})
    else:
        report("site", {"path": str(folder)})


def _hold(
    store: Store,
    kept: dict[str, Any],
    judged_by: list[Any],
    report: Report,
    made: tuple[dict[str, Any], dict[str, str]] | None = None,
) -> None:
    """Keep a build that is not published, whole or not at all.

    One that can be judged again is kept with what it was made by.
    """
    release_id = kept["manifest"]["release_id"]
    incoming = store.work / f"{release_id}.held"
    incoming.mkdir()
    work = store.work / release_id
    if made is None:
        (work / "warehouse.duckdb").replace(incoming / "warehouse.duckdb")
    else:
        last_build.gather(work, incoming, *made)
    kept["judged_by"] = judged_by
    (incoming / "report.json").write_text(json.dumps(kept, ensure_ascii=False, indent=2), encoding="utf-8")
    sync(incoming / "report.json")
    store.keep_held(incoming, release_id)
    if pruned := store.prune_held():
        report("pruned", {"held": pruned})


def _check_unchanged(hashes: dict[str, str], code: str) -> None:
    """Let no release say that it was made of other files than it was: a delivery may arrive while dbt builds."""
    now = fingerprint.delivery_hashes(settings.extracts_dir())
    changed = sorted(path for path in hashes.keys() | now.keys() if hashes.get(path) != now.get(path))
    if changed or fingerprint.of(now) != code:
        raise BuildFailedError(
            f"{', '.join(changed) or 'The code'} changed while dbt built; the published release is unchanged. Refresh "
            "again when the delivery or the edit is complete."
        )
