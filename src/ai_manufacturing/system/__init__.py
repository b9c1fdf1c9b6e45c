"""Infrastructure that does not depend on the data: settings, texts, disk, DuckDB and dbt."""
