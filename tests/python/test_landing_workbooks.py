"""Test the landing of Excel workbooks: hidden or contradictory sheets, note marks and formulas."""

import zipfile

import openpyxl
import pytest
import xlsxwriter

from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers import formats
from tests.python.conftest import PROJECT
from tests.python.landing_project import (
    FIRMS,
    GOOD,
    HEADER,
    Cells,
    Project,
    counts,
    fault,
    firms,
    landed,
    recorded,
    rejected,
    zipped,
)

MARKS = PROJECT / "tests/fixtures/marks.xls"
OLD = ("110000", 2020, 11, 3.5)
OTHER = ("120000", 2020, 1, 1)


def sheets() -> list[str]:
    """Return the sheet name of each landed row."""
    return [row["origin"]["sheet_name"] for row in landed()]


def deliver(project: Project, states: dict[str, str], **sheets: Cells) -> None:
    path = project.deliver_workbook("firms/a.xlsx", **sheets)
    book = openpyxl.load_workbook(path)
    for name, state in states.items():
        book[name].sheet_state = state
    book.active = next(at for at, name in enumerate(sheets) if name not in states)
    book.save(path)


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_wins_over_no_visible_one_and_what_it_alone_has_is_a_question(
    project: Project, state: str
) -> None:
    deliver(project, {"旧": state}, 旧=[HEADER, OLD], 新=[HEADER, GOOD])
    assert (
        fault()
        == "firms/a.xlsx, sheet 旧, row 2, column 企业数: two sheets contradict each other: for"
        ' 110000|2020 the value is "11" in this sheet, but "12" in sheet 新, row 2. Name the sheet'
        ' to read in vendor.toml, source firms, as in `sheets = ["…"]`, or ask the provider which'
        " value is right."
    )
    for visible, row, count in (([HEADER, GOOD], 3, 1), ([("说明",), ("见年鉴",)], 2, 2)):
        deliver(project, {"旧": state}, 旧=[HEADER, GOOD, OTHER], 新=visible)
        assert (
            fault() == f"firms/a.xlsx, sheet 旧, row {row}: the sheet is hidden, but contains"
            f" {count} records that no visible sheet contains. Name the sheets to read in"
            ' vendor.toml, source firms: sheets = ["…"]; or ask the provider which sheets are'
            " valid."
        )
    deliver(project, {"旧": state}, 旧=[HEADER, GOOD], 新=[HEADER, GOOD])
    assert sheets() == ["新"]
    assert rejected() == ["旧 2 |  | 110000|2020 | repeated sheet"]
    project.declare(FIRMS.replace("key =", 'sheets = ["旧"]\n    key ='))
    assert sheets() == ["旧"]


def test_rows_of_two_sheets_that_differ_are_a_fault_in_whatever_order_they_stand(
    project: Project,
) -> None:
    for second, what in (
        ((*GOOD[:3], None), 'empty in this sheet, but "3.5" in'),
        ((*GOOD[:3], 3.51), '"3.51" in this sheet, but "3.5"'),
    ):
        project.deliver_workbook("firms/a.xlsx", a=[HEADER, GOOD], b=[("标题",), HEADER, second])
        assert fault().startswith(
            "firms/a.xlsx, sheet b, row 3, column 产值: two sheets contradict each other"
        )
        assert what in fault()
    project.deliver_workbook("firms/a.xlsx", a=[HEADER, GOOD, OLD], b=[HEADER, OLD, GOOD])
    assert (sheets(), firms()) == (["a", "a"], [GOOD, OLD])
    assert len(rejected()) == 2


def test_a_declaration_names_the_sheets_to_read(project: Project) -> None:
    project.deliver_workbook("firms/a.xlsx", 面板2023=[HEADER, GOOD], 旧=[("标题",), HEADER, OLD])
    project.declare(FIRMS.replace("key =", 'sheets = ["面板*"]\n    key ='))
    assert firms() == [GOOD]
    assert rejected() == [
        "旧 1 |  | 标题||| | sheet not declared",
        "旧 3 |  | 110000|2020|11|3.5 | sheet not declared",
    ]
    assert counts() == [(3, 1, 2)]
    project.declare(FIRMS.replace("key =", 'sheets = ["Sheet1"]\n    key ='))
    assert (
        fault() == "firms/a.xlsx: no sheet is named Sheet1; the sheets of the workbook are"
        " 面板2023, 旧. Correct `sheets` in vendor.toml, source firms, or ask the provider for the"
        " file again."
    )
    project.deliver_rows(GOOD, to="firms/a.xlsx")
    assert sheets()[-1] is None


@pytest.mark.parametrize("in_cells", [True, False])
def test_raised_marks_are_notes_and_raised_lowered_or_struck_out_characters_no_digits(
    project: Project, in_cells: bool
) -> None:
    """Note marks are recognised in inline strings, which XlsxWriter writes in constant-memory mode,
    and in shared strings, which Excel writes.
    """
    path = project.deliver("firms/a.xlsx", b"")
    texts: list[tuple[str, ...]] = [
        ("146", "^", "1"),
        ("1,234.5", "^", " (2)"),
        ("7", "^", "a"),
        ("^", "1", "46"),
        ("10", "^", "6"),
        ("146", "_", "1"),
        ("~", "12", "146"),
        ("~", "14", "~", "6"),
        ("CO", "_", "2"),
    ]
    formats_of_marks = {
        "^": {"font_script": 1},
        "_": {"font_script": 2},
        "~": {"font_strikeout": True},
    }
    with xlsxwriter.Workbook(str(path), {"constant_memory": in_cells}) as book:
        marked = {mark: book.add_format(form) for mark, form in formats_of_marks.items()}
        sheet = book.add_worksheet("s")
        sheet.write_row(0, 0, HEADER)
        sheet.write_rich_string(0, 4, "面积km", marked["^"], "2")
        for row, text in enumerate(texts, start=1):
            sheet.write_row(row, 0, (f"{row}", 2020, 1))
            sheet.write_rich_string(row, 3, *(marked.get(part, part) for part in text))
            sheet.write_rich_string(row, 4, "北京", marked["^"], "1")
        sheet.write_row(10, 0, ("10", 2020, 1, 1461))
        sheet.write_row(11, 0, ("11", 2020, 1, "8"))
    with zipfile.ZipFile(path) as parts:
        assert (b"inlineStr" in parts.read("xl/worksheets/sheet1.xml")) == in_cells
    assert {code: value for code, *_, value in firms()} == {
        "1": 146.0,
        "2": 1234.5,
        "10": 1461.0,
        "11": 8.0,
    }
    assert rejected() == [
        "s 4 | 产值 | 7^a | not a number",
        "s 5 | 产值 | ¹46 | not a number (a note mark before its end)",
        "s 6 | 产值 | 10⁶ | not a number (a power of ten, or a note mark?)",
        "s 7 | 产值 | 146_1 | not a number",
        "s 8 | 产值 | ~12~146 | not a number",
        "s 9 | 产值 | ~14~~6~ | not a number",
        "s 10 | 产值 | CO2 | not a number",
    ]
    marks = (
        "The note marks of 2 numbers were dropped. The first is sheet s, row 2, column 产值, 146¹."
    )
    # A superscript in a heading belongs to the unit (km²) and is not dropped as a note mark.
    assert recorded("hint", "columns_not_read") == [(marks, "面积km2")]


def test_an_excel_97_workbook_says_which_digits_may_be_marks(project: Project) -> None:
    """The .xls file contains numbers with superscript, subscript and struck-out digits, an error
    value, and a formula without a cached value.
    """
    project.deliver("firms/a.xls", MARKS.read_bytes())
    assert [(code, *cells) for code, _, *cells in firms()] == [
        ("1", 1, 1461.0),
        ("2", 1, 1461.0),
        ("3", 1, 12146.0),
        ("4", 1, 146.0),
        ("7", None, 1.5),
        ("8", 12, 1461.0),
        ("9", None, 1.0),
    ]
    assert [line.split(" | ")[2] for line in rejected()] == ["1,234.5 (2)", "CO2"]
    hint = (
        "XLS is read without character formats and formulas. A raised, lowered or struck-out digit"
        " counts as an ordinary digit, and an error or a formula without a saved value as an empty"
        " cell. Deliver XLSX, so that such cells are set aside. Check 5 numbers stored as text,"
        " which may contain such digits. The first is sheet s, row 2, column 产值, 1461."
    )
    assert recorded("hint") == [(hint,)]


def test_a_damaged_excel_97_workbook_is_one_fault() -> None:
    content = MARKS.read_bytes()
    header = dict(zip(HEADER, HEADER, strict=True))
    for size in range(512, 30_000, 1024):
        with pytest.raises(FileFault, match=r"not a complete xls file \("):
            formats.read_sheets(content[:size], header)


def test_a_formula_without_a_saved_value_sets_its_row_aside(project: Project) -> None:
    """XlsxWriter saves a placeholder zero with each formula, which must not become a value."""
    header = (*HEADER, "备注")
    rows = [
        (*GOOD, "=1+1"),
        ("120000", 2020, "=SUM(C2:C2)", 1, "x"),
        ("=A2", '=B2&""', "=C2", "=D2", None),
    ]
    project.deliver_workbook("firms/a.xlsx", s=[header, *rows])
    with xlsxwriter.Workbook(str(project.deliver("firms/b.xlsx", b""))) as book:
        sheet = book.add_worksheet("t")
        for row, cells in enumerate([HEADER, GOOD, ("120000", 2020), ("130000", 2020)]):
            sheet.write_row(row, 0, cells)
        sheet.write_formula("C3", "=C2*2")
        sheet.write_array_formula("D4", "{=SUM(D2:D3)}")
    assert firms() == [GOOD, GOOD]
    reason = (
        "a formula without a saved value; open the file in Excel, save it, and deliver it again"
    )
    assert rejected() == [
        f"s 3 | 企业数 | =SUM(C2:C2) | {reason}",
        f"s 4 | 城市代码 | =A2 | {reason}",
        f"t 3 | 企业数 | =C2*2 | {reason}",
        f"t 4 | 产值 | =SUM(D2:D3) | {reason}",
    ]
    assert counts() == [(3, 1, 2), (3, 1, 2)]


def test_formulas_with_a_saved_value_land_it(project: Project) -> None:
    """The cached results are a number and an empty string, stored in the form that Excel uses."""
    path = project.deliver("firms/a.xlsx", b"")
    with xlsxwriter.Workbook(str(path)) as book:
        book.set_calc_mode("manual")
        sheet = book.add_worksheet("s")
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, ("110000", "", 12))
        sheet.write_formula("B2", "=2019+1", value=2020)
        sheet.write_formula("D2", '=IF(1,"")', value="empty")
    with zipfile.ZipFile(path) as parts:
        saved = {name: parts.read(name) for name in parts.namelist()}
    saved["xl/worksheets/sheet1.xml"] = saved["xl/worksheets/sheet1.xml"].replace(b"empty", b"")
    path.write_bytes(zipped(**saved))
    assert firms() == [("110000", 2020, 12, None)]
    assert rejected() == []
