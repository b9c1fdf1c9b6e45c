"""The disk, DuckDB, dbt and exit codes: what knows nothing of cities."""
