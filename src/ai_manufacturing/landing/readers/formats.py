"""Readers: from the bytes of a delivered file to sheets, with a text for each cell.

Whatever the format, cells become text first, so that one set of rules (records.py) judges them all.
"""

import codecs
import csv
import datetime
import io
import itertools
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers import containers, quotation, workbook_xml
from ai_manufacturing.landing.readers.workbook_xml import Cells

# What files begin with; a Stata file before version 13 begins with its version number.
MAGIC = {
    "xls": re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    "xlsx": re.compile(rb"PK\x03\x04|PK\x05\x06"),
    "parquet": re.compile(rb"PAR1"),
    "dta": re.compile(rb"<stata_dta>|[\x68-\x73][\x01\x02]\x01\x00"),
}
NOT_READ = {
    "a PDF file": re.compile(rb"%PDF"),
    "a web page": re.compile(rb"\s*(?:<!doctype html|<html|<table)", re.IGNORECASE),
    "an XML file": re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml"),
    "a RAR archive": re.compile(rb"Rar!"),
    "a 7z archive": re.compile(rb"7z\xbc\xaf\x27\x1c"),
    "a bzip2 file": re.compile(rb"BZh[1-9]1AY"),
    "an xz file": re.compile(rb"\xfd7zXZ"),
    "an image": re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8"),
}
# before version 14, Stata wrote text in the encoding of the machine, and does not say which
STATA_IN_UTF_8 = re.compile(rb"<stata_dta><header><release>11[89]")
# What names end in, and the format that this promises.
ENDINGS = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "xlsx": "xlsx",
    "xlsm": "xlsx",
    "xls": "xls",
    "dta": "dta",
    "parquet": "parquet",
}
HEADER_ROWS = 20
LINE_LIMIT = 2**24  # bytes of a line of a text
NOTE_BELOW = "prose: note"
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon"}
ZERO_WIDTH = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
AGAIN = "Ask the provider for the file again."
csv.field_size_limit(
    2**31 - 1
)  # a business scope may be longer than the module's 131,072 characters
# what a note below a table begins with
_NOTE = re.compile(
    r"[（(【\[*※]*\s*(?:注释?|附注|备注|说明|(?:数据|资料)?来源|notes?|sources?)\s*\d*\s*[)）】\]]?\s*[：:、.．]",
    re.IGNORECASE,
)
# symbols and the frequent characters of Big5, whose second bytes are seldom those of GB18030
_BIG5 = re.compile(rb"(?:[\x00-\x7f]|[\xa1-\xc6][\x40-\x7e\xa1-\xfe])+")
IN_UTF_8 = "Save it as UTF-8, or ask the provider for it in UTF-8."
BLANKS = ZERO_WIDTH + "".join(char for char in map(chr, range(0x3001)) if char.isspace())
_DROP_ZERO_WIDTH = dict.fromkeys(map(ord, ZERO_WIDTH))


class Rejected(NamedTuple):
    """A record set aside, and why."""

    sheet_name: str | None
    row_number: int
    column_name: str | None
    value: str
    reason: str


@dataclass
class Sheet:
    """The records of one sheet (or of the whole file, where a format has no sheets) as text."""

    name: str | None
    headings: list[str]  # as delivered
    header: list[
        str
    ]  # the same, with the declared name of each column that was delivered under another heading
    header_row: int | None  # None where the format has no header row
    rows: pa.Table  # columns "0", "1", …: one for each name of the header
    row_numbers: np.ndarray
    set_aside: list[Rejected] = field(default_factory=list)
    unsaved: set[tuple[int, int]] = field(
        default_factory=set
    )  # formulas without a value, by row number and position
    # text cells of an XLS, by row number and position: calamine does not return how their
    # characters are formatted
    unformatted: set[tuple[int, int]] | None = None
    is_hidden: bool = False
    encoding: str | None = (
        None  # of a text, in words: how it was found out, and what else it may be
    )

    def heading(self, column: str) -> str:
        """Return the heading under which a declared column was delivered."""
        return self.headings[self.header.index(column)]

    def missing(self, wanted: list[str]) -> list[str]:
        """Return the declared columns that the header lacks."""
        return [column for column in wanted if column not in self.header]


@dataclass(frozen=True)
class Detected:
    """Format, compression, encoding and delimiter of a file, by its bytes.

    None where the format has no such thing.
    """

    file_format: str
    compression: str | None = None
    encoding: str | None = None
    delimiter: str | None = None


def read(content: bytes, wanted: Mapping[str, str]) -> tuple[Detected, list[Sheet]]:
    """Read a file, whatever its name says.

    Parameters
    ----------
    content : bytes
        The file.
    wanted : mapping of str to str
        The declared columns, by which the header row is found, by each heading that they may have.
        A heading with "/" may stand in two rows.

    Returns
    -------
    tuple of (Detected, list of Sheet)
        What the file is, and its sheets. In a sheet without the wanted columns, the header is the
        row that comes closest, and all rows stand in `rows`.

    Raises
    ------
    FileFault
        If the file is empty, truncated, corrupt or of another format, its encoding is unknown, or
        it expands beyond the limits of containers.py.
    """
    compression = "gzip" if containers.is_gzip(content) else None
    if compression:
        content = containers.ungzip(content, through=short_lines)
    if not content:
        raise FileFault(f"the file is empty. {AGAIN}")
    file_format = detect(content)
    try:
        if file_format == "csv":
            encoding, delimiter, sheet = _read_csv(content, wanted)
            return Detected(file_format, compression, encoding, DELIMITERS[delimiter]), [sheet]
        if file_format in ("xlsx", "xls"):
            return Detected(file_format, compression), _read_workbook(content, file_format, wanted)
        if file_format == "dta":
            encoding, table = _read_stata(content)
            return Detected(file_format, compression, encoding), [_observations(table, wanted)]
        table = _read_parquet(content)
        return Detected(file_format, compression), [_observations(table, wanted)]
    except (FileFault, MemoryError):
        raise
    except (
        BaseException
    ) as error:  # the readers raise whatever their libraries do; a person needs one line
        # a panic of one written in Rust is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise FileFault(
            f"not a complete {file_format} file ({type(error).__name__}: {error}). {AGAIN}"
        ) from error


def contradiction(file_path: str, file_format: str) -> str | None:
    """Return a sentence where a file's name promises another format than its content has."""
    promised = ENDINGS.get(file_path.removesuffix(".gz").rsplit(".", 1)[-1].lower(), file_format)
    if promised == file_format:
        return None
    read = file_format.upper()
    return f"The name says {promised.upper()}; the content is {read}, and was read as {read}."


def detect(content: bytes) -> str:
    """Return the format that a file begins as, CSV where it begins as no other.

    Raises
    ------
    FileFault
        If it is a format that is not read.
    """
    for what, magic in NOT_READ.items():
        if magic.match(content):
            raise FileFault(
                f"the content is {what}. Landing reads CSV, XLSX, XLS, Stata and Parquet, also in"
                " gzip and zip. Convert the file."
            )
    return next((name for name, magic in MAGIC.items() if magic.match(content)), "csv")


def short_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts of a file; raise where a line of a text is longer than LINE_LIMIT.

    A reader of CSV needs ten times the memory of a line. Parts are shorter than the limit.

    Raises
    ------
    FileFault
        Naming the row.
    """
    is_text = None
    row, length = 1, 0
    for part in chunks:
        if is_text is None:
            is_text = _is_text(part)
        if is_text:
            end = b"\n" if b"\n" in part else b"\r"
            first, count = part.find(end), part.count(end)
            length += len(part) if first < 0 else first
            if length > LINE_LIMIT:
                raise FileFault(
                    f"the line has more than {LINE_LIMIT:,} bytes, the limit of a text. Deliver a"
                    " table with a line for each record.",
                    row=row,
                )
            if count:
                row, length = row + count, len(part) - part.rfind(end) - 1
        yield part


def _is_text(head: bytes) -> bool:
    """Whether a file begins as none of the known formats does."""
    known = (*MAGIC.values(), *NOT_READ.values())
    return not (containers.is_gzip(head) or any(magic.match(head) for magic in known))


def clean(text: str) -> str:
    """Return a text without zero-width characters and surrounding whitespace."""
    return text.translate(_DROP_ZERO_WIDTH).strip()


def is_note(cells: Iterable[str]) -> bool:
    """Whether a row is a note below a table: one cell that begins as notes do, and nothing else."""
    filled = [text for text in map(clean, cells) if text]
    return len(filled) == 1 and _NOTE.match(filled[0]) is not None


def row_text(cells: Iterable[str]) -> str:
    """Return a whole row as one text."""
    return "|".join(cells)


@dataclass(frozen=True)
class _Header:
    """The row of the header, or its two rows, and how many of the declared columns it names."""

    first: int
    last: int
    names: list[str]
    column_count: int


def _header(top: list[list[str]], wanted: Mapping[str, str]) -> _Header:
    """Return the row that names the most declared columns, or two rows if they name more."""
    rows = [list(map(clean, cells)) for cells in top]
    headers = [
        _Header(index, index, names, _named_columns(names, wanted))
        for index, names in enumerate(rows)
    ]
    if any("/" in name for name in wanted):
        for index, (upper, lower) in enumerate(itertools.pairwise(rows)):
            names = _joined(upper, lower)
            headers.append(_Header(index, index + 1, names, _named_columns(names, wanted)))
    return max(headers, key=lambda header: header.column_count, default=_Header(0, 0, [], 0))


def _named_columns(names: list[str], wanted: Mapping[str, str]) -> int:
    """Return how many of the declared columns some headings name."""
    return len({wanted[name] for name in names if name in wanted})


def _as_declared(headings: list[str], wanted: Mapping[str, str]) -> list[str]:
    return [wanted.get(name, name) for name in headings]


def _joined(upper: list[str], lower: list[str]) -> list[str]:
    """Return names as "above/below"; a merged cell has its text in its first column only."""
    names, above = [], ""
    for over, under in itertools.zip_longest(upper, lower, fillvalue=""):
        above = over or above
        names.append(f"{above}/{under}" if above and under else over or under)
    return names


def _read_csv(content: bytes, wanted: Mapping[str, str]) -> tuple[str, str, Sheet]:
    encoding = encoding_of(io.BytesIO(content))
    text = content.decode(encoding)
    if not text.strip():
        raise FileFault(f"the file is empty. {AGAIN}")
    delimiter, header = _dialect(text, wanted, HEADER_ROWS)
    records, doubtful = quotation.sorted_out(text, delimiter)
    header_row = header.last + 1
    if doubtful and doubtful[0].row <= header_row:
        raise FileFault(
            f"{doubtful[0].reason}, at the header. Correct it, or ask for the file again.",
            row=header_row,
        )
    sheet = _sheet(None, records, wanted)
    sheet.encoding = _encoding_in_words(encoding, content)
    for record in doubtful:
        for row, line in enumerate(record.lines, record.row):
            if clean(line):
                sheet.set_aside.append(Rejected(None, row, None, line, record.reason))
    return encoding, delimiter, sheet


def encoding_of(stream: BinaryIO) -> str:
    """Return the encoding of a text.

    UTF-8, GB18030, or UTF-16 if the file marks it, each tried to the end.

    Raises
    ------
    FileFault
        If it is none of them.
    """
    head = stream.read(3)
    utf_8 = "utf-8-sig" if head == codecs.BOM_UTF8 else "utf-8"
    utf_16 = ["utf-16"] if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else []
    for encoding in [utf_8, "gb18030", *utf_16]:
        try:
            if not any("\0" in text for text in decoded(stream, encoding)):
                return encoding
        except UnicodeDecodeError:
            continue
    rows = {encoding: _undecodable_row(stream, encoding) for encoding in (utf_8, "gb18030")}
    tried = [f"{encoding} (fails in row {row})" for encoding, row in rows.items()]
    mark = "" if utf_16 else ", and there is no byte order mark of UTF-16"
    raise FileFault(
        f"unreadable encoding: tried {', '.join([*tried, *utf_16])}{mark}.{_as_big5(stream)}"
        f" {IN_UTF_8}",
        row=max(rows.values()),
    )


def _undecodable_row(stream: BinaryIO, encoding: str) -> int:
    """Return the first row that an encoding cannot read, or that has the byte zero."""
    stream.seek(0)
    row = 0
    for row, line in enumerate(stream, start=1):
        try:
            if "\0" in line.decode(encoding):
                return row
        except UnicodeDecodeError:
            return row
    return row


def _as_big5(stream: BinaryIO) -> str:
    """Return a sentence with the first line of a text as Big5 of Taiwan, if it may be that."""
    stream.seek(0)
    line = next((line for line in stream.read(2**16).splitlines() if not line.isspace()), b"")
    if line.isascii() or not _BIG5.fullmatch(line):
        return ""
    try:
        return f" As Big5 its first line is: {line.decode('big5')[:120]}."
    except UnicodeDecodeError:
        return ""


def _encoding_in_words(encoding: str, content: bytes) -> str:
    """Return how a text was read whose headings nobody declared."""
    if encoding != "gb18030":
        return f"It was read as {encoding.upper()}."
    return (
        "It was read as GB18030, a guess: the file does not name its"
        f" encoding.{_as_big5(io.BytesIO(content))} If its characters are wrong, it has another."
        f" {IN_UTF_8}"
    )


def decoded(stream: BinaryIO, encoding: str) -> Iterator[str]:
    """Yield the text of a file from its beginning, a million characters at a time."""
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding, newline="")
    try:
        while part := text.read(2**20):
            yield part
    finally:
        text.detach()


def delimiter_of(text: str, wanted: Mapping[str, str]) -> str:
    """Return the delimiter with which the first row names the most of the wanted columns."""
    return _dialect(text, wanted, 1)[0]


def _dialect(text: str, wanted: Mapping[str, str], row_count: int) -> tuple[str, _Header]:
    """Return the delimiter with which the first rows name the most columns, and their header."""
    rows, headers = {}, {}
    for delimiter in DELIMITERS:
        # the first megabyte holds the header
        lines = csv.reader(io.StringIO(text[:1_000_000], newline=""), delimiter=delimiter)
        rows[delimiter] = list(itertools.islice(lines, row_count))
        headers[delimiter] = _header(rows[delimiter], wanted)
    likeliest = max(DELIMITERS, key=lambda mark: (headers[mark].column_count, len(rows[mark][0])))
    return likeliest, headers[likeliest]


def _read_workbook(content: bytes, file_format: str, wanted: Mapping[str, str]) -> list[Sheet]:
    """Return the sheets that hold something, visible ones before hidden ones."""
    import python_calamine

    more: dict[str, Cells] = {}
    if file_format == "xlsx":
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            # reads every part, so that a damaged one is found here and not as missing rows
            containers.check_workbook(book, len(content))
            more = workbook_xml.sheets(book)
    sheets = []
    with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content)) as workbook:
        visibility = python_calamine.SheetVisibleEnum
        order = [visibility.Visible, visibility.Hidden, visibility.VeryHidden]
        for about in sorted(workbook.sheets_metadata, key=lambda sheet: order.index(sheet.visible)):
            other = more.get(about.name, Cells())
            cells = _cells(workbook.get_sheet_by_name(about.name))
            texts = {place: _cell_text(cell) for place, cell in cells.items()} | other.texts
            sheet = _sheet(about.name, _rows(texts), wanted)
            if sheet.header_row is None:
                continue
            sheet.unsaved = other.unsaved
            if file_format == "xls":
                sheet.unformatted = {at for at, cell in cells.items() if isinstance(cell, str)}
            sheet.is_hidden = about.visible != visibility.Visible
            sheets.append(sheet)
    return sheets


def _cells(sheet: Any) -> dict[tuple[int, int], Any]:
    """Return the cells of a sheet that hold something, by row (from 1) and column (from 0)."""
    cells: dict[tuple[int, int], Any] = {}
    if sheet.start is None:
        return cells
    first_row, first_column = sheet.start
    for row, values in enumerate(sheet.to_python(skip_empty_area=True), first_row + 1):
        for column, value in enumerate(values, first_column):
            if value != "":
                cells[row, column] = value
    return cells


def _rows(texts: dict[tuple[int, int], str]) -> list[tuple[int, list[str]]]:
    """Return the rows that have a cell, with their numbers, all of one width."""
    width = max((column + 1 for _, column in texts), default=0)
    rows: dict[int, list[str]] = {}
    for (row, column), text in sorted(texts.items()):
        rows.setdefault(row, [""] * width)[column] = text
    return list(rows.items())


def _sheet(name: str | None, rows: list[tuple[int, list[str]]], wanted: Mapping[str, str]) -> Sheet:
    """Return the records of numbered rows, of which those without any text are left out."""
    rows = [(number, cells) for number, cells in rows if any(map(clean, cells))]
    header = _header([cells for _, cells in rows[:HEADER_ROWS]], wanted)
    is_complete = header.column_count == len(set(wanted.values()))
    width = len(header.names)
    set_aside = []
    data = {}
    for at, (number, cells) in enumerate(rows):
        reason = None
        if not is_complete or at > header.last:
            if len(cells) != width and (len(cells) < width or any(map(clean, cells[width:]))):
                reason = f"expected {width} fields, found {len(cells)}"
                reason = NOTE_BELOW if is_note(cells) else reason
            else:
                data[number] = cells[:width]
        elif at < header.first:
            reason = "prose above the header"
        if reason:
            set_aside.append(Rejected(name, number, None, row_text(cells), reason))
    columns = list(zip(*data.values(), strict=True)) or [()] * width
    texts = [pa.array(column, pa.string()) for column in columns]
    return Sheet(
        name,
        header.names,
        _as_declared(header.names, wanted),
        rows[header.last][0] if rows else None,
        pa.table(texts, names=[str(position) for position in range(len(texts))]),
        np.array([*data], dtype=np.int64),
        set_aside,
    )


def _cell_text(cell: Any) -> str:
    """Return a cell as a person reads it: codes stored as numbers lose their .0."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)


def _observations(table: pa.Table, wanted: Mapping[str, str]) -> Sheet:
    """Return the sheet of a format that names its columns.

    Row numbers are those of the observations.
    """
    headings = [clean(name) for name in table.column_names]
    names = [str(position) for position in range(table.num_columns)]
    texts = pa.table([_as_text(column) for column in table.columns], names=names)
    numbers = np.arange(1, table.num_rows + 1)
    return Sheet(None, headings, _as_declared(headings, wanted), None, texts, numbers)


def _read_stata(content: bytes) -> tuple[str, pa.Table]:
    """Return the encoding and the table.

    Before version 14 Stata did not say in which encoding it wrote. Pandas reads latin-1, and the
    text of a Chinese machine is GB18030 if all of it can be.
    """
    import pandas as pd  # here, because a landing that finds nothing new need not wait for it

    def gb18030(value: Any) -> Any:
        return value.encode("latin-1").decode("gb18030") if isinstance(value, str) else value

    frame = pd.read_stata(io.BytesIO(content), convert_dates=False, convert_categoricals=False)
    encoding = "utf-8"
    if not STATA_IN_UTF_8.match(content):
        try:
            frame, encoding = frame.rename(columns=gb18030).map(gb18030), "gb18030"
        except UnicodeError:
            encoding = "latin-1"
    return encoding, pa.Table.from_pandas(frame, preserve_index=False)


def _read_parquet(content: bytes) -> pa.Table:
    table = pq.ParquetFile(pa.BufferReader(content)).read()
    for column in table.schema:
        if pa.types.is_nested(column.type):
            raise FileFault(
                f"its values are of type {column.type}. Ask for one value in a cell.",
                column=column.name,
            )
    try:
        table.validate(full=True)  # a writer may have put any bytes into a text
    except pa.ArrowInvalid as error:
        raise FileFault(f"its text is not UTF-8 ({error}). {AGAIN}") from error
    return table


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        return pa.chunked_array(
            [pa.array([_cell_text(value) for value in column.to_pylist()], pa.string())]
        )
    return column.cast(pa.string()).fill_null("")
