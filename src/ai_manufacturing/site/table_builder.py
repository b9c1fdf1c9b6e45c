"""The table builder: the paper's tables with the reader's choice of readings, errors and decimals."""

from pathlib import Path
from typing import Any

from ai_manufacturing import tables
from ai_manufacturing.estimators.sentences import COMMAS
from ai_manufacturing.site.charts import in_script
from ai_manufacturing.site.release import Release
from ai_manufacturing.tables import Cell, Column, PaperTable, formats
from ai_manufacturing.text import LANGUAGES, Catalogue

FOLDER = "tables"
# Formats that a page cannot write: they lie beside it with the choice that the page opens with.
READY_MADE = ("docx", "xlsx")
WORDS = ("builder_copied", "builder_not_copied")


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the tables as the script assembles them, with each number as the command prints it."""
    found = release.tables
    said = {key: words for table in found.values() for key, words in table.said.items()}
    return {
        "tables": found.values(),
        "errors": [*tables.ERRORS],
        "decimals": tables.DECIMALS,
        "ready_made": READY_MADE,
        "folder": FOLDER,
        "builder": in_script(
            {
                "tables": {name: _as_json(table) for name, table in found.items()},
                "said": said,
                "words": {key: [*text.texts[key]] for key in WORDS},
                "errors": tables.ERRORS,
                "noErrors": tables.NO_ERRORS,
                "defaults": {"errors": tables.DEFAULT_ERRORS, "decimals": tables.DEFAULT_DECIMALS},
                "decimals": tables.DECIMALS,
                "names": tables.NAMES,
                "firstBelowEstimates": tables.FIRST_BELOW_ESTIMATES,
                "punctuation": {
                    "colon": tables.COLONS,
                    "comma": [COMMAS[language] for language in LANGUAGES],
                    "brackets": tables.IN_BRACKETS,
                },
                "latex": {
                    "escapes": formats.LATEX_ESCAPES,
                    "headingWidth": formats.HEADING_WIDTH,
                    "columnsInNormalPrint": formats.COLUMNS_IN_NORMAL_PRINT,
                },
            }
        ),
    }


def write(release: Release, folder: Path) -> None:
    """Write the files that are ready made, in both languages."""
    target = folder / FOLDER
    target.mkdir()
    for name, table in release.tables.items():
        for language in LANGUAGES:
            printed = table.chosen(language=language)
            for kind in READY_MADE:
                ending, render = formats.FORMATS[kind]
                made = render(printed)
                (target / f"{name}_{language}.{ending}").write_bytes(made if isinstance(made, bytes) else made.encode())


def _as_json(table: PaperTable) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "lines": [{"number": number, "kind": line.kind, "label": line.label} for number, line in table.lines.items()],
        "columns": [_column(column) for column in table.columns],
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "id": column.specification_id,
        "isDefault": column.is_default,
        "hasSubstitutes": column.has_substitutes,
        "readings": column.reading,
        "titles": [column.title(language) for language in LANGUAGES],
        "tags": [column.tag(language) for language in LANGUAGES],
        "cells": {number: _cell(cell) for number, cell in column.cells.items()},
        "notes": [{"error": note.error, "head": note.head, "text": note.text} for note in column.notes],
    }


def _cell(cell: Cell) -> Any:
    """Return a cell by decimals, or by language; as one text where it is the same in all."""
    if cell.value is None:
        return cell.words[0] if len(set(cell.words)) == 1 else {"words": cell.words}
    return [cell.text("en", decimals) for decimals in tables.DECIMALS] if cell.is_rounded else cell.text("en", 0)
