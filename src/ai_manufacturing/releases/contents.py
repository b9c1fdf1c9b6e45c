"""List the schemas and tables that a release contains, and copy their comments."""

from collections.abc import Collection, Mapping

from duckdb import DuckDBPyConnection

from ai_manufacturing.system.sql_text import load_statements, quote_identifier, quote_literal

SQL = load_statements(__file__)

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
"""Further released relations, which `trace` and models built with `--defer` read.

Delivered records are excluded, because they would enlarge a release by a sixth. A public copy
contains none of these relations.
"""


def copy_comments(
    connection: DuckDBPyConnection,
    tables: Collection[str],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Copy table and column comments from the database `built` to the database `new`.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Connection with both databases attached.
    tables : collection of str
        Tables of `new`, as schema.table.
    notes : mapping, optional
        Text to insert before the comment of a table, by schema.table ("marts.dim_city").
    """
    rows = connection.execute(SQL["comments"]).fetchall()
    for schema, table, column, comment in rows:
        note = (notes or {}).get(f"{schema}.{table}", "") if column is None else ""
        if f"{schema}.{table}" not in tables or not (note or comment):
            continue
        name = f"new.{quote_identifier(schema)}.{quote_identifier(table)}"
        object_ = f"table {name}" if column is None else f"column {name}.{quote_identifier(column)}"
        connection.execute(f"comment on {object_} is {quote_literal(note + (comment or ''))}")
