"""Quotation marks in CSV: a stray one never makes many records one.

The rule is that of RFC 4180, read strictly. A mark opens a cell only where the cell begins, and closes it only before
a delimiter or a line end; elsewhere in a cell without marks it is a character. A cell over several lines is legitimate,
as long as no line of it reads as a whole record by itself. What breaks the rule is set aside line by line.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
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
        if last == self.row:
            return "stray quotation mark: more text after the one that closes a cell"
        return f"stray quotation mark: rows {self.row} to {last} would be read as one record"


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


def spans_lines(header: Sequence[str]) -> bool:
    """Whether a name of a header holds a line end."""
    return any(LINE_END.search(name) for name in header)


def check_header(header: Sequence[str], delimiter: str, has_records: bool, has_others: bool) -> None:
    """Raise a fault if a header over several lines has swallowed records: no other record has as many fields as it.

    Parameters
    ----------
    header : sequence of str
        Its names.
    delimiter : str
        One character.
    has_records, has_others : bool
        Whether there are records below it of as many fields, and of more or fewer.
    """
    held = any(delimiter in name for name in header if LINE_END.search(name))
    if spans_lines(header) and not has_records and (has_others or held):
        raise FileFault(
            f"stray quotation mark: the header spans several lines, and no record below has its {len(header)} fields. "
            "Correct it, or ask for the file again."
        )


def is_doubtful(cells: Sequence[str | None], delimiter: str, width: int) -> bool:
    """Whether the lines of a record may be records by themselves, bound together by marks that are characters.

    In a record of as many fields as the header has, that is so if a line reads as a whole record, or one after the
    first as more than one, and a delimiter of it stands in a cell of several lines. In another record a delimiter there
    is enough. In a table of one column no line end is above doubt.

    Parameters
    ----------
    cells : sequence of str or None
        The record, without the marks around its cells.
    delimiter : str
        One character.
    width : int
        Fields of the header.
    """
    line = _Line()
    lines = [line]
    for position, cell in enumerate(cells):
        line.text += delimiter if position else ""
        pieces = LINE_END.split((cell or "").replace('"', '""'))
        if len(pieces) == 1:
            # what stands in a cell of one line is no delimiter
            line.text += "_" if pieces[0] else ""
            continue
        for number, piece in enumerate(pieces):
            if number:
                line = _Line()
                lines.append(line)
            line.text += piece if number else f'"{piece}'
            line.has_delimiter |= delimiter in piece
            line.has_mark |= '"' in piece
        line.text += '"'
    if len(lines) == 1:
        return False
    if width == 1:
        return True
    # the first line holds the cells before the one that goes on
    first = lines[0]
    doubted = [line for line in lines if line.has_delimiter]
    if len(cells) != width:
        return bool(doubted) or any(_is_whole(line.text.split(delimiter), width, True) for line in lines)
    return any(
        # fields beyond the header's may be pieces of one that has lost its marks
        _is_whole(fields, width, False) or (len(fields) > width and (line is not first or line.has_mark))
        for line in doubted
        for fields in _readings(line.text, delimiter)
    )


@dataclass
class _Line:
    """A line of a record, and what the parts of cells of several lines hold in it."""

    text: str = ""
    has_delimiter: bool = False
    has_mark: bool = False


def _readings(line: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the fields of a line: with quotation marks as characters, and as a record of its own."""
    yield line.split(delimiter)
    with suppress(csv.Error):
        yield from csv.reader([line], delimiter=delimiter, strict=True)


def _is_whole(fields: list[str], width: int, may_end_empty: bool) -> bool:
    """Whether fields are those of the header; where all lines end in empty ones, they do not count."""
    if may_end_empty and not any(map(str.strip, fields[width:])):
        fields = fields[:width]
    return len(fields) == width and any(map(str.strip, fields))


def _fields(text: str, start: int, cells: re.Pattern[str], delimiter: str) -> list[str]:
    """Return the cells of a record; those in quotation marks without the outer ones."""
    found = []
    while match := cells.match(text, start):
        cell = match[0]
        found.append(cell.rstrip(" ")[1:-1].replace('""', '"') if cell.startswith('"') else cell)
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
