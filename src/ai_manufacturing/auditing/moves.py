"""Moves of shown estimates, and which of them new years or declared revisions explain."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import changes, findings
from ai_manufacturing.auditing.wording import some_of


@dataclass(frozen=True)
class Moves:
    """How the shown estimates moved.

    Attributes
    ----------
    judged : changes.Summary
        Changes of the shown columns that the limit judges.
    notes : tuple of str
        Columns that are beyond the limit because of new years only, in words.
    explained : frozenset of str
        Specifications whose moves declared revisions explain.
    on_published_years : mapping
        Estimates of the columns that reach new years on the published years alone, by specification
        and term.
    """

    judged: changes.Summary
    notes: tuple[str, ...] = ()
    explained: frozenset[str] = frozenset()
    on_published_years: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def why_held(self, limit: float) -> list[str]:
        """Return the line that says which moves are beyond a limit; none if no move is."""
        if not self.judged.is_beyond(limit):
            return []
        estimates = [line for line in self.judged.lines if " -> " in line]
        largest = some_of(estimates, findings.LISTED_ROWS, "; ", "; and {} more")
        return [
            f"{self.judged.moved(limit)}, more than REFRESH_HOLD_ABOVE ({limit:.15g}) allows:"
            f" {largest}."
        ]


def between(
    published: DuckDBPyConnection,
    release: DuckDBPyConnection,
    warehouse: DuckDBPyConnection,
    limit: float,
    explained: frozenset[str],
    doubted: Collection[str] = (),
) -> Moves:
    """Return the moves of shown estimates that a limit judges.

    Parameters
    ----------
    published, release, warehouse : DuckDBPyConnection
        The published release; the one that is written and not yet published; and what that was
        written from.
    limit : float
        In published standard errors.
    explained : frozenset of str
        Specifications whose moves declared revisions explain: they are left out.
    doubted : collection of str
        Specifications whose new years are not like the years before: the limit judges their whole
        move.
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
    # what new years add is no revision
    grown = {
        name: old_years[name]
        for name in sorted(names & old_years.keys() & new_years.keys())
        if new_years[name][0] < old_years[name][0] or new_years[name][1] > old_years[name][1]
    }
    again: dict[tuple[str, str], float] = {}
    if grown:
        # here, because it imports the estimators
        from ai_manufacturing.auditing import published_years

        again = published_years.estimates(warehouse, grown)
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
    judged = changes.recorded(release, "list_contains(?, specification_id)", sorted(names - passed))
    return Moves(judged, tuple(notes), explained, again)


def shown(connection: DuckDBPyConnection) -> set[str]:
    """Return the shown columns of a release."""
    query = "select specification_id from reports.rpt_column_specifications"
    return {name for (name,) in connection.execute(query).fetchall()}


def _sample_years(connection: DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    rows = connection.execute(
        "select specification_id, min(year), max(year) from estimates.estimation_samples group by"
        " specification_id"
    ).fetchall()
    return {name: (first, last) for name, first, last in rows}
