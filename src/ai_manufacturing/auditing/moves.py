"""Find estimates that changed since the published release, and explain the changes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing import changes
from ai_manufacturing.auditing.wording import join_first

MAX_LISTED_ESTIMATES = 10  # in a message


@dataclass(frozen=True)
class Moves:
    """Changes of the estimates in the paper's tables since the published release.

    Attributes
    ----------
    judged_changes : changes.Summary
        Changes of the table columns to which the limit applies.
    notes : tuple of str
        Messages about columns that exceed the limit only because of new years.
    explained_specifications : frozenset of str
        Specifications with changes that declared revisions explain.
    published_year_estimates : mapping
        Estimates on the published years alone, by specification and term, for columns whose sample
        includes new years.
    """

    judged_changes: changes.Summary
    notes: tuple[str, ...] = ()
    explained_specifications: frozenset[str] = frozenset()
    published_year_estimates: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def describe_excess(self, limit: float) -> list[str]:
        """Return a list with one message if any estimate changed too much, or an empty list."""
        if not self.judged_changes.exceeds(limit):
            return []
        estimates = [line for line in self.judged_changes.lines if " -> " in line]
        largest = join_first(estimates, MAX_LISTED_ESTIMATES, "; ", "; and {} more")
        move = self.judged_changes.describe_move(limit)
        return [
            f"{move}. REFRESH_HOLD_ABOVE allows moves of up to {limit:.15g} and no lost estimates:"
            f" {largest}."
        ]


def find_moves(
    published_release: DuckDBPyConnection,
    new_release: DuckDBPyConnection,
    warehouse: DuckDBPyConnection,
    limit: float,
    explained_specifications: frozenset[str],
    odd_specifications: Collection[str] = (),
) -> Moves:
    """Return the changes of estimates, separating changes that new years or revisions explain.

    Parameters
    ----------
    published_release, new_release, warehouse : DuckDBPyConnection
        The published release, the new release before publication, and the warehouse that it was
        written from.
    limit : float
        Largest change that passes, in standard errors of the published release.
    explained_specifications : frozenset of str
        Specifications to exclude, because declared revisions explain their changes.
    odd_specifications : collection of str
        Specifications that use an implausible new year; the limit applies to their full change.
    """
    names = read_shown_specifications(published_release) - explained_specifications
    old_years, new_years = _read_sample_years(published_release), _read_sample_years(new_release)
    columns = f"specification_id, term, estimate, std_error from {changes.COEFFICIENTS}"
    rows = published_release.execute(f"select {columns} where estimate is not null").fetchall()
    before = {(name, term): (estimate, error) for name, term, estimate, error in rows}
    excess_moves = dict(
        new_release.execute(
            "select specification_id, max(moved_std_errors) from release.changes where change_kind"
            " = 'estimate_changed' and moved_std_errors > ? group by specification_id",
            [limit],
        ).fetchall()
    )
    # If a sample gained years, re-estimate on the published years: growth is not a revision.
    year_ranges = {
        name: old_years[name]
        for name in sorted(names & old_years.keys() & new_years.keys())
        if new_years[name][0] < old_years[name][0] or new_years[name][1] > old_years[name][1]
    }
    reestimates: dict[tuple[str, str], float] = {}
    if year_ranges:
        # Import lazily, because this module loads the estimators.
        from ai_manufacturing.auditing import published_years

        reestimates = published_years.reestimate_columns(warehouse, year_ranges)
    passing, notes = set(), []
    for name in sorted(year_ranges.keys() & excess_moves.keys() - {*odd_specifications}):
        revision = max(
            abs(reestimates.get((name, term), float("inf")) - estimate) / error
            for (specification_id, term), (estimate, error) in before.items()
            if specification_id == name and error
        )
        if revision <= limit:
            passing.add(name)
            first, last = year_ranges[name]
            notes.append(
                f"{name} moved by {excess_moves[name]:.2f} standard errors because its sample"
                f" includes new years. Re-estimated on the published years, {first}-{last}, it"
                f" moved by {revision:.2f}"
            )
    judged_changes = changes.read_changes(
        new_release, "list_contains(?, specification_id)", sorted(names - passing)
    )
    return Moves(judged_changes, tuple(notes), explained_specifications, reestimates)


def read_shown_specifications(connection: DuckDBPyConnection) -> set[str]:
    """Return the specification_id of each column in the paper's tables."""
    query = "select specification_id from reports.rpt_column_specifications"
    return {name for (name,) in connection.execute(query).fetchall()}


def _read_sample_years(connection: DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    rows = connection.execute(
        "select specification_id, min(year), max(year) from estimates.estimation_samples group by"
        " specification_id"
    ).fetchall()
    return {name: (first, last) for name, first, last in rows}
