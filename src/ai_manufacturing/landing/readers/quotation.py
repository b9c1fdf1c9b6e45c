"""Quotation marks in CSV: a stray one never makes many records one.

The rule is that of RFC 4180, read strictly. A mark opens a cell only where the cell begins, and
closes it only before a delimiter or a line end; elsewhere in a cell without marks it is a
character. A record is one line: what marks bind to more is set aside line by line, unless a
register declares that its cells may hold line ends.
"""

import re
from dataclasses import dataclass

from ai_manufacturing.landing.errors import FileFault

LINE_END = re.compile(r"\r\n|\r|\n")
_OPENED = re.compile(r'"(?:[^"]++|"")*+')


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


def set_apart(text: str, delimiter: str) -> tuple[str, list[Doubtful]]:
    """Return a text with its doubtful lines emptied, and these lines.

    Parameters
    ----------
    text : str
        The whole file.
    delimiter : str
        One character.

    Returns
    -------
    tuple of (str, list of Doubtful)
        Each emptied line is still one row, so that row numbers stay.

    Raises
    ------
    FileFault
        If a quotation mark is opened and never closed.
    """
    quoted = r'"(?:[^"]++|"")*+" *+'
    cell = rf"(?:{quoted}(?=[{delimiter}\r\n]|\Z)|(?!\")[^{delimiter}\r\n]*+)"
    record = re.compile(rf"{cell}(?:{delimiter}{cell})*+(?=[\r\n]|\Z)")
    cells = re.compile(cell)
    parts: list[str] = []
    doubtful: list[Doubtful] = []
    written = position = 0
    row = 1
    while (mark := text.find('"', position)) >= 0:
        start = max(
            position, text.rfind("\n", position, mark) + 1, text.rfind("\r", position, mark) + 1
        )
        row += _line_ends(text, position, start)
        match = record.match(text, start)
        end = (
            match.end()
            if match
            else _end_of_line(text, _broken(text, start, cells, delimiter, row))
        )
        lines = LINE_END.split(text[start:end])
        if match is None or len(lines) > 1:
            doubtful.append(Doubtful(row, lines))
            ends = "".join(LINE_END.findall(text, start, end))
            parts += text[written:start], ends
            written = end
            row += len(lines) - 1
        line_end = LINE_END.match(text, end)
        position = line_end.end() if line_end else len(text)
        row += 1
    return "".join([*parts, text[written:]]), doubtful


def _broken(text: str, start: int, cells: re.Pattern[str], delimiter: str, row: int) -> int:
    """Return where a record breaks the rule.

    At the mark that closes a cell and is followed by more text.
    """
    while match := cells.match(text, start):
        start = match.end() + len(delimiter)
    opened = _OPENED.match(text, start)
    if opened is None or opened.end() == len(text):
        raise FileFault(
            "a quotation mark is opened and never closed. Ask the provider for the file again.",
            row=row,
        )
    return opened.end()


def _end_of_line(text: str, position: int) -> int:
    line_end = LINE_END.search(text, position)
    return line_end.start() if line_end else len(text)


def _line_ends(text: str, start: int, end: int) -> int:
    return (
        text.count("\n", start, end) + text.count("\r", start, end) - text.count("\r\n", start, end)
    )
