"""Measure how far estimates have drifted since the last release that a person accepted.

That release is called the anchor. Each release stores the anchor's estimates for the columns of the
paper's tables, adjusted for changes that declared revisions and new years explain. Drift is the
remaining difference from the release's own estimates. The rules are in
docs/decisions/refreshes_and_releases.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import changes, moves
from ai_manufacturing.auditing.wording import join_first
from ai_manufacturing.releases import headlines
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system.sql_text import build_create_table, build_insert

ACCEPTED = "accepted"  # outcome logged by `ai-manufacturing accept`
WARN_SHARE = 0.5  # drift above this share of the publication limit causes a warning
MAX_LISTED_TERMS = 3  # maximum number of coefficients listed in a message

Estimates = Mapping[tuple[str, str], tuple[float, float]]
"""Estimate and standard error by specification and term."""

TABLES = {
    "anchor": (
        (
            "One row: the last release that a person accepted; where nobody has accepted any, the"
            " first of the set with a headline estimate."
        ),
        {
            "release_id": (
                "varchar",
                "Number of the release; empty while no release has a headline estimate.",
            ),
            "accepted_at": (
                "varchar",
                "When a person accepted it, UTC; empty for the first release.",
            ),
            "reason": ("varchar", "Why it was accepted; empty for the first release."),
        },
    ),
    "anchor_estimates": (
        "One row per term of a shown column: how far this release has drifted from the anchor.",
        {
            "specification_id": ("varchar", "Row of regression_specifications.csv."),
            "term": ("varchar", "Regressor that the estimate is about."),
            "estimate": (
                "double",
                (
                    "Estimate of the anchor, moved by what declared revisions and new years explain"
                    " since."
                ),
            ),
            "std_error": ("double", "Standard error that drift is measured in."),
            "drift_std_errors": (
                "double",
                "How far this release's estimate is from it, in that error.",
            ),
        },
    ),
}


@dataclass(frozen=True)
class Anchor:
    """Baseline for drift: the last release accepted by a person, with its estimates.

    Attributes
    ----------
    release_id : str
        Number of the release; empty while no release has a headline estimate.
    accepted_at, reason : str
        When and why it was accepted; empty for a first release, which nobody accepted.
    estimates : mapping
        Estimate and standard error by specification and term, adjusted for explained changes.
    """

    release_id: str
    accepted_at: str
    reason: str
    estimates: Estimates

    def __str__(self) -> str:
        if not self.accepted_at:
            return f"release {self.release_id} (the first; no release has been accepted)"
        reason = f": {self.reason}" if self.reason else ""
        return f"release {self.release_id} (accepted on {self.accepted_at[:10]}{reason})"

    def measure_drift(self, estimates: Estimates) -> dict[tuple[str, str], float]:
        """Return the drift of each estimate from the anchor, in standard errors, largest first."""
        moves_in_errors = {
            key: abs(estimate - self.estimates[key][0]) / self.estimates[key][1]
            for key, (estimate, _) in estimates.items()
            if key in self.estimates and self.estimates[key][1]
        }
        return dict(sorted(moves_in_errors.items(), key=lambda item: (-item[1], item[0])))

    def to_record(self, estimates: Estimates) -> dict[str, Any]:
        """Return the anchor and the largest drift as a dict for the JSON output of `status`."""
        drift = self.measure_drift(estimates).values()
        return {
            "release_id": self.release_id or None,
            "accepted_at": self.accepted_at or None,
            "reason": self.reason or None,
            "largest_drift": next(iter(drift), 0.0) if self.release_id else None,
        }

    def carry_forward(
        self, old: Estimates, new: Estimates, estimate_moves: moves.Moves
    ) -> "Anchor":
        """Return the next release's anchor, with estimates adjusted for explained changes.

        Parameters
        ----------
        old, new : mapping
            Estimates of the published release and of the release that follows it.
        estimate_moves : Moves
            Changes of the estimates between these releases, and the explained changes.
        """

        def carry_estimate(key: tuple[str, str]) -> tuple[float, float]:
            estimate, error = new[key]
            if key not in self.estimates or key not in old:
                return estimate, error
            if key[0] in estimate_moves.explained_specifications:
                return self.estimates[key][0] + estimate - old[key][0], error
            # Added years explain the difference from the estimate on the published years.
            if key in estimate_moves.published_year_estimates:
                old_estimate = estimate_moves.published_year_estimates[key]
                return self.estimates[key][0] + estimate - old_estimate, error
            return self.estimates[key]

        return replace(self, estimates={key: carry_estimate(key) for key in new})


NO_ANCHOR = Anchor("", "", "", {})


def read_shown_estimates(release: DuckDBPyConnection) -> Estimates:
    """Return the estimates and standard errors for the columns of the paper's tables."""
    condition = "estimate is not null and std_error is not null"
    table = f"{changes.COEFFICIENTS} where {condition} and list_contains(?, specification_id)"
    return _read_estimates(release, table, sorted(moves.read_shown_specifications(release)))


def create_anchor(release: DuckDBPyConnection, release_id: str) -> Anchor:
    """Create an anchor from an open release, or NO_ANCHOR if it has no headline estimate."""
    if not headlines.read_headlines(release).estimated_count:
        return NO_ANCHOR
    return Anchor(release_id, "", "", read_shown_estimates(release))


def _read_estimates(release: DuckDBPyConnection, table: str, *values: Any) -> Estimates:
    query = f"select specification_id, term, estimate, std_error from {table}"
    rows = release.execute(query, values).fetchall()
    return {(name, term): (estimate, error) for name, term, estimate, error in rows}


def read_anchor(store: Store, release: DuckDBPyConnection, manifest: Manifest) -> Anchor:
    """Return the baseline from which the drift of a release is measured.

    Parameters
    ----------
    store : Store
        Release folder, whose log shows whether a person accepted this release.
    release : DuckDBPyConnection
        The open release file.
    manifest : Manifest
        Manifest of that file.
    """
    for line in reversed(store.read_refreshes()):
        if line["outcome"] == ACCEPTED and line["release_id"] == manifest.release_id:
            return Anchor(
                manifest.release_id, line["at"], line["reason"], read_shown_estimates(release)
            )
    ((release_id, accepted_at, reason),) = release.execute("from release.anchor").fetchall()
    return Anchor(
        release_id, accepted_at, reason, _read_estimates(release, "release.anchor_estimates")
    )


def write_anchor(release: DuckDBPyConnection, anchor: Anchor, estimates: Estimates) -> None:
    """Write the drift baseline (anchor) and the current drift to tables of an open release.

    Parameters
    ----------
    release : DuckDBPyConnection
        The open release file.
    anchor : Anchor
        Anchor to store in the release.
    estimates : mapping
        Estimates of the release for the columns of the paper's tables.
    """
    drift = anchor.measure_drift(estimates)
    keys = [key for key in sorted(anchor.estimates) if key in estimates]
    rows = [[*key, *anchor.estimates[key], drift.get(key)] for key in keys]
    for table, (comment, columns) in TABLES.items():
        release.execute(build_create_table(f"release.{table}", columns, comment))
    row = [anchor.release_id, anchor.accepted_at, anchor.reason]
    release.execute(build_insert("release.anchor", len(row)), row)
    if rows:
        release.executemany(build_insert("release.anchor_estimates", len(rows[0])), rows)


def describe_drift(anchor: Anchor, new: Estimates, limit: float) -> str:
    """Format the coefficients that drifted from the anchor by more than `limit`, worst first.

    Parameters
    ----------
    anchor : Anchor
        Anchor stored in the release.
    new : mapping
        Estimates of the release for the columns of the paper's tables.
    limit : float
        Limit, in standard errors.
    """
    distances = {
        key: distance for key, distance in anchor.measure_drift(new).items() if distance > limit
    }
    lines = [
        f"{name} {term}: {anchor.estimates[name, term][0]:.4g}"
        f" ({anchor.estimates[name, term][1]:.4g}) -> {new[name, term][0]:.4g}, {distance:.2f}"
        " standard errors"
        for (name, term), distance in distances.items()
    ]
    return join_first(lines, MAX_LISTED_TERMS, "; ", "; and {} more")
