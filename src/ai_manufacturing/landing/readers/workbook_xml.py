"""Correct the XLSX cells that the calamine library misreads.

These are errors, formulas without a cached value, and numbers with formatted characters.
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

# Maximum number of cells in a worksheet, because calamine allocates 32 bytes per cell.
SPAN_LIMIT = containers.EXPANDED_LIMIT // 32
UNSAVED_REASON = (
    "a formula without a saved value; open the file in Excel, save it, and deliver it again"
)
# Plain-text notation for struck-out, superscript and subscript characters.
STRUCK_OUT_NOTATION = "~{}~"
NOTATION_BY_ALIGNMENT = {"superscript": "^{}", "subscript": "_{}"}
_NUMBER = re.compile(r"[\d.,．，+\-＋－\s]*\d[\d.,．，+\-＋－\s]*")
_SUPERSCRIPTS = str.maketrans("0123456789+-=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾")


@dataclass
class Cells:
    """Corrected cells of a worksheet, by row (from 1) and column (from 0).

    `texts` replace the values from calamine; `unsaved_formulas` locates formulas without a saved
    value.
    """

    texts: dict[tuple[int, int], str] = field(default_factory=dict)
    unsaved_formulas: set[tuple[int, int]] = field(default_factory=set)


def read_cells(book: zipfile.ZipFile) -> dict[str, Cells]:
    """Return the corrected text of cells that the calamine library misreads, by sheet name.

    Raises
    ------
    FileFault
        If cells are so far apart that calamine, which allocates every cell between them, would need
        too much memory.
    """
    workbook = ET.fromstring(book.read("xl/workbook.xml"))
    calculation = workbook.find("{*}calcPr")
    # Programs that save formulas without results set this flag, so that Excel computes them.
    needs_calculation = calculation is not None and calculation.get("fullCalcOnLoad") in (
        "1",
        "true",
    )
    links = ET.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    targets = {link.get("Id"): posixpath.join("/xl", link.get("Target", "")) for link in links}
    numbers = _read_marked_numbers(book)
    cells = {}
    for sheet in workbook.iterfind("{*}sheets/{*}sheet"):
        link = next((value for key, value in sheet.items() if key.endswith("}id")), None)
        part = posixpath.normpath(targets.get(link, ""))[1:]
        if part in book.namelist():
            name = sheet.get("name", "")
            cells[name] = _read_sheet(
                name,
                _iterate_elements(book, part, "row"),
                numbers,
                has_results=not needs_calculation,
            )
    return cells


def _read_sheet(
    name: str, rows: Iterator[ET.Element], numbers: list[str | None], *, has_results: bool
) -> Cells:
    cells = Cells()
    corners: list[tuple[int, int]] = []
    for row in rows:
        row_cells = [cell for cell in row if len(cell)]
        corners += [_locate(cell) for cell in (*row_cells[:1], *row_cells[-1:]) if cell.get("r")]
        for cell in row_cells:
            formula = cell.find("{*}f")
            lacks_result = formula is not None and not (has_results and _has_result(cell))
            text = _correct_text(cell, numbers)
            if formula is not None and lacks_result:
                text = f"={formula.text or ''}"
            if text is not None:
                cells.texts[_locate(cell)] = text
            if lacks_result:
                cells.unsaved_formulas.add(_locate(cell))
    _check_span(name, corners)
    return cells


def _locate(cell: ET.Element) -> tuple[int, int]:
    row, column = xl_cell_to_rowcol(cell.attrib["r"])
    return row + 1, column


def _has_result(cell: ET.Element) -> bool:
    """Return whether a formula has a cached result, which may be an empty string."""
    value = cell.find("{*}v")
    return value is not None and bool(value.text or cell.get("t") == "str")


def _correct_text(cell: ET.Element, numbers: list[str | None]) -> str | None:
    """Return the correct text of a cell that calamine misreads, or None for other cells."""
    value = cell.findtext("{*}v")
    if cell.get("t") == "e":
        return value
    return numbers[int(value)] if value and cell.get("t") == "s" else _format_marked_number(cell)


def _read_marked_numbers(book: zipfile.ZipFile) -> list[str | None]:
    """Return the plain-text form of each shared string that is a number with formatted digits.

    The list contains None for every other string.
    """
    parts = [part for part in book.namelist() if part.lower().endswith("sharedstrings.xml")]
    return [
        _format_marked_number(text)
        for part in parts
        for text in _iterate_elements(book, part, "si")
    ]


def _iterate_elements(book: zipfile.ZipFile, part: str, tag: str) -> Iterator[ET.Element]:
    """Yield the XML elements of a workbook part one by one, to limit memory use."""
    with book.open(part) as xml:
        for _, element in ET.iterparse(xml):
            if element.tag.endswith(f"}}{tag}"):
                yield element
                element.clear()


def _format_marked_number(text: ET.Element) -> str | None:
    """Format a number that has superscript, subscript or struck-out digits as plain text.

    146 with a superscript 1 becomes 146¹ instead of 1461, with a subscript 1 it becomes 146_1, and
    with a struck-out 12 before it, ~12~146. For any other text, such as km², return None.
    """
    notation, base, characters = "", "", ""
    for run in text.iterfind(".//{*}r"):
        run_text = run.findtext("{*}t", "")
        mark = _find_notation(run)
        characters += run_text
        if mark is None:
            base += run_text
            notation += run_text
        elif run_text.strip():
            superscript = run_text.strip().translate(_SUPERSCRIPTS)
            is_superscript = (
                mark == NOTATION_BY_ALIGNMENT["superscript"] and not superscript.isascii()
            )
            notation += superscript if is_superscript else mark.format(run_text.strip())
    return notation if notation != base and _NUMBER.fullmatch(base or characters) else None


def _find_notation(run: ET.Element) -> str | None:
    """Return the notation for a struck-out, superscript or subscript text run, or None."""
    strike = run.find("{*}rPr/{*}strike")
    if strike is not None and strike.get("val") not in ("0", "false"):
        return STRUCK_OUT_NOTATION
    alignment = run.find("{*}rPr/{*}vertAlign")
    return None if alignment is None else NOTATION_BY_ALIGNMENT.get(alignment.get("val", ""))


def _check_span(name: str, corners: list[tuple[int, int]]) -> None:
    """Raise FileFault if cells are so far apart that calamine would need too much memory."""
    if not corners:
        return
    rows = [row for row, _ in corners]
    columns = [column for _, column in corners]
    width = max(columns) - min(columns) + 1
    span = width * (max(rows) - min(rows) + 1)
    if span > SPAN_LIMIT:
        raise FileFault(
            f"the cells of the sheet span rows {min(rows):,} to {max(rows):,} and {width:,}"
            f" columns. This range has {span:,} cells, but the limit is {SPAN_LIMIT:,} cells."
            " Delete the cells that are far from the table, or deliver CSV.",
            sheet=name,
        )
