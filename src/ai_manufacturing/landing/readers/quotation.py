"""Quotation marks in CSV files: a stray mark must not merge several records into one.

The rule is a strict reading of RFC 4180. A quotation mark opens a cell only at the start of the
cell, and closes it only before a delimiter or line end; in an unquoted cell it is an ordinary
character. A record is one line: lines that quotation marks join are set aside one by one, unless
a register declares that its cells may contain line ends.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ai_manufacturing.landing.errors import FileFault


@dataclass(frozen=True)
class Doubtful:
    """Lines whose quotation marks break the rule, read as one record.

    `row` is the number of the first line in the file, from 1.
    """

    row: int
    lines: list[str]

    @property
    def reason(self) -> str:
        """Reason for setting the lines aside."""
        last = self.row + len(self.lines) - 1
        if last == self.row:
            return "stray quotation mark: more text after the one that closes a cell"
        return (
            f"stray quotation mark, or a line end in a cell: rows {self.row} to {last} would be"
            " read as one record"
        )


def records(text: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the first row number, the lines and the cells of each record of a text.

    Parameters
    ----------
    text : iterable of str
        Lines with their line ends, as from a file opened with newline="".
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
    """Return the records of one line each, as row number and cells, and the doubtful lines.

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
