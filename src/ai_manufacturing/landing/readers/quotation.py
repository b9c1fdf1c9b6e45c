"""Parse CSV records strictly, so that a stray quotation mark cannot merge several lines.

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
class DoubtfulLines:
    """CSV lines with a stray quotation mark, which a parser would read as one record.

    `row` is the number of the first line in the file, from 1.
    """

    row: int
    lines: list[str]

    @property
    def reason(self) -> str:
        """Reason for rejecting the lines, as shown to the user."""
        last = self.row + len(self.lines) - 1
        if last == self.row:
            return "stray quotation mark: text follows the mark that closes a cell"
        return (
            f"stray quotation mark, or a line end in a cell: rows {self.row} to {last} would be"
            " read as one record"
        )


def read_records(text: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the first row number, the raw lines and the parsed cells of each CSV record.

    Parameters
    ----------
    text : iterable of str
        Lines with their line ends, as from a file opened with newline="".
    delimiter : str
        One character.
    """
    lines: list[str] = []

    def record_lines() -> Iterator[str]:
        for line in text:
            lines.append(line.rstrip("\r\n"))
            yield line

    row = 1
    for cells in csv.reader(record_lines(), delimiter=delimiter):
        yield row, [*lines], cells
        row += len(lines)
        lines.clear()


def split_doubtful(
    text: str, delimiter: str
) -> tuple[list[tuple[int, list[str]]], list[DoubtfulLines]]:
    """Split CSV text into valid one-line records and lines with a stray quotation mark.

    Raises
    ------
    FileFault
        If a quotation mark is opened and never closed.
    """
    open_cell = r'"(?:[^"]|"")*+'
    cell = rf'(?:{open_cell}" *|(?!")[^{delimiter}]*+)'
    record = re.compile(rf"{cell}(?:{delimiter}{cell})*+")
    unclosed_cell = re.compile(rf"(?:{cell}{delimiter})*+{open_cell}")
    rows: list[tuple[int, list[str]]] = []
    doubtful: list[DoubtfulLines] = []
    for row, lines, cells in read_records(io.StringIO(text, newline=""), delimiter):
        raw_text = "\n".join(lines)
        if len(lines) == 1 and ('"' not in raw_text or record.fullmatch(raw_text)):
            rows.append((row, cells))
        elif unclosed_cell.fullmatch(raw_text):
            raise FileFault(
                "an opening quotation mark is never closed. Ask the provider for the file again.",
                row=row,
            )
        else:
            doubtful.append(DoubtfulLines(row, lines))
    return rows, doubtful
