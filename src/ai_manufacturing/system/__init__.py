"""Infrastructure that knows nothing about the data: settings, texts, disk, DuckDB, dbt."""
