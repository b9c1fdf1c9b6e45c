"""The paper's tables by choice, read back by other readers, and as the table builder of the site shows them."""

import re
import zipfile
from io import BytesIO, StringIO
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pandas as pd
import pytest
from docx import Document
from playwright.sync_api import Page, expect

from ai_manufacturing import databases, exports, tables
from ai_manufacturing.tables import PaperTable, cells, formats
from ai_manufacturing.text import Catalogue
from tests.python.conftest import Build
from tests.python.site_reader import AXE, PHONE, STRAY, Reader

CHOICES = [*chain.from_iterable(combinations(tables.ERRORS, size) for size in range(4))]
ERROR_KINDS = {*tables.ERRORS.values()}


def read(build: Build) -> dict[str, PaperTable]:
    with duckdb.connect(str(build.warehouse), read_only=True) as connection:
        return cells.read(connection, Catalogue.read().with_labels_of(connection))


@pytest.fixture(scope="session")
def sample_tables(sample_build: Build) -> dict[str, PaperTable]:
    return read(sample_build)


@pytest.fixture(scope="session")
def public_tables(public_build: Build) -> dict[str, PaperTable]:
    return read(public_build)


# ---------------------------------------------------------------- the page


def test_the_builder_prints_what_the_command_prints(
    reader: Reader, sample_site: Path, sample_tables: dict[str, PaperTable]
) -> None:
    """Each table, choice of errors, language and decimals; and every reading at once."""
    page = reader.open(sample_site, "table_builder")
    for place, (name, table) in enumerate(sample_tables.items()):
        for number, errors in enumerate(CHOICES):
            language, decimals = ("en", "zh")[(place + number) % 2], tables.DECIMALS[(place + number) % 3]
            readings = [column.specification_id for column in table.columns] if number == len(CHOICES) - 1 else None
            printed = table.chosen(readings, errors, language, decimals)
            assert sources(page, printed) == {
                "latex": formats.latex(printed),
                "siunitx": formats.latex(printed, siunitx=True),
                "markdown": formats.markdown(printed),
                "html": formats.html(printed),
            }
    assert reader.complaints == []


def sources(page: Page, printed: tables.Printed) -> dict[str, str]:
    """Return what the script of the page makes of the choice behind a printed table."""
    readings = [column.specification_id for column in printed.columns]
    hidden = ERROR_KINDS - {row.kind for row in printed.rows}
    errors = [error for error, kind in tables.ERRORS.items() if kind not in hidden]
    found: dict[str, str] = page.evaluate(
        """([name, readings, errors, at, decimals]) => {
            const table = assemble(name, readings, errors, at, decimals);
            const latexWith = (checked) => { chooser.siunitx.checked = checked; return latex(table); };
            return { siunitx: latexWith(true), latex: latexWith(false), markdown: markdown(table), html: html(table) };
        }""",
        [printed.table_id, readings, errors, ("en", "zh").index(printed.language), printed.decimals],
    )
    return found
