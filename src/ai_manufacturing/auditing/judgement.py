"""Decide whether a build may be published.

A build is compared with the last release and with the anchor, and its new years with earlier years.
The rules and their reasons are in docs/decisions/refreshes_and_releases.md.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import anchors, moves, new_years, revisions
from ai_manufacturing.auditing.anchors import Anchor
from ai_manufacturing.auditing.basis import Basis
from ai_manufacturing.auditing.new_years import OddYear
from ai_manufacturing.auditing.revisions import ReadAgain, Revisions
from ai_manufacturing.landing import declared_revisions
from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.system import duckdb_client


@dataclass(frozen=True)
class Comparison:
    """Differences between the values in a new build and the published values.

    Attributes
    ----------
    revisions : Revisions
        Published values that the build changes.
    odd_years : tuple of OddYear
        New years in which the distribution across cities differs from earlier years.
    """

    revisions: Revisions
    odd_years: tuple[OddYear, ...]

    @property
    def declarations(self) -> list[str]:
        """Descriptions of the declared revisions and corrections that justify a change."""
        year_declarations = (row for year in self.odd_years for row in year.declared_by)
        texts = dict.fromkeys(map(str, [*self.revisions.declarations, *year_declarations]))
        return [*texts, *self.revisions.corrections]


@dataclass(frozen=True)
class Judgement:
    """Decision on whether to publish a release that has been written, with reasons.

    Attributes
    ----------
    reasons : list of str
        Reasons not to publish the release; empty if it may be published.
    notes : list of str
        Warnings about changes that do not prevent publication.
    way_out : list of str
        Likely cause of the changes, and commands that resolve them.
    anchor : Anchor
        Anchor to store in the release.
    """

    reasons: list[str]
    notes: list[str]
    way_out: list[str]
    anchor: Anchor


def list_judgement_inputs(
    basis: Basis | None,
    limit: float,
    declarations: Sequence[Declaration],
    may_lack_estimates: bool,
) -> list[Any]:
    """Return the inputs to the publication decision other than the build itself."""
    release_ids: list[str | None] = [None]
    if basis is not None:
        release_ids = [basis.manifest.release_id, basis.anchor.release_id, basis.anchor.accepted_at]
    return [*release_ids, str(limit), may_lack_estimates, *map(str, declarations)]


def find_unchanged_files(
    paths: Iterable[str], hashes: Mapping[str, str], published_manifest: Manifest
) -> frozenset[str]:
    """Return the files and archive members that are unchanged since the published release.

    A file delivered since then is read for the first time, so it cannot be read again.
    """
    unchanged_paths = {
        path
        for path, sha256 in hashes.items()
        if published_manifest.delivery_hashes.get(path) == sha256
    }
    return frozenset(
        path for path in paths if unchanged_paths & {path, *map(str, PurePosixPath(path).parents)}
    )


def compare_values(
    connection: DuckDBPyConnection,
    declarations: Sequence[Declaration],
    read_again: ReadAgain | None,
) -> Comparison:
    """Compare the values in a new build with the values in the published release.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with the release attached as `old` and the build as `built`.
    declarations : sequence of Declaration
        Declared revisions that apply to the release.
    read_again : ReadAgain or None
        Years and files that the user asked to read again.
    """
    declared_revisions.create_declared_table(connection, declarations)
    rewrites = revisions.find_revisions(connection, declarations, read_again)
    return Comparison(rewrites, tuple(new_years.find_odd_years(connection, declarations)))


def judge_release(
    basis: Basis,
    manifest_fields: Mapping[str, Any],
    connection: DuckDBPyConnection,
    limit: float,
    comparison: Comparison,
    held_folder: Path,
) -> Judgement:
    """Decide, from the changes since the previous release, whether to publish a release.

    Parameters
    ----------
    basis : Basis
        Release to compare with.
    manifest_fields : mapping
        Manifest fields of the new release.
    connection : DuckDBPyConnection
        Connection with the previous release attached as `old`, the new one as `new`, and the
        warehouse it was written from as `built`.
    limit : float
        Largest change of an estimate, in standard errors, that passes. Drift from the anchor
        above half of it causes a warning.
    comparison : Comparison
        Result of `compare_values`.
    held_folder : Path
        Folder that stores the build if it is not published.
    """
    published_manifest = basis.manifest
    old, new, warehouse = (
        duckdb_client.open_cursor(connection, name) for name in ("old", "new", "built")
    )
    rewrites = comparison.revisions
    undeclared_years = [year for year in comparison.odd_years if not year.declared_by]
    odd_specifications = {name for year in undeclared_years for name in year.specifications}
    estimate_moves = moves.find_moves(
        old, new, warehouse, limit, rewrites.explained_specifications, odd_specifications
    )
    reasons = [*rewrites.lines, *estimate_moves.describe_excess(limit)]
    notes = [*rewrites.notes, *estimate_moves.notes]
    release_id = manifest_fields["release_id"]
    declarable_revisions = rewrites.declarable_revisions
    excess_specifications = {
        row["specification_id"]
        for row in estimate_moves.judged_changes.estimates
        if row["change_kind"] == "estimate_gained" or (row["moved_std_errors"] or 0) > limit
    }
    for year in undeclared_years:
        columns = sorted(excess_specifications.intersection(year.specifications))
        line = f"{year.message}. No published year shows changes of this size"
        if columns:
            reasons.append(
                f"{line}, and columns that use this year move or appear: {', '.join(columns)}."
            )
            series = (year.provider, year.quantity, year.scope, (year.year, year.year))
            declarable_revisions.append(declared_revisions.format_revision(*series))
        else:
            notes.append(line)
    estimates = anchors.read_shown_estimates(new)
    anchor = basis.anchor.carry_forward(
        anchors.read_shown_estimates(old), estimates, estimate_moves
    )
    if not anchor.release_id:
        anchor = anchors.create_anchor(new, release_id)
    if drift := anchors.describe_drift(anchor, estimates, limit):
        reasons.append(
            f"The drift from {anchor} exceeds REFRESH_HOLD_ABOVE ({limit:.15g}), and no"
            f" declared revision explains it: {drift}. If the published numbers are right, make"
            f" them the new anchor: ai-manufacturing accept {published_manifest.release_id}"
            " --reason '...', and refresh again."
        )
    elif small_drift := anchors.describe_drift(anchor, estimates, anchors.WARN_SHARE * limit):
        notes.append(
            f"The drift from {anchor} is below the limit: {small_drift}. Above {limit:.15g}, a"
            " release is held. If the numbers are right, accept them: ai-manufacturing accept"
            f" {release_id} --reason '...'"
        )
    actions = _suggest_actions(
        declarable_revisions, published_manifest, manifest_fields, held_folder
    )
    return Judgement(reasons, notes, [*actions], anchor)


def _suggest_actions(
    declarable_revisions: Sequence[str],
    published_manifest: Manifest,
    manifest_fields: Mapping[str, Any],
    held_folder: Path,
) -> Iterator[str]:
    """Yield the likely cause of blocked changes, and the commands that resolve them.

    Parameters
    ----------
    declarable_revisions : sequence of str
        Revisions that would let the build pass, in the format of `--revision`.
    published_manifest : Manifest
        Manifest of the published release.
    manifest_fields : mapping
        Manifest fields of the build.
    held_folder : Path
        Folder of the build.
    """
    if manifest_fields["delivery_hashes"] == published_manifest.delivery_hashes:
        commits = [
            commit[:12] or "unknown"
            for commit in (published_manifest.git_commit, manifest_fields["git_commit"])
        ]
        yield (
            f"The deliveries are the same as in release {published_manifest.release_id}, so"
            f" code, seeds or packages caused the changes (commit {commits[0]}, now"
            f" {commits[1]})."
        )
    if declarable_revisions:
        options = " ".join(f"--revision {text}" for text in declarable_revisions)
        yield (
            "If these changes are revisions, declare them, and refresh again: ai-manufacturing"
            f" accept {options} --reason '...'"
        )
    yield (
        f"The build is held in {held_folder}; report.json there lists every change. To publish"
        f" it anyway: ai-manufacturing publish {manifest_fields['release_id']} --reason '...'."
    )
