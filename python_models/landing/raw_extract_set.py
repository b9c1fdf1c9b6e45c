from ai_manufacturing import landing


def model(dbt, session):
    dbt.config(materialized="table", alias="extract_set")
    this = dbt.this
    held = session.execute(
        "select 1 from duckdb_tables() where (database_name, schema_name, table_name) = (?, ?, ?)",
        [this.database, this.schema, this.identifier],
    ).fetchall()
    return landing.describe_extract_set(
        session.sql(f"from {this}").to_arrow_table() if held else None
    )
