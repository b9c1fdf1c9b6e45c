"""Tables for a manuscript: the paper's tables in every format, and the command for other readings of their columns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ai_manufacturing import tables
from ai_manufacturing.site.release import Release
from ai_manufacturing.tables import Printed, formats
from ai_manufacturing.text import LANGUAGES, Catalogue

FOLDER = "tables"
NAMES = {
    "docx": "Word",
    "xlsx": "Excel",
    "latex": "LaTeX",
    "siunitx": "LaTeX (siunitx)",
    "markdown": "Markdown",
    "html": "HTML",
}


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the tables with the default reading of each column, and the readings that the command can choose."""
    return {
        "tables": [
            {
                "table": table,
                "shown": {language: _shown(table.chosen(language=language)) for language in LANGUAGES},
                "other": next((column for column in table.columns if not column.is_default), table.columns[0]),
            }
            for table in release.tables.values()
        ],
        "errors": tables.ERRORS,
        "decimals": tables.DECIMALS,
    }


def write(release: Release, folder: Path) -> None:
    """Write each table in both languages and every format."""
    (folder / FOLDER).mkdir()
    for table in release.tables.values():
        for language in LANGUAGES:
            for path, content in _files(table.chosen(language=language)):
                (folder / path).write_bytes(content)


def _shown(printed: Printed) -> dict[str, Any]:
    return {
        "html": Markup(formats.html(printed).replace("<table ", '<table class="plain built" ', 1)),
        "files": {name: _path(printed, kind) for kind, name in NAMES.items()},
    }


def _files(printed: Printed) -> Iterator[tuple[str, bytes]]:
    for kind in NAMES:
        made = formats.latex(printed, siunitx=True) if kind == "siunitx" else formats.FORMATS[kind][1](printed)
        yield _path(printed, kind), made if isinstance(made, bytes) else made.encode()


def _path(printed: Printed, kind: str) -> str:
    stem = f"{FOLDER}/{printed.table_id}_{printed.language}"
    return f"{stem}_siunitx.tex" if kind == "siunitx" else f"{stem}.{formats.FORMATS[kind][0]}"
