"""Quotation marks in CSV: a stray one never makes many records one.

The rule is that of RFC 4180, read strictly. A mark opens a cell only where the cell begins, and closes it only before
a delimiter or a line end; elsewhere in a cell without marks it is a character. A cell over several lines is legitimate,
as long as no line of it reads as a whole record by itself. What breaks the rule is set aside line by line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ai_manufacturing.landing.errors import FileFault

LINE_END = re.compile(r"\r\n|\r|\n")
_OPENED = re.compile(r'"(?:[^"]++|"")*+')


@dataclass(frozen=True)
class Doubtful:
    """Lines that quotation marks bind into one record, against the rule; rows count from 1, each line as one."""

    row: int
    lines: list[str]

    @property
    def reason(self) -> str:
        """Why the lines are set aside."""
        last = self.row + len(self.lines) - 1
        rows = f"row {self.row}" if last == self.row else f"rows {self.row} to {last}"
        return f"stray quotation mark: {rows} would be read as one record"


def set_apart(text: str, delimiter: str, width: int) -> tuple[str, list[Doubtful]]:
    """Return a text with its doubtful lines emptied, and these lines.

    Parameters
    ----------
    text : str
        The whole file.
    delimiter : str
        One character.
    width : int
        Fields of the header.

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
    kept: list[str] = []
    found: list[Doubtful] = []
    written = position = 0
    row = 1
    while (mark := text.find('"', position)) >= 0:
        start = max(position, text.rfind("\n", position, mark) + 1, text.rfind("\r", position, mark) + 1)
        row += _line_ends(text, position, start)
        match = record.match(text, start)
        end = match.end() if match else _end_of_line(text, _broken(text, start, cells, delimiter, row))
        lines = LINE_END.split(text[start:end])
        if match is None or (len(lines) > 1 and is_doubtful(_fields(text, start, cells, delimiter), delimiter, width)):
            found.append(Doubtful(row, lines))
            ends = "".join(LINE_END.findall(text, start, end))
            kept += text[written:start], ends
            written = end
            row += len(lines) - 1
        line_end = LINE_END.match(text, end)
        position = line_end.end() if line_end else len(text)
        row += 1
    return "".join([*kept, text[written:]]), found


def is_doubtful(cells: Sequence[str | None], delimiter: str, width: int) -> bool:
    """Whether a line of a record reads as a whole record by itself, if the quotation marks around it were characters.

    Only a cell that holds a line end and, in one of its lines, a delimiter can give rise to the doubt; in a table of
    one column, and in a record of more or fewer fields than the header has, any such line does.

    Parameters
    ----------
    cells : sequence of str or None
        The record.
    delimiter : str
        One character.
    width : int
        Fields of the header.
    """
    is_odd = width == 1 or len(cells) != width
    line, has_delimiter, found = "", False, []
    for position, cell in enumerate(cells):
        # what stands in a cell of one line is no delimiter
        pieces = LINE_END.split(cell or "")
        line += delimiter if position else ""
        for number, piece in enumerate(pieces):
            if number:
                found.append((line, has_delimiter))
                line, has_delimiter = "", False
            if len(pieces) == 1:
                line += piece.replace(delimiter, "_")
            else:
                line, has_delimiter = line + piece, has_delimiter or delimiter in piece
    found.append((line, has_delimiter))
    return len(found) > 1 and any(
        (is_odd or has_delimiter) and _is_whole(line.split(delimiter), width, is_odd) for line, has_delimiter in found
    )


def _is_whole(fields: list[str], width: int, may_end_empty: bool) -> bool:
    """Whether a line has the fields of the header; where all lines end in empty ones, they do not count."""
    if may_end_empty and not any(map(str.strip, fields[width:])):
        fields = fields[:width]
    return len(fields) == width and any(map(str.strip, fields))


def _fields(text: str, start: int, cells: re.Pattern[str], delimiter: str) -> list[str]:
    """Return the cells of a record; those in quotation marks without the outer ones."""
    found = []
    while match := cells.match(text, start):
        cell = match[0]
        found.append(cell.rstrip(" ")[1:-1] if cell.startswith('"') else cell)
        start = match.end()
        if text[start : start + 1] != delimiter:
            break
        start += 1
    return found


def _broken(text: str, start: int, cells: re.Pattern[str], delimiter: str, row: int) -> int:
    """Return where a record breaks the rule: at the mark that closes a cell and is followed by more text."""
    while match := cells.match(text, start):
        start = match.end() + len(delimiter)
    opened = _OPENED.match(text, start)
    if opened is None or opened.end() == len(text):
        raise FileFault("a quotation mark is opened and never closed. Ask the provider for the file again.", row=row)
    return opened.end()


def _end_of_line(text: str, position: int) -> int:
    found = LINE_END.search(text, position)
    return found.start() if found else len(text)


def _line_ends(text: str, start: int, end: int) -> int:
    return text.count("\n", start, end) + text.count("\r", start, end) - text.count("\r\n", start, end)
