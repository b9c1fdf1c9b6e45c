"""Tables with the results of the gates, for code that only reads them."""

from duckdb import DuckDBPyConnection

RESULT_TABLES = ("gate_results", "gate_second_route")
"""Tables of the schema gates: what is judged before the estimates, and the estimates."""
READ_BY_ESTIMATES = (
    "not success and (severity = 'critical' or series is not null"
    " or failing_rows like '%\"series\"%')"
)
"""Rows of gate_results that stop estimates or are repeated beside them."""


def all_results(connection: DuckDBPyConnection) -> str:
    """Return SQL of the results of all gates that a warehouse or a release has."""
    tables = connection.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and"
        " schema_name = 'gates' and list_contains(?, table_name) order by table_name",
        [list(RESULT_TABLES)],
    ).fetchall()
    names = [name for (name,) in tables] or RESULT_TABLES[:1]
    return f"({' union all '.join(f'from gates.{name}' for name in names)})"
