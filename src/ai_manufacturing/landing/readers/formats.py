"""Read CSV, Excel, Stata and Parquet files as sheets of text cells.

Cells of all formats become text first, so that one set of rules (records.py) applies to them all.
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

# File signatures by format; Stata files before version 13 begin with their version number.
MAGIC = {
    "xls": re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    "xlsx": re.compile(rb"PK\x03\x04|PK\x05\x06"),
    "parquet": re.compile(rb"PAR1"),
    "dta": re.compile(rb"<stata_dta>|[\x68-\x73][\x01\x02]\x01\x00"),
}
# File signatures of unsupported formats, by the name of the format in error messages.
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
# Stata 14 and later (formats 118, 119) write UTF-8; older files do not record their encoding.
STATA_IN_UTF_8 = re.compile(rb"<stata_dta><header><release>11[89]")
# Format that each file name extension implies.
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
HEADER_ROWS = 20  # number of rows at the top of a sheet to search for the header
LINE_LIMIT = 2**24  # maximum bytes in a line of a text file
NOTE_BELOW = "prose: note"
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon"}
ZERO_WIDTH = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
# Cells of firm registers may exceed the csv module's default limit of 131,072 characters.
csv.field_size_limit(2**31 - 1)
# Beginning of a footnote below a table, such as "Source:", in English or Chinese.
_NOTE = re.compile(
    r"[（(【\[*※]*\s*(?:注释?|附注|备注|说明|(?:数据|资料)?来源|notes?|sources?)\s*\d*\s*[)）】\]]?\s*[：:、.．]",
    re.IGNORECASE,
)
# Bytes of text in ASCII and frequent Big5 characters, to guess whether the encoding is Big5.
_BIG5 = re.compile(rb"(?:[\x00-\x7f]|[\xa1-\xc6][\x40-\x7e\xa1-\xfe])+")
UTF_8_ADVICE = "Save the file as UTF-8, or ask the provider for it in UTF-8."
# Whitespace and zero-width characters, which are trimmed from the cells of registers.
BLANKS = ZERO_WIDTH + "".join(char for char in map(chr, range(0x3001)) if char.isspace())
_DROP_ZERO_WIDTH = dict.fromkeys(map(ord, ZERO_WIDTH))


class RejectedRow(NamedTuple):
    """A row that was rejected, with its location in the file and the reason."""

    sheet_name: str | None
    row_number: int
    column_name: str | None
    value: str
    reason: str


@dataclass
class Sheet:
    """Headings and text rows of a worksheet, or of the whole file if it is not a workbook."""

    name: str | None
    headings: list[str]  # headings as delivered
    header: list[str]  # headings, with alternatives replaced by declared names
    header_row: int | None  # row number, or None if the format has no header row
    rows: pa.Table  # columns are named "0", "1", … by position
    row_numbers: np.ndarray
    rejected_rows: list[RejectedRow] = field(default_factory=list)
    # Cells (row number, column position) with a formula but without a cached value.
    unsaved_formulas: set[tuple[int, int]] = field(default_factory=set)
    # Text cells (row number, column position) of an XLS file, which may contain superscripts or
    # struck-out digits that the calamine library does not report.
    unformatted_cells: set[tuple[int, int]] | None = None
    is_hidden: bool = False
    # Explanation of how the encoding was detected, which is appended to error messages.
    encoding: str | None = None

    def find_heading(self, column: str) -> str:
        """Return the heading that the file uses for a declared column."""
        return self.headings[self.header.index(column)]

    def find_missing(self, columns: list[str]) -> list[str]:
        """Return the declared columns that are missing from the header."""
        return [column for column in columns if column not in self.header]


@dataclass(frozen=True)
class FileProperties:
    """Format, compression, encoding and delimiter of a file, detected from its content.

    A property is None if the format does not have it.
    """

    file_format: str
    compression: str | None = None
    encoding: str | None = None
    delimiter: str | None = None


def read_sheets(
    content: bytes, column_by_heading: Mapping[str, str]
) -> tuple[FileProperties, list[Sheet]]:
    """Detect the format of a file from its content; return its properties and its sheets.

    Parameters
    ----------
    content : bytes
        The file.
    column_by_heading : mapping of str to str
        Declared column for each heading that it may have, used to find the header row. A heading
        with "/" may be split over two rows.

    Returns
    -------
    tuple of (FileProperties, list of Sheet)
        Properties of the file, and its sheets. If a sheet lacks declared columns, its header is the
        row that names the most, and `rows` contains all of its rows.

    Raises
    ------
    FileFault
        If the file is empty, truncated, corrupt or of another format, its encoding is unknown, or
        it expands beyond the limits of containers.py.
    """
    compression = "gzip" if containers.is_gzip(content) else None
    if compression:
        content = containers.ungzip(content, check=check_line_lengths)
    if not content:
        raise FileFault("the file is empty. Ask the provider for the file again.")
    file_format = detect_format(content)
    try:
        if file_format == "csv":
            encoding, delimiter, sheet = _read_csv(content, column_by_heading)
            return FileProperties(file_format, compression, encoding, DELIMITERS[delimiter]), [
                sheet
            ]
        if file_format in ("xlsx", "xls"):
            return FileProperties(file_format, compression), _read_workbook(
                content, file_format, column_by_heading
            )
        if file_format == "dta":
            encoding, table = _read_stata(content)
            return FileProperties(file_format, compression, encoding), [
                _build_table_sheet(table, column_by_heading)
            ]
        table = _read_parquet(content)
        return FileProperties(file_format, compression), [
            _build_table_sheet(table, column_by_heading)
        ]
    except (FileFault, MemoryError):
        raise
    except BaseException as error:
        # Parsers may raise any exception; a panic in a Rust library derives from BaseException.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = f"{type(error).__name__}: {error}"
        raise FileFault(
            f"the file is not a complete {file_format} file ({reason}). Ask the provider for the"
            " file again."
        ) from error


def describe_contradiction(file_path: str, file_format: str) -> str | None:
    """Return a message if the file name extension does not match the detected format."""
    named_format = ENDINGS.get(
        file_path.removesuffix(".gz").rsplit(".", 1)[-1].lower(), file_format
    )
    if named_format == file_format:
        return None
    return (
        f"The file name indicates {named_format.upper()}, but the content is {file_format.upper()}"
        " and was read as such."
    )


def detect_format(content: bytes) -> str:
    """Return the format indicated by a file's first bytes, or "csv" if they are unknown.

    Raises
    ------
    FileFault
        If landing does not read the format.
    """
    for file_kind, magic in NOT_READ.items():
        if magic.match(content):
            raise FileFault(
                f"the file is {file_kind}, which cannot be read. Convert the file to CSV, XLSX,"
                " XLS, Stata or Parquet; gzip and zip archives of such files can also be read."
            )
    return next((name for name, magic in MAGIC.items() if magic.match(content)), "csv")


def check_line_lengths(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file's chunks unchanged; raise FileFault if a line of text exceeds LINE_LIMIT.

    A CSV reader needs ten times the memory of a line. Each chunk must be shorter than the limit.

    Raises
    ------
    FileFault
        If a line is too long, with its row number.
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
                    f"the line is longer than {LINE_LIMIT:,} bytes, which is the limit for a line"
                    " of a text file. Deliver a table with one line for each record.",
                    row=row,
                )
            if count:
                row, length = row + count, len(part) - part.rfind(end) - 1
        yield part


def _is_text(head: bytes) -> bool:
    """Return whether a file is presumably CSV, because it matches no known file signature."""
    patterns = (*MAGIC.values(), *NOT_READ.values())
    return not (containers.is_gzip(head) or any(magic.match(head) for magic in patterns))


def clean_text(text: str) -> str:
    """Remove zero-width characters and surrounding whitespace from a string."""
    return text.translate(_DROP_ZERO_WIDTH).strip()


def is_note(cells: Iterable[str]) -> bool:
    """Return whether a row is a footnote: a single filled cell that begins like "Source:"."""
    texts = [text for text in map(clean_text, cells) if text]
    return len(texts) == 1 and _NOTE.match(texts[0]) is not None


def join_cells(cells: Iterable[str]) -> str:
    """Join the cells of a row into one string, separated by vertical bars."""
    return "|".join(cells)


@dataclass(frozen=True)
class _Header:
    """Position and names of a header, with the number of declared columns that it contains."""

    first: int
    last: int
    names: list[str]
    column_count: int


def _find_header(top: list[list[str]], column_by_heading: Mapping[str, str]) -> _Header:
    """Return the row, or pair of rows, whose headings match the most declared columns."""
    rows = [list(map(clean_text, cells)) for cells in top]
    headers = [
        _Header(index, index, names, _count_columns(names, column_by_heading))
        for index, names in enumerate(rows)
    ]
    if any("/" in name for name in column_by_heading):
        for index, (upper, lower) in enumerate(itertools.pairwise(rows)):
            names = _join_headings(upper, lower)
            headers.append(
                _Header(index, index + 1, names, _count_columns(names, column_by_heading))
            )
    return max(headers, key=lambda header: header.column_count, default=_Header(0, 0, [], 0))


def _count_columns(names: list[str], column_by_heading: Mapping[str, str]) -> int:
    """Return the number of declared columns that the given headings match."""
    return len({column_by_heading[name] for name in names if name in column_by_heading})


def _translate_headings(headings: list[str], column_by_heading: Mapping[str, str]) -> list[str]:
    return [column_by_heading.get(name, name) for name in headings]


def _join_headings(upper: list[str], lower: list[str]) -> list[str]:
    """Join two header rows as "upper/lower", extending a merged cell to all of its columns."""
    names, group = [], ""
    for over, under in itertools.zip_longest(upper, lower, fillvalue=""):
        group = over or group
        names.append(f"{group}/{under}" if group and under else over or under)
    return names


def _read_csv(content: bytes, column_by_heading: Mapping[str, str]) -> tuple[str, str, Sheet]:
    encoding = detect_encoding(io.BytesIO(content))
    text = content.decode(encoding)
    if not text.strip():
        raise FileFault("the file is empty. Ask the provider for the file again.")
    delimiter, header = _detect_dialect(text, column_by_heading, HEADER_ROWS)
    records, doubtful = quotation.split_doubtful(text, delimiter)
    header_row = header.last + 1
    if doubtful and doubtful[0].row <= header_row:
        reason = doubtful[0].reason
        raise FileFault(
            f"the header cannot be read: {reason}. Correct the file, or ask the provider for the"
            " file again.",
            row=header_row,
        )
    sheet = _build_sheet(None, records, column_by_heading)
    sheet.encoding = _describe_encoding(encoding, content)
    for record in doubtful:
        for row, line in enumerate(record.lines, record.row):
            if clean_text(line):
                sheet.rejected_rows.append(RejectedRow(None, row, None, line, record.reason))
    return encoding, delimiter, sheet


def detect_encoding(stream: BinaryIO) -> str:
    """Return the encoding of a text file: UTF-8, GB18030 or UTF-16.

    Each encoding is tried in turn on the whole file; UTF-16 requires a byte order mark.

    Raises
    ------
    FileFault
        If none of them can decode the file.
    """
    head = stream.read(3)
    utf_8 = "utf-8-sig" if head == codecs.BOM_UTF8 else "utf-8"
    utf_16 = ["utf-16"] if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else []
    for encoding in [utf_8, "gb18030", *utf_16]:
        try:
            if not any("\0" in text for text in decode_text(stream, encoding)):
                return encoding
        except UnicodeDecodeError:
            continue
    rows = {encoding: _find_undecodable_row(stream, encoding) for encoding in (utf_8, "gb18030")}
    attempts = [f"{encoding} (which fails in row {row})" for encoding, row in rows.items()]
    tried = ", ".join([*attempts, *utf_16])
    if not utf_16:
        tried += "; the file has no byte order mark of UTF-16"
    advice = f"{_show_as_big5(stream)} {UTF_8_ADVICE}".strip()
    raise FileFault(
        "the encoding of the file was not recognised. These encodings were tried:"
        f" {tried}. {advice}",
        row=max(rows.values()),
    )


def _find_undecodable_row(stream: BinaryIO, encoding: str) -> int:
    """Return the number of the first row that cannot be decoded or contains a null byte."""
    stream.seek(0)
    row = 0
    for row, line in enumerate(stream, start=1):
        try:
            if "\0" in line.decode(encoding):
                return row
        except UnicodeDecodeError:
            return row
    return row


def _show_as_big5(stream: BinaryIO) -> str:
    """Return a sentence that quotes the first line decoded as Big5, or "" if it is not Big5."""
    stream.seek(0)
    line = next((line for line in stream.read(2**16).splitlines() if not line.isspace()), b"")
    if line.isascii() or not _BIG5.fullmatch(line):
        return ""
    try:
        return f" Read as Big5, its first line is: {line.decode('big5')[:120]}."
    except UnicodeDecodeError:
        return ""


def _describe_encoding(encoding: str, content: bytes) -> str:
    """Return an explanation of how the encoding was detected, for error messages."""
    if encoding != "gb18030":
        return f"It was read as {encoding.upper()}."
    return (
        "It was read as GB18030. This is a guess, because the file does not name its"
        f" encoding.{_show_as_big5(io.BytesIO(content))} If the characters are wrong, the file"
        f" has another encoding. {UTF_8_ADVICE}"
    )


def decode_text(stream: BinaryIO, encoding: str) -> Iterator[str]:
    """Decode a file from its beginning, and yield the text in chunks of a million characters."""
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding, newline="")
    try:
        while part := text.read(2**20):
            yield part
    finally:
        text.detach()


def detect_delimiter(text: str, column_by_heading: Mapping[str, str]) -> str:
    """Return the delimiter that splits the first row into the most declared columns."""
    return _detect_dialect(text, column_by_heading, 1)[0]


def _detect_dialect(
    text: str, column_by_heading: Mapping[str, str], row_count: int
) -> tuple[str, _Header]:
    """Return the delimiter that yields the most declared columns, and the resulting header."""
    rows, headers = {}, {}
    for delimiter in DELIMITERS:
        # Search only the first million characters for the header.
        lines = csv.reader(io.StringIO(text[:1_000_000], newline=""), delimiter=delimiter)
        rows[delimiter] = list(itertools.islice(lines, row_count))
        headers[delimiter] = _find_header(rows[delimiter], column_by_heading)
    likeliest = max(DELIMITERS, key=lambda mark: (headers[mark].column_count, len(rows[mark][0])))
    return likeliest, headers[likeliest]


def _read_workbook(
    content: bytes, file_format: str, column_by_heading: Mapping[str, str]
) -> list[Sheet]:
    """Return the non-empty sheets of an Excel workbook, with visible sheets first."""
    import python_calamine

    corrections_by_sheet: dict[str, Cells] = {}
    if file_format == "xlsx":
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            # Check every part first, because damage could otherwise lead to missing rows unnoticed.
            containers.check_workbook(book, len(content))
            corrections_by_sheet = workbook_xml.read_cells(book)
    sheets = []
    with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content)) as workbook:
        visibility = python_calamine.SheetVisibleEnum
        order = [visibility.Visible, visibility.Hidden, visibility.VeryHidden]
        for metadata in sorted(
            workbook.sheets_metadata, key=lambda sheet: order.index(sheet.visible)
        ):
            corrections = corrections_by_sheet.get(metadata.name, Cells())
            cells = _list_cells(workbook.get_sheet_by_name(metadata.name))
            texts = {place: _format_cell(cell) for place, cell in cells.items()} | corrections.texts
            sheet = _build_sheet(metadata.name, _group_rows(texts), column_by_heading)
            if sheet.header_row is None:
                continue
            sheet.unsaved_formulas = corrections.unsaved_formulas
            if file_format == "xls":
                sheet.unformatted_cells = {
                    place for place, cell in cells.items() if isinstance(cell, str)
                }
            sheet.is_hidden = metadata.visible != visibility.Visible
            sheets.append(sheet)
    return sheets


def _list_cells(sheet: Any) -> dict[tuple[int, int], Any]:
    """Return the non-empty cells of a worksheet by row (from 1) and column (from 0)."""
    cells: dict[tuple[int, int], Any] = {}
    if sheet.start is None:
        return cells
    first_row, first_column = sheet.start
    for row, values in enumerate(sheet.to_python(skip_empty_area=True), first_row + 1):
        for column, value in enumerate(values, first_column):
            if value != "":
                cells[row, column] = value
    return cells


def _group_rows(texts: dict[tuple[int, int], str]) -> list[tuple[int, list[str]]]:
    """Group cells into numbered rows of equal width, omitting empty rows."""
    width = max((column + 1 for _, column in texts), default=0)
    rows: dict[int, list[str]] = {}
    for (row, column), text in sorted(texts.items()):
        rows.setdefault(row, [""] * width)[column] = text
    return list(rows.items())


def _build_sheet(
    name: str | None, rows: list[tuple[int, list[str]]], column_by_heading: Mapping[str, str]
) -> Sheet:
    """Build a `Sheet` from numbered rows: find the header, and reject rows of a wrong width."""
    rows = [(number, cells) for number, cells in rows if any(map(clean_text, cells))]
    header = _find_header([cells for _, cells in rows[:HEADER_ROWS]], column_by_heading)
    is_complete = header.column_count == len(set(column_by_heading.values()))
    width = len(header.names)
    rejected_rows = []
    data = {}
    for position, (number, cells) in enumerate(rows):
        reason = None
        if not is_complete or position > header.last:
            if len(cells) != width and (len(cells) < width or any(map(clean_text, cells[width:]))):
                reason = f"expected {width} fields, found {len(cells)}"
                reason = NOTE_BELOW if is_note(cells) else reason
            else:
                data[number] = cells[:width]
        elif position < header.first:
            reason = "prose above the header"
        if reason:
            rejected_rows.append(RejectedRow(name, number, None, join_cells(cells), reason))
    columns = list(zip(*data.values(), strict=True)) or [()] * width
    texts = [pa.array(column, pa.string()) for column in columns]
    return Sheet(
        name,
        header.names,
        _translate_headings(header.names, column_by_heading),
        rows[header.last][0] if rows else None,
        pa.table(texts, names=[str(position) for position in range(len(texts))]),
        np.array([*data], dtype=np.int64),
        rejected_rows,
    )


def _format_cell(cell: Any) -> str:
    """Format a cell value as text, omitting the ".0" of whole numbers, which may be codes."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)


def _build_table_sheet(table: pa.Table, column_by_heading: Mapping[str, str]) -> Sheet:
    """Build a `Sheet` from an Arrow table, with the column names as headings.

    Row numbers count observations, from 1.
    """
    headings = [clean_text(name) for name in table.column_names]
    names = [str(position) for position in range(table.num_columns)]
    texts = pa.table([_to_text(column) for column in table.columns], names=names)
    numbers = np.arange(1, table.num_rows + 1)
    return Sheet(
        None, headings, _translate_headings(headings, column_by_heading), None, texts, numbers
    )


def _read_stata(content: bytes) -> tuple[str, pa.Table]:
    """Read a Stata file, and return its encoding and its data as an Arrow table.

    Before version 14, Stata did not record the encoding. Pandas decodes such files as latin-1; they
    are decoded as GB18030, common on Chinese computers, if all of their text is valid GB18030.
    """
    import pandas as pd  # imported lazily, because importing pandas is slow

    def decode_gb18030(value: Any) -> Any:
        return value.encode("latin-1").decode("gb18030") if isinstance(value, str) else value

    frame = pd.read_stata(io.BytesIO(content), convert_dates=False, convert_categoricals=False)
    encoding = "utf-8"
    if not STATA_IN_UTF_8.match(content):
        try:
            frame, encoding = frame.rename(columns=decode_gb18030).map(decode_gb18030), "gb18030"
        except UnicodeError:
            encoding = "latin-1"
    return encoding, pa.Table.from_pandas(frame, preserve_index=False)


def _read_parquet(content: bytes) -> pa.Table:
    table = pq.ParquetFile(pa.BufferReader(content)).read()
    for column in table.schema:
        if pa.types.is_nested(column.type):
            raise FileFault(
                f"the values of this column have the nested type {column.type}. Ask the"
                " provider for a single value in each cell.",
                column=column.name,
            )
    try:
        table.validate(full=True)  # Parquet strings may contain invalid UTF-8
    except pa.ArrowInvalid as error:
        raise FileFault(
            f"the file contains text that is not valid UTF-8 ({error}). Ask the provider for the"
            " file again."
        ) from error
    return table


def _to_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        return pa.chunked_array(
            [pa.array([_format_cell(value) for value in column.to_pylist()], pa.string())]
        )
    return column.cast(pa.string()).fill_null("")
