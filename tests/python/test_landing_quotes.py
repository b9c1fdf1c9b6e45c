"""Stray quotation marks: every line of the file lands as it is written, or is set aside; none is swallowed."""

import shutil

import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from tests.python.landing_project import FIRMS, Project

COLUMNS = ("编号", "名称", "年份", "企业数", "产值", "经营范围")
DECLARED = """
    [[sources]]
    name = "firms"
    entity = "firms"
    files = "firms/*"
    key = ["编号"]
    [sources.columns]
    "编号" = "text"
    "名称" = "text"
    "年份" = "integer"
    "企业数" = "integer"
    "产值" = "number"
    "经营范围" = "text"
"""
REGISTER = f"""
    [[registers]]
    name = "register"
    entity = "firm_register"
    covers = "complete"
    files = "register/*"
    [registers.columns]
    {"".join(f'"{name}" = "text"' + chr(10) + "    " for name in COLUMNS)}
"""
ROWS = 60

# Where the two marks stand: row and column, and whether at the beginning, in the middle or at the end of the cell.
# The header is row 0.
BEGIN, MIDDLE, END = "begin", "middle", "end"
STRAYS = {
    "one column": ((10, 1, BEGIN), (47, 1, END)),
    "one column, both at the beginning": ((10, 1, BEGIN), (47, 1, BEGIN)),
    "different columns": ((10, 1, BEGIN), (47, 4, END)),
    "different columns, backwards": ((10, 4, BEGIN), (47, 1, END)),
    "first column": ((10, 0, BEGIN), (47, 0, END)),
    "last column": ((10, 5, BEGIN), (47, 5, END)),
    "first and last column": ((10, 0, BEGIN), (12, 5, END)),
    "last and first column": ((10, 5, BEGIN), (12, 0, END)),
    "adjacent rows": ((10, 2, BEGIN), (11, 2, END)),
    "adjacent rows, first column": ((10, 0, BEGIN), (11, 0, END)),
    "adjacent rows, last column": ((10, 5, BEGIN), (11, 5, END)),
    "adjacent rows, different columns": ((10, 5, BEGIN), (11, 0, END)),
    "the whole file": ((1, 0, BEGIN), (60, 5, END)),
    "header and a row": ((0, 5, BEGIN), (20, 0, END)),
    "header, first column": ((0, 0, BEGIN), (20, 5, END)),
    "begin and middle": ((10, 1, BEGIN), (20, 1, MIDDLE)),
    "middle and end": ((10, 1, MIDDLE), (20, 1, END)),
    "end and begin": ((10, 1, END), (20, 1, BEGIN)),
    "one row": ((10, 1, BEGIN), (10, 4, END)),
    "one mark": ((10, 1, BEGIN), (10, 1, BEGIN)),
    "one mark inside": ((10, 1, MIDDLE), (10, 1, MIDDLE)),
}


def cells(row: int) -> list[str]:
    return [f"{row:03}", f"企业{row}号", str(2010 + row % 11), str(row), f"{row}.5", f"研发{row}；销售"]


def with_marks(places: tuple[tuple[int, int, str], ...]) -> list[list[str]]:
    table = [list(COLUMNS), *(cells(row) for row in range(1, ROWS + 1))]
    for row, column, where in dict.fromkeys(places):
        cell = table[row][column]
        at = {BEGIN: 0, MIDDLE: len(cell) // 2, END: len(cell)}[where]
        table[row][column] = f'{cell[:at]}"{cell[at:]}'
    return table


def landed(project: Project, entity: str) -> tuple[dict[str, list[str]], int]:
    """Return the landed rows as text by their first cell, and how many rows were set aside."""
    deliveries = landing.deliveries()
    (delivery,) = [row for row in deliveries.to_pylist() if row["entity"] == entity]
    assert delivery["record_count"] == delivery["landed_row_count"] + delivery["rejected_row_count"]
    aside = landing.rejected_rows(deliveries).read_all()
    assert len(set(aside["row_number"].to_pylist())) == aside.num_rows == delivery["rejected_row_count"]
    assert all(value for value in aside["value"].to_pylist())
    if entity == "firms":
        rows = landing.rows("firms", deliveries).read_all().to_pylist()
    else:
        rows = pq.read_table(project.root / "landing" / delivery["store_key"] / "rows.parquet").to_pylist()
    return {row["编号"]: [str(row[name]) for name in COLUMNS] for row in rows}, delivery["rejected_row_count"]


@pytest.mark.parametrize(
    ("entity", "delimiter", "encoding", "line_end"),
    [
        ("firms", ",", "utf-8", "\n"),
        ("firms", "\t", "gb18030", "\r\n"),
        ("firms", ";", "utf-8-sig", "\r"),
        ("firm_register", ",", "utf-8-sig", "\n"),
        ("firm_register", "\t", "gb18030", "\r\n"),
    ],
)
def test_stray_marks_swallow_no_row(
    project: Project, entity: str, delimiter: str, encoding: str, line_end: str
) -> None:
    project.declare(DECLARED + REGISTER)
    path = f"{'firms' if entity == 'firms' else 'register'}/a.csv"
    faults: dict[str, str] = {}
    for kind, places in STRAYS.items():
        table = with_marks(places)
        project.deliver(path, line_end.join(delimiter.join(row) for row in [*table, []]).encode(encoding))
        shutil.rmtree(project.root / "landing", ignore_errors=True)
        try:
            rows, set_aside = landed(project, entity)
        except landing.LandingError as error:
            faults[kind] = str(error)
            continue
        assert len(rows) + set_aside == ROWS, kind
        for row in rows.values():
            # what lands is the line as it is written, a mark inside a cell among its characters
            assert row == table[int(row[0].strip('"'))], kind
        assert len(rows) >= ROWS - (places[-1][0] - places[0][0] + 1), kind
    # a file whose header is broken, or whose last mark is never closed, is refused whole
    in_both = {"header and a row", "header, first column", "end and begin", "one mark"}
    in_registers = {"one column, both at the beginning", "begin and middle"}
    assert faults.keys() == (in_both if entity == "firms" else in_both | in_registers)
    for line in faults.values():
        assert line.startswith(path)
        assert "\n" not in line
        assert len(line) < 1000


def test_the_lines_set_aside_are_named(project: Project) -> None:
    project.declare(FIRMS)
    project.deliver(
        "firms/a.csv",
        '城市代码,年份,企业数,产值\n110000,2020,1,1\n120000,"2020,2,2\n\n130000,2020,3,3\n140000,2020",4,4\n150000,2020,5,5\n',
    )
    deliveries = landing.deliveries()
    reason = "stray quotation mark, or a line end in a cell: rows 3 to 6 would be read as one record"
    assert [tuple(row.values())[5:] for row in landing.rejected_rows(deliveries).read_all().to_pylist()] == [
        (None, 3, None, '120000,"2020,2,2', reason),
        (None, 5, None, "130000,2020,3,3", reason),
        (None, 6, None, '140000,2020",4,4', reason),
    ]
    rows = landing.rows("firms", deliveries).read_all().to_pylist()
    assert [(row["origin"]["row_number"], row["城市代码"], row["企业数"]) for row in rows] == [
        (2, "110000", 1),
        (7, "150000", 5),
    ]


def test_rows_below_a_doubtful_record_of_a_register_keep_their_place(project: Project) -> None:
    project.declare(DECLARED + REGISTER)
    lines = [",".join(COLUMNS), *(",".join(cells(row)) for row in range(1, 9))]
    lines[2], lines[4] = lines[2].replace(",企", ',"企'), lines[4].replace("号,", '号",')
    lines[1] = lines[7] = "ragged,line"
    project.deliver("register/a.csv", "\n".join(lines))
    aside = landing.rejected_rows(landing.deliveries()).read_all().to_pylist()
    doubtful = "stray quotation mark, or a line end in a cell: rows 3 to 5 would be read as one record"
    assert [(row["row_number"], row["value"], row["reason"]) for row in aside] == [
        (2, "ragged,line", "expected 6 fields, found 2"),
        (3, lines[2], doubtful),
        (4, lines[3], doubtful),
        (5, lines[4], doubtful),
        (8, "ragged,line", "expected 6 fields, found 2"),
    ]


@pytest.mark.parametrize(("entity", "folder"), [("firms", "firms"), ("firm_register", "register")])
def test_two_lost_marks_swallow_no_row(project: Project, entity: str, folder: str) -> None:
    """The mark that closes a cell and the one that opens the next are gone: both lines have a field too many."""
    project.declare(DECLARED + REGISTER)
    lines = [",".join(COLUMNS), *(f'{row:03},企业{row}号,2010,1,1.5,"研发,销售"' for row in range(1, 9))]
    lines[3], lines[4] = lines[3].removesuffix('"'), lines[4].replace('"研', "研")
    project.deliver(f"{folder}/a.csv", "\n".join(lines))
    found, set_aside = landed(project, entity)
    assert [*found] == ["001", "002", "005", "006", "007", "008"]
    assert set_aside == 2


def test_doubled_marks_are_legitimate_and_line_ends_in_cells_where_a_register_declares_them(project: Project) -> None:
    scopes = ["研发,\n销售,服务\n咨询", '他说""智能""', '""', "a\r\nb\nc", "1,2,3\n4,5", 'x""\n""y']
    several = [0, 3, 4, 5]
    text = ",".join(COLUMNS) + "\n"
    text += "".join(f'{row:03},企业{row}号,2010,1,1.5,"{scope}"\n' for row, scope in enumerate(scopes))
    for entity, folder in (("firms", "firms"), ("firm_register", "register")):
        project.declare(DECLARED + REGISTER)
        path = project.deliver(f"{folder}/a.csv", text)
        found, set_aside = landed_of(project, entity)
        path.unlink()
        assert [row[5] for row in found.values()] == ['他说"智能"', '"']
        assert set_aside == sum(len(scopes[row].splitlines()) for row in several)
    project.deliver("register/a.csv", text)
    project.declare(DECLARED + REGISTER.replace("covers =", "multiline = true\n    covers ="))
    found, set_aside = landed_of(project, "firm_register")
    assert [row[5] for row in found.values()] == [scope.replace('""', '"') for scope in scopes]
    assert set_aside == 0
    project.declare(DECLARED + REGISTER.replace("covers =", 'multiline = "yes"\n    covers ='))
    with pytest.raises(landing.LandingError, match="register register: multiline is 'yes', not true or false"):
        landing.deliveries()


def landed_of(project: Project, entity: str) -> tuple[dict[str, list[str]], int]:
    shutil.rmtree(project.root / "landing", ignore_errors=True)
    return landed(project, entity)
