"""Provide settings, text, file operations, DuckDB connections and dbt processes."""
