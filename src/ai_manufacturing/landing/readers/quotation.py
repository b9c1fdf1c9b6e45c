"""Quotation marks in CSV: a stray one never makes many records one.

The rule is that of RFC 4180, read strictly. A mark opens a cell only where the cell begins, and
closes it only before a delimiter or a line end; elsewhere in a cell without marks it is a
character. A record is one line: what marks bind to more is set aside line by line, unless a
register declares that its cells may hold line ends.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ai_manufacturing.landing.errors import FileFault


@dataclass(frozen=True)
class Doubtful:
    """Lines that quotation marks bind into one record, against the rule.

    Rows count from 1, each line as one.
    """

    row: int
    lines: list[str]

    @property
    def reason(self) -> str:
        """Why the lines are set aside."""
        last = self.row + len(self.lines) - 1
        if last == self.row:
            return "stray quotation mark: more text after the one that closes a cell"
        return (
            f"stray quotation mark, or a line end in a cell: rows {self.row} to {last} would be"
            " read as one record"
        )


def records(text: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the row at which each record of a text begins, its lines and its cells.

    Parameters
    ----------
    text : iterable of str
        Lines with their ends, as files yield them that are opened with newline="".
    delimiter : str
        One character.
    """
    lines: list[str] = []

    def noted() -> Iterator[str]:
        for line in text:
            lines.append(line.rstrip("\r\n"))
            yield line

    row = 1
    for cells in csv.reader(noted(), delimiter=delimiter):
        yield row, [*lines], cells
        row += len(lines)
        lines.clear()


def sorted_out(text: str, delimiter: str) -> tuple[list[tuple[int, list[str]]], list[Doubtful]]:
    """Return the rows and cells of the records that are one line each, and the doubtful lines.

    Raises
    ------
    FileFault
        If a quotation mark is opened and never closed.
    """
    opened = r'"(?:[^"]|"")*+'
    cell = rf'(?:{opened}" *|(?!")[^{delimiter}]*+)'
    record = re.compile(rf"{cell}(?:{delimiter}{cell})*+")
    never_closed = re.compile(rf"(?:{cell}{delimiter})*+{opened}")
    rows: list[tuple[int, list[str]]] = []
    doubtful: list[Doubtful] = []
    for row, lines, cells in records(io.StringIO(text, newline=""), delimiter):
        written = "\n".join(lines)
        if len(lines) == 1 and ('"' not in written or record.fullmatch(written)):
            rows.append((row, cells))
        elif never_closed.fullmatch(written):
            raise FileFault(
                "a quotation mark is opened and never closed. Ask the provider for the file again.",
                row=row,
            )
        else:
            doubtful.append(Doubtful(row, lines))
    return rows, doubtful
