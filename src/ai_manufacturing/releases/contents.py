"""What a release file holds: schemas of a warehouse with comments, and what they are made of."""

from collections.abc import Collection, Mapping

from duckdb import DuckDBPyConnection

from ai_manufacturing.system.sql_text import beside, identifier, literal

SQL = beside(__file__)

SCHEMAS = ("marts", "gates", "estimates", "reports")
INPUTS = (
    "seeds.*",
    "raw.deliveries",
    "raw.extract_set",
    "raw.raw_register_files",
    "intermediate.int_city_year_variables",
    "intermediate.int_series_conformed",
    "intermediate.int_series_corrected",
    "intermediate.int_series_sources",
    "intermediate.int_source_pairs_grouped",
    "intermediate.int_specification_checks",
    "intermediate.int_specification_curve",
    "intermediate.int_specification_losses",
    "intermediate.int_specification_samples",
    "intermediate.int_specifications_resolved",
    "intermediate.int_specifications_sampled",
)
"""Beside them: what `trace` reads, and what models are made of that `--defer` to a release.

Delivered records are not among them: with those a release would be a sixth larger. A copy to give
away has none of it.
"""


def copy_comments(
    connection: DuckDBPyConnection,
    tables: Collection[str],
    before: Mapping[str, str] | None = None,
) -> None:
    """Comment the tables of `new`, and their columns, as those of `built` are.

    Parameters
    ----------
    connection : DuckDBPyConnection
        With both attached.
    tables : collection of str
        Those of `new`, as schema.table.
    before : mapping, optional
        By schema and table ("marts.dim_city"), what to write before the comment of the table.
    """
    commented = connection.execute(SQL["comments"]).fetchall()
    for schema, table, column, comment in commented:
        note = (before or {}).get(f"{schema}.{table}", "") if column is None else ""
        if f"{schema}.{table}" not in tables or not (note or comment):
            continue
        name = f"new.{identifier(schema)}.{identifier(table)}"
        object_ = f"table {name}" if column is None else f"column {name}.{identifier(column)}"
        connection.execute(f"comment on {object_} is {literal(note + (comment or ''))}")
