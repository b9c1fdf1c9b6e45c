"""The panel, the estimates and the paper's tables as files for Stata, R, Excel and LaTeX.

Whoever opens a file sees what it was made of: each row says which extract set it is of and whether that is synthetic,
and so does the label, sheet or note of the file.
"""

import errno
import io
import re
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter

from ai_manufacturing import databases, duckdb_client
from ai_manufacturing.durable import sync
from ai_manufacturing.releases import lock
from ai_manufacturing.releases.errors import BadConfigurationError

# In the folder that is exported to: who writes there, and what is not finished.
LOCK, INCOMING = ".export.lock", ".export.incoming"
WAY_OUT = "Name a folder with --out that this user may write to."
PANEL = "panel"
TABLES = {
    PANEL: ("fct_city_year_panel", "marts.fct_city_year_panel order by city_id, year"),
    "estimates": ("rpt_coefficients", "reports.rpt_coefficients order by specification_id, term_order, term"),
    "specification_curve": ("est_specification_curve", "estimates.est_specification_curve order by all"),
}
# Columns of the dictionary that say where a series is from.
PROVENANCE = (
    "provenance_class",
    "publisher",
    "republished_by",
    "licence",
    "is_interpolated",
    "citation_en",
    "citation_zh",
)
PAPER_TABLES = {
    1: "AI in manufacturing and GDP",
    2: "AI in manufacturing and secondary value added",
    3: "AI in manufacturing and employment",
    4: "AI in manufacturing and GDP: robustness",
    5: "Industrial structure and AI firms: event study",
    6: "Industrial structure and AI patents: event study",
}
# Kinds of lines of a printed table (printed_lines.csv) that are notes below it.
LINES_OF_PROSE = ("substitutions", "mechanical", "warnings", "not_estimable")
SUBSTITUTED = "†"
TAKEN_AWAY = "‡"  # macros/stars.sql
# Names of the database's own, which a printed table has no use for; the file says the specifications in a comment.
LINES_OF_NAMES = ("outcome", "specification")
# What a spreadsheet takes for a formula, full-width forms included (OWASP, CSV injection).
FORMULA = re.compile(r"^[=+\-@\t\r\n＝＋－＠]")
STATA_NAME_LENGTH = 32
LATEX_HEADING_WIDTH = 14
LATEX_ESCAPES = {char: rf"\{char}" for char in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    SUBSTITUTED: r"$^{\dagger}$",
    TAKEN_AWAY: r"$^{\ddagger}$",
    "<": "$<$",
    ">": "$>$",
}
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
    paper_tables : dict of int to pandas.DataFrame
        Tables 1 to 6 in the words of the report, by kind of line; the columns are its headings.
    errors : dict of int to str
        What the errors of a table of the paper are: clustered by city.
    is_synthetic : bool
        Whether the numbers are synthetic.
    """

    mark: str
    tables: tuple[Table, ...]
    places: dict[str, dict[int, str]]
    paper_tables: dict[int, pd.DataFrame]
    errors: dict[int, str] = field(default_factory=dict)
    is_synthetic: bool = False


def export(database: Path, folder: Path, file_format: str) -> list[Path]:
    """Write panel and estimates, or for LaTeX the paper's tables, from a release or a built warehouse.

    Each file is finished elsewhere in the folder and moved into place, so that a reader finds the old or the new one.
    One export at a time writes to a folder; another waits.

    Parameters
    ----------
    database : Path
        A release file, or a warehouse that no process writes to.
    folder : Path
        Where to write; files of an earlier export are replaced.
    file_format : str
        A key of FORMATS.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    DatabaseError
        If the file is not there, or is no release and no warehouse.
    ExportError
        If the warehouse was not built to the end, or the folder cannot be written to or has no room.
    """
    source = _read(database)
    with suppress(OSError):  # the lock says what is wrong; a folder of exports is as open as the user's umask makes it
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock.held(folder / LOCK, wait=True, way_out=WAY_OUT):
            return _write(source, folder, file_format)
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
    with tempfile.TemporaryDirectory() as folder:
        (path,) = FORMATS[file_format](only, Path(folder))
        return path.read_bytes()


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
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
    return ExportError(
        f"{path}: {reason}; the files of the earlier export are unchanged. "
        "Make room, or name another folder with --out."
    )


def _read(database: Path) -> Source:
    extract_set, kind = databases.read(database).origin
    synthetic = kind == databases.SYNTHETIC
    try:
        with duckdb_client.connect(str(database), read_only=True) as connection:
            mark = f"Extract set {extract_set}: " + (
                "SYNTHETIC, its numbers are not real." if synthetic else "delivered files."
            )
            dictionary = _dictionary(connection, synthetic)
            return Source(
                mark=mark,
                tables=(*_tables(connection, synthetic, dictionary), Table("data_dictionary", dictionary, {})),
                places=_places(connection),
                paper_tables={number: _paper_table(connection, number) for number in PAPER_TABLES},
                errors=_errors(connection),
                is_synthetic=synthetic,
            )
    except duckdb.Error as error:
        raise ExportError(
            f"{database}: the warehouse is incomplete ({str(error).splitlines()[0]}). Run `dbt build`."
        ) from error


def _dictionary(connection: duckdb.DuckDBPyConnection, synthetic: bool) -> pa.Table:
    parts = " union all ".join(
        f"select {number} as file_number, '{name}' as file, column_number, column_name, "
        f"left(column_name, {STATA_NAME_LENGTH}) as stata_name, data_type, unit, label_en, label_zh, substitution, "
        f"description_en, description_zh, source, {', '.join(PROVENANCE)}, first_year, last_year, missing_share, "
        f"extract_set "
        f"from marts.data_dictionary where table_name = '{table}' union all "
        f"select {number}, '{name}', null, 'is_synthetic', 'is_synthetic', 'boolean', null, "
        "'Whether the numbers are synthetic', '数值是否为合成', null, "
        "'Whether the numbers are synthetic.', '数值是否为合成', 'extract_set.yml', "
        f"{', '.join(['null'] * len(PROVENANCE))}, "
        "null, null, 0, "
        f"(select any_value(extract_set) from marts.data_dictionary)"
        for number, (name, (table, _)) in enumerate(TABLES.items())
    )
    return connection.sql(
        f"select * exclude (file_number, column_number), {synthetic} as is_synthetic from ({parts}) "
        "order by file_number, column_number nulls last"
    ).to_arrow_table()


def _tables(connection: duckdb.DuckDBPyConnection, synthetic: bool, dictionary: pa.Table) -> list[Table]:
    described = dictionary.select(["file", "column_name", "label_en", "substitution"]).to_pylist()
    return [
        Table(
            name,
            connection.sql(f"select *, {synthetic} as is_synthetic from {relation}").to_arrow_table(),
            {row["column_name"]: _label(row) for row in described if row["file"] == name},
        )
        for name, (_, relation) in TABLES.items()
    ]


def _label(column: dict[str, str]) -> str:
    """Return what a column is here, marked where a substitute feeds it."""
    substitution = column["substitution"]
    return f"{SUBSTITUTED} {column['label_en']} ({substitution})" if substitution else column["label_en"]


def _places(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[int, str]]:
    rows = connection.execute("select city_id, name_zh, province_id, province_name_zh from marts.dim_city").fetchall()
    return {
        "city_id": {int(city): name for city, name, _, _ in rows},
        "province_id": {int(province): name for _, _, province, name in rows},
    }


# ---------------------------------------------------------------- files of rows


def _parquet(source: Source, folder: Path) -> Iterator[Path]:
    for table in source.tables:
        fields = [
            field.with_metadata({"label": table.labels[field.name]}) if field.name in table.labels else field
            for field in table.rows.schema
        ]
        path = folder / f"{table.name}.parquet"
        yield path
        pq.write_table(table.rows.cast(pa.schema(fields, metadata={"description": source.mark})), path)


def _csv(source: Source, folder: Path) -> Iterator[Path]:
    for table in source.tables:
        frame = _frame(table)
        for name in _text_columns(table):
            frame[name] = frame[name].map(_no_formula, na_action="ignore")
        path = folder / f"{table.name}.csv"
        yield path
        # The byte order mark tells Excel that the Chinese names are UTF-8.
        frame.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")


def _xlsx(source: Source, folder: Path) -> Iterator[Path]:
    path = folder / "ai_manufacturing.xlsx"
    yield path
    content = io.BytesIO()  # a zip file that is written to a full disk fails once more when it is let go
    # A text stays a text, whatever it begins with.
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(content, options) as workbook:
        about = workbook.add_worksheet("about")
        about.set_column(0, 0, STATA_LABEL_LENGTH)
        about.write_column(
            0, 0, [source.mark, f"What the columns are, and what substitutes ({SUBSTITUTED}): sheet data_dictionary."]
        )
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
        frame = _frame(table)
        value_labels: dict[str, dict[float, str]] = {}
        for name in frame.columns:
            if name in source.places:
                frame[name] = frame[name].astype("int32")
                value_labels[name] = dict(source.places[name].items())
            elif pa.types.is_boolean(table.rows.schema.field(name).type):
                frame[name] = frame[name].astype("boolean").astype("Float32")
                value_labels[name] = {0: "no", 1: "yes"}
            elif name in STATA_CATEGORIES:
                frame[name] = frame[name].astype("category")
            elif name in _text_columns(table):
                frame[name] = frame[name].fillna("").astype("object")
        short = {name: name[:STATA_NAME_LENGTH] for name in frame.columns}
        if len(set(short.values())) < len(short):
            raise ExportError(
                f"{table.name}: two columns have the same name when cut to Stata's {STATA_NAME_LENGTH} letters. "
                "Rename one."
            )
        path = folder / f"{table.name}.dta"
        yield path
        frame.rename(columns=short).to_stata(
            path,
            write_index=False,
            version=118,
            data_label=source.mark[:STATA_LABEL_LENGTH],
            variable_labels={
                short[name]: textwrap.shorten(label, STATA_LABEL_LENGTH, placeholder=" …")
                for name, label in table.labels.items()
            },
            value_labels={short[name]: labels for name, labels in value_labels.items()},
        )


def _frame(table: Table) -> pd.DataFrame:
    """Return the rows as pandas holds them: numbers with gaps as doubles, which hold all integers up to 2^53."""
    return table.rows.to_pandas()


def _text_columns(table: Table) -> list[str]:
    return [field.name for field in table.rows.schema if pa.types.is_string(field.type)]


def _no_formula(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) else text


# ---------------------------------------------------------------- the paper's tables


def _paper_table(connection: duckdb.DuckDBPyConnection, number: int) -> pd.DataFrame:
    headings = connection.execute(
        "select column_name, rtrim(description_en, '.') from marts.data_dictionary "
        f"where table_name = 'rpt_table_{number}' and column_name like 'column\\_%' escape '\\' order by column_number"
    ).fetchall()
    columns = ", ".join(name for name, _ in headings)
    frame = connection.execute(
        f"select line_kind, label_en, {columns} from reports.rpt_table_{number} order by row_number"
    ).df()
    frame = frame.set_index("line_kind")
    return frame.set_axis(["", *(f"({place}) {text}" for place, (_, text) in enumerate(headings, start=1))], axis=1)


def _errors(connection: duckdb.DuckDBPyConnection) -> dict[int, str]:
    rows = connection.execute(
        "select shown.table_id, list(distinct coefficients.covariance order by coefficients.covariance) "
        "from reports.rpt_column_specifications as shown "
        "inner join reports.rpt_coefficients as coefficients on shown.specification_id = coefficients.specification_id "
        "where coefficients.std_error is not null and shown.table_id like 'table%' group by shown.table_id"
    ).fetchall()
    clustered = ("city", "province")
    return {
        int(table.removeprefix("table_")): " and ".join(
            f"clustered by {kind}" if kind in clustered else kind.replace("_", " ") for kind in kinds
        )
        for table, kinds in rows
    }


def _latex(source: Source, folder: Path) -> Iterator[Path]:
    for number, title in PAPER_TABLES.items():
        path = folder / f"table_{number}.tex"
        yield path
        path.write_text(_latex_table(source, number, title), encoding="utf-8")


def _latex_table(source: Source, number: int, title: str) -> str:
    frame = source.paper_tables[number]
    is_note = frame.index.isin(LINES_OF_PROSE)
    substituted = set(frame.columns[frame[frame.index == "substitutions"].notna().any()]) - {""}
    specifications = frame.loc["specification"].iloc[1:]
    cells = frame[~is_note & ~frame.index.isin(LINES_OF_NAMES)]
    # A hyphen before a number is a minus sign, and the name of an estimator is words.
    cells = cells.replace(r"^([(\[]?)-(?=\d)", r"\1$-$", regex=True)
    is_estimator = cells.index == "estimator"
    cells.loc[is_estimator] = cells.loc[is_estimator].replace("_", " ", regex=True)
    cells = cells.reset_index(drop=True).rename(
        columns={heading: f"{heading} {SUBSTITUTED}" for heading in substituted}
    )
    styler = cells.style.hide(axis="index").format(escape="latex-math", na_rep="").format_index(_heading, axis=1)
    column_count = frame.shape[1] - 1
    # Six columns fit the width of a page in small print, with labels on two lines.
    size, label = (r"\footnotesize", "p{2.7cm}") if column_count > 4 else (r"\small", "l")
    lines = styler.to_latex(hrules=True, column_format=label + "c" * column_count).splitlines()
    above = tuple(f"{label} &" for label in frame.loc[frame.index == "controls", ""])
    ruled = [part for line in lines for part in ([r"\midrule", line] if line.startswith(above) else [line])]
    notes = [
        source.mark,
        f"Errors in ( ), {source.errors.get(number, 'none estimated')}; in [ ], clustered by province. *** p < 0.01, "
        f"** p < 0.05, * p < 0.1 by the first; {TAKEN_AWAY} where the second take the stars away (p >= 0.1).",
        *(
            f"{SUBSTITUTED + ' ' if kind == 'substitutions' else ''}{line.iloc[0]}, {heading}: {text}"
            for kind, line in frame[is_note].iterrows()
            for heading, text in line.iloc[1:].dropna().items()
        ),
    ]
    # A caption travels without its notes.
    marks = [*(["SYNTHETIC DATA"] if source.is_synthetic else []), *(["with substitutes"] if substituted else [])]
    caption = f"{title} ({', '.join(marks)})" if marks else title
    return "\n".join(
        [
            "% Needs the packages booktabs and threeparttable; if its notes are not all Latin, ctex and XeLaTeX too.",
            f"% Specifications: {', '.join(specifications)}.",
            r"\begin{table}[htbp]",
            r"\centering",
            size,
            r"\setlength{\tabcolsep}{3pt}",
            r"\begin{threeparttable}",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{number}}}",
            *ruled,
            r"\begin{tablenotes}",
            r"\footnotesize",
            *(rf"\item {_escape(note)}" for note in notes),
            r"\end{tablenotes}",
            r"\end{threeparttable}",
            r"\end{table}",
            "",
        ]
    )


def _heading(text: str) -> str:
    """Break a heading into lines, so that six columns fit a page."""
    lines = r"\\".join(textwrap.wrap(_escape(text), LATEX_HEADING_WIDTH, break_long_words=False))
    return rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{lines}\end{{tabular}}" if text else ""


def _escape(text: str) -> str:
    return "".join(LATEX_ESCAPES.get(char, char) for char in text)


# Each yields a file before it writes it, so that what goes wrong has a name.
FORMATS: dict[str, Callable[[Source, Path], Iterator[Path]]] = {
    "parquet": _parquet,
    "csv": _csv,
    "xlsx": _xlsx,
    "dta": _stata,
    "latex": _latex,
}
