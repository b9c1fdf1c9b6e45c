"""The project's settings and texts, the disk, DuckDB, dbt and exit codes: nothing of cities."""
