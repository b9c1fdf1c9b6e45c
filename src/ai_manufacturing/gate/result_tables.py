"""Names of the tables with data-quality results, for code that only reads the tables."""

from duckdb import DuckDBPyConnection

RESULT_TABLES = ("gate_results", "gate_second_route")
"""Tables of the schema gates: results of the checks before and after estimation."""
AFFECTS_ESTIMATES = (
    "not success and (severity = 'critical' or series is not null"
    " or failing_rows like '%\"series\"%')"
)
"""SQL condition for rows of gate_results that stop estimates or are shown with them."""


def select_all_results(connection: DuckDBPyConnection) -> str:
    """Return SQL that selects all data-quality results in a warehouse or release."""
    tables = connection.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and"
        " schema_name = 'gates' and list_contains(?, table_name) order by table_name",
        [list(RESULT_TABLES)],
    ).fetchall()
    names = [name for (name,) in tables] or RESULT_TABLES[:1]
    return f"({' union all '.join(f'from gates.{name}' for name in names)})"
