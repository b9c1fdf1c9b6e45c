"""Export the panel, the estimates and the paper's tables to Stata, Excel, LaTeX and more.

Every file identifies its data: each row, and the file's label, sheet or note, names the extract set
and states whether it is synthetic.
"""

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from ai_manufacturing.disclosure import terms, withholding
from ai_manufacturing.releases import databases
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.system import disk, duckdb_client
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import SUBSTITUTE_MARK, Catalogue
from ai_manufacturing.tables import TableError, cells, formats
from ai_manufacturing.tables.formats import STATA_NAME_LENGTH, UNDATED, Source, Table
from ai_manufacturing.tables.formats import ExportError as ExportError

SQL = load_statements(__file__)

INCOMING = ".export.incoming"  # folder for incomplete files, inside the export folder
FOLDER = Path("build/exports")
PANEL = "panel"
# Exported tables by file name, as (name in the data dictionary, relation with sort order).
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


def export(database: Path, folder: Path, *file_formats: str) -> list[Path]:
    """Export a release or warehouse database to files in the given formats.

    Depending on the format they are the panel, estimates, specification curve and dictionary, or
    the paper's tables. Files are completed in a subfolder and then moved into place, so that a
    reader finds either the old or the new file. A lock allows one export at a time per folder;
    further exports wait.

    Parameters
    ----------
    database : Path
        A release file, or a warehouse that no process is writing to.
    folder : Path
        Folder to write to; files from an earlier export are replaced.
    *file_formats : str
        Keys of formats.FORMATS.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    DatabaseError
        If the file does not exist, or is neither a release nor a warehouse.
    ExportError
        If the warehouse is incomplete, or the folder is not writable or the disk is full.
    """
    source = _read_source(database)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with disk.lock_folder(folder, wait=True):
            return [path for name in file_formats for path in _write_files(source, folder, name)]
    except OSError as error:
        raise _make_error(folder, error) from error


def export_panel(database: Path, file_format: str) -> bytes:
    """Return the city-year panel as the content of a file in the given format.

    Parameters
    ----------
    database : Path
        As in export.
    file_format : str
        A format that writes rows or workbooks.

    Returns
    -------
    bytes
        Content of the panel file, or of a workbook with panel and dictionary.

    Raises
    ------
    DatabaseError, ExportError
        For the same reasons as export.
    """
    source = _read_source(database)
    panel_table = source.tables[0]
    if panel_table.name != PANEL:
        raise ExportError(
            f"{database} does not contain the city-year panel. Use --database to name a release"
            f" that contains the panel. {source.withheld}"
        )
    form = formats.FORMATS[file_format]
    if form.book:
        dictionary = source.tables[-1]
        panel_rows = dictionary.rows.filter(pc.field("file") == PANEL)
        return form.book(
            replace(source, tables=(panel_table, replace(dictionary, rows=panel_rows)))
        )
    content: bytes = form.rows(panel_table, source)
    return content


def describe_restriction(database: Path) -> str:
    """Return a notice on panel columns that may not be redistributed, or an empty string.

    Raises
    ------
    DatabaseError, ExportError
        For the same reasons as export.
    """
    databases.read_database(database)
    try:
        with duckdb_client.open_read_only(database) as connection:
            return _describe_columns(connection, _find_restricted_columns(connection))
    except duckdb.Error as error:
        raise _make_incomplete_error(database, error) from error


def export_table(
    database: Path,
    name: str,
    file_format: str,
    out: Path | None = None,
    siunitx: bool = False,
    **choices: Any,
) -> Path:
    """Write one of the paper's tables to a file in the given format.

    Parameters
    ----------
    database : Path
        A release file, or a warehouse that no process is writing to.
    name : str
        Name of the table, table_1 to table_6.
    file_format : str
        A key of formats.FORMATS that writes printed tables.
    out : Path or None
        File to write. The default is the export folder, with the table and format as file name.
    siunitx : bool
        Whether LaTeX aligns numbers with siunitx.
    **choices
        readings, errors, language and decimals, passed to PaperTable.prepare.

    Returns
    -------
    Path
        File written.

    Raises
    ------
    DatabaseError
        If the file does not exist, or is neither a release nor a warehouse.
    TableError
        If the table, a reading or a standard error is unknown.
    ExportError
        If the warehouse is incomplete, or the file cannot be written.
    """
    if siunitx and file_format != "latex":
        raise TableError(
            f"--siunitx applies to LaTeX, not to {file_format}. Choose --format latex, or omit"
            " --siunitx."
        )
    try:
        with duckdb_client.open_read_only(database) as connection:
            tables = cells.read_tables(
                connection, Catalogue.load().extend_from_database(connection)
            )
    except duckdb_client.LIMIT_ERRORS:
        raise
    except duckdb.Error as error:
        raise _make_incomplete_error(database, error) from error
    if name not in tables:
        names = ", ".join(tables)
        raise TableError(f"{name!r} is not a printed table. Choose from the tables {names}.")
    table, form = tables[name].prepare(**choices), formats.FORMATS[file_format]
    content = formats.latex(table, siunitx=True) if siunitx else form.printed(table)
    path = out or FOLDER / f"{name}.{form.ending}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.replace_bytes(path, formats.encode_text(content))
    except OSError as error:
        raise _make_error(path, error) from error
    return path


def _write_files(source: Source, folder: Path, file_format: str) -> list[Path]:
    """Write all files to a temporary folder, then move each into place."""
    incoming = folder / INCOMING
    shutil.rmtree(incoming, ignore_errors=True)  # remove files left behind by a killed export
    name, paths = "", []
    try:
        incoming.mkdir()
        for name, content in formats.render_files(source, file_format):
            path = incoming / name
            path.write_bytes(content)
            disk.sync(path)
            paths.append(path)
        return [path.replace(folder / path.name) for path in sorted(paths)]
    except OSError as error:
        raise _make_error(folder / name, error) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _make_error(path: Path, error: OSError) -> ExportError:
    """Return an ExportError that names the file that could not be written, and a remedy."""
    what, remedy = disk.describe_failure(error, path)
    return ExportError(
        f"{what}; the files of the earlier export are unchanged. {remedy}, or name another folder"
        " with --out."
    )


def _read_source(database: Path) -> Source:
    opened = databases.read_database(database)
    synthetic, made_at = opened.origin.is_synthetic, UNDATED
    if opened.release_id:
        published_at = read_manifest(database).published_at
        made_at = datetime.fromisoformat(published_at).replace(tzinfo=None)
    try:
        with duckdb_client.open_read_only(database) as connection:
            text = Catalogue.load().extend_from_database(connection)
            mark = f"table_mark_{opened.origin.kind}"
            dictionary = _read_dictionary(connection, synthetic)
            tables = _read_tables(connection, synthetic, dictionary)
            restricted_columns = _find_restricted_columns(connection)
            return Source(
                mark=text.format_text(mark, "en", set=opened.origin.extract_set),
                tables=(*tables, Table("data_dictionary", dictionary, {})),
                places=_read_places(connection),
                paper_tables=cells.read_tables(connection, text),
                made_at=made_at,
                withheld=_describe_withheld(connection),
                restriction=_describe_columns(connection, restricted_columns),
                restrictions={
                    column["column_name"]: f"{'; '.join(column['providers'])}"
                    f" ({column['licences']})"
                    for column in restricted_columns
                },
            )
    except TableError as error:
        raise ExportError(f"{database}: {error}") from error
    except duckdb_client.LIMIT_ERRORS:
        raise
    except duckdb.Error as error:
        raise _make_incomplete_error(database, error) from error


def _make_incomplete_error(database: Path, error: duckdb.Error) -> ExportError:
    return ExportError(
        f"{database}: the warehouse is incomplete ({str(error).splitlines()[0]}). Run `dbt build`."
    )


def _read_dictionary(connection: DuckDBPyConnection, synthetic: bool) -> pa.Table:
    """Return the data dictionary of the exported columns, in the order of the files.

    The last column of each file is is_synthetic.
    """
    values = {
        "files": [*TABLES],
        "tables": [table for table, _ in TABLES.values()],
        "stata_length": STATA_NAME_LENGTH,
        "synthetic": synthetic,
    }
    return connection.sql(SQL["dictionary"], params=values).to_arrow_table()


def _read_tables(
    connection: DuckDBPyConnection, synthetic: bool, dictionary: pa.Table
) -> list[Table]:
    labels: dict[str, dict[str, str]] = {name: {} for name in TABLES}
    for row in dictionary.to_pylist():
        labels[row["file"]][row["column_name"]] = _format_label(row)
    tables = []
    for name, (_, relation) in TABLES.items():
        query = f"select *, {synthetic} as is_synthetic from {relation}"
        rows = connection.sql(query).to_arrow_table()
        # Skip the panel if it has no numeric columns: a public copy can withhold all of them.
        if name == PANEL and not any(pa.types.is_floating(column.type) for column in rows.schema):
            continue
        tables.append(Table(name, rows, labels[name]))
    return tables


def _find_restricted_columns(connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the panel columns that may not be redistributed, with their data providers."""
    blank = [
        row["column_name"]
        for row in withholding.read_withheld_rows(connection)
        if row["table_name"] == terms.PANEL
    ]
    return duckdb_client.fetch_rows(
        connection,
        SQL["restricted_columns"],
        panel=terms.PANEL,
        blank=blank,
    )


def _describe_columns(connection: DuckDBPyConnection, columns: list[dict[str, Any]]) -> str:
    """Return a one-line notice on restricted columns, or an empty string if there are none."""
    if not columns:
        return ""
    feeding = {provider for column in columns for provider in column["providers"]}
    whose = "; ".join(
        f"{row['provider']} ({row['licence']})"
        for row in terms.read_restricted_providers(connection)
        if row["provider"] in feeding
    )
    return (
        f"{len(columns)} columns of the panel contain values that may not be passed on. They come"
        f" from {whose}. The column restricted_providers of data_dictionary lists their providers."
    )


def _format_label(column: dict[str, str]) -> str:
    """Return a column's label, marked if the column is computed from a substitute series."""
    substitution = column["substitution"]
    label = column["label_en"]
    return f"{SUBSTITUTE_MARK} {label} ({substitution})" if substitution else label


def _read_places(connection: DuckDBPyConnection) -> dict[str, dict[int, str]]:
    places = {}
    for code, name in {"city_id": "name_zh", "province_id": "province_name_zh"}.items():
        query = f"select distinct cast({code} as integer), {name} from marts.dim_city order by all"
        places[code] = dict(connection.execute(query).fetchall())
    return places


def _describe_withheld(connection: DuckDBPyConnection) -> str:
    if not withholding.read_withheld_rows(connection):
        return ""
    whose = "; ".join(
        f"{row['provider']} ({row['licence']}), from {row['whence']}"
        for row in terms.read_restricted_providers(connection)
    )
    return (
        "Withheld: values of single cities that may not be passed on. Obtain them from their"
        f" providers: {whose}."
    )
