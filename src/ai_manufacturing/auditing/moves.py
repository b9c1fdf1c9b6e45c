"""Moves of shown estimates, including those explained by new years or declared revisions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import changes, findings
from ai_manufacturing.auditing.wording import join_first


@dataclass(frozen=True)
class Moves:
    """Moves of the shown estimates since the published release.

    Attributes
    ----------
    judged : changes.Summary
        Changes of the shown columns to which the limit applies.
    notes : tuple of str
        Columns that exceed the limit only because of new years, in words.
    explained : frozenset of str
        Specifications whose moves are explained by declared revisions.
    on_published_years : mapping
        Estimates on the published years alone, by specification and term, for columns whose sample
        includes new years.
    """

    judged: changes.Summary
    notes: tuple[str, ...] = ()
    explained: frozenset[str] = frozenset()
    on_published_years: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def why_held(self, limit: float) -> list[str]:
        """Return a line that names the moves beyond a limit, or an empty list if there are none."""
        if not self.judged.exceeds(limit):
            return []
        estimates = [line for line in self.judged.lines if " -> " in line]
        largest = join_first(estimates, findings.MAX_LISTED_ROWS, "; ", "; and {} more")
        return [
            f"{self.judged.describe_move(limit)}, more than REFRESH_HOLD_ABOVE ({limit:.15g})"
            f" allows: {largest}."
        ]


def between(
    published: DuckDBPyConnection,
    release: DuckDBPyConnection,
    warehouse: DuckDBPyConnection,
    limit: float,
    explained: frozenset[str],
    doubted: Collection[str] = (),
) -> Moves:
    """Return the moves of the shown estimates, and select those to judge against a limit.

    Parameters
    ----------
    published, release, warehouse : DuckDBPyConnection
        The published release, the new release before publication, and the warehouse that it was
        written from.
    limit : float
        Largest move that passes, in published standard errors.
    explained : frozenset of str
        Specifications whose moves are explained by declared revisions, and therefore excluded.
    doubted : collection of str
        Specifications with odd new years; the limit applies to their whole move.
    """
    names = shown(published) - explained
    old_years, new_years = _sample_years(published), _sample_years(release)
    columns = f"specification_id, term, estimate, std_error from {changes.COEFFICIENTS}"
    rows = published.execute(f"select {columns} where estimate is not null").fetchall()
    before = {(name, term): (estimate, error) for name, term, estimate, error in rows}
    beyond = dict(
        release.execute(
            "select specification_id, max(moved_std_errors) from release.changes where change_kind"
            " = 'estimate_changed' and moved_std_errors > ? group by specification_id",
            [limit],
        ).fetchall()
    )
    # Columns that gain years are judged on the published years alone: growth is not a revision.
    grown = {
        name: old_years[name]
        for name in sorted(names & old_years.keys() & new_years.keys())
        if new_years[name][0] < old_years[name][0] or new_years[name][1] > old_years[name][1]
    }
    again: dict[tuple[str, str], float] = {}
    if grown:
        # imported here because it loads the estimators
        from ai_manufacturing.auditing import published_years

        again = published_years.reestimate(warehouse, grown)
    passed, notes = set(), []
    for name in sorted(grown.keys() & beyond.keys() - {*doubted}):
        revised = max(
            abs(again.get((name, term), float("inf")) - estimate) / error
            for (of, term), (estimate, error) in before.items()
            if of == name and error
        )
        if revised <= limit:
            passed.add(name)
            notes.append(
                f"{name} moved by {beyond[name]:.2f} standard errors as its sample reaches new"
                f" years. On the published years, {grown[name][0]}-{grown[name][1]}, it moved by"
                f" {revised:.2f}"
            )
    judged = changes.read_changes(
        release, "list_contains(?, specification_id)", sorted(names - passed)
    )
    return Moves(judged, tuple(notes), explained, again)


def shown(connection: DuckDBPyConnection) -> set[str]:
    """Return the specifications of a release's shown columns."""
    query = "select specification_id from reports.rpt_column_specifications"
    return {name for (name,) in connection.execute(query).fetchall()}


def _sample_years(connection: DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    rows = connection.execute(
        "select specification_id, min(year), max(year) from estimates.estimation_samples group by"
        " specification_id"
    ).fetchall()
    return {name: (first, last) for name, first, last in rows}
