"""The query book docs/queries.md: questions, each with its SQL and its answer on the sample.

`ai-manufacturing queries` writes the answers anew.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing.system import duckdb_client

ENTRY = re.compile(
    r"^## \d+\."
    r" (?P<question>.+?)\n\n(?P<question_zh>.+?)\n.*?"
    r"^```sql\n(?P<sql>.+?)^```\n\n(?P<answer>\|.+?\|\n)(?!\|)",
    re.M | re.S,
)


@dataclass(frozen=True)
class Entry:
    """One question of the book.

    Attributes
    ----------
    question, question_zh : str
        As an analyst would ask it, in English and in Chinese.
    sql : str
        One statement on the released schemas.
    answer : str
        Markdown table of its result on the sample.
    """

    question: str
    question_zh: str
    sql: str
    answer: str


def entries(book: str) -> list[Entry]:
    """Return the questions of a book in the order of its pages."""
    return [Entry(**found.groupdict()) for found in ENTRY.finditer(book)]


def answered(book: str, database: Path) -> str:
    """Return the book with the answers that a release or warehouse gives.

    Raises
    ------
    duckdb.Error
        If a query of the book does not run.
    """
    with duckdb_client.reading(database) as connection:

        def replace(found: re.Match[str]) -> str:
            return found[0].removesuffix(found["answer"]) + _table(connection.execute(found["sql"]))

        return ENTRY.sub(replace, book)


def _table(result: duckdb.DuckDBPyConnection) -> str:
    names = [name for name, *_ in result.description]
    rows = [names, ["---"] * len(names), *(list(map(_text, row)) for row in result.fetchall())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("|", r"\|")
