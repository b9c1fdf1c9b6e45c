"""What a workbook of Excel 97 holds and calamine does not return; the same as workbook_xml.py, from its records.

References
----------
Microsoft, [MS-CFB]: compound files. [MS-XLS]: Font, BoundSheet8, SST, XLUnicodeRichExtendedString, LabelSst, Formula.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ai_manufacturing.landing.workbook_xml import Cells, Mark, with_marks

END_OF_CHAIN = 0xFFFFFFF0  # and above: no sector follows
FORMULA, EOF, CONTINUE, FONT, BOUND_SHEET = 0x06, 0x0A, 0x3C, 0x31, 0x85
SHARED_STRINGS, LABEL, ERROR, BEGIN, PASSWORD = 0xFC, 0xFD, 0x205, 0x809, 0x2F
ERRORS = {0: "#NULL!", 7: "#DIV/0!", 15: "#VALUE!", 23: "#REF!", 29: "#NAME?", 36: "#NUM!", 42: "#N/A"}


class _Record(NamedTuple):
    """A record, and its data; those of further ones that go on with it follow."""

    kind: int
    data: list[bytes]


def sheets(content: bytes) -> dict[str, Cells]:
    """Return what calamine does not, by the name of the sheet; nothing of what is older than Excel 97.

    Raises
    ------
    ValueError, IndexError or struct.error
        If the file is damaged. A file with a password has nothing here, and calamine says why.
    """
    stream = _stream(content, "Workbook")
    if stream is None:
        return {}
    fonts: list[Mark | None] = []
    bounds: list[tuple[str, int]] = []
    strings: dict[int, str] = {}
    for kind, (data, *more) in _records(stream, 0):
        if kind == PASSWORD:
            return {}
        if kind == FONT:
            fonts.append(_mark(data))
        elif kind == BOUND_SHEET:
            (offset,) = struct.unpack_from("<I", data)
            name = data[8:].decode("utf-16-le" if data[7] & 1 else "latin-1")
            bounds.append((name, offset))
        elif kind == SHARED_STRINGS:
            strings = _marked_strings([data, *more], fonts)
    return {name: _cells(stream, offset, strings) for name, offset in bounds}


def _cells(stream: bytes, offset: int, strings: dict[int, str]) -> Cells:
    found = Cells()
    for kind, (data, *_) in _records(stream, offset):
        if kind not in (LABEL, ERROR, FORMULA):
            continue
        row, column = struct.unpack_from("<HH", data)
        place = row + 1, column
        if kind == LABEL:
            (index,) = struct.unpack_from("<I", data, 6)
            if index in strings:
                found.texts[place] = strings[index]
        elif kind == ERROR:
            if data[7]:
                found.texts[place] = ERRORS.get(data[6], "#ERROR!")
        elif data[12:14] == b"\xff\xff" and data[6] == 2:
            found.texts[place] = ERRORS.get(data[8], "#ERROR!")
        elif data[12:14] == b"\xff\xff" and data[6] == 3:
            # programs that do not calculate save this, an empty text, with each formula
            found.texts[place] = "="
            found.unsaved.add(place)
    return found


def _mark(font: bytes) -> Mark | None:
    (options,) = struct.unpack_from("<H", font, 2)
    (escapement,) = struct.unpack_from("<H", font, 8)
    return Mark.STRUCK if options & 8 else {1: Mark.RAISED, 2: Mark.LOWERED}.get(escapement)


def _marked_strings(data: list[bytes], fonts: list[Mark | None]) -> dict[int, str]:
    """Return the shared strings that are numbers with marked characters, by their index."""
    found = {}
    strings = _Strings(data)
    (count,) = struct.unpack("<I", strings.take(8)[4:])
    for index in range(count if any(fonts) else 0):
        text, changes = strings.next()
        # no font has the number 4
        kinds = [(at, fonts[font - (font > 4)]) for at, font in changes]
        starts = [(0, None), *kinds]
        ends = [*(at for at, _ in kinds), len(text) // 2]
        runs = [
            (text[2 * at : 2 * end].decode("utf-16-le"), kind) for (at, kind), end in zip(starts, ends, strict=True)
        ]
        marked = with_marks(runs)
        if marked is not None:
            found[index] = marked
    return found


class _Strings:
    """The strings of a record that goes on in others: characters go on behind a new flag, all else does not."""

    def __init__(self, data: list[bytes]) -> None:
        self._data, self._at, self._position = data, 0, 0

    def take(self, count: int) -> bytes:
        """Return so many bytes."""
        taken = b""
        while len(taken) < count:
            if self._position >= len(self._data[self._at]):
                self._at, self._position = self._at + 1, 0
            piece = self._data[self._at][self._position : self._position + count - len(taken)]
            self._position += len(piece)
            taken += piece
        return taken

    def next(self) -> tuple[bytes, list[tuple[int, int]]]:
        """Return the next string in UTF-16, and from which character on it has which font."""
        count, flags = struct.unpack("<HB", self.take(3))
        changes = struct.unpack("<H", self.take(2))[0] if flags & 8 else 0
        phonetic = struct.unpack("<I", self.take(4))[0] if flags & 4 else 0
        text = b""
        while len(text) < 2 * count:
            if self._position >= len(self._data[self._at]):
                self._at, self._position, flags = self._at + 1, 1, self._data[self._at + 1][0]
            left = len(self._data[self._at]) - self._position
            size = 2 if flags & 1 else 1
            piece = self.take(min(count - len(text) // 2, left // size) * size)
            text += piece if flags & 1 else piece.decode("latin-1").encode("utf-16-le")
            if not piece:
                raise ValueError("a text is cut off")
        fonts = [struct.unpack("<HH", self.take(4)) for _ in range(changes)]
        self.take(phonetic)
        return text, fonts


def _records(stream: bytes, offset: int) -> Iterator[_Record]:
    """Yield the records of the part of a workbook that begins at an offset, without what is embedded in it."""
    depth = 0
    held: _Record | None = None
    while True:
        kind, size = struct.unpack_from("<HH", stream, offset)
        data = stream[offset + 4 : offset + 4 + size]
        if len(data) < size:
            raise ValueError("a record is cut off")
        offset += 4 + size
        if kind == CONTINUE and held:
            held.data.append(data)
            continue
        if held and depth == 1:
            yield held
        held = _Record(kind, [data])
        depth += (kind == BEGIN) - (kind == EOF)
        if kind == EOF and not depth:
            return


def _stream(content: bytes, name: str) -> bytes | None:
    """Return a stream of a compound file; None if there is none of this name."""
    (sector_shift,) = struct.unpack_from("<H", content, 30)
    if sector_shift not in (9, 12):
        raise ValueError(f"its sectors cannot be of 2^{sector_shift} bytes")
    size = 1 << sector_shift
    directory, _, cutoff, mini_table = struct.unpack_from("<4I", content, 48)
    (table_next, table_count) = struct.unpack_from("<2I", content, 68)

    def sector(number: int) -> bytes:
        return content[(number + 1) * size : (number + 2) * size]

    if table_count > len(content) // size:
        raise ValueError("it names more sectors than it has")
    places = list(struct.unpack_from("<109I", content, 76))
    for _ in range(table_count):
        *more, table_next = struct.unpack(f"<{size // 4}I", sector(table_next))
        places += more
    table = [
        number for place in places if place < END_OF_CHAIN for number in struct.unpack(f"<{size // 4}I", sector(place))
    ]

    def chain(number: int) -> bytes:
        return b"".join(sector(place) for place in _chain(number, table))

    entries = chain(directory)
    root = chain(struct.unpack_from("<I", entries, 116)[0])
    for at in range(0, len(entries), 128):
        (length,) = struct.unpack_from("<H", entries, at + 64)
        if entries[at : at + max(length - 2, 0)].decode("utf-16-le") == name:
            start, stream_size = struct.unpack_from("<2I", entries, at + 116)
            if stream_size >= cutoff:
                return chain(start)[:stream_size]
            of_mini = chain(mini_table)
            minis = list(struct.unpack(f"<{len(of_mini) // 4}I", of_mini))
            return b"".join(root[place * 64 : (place + 1) * 64] for place in _chain(start, minis))[:stream_size]
    return None


def _chain(number: int, table: list[int]) -> Iterator[int]:
    """Yield the sectors that follow each other from one on; none twice."""
    for _ in table:
        if number >= END_OF_CHAIN:
            return
        yield number
        number = table[number]
    if number < END_OF_CHAIN:
        raise ValueError("its sectors go in a circle")
