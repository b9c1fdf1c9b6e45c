"""Cells of a workbook that calamine does not return.

Errors, formulas without a saved value, marks by format.
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

# Cells of a sheet, at the bytes that calamine takes for one.
SPAN_LIMIT = containers.EXPANDED_LIMIT // 32
UNSAVED = "a formula without a saved value; open the file in Excel, save it, and deliver it again"
STRUCK_OUT = "~{}~"
MOVED = {"superscript": "^{}", "subscript": "_{}"}
_NUMBER = re.compile(r"[\d.,．，+\-＋－\s]*\d[\d.,．，+\-＋－\s]*")
_SUPERSCRIPTS = str.maketrans("0123456789+-=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾")


@dataclass
class Cells:
    """Cells of a sheet by row (from 1) and column (from 0).

    Texts instead of calamine's, and the places of formulas without a value.
    """

    texts: dict[tuple[int, int], str] = field(default_factory=dict)
    unsaved: set[tuple[int, int]] = field(default_factory=set)


def sheets(book: zipfile.ZipFile) -> dict[str, Cells]:
    """Return what calamine does not, by the name of the sheet.

    Raises
    ------
    FileFault
        If cells stand so far apart that calamine, which keeps all between, would take too much
        memory.
    """
    workbook = ET.fromstring(book.read("xl/workbook.xml"))
    calculation = workbook.find("{*}calcPr")
    # a program that wrote formulas without calculating them asks the next one to do so
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
    """Whether a formula has its value; it may have given an empty text."""
    value = cell.find("{*}v")
    return value is not None and bool(value.text or cell.get("t") == "str")


def _text(cell: ET.Element, numbers: list[str | None]) -> str | None:
    """Return the text of a cell that calamine returns otherwise; None of any other."""
    value = cell.findtext("{*}v")
    if cell.get("t") == "e":
        return value
    return numbers[int(value)] if value and cell.get("t") == "s" else _marked_number(cell)


def _marked_numbers(book: zipfile.ZipFile) -> list[str | None]:
    """Return for each shared string, if it is a number with marked characters, that number."""
    parts = [part for part in book.namelist() if part.lower().endswith("sharedstrings.xml")]
    return [_marked_number(text) for part in parts for text in _elements(book, part, "si")]


def _elements(book: zipfile.ZipFile, part: str, tag: str) -> Iterator[ET.Element]:
    """Yield the elements of a part one by one, so that they are never all in memory."""
    with book.open(part) as xml:
        for _, element in ET.iterparse(xml):
            if element.tag.endswith(f"}}{tag}"):
                yield element
                element.clear()


def _marked_number(text: ET.Element) -> str | None:
    """Return a number with what its format sets apart in characters that say so, else None.

    146 with a raised 1 is 146¹, not 1461; with a lowered 1 it is 146_1, and 12 struck out before it
    is ~12~146. Text is left as it is: km² is written with a raised 2 too.
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
    """Return how characters that are struck out, raised or lowered are written; None of others."""
    struck_out = run.find("{*}rPr/{*}strike")
    if struck_out is not None and struck_out.get("val") not in ("0", "false"):
        return STRUCK_OUT
    moved = run.find("{*}rPr/{*}vertAlign")
    return None if moved is None else MOVED.get(moved.get("val", ""))


def _check_span(name: str, corners: list[tuple[int, int]]) -> None:
    """Raise a fault if cells stand so far apart that calamine would take too much memory."""
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
