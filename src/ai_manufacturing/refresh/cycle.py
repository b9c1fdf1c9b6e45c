"""Refresh: land and build in private, audit, write the release, and publish or hold it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from duckdb import DuckDBPyConnection

from ai_manufacturing import landing
from ai_manufacturing.auditing import (
    anchors,
    basis,
    changes,
    deliveries,
    findings,
    freshness,
    judgement,
)
from ai_manufacturing.auditing.anchors import Anchor
from ai_manufacturing.auditing.deliveries import Delivery
from ai_manufacturing.auditing.judgement import Comparison, Judgement
from ai_manufacturing.auditing.revisions import ReadAgain
from ai_manufacturing.landing import declared_revisions
from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.landing.extracts import DESCRIPTION, ExtractSet
from ai_manufacturing.refresh import build, nothing_new, publishing, writer
from ai_manufacturing.refresh.progress import OnProgress
from ai_manufacturing.refresh.run import BuildResult, Run
from ai_manufacturing.releases import fingerprint, headlines
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.errors import (
    BuildFailedError,
    GateFailedError,
    HeldError,
    NoEstimatesError,
    RefreshError,
)
from ai_manufacturing.releases.headlines import Headlines
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.releases.refresh_log import OnEvent
from ai_manufacturing.releases.store import WAREHOUSE, Store
from ai_manufacturing.system import clock, duckdb_client, settings


def refresh(
    store: Store,
    limits: Limits,
    on_event: OnEvent,
    years: range | None = None,
    replaces: bool = False,
    without_estimates: bool = False,
    on_progress: OnProgress | None = None,
) -> Manifest:
    """Build the current deliveries, and publish the result if it is new and passes all checks.

    Parameters
    ----------
    store : Store
        Release folder.
    limits : Limits
        Largest moves of estimates that pass.
    on_event : callable
        Receives an event name and its facts, to print on a terminal or write to a log.
    years : range, optional
        Read the delivered files of these years again, and publish even if nothing is new.
    replaces : bool
        Whether the release may replace one of another extract set or kind.
    without_estimates : bool
        Whether the release may lack headline estimates if no earlier release of its set has any.
    on_progress : callable, optional
        Receives the progress of dbt several times a second, for a terminal.

    Returns
    -------
    Manifest
        Manifest of the published release.

    Raises
    ------
    RefreshError
        One of the subclasses in errors.py. The published release is then unchanged, except after
        StaleError, which is raised last.
    """
    with publishing.lock_release_folder(store, on_event):
        freshness.allowed_ages()  # report an invalid declaration before the build
        compared_with = basis.read(store)
        published = None if compared_with is None else compared_with.manifest
        hashes = fingerprint.hash_deliveries(settings.extracts_dir())
        declared = basis.standing(_declared(), compared_with, store)
        publishing.require_declared_set(store, published, replaces)
        code = fingerprint.compute_fingerprint(hashes)
        may_lack_estimates = without_estimates or not _extract_set().has_estimates
        held = None
        if years is None:
            limit = limits.hold_shown_above
            held = nothing_new.require_new(
                store, compared_with, code, limit, declared, may_lack_estimates, on_event
            )
        release_id = store.compute_next_id()
        run = Run(
            store=store,
            limits=limits,
            on_event=on_event,
            years=years,
            replaces=replaces,
            may_lack_estimates=may_lack_estimates,
            on_progress=on_progress,
            release_id=release_id,
            hashes=hashes,
            fingerprint=code,
            basis=compared_with,
            declarations=declared,
            held_build=held,
        )
        on_event(
            "started",
            {"release_id": release_id, "deliveries": len(fingerprint.drop_description(hashes))},
        )
        manifest = _build_and_publish(run)
        freshness.require_fresh(
            store.published_path, f"Release {release_id} is published.", True, on_event
        )
        return manifest


def _extract_set() -> ExtractSet:
    return landing.read_extract_set(settings.extracts_dir())


def _declared() -> list[Declaration]:
    try:
        return declared_revisions.read_revisions(_extract_set().name)
    except landing.LandingError as error:
        raise RefreshError(f"The published release is unchanged.\n{error}") from error


def _build_and_publish(run: Run) -> Manifest:
    run.work.mkdir()
    built, comparison = _land_and_build(run)
    if built.failed_gate:
        raise _held_at_the_gate(run, built)
    if built.headlines is not None and not built.headlines.estimated_count:
        standing = anchors.NO_ANCHOR if built.basis is None else built.basis.anchor
        if standing.release_id or not run.may_lack_estimates:
            raise _held_without_estimates(run, built, built.headlines, standing)
        run.warn(f"Release {run.release_id}: {built.headlines}.")
    previous = run.basis.path if run.basis is not None else None
    with publishing.open_new_release(run.store, built.manifest_fields, previous) as new:
        release = duckdb_client.open_cursor(new.connection, "new")
        summary = changes.recorded(release)
        facts = {
            "counts": summary.counts,
            "largest_move": summary.largest_move,
            "lines": list(summary.lines),
        }
        run.on_event("changes", facts)
        if run.years is not None:
            outside = changes.recorded(
                release, "year not between ? and ?", run.years[0], run.years[-1]
            )
            if outside.lines:
                heading = f"Years outside {run.years_in_words} also changed."
                run.warn(findings.listed(heading, outside.lines, "release.changes"))
        shown = anchors.shown_estimates(release)
        anchor = anchors.new_anchor(release, run.release_id)
        judged = None
        if built.basis is not None and comparison is not None:
            limit, held = run.limits.hold_shown_above, run.store.locate_held_build(run.release_id)
            judged = judgement.judge(
                built.basis, built.manifest_fields, new.connection, limit, comparison, held
            )
            anchor = judged.anchor
        anchors.write(release, anchor, shown)
    if judged is not None:
        if judged.why:
            raise _held_by_judgement(run, built, comparison, judged, summary.lines)
        for note in judged.notes:
            run.warn(f"{note}.")
    if summary.is_beyond(run.limits.warn_any_above):
        run.warn(f"{summary.moved(run.limits.warn_any_above)}.")
    publishing.publish_release(run.store, new, anchor, run.on_event)
    if run.held_build is not None:
        shutil.rmtree(run.store.locate_held_build(run.held_build))
    return new.manifest


def _land_and_build(run: Run) -> tuple[BuildResult, Comparison | None]:
    """Land and build the deliveries, and compare the result with the published release."""
    published, parts = (None, ()) if run.basis is None else (run.basis.manifest, run.basis.parts)
    delivery = deliveries.since(published, run.hashes, _extract_set().name, parts)
    run.on_event("delivery", delivery.facts())
    paths_read_again = _prepare_landing(run)
    if run.held_build is not None:
        shutil.copyfile(run.store.locate_held_build(run.held_build) / WAREHOUSE, run.warehouse)
        is_failed = False
        run.on_event("judged again", {"held": run.held_build})
    else:
        is_failed = build.run_dbt(run.store, run.work, "build", on_progress=run.on_progress)
    build.require_same_inputs(run.hashes, run.fingerprint)
    is_at_gate = is_failed and build.has_failed_gate(run.work)
    if is_failed and not is_at_gate:
        raise BuildFailedError(build.explain_failure(run.work))
    described = {
        "release_id": run.release_id,
        "published_at": clock.now(),
        "git_commit": fingerprint.read_git_commit(),
        "fingerprint": run.fingerprint,
        "published_by": "refresh",
        "reason": "" if run.years is None else f"years {run.years_in_words} read again",
        "delivery_hashes": run.hashes,
        "package_versions": fingerprint.read_package_versions(),
    }
    files = {"built": run.warehouse} | ({} if run.basis is None else {"old": run.basis.path})
    with duckdb_client.open_attached(run.work / "spill", files, reads_files=True) as connection:
        built = _examined(run, connection, described, delivery, paths_read_again, is_at_gate)
        return built, None if is_at_gate else _compare(run, built, connection)


def _examined(
    run: Run,
    connection: DuckDBPyConnection,
    described: dict[str, Any],
    delivery: Delivery,
    paths_read_again: list[str],
    is_at_gate: bool,
) -> BuildResult:
    """Report on a build, and determine the release to compare it with.

    Parameters
    ----------
    run : Run
    connection : DuckDBPyConnection
        Connection with the warehouse attached as `built`, and the basis of the run, if any, as
        `old`.
    described : dict
        Manifest fields that do not depend on the content of the warehouse.
    delivery, paths_read_again, is_at_gate
        See Built.
    """
    warehouse = duckdb_client.open_cursor(connection, "built")
    described |= writer.read_manifest_content(warehouse)
    published = None if run.basis is None else run.basis.manifest
    # a single synthetic file makes the set synthetic, which is known only after landing
    origin = Origin(described["extract_set"], described["extract_set_kind"])
    what = f"The build of {publishing.describe_extracts()}"
    publishing.require_same_set(run.store, published, origin, what, run.replaces)
    delivery = replace(delivery, now=deliveries.parts(warehouse))
    run.on_event("landed", {"records": delivery.records(), "lines": delivery.record_lines})
    if not is_at_gate and run.held_build is None:
        run.on_event("built", {"release_id": run.release_id})
    is_of_one_set = published is not None and published.origin == origin
    release = duckdb_client.open_cursor(connection, "old") if is_of_one_set else None
    for facts in findings.warnings(warehouse, release, published):
        run.on_event("warning", facts)
    if published is not None and not is_of_one_set and not is_at_gate:
        run.warn(f"Release {run.release_id} of {origin} replaces one of {published.origin}.")
    # numbers of different extract sets are never compared
    compared_with = run.basis if is_of_one_set or is_at_gate else None
    estimated = None if is_at_gate else headlines.read_headlines(warehouse)
    return BuildResult(compared_with, delivery, paths_read_again, described, is_at_gate, estimated)


def _prepare_landing(run: Run) -> list[str]:
    """Clean up the landing store, and land the files of the requested years again."""
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


def _compare(run: Run, built: BuildResult, connection: DuckDBPyConnection) -> Comparison | None:
    """Compare a build with the published release of its extract set.

    Declared revisions and corrections that were used are added to the new release's reason.
    """
    if built.basis is None:
        return None
    published = built.basis.manifest
    again = None
    if run.years is not None:
        again = ReadAgain(
            run.years, judgement.unchanged(built.paths_read_again, run.hashes, published)
        )
    comparison = judgement.compare(connection, run.declarations, again)
    if declarations := comparison.declarations:
        run.on_event("declared", {"revisions": declarations})
        built.manifest_fields["reason"] = "; ".join(
            filter(None, [built.manifest_fields["reason"], *declarations])
        )
    return comparison


def _held_at_the_gate(run: Run, built: BuildResult) -> GateFailedError:
    """Hold a build that failed the gate, and return the error to raise."""
    with duckdb_client.open_read_only(run.warehouse, reads_files=True) as warehouse:
        failures = findings.failed(warehouse, "critical")
        lost_records = findings.lost_records(warehouse, failures)
    lines = [
        f"The gate holds back release {run.release_id}; the published release is unchanged.",
        *built.delivery.causes,
        *map(str, failures),
        *lost_records,
        (
            f"Held in {run.store.locate_held_build(run.release_id)}: query warehouse.duckdb there."
            f" To publish it anyway: ai-manufacturing publish {run.release_id} --reason '...'."
        ),
    ]
    # hold the build last, because that moves the warehouse
    _hold(run, built, GateFailedError, [failure.record() for failure in failures])
    return GateFailedError("\n".join(lines), run.release_id)


def _held_without_estimates(
    run: Run, built: BuildResult, estimated: Headlines, standing: Anchor
) -> NoEstimatesError:
    """Hold a build without headline estimates, and return the error to raise."""
    _hold(run, built, NoEstimatesError, [str(estimated)])
    lines = [
        f"Release {run.release_id} is held: {estimated}. Nothing was published.",
        *built.delivery.causes,
    ]
    if not standing.release_id:
        lines.append(
            "To publish it all the same as long as no release has estimates: ai-manufacturing"
            " refresh --without-estimates. If the set is not meant to have any, write"
            f" `has_estimates: false` into its {DESCRIPTION}."
        )
    lines.append(
        f"Held in {run.store.locate_held_build(run.release_id)}: query warehouse.duckdb there."
        f" To publish it by hand: ai-manufacturing publish {run.release_id} --reason '...'."
    )
    return NoEstimatesError("\n".join(lines))


def _held_by_judgement(
    run: Run,
    built: BuildResult,
    comparison: Comparison | None,
    judged: Judgement,
    changed: Sequence[str],
) -> HeldError:
    """Hold a build that rewrites published values, and return the error to raise."""
    rewritten = comparison.rewritten.record() if comparison else {}
    _hold(run, built, HeldError, [*judged.why, *changed], rewritten)
    first = (
        f"Release {run.release_id} is held: it rewrites what was published. The published release"
        " is unchanged."
    )
    causes = built.delivery.causes if built.delivery.has_changed else []
    return HeldError("\n".join([first, *causes, *judged.why, *judged.way_out]))


def _hold(
    run: Run,
    built: BuildResult,
    error: type[RefreshError],
    why: list[Any],
    rewritten: Mapping[str, Any] = {},
) -> None:
    report = {
        "outcome": error.__name__,
        "manifest": built.manifest_fields,
        "found": why,
        "delivery": built.delivery.facts(),
    }
    report |= rewritten
    report["judged_by"] = judgement.list_judgement_inputs(
        run.basis, run.limits.hold_shown_above, run.declarations, run.may_lack_estimates
    )
    publishing.hold_build(run.store, report, run.on_event)
