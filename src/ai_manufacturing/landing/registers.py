"""Registers: files of tens of millions of rows, hashed as a stream and kept once, as Parquet, in the landing store.

They are declared as `[[registers]]` beside the other sources of a provider. No cell is judged here: staging does that
in SQL, and what it sets aside is counted per file and reason.
"""

import csv
import errno
import hashlib
import io
import json
import shutil
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ai_manufacturing import settings
from ai_manufacturing.landing import containers, formats, quotation, store
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import FileFault, LandingError
from ai_manufacturing.landing.extracts import DeliveredFile, is_utf_8
from ai_manufacturing.sql_text import identifier, literal, one_file

TYPES = {"text": pa.string(), "date": pa.date32()}
LANDED_COLUMNS_SCHEMA = pa.schema(
    [
        ("entity", pa.string()),
        ("position", pa.int64()),
        ("column_name", pa.string()),
        ("store_key", pa.string()),
        ("landed_type", pa.string()),
    ]
)
DOUBTFUL_SCHEMA = pa.schema(
    [("record", pa.int64()), ("row_number", pa.int64()), ("value", pa.string()), ("reason", pa.string())]
)
REQUIRED = {"name", "entity", "files", "columns"}


@dataclass(frozen=True)
class Register(Source):
    """One kind of register file; `optional` names the columns that a file may lack."""

    optional: tuple[str, ...] = ()


def declared() -> list[Register]:
    """Read the `[[registers]]` of all providers.

    Returns
    -------
    list of Register
        By provider, then in the order of the file.

    Raises
    ------
    LandingError
        With one line for each declaration that cannot be understood.
    """
    found: list[Register] = []
    faults: list[str] = []
    for path in sorted((settings.project_root() / "models" / "staging").glob("*/*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("registers", []):
            wrong = _fault(entry)
            if wrong:
                faults.append(f"{path.parent.name}/{path.name}, register {entry.get('name', '?')}: {wrong}.")
                continue
            named = {name: entry[name] for name in REQUIRED}
            optional = tuple(entry.get("optional", ()))
            found.append(Register(provider=path.parent.name, file_name=None, key=(), optional=optional, **named))
    if faults:
        raise LandingError(faults)
    return found


def land(file: DeliveredFile, register: Register, folder: Path) -> dict[str, Any] | str:
    """Land a register file, unless the store has it. Memory does not grow with the file.

    Parameters
    ----------
    file : DeliveredFile
        The file.
    register : Register
        Its declaration.
    folder : Path
        The landing store.

    Returns
    -------
    dict or str
        Its path, SHA-256, size and place in the store, or the line that says what is wrong with it.
    """
    if file.member is not None:
        return f"{file.file_path}: a register is not read from an archive. Unpack the file."
    try:
        before = _version(file.path)
        with file.path.open("rb") as content:
            delivery_id = hashlib.file_digest(content, "sha256").hexdigest()
        store_key = store.key(delivery_id, register, {})
        if not store.holds(folder, store_key):
            _store(file, register, folder / store_key, before)
        size = file.path.stat().st_size
    except FileFault as fault:
        return fault.line(file.file_path)
    except OSError as error:
        return (
            f"{file.file_path}: cannot be read, or stored in {folder} ({error.strerror}). Make room there, or correct "
            "its permissions."
        )
    return {"file_path": file.file_path, "delivery_id": delivery_id, "size_bytes": size, "store_key": store_key}


def _version(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _refuse_another(path: Path, version: tuple[int, int, int]) -> None:
    """Raise if the file changed while it was read."""
    if _version(path) != version:
        raise FileFault("the file changed while it was read. Build again when its delivery is complete.")


def declared_path(entity: str) -> str:
    """Return, as DuckDB reads it, a Parquet file without rows that has all columns declared for an entity.

    Read first, it gives SQL the columns that no file has, and an empty table where no file was delivered.
    """
    columns = {
        name: kind for register in declared() if register.entity == entity for name, kind in register.columns.items()
    }
    schema = pa.schema([(name, TYPES[kind]) for name, kind in columns.items()])
    digest = hashlib.sha256(json.dumps([*columns.items()], ensure_ascii=False).encode()).hexdigest()
    path = settings.landing_dir() / f"{entity}_{digest[:16]}.parquet"
    if not path.is_file():
        with store.held(path.parent):
            store.replace(path, schema.empty_table(), path.parent)
    return one_file(path)


def landed_columns(deliveries: pa.Table) -> pa.Table:
    """Return one row per landed register file and column declared for its entity, and one per column without a file.

    The type is that of the file, null where the file lacks the column; without a file it is the declared one.
    """
    folder = settings.landing_dir()
    declarations = declared()
    rows = []
    for entity in dict.fromkeys(register.entity for register in declarations):
        kinds: dict[str, str] = {}
        for register in declarations:
            kinds |= register.columns if register.entity == entity else {}
        keys = [row["store_key"] for row in deliveries.to_pylist() if row["entity"] == entity]
        for store_key in dict.fromkeys([None, *keys]):
            types = {name: TYPES[kind] for name, kind in kinds.items()}
            if store_key:
                types = {field.name: field.type for field in pq.read_schema(store.rows_path(folder, store_key))}
            rows += [
                {
                    "entity": entity,
                    "position": position,
                    "column_name": name,
                    "store_key": store_key,
                    "landed_type": str(types[name]) if name in types else None,
                }
                for position, name in enumerate(kinds)
            ]
    return pa.Table.from_pylist(rows, schema=LANDED_COLUMNS_SCHEMA)


def landed_path(store_key: str) -> str:
    """Return the Parquet file of a landed register file, as DuckDB reads it."""
    return one_file(settings.landing_dir() / store_key / "rows.parquet")


def _fault(entry: dict[str, Any]) -> str | None:
    missing, unknown = sorted(REQUIRED - entry.keys()), sorted(entry.keys() - REQUIRED - {"optional", "provenance"})
    if missing or unknown:
        return f"settings missing: {missing}, unknown: {unknown}"
    wrong = sorted(set(entry["columns"].values()) - TYPES.keys())
    if wrong:
        return f"columns of type {', '.join(wrong)}, not one of {', '.join(TYPES)}"
    undeclared = sorted(set(entry.get("optional", ())) - entry["columns"].keys())
    return f"[registers.columns] lacks {', '.join(undeclared)}, which optional names" if undeclared else None


def _store(file: DeliveredFile, register: Register, final: Path, version: tuple[int, int, int]) -> None:
    """Put a file into the store as Parquet; whoever comes second to the same key leaves what the first one wrote."""
    with file.path.open("rb") as content:
        head = content.read(2**10)
    if not head:
        raise FileFault("the file is empty. Ask the provider for the file again.")
    if containers.is_gzip(head) or containers.is_zip(head):
        raise FileFault("a register is not read from an archive or a workbook. Deliver CSV or Parquet, unpacked.")
    file_format = formats.detect(head)
    if file_format not in ("csv", "parquet"):
        raise FileFault(f"the content is {file_format.upper()}; a register is read from CSV and Parquet. Convert it.")
    folder = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
    store.make_folder(folder, final.parent)
    try:
        rows = folder / "rows.parquet"
        encoding = delimiter = None
        if file_format == "parquet":
            # a copy, not a link: what is written to the delivered file later must not reach the store
            shutil.copyfile(file.path, rows)
        else:
            encoding, delimiter = _convert(file.path, rows, register)
        record = {
            "file_format": file_format,
            "compression": None,
            "encoding": encoding,
            "delimiter": delimiter,
        } | _describe(rows, register)
        (folder / "delivery.json").write_text(json.dumps(record, ensure_ascii=False, indent=2), encoding="utf-8")
        _refuse_another(file.path, version)
        store.keep(folder, final)
    except (OSError, FileFault):
        shutil.rmtree(folder)
        if not store.holds(final.parent, final.name):
            raise


def _convert(path: Path, target: Path, register: Register) -> tuple[str, str]:
    """Turn CSV into Parquet with all columns as text, empty cells as null; return its encoding and delimiter.

    Records of another number of fields, and those that a stray quotation mark makes of many, are written beside it, as
    rejected.parquet, if there are any.
    """
    with path.open("rb") as content:
        encoding = formats.encoding_of(content)
        top = next(formats.decoded(content, encoding))
        mark = formats.delimiter_of(top, [*register.columns])
        names = _names(top, mark, register)
        beside = target.with_name("rows.csv")
        if encoding not in ("utf-8", "utf-8-sig"):
            # DuckDB reads UTF-8 only
            with beside.open("w", encoding="utf-8", newline="") as recoded:
                recoded.writelines(formats.decoded(content, encoding))
            path = beside
        elif not is_utf_8(str(path)):
            # and takes paths in UTF-8 only
            beside.symlink_to(path.resolve())
            path = beside
    columns = ", ".join(f"{literal(name)}: 'varchar'" for name in names)
    holds_line_end = " or ".join(
        f"contains({identifier(name)}, {end})" for name in names for end in ("chr(10)", "chr(13)")
    )
    cells = ", ".join(map(identifier, names))
    doubted = 0

    def is_doubtful(cells: list[str | None]) -> bool:
        nonlocal doubted
        found = quotation.is_doubtful(cells, mark, len(names))
        doubted += found
        return found

    with store.connection(settings.landing_dir(), threads=1) as connection:
        connection.create_function("is_doubtful", is_doubtful, ["varchar[]"], "boolean")
        try:
            connection.execute(
                f"""
                copy (
                    select nullif(trim(columns(*), {literal(formats.BLANKS)}), '')
                    from read_csv(
                        {literal(one_file(path))}, auto_detect = false, columns = {{{columns}}}, header = true,
                        delim = {literal(mark)}, quote = '"', escape = '"', compression = 'none', store_rejects = true
                    )
                    where not case when {holds_line_end} then is_doubtful([{cells}]) else false end
                ) to {literal(target)} (format parquet, compression zstd)
                """
            )
            _set_aside(connection, path, mark, len(names), doubted, target.with_name("rejected.parquet"))
        except duckdb.IOException as error:
            raise OSError(errno.EIO, str(error).splitlines()[0]) from error
        except duckdb.Error as error:
            first = str(error).splitlines()[0]
            raise FileFault(f"not a CSV file ({first}). Correct it, or deliver Parquet.") from error
    has_others = target.with_name("rejected.parquet").is_file()
    quotation.check_header(names, mark, pq.read_metadata(target).num_rows > 0, has_others)
    beside.unlink(missing_ok=True)
    return encoding, formats.DELIMITERS[mark]


def _names(top: str, mark: str, register: Register) -> list[str]:
    """Return the names of a header, each once; a column without a name has its position."""
    header = next(csv.reader(io.StringIO(top, newline=""), delimiter=mark))
    if quotation.is_doubtful(header, mark, len(header)):
        raise FileFault("a stray quotation mark in the header. Correct it, or ask for the file again.", row=1)
    names: list[str] = []
    for position, name in enumerate(map(formats.clean, header), start=1):
        if name in register.columns and name in names:
            raise FileFault("two columns have this name. Ask the provider which one is meant.", row=1, column=name)
        # DuckDB's names do not differ by case alone
        taken = {other.casefold() for other in names}
        names.append(f"column {position} {name}".strip() if not name or name.casefold() in taken else name)
    return names


def _set_aside(
    connection: duckdb.DuckDBPyConnection, path: Path, mark: str, width: int, doubted: int, target: Path
) -> None:
    """Write the records that DuckDB's reader left out, in the columns of records.REJECTED_SCHEMA."""
    ragged = "error_type in ('MISSING COLUMNS', 'TOO MANY COLUMNS')"
    # anything else may have swallowed the records that follow
    others = connection.execute(f"select line, error_message from reject_errors where not {ragged} limit 1").fetchall()
    if others:
        ((row, message),) = others
        raise FileFault(f"not a CSV file ({message.splitlines()[0]}) Correct it, or deliver Parquet.", row=row)
    line = "trim(csv_line, chr(10) || chr(13))"
    of_lines = f"select 1 from reject_errors where regexp_matches({line}, '[\\n\\r]') limit 1"
    doubtful = []
    if doubted or connection.execute(of_lines).fetchall():
        doubtful = list(_doubtful_lines(path, mark, width))
        ragged_rows = {row for (row,) in connection.execute("select distinct line from reject_errors").fetchall()}
        if len({row for row, *_ in doubtful} - ragged_rows) != doubted:
            raise FileFault("its quotation marks can be read in two ways. Correct it, or deliver Parquet.")
    elif not connection.execute("select 1 from reject_errors limit 1").fetchall():
        return
    names = DOUBTFUL_SCHEMA.names
    lines = pa.Table.from_pylist([dict(zip(names, line, strict=True)) for line in doubtful], schema=DOUBTFUL_SCHEMA)
    connection.register("doubtful_lines", lines)
    connection.execute(
        f"""
        copy (
            with ragged as (
                select
                    line as record,
                    any_value({line}) as value,
                    -- one error for each field that is missing or too many
                    regexp_replace(
                        case
                            when any_value(error_type) = 'MISSING COLUMNS' then min_by(error_message, column_idx)
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
                select ragged.record + coalesce(shifts.shift, 0) as row_number, ragged.value, ragged.reason
                from ragged asof left join shifts on ragged.record > shifts.record
                union all
                select row_number, value, reason from doubtful_lines
            )
            select
                cast(null as varchar) as sheet_name,
                cast(row_number as bigint) as row_number,
                cast(null as varchar) as column_name,
                value,
                reason
            from numbered
            order by row_number
        ) to {literal(target)} (format parquet, compression zstd)
        """
    )


def _doubtful_lines(path: Path, mark: str, width: int) -> Iterator[tuple[int, int, str, str]]:
    """Yield record, row, text and reason of each line that a stray quotation mark bound to others."""
    lines: list[str] = []

    def read_lines(file: TextIO) -> Iterator[str]:
        for line in file:
            lines.append(line)
            yield line

    shift = 0
    with path.open(encoding="utf-8-sig", newline="") as file:
        for record, cells in enumerate(csv.reader(read_lines(file), delimiter=mark), start=1):
            if len(lines) > 1 and quotation.is_doubtful(cells, mark, width):
                found = quotation.Doubtful(record + shift, [line.rstrip("\r\n") for line in lines])
                for row, line in enumerate(found.lines, found.row):
                    if formats.clean(line):
                        yield record, row, line, found.reason
                shift += len(lines) - 1
            lines.clear()


def _describe(rows: Path, register: Register) -> dict[str, Any]:
    """Return what is recorded of a stored file; its columns are the declared ones, but for the optional."""
    stored = f"read_parquet({literal(one_file(rows))})"
    with store.connection(settings.landing_dir(), threads=1) as connection:
        try:
            names = [row[0] for row in connection.execute(f"describe from {stored}").fetchall()]
            (count,) = connection.execute(f"select count(*) from {stored}").fetchone() or (0,)
            texts = [name for name in names if count and register.columns.get(name) == "text"]
            marks = [name for name in texts if _says_synthetic(connection, stored, name)]
        except duckdb.Error as error:
            raise FileFault(f"not a Parquet file ({str(error).splitlines()[0]}). Ask for it again.") from error
    lacking = [name for name in register.columns if name not in names and name not in register.optional]
    if lacking:
        raise FileFault(f"columns missing: {', '.join(lacking)}. It has: {', '.join(names)}. Ask for them.")
    rejected = rows.with_name("rejected.parquet")
    set_aside = pq.read_metadata(rejected).num_rows if rejected.is_file() else 0
    return {
        "record_count": count + set_aside,
        "landed_row_count": count,
        "rejected_row_count": set_aside,
        "columns_not_read": ", ".join(name for name in names if name not in register.columns) or None,
        "synthetic": bool(marks),
    }


def _says_synthetic(connection: duckdb.DuckDBPyConnection, stored: str, name: str) -> bool:
    """Whether a column says "synthetic" in every row, as the sample does."""
    column = identifier(name)
    first = connection.execute(f"select {column} from {stored} limit 1").fetchone()
    if not first or "synthetic" not in str(first[0]):
        return False
    others = f"select 1 from {stored} where {column} is null or not contains({column}, 'synthetic')"
    return connection.execute(f"{others} limit 1").fetchone() is None
