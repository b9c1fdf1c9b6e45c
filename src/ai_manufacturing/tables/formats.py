"""Convert tables and data to export formats such as LaTeX, Excel and Stata.

A format writes printed tables of the paper, the rows of panel, estimates and dictionary, or both.
"""

import io
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import escape

from ai_manufacturing.disclosure import terms
from ai_manufacturing.system.text import SUBSTITUTE_MARK
from ai_manufacturing.tables import FIRST_BELOW_ESTIMATES, PaperTable, PrintedTable, stata_notes

if TYPE_CHECKING:
    import pyarrow as pa
    from docx.table import _Cell as WordCell
    from docx.text.paragraph import Paragraph

LATEX_ESCAPES = str.maketrans(
    {char: rf"\{char}" for char in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "†": r"$^{\dagger}$",
        "‡": r"$^{\ddagger}$",
        "<": "$<$",
        ">": "$>$",
        "≥": r"$\geq$",
        "–": "--",
    }
)
# Maximum number of characters per line in LaTeX headings and text cells.
HEADING_WIDTH = 14
# Tables with more columns use a smaller font and two-line row labels to fit the page.
COLUMNS_IN_NORMAL_PRINT = 4
NUMBER = re.compile(
    r"^(?P<before>[(\[{]?)(?P<minus>-?)(?P<whole>\d+)(?P<decimals>\.\d+)(?P<after>.*)$"
)
"""A printed number with decimals."""
SIUNITX = "S[table-format=-{}.{},table-align-text-before=false,table-align-text-after=false]"
MARKDOWN_SPECIAL = re.compile(r"([\\`*_|<~])")
# Widths in an Excel workbook, in characters.
WIDEST_LABEL, WIDEST_COLUMN, WIDTH_OF_NOTES = 40, 18, 110
# Write strings as text, even if they look like formulas, links or numbers.
WORKBOOK_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
PAGE_WIDTH = 6  # inches between the margins of a page in Word
WIDEST_SHARE = 0.45  # maximum width of the label column, as a share of the page
LAST_LATIN = 255  # characters with higher code points are displayed at double width
LATIN_FONT, CHINESE_FONT = "Times New Roman", "SimSun"
# Leading characters that make a spreadsheet interpret a string as a formula, including full-width
# forms. See OWASP on CSV injection.
FORMULA = re.compile(r"^[=+\-@\t\r\n＝＋－＠]")
# Timestamp of exports from a warehouse, which has no release date.
UNDATED = datetime(1960, 1, 1)
# Maximum lengths of names and labels in Stata, in characters.
STATA_NAME_LENGTH = 32
STATA_LABEL_LENGTH = 80
# String columns to export as integers with value labels, for use as factor variables in Stata.
STATA_CATEGORIES = ("region", "estimator", "transform", "status", "covariance")


class ExportError(Exception):
    """Raised if a database cannot be exported or an export file cannot be written."""


@dataclass(frozen=True)
class Table:
    """A data table to export, with column labels.

    Attributes
    ----------
    name : str
        Name of the file or sheet.
    rows : pyarrow.Table
        Rows to export; the last column is is_synthetic.
    labels : dict of str to str
        English labels by column.
    """

    name: str
    rows: "pa.Table"
    labels: dict[str, str]


@dataclass(frozen=True)
class Source:
    """Tables, labels and notices to include in an export.

    Attributes
    ----------
    mark : str
        Sentence that identifies the extract set.
    tables : tuple of Table
        Panel, estimates, and the dictionary of their columns.
    places : dict of str to dict of int to str
        Chinese names of the codes in city_id and province_id.
    paper_tables : dict of str to PaperTable
        Tables 1 to 6 with all their readings, by name.
    made_at : datetime
        Publication time of the release in UTC. Using it as timestamp makes repeated exports of a
        release byte-identical.
    licence : str
        Sentence on the licence of the estimates.
    withheld : str
        Sentence on restricted values that the export omits.
    restriction : str
        Sentence on restricted values that the export contains.
    restrictions : dict of str to str
        Providers, with their licences, that restrict a column of the panel, by column.
    """

    mark: str
    tables: tuple[Table, ...]
    places: dict[str, dict[int, str]]
    paper_tables: dict[str, PaperTable]
    made_at: datetime = UNDATED
    withheld: str = ""
    licence: str = terms.ESTIMATES_LICENCE.sentence
    restriction: str = ""
    restrictions: dict[str, str] = field(default_factory=dict)

    def find_restrictions(self, table: Table) -> dict[str, str]:
        """Return a notice for each column of a table that may not be redistributed."""
        return {
            name: f"Not to be passed on: values of {providers}."
            for name, providers in self.restrictions.items()
            if name in table.rows.column_names
        }


def markdown(table: PrintedTable) -> str:
    """Return the table as Markdown, followed by its notes."""
    rows = [["", *table.headings], *([line.label, *table.texts(line)] for line in table.rows)]
    heading, *lines = (f"| {' | '.join(map(_escape_markdown, cells))} |" for cells in rows)
    notes = "".join(f"{_escape_markdown(note)}\n\n" for note in table.notes)
    rule = f"| :--- |{' :---: |' * len(table.columns)}"
    title = f"**{_escape_markdown(table.caption)}**"
    return "\n".join([title, "", heading, rule, *lines, "", notes.removesuffix("\n")])


def _escape_markdown(text: str) -> str:
    return MARKDOWN_SPECIAL.sub(r"\\\1", text)


def html(table: PrintedTable) -> str:
    """Return the table as an HTML page, with its notes in the table footer."""
    title = escape(table.caption)
    headings = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in table.headings)
    lines = []
    for line in table.rows:
        cells = "".join(f"<td>{escape(text)}</td>" for text in table.texts(line))
        lines.append(f'<tr><th scope="row">{escape(line.label)}</th>{cells}</tr>')
    span = len(table.columns) + 1
    notes = [f'<tr><td colspan="{span}">{escape(note)}</td></tr>' for note in table.notes]
    newline = "\n"
    return f"""<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<table lang="{"zh-CN" if table.language == "zh" else "en"}">
<caption>{title}</caption>
<thead>
<tr><td></td>{headings}</tr>
</thead>
<tbody>
{newline.join(lines)}
</tbody>
<tfoot>
{newline.join(notes)}
</tfoot>
</table>
"""


def latex(table: PrintedTable, siunitx: bool = False) -> str:
    """Return the table as LaTeX code that uses booktabs and threeparttable.

    Parameters
    ----------
    table : PrintedTable
        Table to format.
    siunitx : bool
        Whether to align numbers at the decimal point with siunitx columns (version 3).
    """
    headings = [_break_latex_lines(heading) for heading in table.headings]
    column, uses = "c", "booktabs and threeparttable"
    if siunitx:
        headings = [f"{{{heading}}}" for heading in headings]
        column = SIUNITX.format(_count_whole_digits(table), table.decimals)
        uses = "booktabs, siunitx and threeparttable"
    is_wide = len(table.columns) > COLUMNS_IN_NORMAL_PRINT
    size, label = (r"\footnotesize", "p{2.7cm}") if is_wide else (r"\small", "l")
    lines = []
    for line in table.rows:
        if line.kind == FIRST_BELOW_ESTIMATES:
            lines.append(r"\midrule")
        cells = [_format_latex_cell(text, siunitx) for text in table.texts(line)]
        lines.append(_format_latex_row(escape_latex(line.label), cells))
    # The empty group prevents LaTeX from parsing a leading bracket as an optional argument.
    notes = [rf"\item {{}}{escape_latex(note)}" for note in table.notes]
    newline = "\n"
    return rf"""% Requires the packages {uses}, and for Chinese notes also ctex and XeLaTeX.
% Specifications: {", ".join(reading.specification_id for reading in table.columns)}.
\begin{{table}}[htbp]
\centering
{size}
\setlength{{\tabcolsep}}{{3pt}}
\begin{{threeparttable}}
\caption{{{escape_latex(table.title)}}}
\label{{tab:{table.table_id.removeprefix("table_")}}}
\begin{{tabular}}{{{label}{column * len(table.columns)}}}
\toprule
{_format_latex_row("", headings)}
\midrule
{newline.join(lines)}
\bottomrule
\end{{tabular}}
\begin{{tablenotes}}
\footnotesize
{newline.join(notes)}
\end{{tablenotes}}
\end{{threeparttable}}
\end{{table}}
"""


def escape_latex(text: str) -> str:
    """Escape LaTeX special characters in a string."""
    return text.translate(LATEX_ESCAPES)


def _count_whole_digits(table: PrintedTable) -> int:
    """Return the maximum number of digits before the decimal point in a table's cells."""
    numbers = [NUMBER.match(text) for line in table.rows for text in table.texts(line)]
    return max((len(number["whole"]) for number in numbers if number), default=1)


def _format_latex_row(label: str, cells: list[str]) -> str:
    return rf"{' & '.join([label, *cells])} \\"


def _format_latex_cell(text: str, siunitx: bool) -> str:
    """Format a cell for LaTeX, with braces around text if siunitx aligns the column."""
    number = NUMBER.match(text)
    if number is None:
        words = _break_latex_lines(text) if len(text) > HEADING_WIDTH else escape_latex(text)
        return f"{{{words}}}" if siunitx and text else words
    before, after = escape_latex(number["before"]), escape_latex(number["after"])
    minus, digits = number["minus"], number["whole"] + number["decimals"]
    if siunitx:
        return f"{_add_braces(before)}{minus}{digits}{_add_braces(after)}"
    # Typeset the hyphen of a negative number as a minus sign.
    return f"{before}{minus and '$-$'}{digits}{after}"


def _add_braces(text: str) -> str:
    return text and f"{{{text}}}"


def _break_latex_lines(text: str) -> str:
    """Break a string into short LaTeX lines, so that six columns fit on a page."""
    parts = textwrap.wrap(text, HEADING_WIDTH, break_long_words=False, break_on_hyphens=False)
    lines = r"\\".join(map(escape_latex, parts))
    return rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{lines}\end{{tabular}}"


def xlsx(table: PrintedTable) -> bytes:
    """Return the table as an Excel workbook with one sheet.

    Cells contain unrounded numbers; number formats display them as printed, with brackets and
    stars.
    """
    import xlsxwriter

    content = io.BytesIO()
    with xlsxwriter.Workbook(content, WORKBOOK_OPTIONS) as workbook:
        workbook.set_properties({"title": table.caption, "comments": table.notes[0]})
        sheet = workbook.add_worksheet(table.table_id)
        last, below = len(table.columns), len(table.rows) + 2
        centring = {"align": "center", "valign": "vcenter"}
        head = {"bold": True, "text_wrap": True, "top": 2, "bottom": 1, **centring}
        note = workbook.add_format({"text_wrap": True, "valign": "top"})
        sheet.set_column(0, 0, min(WIDEST_LABEL, max(len(line.label) for line in table.rows) + 2))
        sheet.set_column(1, last, WIDEST_COLUMN)
        sheet.write(0, 0, table.caption, workbook.add_format({"bold": True}))
        sheet.write_row(1, 0, ["", *table.headings], workbook.add_format(head))
        sheet.freeze_panes(2, 1)
        for number, line in enumerate(table.rows, start=2):
            kind: dict[str, Any] = {"bold": line.kind == "estimate"}
            if line.kind == FIRST_BELOW_ESTIMATES:
                kind["top"] = 1
            if number == below - 1:
                kind["bottom"] = 2
            sheet.write(number, 0, line.label, workbook.add_format(kind))
            kind |= centring
            for place, cell in enumerate(line.cells, start=1):
                cell_text = table.text(cell)
                if cell is None or cell.value is None:
                    words = workbook.add_format({**kind, "text_wrap": True})
                    sheet.write(number, place, cell_text, words)
                    continue
                pattern = _quote_format(cell_text)
                if not cell.bound(table.decimals):
                    digits = f"0.{'0' * table.decimals}" if cell.is_rounded else "0"
                    pattern = _quote_format(cell.before) + digits + _quote_format(cell.after)
                shape = workbook.add_format({**kind, "num_format": pattern})
                sheet.write_number(number, place, cell.value, shape)
        for number, text in enumerate(table.notes, start=below):
            sheet.merge_range(number, 0, number, last, text, note)
            width = sum(1 + (ord(char) > LAST_LATIN) for char in text)
            sheet.set_row(number, 15 * (1 + width // WIDTH_OF_NOTES))
    return content.getvalue()


def _quote_format(text: str) -> str:
    """Quote a string as literal text in an Excel number format."""
    return f'"{text}"' if text else ""


def word(table: PrintedTable) -> bytes:
    """Return the table as a Word document in the style of a journal."""
    import docx
    from docx.enum.table import WD_TABLE_ALIGNMENT
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Inches, Pt

    document = docx.Document()
    style = document.styles["Normal"]
    style.font.name, style.font.size = LATIN_FONT, Pt(9)
    style.element.rPr.rFonts.set(qn("w:eastAsia"), CHINESE_FONT)
    document.core_properties.title = table.caption
    document.core_properties.comments = table.notes[0]
    caption = document.add_paragraph()
    caption.add_run(table.caption).bold = True
    caption.paragraph_format.keep_with_next = True
    grid = document.add_table(rows=1 + len(table.rows), cols=1 + len(table.columns))
    grid.alignment = WD_TABLE_ALIGNMENT.CENTER
    grid.autofit = False
    # Keep each row label on one line, so that standard errors are directly below coefficients. The
    # other columns share the remaining width.
    page = Inches(PAGE_WIDTH)
    label = min(
        Pt(9) * max(_estimate_width(line.label) for line in table.rows), page * WIDEST_SHARE
    )
    for place, column in enumerate(grid.columns):
        column.width = int(label if place == 0 else (page - label) / len(table.columns))
        for cell in column.cells:
            cell.width = column.width
    for place, heading in enumerate(table.headings, start=1):
        _fill_cell(grid.cell(0, place), heading, is_bold=True)
    for row, line in zip(grid.rows[1:], table.rows, strict=True):
        label_cell, *cells = row.cells
        _fill_cell(label_cell, line.label, aligns_left=True)
        for cell, text in zip(cells, table.texts(line), strict=True):
            _fill_cell(cell, text)
        if line.kind == FIRST_BELOW_ESTIMATES:
            _draw_borders(row.cells, top=4)
    _draw_borders(grid.rows[0].cells, top=12, bottom=6)
    _draw_borders(grid.rows[-1].cells, bottom=12)
    grid.rows[0]._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
    for note in table.notes:
        paragraph = document.add_paragraph()
        paragraph.add_run(note).font.size = Pt(8)
        _remove_spacing(paragraph)
    content = io.BytesIO()
    document.save(content)
    return content.getvalue()


def _estimate_width(text: str) -> float:
    """Estimate the printed width of a string, counting Latin characters as half."""
    return 1.5 + sum(1 if ord(char) > LAST_LATIN else 0.5 for char in text)


def _fill_cell(
    cell: "WordCell", text: str, *, is_bold: bool = False, aligns_left: bool = False
) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH

    (paragraph,) = cell.paragraphs
    paragraph.add_run(text).bold = is_bold
    paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT if aligns_left else WD_ALIGN_PARAGRAPH.CENTER
    _remove_spacing(paragraph)


def _remove_spacing(paragraph: "Paragraph") -> None:
    paragraph.paragraph_format.space_before = paragraph.paragraph_format.space_after = 0


def _draw_borders(cells: tuple["WordCell", ...], **eighths: int) -> None:
    """Add borders to the given sides of a row's cells, in eighths of a point."""
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    lines = "".join(
        f'<w:{side} w:val="single" w:sz="{size}" w:space="0" w:color="000000"/>'
        for side, size in eighths.items()
    )
    for cell in cells:
        borders = parse_xml(f"<w:tcBorders {nsdecls('w')}>{lines}</w:tcBorders>")
        cell._tc.get_or_add_tcPr().append(borders)


def parquet(table: Table, source: Source) -> bytes:
    """Return the table as Parquet, with column labels and the data source in the metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    restrictions = source.find_restrictions(table)
    fields = []
    for column in table.rows.schema:
        column_metadata = {
            "label": table.labels.get(column.name),
            "restriction": restrictions.get(column.name),
        }
        fields.append(
            column.with_metadata({key: text for key, text in column_metadata.items() if text})
        )
    file_metadata = {"description": source.mark, "licence": source.licence}
    if restrictions:
        file_metadata["restriction"] = source.restriction
    content = io.BytesIO()
    schema = pa.schema(fields, metadata=file_metadata)
    pq.write_table(table.rows.cast(schema), content)
    return content.getvalue()


def csv(table: Table, source: Source) -> bytes:
    """Return the table as CSV, escaping strings that a spreadsheet would run as formulas."""
    frame = table.rows.to_pandas()
    for name in frame.select_dtypes("str"):
        frame[name] = frame[name].str.replace(FORMULA, r"'\g<0>", regex=True)
    # The byte order mark makes Excel detect UTF-8, which Chinese names require.
    text: str = frame.to_csv(index=False, lineterminator="\r\n")
    return text.encode("utf-8-sig")


def stata(table: Table, source: Source) -> bytes:
    """Return the table as a Stata file.

    Numbers with missing values become doubles, which are exact up to 2^53.

    Raises
    ------
    ExportError
        If the Stata names of two columns coincide.
    """
    frame = table.rows.to_pandas()
    texts = frame.select_dtypes("str").columns
    value_labels: dict[str, dict[int, str]] = {}
    for name in frame.columns:
        if name in source.places:
            frame[name] = frame[name].astype("int32")
            value_labels[name] = source.places[name]
        elif table.rows.schema.field(name).type == "bool":
            frame[name] = frame[name].astype("boolean").astype("Float32")
            value_labels[name] = {0: "no", 1: "yes"}
        elif name in STATA_CATEGORIES and len(frame):  # pandas cannot export empty categoricals
            frame[name] = frame[name].astype("category")
        elif name in texts:
            frame[name] = frame[name].fillna("").astype("object")
    short = {name: name[:STATA_NAME_LENGTH] for name in frame.columns}
    if len(set(short.values())) < len(short):
        raise ExportError(
            f"{table.name}: two columns have the same name after truncation to"
            f" {STATA_NAME_LENGTH} characters, the limit of Stata. Rename one of the two columns."
        )
    content = io.BytesIO()
    frame.rename(columns=short).to_stata(
        content,
        write_index=False,
        version=118,
        byteorder="little",
        time_stamp=source.made_at,
        data_label=source.mark[:STATA_LABEL_LENGTH],
        variable_labels={
            short[name]: textwrap.shorten(label, STATA_LABEL_LENGTH, placeholder=" …")
            for name, label in table.labels.items()
            if name in short
        },
        value_labels={short[name]: labels for name, labels in value_labels.items()},
    )
    notes = {stata_notes.WHOLE_FILE: [source.mark, source.licence]}
    if restrictions := source.find_restrictions(table):
        notes[stata_notes.WHOLE_FILE].append(source.restriction)
        notes |= {short[name]: [text] for name, text in restrictions.items()}
    return stata_notes.add_notes(content.getvalue(), notes)


def workbook(source: Source) -> bytes:
    """Return an Excel workbook with one sheet per table, and a sheet about the data."""
    import xlsxwriter

    content = io.BytesIO()
    with xlsxwriter.Workbook(content, WORKBOOK_OPTIONS) as book:
        book.set_properties({"created": source.made_at})
        for table in source.tables:
            sheet = book.add_worksheet(table.name)
            sheet.freeze_panes(1, 0)
            sheet.autofilter(0, 0, table.rows.num_rows, table.rows.num_columns - 1)
            for number, name in enumerate(table.rows.column_names):
                sheet.write_column(0, number, [name, *table.rows[name].to_pylist()])
                if name in table.labels:
                    sheet.write_comment(0, number, table.labels[name])
        about = book.add_worksheet("about")
        about.set_column(0, 0, STATA_LABEL_LENGTH)
        where = (
            "The sheet data_dictionary describes the columns and the substitutes"
            f" ({SUBSTITUTE_MARK})."
        )
        sentences = [source.mark, source.licence, where, source.withheld, source.restriction]
        about.write_column(0, 0, [text for text in sentences if text])
        restrictions = [
            f"{table.name}, {name}: {text}"
            for table in source.tables
            for name, text in source.find_restrictions(table).items()
        ]
        about.write_column(len(sentences) + 1, 0, restrictions)
    return content.getvalue()


class Format(NamedTuple):
    """File suffix and writer functions of an export format.

    Attributes
    ----------
    ending : str
        File name suffix without the dot.
    printed : callable, optional
        Formats a printed table of the paper.
    rows : callable, optional
        Formats the rows of one table; it also receives the source.
    book : callable, optional
        Formats all tables of a source as one file.
    """

    ending: str
    printed: Any = None
    rows: Any = None
    book: Callable[[Source], bytes] | None = None


FORMATS = {
    "csv": Format("csv", rows=csv),
    "parquet": Format("parquet", rows=parquet),
    "xlsx": Format("xlsx", printed=xlsx, book=workbook),
    "dta": Format("dta", rows=stata),
    "latex": Format("tex", printed=latex),
    "docx": Format("docx", printed=word),
    "markdown": Format("md", printed=markdown),
    "html": Format("html", printed=html),
}
"""Formats by command-line name; those without `rows` and `book` export the paper's tables."""


def list_formats(*kinds: str) -> list[str]:
    """Return the names of formats that have at least one of the given writers.

    Writers are printed, rows and book.
    """
    return [name for name, form in FORMATS.items() if any(getattr(form, kind) for kind in kinds)]


def render_files(source: Source, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the file name and content of each file to export."""
    ending, write_table, write_rows, write_book = FORMATS[name]
    if write_rows:
        for table in source.tables:
            yield f"{table.name}.{ending}", write_rows(table, source)
    elif write_book:
        yield f"ai_manufacturing.{ending}", write_book(source)
    elif write_table:
        for table_id, paper_table in source.paper_tables.items():
            yield f"{table_id}.{ending}", encode_text(write_table(paper_table.prepare()))


def encode_text(content: str | bytes) -> bytes:
    """Encode a string as UTF-8, and return bytes unchanged."""
    return content.encode() if isinstance(content, str) else content
