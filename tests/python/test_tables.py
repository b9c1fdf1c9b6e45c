"""Test the export of the paper's tables with chosen columns and standard errors."""

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from io import BytesIO, StringIO
from itertools import chain
from pathlib import Path

import duckdb
import openpyxl
import pandas as pd
import pytest
from click.testing import CliRunner
from docx import Document
from docx.oxml.ns import qn
from docx.shared import Inches

from ai_manufacturing import tables
from ai_manufacturing.cli import main
from ai_manufacturing.site import paper_tables
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue
from ai_manufacturing.tables import Cell, PaperTable, PrintedTable, TableError, cells, formats
from tests.python.conftest import Build
from tests.python.site_reader import Page

ALL = tuple(tables.ERRORS)
PLAIN = "table_1_col_1"
READINGS = [PLAIN, "table_1_col_1_no_controls", "table_1_col_1_iid", "table_1_col_3"]

Tables = dict[str, PaperTable]
"""Printed tables by name."""


def read(build: Build) -> Tables:
    with duckdb.connect(str(build.warehouse), read_only=True) as connection:
        return cells.read_tables(connection, Catalogue.load().extend_from_database(connection))


@pytest.fixture(scope="session")
def sample_tables(sample_build: Build) -> Tables:
    return read(sample_build)


@pytest.fixture(scope="session")
def public_tables(public_build: Build) -> Tables:
    return read(public_build)


@pytest.fixture
def printed(sample_tables: Tables) -> PrintedTable:
    """Return a table with several readings of a column and all types of standard errors."""
    return sample_tables["table_1"].prepare(READINGS, ALL)


def grid(table: PrintedTable) -> list[list[str]]:
    return [[line.label, *map(table.text, line.cells)] for line in table.rows]


def rows_of(table: PrintedTable, kind: str) -> list[list[str]]:
    return [[*map(table.text, line.cells)] for line in table.rows if line.kind == kind]


@pytest.mark.parametrize("decimals", tables.DECIMALS[:2])
def test_numbers_are_those_of_the_estimates_and_their_checks(
    decimals: int, sample_tables: Tables, sample_build: Build
) -> None:
    number, least = f"{{:.{decimals}f}}", f"{10.0**-decimals:.{decimals}f}"
    found = sample_build.rows(
        f"""
        select
            c.table_id,
            c.column_number,
            format('{number}', c.estimate),
            format('({number})', c.std_error),
            coalesce(format('[{number}]', std_error_province), '[–]'),
            case
                when c.status = 'mechanical' or w.p_value is null then '–'
                when w.p_value < {least} / 2 then '<{least}'
                else format('{number}', w.p_value)
            end
        from reports.rpt_coefficients as c
        semi join reports.rpt_column_specifications as s
            on c.specification_id = s.specification_id
        left join estimates.est_inference as w
            on c.specification_id = w.specification_id and c.term = w.term
            and w.method = 'wild_restricted'
        where
            c.table_id like 'table_%'
            and c.term = c.regressor
            and c.estimator <> 'event_study'
        """
    )
    # Tiny p-values are printed as "<0.001", for example, and never as zero.
    assert f"<{least}" in {wild for *_, wild in found}
    shown = {
        name: table.prepare(errors=ALL, decimals=decimals) for name, table in sample_tables.items()
    }
    for name, number_of_column, *texts, wild in found:
        table = shown[name]
        place = [column.number for column in table.columns].index(number_of_column)
        column = [re.sub("[*†‡ ]", "", line[1 + place]) for line in grid(table)]
        assert "|".join([*texts, f"{{{wild}}}"]) in "|".join(column), (name, number_of_column)


@pytest.mark.parametrize(
    ("value", "is_rounded", "is_p_value", "text"),
    [
        (0.0004, True, True, "<0.001"),
        (0.0006, True, True, "0.001"),
        (0.0004, True, False, "0.000"),
        (2230.0, False, False, "2230"),
    ],
)
def test_a_p_value_is_never_printed_as_zero_and_a_count_has_no_decimals(
    value: float, is_rounded: bool, is_p_value: bool, text: str
) -> None:
    cell = Cell(value, is_rounded, is_p_value, "{", "}**", ("", ""))
    assert cell.text("en", 3) == f"{{{text}}}**"


def test_an_error_that_does_not_exist_says_so_and_why(sample_tables: Tables) -> None:
    def brackets(*errors: str) -> list[str]:
        notes = sample_tables["table_4"].prepare(errors=errors).notes
        return [note[:50] for note in notes if note[0] in "([{"]

    assert [note for note in brackets(*ALL) if note.startswith("{–}")] == [
        "{–} (3): A regressor computed from the outcome is ",
        "{–} (4): The wild bootstrap is run for the measure",
    ]
    assert not any(note.startswith("{") for note in brackets("city"))
    assert brackets() == []
    without = sample_tables["table_4"].prepare(errors=[])
    assert {row.kind for row in without.rows}.isdisjoint(tables.ERRORS.values())


def test_readings_stand_beside_or_instead_of_the_default(printed: PrintedTable) -> None:
    readings = ("AI firms", "AI firms: no controls", "AI firms: iid errors")
    assert printed.headings == [*(f"(1) {reading}" for reading in readings), "(3) AI patent grants"]
    assert rows_of(printed, "controls")[0] == ["yes", "no", "yes", "yes"]
    (error, *_), (patents, *_) = rows_of(printed, "std_error")[:2]
    assert error
    assert not patents
    assert "Standard errors (1: iid errors): homoskedastic, no clusters" in printed.notes
    assert "SYNTHETIC" in printed.caption


def test_every_language_has_its_words_and_the_mark(sample_tables: Tables) -> None:
    for table in sample_tables.values():
        readings = [column.specification_id for column in table.columns]
        shown = table.prepare(readings, ALL, "zh")
        assert "合成数据" in shown.caption
        assert shown.notes[0] == "数据集sample：合成数据，数字均为虚构。"
        texts = [
            shown.caption,
            *shown.headings,
            *shown.notes[1:],
            *chain.from_iterable(grid(shown)),
        ]
        assert [text for text in texts if re.search(r"[a-z]{3,} [a-z]{3,}", text)] == []


def test_substitutes_and_lost_stars_are_marked_beside_the_number(
    public_tables: Tables, public_build: Build
) -> None:
    estimates = rows_of(public_tables["table_1"].prepare(), "estimate")
    assert [estimates[1][1], estimates[2][2]] == ["not estimable"] * 2
    taken_away = public_build.value(
        "select count(*) from reports.rpt_coefficients as c inner join"
        " reports.rpt_column_specifications using (specification_id) where c.table_id = 'table_4'"
        " and c.term = c.regressor and c.p_value < 0.1 and c.p_value_province >= 0.1 and c.status ="
        " 'estimated'"
    )
    robustness = public_tables["table_4"].prepare()
    assert (
        taken_away
        == sum("‡" in cell for line in rows_of(robustness, "estimate") for cell in line)
        > 0
    )
    assert public_tables["table_1"].prepare(language="zh").caption.endswith("（含替代数据）")


def displayed(cell: openpyxl.cell.Cell) -> str:
    """Return a cell's text as Excel displays it, by applying its number format."""
    if not isinstance(cell.value, int | float):
        return cell.value or ""
    before, digits, after = re.fullmatch(
        r'(?:"(.*?)")?(0[.0]*)?(?:"(.*?)")?', cell.number_format
    ).groups()
    value = f"{cell.value:.{len(digits.partition('.')[2])}f}" if digits else ""
    return f"{before or ''}{value}{after or ''}"


def of_excel(printed: PrintedTable) -> list[list[str]]:
    sheet = openpyxl.load_workbook(BytesIO(formats.xlsx(printed)))["table_1"]
    caption, heading, *rows = ([displayed(cell) for cell in row] for row in sheet)
    assert caption[0] == printed.caption
    assert [row[0] for row in rows[len(printed.rows) :]] == printed.notes
    # Values stored in the workbook are not rounded.
    assert sheet["B3"].value == pytest.approx(printed.rows[0].cells[0].value, rel=1e-14)
    return [heading, *rows[: len(printed.rows)]]


def of_word(printed: PrintedTable) -> list[list[str]]:
    document = Document(BytesIO(formats.word(printed)))
    (table,) = document.tables
    texts = [paragraph.text for paragraph in document.paragraphs]
    assert texts == [printed.caption, *printed.notes]
    label, *others = (column.width for column in table.columns)
    assert Inches(6) - sum(others) >= label > max(others)
    assert table.rows[0]._tr.trPr.find(qn("w:tblHeader")) is not None
    assert document.styles["Normal"].element.rPr.rFonts.get(qn("w:eastAsia")) == "SimSun"
    return [[cell.text for cell in row.cells] for row in table.rows]


def of_html(printed: PrintedTable) -> list[list[str]]:
    text = formats.html(printed)
    assert f"<caption>{printed.caption}</caption>" in text
    (frame,) = pd.read_html(StringIO(text), header=None, converters=TEXTS, keep_default_na=False)
    rows = frame.values.tolist()
    assert [row[0] for row in rows[len(printed.rows) :]] == printed.notes
    return [["", *frame.columns[1:]], *rows[: len(printed.rows)]]


def of_markdown(printed: PrintedTable) -> list[list[str]]:
    text = formats.markdown(printed)
    assert not re.search(r"(?<!\\)[*_]", text.split("\n", 1)[1])
    assert text.count("\n\n") > len(printed.notes)
    heading, _, *rows = (
        re.sub(r"\\(.)", r"\1", line)[2:-2].split(" | ")
        for line in text.splitlines()
        if line.startswith("|")
    )
    return [heading, *rows]


def of_latex(printed: PrintedTable, siunitx: bool = False) -> list[list[str]]:
    text = formats.latex(printed, siunitx)
    assert ("S[table-format=-1.3" in text) == siunitx
    assert ("{***}" in text) == siunitx, "siunitx would read stars as part of the number"
    assert all(f"\\item {{}}{note[:3]}" in text for note in printed.notes if note[0] in "([")
    assert f"% Specifications: {', '.join(READINGS)}." in text
    body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    for pattern, plain in (
        (r"\\midrule\n", ""),
        (r"\$([-<])\$", r"\1"),
        (r"(?<!\\)[{}]", ""),
        (r"\\([{}_%&#$])", r"\1"),
        ("--", "–"),
    ):
        body = re.sub(pattern, plain, body)
    rows = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines()]
    return [["", *printed.headings], *rows]


TEXTS = dict.fromkeys(range(5), str)
READERS = (of_excel, of_word, of_html, of_markdown, of_latex, partial(of_latex, siunitx=True))


def test_a_format_keeps_every_cell(printed: PrintedTable) -> None:
    for read_back in READERS:
        shown = [[cell.strip() for cell in row] for row in read_back(printed)]
        assert shown == [["", *printed.headings], *grid(printed)], read_back


LATEX_PACKAGES = ("booktabs", "threeparttable", "siunitx")


def has_latex(package: str) -> bool:
    """Return whether pdflatex is installed and can find a LaTeX package."""
    command = ["kpsewhich", f"{package}.sty"]
    return (
        bool(shutil.which("pdflatex"))
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(
    not all(map(has_latex, LATEX_PACKAGES)), reason="pdflatex or a package of it is not here"
)
def test_latex_compiles(public_tables: Tables, tmp_path: Path) -> None:
    shown = "\n".join(
        formats.latex(table.prepare(errors=ALL), siunitx)
        for table in public_tables.values()
        for siunitx in (False, True)
    )
    packages = rf"\usepackage{{{','.join(LATEX_PACKAGES)}}}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}{shown}\end{{document}}"
    (tmp_path / "tables.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "tables.tex"]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False
    )
    assert run.returncode == 0, run.stdout[-2000:]


def run(build: Build, *arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["table", *arguments, "--database", str(build.warehouse)])
    return found.exit_code, found.output


def test_the_command_ends_with_two_and_writes_nothing_where_a_choice_does_not_exist(
    sample_build: Build, tmp_path: Path
) -> None:
    out = tmp_path / "table.html"
    for arguments, words in (
        (["table_7"], "'table_7' is not a printed table. Choose from the tables table_1"),
        (["table_1", "--siunitx"], "--siunitx applies to LaTeX, not to html."),
    ):
        code, printed = run(sample_build, "--format", "html", "--out", str(out), *arguments)
        assert (code, words in printed, out.exists()) == (2, True, False)


def test_a_choice_that_does_not_exist_is_named_with_those_that_do(sample_tables: Tables) -> None:
    for choice, said in (
        ({"readings": [PLAIN, PLAIN]}, f"'{PLAIN}' is named twice"),
        ({"readings": []}, "No specification of table_1 was named. Choose from table_1_col_1, "),
        (
            {"readings": ["table_2_col_1"]},
            "'table_2_col_1' is not a specification of table_1. Choose ",
        ),
        (
            {"errors": ["hc3"]},
            "'hc3' is not a kind of standard error. Choose from city, province, wild, or",
        ),
    ):
        with pytest.raises(TableError, match=re.escape(said)):
            sample_tables["table_1"].prepare(**choice)


def test_the_page_offers_what_the_command_writes_in_every_format_and_each_reading(
    sample_page: Callable[..., Page],
    sample_build: Build,
    sample_release: Path,
    sample_tables: Tables,
    tmp_path: Path,
) -> None:
    with Release(sample_release) as release:
        paper_tables.write_tables(release, tmp_path)
    for language in ("en", "zh"):
        page = sample_page("tables", language)
        for name, table in sample_tables.items():
            shown = table.prepare(language=language)
            texts = {
                ".docx": None,
                ".xlsx": None,
                ".tex": formats.latex(shown),
                "_siunitx.tex": formats.latex(shown, siunitx=True),
                ".md": formats.markdown(shown),
                ".html": formats.html(shown),
            }
            links = [link.get("href") for link in page.all(f"#{name}//a[@download]")]
            assert links == [f"tables/{name}_{language}{ending}" for ending in texts]
            for link, text in zip(links, texts.values(), strict=True):
                assert text in (None, (tmp_path / link).read_bytes().decode("utf-8", "ignore"))

    page = sample_page("tables")
    table = sample_tables["table_1"]
    readings = page.texts("#table_1//details//li/code")
    assert readings == [column.specification_id for column in table.columns]
    _, _, *arguments = page.text("#table_1//details/p/code").split()
    out = tmp_path / "new" / "chosen.docx"
    code, said = run(sample_build, *arguments, "--out", str(out))
    assert (code, said.splitlines()[1:]) == (0, [str(out)])
    assert said.startswith("sample (SYNTHETIC: its numbers are not real)")
    reading = arguments[arguments.index("--readings") + 1]
    expected = [row[1] for row in grid(table.prepare([reading], ALL, "en", 2))]
    assert [row.cells[1].text for row in Document(str(out)).tables[0].rows][1:] == expected
