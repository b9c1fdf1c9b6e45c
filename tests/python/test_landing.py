"""Test how delivered files enter the landing store: rules for rows, files and declarations."""

import csv
import datetime
import hashlib
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from ai_manufacturing.landing import declarations
from ai_manufacturing.landing.readers import formats
from tests.python.landing_project import (
    CRAWL,
    FIRMS,
    GOOD,
    HEADER,
    PROVENANCE,
    REGISTER,
    Project,
    counts,
    csv_text,
    fault,
    firms,
    landed,
    recorded,
    rejected,
    zipped,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
OTHER = ("120000", 2020, 1, 1)
THIRD = ("130000", 2020, 1, 1)


def values(column: str) -> list[Any]:
    return [row[column] for row in landed()]


def places() -> list[tuple[Any, ...]]:
    """Return the sheet name, row number and city code of each landed row."""
    return [
        (row["origin"]["sheet_name"], row["origin"]["row_number"], row["城市代码"])
        for row in landed()
    ]


RENAMED = """
    [sources.headings]
    "企业数" = ["企业数量", "企业数（户）"]
"""


def test_a_csv_lands_typed_with_its_origin(project: Project) -> None:
    path = project.deliver_rows(GOOD, ("120000", "2020", "", ""), to="firms/2020.csv")
    deliveries = landing.land_deliveries()
    table = landing.read_rows("firms", deliveries).read_all()
    source = {
        "provider": "vendor",
        "source_name": "firms",
        "delivery_number": 1,
        "delivery_id": hashlib.sha256(path.read_bytes()).hexdigest(),
        "file_path": "firms/2020.csv",
    }
    origin = source | {
        "valid_from_delivery": 1,
        "valid_until_delivery": None,
        "sheet_name": None,
    }
    assert table["origin"].to_pylist() == [origin | {"row_number": row} for row in (2, 3)]
    assert table.column_names == ["origin", *HEADER]
    assert firms() == [GOOD, ("120000", 2020, None, None)]
    assert table.schema.types[1:] == [pa.string(), pa.int64(), pa.int64(), pa.float64()]
    (delivery,) = deliveries.to_pylist()
    known = source | {
        "entity": "firms",
        "size_bytes": path.stat().st_size,
        "citation_zh": "测试者：虚构数据。",
        "source_link": "https://example.org/numbers",
        "looked_up_on": datetime.date(2026, 11, 28),
    }
    assert known.items() <= delivery.items()
    assert counts() == [(2, 2, 0)]


def test_the_header_decides_the_delimiter(project: Project) -> None:
    for number, mark in enumerate(",\t;"):
        # Delimiters inside the quoted last field must not affect the detected delimiter.
        text = csv_text((*GOOD, "a"), header=(*HEADER, "备注")).replace(",", mark)
        project.deliver(f"firms/{number}.csv", text.replace("a\n", f'"a,b;c\td,;{number}"\n'))
    assert firms() == [GOOD] * 3


def test_columns_may_stand_in_any_order_and_others_are_named_as_not_read(project: Project) -> None:
    header = (" 产值 ", "年份", "备注", "城市代码\ufeff", "企业数", None, None)
    project.deliver_workbook(
        "firms/a.xlsx", s=[header, (3.5, 2020, "x", 110000.0, 12, None, "stray")]
    )
    assert firms() == [GOOD]
    assert recorded("columns_not_read") == [("备注, column 7 without a name",)]


def test_columns_of_the_file_name_land_typed(project: Project) -> None:
    project.declare("""
        [[sources]]
        name = "stock"
        entity = "firms"
        files = "stock/*.csv"
        file_name = '企业_(?P<年份>\\d{4})\\.csv'
        key = ["城市", "年份"]
        [sources.columns]
        "年份" = "integer"
        "城市" = "text"
        """)
    project.deliver("stock/企业_2019.csv", "城市\n深圳市\n\n广州市\n")
    assert [(row["年份"], row["城市"], row["origin"]["row_number"]) for row in landed()] == [
        (2019, "深圳市", 2),
        (2019, "广州市", 4),
    ]
    project.deliver("stock/企业_latest.csv", "城市\n深圳市\n")
    assert fault().startswith(
        "stock/企业_latest.csv: the file name does not match the pattern 企业_(?P<年份>"
    )


def test_a_parquet_file_of_several_row_groups_and_coded_columns_lands_in_order(
    project: Project,
) -> None:
    size = 1000
    codes = [f"{number % 7}" for number in range(size)]
    numbers = pa.array([*range(size)])
    columns = (pa.array(codes), [2020] * size, numbers.dictionary_encode(), [0.5] * size)
    table = pa.table(dict(zip(HEADER, columns, strict=True)))
    pq.write_table(table, project.deliver("firms/a.parquet", b""), row_group_size=300)
    assert places() == [(None, number + 1, code) for number, code in enumerate(codes)]
    assert values("企业数") == numbers.to_pylist()


def test_an_entity_has_the_columns_of_all_its_declarations_delivered_or_not(
    project: Project,
) -> None:
    project.declare(
        """
        [[sources]]
        name = "other"
        entity = "firms"
        files = "other/*"
        key = ["code"]
        [sources.columns]
        code = "text"
        "产值" = "number"
        """,
        provider="another",
    )
    project.deliver_rows(GOOD)
    deliveries = landing.land_deliveries()
    table = landing.read_rows("firms", deliveries).read_all()
    assert table.column_names == ["origin", "code", "产值", "城市代码", "年份", "企业数"]
    assert table["code"].to_pylist() == [None]
    none = landing.read_rows("firms", deliveries.slice(0, 0)).read_all()
    assert (none.schema, none.num_rows) == (table.schema, 0)
    with pytest.raises(
        landing.LandingError,
        match=r'no declaration names the entity "patents"\. The declared entities are firms',
    ):
        landing.read_rows("patents", deliveries)
    # dbt_project.yml lists this entity without a provider.
    register = landing.read_rows("firm_register", deliveries).read_all()
    assert (register.column_names, register.num_rows) == (["origin"], 0)


def test_missing_markers_are_null(project: Project) -> None:
    markers = ["", "-", "--", "—", "…", "...", "..", ".", "无", "NA", "N/A", "nan", "NaN"]
    arounds = ("{}", "\u00a0{}\u200b ", "\u200b\u3000{}")
    texts = [around.format(marker) for marker in markers for around in arounds]
    project.deliver_rows(*(("110000", 2020, text, text) for text in texts), GOOD)
    assert firms() == [("110000", 2020, None, None)] * len(texts) + [GOOD]


@pytest.mark.parametrize("in_workbook", [False, True])
def test_a_cell_is_the_number_that_people_mean_or_sets_its_row_aside(
    project: Project, in_workbook: bool
) -> None:
    with (FIXTURES / "cells.csv").open(encoding="utf-8", newline="") as file:
        cells = [*csv.DictReader(file)]
    rows = [
        (
            str(row),
            2020,
            *(cell["text"] if column == cell["column"] else 1 for column in HEADER[2:]),
        )
        for row, cell in enumerate(cells, start=2)
    ]
    if in_workbook:
        project.deliver_workbook("firms/a.xlsx", s=[HEADER, *rows])
    else:
        project.deliver_rows(*([f'"{cell}"' for cell in row] for row in rows))
    read = {
        int(row["城市代码"]): None if row[cell["column"]] is None else str(row[cell["column"]])
        for row in landed()
        for cell in [cells[int(row["城市代码"]) - 2]]
    }
    wanted = {row: cell for row, cell in enumerate(cells, start=2) if not cell["reason"]}
    assert {row: text and float(text) for row, text in read.items()} == {
        row: float(cell["value"]) if cell["value"] else None for row, cell in wanted.items()
    }
    assert "9007199254740993" in read.values(), "an integer that no float holds"
    sheet = "s " if in_workbook else ""
    assert rejected() == [
        f"{sheet}{row} | {cell['column']} | {cell['text']} | {cell['reason']}"
        for row, cell in enumerate(cells, start=2)
        if cell["reason"]
    ]


def test_numbers_of_a_workbook_may_be_text_and_its_codes_numbers_but_an_error_is_not_missing(
    project: Project,
) -> None:
    path = project.deliver_workbook(
        "firms/a.xlsx",
        data=[
            HEADER,
            (110000, "2020", " 12 ", "3.5"),
            (110100.0, 2021.0, "—", 1e-7),
            ("120000", 2020, 1, "#DIV/0!"),
        ],
    )
    assert openpyxl.load_workbook(path)["data"]["D4"].data_type == "e"
    assert firms() == [GOOD, ("110100", 2021, None, 1e-7)]
    assert rejected() == ["data 4 | 产值 | #DIV/0! | not a number"]


def test_text_is_kept_but_for_whitespace_and_zero_width_characters(project: Project) -> None:
    project.deliver_rows(
        *((code, 2020, 1, 1) for code in ("\u00a0海口\u200b市 ", "00NA", "-", "=1+1", "@SUM(A1)"))
    )
    assert values("城市代码") == ["海口市", "00NA", "-", "=1+1", "@SUM(A1)"]


def test_a_ragged_record_is_set_aside_and_trailing_empty_fields_do_no_harm(
    project: Project,
) -> None:
    ragged = '120000,2020,1\n120000,2020,1,1,"x,y"\n120000,2020,1,1,, \n130000,2020,1,1\n,,,,,\n'
    project.deliver("firms/a.csv", csv_text(GOOD) + ragged)
    assert places() == [(None, 2, "110000"), (None, 5, "120000"), (None, 6, "130000")]
    assert rejected() == [
        "3 |  | 120000|2020|1 | expected 4 fields, found 3",
        "4 |  | 120000|2020|1|1|x,y | expected 4 fields, found 5",
    ]
    assert counts() == [(5, 3, 2)]


@pytest.mark.parametrize("in_workbook", [False, True])
def test_prose_around_the_table_is_set_aside(project: Project, in_workbook: bool) -> None:
    """Notes around the table must not count as records of an unknown city."""
    rows = [("企业统计",), (), HEADER, GOOD, ("", "", "来源：统计局", ""), (), OTHER]
    rows += [["注：本表数据来源于市场监管部门。"], ["1. 莱芜市自2019年起并入济南市", "", "", ""]]
    sheet, rest = ("s ", "|||") if in_workbook else ("", "")
    if in_workbook:
        project.deliver_workbook("firms/a.xlsx", s=rows)
    else:
        # A line without delimiters may be a truncated record, so it is treated as prose only if it
        # starts like a note.
        project.deliver("firms/a.csv", csv_text(*rows[1:], header=rows[0]) + "1200\n")
    assert [row for _, row, _ in places()] == [4, 7]
    expected = [
        f"{sheet}1 |  | 企业统计{rest} | prose above the header",
        f"{sheet}5 |  | ||来源：统计局| | prose: no key",
        f"{sheet}8 |  | 注：本表数据来源于市场监管部门。{rest} | prose: note",
        f"{sheet}9 |  | 1. 莱芜市自2019年起并入济南市||| | prose: note",
    ]
    if not in_workbook:
        expected.append("10 |  | 1200 | expected 4 fields, found 1")
    assert rejected() == expected


def test_a_prose_sheet_and_a_repeated_sheet_are_set_aside(project: Project) -> None:
    project.deliver_workbook(
        "firms/a.xlsx",
        说明=[("数据来源：统计年鉴",), (), ("更多数据", "x")],
        # The table in this sheet starts in column B of row 2.
        面板=[(), (None, *HEADER), (None, *GOOD), (None, "120000", 2020, "bad", 1)],
        again=[HEADER, ("110000", 2020, "worse", 9), ("120000", 2020, 7, 1), THIRD],
        empty=[],
    )
    assert places() == [("面板", 3, "110000"), ("again", 3, "120000"), ("again", 4, "130000")]
    assert rejected() == [
        "说明 1 |  | 数据来源：统计年鉴| | prose sheet",
        "说明 3 |  | 更多数据|x | prose sheet",
        "面板 4 | 企业数 | bad | not a number",
        "again 2 |  | 110000|2020 | repeated sheet",
    ]
    assert counts() == [(7, 3, 4)]


def test_a_city_of_which_no_value_was_delivered_is_no_note(project: Project) -> None:
    project.declare(FIRMS.replace('["城市代码", "年份"]', '["城市代码"]'))
    project.deliver_rows(("110000", "", "", ""), ("资料来源：统计局", "", "", ""))
    assert values("城市代码") == ["110000"]
    assert rejected() == ["3 |  | 资料来源：统计局||| | prose: note"]


def test_a_folder_that_is_missing_or_holds_no_declared_file_says_so(project: Project) -> None:
    assert (
        fault() == f"{project.root / 'extracts'}: the folder does not exist. "
        "Set EXTRACTS_DIR to another folder, or run `make setup` to create the synthetic sample."
    )
    project.deliver("README.md", "x")
    project.deliver("notes.pdf", "x")
    assert "extracts: none of the 1 files in this folder matches a declaration" in fault()


def test_a_file_that_nobody_declared_is_on_record(project: Project) -> None:
    project.deliver_rows(GOOD)
    for skipped in ("README.txt", ".hidden", "firms/~$a.xlsx", "firms/.~lock", "extract_set.yml"):
        project.deliver(skipped, "")
    project.deliver("zz/notes.pdf", "x")
    assert recorded("file_path", "source_name", "store_key", "hint")[1:] == [
        ("zz/notes.pdf", None, None, None)
    ]
    assert counts() == [(1, 1, 0), (0, 0, 0)]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("yearly/FIRMS_2020.xlsx", "vendor.firms reads yearly/firms_*.csv"),
        ("yearly/stock_2020.csv", "vendor.stocks reads yearly/stocks_*.csv"),
    ],
)
def test_a_name_that_no_declaration_claims_gets_a_hint(
    project: Project, name: str, hint: str
) -> None:
    declared = FIRMS.replace("firms/*", "yearly/firms_*.csv")
    project.declare(declared + declared.replace("firms", "stocks"))
    project.deliver_rows(GOOD, to=name)
    said = f"No declaration matches this file name; {hint}. Rename the file, or correct `files`."
    assert fault().splitlines()[1:] == [f"{name}: {said}"]
    project.deliver_rows(GOOD, to="yearly/firms_2019.csv")
    assert {*recorded("file_path", "hint")} == {(name, said), ("yearly/firms_2019.csv", None)}


def test_a_name_that_contradicts_the_content_is_on_record_and_beside_a_fault(
    project: Project,
) -> None:
    said = "The file name indicates CSV, but the content is XLSX and was read as such."
    project.deliver_workbook("firms/a.csv", sheet=[HEADER, GOOD])
    assert recorded("hint") == [(said,)]
    project.deliver_workbook("firms/b.csv", sheet=[HEADER[:3], GOOD[:3]])
    project.deliver("firms/c.xlsx", b"\xff\xfe\xfd")
    b, c = fault().splitlines()
    assert b.startswith("firms/b.csv, sheet sheet, row 1: wrong header")
    assert b.endswith(said)
    assert c.endswith("The file name indicates XLSX, but the content is CSV and was read as such.")


EMPTY, AGAIN, NOT_READ = "empty", "Ask the provider", "to CSV, XLSX, XLS, Stata or Parquet"
FAULTY_FILES: dict[str, tuple[bytes | str, tuple[str, ...]]] = {
    "blank.csv": ("\ufeff \n\n", (EMPTY, AGAIN)),
    "not_read_7z.csv": (b"7z\xbc\xaf\x27\x1c", ("a 7z archive", NOT_READ)),
    "not_read_html.csv": (b"\n<HTML><table>", ("a web page", NOT_READ)),
    "not_read_pdf.csv": (b"%PDF-1.7 x", ("a PDF file", NOT_READ, "Convert the file")),
    "not_read_rar.csv": (b"Rar!\x1a", ("a RAR archive", NOT_READ)),
    "not_read_xml.csv": (b"<?xml version='1.0'?>", ("an XML file", NOT_READ)),
    "renamed.csv": (
        csv_text(GOOD, header=("城市代码", "年度", "企业数", "产值")),
        (
            ", row 1",
            "it lacks 年份; its headings are 城市代码, 年度, 企业数, 产值.",
            "declare the new headings in vendor.toml, source firms, [sources.headings]",
            "It was read as UTF-8.",
        ),
    ),
    "rubbish.csv": (b"PAR1" + b"rubbish" * 50, ("not a complete parquet file",)),
    "rubbish.dta": (b"<stata_dta>" + b"rubbish" * 50, ("not a complete dta file",)),
    "rubbish.xls": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"rubbish" * 50,
        ("not a complete xls file",),
    ),
    "twice.csv": (
        csv_text((*GOOD, 4), header=(*HEADER, "产值")),
        (", row 1, column 产值: 2 columns have this name", AGAIN),
    ),
    "unclosed.csv": (
        csv_text(GOOD) + '120000,2020,1,"1\n130000,2020,1,1\n',
        (", row 3: an opening quotation mark is never closed", AGAIN),
    ),
}


def test_all_faulty_files_are_named_at_once_and_the_good_ones_land(project: Project) -> None:
    project.deliver_rows(GOOD, to="firms/good.csv")
    for name, (content, _) in FAULTY_FILES.items():
        project.deliver(f"firms/{name}", content)
    damaged = bytearray(project.deliver_workbook("firms/z.xlsx", s=[HEADER, GOOD]).read_bytes())
    # Flip a bit within the compressed worksheet to damage the workbook.
    damaged[damaged.index(b"xl/worksheets/sheet1.xml") + 60] ^= 1
    project.deliver("firms/z.xlsx", bytes(damaged))
    project.deliver_workbook(
        "firms/zz.xlsx", 说明=[("prose",)], 数据=[("title",), (), HEADER[:3], GOOD]
    )
    project.deliver_workbook("firms/zzz.xlsx", empty=[])
    expected = {name: parts for name, (_, parts) in FAULTY_FILES.items()} | {
        "z.xlsx": ("not a complete xlsx file",),
        "zz.xlsx": (
            ", sheet 数据, row 3",
            "it lacks 产值; its headings are 城市代码, 年份, 企业数.",
        ),
        "zzz.xlsx": ("all sheets are empty", AGAIN),
    }
    for line, (name, parts) in zip(fault().splitlines(), expected.items(), strict=True):
        assert line.startswith(f"firms/{name}")
        assert all(part in line for part in parts), line
    assert len(project.store_folders()) == 1


def test_a_column_that_was_renamed_lands_from_either_heading_but_not_from_two(
    project: Project,
) -> None:
    project.declare(FIRMS + RENAMED)
    project.deliver_rows(("110000", 2019, 11, 3), to="firms/2019.csv")
    header = [name.replace("企业数", "企业数量") for name in HEADER]
    project.deliver_rows(GOOD, ("120000", 2020, '"1,2O4"', 3), to="firms/2020.csv", header=header)
    spaced = [name.replace("企业数", " 企业数（户）") for name in HEADER]
    project.deliver_workbook("firms/2021.xlsx", s=[("标题",), spaced, GOOD])
    assert values("企业数") == [11, 12, 12]
    assert recorded("columns_not_read") == [(None,)] * 3
    assert rejected()[0] == "3 | 企业数量 | 1,2O4 | not a number (a letter O?)"
    project.deliver_rows((*GOOD, 13), header=(*HEADER, "企业数量"))
    assert fault().startswith(
        "firms/a.csv, row 1, column 企业数: 2 columns have this name (headings: 企业数, 企业数量)."
    )


def test_headings_that_look_alike_are_told_apart_by_their_characters(project: Project) -> None:
    project.declare(FIRMS.replace("产值", "产值(亿元)"))
    project.deliver_rows(GOOD, header=(*HEADER[:3], "产值（亿元）"))
    assert "产值（亿元） looks like 产值(亿元), but contains （ (U+FF08 FULLWIDTH LEFT" in fault()


def test_a_sheet_of_another_layout_is_named_with_the_way_out(project: Project) -> None:
    project.deliver_workbook(
        "firms/a.xlsx", 面板=[HEADER, GOOD], 宽表=[("城市代码", 2019, 2020), ("110000", 1, 2)]
    )
    ((hint,),) = recorded("hint")
    assert "Sheet 宽表 lacks the declared header" in hint
    assert 'vendor.toml, source firms: sheets = ["面板"]' in hint


def test_a_text_in_big5_says_which_encoding_was_guessed_and_which_it_may_have(
    project: Project,
) -> None:
    text = csv_text(("臺北", 2020, 1, 1), header=("城市代碼", "年份", "企業數", "產值"))
    # A valid GB18030 file is not mistaken for Big5 merely because its header is undeclared.
    simplified = csv_text(header=("城市代码", "年度", "企业数", "产值")).encode("gb18030")
    contents = text.encode("big5"), simplified, text.encode("big5") + b"\xff\n"
    for name, content in zip("abc", contents, strict=True):
        project.deliver(f"firms/{name}.csv", content)
    lines = fault().splitlines()
    said = (
        "It was read as GB18030. This is a guess",
        "Read as Big5, its first line is: 城市代碼,年份,企業數",
    )
    found = [[part in line for part in said] for line in lines]
    assert found == [[True, True], [True, False], [False, True]]
    assert all("or ask the provider for it in UTF-8." in line for line in lines)


def test_an_unreadable_encoding_names_the_row(project: Project) -> None:
    content = csv_text(("深圳", 2020, 1, 1), ("广州", 2020, 1, 1)).encode()
    project.deliver("firms/a.csv", content.replace("广州".encode(), b"\xff"))
    assert fault().startswith(
        "firms/a.csv, row 3: the encoding of the file was not recognised. These encodings were"
        " tried: utf-8 (which fails in row 3), gb18030 ("
    )


@pytest.mark.parametrize(
    ("provider", "entity", "both"),
    [
        ("vendor", "firms", "vendor.firms and vendor.again"),
        ("another", "robots", "another.again and vendor.firms"),
    ],
)
def test_a_file_is_of_one_provider_and_feeds_an_entity_once(
    project: Project, provider: str, entity: str, both: str
) -> None:
    again = FIRMS.replace('name = "firms"', 'name = "again"').replace(
        'entity = "firms"', f'entity = "{entity}"'
    )
    project.declare(FIRMS + again if provider == "vendor" else again, provider=provider)
    project.deliver_rows(GOOD)
    assert fault().startswith(f"firms/a.csv: more than one declaration matches this file: {both}.")


OUTPUTS = """
    [[sources]]
    name = "outputs"
    entity = "outputs"
    files = "firms/*"
    key = ["城市代码", "年份"]
    [sources.columns]
    "城市代码" = "text"
    "年份" = "integer"
    "产值" = "number"
"""
TWO_ENTITIES = FIRMS.replace('    "产值" = "number"\n', "") + OUTPUTS


def test_a_file_feeds_two_entities_and_its_records_are_counted_for_each(project: Project) -> None:
    project.declare(TWO_ENTITIES)
    # Only the entity `outputs` reads the column that contains the unreadable number.
    path = project.deliver_rows(GOOD, ("120000", 2020, 7, "9.5x"))
    assert recorded("delivery_number", "entity") == [(1, "firms"), (2, "outputs")]
    assert counts() == [(2, 2, 0), (2, 1, 1)]
    assert values("企业数") == [12, 7]
    assert [(row["产值"], row["origin"]["row_number"]) for row in landed("outputs")] == [(3.5, 2)]
    assert rejected() == ["3 | 产值 | 9.5x | not a number"]

    # A new file at the same path, here a ZIP archive, replaces the deliveries of both entities.
    # Deleting the file withdraws both.
    path.write_bytes(zipped(("a.csv", csv_text(GOOD))))
    assert [until for (until,) in recorded("valid_until_delivery")] == [3, 4, None, None]
    assert [row["产值"] for row in landed("outputs")] == [3.5, 3.5]
    path.unlink()
    project.deliver_rows(THIRD, to="firms/b.csv")
    assert [until for (until,) in recorded("valid_until_delivery")] == [3, 4, 9, 10, None, None]


def test_a_second_entity_of_a_known_file_lands_beside_the_first(project: Project) -> None:
    """The log gains a delivery for the second entity, and the first delivery remains valid."""
    project.deliver_rows(GOOD)
    assert recorded("delivery_number") == [(1,)]
    project.declare(FIRMS + OUTPUTS)
    assert recorded("delivery_number", "entity", "valid_until_delivery") == [
        (1, "firms", None),
        (2, "outputs", None),
    ]


FAULTY = tomllib.loads((FIXTURES / "faulty_declarations.toml").read_text(encoding="utf-8"))


def test_a_faulty_declaration_is_one_message(project: Project) -> None:
    project.deliver_rows(GOOD)
    for entry in FAULTY["faults"]:
        base = FIRMS + CRAWL if entry["of"] == "register" else FIRMS
        good = textwrap.dedent(base) + textwrap.dedent(PROVENANCE)
        assert entry["right"] in good
        project.declare(good.replace(entry["right"], entry["wrong"], 1), provenance="")
        (line,) = fault().splitlines()
        assert line.startswith("vendor/vendor.toml"), line
        assert entry["message"] in line
        if entry["message"] != "the declaration is not valid TOML":
            assert line.endswith(declarations.WAY_OUT)
        project.declare(good, provenance="")
        assert firms() == [GOOD]


def test_one_header_with_two_types_in_an_entity_names_both(project: Project) -> None:
    project.declare(FIRMS.replace('"产值" = "number"', '"产值" = "text"'), provider="another")
    project.deliver_rows(GOOD)
    assert fault().startswith(
        "vendor/vendor.toml, source firms, column 产值 has type number, but source firms of "
    )


def test_one_file_that_says_synthetic_in_every_row_makes_the_set_synthetic(
    project: Project,
) -> None:
    project.declare(FIRMS + '    "数据来源" = "text"\n')
    header = (*HEADER, "数据来源")
    project.deliver_rows((*GOOD, "统计局"), header=header)
    for second, kind in (("统计局", "delivered"), ("synthetic", "synthetic")):
        rows = ((*OTHER, "（synthetic sample）"), (*OTHER, second))
        project.deliver_rows(*rows, to="firms/b.csv", header=header)
        for _ in range(2):
            assert {*recorded("extract_set_kind")} == {(kind,)}


def test_a_register_is_synthetic_if_every_row_of_a_declared_column_says_so(
    project: Project,
) -> None:
    project.declare(FIRMS + REGISTER)
    project.deliver_rows(GOOD)
    for rows, kind in (
        ([("1", "synthetic", "x"), ("2", "a synthetic scope", "x")], "synthetic"),
        ([("1", "synthetic", "x"), ("2", "", "x")], "delivered"),
        ([("1", "x", "synthetic")], "delivered"),
        ([], "delivered"),
    ):
        header = ("编号", "经营范围", "备注")
        project.deliver_rows(*rows, to="register/a.csv", header=header)
        assert {*recorded("extract_set_kind")} == {(kind,)}


def test_a_second_landing_writes_nothing_and_a_changed_byte_lands_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deliver_rows(GOOD)
    first = landing.land_deliveries()
    before = {path: path.stat().st_mtime_ns for path in (project.root / "landing").rglob("*")}
    with monkeypatch.context() as patched:
        # Unchanged files must come from the landing store, so reading them again is an error here.
        patched.setattr(formats, "read_sheets", None)
        assert landing.land_deliveries() == first
    assert {
        path: path.stat().st_mtime_ns for path in (project.root / "landing").rglob("*")
    } == before

    project.deliver_rows(("110000", 2020, 13, 3.5))
    assert values("企业数") == [12, 13]
    assert [row["origin"]["valid_until_delivery"] for row in landed()] == [2, None]
    assert len(project.store_folders()) == 2


def test_another_declaration_lands_anew_and_earlier_deliveries_ask_for_a_build(
    project: Project,
) -> None:
    project.deliver_rows(GOOD)
    before = landing.land_deliveries()
    project.declare(FIRMS.replace('"企业数" = "integer"\n', ""))
    assert landing.land_deliveries()["store_key"] != before["store_key"]
    with pytest.raises(
        landing.LandingError,
        match=r"firms/a\.csv: the file was landed with another version of the declaration"
        r" vendor\.firms",
    ):
        landing.read_rows("firms", before).read_all()
