"""Read the XLSX cells that calamine does not return correctly.

These are errors, formulas without a saved value, and numbers with formatted characters.
"""

import posixpath
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from xlsxwriter.utility import xl_cell_to_rowcol

from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers import containers

# Maximum number of cells in a sheet; calamine needs 32 bytes for each.
SPAN_LIMIT = containers.EXPANDED_LIMIT // 32
UNSAVED = "a formula without a saved value; open the file in Excel, save it, and deliver it again"
# Plain-text notation for characters that are struck out, raised or lowered.
STRUCK_OUT = "~{}~"
MOVED = {"superscript": "^{}", "subscript": "_{}"}
_NUMBER = re.compile(r"[\d.,．，+\-＋－\s]*\d[\d.,．，+\-＋－\s]*")
_SUPERSCRIPTS = str.maketrans("0123456789+-=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾")


@dataclass
class Cells:
    """Cells of a sheet by row (from 1) and column (from 0).

    `texts` replace the values from calamine; `unsaved` locates formulas without a saved value.
    """

    texts: dict[tuple[int, int], str] = field(default_factory=dict)
    unsaved: set[tuple[int, int]] = field(default_factory=set)


def sheets(book: zipfile.ZipFile) -> dict[str, Cells]:
    """Return the cells that calamine does not return correctly, by sheet name.

    Raises
    ------
    FileFault
        If cells are so far apart that calamine, which allocates every cell between them, would need
        too much memory.
    """
    workbook = ET.fromstring(book.read("xl/workbook.xml"))
    calculation = workbook.find("{*}calcPr")
    # Programs that write formulas without results set this flag to request a calculation.
    asks = calculation is not None and calculation.get("fullCalcOnLoad") in ("1", "true")
    links = ET.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    targets = {link.get("Id"): posixpath.join("/xl", link.get("Target", "")) for link in links}
    numbers = _marked_numbers(book)
    cells = {}
    for sheet in workbook.iterfind("{*}sheets/{*}sheet"):
        link = next((value for key, value in sheet.items() if key.endswith("}id")), None)
        part = posixpath.normpath(targets.get(link, ""))[1:]
        if part in book.namelist():
            name = sheet.get("name", "")
            cells[name] = _cells(
                name, _elements(book, part, "row"), numbers, is_calculated=not asks
            )
    return cells


def _cells(
    name: str, rows: Iterator[ET.Element], numbers: list[str | None], *, is_calculated: bool
) -> Cells:
    cells = Cells()
    corners: list[tuple[int, int]] = []
    for row in rows:
        filled = [cell for cell in row if len(cell)]
        corners += [_place(cell) for cell in (*filled[:1], *filled[-1:]) if cell.get("r")]
        for cell in filled:
            formula = cell.find("{*}f")
            is_unsaved = formula is not None and not (is_calculated and _is_saved(cell))
            text = _text(cell, numbers)
            if formula is not None and is_unsaved:
                text = f"={formula.text or ''}"
            if text is not None:
                cells.texts[_place(cell)] = text
            if is_unsaved:
                cells.unsaved.add(_place(cell))
    _check_span(name, corners)
    return cells


def _place(cell: ET.Element) -> tuple[int, int]:
    row, column = xl_cell_to_rowcol(cell.attrib["r"])
    return row + 1, column


def _is_saved(cell: ET.Element) -> bool:
    """Return whether a formula has a saved result, which may be an empty text."""
    value = cell.find("{*}v")
    return value is not None and bool(value.text or cell.get("t") == "str")


def _text(cell: ET.Element, numbers: list[str | None]) -> str | None:
    """Return the text of a cell that calamine returns differently, or None."""
    value = cell.findtext("{*}v")
    if cell.get("t") == "e":
        return value
    return numbers[int(value)] if value and cell.get("t") == "s" else _marked_number(cell)


def _marked_numbers(book: zipfile.ZipFile) -> list[str | None]:
    """Return the number in each shared string that has marked digits, or None."""
    parts = [part for part in book.namelist() if part.lower().endswith("sharedstrings.xml")]
    return [_marked_number(text) for part in parts for text in _elements(book, part, "si")]


def _elements(book: zipfile.ZipFile, part: str, tag: str) -> Iterator[ET.Element]:
    """Yield the elements of a workbook part one by one, to limit memory use."""
    with book.open(part) as xml:
        for _, element in ET.iterparse(xml):
            if element.tag.endswith(f"}}{tag}"):
                yield element
                element.clear()


def _marked_number(text: ET.Element) -> str | None:
    """Return a number with its formatted characters in plain-text notation, or None.

    146 with a raised 1 becomes 146¹ instead of 1461; with a lowered 1 it becomes 146_1, and with a
    struck-out 12 before it, ~12~146. Text is not changed, because a raised 2 is also used in km².
    """
    marked, base, characters = "", "", ""
    for run in text.iterfind(".//{*}r"):
        written = run.findtext("{*}t", "")
        mark = _mark(run)
        characters += written
        if mark is None:
            base += written
            marked += written
        elif written.strip():
            raised = written.strip().translate(_SUPERSCRIPTS)
            is_raised = mark == MOVED["superscript"] and not raised.isascii()
            marked += raised if is_raised else mark.format(written.strip())
    return marked if marked != base and _NUMBER.fullmatch(base or characters) else None


def _mark(run: ET.Element) -> str | None:
    """Return the notation for struck-out, raised or lowered characters, or None."""
    struck_out = run.find("{*}rPr/{*}strike")
    if struck_out is not None and struck_out.get("val") not in ("0", "false"):
        return STRUCK_OUT
    moved = run.find("{*}rPr/{*}vertAlign")
    return None if moved is None else MOVED.get(moved.get("val", ""))


def _check_span(name: str, corners: list[tuple[int, int]]) -> None:
    """Raise if cells are so far apart that calamine would need too much memory."""
    if not corners:
        return
    rows = [row for row, _ in corners]
    columns = [column for _, column in corners]
    width = max(columns) - min(columns) + 1
    span = width * (max(rows) - min(rows) + 1)
    if span > SPAN_LIMIT:
        raise FileFault(
            f"its cells span rows {min(rows):,} to {max(rows):,} and {width:,} columns,"
            f" {span:,} cells in all; the limit is {SPAN_LIMIT:,}. Delete cells far from the"
            " table, or deliver CSV.",
            sheet=name,
        )
