"""Import firm and patent registers, which have tens of millions of rows, as Parquet files.

A provider declares them as `[[registers]]`, beside its other sources. Cells are not validated here:
staging models do that in SQL, and count the rejected rows by file and reason.
"""

import csv
import errno
import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ai_manufacturing.landing import checksums, declarations, store
from ai_manufacturing.landing.declarations import Register
from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.extracts import DeliveredFile, is_utf_8
from ai_manufacturing.landing.readers import containers, formats, quotation
from ai_manufacturing.system import contracts, settings
from ai_manufacturing.system.disk import file_signature
from ai_manufacturing.system.sql_text import escape_globs, quote_identifier, quote_literal

ARROW_TYPES = {"text": pa.string(), "date": pa.date32()}
LANDED_COLUMNS = ("entity", "position", "column_name", "store_key", "landed_type")
LANDED_COLUMNS_SCHEMA = pa.schema(
    {name: pa.string() for name in LANDED_COLUMNS} | {"position": pa.int64()}
)
DOUBTFUL_SCHEMA = pa.schema(
    {
        "record": pa.int64(),
        "row_number": pa.int64(),
        "value": pa.string(),
        "reason": pa.string(),
    }
)
"""Columns for each line that quotation marks join to other lines."""


def land(file: DeliveredFile, register: Register, folder: Path) -> tuple[str, int, str]:
    """Import a new register file, with memory use independent of the file size.

    Parameters
    ----------
    file : DeliveredFile
        File to land.
    register : Register
        Declaration of the file.
    folder : Path
        The landing store.

    Returns
    -------
    tuple of (str, int, str)
        SHA-256, size in bytes and store key of the file.

    Raises
    ------
    FileFault
        If the file cannot be read as declared, or changes while it is read.
    """
    before = file_signature(file.path)
    delivery_id, size = file.hash_content()
    store_key = store.compute_key(delivery_id, register, {})
    if not store.is_landed(folder, store_key):
        with store.open_draft(folder, store_key) as draft:
            _write_register(file, register, draft)
            if file_signature(file.path) != before:
                raise FileFault(
                    "the file changed while it was read. Run the build again when the delivery is"
                    " complete."
                )
    return delivery_id, size, store_key


def list_paths(files: pa.Table) -> pa.Table:
    """Return the path of every Parquet file of the registers, as the table raw_register_paths.

    File number 0 of each entity has all declared columns and no rows. SQL reads it first, so that
    columns missing from every delivered file still exist, and so that an entity without delivered
    files reads as an empty table. The store treats it like a delivered file.

    Parameters
    ----------
    files : Table
        Rows of raw.raw_register_files.

    Raises
    ------
    LandingError
        If a landed file differs from its recorded SHA-256.
    """
    folder = settings.landing_dir()
    columns = ["entity", "provider", "file_number", "store_key"]
    rows = [
        {
            "entity": entity,
            "provider": None,
            "file_number": 0,
            "store_key": _ensure_empty_file(entity, folder),
        }
        for entity in dict.fromkeys(register.entity for register in declarations.read_registers())
    ] + files.select(columns).to_pylist()
    checksums.verify_folders(folder, [row["store_key"] for row in rows])
    return pa.Table.from_pylist(
        [
            row | {"rows_path": escape_globs(store.rows_path(folder, row["store_key"]))}
            for row in rows
        ],
        schema=contracts.read_schema("raw_register_paths"),
    )


def _build_schema(entity: str) -> pa.Schema:
    """Return the Arrow schema of the columns that registers declare for an entity."""
    columns = declarations.collect_entity_columns(declarations.read_registers(), entity)
    return pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])


def _ensure_empty_file(entity: str, folder: Path) -> str:
    """Write an empty Parquet file for an entity if none exists; return its store key."""
    columns = declarations.collect_entity_columns(declarations.read_registers(), entity)
    inputs = [entity, *columns.items()]
    store_key = hashlib.sha256(json.dumps(inputs, ensure_ascii=False).encode()).hexdigest()
    if not (folder / store_key).is_dir():
        with store.lock(folder):
            store.write_rows_only(folder, store_key, _build_schema(entity).empty_table())
    return store_key


def list_landed_columns(deliveries: pa.Table) -> pa.Table:
    """Return a table with one row per register file and declared column.

    `landed_type` is the column's type in the file, or null if the file lacks the column. Each
    declared column also has a row without a store key, with its declared type.
    """
    folder = settings.landing_dir()
    rows = []
    for entity in dict.fromkeys(register.entity for register in declarations.read_registers()):
        declared_schema = _build_schema(entity)
        keys = [row["store_key"] for row in deliveries.to_pylist() if row["entity"] == entity]
        for store_key in dict.fromkeys([None, *keys]):
            landed_schema = (
                pq.read_schema(store.rows_path(folder, store_key)) if store_key else declared_schema
            )
            types = dict(zip(landed_schema.names, map(str, landed_schema.types), strict=True))
            rows += [
                {
                    "entity": entity,
                    "position": position,
                    "column_name": name,
                    "store_key": store_key,
                    "landed_type": types.get(name),
                }
                for position, name in enumerate(declared_schema.names)
            ]
    return pa.Table.from_pylist(rows, schema=LANDED_COLUMNS_SCHEMA)


def _write_register(file: DeliveredFile, register: Register, folder: Path) -> None:
    """Write a register as a Parquet file, with its metadata in a separate JSON file."""
    head = next(file.read_chunks(), b"")[: 2**10]
    if not head:
        raise FileFault("the file is empty. Ask the provider for the file again.")
    if containers.is_gzip(head) or containers.is_zip(head):
        raise FileFault(
            "a register cannot be read from a gzip file, a workbook or a nested zip. Deliver"
            " the register as CSV or Parquet."
        )
    file_format = formats.detect_format(head)
    if file_format not in ("csv", "parquet"):
        raise FileFault(
            f"the file format is {file_format.upper()}, but a register must be CSV or Parquet."
            " Convert the file."
        )
    rows, path = folder / "rows.parquet", file.path
    if file.member is not None:
        path = folder / "member"  # DuckDB cannot read a member of a zip archive
        with path.open("wb") as member_file:
            member_file.writelines(file.read_chunks())
    encoding = delimiter = None
    columns_left_out: list[str] = []
    if file_format == "csv":
        encoding, delimiter, columns_left_out = _convert_csv(path, rows, register)
    elif register.personal:
        columns_left_out = _copy_declared_columns(path, rows, register)
    else:
        # Copy instead of linking, so that later writes to the file do not affect the store.
        shutil.copyfile(path, rows)
    if file.member is not None:
        path.unlink()
    record = {
        "file_format": file_format,
        "compression": None if file.member is None else "zip",
        "encoding": encoding,
        "delimiter": delimiter,
    }
    store.write_record(folder, record | _describe_rows(rows, register, columns_left_out))


def _copy_declared_columns(path: Path, target: Path, register: Register) -> list[str]:
    """Copy the declared columns of a Parquet file; return the names of the omitted columns."""
    try:
        with pq.ParquetFile(path) as delivery:
            names = delivery.schema_arrow.names
            columns = [name for name in names if name in register.columns]
            schema = pa.schema([delivery.schema_arrow.field(name) for name in columns])
            with pq.ParquetWriter(
                target, schema, compression="zstd", write_page_checksum=True
            ) as writer:
                for batch in delivery.iter_batches(columns=columns):
                    writer.write_batch(batch)
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise FileFault(
            f"the file cannot be read as Parquet ({reason}). Ask the provider for the file again."
        ) from error
    return [name for name in names if name not in columns]


def _convert_csv(path: Path, target: Path, register: Register) -> tuple[str, str, list[str]]:
    """Convert a CSV file to Parquet, with all columns as text and empty cells as null.

    Records with the wrong number of fields, and lines that quotation marks join into one record,
    are written to rejected.parquet in the same folder, if there are any. If the declaration has
    personal columns, only the declared columns are stored, and the text of rejected records is
    dropped: in a record with the wrong number of fields, a person's name may be in any column.

    Returns
    -------
    tuple of (str, str, list of str)
        Encoding, delimiter, and names of the columns that were dropped.
    """
    with path.open("rb") as content:
        for _ in formats.check_line_lengths(containers.read_chunks(content)):
            pass
        content.seek(0)
        encoding = formats.detect_encoding(content)
        top = next(formats.decode_text(content, encoding))
        delimiter = formats.detect_delimiter(top, register.read_headings)
        names = _read_column_names(top, delimiter, register)
        utf_8_path = target.with_name("rows.csv")
        if encoding not in ("utf-8", "utf-8-sig"):
            # Re-encode the file, because DuckDB reads only UTF-8.
            with utf_8_path.open("w", encoding="utf-8", newline="") as recoded_file:
                recoded_file.writelines(formats.decode_text(content, encoding))
            path = utf_8_path
        elif not is_utf_8(str(path)):
            # Use a link with a UTF-8 name, because DuckDB also requires UTF-8 paths.
            utf_8_path.symlink_to(path.resolve())
            path = utf_8_path
    columns = ", ".join(f"{quote_literal(name)}: 'varchar'" for name in names)
    holds_line_end = " or ".join(
        f"contains({quote_identifier(name)}, {end})"
        for name in names
        for end in ("chr(10)", "chr(13)")
    )
    stored_columns = [name for name in names if not register.personal or name in register.columns]
    texts = ", ".join(
        f"nullif(trim({quote_identifier(name)}, {quote_literal(formats.BLANKS)}), '')"
        f" as {quote_identifier(name)}"
        for name in stored_columns
    )
    doubtful_count = 0

    def is_doubtful(first_cell: str) -> bool:
        # Count the rejected rows here, because DuckDB does not report how many it filters out.
        nonlocal doubtful_count
        doubtful_count += 1
        return True

    first = f"coalesce({quote_identifier(names[0])}, '')"
    is_one_line = f"not case when {holds_line_end} then is_doubtful({first}) else false end"

    with store.open_connection(settings.landing_dir(), threads=1) as connection:
        connection.create_function("is_doubtful", is_doubtful, ["varchar"], "boolean")
        try:
            connection.execute(f"""
                copy (
                    select {texts or "null"}
                    from read_csv(
                        {quote_literal(escape_globs(path))},
                        auto_detect = false, columns = {{{columns}}}, header = true,
                        delim = {quote_literal(delimiter)}, quote = '"', escape = '"',
                        compression = 'none', store_rejects = true
                    )
                    where {"true" if register.multiline else is_one_line}
                ) to {quote_literal(target)} (format parquet, compression zstd)
                """)
            rejected_path = target.with_name("rejected.parquet")
            _write_rejected_rows(
                connection, path, delimiter, doubtful_count, rejected_path, register
            )
        except duckdb.IOException as error:
            raise OSError(errno.EIO, str(error).splitlines()[0]) from error
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise FileFault(
                f"the file cannot be read as CSV ({reason}). Correct the file, or deliver Parquet."
            ) from error
    utf_8_path.unlink(missing_ok=True)
    return (
        encoding,
        formats.DELIMITERS[delimiter],
        [name for name in names if name not in stored_columns],
    )


def _read_column_names(top: str, delimiter: str, register: Register) -> list[str]:
    """Return unique column names from the header, numbering unnamed and repeated columns."""
    header = next(csv.reader(io.StringIO(top, newline=""), delimiter=delimiter))
    if any(re.search(r"[\r\n]", name) for name in header):
        raise FileFault(
            "the header contains a stray quotation mark or a line break. Correct the header,"
            " or ask the provider for the file again.",
            row=1,
        )
    names: list[str] = []
    for position, delivered in enumerate(header, start=1):
        name = formats.clean_text(delivered)
        if name in register.columns and name in names:
            raise FileFault(
                "two columns have this name. Ask the provider which one is meant.",
                row=1,
                column=name,
            )
        # Compare names without case, because column names are case-insensitive in DuckDB.
        used_names = {other.casefold() for other in names}
        if not name or name.casefold() in used_names:
            name = f"column {position} {name}".strip()
            while name.casefold() in used_names:
                name += "_"
        names.append(name)
    return names


def _write_rejected_rows(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    delimiter: str,
    doubtful_count: int,
    target: Path,
    register: Register,
) -> None:
    """Write the CSV records that DuckDB could not parse to a Parquet file, with reasons."""
    ragged_condition = "error_type in ('MISSING COLUMNS', 'TOO MANY COLUMNS')"
    # Errors other than a wrong number of fields may make DuckDB skip later records.
    errors = connection.execute(
        f"select line, error_message from reject_errors where not {ragged_condition} limit 1"
    ).fetchall()
    if errors:
        ((row, message),) = errors
        reason = message.splitlines()[0]
        raise FileFault(
            f"the line cannot be read as CSV ({reason}). Correct the line, or deliver Parquet.",
            row=row,
        )
    line = "trim(csv_line, chr(10) || chr(13))"
    multiline_query = (
        f"select 1 from reject_errors where regexp_matches({line}, '[\\n\\r]') limit 1"
    )
    doubtful_rows = []
    if doubtful_count or (
        not register.multiline and connection.execute(multiline_query).fetchall()
    ):
        doubtful_rows = list(_find_doubtful_lines(path, delimiter))
        ragged_rows = {
            row
            for (row,) in connection.execute("select distinct line from reject_errors").fetchall()
        }
        if len({line["record"] for line in doubtful_rows} - ragged_rows) != doubtful_count:
            raise FileFault(
                "the quotation marks in the file are ambiguous. Correct the file, or"
                " deliver Parquet."
            )
    elif not connection.execute("select 1 from reject_errors limit 1").fetchall():
        return
    connection.register(
        "doubtful_lines", pa.Table.from_pylist(doubtful_rows, schema=DOUBTFUL_SCHEMA)
    )
    connection.execute(f"""
        copy (
            with ragged as (
                select
                    line as record,
                    any_value({line}) as value,
                    -- one error for each field that is missing or too many
                    regexp_replace(
                        case
                            when any_value(error_type) = 'MISSING COLUMNS'
                                then min_by(error_message, column_idx)
                            else max_by(error_message, column_idx)
                        end,
                        '\\D*(\\d+)\\D+(\\d+).*', 'expected \\1 fields, found \\2'
                    ) as reason
                from reject_errors
                where line not in (select record from doubtful_lines)
                group by line
            ),
            -- each line of a doubtful record is one row, so that those below are further down
            shifts as (
                select record, max(row_number) - record as shift from doubtful_lines group by record
            ),
            numbered as (
                select
                    ragged.record + coalesce(shifts.shift, 0) as row_number,
                    ragged.value,
                    ragged.reason
                from ragged asof left join shifts on ragged.record > shifts.record
                union all
                select row_number, value, reason from doubtful_lines
            )
            select
                cast(null as varchar) as sheet_name,
                cast(row_number as bigint) as row_number,
                cast(null as varchar) as column_name,
                {"cast(null as varchar) as value" if register.personal else "value"},
                reason
            from numbered
            order by row_number
        ) to {quote_literal(target)} (format parquet, compression zstd)
        """)


def _find_doubtful_lines(path: Path, delimiter: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of CSV records that span several lines, with row number and reason."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for record, (first, lines, _) in enumerate(
            quotation.read_records(file, delimiter), start=1
        ):
            doubtful = quotation.DoubtfulLines(first, lines)
            for row, line in enumerate(lines if len(lines) > 1 else [], first):
                if formats.clean_text(line):
                    values = (record, row, line, doubtful.reason)
                    yield dict(zip(DOUBTFUL_SCHEMA.names, values, strict=True))


def _describe_rows(rows: Path, register: Register, left_out: list[str]) -> dict[str, Any]:
    """Return the metadata of a stored register file, such as its number of rows.

    Raises
    ------
    FileFault
        If it is not a Parquet file, or lacks a declared column that is not optional.
    """
    table = f"read_parquet({quote_literal(escape_globs(rows))})"
    with store.open_connection(settings.landing_dir(), threads=1) as connection:
        try:
            names = connection.sql(f"from {table}").columns
            (count,) = connection.execute(f"select count(*) from {table}").fetchone() or (0,)
            texts = [name for name in names if count and register.columns.get(name) == "text"]
            marks = [name for name in texts if _is_marked_synthetic(connection, table, name)]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise FileFault(
                f"the file cannot be read as Parquet ({reason}). Ask the provider for the file"
                " again."
            ) from error
    missing = ", ".join(
        name for name in register.columns if name not in names and name not in register.optional
    )
    if missing:
        present = ", ".join(names)
        raise FileFault(
            f"the file lacks the columns {missing}; its columns are {present}. Ask the provider for"
            " the missing columns."
        )
    rejected_path = rows.with_name("rejected.parquet")
    rejected_count = pq.read_metadata(rejected_path).num_rows if rejected_path.is_file() else 0
    return {
        "record_count": count + rejected_count,
        "landed_row_count": count,
        "rejected_row_count": rejected_count,
        "columns_not_read": (
            ", ".join([*(name for name in names if name not in register.columns), *left_out])
            or None
        ),
        "synthetic": bool(marks),
    }


def _is_marked_synthetic(connection: duckdb.DuckDBPyConnection, table: str, name: str) -> bool:
    """Return whether every row contains "synthetic" in a column, as generated data do."""
    condition = f"coalesce(contains({quote_identifier(name)}, 'synthetic'), false)"
    query = f"from {table} where not {condition} limit 1"
    return connection.execute(query).fetchone() is None
