"""Identifiers and texts as SQL writes them: nothing from a path or a header reaches a statement unescaped."""

import re
from pathlib import Path


def identifier(name: str) -> str:
    """Return an SQL identifier in quotation marks."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """Return the text of a value as an SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def one_file(path: Path) -> str:
    """Return a path as DuckDB's readers take it for this file alone, where a name may hold the marks of a pattern."""
    return re.sub(r"[*?\[]", r"[\g<0>]", str(path))
