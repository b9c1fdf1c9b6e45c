"""Identifiers and texts as SQL writes them: nothing from a path or a header reaches a statement unescaped."""

import re
from collections.abc import Mapping
from pathlib import Path


def identifier(name: str) -> str:
    """Return an SQL identifier in quotation marks."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """Return the text of a value as an SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def comments(table: str, comment: str, columns: Mapping[str, str]) -> str:
    """Return the statements that comment a table, named as SQL, and its columns."""
    on_columns = [f"comment on column {table}.{identifier(name)} is {literal(text)}" for name, text in columns.items()]
    return "; ".join([f"comment on table {table} is {literal(comment)}", *on_columns])


def one_file(path: Path) -> str:
    """Return a path as DuckDB's readers take it for this file alone, where a name may hold the marks of a pattern."""
    return re.sub(r"[*?\[]", r"[\g<0>]", str(path))
