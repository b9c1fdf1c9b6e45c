"""Statements of the files beside modules; identifiers and texts as SQL writes them.

Nothing from a path or a header reaches a statement unescaped.
"""

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
    on_columns = [
        f"comment on column {table}.{identifier(name)} is {literal(text)}"
        for name, text in columns.items()
    ]
    return "; ".join([f"comment on table {table} is {literal(comment)}", *on_columns])


def create_table(table: str, columns: Mapping[str, tuple[str, str]], comment: str) -> str:
    """Return the statements that create a table, named as SQL, with its comments.

    Parameters
    ----------
    table : str
        Its name.
    columns : mapping of str to (str, str)
        Type and comment of each column.
    comment : str
        Of the table.
    """
    types = ", ".join(f"{identifier(name)} {type_}" for name, (type_, _) in columns.items())
    on_columns = {name: text for name, (_, text) in columns.items()}
    return f"create table {table} ({types}); {comments(table, comment, on_columns)}"


def insert(table: str, count: int) -> str:
    """Return the statement that inserts rows of so many parameters into a table, named as SQL."""
    return f"insert into {table} values ({', '.join('?' * count)})"


def one_file(path: Path) -> str:
    """Return a path, which may hold the marks of a pattern, as DuckDB takes it for one file."""
    return re.sub(r"[*?\[]", r"[\g<0>]", str(path))


def beside(module: str) -> dict[str, str]:
    """Return the statements of the .sql file beside a module, by the names in front of them.

    A statement follows a line such as `-- name: cells`. Its values are parameters such as $series;
    no name of a table or column is put into it.

    Parameters
    ----------
    module : str
        Its __file__.
    """
    text = Path(module).with_suffix(".sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    statements = (part.strip().removesuffix(";") for part in parts[1::2])
    return dict(zip(parts[::2], statements, strict=True))
