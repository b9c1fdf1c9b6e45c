"""Cells of a workbook that calamine does not return.

Errors, formulas without a saved value, marks by format.
"""

import posixpath
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import unescape

from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers import containers

SPAN_LIMIT = (
    containers.EXPANDED_LIMIT // 32
)  # cells of a sheet, at the bytes that calamine takes for one
UNSAVED = "a formula without a saved value; open the file in Excel, save it, and deliver it again"

# a writer may give the namespace a prefix
_CELL = re.compile(rb"<(?:\w+:)?c(?:\s([^>]*?))?(?:/>|>(.*?)</(?:\w+:)?c>)", re.DOTALL)
_FORMULA = re.compile(rb"<(?:\w+:)?f(?:\s[^>]*?)?(?:/>|>([^<]*)<)")
_VALUE = re.compile(rb"<(?:\w+:)?v(?:\s[^>]*?)?(?:/>|>([^<]*)<)")
_STRING = re.compile(rb"<(?:\w+:)?si(?:\s[^>]*?)?(?:/>|>(.*?)</(?:\w+:)?si>)", re.DOTALL)
_RUN = re.compile(rb"<(?:\w+:)?r>(.*?)</(?:\w+:)?r>", re.DOTALL)
_TEXT = re.compile(rb"<(?:\w+:)?t(?:\s[^>]*?)?>([^<]*)</")
_MARKED = re.compile(rb"superscript|subscript|<(?:\w+:)?strike[\s/>]")
# a program that wrote formulas without calculating them asks the next one to do so
_NOT_CALCULATED = re.compile(rb"""<(?:\w+:)?calcPr\s[^>]*fullCalcOnLoad=["'](?:1|true)["']""")
_NUMBER = re.compile(r"[\d.,．，+\-＋－\s]*\d[\d.,．，+\-＋－\s]*")
_SUPERSCRIPTS = str.maketrans("0123456789+-=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾")

Place = tuple[int, int]


_MARKS = {
    "~{}~": re.compile(rb"""<(?:\w+:)?strike(?:\s*/?>|\s[^>]*val=["'](?:1|true|on)["'])"""),
    "_{}": re.compile(rb"<(?:\w+:)?vertAlign\s[^>]*subscript"),
    "^{}": re.compile(rb"<(?:\w+:)?vertAlign\s[^>]*superscript"),
}
"""How a number says that characters are struck out, lowered or raised, and what says so in the XML."""


@dataclass
class Cells:
    """Cells of a sheet by row (from 1) and column (from 0).

    Texts instead of calamine's, and those without a value.
    """

    texts: dict[Place, str] = field(default_factory=dict)
    unsaved: set[Place] = field(default_factory=set)


def sheets(book: zipfile.ZipFile) -> dict[str, Cells]:
    """Return what calamine does not, by the name of the sheet.

    Raises
    ------
    FileFault
        If cells stand so far apart that calamine, which keeps all between, would take too much
        memory, or one of those returned has no reference.
    """
    marked = _marked_strings(book)
    is_calculated = not _NOT_CALCULATED.search(book.read("xl/workbook.xml"))
    cells = {}
    for name, xml in _parts(book):
        _check_span(name, xml)
        cells[name] = _cells(name, xml, marked, is_calculated)
    return cells


def _cells(name: str, xml: bytes, marked: dict[int, str], is_calculated: bool) -> Cells:
    cells = Cells()
    if not (
        marked or b'"e"' in xml or _MARKED.search(xml) or re.search(rb"<(?:\w+:)?f[\s/>]", xml)
    ):
        return cells
    for attributes, inside in ((cell[1] or b"", cell[2] or b"") for cell in _CELL.finditer(xml)):
        kind = _attribute(attributes, b"t")
        value = _VALUE.search(inside)
        formula = _FORMULA.search(inside)
        text = None
        if kind == b"e" and value:
            text = (value[1] or b"").decode()
        elif kind == b"s" and value and marked:
            text = marked.get(int(value[1] or -1))
        elif kind == b"inlineStr":
            text = _with_marks(_runs(inside))
        # a formula may have given an empty text
        is_saved = (
            bool(value and is_calculated and (value[1] or kind == b"str")) or kind == b"inlineStr"
        )
        is_unsaved = formula is not None and not is_saved
        if is_unsaved:
            text = "=" + unescape((formula[1] or b"").decode()) if formula else "="
        if text is None:
            continue
        place = re.fullmatch(rb"([A-Za-z]+)(\d+)", _attribute(attributes, b"r") or b"")
        if place is None:
            raise FileFault(
                f'the cell with "{text}" has no reference. Open the file in Excel, and save it.',
                sheet=name,
            )
        at = int(place[2]), _column(place[1])
        cells.texts[at] = text
        if is_unsaved:
            cells.unsaved.add(at)
    return cells


def _attribute(attributes: bytes, name: bytes) -> bytes | None:
    match = re.search(rb"""(?:^|\s)%s\s*=\s*["']([^"']*)["']""" % name, attributes)
    return match[1] if match else None


def _marked_strings(book: zipfile.ZipFile) -> dict[int, str]:
    """Return the shared strings that are numbers with marked characters, by their index."""
    strings = {}
    for part in book.namelist():
        xml = book.read(part) if part.lower().endswith("sharedstrings.xml") else b""
        if _MARKED.search(xml):
            for index, string in enumerate(_STRING.finditer(xml)):
                text = _with_marks(_runs(string[1] or b""))
                if text is not None:
                    strings[index] = text
    return strings


def _runs(xml: bytes) -> Iterator[tuple[str, str | None]]:
    """Yield the parts of a text that are formatted alike, and how a mark by format is written."""
    for run in _RUN.finditer(xml):
        text = "".join(unescape(part[1].decode()) for part in _TEXT.finditer(run[1]))
        yield text, next((mark for mark, pattern in _MARKS.items() if pattern.search(run[1])), None)


def _with_marks(runs: Iterable[tuple[str, str | None]]) -> str | None:
    """Return a number with what its format sets apart in characters that say so, else None.

    146 with a raised 1 is 146¹, not 1461; with a lowered 1 it is 146_1, and 12 struck out before it
    is ~12~146. Text is left as it is: km² is written with a raised 2 too.

    Parameters
    ----------
    runs : iterable of tuple of (str, str or None)
        The parts of a text, and how each is written, one of _MARKS; None where it is as usual.
    """
    text, base, characters = "", "", ""
    for run, mark in runs:
        characters += run
        if mark is None:
            base += run
            text += run
        elif not run.strip():
            continue
        else:
            superscript = run.strip().translate(_SUPERSCRIPTS)
            is_superscript = mark == "^{}" and not superscript.isascii()
            text += superscript if is_superscript else mark.format(run.strip())
    return text if text != base and _NUMBER.fullmatch(base or characters) else None


def _parts(book: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the XML of each sheet."""
    targets = {
        link.get("Id"): posixpath.normpath(posixpath.join("/xl", link.get("Target", "")))[1:]
        for link in ET.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    }
    for sheet in ET.fromstring(book.read("xl/workbook.xml")).iter():
        link = next((value for key, value in sheet.attrib.items() if key.endswith("}id")), None)
        if sheet.tag.endswith("}sheet") and targets.get(link) in book.namelist():
            yield sheet.attrib["name"], book.read(targets[link])


def _check_span(name: str, xml: bytes) -> None:
    """Raise a fault if a cell stands so far from the others that calamine, which keeps all between, takes too much."""
    cells = re.findall(
        rb"""<(?:\w+:)?c\s[^>]*?\br=["']([A-Za-z]+)(\d+)["'][^>]*(?<!/)>(?!</)""", xml
    )
    if not cells:
        return
    columns = [_column(letters) for letters in {letters for letters, _ in cells}]
    rows = [int(number) for number in {number for _, number in cells}]
    span = (max(columns) - min(columns) + 1) * (max(rows) - min(rows) + 1)
    if span > SPAN_LIMIT:
        raise FileFault(
            f"its cells span rows {min(rows):,} to {max(rows):,} and"
            f" {max(columns) - min(columns) + 1:,} columns, {span:,} cells in all; the limit is"
            f" {SPAN_LIMIT:,}. Delete cells far from the table, or deliver CSV.",
            sheet=name,
        )


def _column(letters: bytes) -> int:
    """Return the position, from 0, of a column that a workbook names by letters."""
    column = 0
    for letter in letters.upper():
        column = column * 26 + letter - ord("A") + 1
    return column - 1
