"""Test that stray quotation marks never merge lines: each line is landed as written or rejected."""

from collections import defaultdict

import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from tests.python.landing_project import FIRMS, Project, fault, recorded, rejected

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
    files = "firm_register/*"
    [registers.columns]
    {"".join(f'"{name}" = "text"' + chr(10) + "    " for name in COLUMNS)}
"""
ROWS = 60
STRAYS = """
    one column: 10 1 begin, 47 1 end
    one column, both at the beginning: 10 1 begin, 47 1 begin
    different columns: 10 1 begin, 47 4 end
    different columns, backwards: 10 4 begin, 47 1 end
    first column: 10 0 begin, 47 0 end
    last column: 10 5 begin, 47 5 end
    first and last column: 10 0 begin, 12 5 end
    last and first column: 10 5 begin, 12 0 end
    adjacent rows: 10 2 begin, 11 2 end
    adjacent rows, first column: 10 0 begin, 11 0 end
    adjacent rows, last column: 10 5 begin, 11 5 end
    adjacent rows, different columns: 10 5 begin, 11 0 end
    the whole file: 1 0 begin, 60 5 end
    header and a row: 0 5 begin, 20 0 end
    header, first column: 0 0 begin, 20 5 end
    begin and middle: 10 1 begin, 20 1 middle
    middle and end: 10 1 middle, 20 1 end
    end and begin: 10 1 end, 20 1 begin
    one row: 10 1 begin, 10 4 end
    one mark: 10 1 begin
    one mark inside: 10 1 middle
"""
"""Positions of marks: row (0 is the header), column, and place within the cell."""


def cells(row: int) -> list[str]:
    return [
        f"{row:03}",
        f"企业{row}号",
        str(2010 + row % 11),
        str(row),
        f"{row}.5",
        f"研发{row}；销售",
    ]


def with_marks(places: str) -> tuple[list[list[str]], list[int]]:
    """Return a table with quotation marks inserted at these places, and the affected rows."""
    table = [list(COLUMNS), *(cells(row) for row in range(1, ROWS + 1))]
    marked = []
    for place in places.split(", "):
        row, column, where = place.split()
        cell = table[int(row)][int(column)]
        at = {"begin": 0, "middle": len(cell) // 2, "end": len(cell)}[where]
        table[int(row)][int(column)] = f'{cell[:at]}"{cell[at:]}'
        marked.append(int(row))
    return table, marked


def landed(project: Project) -> dict[str, list[list[str]]]:
    """Return the landed rows of each file, with all values converted to strings."""
    rows = {
        path: pq.read_table(project.root / "landing" / store_key / "rows.parquet").to_pylist()
        for path, store_key in recorded("file_path", "store_key")
    }
    return {path: [[str(row[name]) for name in COLUMNS] for row in rows[path]] for path in rows}


@pytest.mark.parametrize(
    ("entity", "delimiter", "encoding", "line_end"),
    [
        ("firms", ";", "utf-8-sig", "\r"),
        ("firm_register", "\t", "gb18030", "\r\n"),
    ],
)
def test_stray_marks_swallow_no_row(
    project: Project, entity: str, delimiter: str, encoding: str, line_end: str
) -> None:
    project.declare(DECLARED + REGISTER)
    kinds = dict(line.strip().split(": ") for line in STRAYS.strip().splitlines())
    tables = {kind: with_marks(places) for kind, places in kinds.items()}
    for kind, (table, _) in tables.items():
        text = line_end.join(delimiter.join(row) for row in [*table, []])
        project.deliver(f"{entity}/{kind}.csv", text.encode(encoding))
    # A file is refused if its header contains a stray mark or its last quotation mark is never
    # closed.
    refused = {line.removeprefix(f"{entity}/").split(".csv")[0] for line in fault().splitlines()}
    in_both = {"header and a row", "header, first column", "end and begin", "one mark"}
    in_registers = {"one column, both at the beginning", "begin and middle"}
    assert refused == (in_both if entity == "firms" else in_both | in_registers)
    for kind in refused:
        (project.root / f"extracts/{entity}/{kind}.csv").unlink()
    aside = landing.read_rejected_rows(landing.land_deliveries()).read_all().to_pylist()
    assert all(row["value"] for row in aside)
    set_aside: dict[str, list[int]] = defaultdict(list)
    for row in aside:
        set_aside[row["file_path"]].append(row["row_number"])
    counted = {
        path: numbers
        for path, *numbers in recorded("file_path", "record_count", "rejected_row_count")
    }
    for path, rows in landed(project).items():
        table, marked = tables[path.removeprefix(f"{entity}/").removesuffix(".csv")]
        numbers = set_aside[path]
        assert len({*numbers}) == len(numbers)
        assert counted[path] == [len(rows) + len(numbers), len(numbers)] == [ROWS, len(numbers)], (
            path
        )
        # Each landed row equals its line in the file, including quotation marks within cells.
        assert all(row == table[int(row[0].strip('"'))] for row in rows), path
        assert len(rows) >= ROWS - (marked[-1] - marked[0] + 1), path


def test_the_lines_set_aside_are_named(project: Project) -> None:
    project.declare(FIRMS)
    lines = [
        "城市代码,年份,企业数,产值",
        "110000,2020,1,1",
        '120000,"2020,2,2',
        "",
        "130000,2020,3,3",
    ]
    lines += ['140000,2020",4,4', "150000,2020,5,5", '160000,"2020,6,6', '170000,2020",7,7']
    project.deliver("firms/a.csv", "\n".join(lines))
    records = {3: "3 to 6", 5: "3 to 6", 6: "3 to 6", 8: "8 to 9", 9: "8 to 9"}
    assert rejected() == [
        f"{row} |  | {lines[row - 1]} | stray quotation mark, or a line end in a cell: rows {rows}"
        " would be read as one record"
        for row, rows in records.items()
    ]
    rows = landing.read_rows("firms", landing.land_deliveries()).read_all().to_pylist()
    assert [(row["origin"]["row_number"], row["城市代码"]) for row in rows] == [
        (2, "110000"),
        (7, "150000"),
    ]


def test_doubled_marks_are_legitimate_and_line_ends_in_cells_where_a_register_declares_them(
    project: Project,
) -> None:
    scopes = ["研发,\n销售,服务\n咨询", '他说""智能""', '""', "a\r\nb\nc", "1,2,3\n4,5", 'x""\n""y']
    text = "".join(
        f'{row:03},企业{row}号,2010,1,1.5,"{scope}"\n' for row, scope in enumerate(scopes)
    )
    project.declare(DECLARED + REGISTER)
    for entity in ("firms", "firm_register"):
        path = project.deliver(f"{entity}/a.csv", f"{','.join(COLUMNS)}\n{text}")
        assert [row[5] for row in landed(project)[f"{entity}/a.csv"]] == ['他说"智能"', '"']
        assert recorded("rejected_row_count")[-1] == (3 + 3 + 2 + 2,)
        if entity == "firms":
            path.unlink()
    project.declare(DECLARED + REGISTER.replace("covers =", "multiline = true\n    covers ="))
    whole = landed(project)["firm_register/a.csv"]
    assert [row[5] for row in whole] == [scope.replace('""', '"') for scope in scopes]
    assert recorded("rejected_row_count")[-1] == (0,)
