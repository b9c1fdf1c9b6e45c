"""Read and update docs/questions.md, a list of questions with SQL queries and answers.

The answers are for the synthetic sample. `ai-manufacturing queries` updates them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing.system import duckdb_client

ENTRY = re.compile(
    r"^### \d+\."
    r" (?P<question>.+?)\n\n(?P<question_zh>.+?)\n.*?"
    r"^```sql\n(?P<sql>.+?)^```\n\n(?P<answer>\|.+?\|\n)(?!\|)",
    re.M | re.S,
)


@dataclass(frozen=True)
class Entry:
    """A question with its SQL query and answer.

    Attributes
    ----------
    question, question_zh : str
        Question of an analyst, in English and in Chinese.
    sql : str
        A single statement on the released schemas.
    answer : str
        Result on the sample as a Markdown table.
    """

    question: str
    question_zh: str
    sql: str
    answer: str


def parse_entries(book: str) -> list[Entry]:
    """Parse the Markdown text of docs/questions.md into questions, in order."""
    return [Entry(**match.groupdict()) for match in ENTRY.finditer(book)]


def update_answers(book: str, database: Path) -> str:
    """Return the Markdown text with answers replaced by results from a release or warehouse.

    Raises
    ------
    duckdb.Error
        If a query of the book fails.
    """
    with duckdb_client.open_read_only(database) as connection:

        def replace_answer(entry: re.Match[str]) -> str:
            return entry[0].removesuffix(entry["answer"]) + _format_table(
                connection.execute(entry["sql"])
            )

        return ENTRY.sub(replace_answer, book)


def _format_table(result: duckdb.DuckDBPyConnection) -> str:
    names = [name for name, *_ in result.description]
    rows = [
        names,
        ["---"] * len(names),
        *(list(map(_format_value, row)) for row in result.fetchall()),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("|", r"\|")
