"""Find city-years, panel cells and estimates that differ between two releases."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from ai_manufacturing.auditing.wording import count_noun, format_spans
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import build_create_table, quote_identifier, quote_literal

PANEL = "marts.fct_city_year_panel"
COEFFICIENTS = "reports.rpt_coefficients"
LOGARITHMS = ("ln_", "ln1p_", "asinh_")  # prefixes of log-transformed columns
MAX_RELATIVE_CHANGE = 10  # larger changes are reported as absolute, not relative, changes

# Two numbers count as equal if their difference is within either tolerance. Processors round sums
# differently, which changes the last digits of an estimate, and more digits of a number near zero,
# such as a p-value of 1e-60 or the difference between two estimates of the same coefficient.
RELATIVE_TOLERANCE = 1e-9
ABSOLUTE_TOLERANCE = 1e-12

COLUMNS = {
    "change_kind": (
        "varchar",
        "city_year_ or estimate_ lost or gained, cell_changed or estimate_changed.",
    ),
    "city_id": ("varchar", "Six-digit GB/T 2260 code; null for an estimate."),
    "year": ("integer", "Statistical year; null for an estimate."),
    "column_name": ("varchar", "Column of the panel whose cell changed."),
    "specification_id": ("varchar", "Row of regression_specifications.csv; null for the panel."),
    "term": ("varchar", "Regressor that the estimate is about."),
    "old_value": ("double", "Value of the cell, or estimate, in the previous release."),
    "new_value": ("double", "Value of the cell, or estimate, in this one."),
    "old_std_error": ("double", "Error of the estimate in the previous release."),
    "new_std_error": ("double", "Error of the estimate in this one."),
    "moved_std_errors": ("double", "How far the estimate moved, in its old errors."),
    "is_sign_changed": ("boolean", "Whether the estimate changed its sign."),
    "is_stars_changed": ("boolean", "Whether the estimate changed its stars."),
    "is_interval_changed": ("boolean", "Whether the old and the new interval are apart."),
}

# Keep in sync with macros/stars.sql. Regressors computed from the outcome get no stars.
_STARS = (
    "case when {row}.status = 'mechanical' or {row}.p_value is null then 0 when {row}.p_value <"
    " 0.01 then 3 when {row}.p_value < 0.05 then 2 when {row}.p_value < 0.1 then 1 else 0 end"
)


@dataclass(frozen=True)
class Summary:
    """Counts of the changes between two releases, with the largest change of an estimate.

    Attributes
    ----------
    counts : dict of str to int
        Number of changes by kind.
    largest_move : float
        Largest change of an estimate in its old standard errors; 0 if none moved.
    city_years, cells, estimates : tuple of dict
        Changed city-years by kind, changed cells by panel column, and each changed estimate,
        largest move first.
    """

    counts: dict[str, int]
    largest_move: float
    city_years: tuple[dict[str, Any], ...] = ()
    cells: tuple[dict[str, Any], ...] = ()
    estimates: tuple[dict[str, Any], ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """Text lines that describe the changed city-years, panel columns and estimates."""
        return (
            *(
                f"city-years {row['change_kind'].removeprefix('city_year_')}: {row['count']}"
                f" ({count_noun(row['cities'], 'city', 'cities')}, {_format_years(row)})"
                for row in self.city_years
            ),
            *(
                f"{row['column_name']}: {count_noun(row['count'], 'cell', 'cells')} in"
                f" {count_noun(row['cities'], 'city', 'cities')} changed in {_format_years(row)},"
                f" {_describe_size(row)}"
                for row in self.cells
            ),
            *map(_describe_estimate, self.estimates),
        )

    def describe_move(self, limit: float = math.inf) -> str:
        """Format the largest change, with enough digits to show that the change exceeds `limit`."""
        digits = 2
        while self.largest_move > limit and float(f"{self.largest_move:.{digits}f}") <= limit:
            digits += 1
        lost = self.counts.get("estimate_lost", 0)
        sentence = f"An estimate moved by {self.largest_move:.{digits}f} standard errors"
        verb = "was" if lost == 1 else "were"
        lost_estimates = count_noun(lost, "estimate", "estimates")
        return sentence + (f", and {lost_estimates} {verb} lost" if lost else "")

    def exceeds(self, limit: float) -> bool:
        """Return whether an estimate changed by more than `limit` standard errors or was lost.

        Lost estimates are ignored if the limit is infinite.
        """
        return self.largest_move > limit or (
            math.isfinite(limit) and self.counts.get("estimate_lost", 0) > 0
        )


def write_changes(connection: DuckDBPyConnection, *, follows: bool) -> None:
    """Write the changes since the previous release to the table new.release.changes.

    The table is empty if there is no previous release.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with the new release attached as `new`.
    follows : bool
        Whether a previous release of the same set is attached as `old`.
    """
    comment = (
        "One row per change since the previous release: a city and year of the panel gained or"
        " lost, a cell of it changed, an estimate gained, lost or changed."
    )
    connection.execute(build_create_table("new.release.changes", COLUMNS, comment))
    if follows:
        connection.execute(f"insert into new.release.changes {_build_changes_query(connection)}")


def compare_releases(old: Path, new: Path) -> Summary:
    """Summarise the differences between two release files."""
    with (
        tempfile.TemporaryDirectory() as spill,
        duckdb_client.open_attached(Path(spill) / "spill", {"old": old, "new": new}) as connection,
    ):
        connection.execute(build_create_table("changes", COLUMNS, ""))
        connection.execute(f"insert into changes {_build_changes_query(connection)}")
        return _read_summary(connection)


def read_changes(release: DuckDBPyConnection, condition: str = "true", *values: Any) -> Summary:
    """Summarise the changes since the previous release, as stored in release.changes.

    Parameters
    ----------
    release : DuckDBPyConnection
        The open release file.
    condition : str
        SQL condition on COLUMNS that selects the changes.
    *values
        Parameters of the condition.
    """
    query = f"from release.changes where {condition}"
    release.execute(f"create or replace temp table changes as {query}", values)
    return _read_summary(release)


def build_inequality(old: str, new: str) -> str:
    """Return SQL that tests whether two numbers differ beyond rounding, or one is null."""
    return (
        f"(abs({old} - {new}) > greatest({ABSOLUTE_TOLERANCE}, {RELATIVE_TOLERANCE} *"
        f" greatest(abs({old}), abs({new}))) or ({old} is null) <> ({new} is null))"
    )


def build_estimate_query() -> str:
    """Return SQL that selects the changed estimates, with the columns listed in COLUMNS."""
    return f"""
        select
            case
                when n.estimate is null and o.estimate is not null then 'estimate_lost'
                when o.estimate is null and n.estimate is not null then 'estimate_gained'
                else 'estimate_changed'
            end,
            null, null, null,
            coalesce(n.specification_id, o.specification_id), coalesce(n.term, o.term),
            o.estimate, n.estimate, o.std_error, n.std_error,
            abs(n.estimate - o.estimate) / nullif(o.std_error, 0),
            sign(n.estimate) <> sign(o.estimate),
            {_STARS.format(row="n")} <> {_STARS.format(row="o")},
            not (o.conf_low <= n.conf_high and n.conf_low <= o.conf_high)
        from old.{COEFFICIENTS} as o
        full join new.{COEFFICIENTS} as n
            on o.specification_id = n.specification_id and o.term = n.term
        where
            {build_inequality("o.estimate", "n.estimate")}
            or {build_inequality("o.std_error", "n.std_error")}
    """


def _list_numeric_columns(connection: DuckDBPyConnection) -> list[str]:
    """Return the numeric panel columns that both releases contain."""
    schema, table = PANEL.split(".")
    rows = connection.execute(
        "select column_name from duckdb_columns() where database_name in ('old', 'new') and"
        " schema_name = ? and table_name = ? and data_type in ('DOUBLE', 'BIGINT') group by"
        " column_name having count(*) = 2 order by all",
        [schema, table],
    ).fetchall()
    return [name for (name,) in rows]


def _build_changes_query(connection: DuckDBPyConnection) -> str:
    columns = _list_numeric_columns(connection)

    def select_city_years(database: str) -> str:
        """Return SQL for the city-years that have a value; the panel also has empty rows."""
        any_value = ", ".join(quote_identifier(name) for name in columns)
        return (
            f"(select city_id, year from {database}.{PANEL} where coalesce({any_value}) is not"
            " null)"
        )

    cells = ", ".join(
        f"{{column_name: {quote_literal(name)},"
        f" old_value: cast(o.{quote_identifier(name)} as double),"
        f" new_value: cast(n.{quote_identifier(name)} as double)}}"
        for name in columns
    )
    nulls = "null, null, null, null, null, null"
    return f"""
        select 'city_year_lost', city_id, year, null, null, null, null, null, {nulls}
        from ({select_city_years("old")} except {select_city_years("new")})
        union all
        select 'city_year_gained', city_id, year, null, null, null, null, null, {nulls}
        from ({select_city_years("new")} except {select_city_years("old")})
        union all
        select
            'cell_changed', city_id, year, cell.column_name, null, null,
            cell.old_value, cell.new_value, {nulls}
        from (
            select o.city_id, o.year, unnest([{cells}]) as cell
            from old.{PANEL} as o
            inner join new.{PANEL} as n on o.city_id = n.city_id and o.year = n.year
        )
        where {build_inequality("cell.old_value", "cell.new_value")}
        union all
        {build_estimate_query()}
    """


def _read_summary(connection: DuckDBPyConnection) -> Summary:
    counts = dict(
        connection.execute(
            "select change_kind, count(*) from changes group by all order by all"
        ).fetchall()
    )
    ((largest,),) = connection.execute(
        "select coalesce(max(moved_std_errors), 0) from changes"
    ).fetchall()
    places = (
        "count(*) as count, count(distinct city_id) as cities, min(year) as first_year, max(year)"
        " as last_year"
    )
    city_years = (
        f"select change_kind, {places} from changes where change_kind like 'city_year%' group by"
        " all order by all"
    )
    cells = (
        f"select column_name, {places}, max(abs(new_value - old_value) / nullif(abs(old_value), 0))"
        " as largest_relative_change, max(abs(new_value - old_value)) as largest_change from"
        " changes where change_kind = 'cell_changed' group by all order by all"
    )
    estimates = (
        "select change_kind, specification_id, term, old_value, old_std_error, new_value,"
        " new_std_error, moved_std_errors, is_sign_changed, is_stars_changed, is_interval_changed"
        " from changes where change_kind like 'estimate%' order by moved_std_errors desc nulls"
        " first, specification_id, term"
    )
    rows = (
        tuple(duckdb_client.fetch_rows(connection, query))
        for query in (city_years, cells, estimates)
    )
    return Summary(counts, float(largest), *rows)


def _describe_estimate(row: Mapping[str, Any]) -> str:
    old, new = (
        f"{_format_number(row[f'{when}_value'])} ({_format_number(row[f'{when}_std_error'])})"
        for when in ("old", "new")
    )
    notes = (
        [f"moved by {row['moved_std_errors']:.2f} standard errors"]
        if row["moved_std_errors"] is not None
        else []
    )
    flags = {
        "is_sign_changed": "sign changed",
        "is_stars_changed": "stars changed",
        "is_interval_changed": "intervals do not overlap",
    }
    notes += [text for name, text in flags.items() if row[name]]
    return ", ".join([f"{row['specification_id']} {row['term']}: {old} -> {new}", *notes])


def _format_years(row: Mapping[str, Any]) -> str:
    return format_spans(range(row["first_year"], row["last_year"] + 1))


def _describe_size(row: Mapping[str, Any]) -> str:
    """Format the largest change of a panel column, for example `by at most 3 %`.

    A relative change is misleading for logarithms and for values near zero, so it is omitted.
    """
    share, change = row["largest_relative_change"], row["largest_change"]
    if change is None:
        return "to or from a missing value"
    if row["column_name"].startswith(LOGARITHMS):
        return f"by at most {change:.2g} in logarithms"
    return (
        f"by at most {change:.4g}"
        if share is None or share > MAX_RELATIVE_CHANGE
        else f"by at most {100 * share:.2g} %"
    )


def _format_number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
