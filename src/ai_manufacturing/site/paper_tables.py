"""Build the site's tables page, which shows estimates next to the paper's printed numbers."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from ai_manufacturing import tables
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import LANGUAGES, Catalogue, render_pair
from ai_manufacturing.tables import (
    DEFAULT_DECIMALS,
    DEFAULT_ERRORS,
    ERRORS,
    Cell,
    Line,
    PaperTable,
    PrintedTable,
    formats,
)

SQL = load_statements(__file__)

ESTIMATE_LINES = ("estimate", *(ERRORS[error] for error in DEFAULT_ERRORS))
# Line kinds to omit from the page. The column headings already name the outcome.
HIDDEN_LINES = (
    *tables.INTERNAL_LINES,
    "outcome",
    *(kind for kind in ERRORS.values() if kind not in ESTIMATE_LINES),
)
# Line kinds for which the paper prints numbers.
PAPER_LINES = ("estimate", "std_error", "observations", "r2_inclusive")
FOLDER = "tables"
# File suffix and writer function of each download format.
WRITERS: dict[str, tuple[str, Callable[[PrintedTable], str | bytes]]] = {
    "Word": (".docx", formats.word),
    "Excel": (".xlsx", formats.xlsx),
    "LaTeX": (".tex", formats.latex),
    "LaTeX (siunitx)": ("_siunitx.tex", partial(formats.latex, siunitx=True)),
    "Markdown": (".md", formats.markdown),
    "HTML": (".html", formats.html),
}


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the paper's tables with their specifications, notes and download formats."""
    # The query sorts event-study terms by year.
    scorecard = release.fetch_groups(
        "table_id",
        SQL["scorecard"],
    )
    specifications = {
        row["specification_id"]: row
        for row in release.fetch_rows("from reports.rpt_specifications")
    }
    return {
        "tables": [
            {
                "table": table,
                "columns": [
                    (column.number, specifications[column.specification_id])
                    for column in table.prepare().columns
                ],
                "lines": _build_lines(table, scorecard[name], text),
                "notes": {
                    language: table.prepare(language=language).notes for language in LANGUAGES
                },
                "endings": {kind: ending for kind, (ending, _) in WRITERS.items()},
                "other": next(
                    (column for column in table.columns if not column.is_default), table.columns[0]
                ),
            }
            for name, table in release.tables.items()
        ],
        "errors": ERRORS,
        "decimals": tables.DECIMALS,
    }


def write_tables(release: Release, folder: Path) -> None:
    """Write each table of the paper to one file per language and format."""
    (folder / FOLDER).mkdir()
    for name, table in release.tables.items():
        for language in LANGUAGES:
            for ending, write_as in WRITERS.values():
                content = formats.encode_text(write_as(table.prepare(language=language)))
                (folder / FOLDER / f"{name}_{language}{ending}").write_bytes(content)


def _build_lines(
    table: PaperTable, scorecard: list[dict[str, Any]], text: Catalogue
) -> Iterator[list[Markup | str]]:
    """Yield table lines: a label, then the estimate and the printed number for each column.

    Terms that
    the paper prints but no column estimates follow the estimates.
    """
    columns = table.prepare().columns
    lines = [
        (number, line)
        for number, line in table.lines.items()
        if line.kind not in HIDDEN_LINES and any(number in column.cells for column in columns)
    ]
    line_labels = {line.label[0] for _, line in lines}
    labels = {
        row["label_en"]: row["label_zh"] for row in scorecard if row["label_en"] not in line_labels
    }
    position = sum(line.kind in ESTIMATE_LINES for _, line in lines)
    lines[position:position] = [
        (0, Line(kind, label if kind == "estimate" else ("", "")))
        for label in labels.items()
        for kind in ESTIMATE_LINES
    ]
    printed_cells = _collect_printed_cells(scorecard)
    term = ""
    for number, line in lines:
        term = line.label[0] if line.kind == "estimate" else term
        cells: list[Markup | str] = [text.render_name(*line.label) if line.label[0] else ""]
        for column in columns:
            cell = column.cells.get(number)
            key = (column.number, line.kind, term if line.kind in ESTIMATE_LINES else "")
            cells += [
                "" if cell is None else _render_cell(cell, column.specification_id),
                printed_cells.get(key, ""),
            ]
        yield cells


def _render_cell(cell: Cell, specification_id: str) -> Markup:
    """Render a table cell as HTML, with a link from the number to its specification."""
    english, chinese = (cell.text(language, DEFAULT_DECIMALS) for language in LANGUAGES)
    markup = escape(english) if english == chinese else render_pair(english, chinese)
    if cell.value is None and not cell.is_missing:
        return markup
    return Markup('<a href="readings.html#{}">{}</a>').format(specification_id, markup)


def _collect_printed_cells(scorecard: list[dict[str, Any]]) -> dict[tuple[int, str, str], str]:
    """Return the numbers printed in the paper, by column number, line kind and term label."""
    cells = {}
    for row in scorecard:
        for kind in PAPER_LINES:
            if row[kind] is not None:
                term = row["label_en"] if kind in ESTIMATE_LINES else ""
                cells[row["column_number"], kind, term] = row[kind]
    return cells
