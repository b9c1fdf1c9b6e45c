"""A printed table as Markdown, HTML, LaTeX, an Excel workbook or a Word document."""

import io
import re
import textwrap
from collections.abc import Callable

import docx
import xlsxwriter
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Inches, Pt
from docx.table import _Cell as WordCell
from docx.text.paragraph import Paragraph
from markupsafe import escape

from ai_manufacturing.tables import FIRST_BELOW_ESTIMATES, Printed

LATEX_ESCAPES = {char: rf"\{char}" for char in "&%$#_{}"} | {
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
HEADING_WIDTH = 14  # letters of a heading, or of words in a cell, on one line in LaTeX
# More columns fit the width of a page in small print only, with labels on two lines.
COLUMNS_IN_NORMAL_PRINT = 4
# A number with decimals: bracket, minus sign, digits before and after the point, what follows.
NUMBER = re.compile(r"^([(\[{]?)(-?)(\d+)(\.\d+)(.*)$")
MARKDOWN_SPECIAL = re.compile(r"([\\`*_|<~])")
WIDEST_LABEL, WIDEST_COLUMN, WIDTH_OF_NOTES = 40, 18, 110  # letters, in a workbook
# A text of a workbook stays a text, whatever it begins with.
WORKBOOK = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
PAGE, WIDEST_SHARE = (
    Inches(6),
    0.45,
)  # width of a Word page between its margins, and the most that labels take
LAST_LATIN = 255
LATIN_FONT, CHINESE_FONT = "Times New Roman", "SimSun"


def markdown(table: Printed) -> str:
    """Return the table as Markdown, with its notes below."""

    def row(cells: list[str]) -> str:
        return f"| {' | '.join(_markdown(cell) for cell in cells)} |"

    return "\n".join(
        [
            f"**{_markdown(table.caption)}**",
            "",
            row(["", *table.headings]),
            f"|{' :--- |'}{' :---: |' * len(table.columns)}",
            *(row([line.label, *map(table.text, line.cells)]) for line in table.rows),
            "",
            *(part for note in table.notes for part in (_markdown(note), "")),
        ]
    )


def _markdown(text: str) -> str:
    return MARKDOWN_SPECIAL.sub(r"\\\1", text)


def html(table: Printed) -> str:
    """Return the table as an HTML element, with its notes in the foot."""
    headings = [f'<th scope="col">{escape(heading)}</th>' for heading in table.headings]
    lines = [
        (line.label, [f"<td>{escape(table.text(cell))}</td>" for cell in line.cells])
        for line in table.rows
    ]
    return "\n".join(
        [
            f'<table lang="{"zh-CN" if table.language == "zh" else "en"}">',
            f"<caption>{escape(table.caption)}</caption>",
            "<thead>",
            f"<tr><td></td>{''.join(headings)}</tr>",
            "</thead>",
            "<tbody>",
            *(
                f'<tr><th scope="row">{escape(label)}</th>{"".join(cells)}</tr>'
                for label, cells in lines
            ),
            "</tbody>",
            "<tfoot>",
            *(
                f'<tr><td colspan="{len(table.columns) + 1}">{escape(note)}</td></tr>'
                for note in table.notes
            ),
            "</tfoot>",
            "</table>",
            "",
        ]
    )


def html_page(table: Printed) -> str:
    """Return the table as a page that a browser opens."""
    title = escape(table.caption)
    return f'<!doctype html>\n<meta charset="utf-8">\n<title>{title}</title>\n{html(table)}'


def latex(table: Printed, siunitx: bool = False) -> str:
    """Return the table for LaTeX, with booktabs and threeparttable.

    Parameters
    ----------
    table : Printed
        The table.
    siunitx : bool
        Whether numbers are aligned at the decimal point, by columns of siunitx (version 3).
    """
    rows = [
        [latex_text(line.label), *(_latex_cell(table.text(cell), siunitx) for cell in line.cells)]
        for line in table.rows
    ]
    headings = [_latex_lines(heading) for heading in table.headings]
    is_wide = len(table.columns) > COLUMNS_IN_NORMAL_PRINT
    numbers = [
        found
        for line in table.rows
        for cell in line.cells
        if (found := NUMBER.match(table.text(cell)))
    ]
    whole = max((len(found[3]) for found in numbers), default=1)
    column = (
        f"S[table-format=-{whole}.{table.decimals},table-align-text-before=false,table-align-text-after=false]"
        if siunitx
        else "c"
    )
    packages = "booktabs, siunitx and threeparttable" if siunitx else "booktabs and threeparttable"
    lines = [rf"{' & '.join(cells)} \\" for cells in rows]
    (below,) = [
        number for number, line in enumerate(table.rows) if line.kind == FIRST_BELOW_ESTIMATES
    ]
    lines.insert(below, r"\midrule")
    return "\n".join(
        [
            (
                f"% Needs the packages {packages}; if its notes are not all Latin, ctex and XeLaTeX"
                " too."
            ),
            f"% Specifications: {', '.join(shown.specification_id for shown in table.columns)}.",
            r"\begin{table}[htbp]",
            r"\centering",
            r"\footnotesize" if is_wide else r"\small",
            r"\setlength{\tabcolsep}{3pt}",
            r"\begin{threeparttable}",
            rf"\caption{{{latex_text(table.title)}}}",
            rf"\label{{tab:{table.table_id.removeprefix('table_')}}}",
            rf"\begin{{tabular}}{{{'p{2.7cm}' if is_wide else 'l'}{column * len(table.columns)}}}",
            r"\toprule",
            (
                rf" & {' & '.join(f'{{{heading}}}' if siunitx else heading for heading in headings)} \\"
            ),
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\begin{tablenotes}",
            r"\footnotesize",
            *(
                rf"\item {{}}{latex_text(note)}" for note in table.notes
            ),  # a bracket would be an argument
            r"\end{tablenotes}",
            r"\end{threeparttable}",
            r"\end{table}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    """Return a text in which no character is a command of LaTeX."""
    return "".join(LATEX_ESCAPES.get(char, char) for char in text)


def _latex_cell(text: str, siunitx: bool) -> str:
    """Return a cell; for siunitx all but numbers with decimals is in braces, and centred."""
    if not text:
        return ""
    found = NUMBER.match(text)
    if not found:
        words = _latex_lines(text) if len(text) > HEADING_WIDTH else latex_text(text)
        return f"{{{words}}}" if siunitx else words
    if not siunitx:
        # A hyphen before a number is a minus sign.
        return (
            f"{latex_text(found[1])}$-${found[3]}{found[4]}{latex_text(found[5])}"
            if found[2]
            else latex_text(text)
        )
    before, after = (f"{{{latex_text(part)}}}" if part else "" for part in (found[1], found[5]))
    return f"{before}{found[2]}{found[3]}{found[4]}{after}"


def _latex_lines(text: str) -> str:
    """Break words into lines, so that six columns fit a page."""
    wrapped = textwrap.wrap(text, HEADING_WIDTH, break_long_words=False, break_on_hyphens=False)
    lines = r"\\".join(map(latex_text, wrapped))
    return rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{lines}\end{{tabular}}"


def xlsx(table: Printed) -> bytes:
    """Return a workbook of one sheet.

    Whole numbers, in formats that show what is printed, brackets and stars.
    """
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, WORKBOOK) as workbook:
        workbook.set_properties({"title": table.caption, "comments": table.notes[0]})
        sheet = workbook.add_worksheet(table.table_id)
        last = len(table.columns)
        centred = {"align": "center", "valign": "vcenter"}
        bold, note = (
            workbook.add_format({"bold": True}),
            workbook.add_format({"text_wrap": True, "valign": "top"}),
        )
        head = workbook.add_format(
            {"bold": True, "text_wrap": True, "top": 2, "bottom": 1, **centred}
        )
        sheet.set_column(0, 0, min(WIDEST_LABEL, max(len(line.label) for line in table.rows) + 2))
        sheet.set_column(1, last, WIDEST_COLUMN)
        sheet.write(0, 0, table.caption, bold)
        sheet.write_row(1, 0, ["", *table.headings], head)
        sheet.freeze_panes(2, 1)
        for number, line in enumerate(table.rows, start=2):
            rule = {"top": 1} if line.kind == FIRST_BELOW_ESTIMATES else {}
            rule |= {"bottom": 2} if number == len(table.rows) + 1 else {}
            sheet.write(
                number,
                0,
                line.label,
                workbook.add_format({"bold": line.kind == "estimate", **rule}),
            )
            for place, cell in enumerate(line.cells, start=1):
                shown = table.text(cell)
                kind = {**centred, **rule, "bold": line.kind == "estimate"}
                if cell is None or cell.value is None:
                    sheet.write(
                        number, place, shown, workbook.add_format({**kind, "text_wrap": True})
                    )
                    continue
                digits = f"0.{'0' * table.decimals}" if cell.is_rounded else "0"
                pattern = "".join([_quoted(cell.before), digits, _quoted(cell.after)])
                if cell.bound(table.decimals):
                    pattern = _quoted(shown)
                sheet.write_number(
                    number, place, cell.value, workbook.add_format({**kind, "num_format": pattern})
                )
        for number, text in enumerate(table.notes, start=len(table.rows) + 2):
            sheet.merge_range(number, 0, number, last, text, note)
            sheet.set_row(
                number,
                15 * (1 + sum(1 + (ord(char) > LAST_LATIN) for char in text) // WIDTH_OF_NOTES),
            )
    return content.getvalue()


def _quoted(text: str) -> str:
    """Return letters of a number format that stand for themselves."""
    return f'"{text}"' if text else ""


def word(table: Printed) -> bytes:
    """Return a Word document with a table that can be edited, ruled as a journal's."""
    document = docx.Document()
    style = document.styles["Normal"]
    style.font.name, style.font.size = LATIN_FONT, Pt(9)
    style.element.rPr.rFonts.set(qn("w:eastAsia"), CHINESE_FONT)
    document.core_properties.title, document.core_properties.comments = (
        table.caption,
        table.notes[0],
    )
    caption = document.add_paragraph()
    caption.add_run(table.caption).bold = True
    caption.paragraph_format.keep_with_next = True
    grid = document.add_table(rows=1 + len(table.rows), cols=1 + len(table.columns))
    grid.alignment = WD_TABLE_ALIGNMENT.CENTER
    grid.autofit = False
    # the labels on one line, so that an error stands right under its coefficient; the other columns
    # share the rest
    label = min(Pt(9) * max(map(_width, (line.label for line in table.rows))), PAGE * WIDEST_SHARE)
    for place, column in enumerate(grid.columns):
        column.width = int(label if place == 0 else (PAGE - label) / len(table.columns))
        for cell in column.cells:
            cell.width = column.width
    for place, heading in enumerate(table.headings, start=1):
        _fill(grid.cell(0, place), heading, is_bold=True)
    for number, line in enumerate(table.rows, start=1):
        cells = grid.rows[number].cells
        _fill(cells[0], line.label, is_left=True)
        for place, cell in enumerate(line.cells, start=1):
            _fill(cells[place], table.text(cell))
        if line.kind == FIRST_BELOW_ESTIMATES:
            _rule(cells, "top", 4)
    _rule(grid.rows[0].cells, "top", 12)
    _rule(grid.rows[0].cells, "bottom", 6)
    _rule(grid.rows[-1].cells, "bottom", 12)
    repeated = OxmlElement("w:tblHeader")
    grid.rows[0]._tr.get_or_add_trPr().append(repeated)
    for note in table.notes:
        paragraph = document.add_paragraph()
        paragraph.add_run(note).font.size = Pt(8)
        _close_up(paragraph)
    content = io.BytesIO()
    document.save(content)
    return content.getvalue()


def _width(text: str) -> float:
    """Return how wide a text is, in letters as high as wide.

    A Latin letter is half of a Chinese one.
    """
    return 1.5 + sum(1 if ord(char) > LAST_LATIN else 0.5 for char in text)


def _fill(cell: WordCell, text: str, *, is_bold: bool = False, is_left: bool = False) -> None:
    (paragraph,) = cell.paragraphs
    paragraph.add_run(text).bold = is_bold
    paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT if is_left else WD_ALIGN_PARAGRAPH.CENTER
    _close_up(paragraph)


def _close_up(paragraph: Paragraph) -> None:
    paragraph.paragraph_format.space_before = paragraph.paragraph_format.space_after = Pt(0)


def _rule(cells: tuple[WordCell, ...], side: str, eighths: int) -> None:
    """Draw a line at one side of a row, so many eighths of a point thick."""
    for cell in cells:
        properties = cell._tc.get_or_add_tcPr()
        borders = properties.find(qn("w:tcBorders"))
        if borders is None:
            borders = OxmlElement("w:tcBorders")
            properties.append(borders)
        border = OxmlElement(f"w:{side}")
        for name, value in {
            "val": "single",
            "sz": str(eighths),
            "space": "0",
            "color": "000000",
        }.items():
            border.set(qn(f"w:{name}"), value)
        borders.append(border)


# What a format is called, the ending of its file, and how it is written.
FORMATS: dict[str, tuple[str, Callable[[Printed], str | bytes]]] = {
    "latex": ("tex", latex),
    "docx": ("docx", word),
    "xlsx": ("xlsx", xlsx),
    "markdown": ("md", markdown),
    "html": ("html", html_page),
}
