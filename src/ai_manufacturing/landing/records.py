"""Convert text cells to typed rows, and reject invalid records with a reason."""

import fnmatch
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers.formats import (
    NOTE_BELOW,
    ZERO_WIDTH,
    RejectedRow,
    Sheet,
    clean_text,
    is_note,
    join_cells,
)
from ai_manufacturing.landing.readers.workbook_xml import UNSAVED_REASON

ARROW_TYPES = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64()}
REJECTED_SCHEMA = pa.schema(
    {name: pa.string() for name in RejectedRow._fields} | {"row_number": pa.int64()}
)
MISSING_MARKERS = {"", "-", "--", "—", "——", "…", "……", "...", "..", ".", "无", "na", "n/a", "nan"}
"""Lower-case cell texts that denote a missing value."""

_NUMBER = re.compile(
    r"[+-]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII
)
# Patterns of numbers that Arrow can cast directly; all other text is parsed in Python.
_PLAIN = {"integer": r"^-?[0-9]{1,15}$", "number": r"^-?[0-9]{1,200}(\.[0-9]+)?$"}
_FULL_WIDTH = str.maketrans("０１２３４５６７８９．，－＋", "0123456789.,-+")
# Letters that are often typed instead of digits, by the hint in the error message.
_LOOKALIKES = {
    "a letter O?": str.maketrans("Oo", "00"),
    "a letter l or I?": str.maketrans("lI", "11"),
}
_NOTE_MARK = "[²³¹⁰-ⁿ①-⓿❶-➓]"  # superscript, circled or bracketed footnote marks
_TRAILING_NOTE_MARKS = re.compile(rf"\s*(?:{_NOTE_MARK}\s*)+$")
XLS_ADVICE = (
    "XLS is read without character formats and formulas. A raised, lowered or struck-out digit"
    " counts as an ordinary digit, and an error or a formula without a saved value as an empty"
    " cell. Deliver XLSX, so that such cells are set aside."
)
_SUM_TOLERANCE = 1e-6  # relative tolerance, as shares have six or more digits
_POWER = re.compile(r"[+-]?10")  # a power such as 10⁸ is not a number with a footnote mark

Key = tuple[Any, ...]
Values = dict[str, Any]
EarlierRecords = dict[Key, list[tuple[Values, str]]]
"""Values and location of each record in the sheets read so far, by key."""


def land(
    sheets: list[Sheet], source: Source, file_name_values: dict[str, str]
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Convert the sheets of one file to typed rows, rejected rows and metadata.

    Parameters
    ----------
    sheets : list of Sheet
        Sheets as read from the file.
    source : Source
        Declaration of the file.
    file_name_values : dict
        Values of the columns that are taken from the file name, as text.

    Returns
    -------
    tuple of (Table, Table, dict)
        Typed rows (sheet_name, row_number, then the declared columns), rejected rows, and facts to
        record: counts, undeclared columns, and notes for people.

    Raises
    ------
    FileFault
        If no sheet has the declared header, a declared column occurs twice, two sheets contradict
        each other, a record occurs in a hidden sheet only, a value in the file name does not have
        its declared type, or a column does not add up to its declared sum.
    """
    sheets, undeclared_sheets = _split_sheets(sheets, source)
    sheets_with_header = [sheet for sheet in sheets if not sheet.find_missing(source.read_columns)]
    if not sheets_with_header:
        raise _wrong_header_fault(sheets, source)
    constants = {
        column: _parse_file_name_value(column, text, source)
        for column, text in file_name_values.items()
    }

    tables: list[pa.Table] = []
    rejected_rows: list[RejectedRow] = []
    earlier: EarlierRecords = defaultdict(list)
    unread_columns: dict[str, None] = {}
    notes: list[str] = []
    text_numbers: list[str] = []
    for sheet in sheets:
        if sheet.find_missing(source.read_columns):
            rejected_rows.extend(_reject_sheets([sheet], "prose sheet"))
            continue
        rows, sheet_rejected_rows, sheet_notes = _land_sheet(sheet, source, earlier)
        if sheet.is_hidden and rows.num_rows and not source.sheets:
            raise _hidden_sheet_fault(sheet, rows, source)
        if len(sheets_with_header) > 1:
            numbers = rows["row_number"].to_pylist()
            for number, (key, values) in zip(numbers, _split_keys(rows, source), strict=True):
                earlier[key].append((values, f"sheet {sheet.name}, row {number}"))
        notes += sheet_notes
        text_numbers += _list_text_numbers(sheet, rows, source)
        tables.append(_add_constants(rows, sheet, source, constants))
        rejected_rows.extend(
            sorted([*sheet.rejected_rows, *sheet_rejected_rows], key=lambda entry: entry.row_number)
        )
        unread_columns.update(dict.fromkeys(_list_unread_columns(sheet, source)))
    rejected_rows.extend(_reject_sheets(undeclared_sheets, "sheet not declared"))
    rows = pa.concat_tables(tables).combine_chunks()
    _check_sums(rows, source)
    record = {
        "record_count": rows.num_rows + len(rejected_rows),
        "landed_row_count": rows.num_rows,
        "rejected_row_count": len(rejected_rows),
        "columns_not_read": ", ".join(unread_columns) or None,
        "synthetic": _is_synthetic(rows, source),
        "notes": " ".join(_compose_notes(sheets, sheets_with_header, notes, text_numbers, source))
        or None,
    }
    return (
        rows,
        pa.Table.from_pylist([entry._asdict() for entry in rejected_rows], schema=REJECTED_SCHEMA),
        record,
    )


def _compose_notes(
    sheets: list[Sheet],
    sheets_with_header: list[Sheet],
    notes: list[str],
    text_numbers: list[str],
    source: Source,
) -> Iterable[str]:
    """Yield remarks for the user about an imported file, such as dropped footnote marks."""
    if notes:
        yield f"The note marks of {len(notes)} numbers were dropped. The first is {notes[0]}."
    if any(sheet.unformatted_cells is not None for sheet in sheets):
        yield XLS_ADVICE
    if text_numbers:
        yield (
            f"Check {len(text_numbers):,} numbers stored as text, which may contain such digits."
            f" The first is {text_numbers[0]}."
        )
    names = json.dumps([sheet.name for sheet in sheets_with_header], ensure_ascii=False)
    for sheet in sheets:
        if missing := sheet.find_missing(source.read_columns):
            yield (
                f"Sheet {sheet.name} lacks the declared header (no {' or '.join(missing[:3])}), so"
                f" its {sheet.rows.num_rows} rows were set aside as prose. If it should not be"
                f" read, name the other sheets in {source.provider}.toml, source {source.name}:"
                f" sheets = {names}. If it contains records, ask the provider for them in the"
                f" layout of sheet {sheets_with_header[0].name}."
            )


def _split_keys(table: pa.Table, source: Source) -> Iterator[tuple[Key, Values]]:
    """Yield each row as a tuple of its key values and a dict of its other columns."""
    for row in table.to_pylist():
        values = {name: row[name] for name in source.read_columns if name not in source.read_key}
        yield tuple(row[name] for name in source.read_key), values


def _find_repeated_keys(
    sheet: Sheet, table: pa.Table, is_valid: np.ndarray, source: Source, earlier: EarlierRecords
) -> dict[int, str]:
    """Return the rows whose key also occurs in an earlier sheet, as {row position: key}.

    A row that is not valid is compared by its key only, because its values are unknown.

    Raises
    ------
    FileFault
        If a row contradicts all earlier rows with the same key.
    """
    key_texts: dict[int, str] = {}
    if not earlier:
        return key_texts
    for row, (key, values) in enumerate(_split_keys(table, source)):
        if key not in earlier:
            continue
        key_texts[row] = join_cells(map(str, key))
        if is_valid[row] and values not in [others for others, _ in earlier[key]]:
            others, place = earlier[key][0]
            column = next(name for name in values if values[name] != others[name])
            key_text, value, other_value = (
                key_texts[row],
                _quote(values[column]),
                _quote(others[column]),
            )
            raise FileFault(
                f"two sheets contradict each other: for {key_text} the value is {value} in"
                f" this sheet, but {other_value} in {place}. Name the sheet to read in"
                f' {source.provider}.toml, source {source.name}, as in `sheets = ["…"]`, or ask'
                " the provider which value is right.",
                sheet=sheet.name,
                row=int(sheet.row_numbers[row]),
                column=column,
            )
    return key_texts


def _quote(value: object) -> str:
    return "empty" if value is None else f'"{value}"'


def _split_sheets(sheets: list[Sheet], source: Source) -> tuple[list[Sheet], list[Sheet]]:
    """Split a workbook's sheets into those that the declaration names, and all others."""
    if not source.sheets or all(sheet.name is None for sheet in sheets):
        return sheets, []

    def matches(sheet: Sheet) -> bool:
        return any(
            fnmatch.fnmatchcase(clean_text(sheet.name or ""), pattern) for pattern in source.sheets
        )

    declared_sheets = [sheet for sheet in sheets if matches(sheet)]
    if not declared_sheets:
        expected_names = " or ".join(source.sheets)
        names = ", ".join(str(sheet.name) for sheet in sheets)
        raise FileFault(
            f"no sheet is named {expected_names}; the sheets of the workbook are {names}. Correct"
            f" `sheets` in {source.provider}.toml, source {source.name}, or ask the provider for"
            " the file again."
        )
    return declared_sheets, [sheet for sheet in sheets if sheet not in declared_sheets]


def _hidden_sheet_fault(sheet: Sheet, rows: pa.Table, source: Source) -> FileFault:
    return FileFault(
        f"the sheet is hidden, but contains {rows.num_rows} records that no visible sheet contains."
        f" Name the sheets to read in {source.provider}.toml, source {source.name}: sheets ="
        ' ["…"]; or ask the provider which sheets are valid.',
        sheet=sheet.name,
        row=rows["row_number"][0].as_py(),
    )


def _wrong_header_fault(sheets: list[Sheet], source: Source) -> FileFault:
    if not sheets:
        return FileFault("all sheets are empty. Ask the provider for the file again.")
    columns = source.read_columns
    closest = min(sheets, key=lambda sheet: len(sheet.find_missing(columns)))
    # Truncate headings, because a stray quotation mark may turn the whole file into one.
    headings = (
        ", ".join(name if len(name) <= 60 else f"{name[:60]}…" for name in closest.headings if name)
        or "none"
    )
    lookalikes = [
        f"{heading} looks like {column}, but contains {differences}."
        for column in closest.find_missing(columns)
        for heading in closest.headings
        if (differences := _describe_differences(heading, column))
    ]
    advice = (
        f"If the provider renamed columns, declare the new headings in {source.provider}.toml,"
        f" source {source.name}, [sources.headings]; otherwise ask the provider for the file again."
    )
    missing = (
        f"wrong header: it lacks {', '.join(closest.find_missing(columns))}; its headings are"
        f" {headings}."
    )
    return FileFault(
        " ".join(filter(None, [missing, *lookalikes, advice, closest.encoding])),
        sheet=closest.name,
        row=closest.header_row,
    )


def _describe_differences(heading: str, column: str) -> str:
    """Describe the characters in which a heading differs from a name that looks the same.

    Full-width and half-width forms look the same, as do all kinds of spaces. The result is empty if
    the two headings are equal or do not look the same.
    """
    pairs = [(_normalize(heading), heading), (_normalize(column), column)]
    if heading == column or pairs[0][0] != pairs[1][0]:
        return ""
    marks = [
        (mark, other)
        for mark, other in zip(heading, column, strict=False)
        if mark != other and _normalize(mark) == _normalize(other)
    ]
    if len(heading) != len(column) or not marks:
        return "other spaces, or single characters that stand for several letters"
    return ", ".join(
        f"{_name_character(mark)} instead of {_name_character(other)}"
        for mark, other in dict.fromkeys(marks)
    )


def _normalize(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split()).casefold()


def _name_character(mark: str) -> str:
    """Return a character with its Unicode name, as in "≤ (U+2264 LESS-THAN OR EQUAL TO)"."""
    return f"{mark} (U+{ord(mark):04X} {unicodedata.name(mark, 'without a name')})"


def _parse_file_name_value(column: str, text: str, source: Source) -> pa.Scalar:
    values, reasons = _parse_column(pa.array([text], pa.string()), source.columns[column])
    if reasons[0].is_valid:
        reason = reasons[0]
        raise FileFault(
            f'the value "{text}" in the file name is invalid: {reason}. Rename the file.',
            column=column,
        )
    return values[0]


def _land_sheet(
    sheet: Sheet, source: Source, earlier: EarlierRecords
) -> tuple[pa.Table, list[RejectedRow], list[str]]:
    """Return a sheet's typed rows, its rejected rows, and its numbers with footnote marks."""
    for column in source.read_columns:
        if sheet.header.count(column) > 1:
            pairs = zip(sheet.header, sheet.headings, strict=True)
            count = sheet.header.count(column)
            headings = ", ".join(
                dict.fromkeys(heading for name, heading in pairs if name == column)
            )
            raise FileFault(
                f"{count} columns have this name (headings: {headings}). Ask the provider which"
                f" column is meant, or correct [sources.headings] in {source.provider}.toml, source"
                f" {source.name}.",
                sheet=sheet.name,
                row=sheet.header_row,
                column=column,
            )
    texts = {column: _get_text(sheet, sheet.header.index(column)) for column in source.read_columns}
    parsed_columns = {
        column: _parse_column(text, source.columns[column]) for column, text in texts.items()
    }
    count = sheet.rows.num_rows
    rejected_rows: dict[int, RejectedRow] = {}

    def reject(row: int, column: str | None, value: str, reason: str) -> None:
        rejected_rows.setdefault(
            row, RejectedRow(sheet.name, int(sheet.row_numbers[row]), column, value, reason)
        )

    positions = {number: row for row, number in enumerate(sheet.row_numbers.tolist())}
    for number, position in sorted(sheet.unsaved_formulas):
        column = sheet.header[position] if position < len(sheet.header) else ""
        if column in source.read_columns and number in positions:
            row = positions[number]
            reject(row, sheet.find_heading(column), texts[column][row].as_py(), UNSAVED_REASON)

    # A key cell that cannot be parsed counts as filled, so the row is not a line of prose.
    lacks_key = np.ones(count, dtype=bool)
    for column in source.read_key:
        lacks_key &= _to_mask(
            pc.and_(pc.is_null(parsed_columns[column][0]), pc.is_null(parsed_columns[column][1]))
        )
    for row in np.flatnonzero(lacks_key).tolist():
        cells = [cell.as_py() for cell in (column[row] for column in sheet.rows.columns)]
        if any(map(clean_text, cells)):
            reject(row, None, join_cells(cells), "prose: no key")

    for row in np.flatnonzero(_flag_lone_cells(sheet, parsed_columns)).tolist():
        cells = [cell.as_py() for cell in (column[row] for column in sheet.rows.columns)]
        if is_note(cells) or len(source.read_key) > 1:
            reject(row, None, join_cells(cells), NOTE_BELOW)

    table = pa.table({column: values for column, (values, _) in parsed_columns.items()})
    is_valid = np.ones(count, dtype=bool)
    for _, reasons in parsed_columns.values():
        is_valid &= _to_mask(pc.is_null(reasons))
    is_valid[list(rejected_rows)] = False
    for row, key in _find_repeated_keys(sheet, table, is_valid, source, earlier).items():
        reject(row, None, key, "repeated sheet")

    lands = ~lacks_key
    lands[list(rejected_rows)] = False
    for column, (_, reasons) in parsed_columns.items():
        for row in np.flatnonzero(_to_mask(pc.is_valid(reasons)) & lands).tolist():
            reject(
                row, sheet.find_heading(column), texts[column][row].as_py(), reasons[row].as_py()
            )
    lands[list(rejected_rows)] = False
    table = table.add_column(0, "row_number", pa.array(sheet.row_numbers, pa.int64()))
    notes = [
        note
        for column, text in texts.items()
        for note in _list_note_marks(sheet, column, text, source, lands)
    ]
    return (
        table if lands.all() else table.filter(pa.array(lands)),
        list(rejected_rows.values()),
        notes,
    )


def _flag_lone_cells(
    sheet: Sheet, parsed_columns: dict[str, tuple[pa.Array, pa.Array]]
) -> NDArray[np.bool_]:
    """Return a mask of the rows whose only filled cell contains text, as in a footnote."""
    cell_count = np.zeros(sheet.rows.num_rows, dtype=np.int64)
    for position in range(sheet.rows.num_columns):
        cell_count += _is_filled(sheet, position)
    is_text = np.zeros(sheet.rows.num_rows, dtype=bool)
    for values, reasons in parsed_columns.values():
        is_text |= _to_mask(pc.is_valid(values if pa.types.is_string(values.type) else reasons))
    is_lone: NDArray[np.bool_] = (cell_count == 1) & is_text
    return is_lone


def _is_filled(sheet: Sheet, position: int) -> NDArray[np.bool_]:
    return _to_mask(pc.not_equal(pc.utf8_trim_whitespace(_get_text(sheet, position)), ""))


def _list_note_marks(
    sheet: Sheet, column: str, text: pa.Array, source: Source, lands: np.ndarray
) -> Iterable[str]:
    """Yield the location and text of each number that has a footnote mark."""
    if source.columns[column] == "text":
        return
    place = f"sheet {sheet.name}, row" if sheet.name else "row"
    for row in np.flatnonzero(
        _to_mask(pc.match_substring_regex(text, _NOTE_MARK)) & lands
    ).tolist():
        yield f"{place} {sheet.row_numbers[row]}, column {column}, {text[row].as_py()}"


def _list_text_numbers(sheet: Sheet, rows: pa.Table, source: Source) -> Iterable[str]:
    """Yield the location and value of each number that an XLS file stores as text."""
    if not sheet.unformatted_cells:
        return
    for column in source.read_columns:
        if source.columns[column] == "text":
            continue
        position = sheet.header.index(column)
        for number, value in zip(
            rows["row_number"].to_pylist(), rows[column].to_pylist(), strict=True
        ):
            if value is not None and (number, position) in sheet.unformatted_cells:
                yield f"sheet {sheet.name}, row {number}, column {column}, {value:.15g}"


def _reject_sheets(sheets: list[Sheet], reason: str) -> Iterable[RejectedRow]:
    """Yield every row of the given sheets as a rejected row with the given reason."""
    for sheet in sheets:
        yield from (entry._replace(reason=reason) for entry in sheet.rejected_rows)
        for number, cells in zip(sheet.row_numbers.tolist(), sheet.rows.to_pylist(), strict=True):
            yield RejectedRow(sheet.name, number, None, join_cells(cells.values()), reason)


def _add_constants(
    rows: pa.Table, sheet: Sheet, source: Source, constants: dict[str, pa.Scalar]
) -> pa.Table:
    sheet_name = pa.scalar(sheet.name, pa.string())
    columns = {"sheet_name": pa.repeat(sheet_name, rows.num_rows), "row_number": rows["row_number"]}
    for column in source.columns:
        columns[column] = (
            pa.repeat(constants[column], rows.num_rows) if column in constants else rows[column]
        )
    return pa.table(columns)


def _list_unread_columns(sheet: Sheet, source: Source) -> list[str]:
    names = []
    for position, name in enumerate(sheet.header):
        if name and name not in source.columns:
            names.append(name)
        elif not name and _is_filled(sheet, position).any():
            names.append(f"column {position + 1} without a name")
    return names


def _check_sums(rows: pa.Table, source: Source) -> None:
    if source.column_sum is None:
        return
    for column, column_type in source.columns.items():
        if column_type != "number":
            continue
        total = pc.sum(rows[column]).as_py() or 0.0
        if not np.isclose(total, source.column_sum, rtol=_SUM_TOLERANCE):
            raise FileFault(
                f"the {rows.num_rows} numbers in this column add up to {total:.10g}, but"
                f" column_sum in {source.provider}.toml requires {source.column_sum:g}. Ask the"
                " provider for the file again.",
                column=column,
            )


def _is_synthetic(rows: pa.Table, source: Source) -> bool:
    """Return whether every row contains "synthetic" in a text column, as generated data do."""
    texts = [rows[name] for name, column_type in source.columns.items() if column_type == "text"]
    marks = [pc.fill_null(pc.match_substring(text, "synthetic"), False) for text in texts]
    return rows.num_rows > 0 and any(pc.all(mark).as_py() for mark in marks)


def _get_text(sheet: Sheet, position: int) -> pa.Array:
    return sheet.rows.column(position).combine_chunks()


def _to_mask(values: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return mask


def _parse_column(text: pa.Array, column_type: str) -> tuple[pa.Array, pa.Array]:
    """Convert a text column to its declared type; return the values and any error messages."""
    if column_type == "text":
        text = pc.replace_substring_regex(text, f"[{ZERO_WIDTH}]", "")
        text = pc.utf8_trim_whitespace(text)
        return pc.if_else(pc.equal(text, ""), None, text), pa.nulls(len(text), pa.string())
    # Arrow casts plain numbers; Python parses each other distinct string once.
    is_plain = pc.match_substring_regex(text, _PLAIN[column_type])
    odd_texts = pc.unique(text.filter(pc.invert(is_plain)))
    results = [_parse_number(value, column_type == "integer") for value in odd_texts.to_pylist()]
    positions = pc.index_in(text, odd_texts)
    values = pc.coalesce(
        pc.cast(pc.if_else(is_plain, text, None), ARROW_TYPES[column_type]),
        pa.array([value for value, _ in results], ARROW_TYPES[column_type]).take(positions),
    )
    return values, pa.array([reason for _, reason in results], pa.string()).take(positions)


def _parse_number(value: str, is_integer: bool) -> tuple[float | int | None, str | None]:
    """Return (number, None), or (None, reason) if invalid, or (None, None) if missing."""
    text = clean_text(value).translate(_FULL_WIDTH)
    if text.lower() in MISSING_MARKERS:
        return None, None
    if text.startswith(("=", "@")):
        return None, "not a number (a formula)"
    note_marks = _TRAILING_NOTE_MARKS.search(text)
    if note_marks and note_marks.start():
        text = text[: note_marks.start()]
        if text.lower() in MISSING_MARKERS:
            return None, None
        if _POWER.fullmatch(text):
            return None, "not a number (a power of ten, or a note mark?)"
    if re.search(_NOTE_MARK, text):
        return None, "not a number (a note mark before its end)"
    if not _NUMBER.fullmatch(text):
        for hint, letters in _LOOKALIKES.items():
            if _NUMBER.fullmatch(text.translate(letters)):
                return None, f"not a number ({hint})"
        return None, "not a number"
    exact = Decimal(text.replace(",", ""))
    if not is_integer:
        number = float(exact)
        return (number, None) if np.isfinite(number) else (None, "not a finite number")
    if exact.adjusted() > 18 or abs(exact) > 2**63 - 1:
        return None, "too large for an integer"
    return (int(exact), None) if exact == exact.to_integral_value() else (None, "not an integer")
