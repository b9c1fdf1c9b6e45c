"""A refresh from top to bottom: land and build in private, audit, write the release, publish or hold it."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ai_manufacturing import landing, settings
from ai_manufacturing.auditing import anchors, changes, declared_revisions, deliveries, findings, freshness, judgement
from ai_manufacturing.auditing.judgement import Comparison, Judgement
from ai_manufacturing.auditing.revisions import ReadAgain
from ai_manufacturing.refresh import build, nothing_new, publishing, whole_build
from ai_manufacturing.refresh.progress import OnProgress
from ai_manufacturing.refresh.run import Built, Run
from ai_manufacturing.releases import fingerprint, last_build
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.errors import BuildFailedError, GateFailedError, HeldError, RefreshError
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.refresh_log import OnEvent
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import clock
from ai_manufacturing.system.disk import copy


def refresh(
    store: Store,
    limits: Limits,
    on_event: OnEvent,
    years: range | None = None,
    replaces: bool = False,
    on_progress: OnProgress | None = None,
) -> Manifest:
    """Build what the deliveries give and publish it, if there is something new and nothing wrong.

    Parameters
    ----------
    store : Store
        Where releases go.
    limits : Limits
        How far estimates may move.
    on_event : callable
        Takes an event and its facts: progress for a terminal, or lines for a log.
    years : range, optional
        Read the delivered files of these years again, and publish even if nothing is new.
    replaces : bool
        Whether the release may replace one of another extract set or kind.
    on_progress : callable, optional
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
    with publishing.at_work(store, on_event):
        freshness.allowed_ages()  # a wrong declaration is reported before the build
        declared = declared_revisions.standing(declared_revisions.read(), store)
        hashes = fingerprint.delivery_hashes(settings.extracts_dir())
        publishing.require_declared_set(store, replaces)
        code = fingerprint.of(hashes)
        is_asked_for = years is not None
        held = None if is_asked_for else nothing_new.require_new(store, code, limits.hold_above, declared, on_event)
        release_id = store.next_id()
        run = Run(
            store=store,
            limits=limits,
            on_event=on_event,
            years=years,
            replaces=replaces,
            on_progress=on_progress,
            release_id=release_id,
            hashes=hashes,
            fingerprint=code,
            declared=declared,
            held_build=held,
        )
        on_event("started", {"release_id": release_id, "deliveries": len(fingerprint.delivered(hashes))})
        with publishing.recorded(store, release_id):
            manifest = _build_and_publish(run)
        freshness.require_fresh(store.published, f"Release {release_id} is published.", True, on_event)
        return manifest


def _build_and_publish(run: Run) -> Manifest:
    run.work.mkdir()
    built = _land_and_build(run)
    if built.is_at_gate:
        raise _held_at_the_gate(run, built)
    comparison = _compare(run, built)
    target, manifest = publishing.write(run.store, built.described)
    summary = changes.recorded(target)
    facts = {"counts": summary.counts, "largest_move": summary.largest_move, "lines": list(summary.lines)}
    run.on_event("changes", facts)
    if run.years is not None:
        outside = changes.recorded(target, "year not between ? and ?", run.years[0], run.years[-1])
        if outside.lines:
            heading = f"Years outside {run.years_in_words} also changed."
            run.warn(findings.listed(heading, outside.lines, "release.changes"))
    anchor = anchors.own(target, run.release_id, "", "")
    if built.published is not None and comparison is not None:
        limit = run.limits.hold_above
        judged = judgement.judge(run.store, built.published, built.described, target, limit, comparison)
        if judged.why:
            raise _held_by_judgement(run, built, comparison, judged, summary.lines)
        for note in judged.notes:
            run.warn(f"{note}.")
        anchor = judged.anchor
    anchors.write(target, anchor)
    if summary.is_beyond(run.limits.warn_above):
        run.warn(f"{summary.moved(run.limits.warn_above)}.")
    last_build.keep(run.store.folder, run.work)
    publishing.publish(run.store, manifest, target, run.on_event)
    if run.held_build is not None:
        shutil.rmtree(run.store.held(run.held_build))
    return manifest


def _land_and_build(run: Run) -> Built:
    published = run.store.compared_with()
    delivery = deliveries.since(published, run.hashes, landing.extract_set(settings.extracts_dir()).name, run.store)
    run.on_event("delivery", delivery.facts())
    paths_read_again = _prepare_landing(run)
    if run.held_build is not None:
        copy(run.store.held(run.held_build) / last_build.WAREHOUSE, run.warehouse)
        is_failed = False
        run.on_event("judged again", {"held": run.held_build})
    else:
        is_failed = _take_or_build(run)
    build.require_unchanged(run.hashes, run.fingerprint)
    described = {
        "release_id": run.release_id,
        "published_at": clock.now(),
        "git_commit": fingerprint.git_commit(),
        "fingerprint": run.fingerprint,
        "published_by": "refresh",
        "reason": "" if run.years is None else f"years {run.years_in_words} read again",
        "delivery_hashes": run.hashes,
        "package_versions": fingerprint.package_versions(),
    } | build.content(run.warehouse)
    is_at_gate = is_failed and build.failed_at_the_gate(run.work)
    if is_failed and not is_at_gate:
        raise BuildFailedError(build.why_failed(run.work))
    # one synthetic file makes the set synthetic, which only landing finds out
    origin = Origin(described["extract_set"], described["extract_set_kind"])
    publishing.require_same_set(run.store, origin, f"The build of {publishing.extracts_in_words()}", run.replaces)
    delivery = delivery.landed(run.warehouse)
    run.on_event("landed", {"records": delivery.records(), "lines": delivery.record_lines})
    if not is_at_gate and run.held_build is None:
        run.on_event("built", {"release_id": run.release_id})
    for facts in findings.warnings(run.warehouse, published, run.store):
        run.on_event("warning", facts)
    if published is not None and published.origin != origin and not is_at_gate:
        run.warn(f"Release {run.release_id} of {origin} replaces one of {published.origin}.")
        published = None  # numbers of two sets are not compared
    return Built(published, delivery, paths_read_again, described, is_at_gate)


def _prepare_landing(run: Run) -> list[str]:
    """Build nothing on a landing store whose log is damaged; return the files that were read again, if years are."""
    try:
        for line in landing.clean_up():
            run.warn(line)
        if run.years is None:
            return []
        paths = landing.land_again(run.years)
    except landing.LandingError as error:
        raise BuildFailedError(f"The published release is unchanged.\n{error}") from error
    run.on_event("read again", {"years": run.years_in_words, "files": len(paths)})
    return paths


def _take_or_build(run: Run) -> bool:
    """Take the whole build that is in WAREHOUSE_PATH, or let dbt build; return whether dbt failed."""
    reason = "years are read again"  # whoever does that does not trust what was built
    if run.years is None:
        try:
            whole = whole_build.take(run.work, run.hashes)
        except whole_build.NotTakenError as error:
            reason = str(error)
        else:
            what = f"publishes the build of {whole.started_at} in {settings.warehouse_path()}"
            run.on_event("build", {"message": what})
            return whole.permutations != build.permutations() and build.dbt(
                run.work, run.warehouse, "build", "--select", build.JOINT_TEST, on_progress=run.on_progress
            )
    run.on_event("build", {"message": f"builds, because {reason}"})
    last_build.start_from(run.store.folder, run.work)
    return build.dbt(run.work, run.warehouse, "build", on_progress=run.on_progress)


def _compare(run: Run, built: Built) -> Comparison | None:
    """Compare a build with the published release of its set; declared revisions are a reason of the new release."""
    if built.published is None:
        return None
    again = None
    if run.years is not None:
        again = ReadAgain(run.years, judgement.unchanged(built.paths_read_again, run.hashes, built.published))
    comparison = judgement.compare(run.store.basis, run.warehouse, run.declared, again)
    if comparison.rewritten is None:
        run.warn(
            f"Release {built.published.release_id} was written before releases kept their series. This once, only "
            "estimates that move hold a release, and no values."
        )
    if declarations := [*map(str, comparison.declarations)]:
        run.on_event("declared", {"revisions": declarations})
        built.described["reason"] = "; ".join(filter(None, [built.described["reason"], *declarations]))
    return comparison


def _held_at_the_gate(run: Run, built: Built) -> GateFailedError:
    """Hold a build that the gate stopped, and return the error that says why."""
    failures = findings.failed(run.warehouse, "critical")
    lines = [
        f"The gate holds back release {run.release_id}; the published release is unchanged.",
        *built.delivery.causes,
        *map(str, failures),
        *findings.lost_records(run.warehouse, failures),
        f"Held in {run.store.held(run.release_id)}: query warehouse.duckdb there. To publish it anyway: "
        f"ai-manufacturing publish {run.release_id} --reason '...'.",
    ]
    # it moves the warehouse, so that nothing reads it afterwards
    _hold(run, built, GateFailedError, [failure.record() for failure in failures])
    return GateFailedError("\n".join(lines), run.release_id)


def _held_by_judgement(
    run: Run, built: Built, comparison: Comparison, judged: Judgement, changed: Sequence[str]
) -> HeldError:
    """Hold a build that rewrites what was published, and return the error that says why."""
    rewritten = comparison.rewritten.record() if comparison.rewritten else {}
    _hold(run, built, HeldError, [*judged.why, *changed], rewritten)
    first = f"Release {run.release_id} is held: it rewrites what was published. The published release is unchanged."
    causes = built.delivery.causes if built.delivery.has_changed else []
    return HeldError("\n".join([first, *causes, *judged.why, *judged.way_out]))


def _hold(run: Run, built: Built, error: type[RefreshError], why: list[Any], rewritten: Mapping[str, Any] = {}) -> None:
    report = {"outcome": error.__name__, "manifest": built.described, "found": why, "delivery": built.delivery.facts()}
    report |= rewritten
    report["judged_by"] = judgement.judged_by(run.store, run.limits.hold_above, run.declared)
    publishing.hold(run.store, report, run.on_event)
