"""Load SQL statements from files next to Python modules, and quote identifiers and literals.

Values from paths and file headers must be quoted with these functions before they enter a
statement.
"""

import re
from collections.abc import Mapping
from pathlib import Path


def quote_identifier(name: str) -> str:
    """Quote a name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: object) -> str:
    """Quote the string form of a value as a SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def build_comments(table: str, comment: str, columns: Mapping[str, str]) -> str:
    """Return COMMENT statements for a table, whose name is already quoted, and its columns."""
    on_columns = [
        f"comment on column {table}.{quote_identifier(name)} is {quote_literal(text)}"
        for name, text in columns.items()
    ]
    return "; ".join([f"comment on table {table} is {quote_literal(comment)}", *on_columns])


def build_create_table(table: str, columns: Mapping[str, tuple[str, str]], comment: str) -> str:
    """Return a CREATE TABLE statement, followed by COMMENT statements.

    Parameters
    ----------
    table : str
        Name of the table, already quoted for SQL.
    columns : mapping of str to (str, str)
        Type and comment of each column.
    comment : str
        Comment on the table.
    """
    types = ", ".join(f"{quote_identifier(name)} {type_}" for name, (type_, _) in columns.items())
    on_columns = {name: text for name, (_, text) in columns.items()}
    return f"create table {table} ({types}); {build_comments(table, comment, on_columns)}"


def build_insert(table: str, count: int) -> str:
    """Return an INSERT statement with `count` placeholders; `table` must already be quoted."""
    return f"insert into {table} values ({', '.join('?' * count)})"


def escape_globs(path: Path) -> str:
    """Escape glob characters in a path, so that DuckDB reads it as a single file."""
    return re.sub(r"[*?\[]", r"[\g<0>]", str(path))


def load_statements(module: str) -> dict[str, str]:
    """Return the named statements of the SQL file next to a Python module.

    A line such as `-- name: cells` precedes each statement. Statements receive values only through
    parameters such as $series; table and column names are never interpolated.

    Parameters
    ----------
    module : str
        The module's __file__.
    """
    text = Path(module).with_suffix(".sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    statements = (part.strip().removesuffix(";") for part in parts[1::2])
    return dict(zip(parts[::2], statements, strict=True))
