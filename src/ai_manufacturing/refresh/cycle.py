"""Run a refresh: build the deliveries, audit the result, and publish it or hold it for review."""

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
    """Build the current deliveries, and publish a release if it is new and passes all checks.

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
        freshness.read_allowed_ages()  # report an invalid declaration before the build
        current_basis = basis.read_basis(store)
        current_manifest = None if current_basis is None else current_basis.manifest
        hashes = fingerprint.hash_deliveries(settings.extracts_dir())
        declarations = basis.find_applicable_declarations(
            _read_declarations(), current_basis, store
        )
        publishing.require_declared_set(store, current_manifest, replaces)
        current_fingerprint = fingerprint.compute_fingerprint(hashes)
        may_lack_estimates = without_estimates or not _read_extract_set().has_estimates
        held_build = None
        if years is None:
            limit = limits.hold_shown_above
            held_build = nothing_new.require_new(
                store,
                current_basis,
                current_fingerprint,
                limit,
                declarations,
                may_lack_estimates,
                on_event,
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
            fingerprint=current_fingerprint,
            basis=current_basis,
            declarations=declarations,
            held_build=held_build,
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


def _read_extract_set() -> ExtractSet:
    return landing.read_extract_set(settings.extracts_dir())


def _read_declarations() -> list[Declaration]:
    try:
        return declared_revisions.read_revisions(_read_extract_set().name)
    except landing.LandingError as error:
        raise RefreshError(
            f"The declared revisions cannot be read. The published release is unchanged.\n{error}"
        ) from error


def _build_and_publish(run: Run) -> Manifest:
    run.work.mkdir()
    result, comparison = _land_and_build(run)
    if result.failed_gate:
        raise _hold_at_gate(run, result)
    if result.headlines is not None and not result.headlines.estimated_count:
        current_anchor = anchors.NO_ANCHOR if result.basis is None else result.basis.anchor
        if current_anchor.release_id or not run.may_lack_estimates:
            raise _hold_without_estimates(run, result, result.headlines, current_anchor)
        run.warn(f"Release {run.release_id}: {result.headlines}.")
    previous = run.basis.path if run.basis is not None else None
    with publishing.open_new_release(run.store, result.manifest_fields, previous) as new:
        release = duckdb_client.open_cursor(new.connection, "new")
        summary = changes.read_changes(release)
        facts = {
            "counts": summary.counts,
            "largest_move": summary.largest_move,
            "lines": list(summary.lines),
        }
        run.on_event("changes", facts)
        if run.years is not None:
            other_changes = changes.read_changes(
                release, "year not between ? and ?", run.years[0], run.years[-1]
            )
            if other_changes.lines:
                heading = f"Years outside {run.years_in_words} also changed."
                run.warn(findings.join_items(heading, other_changes.lines, "release.changes"))
        estimates = anchors.read_shown_estimates(release)
        anchor = anchors.create_anchor(release, run.release_id)
        decision = None
        if result.basis is not None and comparison is not None:
            limit = run.limits.hold_shown_above
            held_folder = run.store.locate_held_build(run.release_id)
            decision = judgement.judge_release(
                result.basis, result.manifest_fields, new.connection, limit, comparison, held_folder
            )
            anchor = decision.anchor
        anchors.write_anchor(release, anchor, estimates)
    if decision is not None:
        if decision.reasons:
            raise _hold_for_judgement(run, result, comparison, decision, summary.lines)
        for note in decision.notes:
            run.warn(f"{note}.")
    if summary.exceeds(run.limits.warn_any_above):
        run.warn(f"{summary.describe_move(run.limits.warn_any_above)}.")
    publishing.publish_release(run.store, new, anchor, run.on_event)
    if run.held_build is not None:
        shutil.rmtree(run.store.locate_held_build(run.held_build))
    return new.manifest


def _land_and_build(run: Run) -> tuple[BuildResult, Comparison | None]:
    """Load and build the deliveries, and compare the result with the published release."""
    current_manifest = None if run.basis is None else run.basis.manifest
    parts = () if run.basis is None else run.basis.parts
    delivery = deliveries.compare_files(
        current_manifest, run.hashes, _read_extract_set().name, parts
    )
    run.on_event("delivery", delivery.to_record())
    paths_read_again = _prepare_landing(run)
    if run.held_build is not None:
        shutil.copyfile(run.store.locate_held_build(run.held_build) / WAREHOUSE, run.warehouse)
        is_failure = False
        run.on_event("judged again", {"held": run.held_build})
    else:
        is_failure = build.run_dbt(run.store, run.work, "build", on_progress=run.on_progress)
    build.require_same_inputs(run.hashes, run.fingerprint)
    failed_gate = is_failure and build.has_failed_gate(run.work)
    if is_failure and not failed_gate:
        raise BuildFailedError(build.explain_failure(run.work))
    manifest_fields = {
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
        result = _report_build(
            run, connection, manifest_fields, delivery, paths_read_again, failed_gate
        )
        return result, None if failed_gate else _compare_with_release(run, result, connection)


def _report_build(
    run: Run,
    connection: DuckDBPyConnection,
    manifest_fields: dict[str, Any],
    delivery: Delivery,
    paths_read_again: list[str],
    failed_gate: bool,
) -> BuildResult:
    """Report the events of a build, and select the release to compare the build with.

    Parameters
    ----------
    run : Run
    connection : DuckDBPyConnection
        Connection with the warehouse attached as `built`, and the basis of the run, if any, as
        `old`.
    manifest_fields : dict
        Manifest fields that do not depend on the content of the warehouse.
    delivery, paths_read_again, failed_gate
        See BuildResult.
    """
    warehouse = duckdb_client.open_cursor(connection, "built")
    manifest_fields |= writer.read_manifest_content(warehouse)
    current_manifest = None if run.basis is None else run.basis.manifest
    # One synthetic file makes the whole extract set synthetic, which is known only after landing.
    origin = Origin(manifest_fields["extract_set"], manifest_fields["extract_set_kind"])
    subject = f"The build of {publishing.describe_extracts()}"
    publishing.require_same_set(run.store, current_manifest, origin, subject, run.replaces)
    delivery = replace(delivery, parts_now=deliveries.read_parts(warehouse))
    run.on_event("landed", {"records": delivery.count_records(), "lines": delivery.record_lines})
    if not failed_gate and run.held_build is None:
        run.on_event("built", {"release_id": run.release_id})
    has_same_set = current_manifest is not None and current_manifest.origin == origin
    release = duckdb_client.open_cursor(connection, "old") if has_same_set else None
    for facts in findings.list_warnings(warehouse, release, current_manifest):
        run.on_event("warning", facts)
    if current_manifest is not None and not has_same_set and not failed_gate:
        run.warn(
            f"Release {run.release_id} of extract set {origin} replaces a release of extract set"
            f" {current_manifest.origin}."
        )
    # Values of different extract sets are never compared.
    comparison_basis = run.basis if has_same_set or failed_gate else None
    headline_summary = None if failed_gate else headlines.read_headlines(warehouse)
    return BuildResult(
        comparison_basis, delivery, paths_read_again, manifest_fields, failed_gate, headline_summary
    )


def _prepare_landing(run: Run) -> list[str]:
    """Clean up the landing store, and reload the delivered files of the requested years."""
    try:
        for line in landing.clean_up():
            run.warn(line)
        if run.years is None:
            return []
        paths = landing.land_again(run.years)
    except landing.LandingError as error:
        raise BuildFailedError(
            f"Files could not be landed; the published release is unchanged.\n{error}"
        ) from error
    run.on_event("read again", {"years": run.years_in_words, "files": len(paths)})
    return paths


def _compare_with_release(
    run: Run, result: BuildResult, connection: DuckDBPyConnection
) -> Comparison | None:
    """Compare the values of a build with the published release of the same extract set.

    Declared revisions and corrections that were used are added to the new release's reason.
    """
    if result.basis is None:
        return None
    current_manifest = result.basis.manifest
    again = None
    if run.years is not None:
        again = ReadAgain(
            run.years,
            judgement.find_unchanged_files(result.paths_read_again, run.hashes, current_manifest),
        )
    comparison = judgement.compare_values(connection, run.declarations, again)
    if declarations := comparison.declarations:
        run.on_event("declared", {"revisions": declarations})
        result.manifest_fields["reason"] = "; ".join(
            filter(None, [result.manifest_fields["reason"], *declarations])
        )
    return comparison


def _hold_at_gate(run: Run, result: BuildResult) -> GateFailedError:
    """Hold a build that failed the gate for review, and return the error to raise."""
    with duckdb_client.open_read_only(run.warehouse, reads_files=True) as warehouse:
        failures = findings.read_failures(warehouse, "critical")
        lost_records = findings.describe_lost_records(warehouse, failures)
    lines = [
        f"Release {run.release_id} is held, because the gate failed. The published release is"
        " unchanged.",
        *result.delivery.causes,
        *map(str, failures),
        *lost_records,
        (
            f"The build is held in {run.store.locate_held_build(run.release_id)}: query"
            " warehouse.duckdb there. To publish it anyway: ai-manufacturing publish"
            f" {run.release_id} --reason '...'."
        ),
    ]
    # Move the build to the held builds last, because this moves the warehouse queried above.
    _hold_build(run, result, GateFailedError, [failure.to_record() for failure in failures])
    return GateFailedError("\n".join(lines), run.release_id)


def _hold_without_estimates(
    run: Run, result: BuildResult, headline_summary: Headlines, current_anchor: Anchor
) -> NoEstimatesError:
    """Hold a build without headline estimates for review, and return the error to raise."""
    _hold_build(run, result, NoEstimatesError, [str(headline_summary)])
    lines = [
        f"Release {run.release_id} is held: {headline_summary}. Nothing was published.",
        *result.delivery.causes,
    ]
    if not current_anchor.release_id:
        lines.append(
            "To publish it anyway while no release has estimates: ai-manufacturing refresh"
            " --without-estimates. If the extract set is not meant to have estimates, write"
            f" `has_estimates: false` into its {DESCRIPTION}."
        )
    lines.append(
        f"The build is held in {run.store.locate_held_build(run.release_id)}: query"
        " warehouse.duckdb there. To publish it by hand: ai-manufacturing publish"
        f" {run.release_id} --reason '...'."
    )
    return NoEstimatesError("\n".join(lines))


def _hold_for_judgement(
    run: Run,
    result: BuildResult,
    comparison: Comparison | None,
    decision: Judgement,
    change_lines: Sequence[str],
) -> HeldError:
    """Hold a build that changes published values for review, and return the error to raise."""
    rewritten_values = comparison.revisions.to_record() if comparison else {}
    _hold_build(run, result, HeldError, [*decision.reasons, *change_lines], rewritten_values)
    heading = (
        f"Release {run.release_id} is held, because it changes published results. The published"
        " release is unchanged."
    )
    causes = result.delivery.causes if result.delivery.has_file_changes else []
    return HeldError("\n".join([heading, *causes, *decision.reasons, *decision.way_out]))


def _hold_build(
    run: Run,
    result: BuildResult,
    error: type[RefreshError],
    reasons: list[Any],
    extra_fields: Mapping[str, Any] = {},
) -> None:
    report = {
        "outcome": error.__name__,
        "manifest": result.manifest_fields,
        "found": reasons,
        "delivery": result.delivery.to_record(),
    }
    report |= extra_fields
    report["judged_by"] = judgement.list_judgement_inputs(
        run.basis, run.limits.hold_shown_above, run.declarations, run.may_lack_estimates
    )
    publishing.hold_build(run.store, report, run.on_event)
