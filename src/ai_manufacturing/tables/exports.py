"""The panel, the estimates and the paper's tables as files for Stata, R, Excel and LaTeX.

Whoever opens a file sees what it was made of: each row says which extract set it is of and whether
that is synthetic, and so does the label, sheet or note of the file.
"""

import io
import re
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

from ai_manufacturing import terms
from ai_manufacturing.releases import databases, lock
from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.releases.origin import SYNTHETIC
from ai_manufacturing.system import disk, duckdb_client
from ai_manufacturing.system.disk import sync
from ai_manufacturing.tables import PaperTable, TableError, cells, formats
from ai_manufacturing.text import MARK, Catalogue

# In the folder that is exported to: who writes there, and what is not finished.
LOCK, INCOMING = ".export.lock", ".export.incoming"
FOLDER = Path("build/exports")
WAY_OUT = "Name a folder with --out that this user may write to."
PANEL = "panel"
TABLES = {
    PANEL: ("fct_city_year_panel", "marts.fct_city_year_panel order by city_id, year"),
    "estimates": (
        "rpt_coefficients",
        "reports.rpt_coefficients order by specification_id, term_order, term",
    ),
    "specification_curve": (
        "est_specification_curve",
        "estimates.est_specification_curve order by all",
    ),
}
# Columns of the dictionary that say where a series is from.
PROVENANCE = (
    *("provenance_class", "publisher", "republished_by", "licence", "is_interpolated"),
    *("citation_en", "citation_zh", "source_links"),
)
# What a spreadsheet takes for a formula, full-width forms included (OWASP, CSV injection).
FORMULA = re.compile(r"^[=+\-@\t\r\n＝＋－＠]")
UNDATED = datetime(1960, 1, 1)
STATA_NAME_LENGTH = 32
STATA_LABEL_LENGTH = 80
# Words that are categories: numbers with value labels in Stata, as its factor variables need them.
STATA_CATEGORIES = ("region", "estimator", "transform", "status", "covariance")


class ExportError(Exception):
    """A file cannot be exported from."""


@dataclass(frozen=True)
class Table:
    """One table to write.

    Attributes
    ----------
    name : str
        Name of the file or sheet.
    rows : pyarrow.Table
        The rows, with the column is_synthetic at the end.
    labels : dict of str to str
        What a column is, in English, by column.
    """

    name: str
    rows: pa.Table
    labels: dict[str, str]


@dataclass(frozen=True)
class Source:
    """What is exported.

    Attributes
    ----------
    mark : str
        One sentence: whose numbers these are.
    tables : tuple of Table
        Panel, estimates, and the dictionary of their columns.
    places : dict of str to dict of int to str
        Chinese names of the codes in city_id and province_id.
    paper_tables : dict of str to PaperTable
        Tables 1 to 6 with all their readings, by name.
    made_at : datetime
        When the release was published, UTC: an export of one release has the same bytes at any
        time.
    withheld : str
        What of it may not be passed on and is not here, as a sentence.
    """

    mark: str
    tables: tuple[Table, ...]
    places: dict[str, dict[int, str]]
    paper_tables: dict[str, PaperTable]
    made_at: datetime = UNDATED
    withheld: str = ""


def export(database: Path, folder: Path, *file_formats: str) -> list[Path]:
    """Write panel and estimates, or for LaTeX the paper's tables, from a release or a built warehouse.

    Each file is finished elsewhere in the folder and moved into place, so that a reader finds the
    old or the new one. One export at a time writes to a folder; another waits.

    Parameters
    ----------
    database : Path
        A release file, or a warehouse that no process writes to.
    folder : Path
        Where to write; files of an earlier export are replaced.
    *file_formats : str
        Keys of FORMATS.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    DatabaseError
        If the file is not there, or is no release and no warehouse.
    ExportError
        If the warehouse was not built to the end, or the folder cannot be written to or has no
        room.
    """
    source = _read(database)
    with suppress(
        OSError
    ):  # the lock says what is wrong; a folder of exports is as open as the user's umask makes it
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock.held(folder / LOCK, wait=True, way_out=WAY_OUT):
            return [path for name in file_formats for path in _write(source, folder, name)]
    except BadConfigurationError as error:
        raise ExportError(str(error)) from error
    except OSError as error:  # of the lock
        raise _refused(folder, error) from error


def panel(database: Path, file_format: str) -> bytes:
    """Return the panel's file of an export, one row per city and year.

    Parameters
    ----------
    database : Path
        As in export.
    file_format : str
        csv, parquet or dta: a format with a file for each table.

    Returns
    -------
    bytes
        The file that export writes as panel.

    Raises
    ------
    DatabaseError, ExportError
        As export does.
    """
    source = _read(database)
    only = replace(source, tables=tuple(table for table in source.tables if table.name == PANEL))
    if not only.tables:
        raise ExportError(
            f"{database}: no panel. {source.withheld} Name a release that holds them with"
            " --database."
        )
    with tempfile.TemporaryDirectory() as folder:
        (path,) = FORMATS[file_format](only, Path(folder))
        return path.read_bytes()


def export_table(
    database: Path,
    name: str,
    file_format: str,
    out: Path | None = None,
    siunitx: bool = False,
    **choices: Any,
) -> Path:
    """Write one table of the paper with a choice of readings and errors.

    Parameters
    ----------
    database : Path
        A release file, or a warehouse that no process writes to.
    name : str
        table_1 to table_6.
    file_format : str
        A key of tables.formats.FORMATS.
    out : Path or None
        The file. Default: by name and format, in the folder of exports.
    siunitx : bool
        Whether LaTeX aligns numbers with siunitx.
    **choices
        readings, errors, language and decimals, as PaperTable.chosen takes them.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    DatabaseError
        If the file is not there, or is no release and no warehouse.
    TableError
        If there is no such table, reading or error.
    ExportError
        If the warehouse was not built to the end, or the file cannot be written.
    """
    if siunitx and file_format != "latex":
        raise TableError(
            f"siunitx is of LaTeX, not of {file_format}. Choose --format latex, or leave it out."
        )
    try:
        with duckdb_client.connect(str(database), read_only=True) as connection:
            tables = cells.read(connection, Catalogue.read().with_labels_of(connection))
    except duckdb.Error as error:
        raise _incomplete(database, error) from error
    if name not in tables:
        raise TableError(f"{name!r} is no printed table. Choose from {', '.join(tables)}.")
    table = tables[name].chosen(**choices)
    ending, write = formats.FORMATS[file_format]
    content = formats.latex(table, siunitx=True) if siunitx else write(table)
    path = out or FOLDER / f"{name}.{ending}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.replace_bytes(path, content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise _refused(path, error) from error
    return path


def _write(source: Source, folder: Path, file_format: str) -> list[Path]:
    """Finish all files, then move each into place."""
    incoming = folder / INCOMING
    shutil.rmtree(incoming, ignore_errors=True)  # of an export that was killed
    name = ""
    try:
        incoming.mkdir()
        for path in FORMATS[file_format](source, incoming):
            name = path.name
        finished = sorted(incoming.iterdir())
        for path in finished:
            name = path.name
            sync(path)
        return [path.replace(folder / path.name) for path in finished]
    except OSError as error:
        raise _refused(folder / name, error) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _refused(path: Path, error: OSError) -> ExportError:
    """Say which file the disk refuses, and what to do."""
    return ExportError(
        f"{path}: {disk.reason(error)}; the files of the earlier export are unchanged. "
        "Make room, or name another folder with --out."
    )


def _read(database: Path) -> Source:
    read = databases.read(database)
    synthetic = read.origin.kind == SYNTHETIC
    try:
        with duckdb_client.connect(str(database), read_only=True) as connection:
            text = Catalogue.read().with_labels_of(connection)
            mark = text.plain(
                "table_mark_synthetic" if synthetic else "table_mark_delivered",
                "en",
                set=read.origin.extract_set,
            )
            dictionary = _dictionary(connection, synthetic)
            return Source(
                mark=mark,
                tables=(
                    *_tables(connection, synthetic, dictionary),
                    Table("data_dictionary", dictionary, {}),
                ),
                places=_places(connection),
                paper_tables=cells.read(connection, text),
                made_at=(
                    datetime.fromisoformat(read_manifest(database).published_at).replace(
                        tzinfo=None
                    )
                    if read.release_id
                    else UNDATED
                ),
                withheld=_withheld(connection),
            )
    except TableError as error:
        raise ExportError(f"{database}: {error}") from error
    except duckdb.Error as error:
        raise _incomplete(database, error) from error


def _incomplete(database: Path, error: duckdb.Error) -> ExportError:
    return ExportError(
        f"{database}: the warehouse is incomplete ({str(error).splitlines()[0]}). Run `dbt build`."
    )


def _dictionary(connection: duckdb.DuckDBPyConnection, synthetic: bool) -> pa.Table:
    """Return the dictionary of the exported columns, in the order of the files.

    Each has is_synthetic at its end.
    """
    listed = ", ".join(
        f"({number}, '{name}', '{table}')"
        for number, (name, (table, _)) in enumerate(TABLES.items())
    )
    return connection.sql(f"""
        with files as (select * from (values {listed}) as f (file_number, file, table_name)),
        columns as (
            select f.file_number, f.file, d.* from marts.data_dictionary as d inner join files as f using (table_name)
            union all by name
            select file_number, file, 'is_synthetic' as column_name, 'boolean' as data_type,
                'Whether the numbers are synthetic' as label_en, '数值是否为合成' as label_zh,
                'Whether the numbers are synthetic.' as description_en, '数值是否为合成' as description_zh,
                'extract_set.yml' as source, 0 as missing_share,
                (select any_value(extract_set) from marts.data_dictionary) as extract_set
            from files
        )
        select file, column_name, left(column_name, {STATA_NAME_LENGTH}) as stata_name, data_type, unit, label_en,
            label_zh, substitution, description_en, description_zh, source, {", ".join(PROVENANCE)}, first_year,
            last_year, missing_share, extract_set, {synthetic} as is_synthetic
        from columns order by file_number, column_number nulls last
        """).to_arrow_table()


def _tables(
    connection: duckdb.DuckDBPyConnection, synthetic: bool, dictionary: pa.Table
) -> list[Table]:
    described = dictionary.select(["file", "column_name", "label_en", "substitution"]).to_pylist()
    blank = {
        row["column_name"] for row in terms.withheld(connection) if row["table_name"] == terms.WIDE
    }
    found = []
    for name, (_, relation) in TABLES.items():
        rows = connection.sql(
            f"select *, {synthetic} as is_synthetic from {relation}"
        ).to_arrow_table()
        if name == PANEL and blank:
            rows = rows.drop_columns(list(blank))
            valued = {*rows.column_names} - {*terms.KEYS[terms.WIDE], "is_synthetic"}
            if all(rows[column].null_count == rows.num_rows for column in valued):
                continue
        labels = {row["column_name"]: _label(row) for row in described if row["file"] == name}
        found.append(
            Table(
                name,
                rows,
                {column: labels[column] for column in rows.column_names if column in labels},
            )
        )
    return found


def _withheld(connection: duckdb.DuckDBPyConnection) -> str:
    if not terms.withheld(connection):
        return ""
    whose = "; ".join(
        f"{row['provider']} ({row['licence']}), from {row['whence']}"
        for row in terms.restricted(connection)
    )
    return (
        "Withheld: values of single cities that may not be passed on. Obtain them from their"
        f" providers: {whose}."
    )


def _label(column: dict[str, str]) -> str:
    """Return what a column is here, marked where a substitute feeds it."""
    substitution = column["substitution"]
    return f"{MARK} {column['label_en']} ({substitution})" if substitution else column["label_en"]


def _places(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[int, str]]:
    rows = connection.execute(
        "select city_id, name_zh, province_id, province_name_zh from marts.dim_city"
    ).fetchall()
    return {
        "city_id": {int(city): name for city, name, _, _ in rows},
        "province_id": {int(province): name for _, _, province, name in rows},
    }


# ---------------------------------------------------------------- files of rows


def _parquet(source: Source, folder: Path) -> Iterator[Path]:
    for table in source.tables:
        fields = [
            (
                field.with_metadata({"label": table.labels[field.name]})
                if field.name in table.labels
                else field
            )
            for field in table.rows.schema
        ]
        path = folder / f"{table.name}.parquet"
        yield path
        pq.write_table(
            table.rows.cast(pa.schema(fields, metadata={"description": source.mark})), path
        )


def _csv(source: Source, folder: Path) -> Iterator[Path]:
    for table in source.tables:
        frame = (
            table.rows.to_pandas()
        )  # numbers with gaps are doubles, which hold all integers up to 2^53
        for name in _text_columns(table):
            frame[name] = frame[name].str.replace(FORMULA, r"'\g<0>", regex=True)
        path = folder / f"{table.name}.csv"
        yield path
        # The byte order mark tells Excel that the Chinese names are UTF-8.
        frame.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")


def _xlsx(source: Source, folder: Path) -> Iterator[Path]:
    path = folder / "ai_manufacturing.xlsx"
    yield path
    content = (
        io.BytesIO()
    )  # a zip file that is written to a full disk fails once more when it is let go
    with xlsxwriter.Workbook(content, formats.WORKBOOK) as workbook:
        workbook.set_properties({"created": source.made_at})
        about = workbook.add_worksheet("about")
        about.set_column(0, 0, STATA_LABEL_LENGTH)
        where = f"What the columns are, and what substitutes ({MARK}): sheet data_dictionary."
        about.write_column(0, 0, [source.mark, where, *filter(None, [source.withheld])])
        for table in source.tables:
            sheet = workbook.add_worksheet(table.name)
            sheet.freeze_panes(1, 0)
            sheet.autofilter(0, 0, table.rows.num_rows, table.rows.num_columns - 1)
            for number, name in enumerate(table.rows.column_names):
                sheet.write_column(0, number, [name, *table.rows[name].to_pylist()])
                if name in table.labels:
                    sheet.write_comment(0, number, table.labels[name])
    path.write_bytes(content.getbuffer())


def _stata(source: Source, folder: Path) -> Iterator[Path]:
    for table in source.tables:
        frame = (
            table.rows.to_pandas()
        )  # numbers with gaps are doubles, which hold all integers up to 2^53
        value_labels: dict[str, dict[float, str]] = {}
        for name in frame.columns:
            if name in source.places:
                frame[name] = frame[name].astype("int32")
                value_labels[name] = dict(source.places[name].items())
            elif pa.types.is_boolean(table.rows.schema.field(name).type):
                frame[name] = frame[name].astype("boolean").astype("Float32")
                value_labels[name] = {0: "no", 1: "yes"}
            elif name in STATA_CATEGORIES and len(frame):  # pandas refuses categories of nothing
                frame[name] = frame[name].astype("category")
            elif name in _text_columns(table):
                frame[name] = frame[name].fillna("").astype("object")
        short = {name: name[:STATA_NAME_LENGTH] for name in frame.columns}
        if len(set(short.values())) < len(short):
            raise ExportError(
                f"{table.name}: two columns have the same name when cut to Stata's"
                f" {STATA_NAME_LENGTH} letters. Rename one."
            )
        path = folder / f"{table.name}.dta"
        yield path
        frame.rename(columns=short).to_stata(
            path,
            write_index=False,
            version=118,
            time_stamp=source.made_at,
            data_label=source.mark[:STATA_LABEL_LENGTH],
            variable_labels={
                short[name]: textwrap.shorten(label, STATA_LABEL_LENGTH, placeholder=" …")
                for name, label in table.labels.items()
            },
            value_labels={short[name]: labels for name, labels in value_labels.items()},
        )


def _text_columns(table: Table) -> list[str]:
    return [field.name for field in table.rows.schema if pa.types.is_string(field.type)]


# ---------------------------------------------------------------- the paper's tables


def _latex(source: Source, folder: Path) -> Iterator[Path]:
    for name, table in source.paper_tables.items():
        path = folder / f"{name}.tex"
        yield path
        path.write_text(formats.latex(table.chosen()), encoding="utf-8")


# Each yields a file before it writes it, so that what goes wrong has a name.
FORMATS: dict[str, Callable[[Source, Path], Iterator[Path]]] = {
    "parquet": _parquet,
    "csv": _csv,
    "xlsx": _xlsx,
    "dta": _stata,
    "latex": _latex,
}
