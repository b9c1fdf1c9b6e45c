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
    """Comparison of a build with the published values.

    Attributes
    ----------
    rewritten : Revisions
        Published values that the build changes.
    odd : tuple of OddYear
        New years that differ in structure from the years before.
    """

    rewritten: Revisions
    odd: tuple[OddYear, ...]

    @property
    def declarations(self) -> list[str]:
        """Declared revisions and corrections that justify a change, in words."""
        of_years = (row for year in self.odd for row in year.declared_by)
        revised = dict.fromkeys(map(str, [*self.rewritten.declarations, *of_years]))
        return [*revised, *self.rewritten.corrections]


@dataclass(frozen=True)
class Judgement:
    """Result of judging a release that has been written but not published.

    Attributes
    ----------
    why : list of str
        Reasons to hold the release, in words; empty if it passes.
    notes : list of str
        Warnings about changes that pass.
    way_out : list of str
        Origin of the held changes, as far as known, and possible actions.
    anchor : Anchor
        Anchor to store in the release.
    """

    why: list[str]
    notes: list[str]
    way_out: list[str]
    anchor: Anchor


def list_judgement_inputs(
    basis: Basis | None,
    limit: float,
    declared: Sequence[Declaration],
    may_lack_estimates: bool,
) -> list[Any]:
    """Return the inputs of a judgement other than the build itself."""
    published: list[str | None] = [None]
    if basis is not None:
        published = [basis.manifest.release_id, basis.anchor.release_id, basis.anchor.accepted_at]
    return [*published, str(limit), may_lack_estimates, *map(str, declared)]


def unchanged(
    paths: Iterable[str], hashes: Mapping[str, str], published: Manifest
) -> frozenset[str]:
    """Return the files, or archive members, that are unchanged since the published release.

    A file delivered since then is read for the first time, so it cannot be read again.
    """
    same = {
        path for path, sha256 in hashes.items() if published.delivery_hashes.get(path) == sha256
    }
    return frozenset(
        path for path in paths if same & {path, *map(str, PurePosixPath(path).parents)}
    )


def compare(
    connection: DuckDBPyConnection,
    declared: Sequence[Declaration],
    read_again: ReadAgain | None,
) -> Comparison:
    """Compare the values of a build with a published release of the same extract set.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with the release attached as `old` and the build as `built`.
    declared : sequence of Declaration
        Declared revisions that apply to the release.
    read_again : ReadAgain or None
        Years and files that the user asked to read again.
    """
    declared_revisions.create_declared_table(connection, declared)
    rewritten = revisions.compare(connection, declared, read_again)
    return Comparison(rewritten, tuple(new_years.find_odd_years(connection, declared)))


def judge(
    basis: Basis,
    described: Mapping[str, Any],
    connection: DuckDBPyConnection,
    limit: float,
    comparison: Comparison,
    held: Path,
) -> Judgement:
    """Judge a release that follows another of the same extract set.

    Parameters
    ----------
    basis : Basis
        Release to compare with.
    described : mapping
        Manifest fields of the new release.
    connection : DuckDBPyConnection
        Connection with the previous release attached as `old`, the new one as `new`, and the
        warehouse it was written from as `built`.
    limit : float
        Largest move of a shown estimate, in standard errors, that passes. Drift from the anchor
        above half of it causes a warning.
    comparison : Comparison
        Result of `compare`.
    held : Path
        Folder of the build if it is held.
    """
    published = basis.manifest
    old, new, built = (
        duckdb_client.open_cursor(connection, name) for name in ("old", "new", "built")
    )
    rewritten = comparison.rewritten
    undeclared = [year for year in comparison.odd if not year.declared_by]
    doubted = {name for year in undeclared for name in year.specifications}
    moved = moves.find_moves(old, new, built, limit, rewritten.explained, doubted)
    why, notes = [*rewritten.lines, *moved.describe_excess(limit)], [*rewritten.notes, *moved.notes]
    release_id = described["release_id"]
    to_declare = rewritten.to_declare
    beyond = {
        row["specification_id"]
        for row in moved.judged_changes.estimates
        if row["change_kind"] == "estimate_gained" or (row["moved_std_errors"] or 0) > limit
    }
    for year in undeclared:
        columns = sorted(beyond.intersection(year.specifications))
        line = f"{year.message}. The published years are not like that"
        if columns:
            why.append(f"{line}, and columns that rest on it move or appear: {', '.join(columns)}.")
            series = (year.provider, year.quantity, year.scope, (year.year, year.year))
            to_declare.append(declared_revisions.format_revision(*series))
        else:
            notes.append(line)
    shown = anchors.read_shown_estimates(new)
    anchor = basis.anchor.carry_forward(anchors.read_shown_estimates(old), shown, moved)
    if not anchor.release_id:
        anchor = anchors.create_anchor(new, release_id)
    if drifted := anchors.describe_drift(anchor, shown, limit):
        why.append(
            f"Drift from {anchor} is more than REFRESH_HOLD_ABOVE ({limit:.15g}) allows, by steps"
            f" that no declaration explains: {drifted}. If the published numbers are right, measure"
            f" from them: ai-manufacturing accept {published.release_id} --reason '...', and"
            " refresh again."
        )
    elif warned := anchors.describe_drift(anchor, shown, anchors.WARN_SHARE * limit):
        notes.append(
            f"Drift from {anchor}: {warned}. Beyond {limit:.15g} a release is held. If the numbers"
            f" are right: ai-manufacturing accept {release_id} --reason '...'"
        )
    return Judgement(why, notes, [*_way_out(to_declare, published, described, held)], anchor)


def _way_out(
    to_declare: Sequence[str], published: Manifest, described: Mapping[str, Any], held: Path
) -> Iterator[str]:
    """Yield the origin of held changes, as far as known, and possible actions.

    Parameters
    ----------
    to_declare : sequence of str
        Revisions that would let the build pass, in the format of `--revision`.
    published : Manifest
        Manifest of the published release.
    described : mapping
        Manifest fields of the build.
    held : Path
        Folder of the build.
    """
    if described["delivery_hashes"] == published.delivery_hashes:
        commits = [
            commit[:12] or "unknown" for commit in (published.git_commit, described["git_commit"])
        ]
        yield (
            f"The deliveries are those of release {published.release_id}: code, seeds or packages"
            f" make the difference (commit {commits[0]}, now {commits[1]})."
        )
    if to_declare:
        options = " ".join(f"--revision {text}" for text in to_declare)
        yield (
            "If these are revisions, declare them, and refresh again: ai-manufacturing accept"
            f" {options} --reason '...'"
        )
    yield (
        f"Held in {held}; report.json there has every change. To publish it anyway:"
        f" ai-manufacturing publish {described['release_id']} --reason '...'."
    )
