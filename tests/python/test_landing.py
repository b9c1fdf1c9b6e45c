"""The landing of delivered files: each row rule, each file rule, the store, and conservation on the real deliveries."""

import datetime
import hashlib
import shutil
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from ai_manufacturing.landing import declarations, store
from ai_manufacturing.landing.readers import formats
from tests.python.landing_project import FIRMS, GOOD, HEADER, Project, csv_text, fault, rejected


def landed(entity: str = "firms") -> list[dict[str, Any]]:
    return landing.rows(entity, landing.deliveries()).read_all().to_pylist()


def values(column: str) -> list[Any]:
    return [row[column] for row in landed()]


def origins(field: str) -> list[Any]:
    return [row["origin"][field] for row in landed()]


def counts() -> tuple[int, int, int]:
    (delivery,) = landing.deliveries().to_pylist()
    return delivery["record_count"], delivery["landed_row_count"], delivery["rejected_row_count"]


RENAMED = """
    [sources.headings]
    "企业数" = ["企业数量", "企业数（户）"]
"""

# What lands


def test_a_csv_lands_typed_with_its_origin(project: Project) -> None:
    path = project.deliver("firms/2020.csv", csv_text(GOOD, ("120000", "2020", "", "")))
    deliveries = landing.deliveries()
    table = landing.rows("firms", deliveries).read_all()
    origin = {
        "provider": "vendor",
        "source_name": "firms",
        "delivery_number": 1,
        "delivery_id": hashlib.sha256(path.read_bytes()).hexdigest(),
        "file_path": "firms/2020.csv",
        "valid_from_delivery": 1,
        "valid_until_delivery": None,
        "sheet_name": None,
    }
    assert table.to_pylist() == [
        {"origin": origin | {"row_number": 2}, "城市代码": "110000", "年份": 2020, "企业数": 12, "产值": 3.5},
        {"origin": origin | {"row_number": 3}, "城市代码": "120000", "年份": 2020, "企业数": None, "产值": None},
    ]
    assert table.schema.types[1:] == [pa.string(), pa.int64(), pa.int64(), pa.float64()]
    (delivery,) = deliveries.to_pylist()
    assert {name: value for name, value in delivery.items() if value is not None} == {
        **{name: origin[name] for name in ("delivery_number", "delivery_id", "provider", "source_name", "file_path")},
        "extract_set": "extracts",
        "extract_set_kind": "delivered",
        "entity": "firms",
        "size_bytes": path.stat().st_size,
        "modified_at": datetime.datetime.fromtimestamp(int(path.stat().st_mtime), datetime.UTC).replace(tzinfo=None),
        "landed_at": delivery["landed_at"],
        "file_format": "csv",
        "encoding": "utf-8",
        "delimiter": "comma",
        "record_count": 2,
        "landed_row_count": 2,
        "rejected_row_count": 0,
        "superseded_periods": [],
        "is_of_earlier_declaration": False,
        "store_key": delivery["store_key"],
        "provenance_class": "republished",
        "publisher": "not stated",
        "republished_by": "a tester",
        "licence": "none stated",
        "citation_en": "A tester: invented numbers.",
        "citation_zh": "测试者：虚构数据。",
        "source_address": "https://example.org/numbers",
        "source_link": "https://example.org/numbers",
        "looked_up_on": datetime.date(2026, 11, 28),
    }


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_the_header_decides_the_delimiter(project: Project, delimiter: str) -> None:
    # the last field holds more of the other marks than of the delimiter
    row = f'{delimiter.join(["110000", "2020", "12", "3.5"])}{delimiter}"a,b;c\td,;"\n'
    project.deliver("firms/a.csv", delimiter.join([*HEADER, "备注"]) + "\n" + row)
    assert [(row["城市代码"], row["年份"], row["企业数"], row["产值"]) for row in landed()] == [GOOD]


def test_row_numbers_count_blank_lines_and_each_line_of_a_quoted_break(project: Project) -> None:
    text = csv_text(GOOD) + "\n" + '"12\n0000",2020,1,1\n,,,\n130000,2020,1,1\n\n'
    project.deliver("firms/a.csv", text)
    assert [(row["origin"]["row_number"], row["城市代码"]) for row in landed()] == [
        (2, "110000"),
        (7, "130000"),
    ]
    assert counts() == (4, 2, 2)


def test_a_header_only_file_lands_nothing(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text())
    assert counts() == (0, 0, 0)
    assert landed() == []


def test_columns_may_stand_in_any_order_and_others_are_named_as_not_read(project: Project) -> None:
    project.deliver_workbook(
        "firms/a.xlsx",
        s=[
            (" 产值 ", "年份", "备注", "城市代码\ufeff", "企业数", None, None),
            (3.5, 2020, "x", 110000.0, 12, None, "stray"),
        ],
    )
    (row,) = landed()
    assert (row["城市代码"], row["年份"], row["企业数"], row["产值"]) == GOOD
    assert landing.deliveries()["columns_not_read"].to_pylist() == ["备注, column 7 without a name"]


def test_columns_of_the_file_name_land_typed(project: Project) -> None:
    project.declare(
        """
        [[sources]]
        name = "stock"
        entity = "firms"
        files = "stock/*.csv"
        file_name = '企业_(?P<年份>\\d{4})\\.csv'
        key = ["城市", "年份"]
        [sources.columns]
        "年份" = "integer"
        "城市" = "text"
        """
    )
    project.deliver("stock/企业_2019.csv", "城市\n深圳市\n\n广州市\n")
    assert [(row["年份"], row["城市"], row["origin"]["row_number"]) for row in landed()] == [
        (2019, "深圳市", 2),
        (2019, "广州市", 4),
    ]
    project.deliver("stock/企业_latest.csv", "城市\n深圳市\n")
    assert fault().startswith("stock/企业_latest.csv: the name does not fit file_name of vendor.stock, 企业_(?P<年份>")


def test_a_stata_file_lands_with_observation_numbers(project: Project) -> None:
    frame = pd.DataFrame(
        {"code": [110000.0, None, 120000.0], "year": [2019, 2020, 2020], "firm": [1.0, 2.5, None], "x": ["a", "b", "c"]}
    )
    project.declare(
        """
        [[sources]]
        name = "stock"
        entity = "firms"
        files = "*.dta"
        key = ["code"]
        [sources.columns]
        code = "text"
        year = "integer"
        firm = "number"
        """
    )
    frame.to_stata(project.deliver("stock.dta", b""), write_index=False)
    assert [(row["origin"]["row_number"], row["code"], row["year"], row["firm"]) for row in landed()] == [
        (1, "110000", 2019, 1.0),
        (3, "120000", 2020, None),
    ]
    assert rejected() == [(None, 2, None, "|2020|2.5|b", "prose: no key")]
    (delivery,) = landing.deliveries().to_pylist()
    assert (delivery["file_format"], delivery["encoding"], delivery["columns_not_read"]) == ("dta", "gb18030", "x")


def test_a_parquet_file_of_several_row_groups_and_coded_columns_lands_in_order(project: Project) -> None:
    path = project.deliver("firms/a.parquet", b"")
    codes = [f"{number % 7}" for number in range(1000)]
    columns = (
        pa.array(codes).dictionary_encode(),
        [2020] * 1000,
        pa.array([*range(1000)]).dictionary_encode(),
        [0.5] * 1000,
    )
    pq.write_table(pa.table(dict(zip(HEADER, columns, strict=True))), path, row_group_size=300)
    assert [(row["origin"]["row_number"], row["城市代码"], row["企业数"]) for row in landed()] == [
        (number + 1, codes[number], number) for number in range(1000)
    ]


def test_an_entity_has_the_columns_of_all_its_declarations_delivered_or_not(project: Project) -> None:
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
    project.deliver("firms/a.csv", csv_text(GOOD))
    table = landing.rows("firms", landing.deliveries()).read_all()
    assert table.column_names == ["origin", "code", "产值", "城市代码", "年份", "企业数"]
    assert table["code"].to_pylist() == [None]
    none = landing.rows("firms", landing.deliveries().slice(0, 0)).read_all()
    assert none.schema == table.schema
    assert none.num_rows == 0
    with pytest.raises(
        landing.LandingError, match='entity "patents": no declaration names this entity; declared are firms'
    ):
        landing.rows("patents", landing.deliveries())


# Row rules


@pytest.mark.parametrize("marker", ["", "-", "--", "—", "…", "...", "..", ".", "无", "NA", "N/A", "nan", "NaN"])
@pytest.mark.parametrize("around", ["{}", "\u00a0{}\u200b ", "\u200b\u3000{}"])
def test_missing_markers_are_null(project: Project, marker: str, around: str) -> None:
    text = around.format(marker)
    project.deliver("firms/a.csv", csv_text(("110000", 2020, text, text), GOOD))
    assert values("企业数") == [None, 12]
    assert values("产值") == [None, 3.5]
    assert rejected() == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", 1234),
        ("-1,234,567", -1234567),
        ("１２，３４５", 12345),
        (" 12\u200b", 12),
        ("\u00a012\u3000", 12),
        ("12.0", 12),
        ("+12", 12),
        ("1.2e1", 12),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_numbers_are_read_as_people_write_them(project: Project, text: str, number: int) -> None:
    project.deliver("firms/a.csv", csv_text(("110000", 2020, f'"{text}"', f'"{text}"'), GOOD))
    assert values("企业数") == [number, 12]
    assert values("产值") == [float(number), 3.5]


@pytest.mark.parametrize("in_workbook", [False, True])
@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("企业数", "1,2O4", "not a number (a letter O?)"),
        ("产值", "l2", "not a number (a letter l or I?)"),
        ("产值", "约12", "not a number"),
        ("产值", "12%", "not a number"),
        ("产值", "1,23", "not a number"),
        ("企业数", "0x1F", "not a number"),
        ("产值", "1_000", "not a number"),
        ("企业数", "12.5", "not an integer"),
        ("企业数", "12345678901234567890", "too large for an integer"),
        ("产值", "inf", "not a number"),
        ("产值", "1e999", "not a finite number"),
    ],
)
def test_a_cell_that_is_no_number_sets_its_row_aside(
    project: Project, column: str, text: str, reason: str, in_workbook: bool
) -> None:
    faulty = ["120000", "2020", "1", "1"]
    faulty[HEADER.index(column)] = text
    if in_workbook:
        project.deliver_workbook("firms/a.xlsx", s=[HEADER, GOOD, faulty])
    else:
        project.deliver("firms/a.csv", csv_text(GOOD, [f'"{cell}"' for cell in faulty]))
    assert values("城市代码") == ["110000"]
    assert rejected() == [("s" if in_workbook else None, 3, column, text, reason)]
    assert counts() == (2, 1, 1)


def test_a_row_with_two_faults_is_one_record(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD, ("120000", 2020, "a", "b")))
    assert rejected() == [(None, 3, "企业数", "a", "not a number")]
    assert counts() == (2, 1, 1)


def test_numbers_of_a_workbook_may_be_text_and_its_codes_numbers(project: Project) -> None:
    project.deliver_workbook("firms/a.xlsx", s=[HEADER, (110000, "2020", " 12 ", "3.5"), (110100.0, 2021.0, "—", 1e-7)])
    assert [(row["城市代码"], row["年份"], row["企业数"], row["产值"]) for row in landed()] == [
        GOOD,
        ("110100", 2021, None, 1e-7),
    ]


def test_an_error_cell_of_a_workbook_is_not_taken_for_missing(project: Project) -> None:
    path = project.deliver_workbook(
        "firms/a.xlsx", intro=[("text",)], data=[HEADER, GOOD, ("120000", 2020, 1, "#DIV/0!")]
    )
    cell = openpyxl.load_workbook(path)["data"]["D3"]
    assert cell.data_type == "e"
    assert rejected() == [("intro", 1, None, "text", "prose sheet"), ("data", 3, "产值", "#DIV/0!", "not a number")]


def test_text_is_kept_but_for_whitespace_and_zero_width_characters(project: Project) -> None:
    project.deliver(
        "firms/a.csv", csv_text(("\u00a0海口\u200b市 ", 2020, 1, 1), ("00NA", 2020, 1, 1), ("-", 2020, 1, 1))
    )
    assert values("城市代码") == ["海口市", "00NA", "-"]


@pytest.mark.parametrize(
    ("line", "found", "value"),
    [("120000,2020,1\n", 3, "120000|2020|1"), ('120000,2020,1,1,"x,y"\n', 5, "120000|2020|1|1|x,y")],
)
def test_a_ragged_record_is_set_aside(project: Project, line: str, found: int, value: str) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD) + line + "130000,2020,1,1\n")
    assert origins("row_number") == [2, 4]
    assert rejected() == [(None, 3, None, value, f"expected 4 fields, found {found}")]
    assert counts() == (3, 2, 1)


def test_trailing_empty_fields_do_no_harm(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD) + "120000,2020,1,1,, \n130000,2020,1,1\n,,,,,\n")
    assert [(row["origin"]["row_number"], row["城市代码"]) for row in landed()] == [
        (2, "110000"),
        (3, "120000"),
        (4, "130000"),
    ]
    assert counts() == (3, 3, 0)


@pytest.mark.parametrize("in_workbook", [False, True])
def test_prose_above_the_header_and_rows_without_key_are_set_aside(project: Project, in_workbook: bool) -> None:
    rows = [("企业统计",), (), HEADER, GOOD, (None, None, "来源：统计局", None), (), (120000, 2020, 1, 1)]
    if in_workbook:
        project.deliver_workbook("firms/a.xlsx", s=rows)
    else:
        project.deliver(
            "firms/a.csv", "".join(",".join("" if c is None else str(c) for c in row) + "\n" for row in rows)
        )
    sheet = "s" if in_workbook else None
    title = "企业统计|||" if in_workbook else "企业统计"
    assert rejected() == [
        (sheet, 1, None, title, "prose above the header"),
        (sheet, 5, None, "||来源：统计局|", "prose: no key"),
    ]
    assert origins("row_number") == [4, 7]
    assert counts() == (4, 2, 2)


def test_a_prose_sheet_and_a_repeated_sheet_are_set_aside(project: Project) -> None:
    project.deliver_workbook(
        "firms/a.xlsx",
        说明=[("数据来源：统计年鉴",), (), ("更多数据", "x")],
        面板=[HEADER, GOOD, ("120000", 2020, "bad", 1)],
        again=[HEADER, ("110000", 2020, "worse", 9), ("120000", 2020, 7, 1), ("130000", 2020, 1, 1)],
        empty=[],
    )
    assert [(row["origin"]["sheet_name"], row["origin"]["row_number"], row["城市代码"]) for row in landed()] == [
        ("面板", 2, "110000"),
        ("again", 3, "120000"),
        ("again", 4, "130000"),
    ]
    assert rejected() == [
        ("说明", 1, None, "数据来源：统计年鉴|", "prose sheet"),
        ("说明", 3, None, "更多数据|x", "prose sheet"),
        ("面板", 3, "企业数", "bad", "not a number"),
        ("again", 2, None, "110000|2020", "repeated sheet"),
    ]
    assert counts() == (7, 3, 4)


def test_a_sheet_keeps_its_row_numbers_when_it_starts_lower_and_to_the_right(project: Project) -> None:
    project.deliver_workbook(
        "firms/a.xlsx", s=[(), (), (None, *HEADER), (None, *GOOD), (), (None, 120000, 2020, "x", 1)]
    )
    assert origins("row_number") == [4]
    assert rejected() == [("s", 6, "企业数", "x", "not a number")]


# File rules


def test_a_missing_folder_says_how_to_get_one(project: Project) -> None:
    assert fault() == (
        f"{project.root / 'extracts'}: there is no such folder. "
        "Set EXTRACTS_DIR, or run `make setup` for the synthetic sample."
    )


def test_a_folder_without_a_declared_file_is_no_delivery(project: Project) -> None:
    project.deliver("README.md", "x")
    project.deliver("notes.pdf", "x")
    assert "extracts: none of its 1 files is declared" in fault()


def test_a_file_that_nobody_declared_is_on_record(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))
    for skipped in ("README.txt", ".hidden", "firms/~$a.xlsx", "firms/.~lock", "extract_set.yml"):
        project.deliver(skipped, "")
    project.deliver("zz/notes.pdf", "x")
    assert landing.deliveries()["file_path"].to_pylist() == ["firms/a.csv", "zz/notes.pdf"]
    record = landing.deliveries().to_pylist()[1]
    nothing = ("provider", "source_name", "entity", "store_key", "encoding", "file_format", "columns_not_read")
    assert {record[name] for name in nothing} == {None}
    assert (record["record_count"], record["landed_row_count"], record["rejected_row_count"]) == (0, 0, 0)
    assert len(landed()) == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("yearly/FIRMS_2020.xlsx", "vendor.firms reads yearly/firms_*.csv"),
        ("ｆｉｒｍｓ_2020.csv", "vendor.firms reads yearly/firms_*.csv"),
        ("yearly/stock_2020.csv", "vendor.stocks reads yearly/stocks_*.csv"),
        ("elsewhere/notes.csv", None),
    ],
)
def test_a_name_that_no_declaration_claims_gets_a_hint(project: Project, name: str, hint: str | None) -> None:
    declared = FIRMS.replace("firms/*", "yearly/firms_*.csv")
    project.declare(declared + declared.replace("firms", "stocks"))
    project.deliver(name, csv_text(GOOD))
    said = f"No declaration claims this name; {hint}. Rename the file, or correct `files`." if hint else None
    assert fault().splitlines()[1:] == ([f"{name}: {said}"] if hint else [])
    project.deliver("yearly/firms_2019.csv", csv_text(GOOD))
    assert {row["file_path"]: row["hint"] for row in landing.deliveries().to_pylist()} == {
        name: said,
        "yearly/firms_2019.csv": None,
    }


def test_a_name_that_contradicts_the_content_is_on_record_and_beside_a_fault(project: Project) -> None:
    said = "The name says CSV; the content is XLSX, and was read as XLSX."
    project.deliver_workbook("firms/a.csv", sheet=[HEADER, GOOD])
    assert landing.deliveries()["hint"].to_pylist() == [said]
    project.deliver_workbook("firms/b.csv", sheet=[HEADER[:3], GOOD[:3]])
    project.deliver("firms/c.xlsx", b"\xff\xfe\xfd")
    b, c = fault().splitlines()
    assert b.startswith("firms/b.csv, sheet sheet, row 1: wrong header")
    assert b.endswith(said)
    assert c.endswith("The name says XLSX; the content is CSV, and was read as CSV.")


def test_rows_are_read_file_by_file(project: Project) -> None:
    for name in "ab":
        project.deliver(f"firms/{name}.csv", csv_text((name, 2020, 1, 1)))
    reader = landing.rows("firms", landing.deliveries())
    for folder in project.store_folders():
        if pq.read_table(folder / "rows.parquet")["城市代码"][0].as_py() == "b":
            shutil.rmtree(folder)
    assert reader.read_next_batch()["城市代码"].to_pylist() == ["a"]
    with pytest.raises(landing.LandingError, match=r"rows\.parquet: missing from the landing store"):
        reader.read_next_batch()


def test_all_faulty_files_are_named_at_once_and_the_good_ones_land(project: Project) -> None:
    project.deliver("firms/good.csv", csv_text(GOOD))
    project.deliver("firms/empty.csv", b"")
    project.deliver("firms/blank.csv", "\ufeff \n\n")
    project.deliver("firms/renamed.csv", csv_text(GOOD, header=("城市代码", "年度", "企业数", "产值")))
    project.deliver("firms/notes.pdf", "%PDF-1.7 x")
    lines = fault().splitlines()
    assert lines == [
        "firms/blank.csv: the file is empty. Ask the provider for the file again.",
        "firms/empty.csv: the file is empty. Ask the provider for the file again.",
        "firms/notes.pdf: the content is a PDF file. Landing reads CSV, XLSX, XLS, Stata and Parquet, also in "
        "gzip and zip. Convert the file.",
        "firms/renamed.csv, row 1: wrong header: missing 年份; found 城市代码, 年度, 企业数, 产值. If the provider "
        "renamed columns, declare the new headings in vendor.toml, source firms, [sources.headings]; otherwise ask "
        "for the file again. It was read as UTF-8.",
    ]
    assert len(project.store_folders()) == 1


def test_a_workbook_without_the_header_names_the_closest_row(project: Project) -> None:
    project.deliver_workbook("firms/a.xlsx", 说明=[("prose",)], 数据=[("title",), (), HEADER[:3], GOOD])
    assert fault().startswith(
        "firms/a.xlsx, sheet 数据, row 3: wrong header: missing 产值; found 城市代码, 年份, 企业数."
    )
    project.deliver_workbook("firms/a.xlsx", empty=[])
    assert fault() == "firms/a.xlsx: all sheets are empty. Ask the provider for the file again."


def test_a_column_that_was_renamed_lands_from_either_heading(project: Project) -> None:
    project.declare(FIRMS + RENAMED)
    project.deliver("firms/2019.csv", csv_text(("110000", 2019, 11, 3)))
    renamed = [name.replace("企业数", "企业数量") for name in HEADER]
    project.deliver("firms/2020.csv", csv_text(("110000", 2020, 12, 3), ("120000", 2020, '"1,2O4"', 3), header=renamed))
    project.deliver_workbook(
        "firms/2021.xlsx", s=[("标题",), [name.replace("企业数", " 企业数（户）") for name in HEADER], GOOD]
    )
    assert values("企业数") == [11, 12, 12]
    assert landing.deliveries()["columns_not_read"].to_pylist() == [None, None, None]
    assert rejected()[0] == (None, 3, "企业数量", "1,2O4", "not a number (a letter O?)")


def test_two_headings_of_one_column_in_a_file_are_named(project: Project) -> None:
    project.declare(FIRMS + RENAMED)
    project.deliver("firms/a.csv", csv_text((*GOOD, 13), header=(*HEADER, "企业数量")))
    assert fault() == (
        "firms/a.csv, row 1, column 企业数: the columns 企业数 and 企业数量 are declared as one. Ask the provider "
        "which one is meant, or correct [sources.headings] in vendor.toml, source firms."
    )


def test_headings_that_look_alike_are_told_apart_by_their_characters(project: Project) -> None:
    project.declare(FIRMS.replace("产值", "产值(亿元)"))
    project.deliver("firms/a.csv", csv_text(GOOD, header=(*HEADER[:3], "产值（亿元）")))
    assert (
        "missing 产值(亿元); found 城市代码, 年份, 企业数, 产值（亿元）. 产值（亿元） looks like 产值(亿元), but has "
        "（ (U+FF08 FULLWIDTH LEFT PARENTHESIS) for ( (U+0028 LEFT PARENTHESIS), "
        "） (U+FF09 FULLWIDTH RIGHT PARENTHESIS) for ) (U+0029 RIGHT PARENTHESIS). If the provider renamed columns"
    ) in fault()


@pytest.mark.parametrize("in_workbook", [False, True])
def test_a_note_below_the_table_is_prose_and_no_record_of_an_unknown_city(project: Project, in_workbook: bool) -> None:
    notes = ["注：本表数据来源于市场监管部门。", "1. 莱芜市自2019年起并入济南市"]
    if in_workbook:
        project.deliver_workbook("firms/a.xlsx", s=[HEADER, GOOD, *([note] for note in notes)])
        whole = [f"{note}|||" for note in notes]
    else:
        # a line without its delimiters may be the end of a file that was cut off, unless it begins as a note
        project.deliver("firms/a.csv", csv_text(GOOD) + f"{notes[0]}\n{notes[1]},,,\n1200\n")
        whole = [notes[0], f"{notes[1]}|||"]
    assert values("城市代码") == ["110000"]
    sheet = "s" if in_workbook else None
    found = [(sheet, row, None, text, "prose: note") for row, text in enumerate(whole, start=3)]
    assert rejected() == found + ([] if in_workbook else [(None, 5, None, "1200", "expected 4 fields, found 1")])


def test_a_city_of_which_no_value_was_delivered_is_no_note(project: Project) -> None:
    project.declare(FIRMS.replace('["城市代码", "年份"]', '["城市代码"]'))
    project.deliver("firms/a.csv", csv_text(("110000", "", "", ""), ("资料来源：统计局", "", "", "")))
    assert values("城市代码") == ["110000"]
    assert rejected() == [(None, 3, None, "资料来源：统计局|||", "prose: note")]


def test_a_sheet_of_another_layout_is_named_with_the_way_out(project: Project) -> None:
    project.deliver_workbook("firms/a.xlsx", 面板=[HEADER, GOOD], 宽表=[("城市代码", 2019, 2020), ("110000", 1, 2)])
    assert landing.deliveries()["hint"].to_pylist() == [
        "Sheet 宽表 lacks the declared header (no 年份 or 企业数 or 产值), so its 2 rows are prose. If "
        'it is not to be read, name the others in vendor.toml, source firms: sheets = ["面板"]. If it holds records, '
        "ask for them in the layout of sheet 面板."
    ]


def test_a_declared_column_that_stands_twice_is_ambiguous(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text((*GOOD, 4), header=(*HEADER, "产值")))
    assert fault() == (
        "firms/a.csv, row 1, column 产值: 2 columns have this name. Ask the provider which one is meant."
    )


def test_a_text_in_big5_says_which_encoding_was_guessed_and_which_it_may_have(project: Project) -> None:
    text = csv_text(("臺北", 2020, 1, 1), header=("城市代碼", "年份", "企業數", "產值"))
    project.deliver("firms/a.csv", text.encode("big5"))
    message = fault()
    assert "wrong header: missing 城市代码, 年份, 企业数, 产值; found " in message
    assert message.endswith(
        " It was read as GB18030, a guess: the file does not name its encoding. As Big5 its first line is: "
        "城市代碼,年份,企業數,產值. If its characters are wrong, it has another. Save it as UTF-8, or ask the provider "
        "for it in UTF-8."
    )
    # of what is GB18030, a header that nobody declared is no Big5
    project.deliver("firms/a.csv", csv_text(GOOD, header=("城市代码", "年度", "企业数", "产值")).encode("gb18030"))
    assert "It was read as GB18030, a guess: the file does not name its encoding. If its" in fault()
    project.deliver("firms/a.csv", text.encode("big5") + b"\xff\n")
    assert fault().endswith(
        "no byte order mark of UTF-16. As Big5 its first line is: 城市代碼,年份,企業數,產值. Save it as UTF-8, or ask "
        "the provider for it in UTF-8."
    )


def test_an_unreadable_encoding_names_the_byte_and_the_row(project: Project) -> None:
    content = csv_text(("深圳", 2020, 1, 1), ("广州", 2020, 1, 1)).encode()
    start = content.index("广州".encode())
    project.deliver("firms/a.csv", content[:start] + b"\xff" + content[start + 1 :])
    message = fault()
    assert message.startswith(
        f"firms/a.csv, row 3: unreadable encoding: tried utf-8 (fails at byte {start}), gb18030 ("
    )
    assert "no byte order mark of UTF-16" in message
    project.deliver("firms/a.csv", csv_text(("a", 2020, 1, 1), header=HEADER).encode("utf-16-le"))
    assert "unreadable encoding" in fault()


def test_a_quotation_mark_that_is_never_closed_is_found(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD) + '120000,2020,1,"1\n130000,2020,1,1\n')
    assert fault() == (
        "firms/a.csv, row 3: a quotation mark is opened and never closed. Ask the provider for the file again."
    )


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # the middle of the compressed sheet
    content[content.index(b"xl/worksheets/sheet1.xml") + 60] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [truncate, damage])
def test_a_truncated_or_damaged_workbook_is_refused(project: Project, harm: Callable[[Path], None]) -> None:
    harm(project.deliver_workbook("firms/a.xlsx", s=[HEADER, *[GOOD] * 100]))
    assert fault().startswith("firms/a.xlsx: not a complete xlsx file (")


@pytest.mark.parametrize(
    ("file_format", "magic"),
    [
        ("xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        ("parquet", b"PAR1"),
        ("dta", b"<stata_dta>"),
        ("xlsx", b"PK\x03\x04"),
    ],
)
def test_rubbish_that_begins_like_another_format_is_refused(project: Project, file_format: str, magic: bytes) -> None:
    project.deliver("firms/a.csv", magic + b"rubbish" * 50)
    assert fault().startswith(f"firms/a.csv: not a complete {file_format} file (")


def test_a_truncated_stata_file_is_refused(project: Project) -> None:
    path = project.deliver("firms/a.dta", b"")
    pd.DataFrame({"code": range(1000)}).to_stata(path, write_index=False)
    truncate(path)
    assert fault().startswith("firms/a.dta: not a complete dta file (")


@pytest.mark.parametrize(("provider", "entity"), [("vendor", "firms"), ("another", "robots")])
def test_a_file_is_of_one_provider_and_feeds_an_entity_once(project: Project, provider: str, entity: str) -> None:
    again = FIRMS.replace('name = "firms"', 'name = "again"').replace('entity = "firms"', f'entity = "{entity}"')
    project.declare(FIRMS + again if provider == "vendor" else again, provider=provider)
    project.deliver("firms/a.csv", csv_text(GOOD))
    both = "another.again and vendor.firms" if provider == "another" else "vendor.firms and vendor.again"
    assert fault() == f"firms/a.csv: declared twice, by {both}. Make their `files` patterns exclude each other."


TWO_ENTITIES = (
    FIRMS.replace('    "产值" = "number"\n', "")
    + """
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
)


def test_a_file_feeds_two_entities_and_its_records_are_counted_for_each(project: Project) -> None:
    project.declare(TWO_ENTITIES)
    # the number that cannot be read is of one entity only
    path = project.deliver("firms/a.csv", csv_text(GOOD, ("120000", 2020, 7, "9.5x")))
    deliveries = landing.deliveries()
    assert [
        (row["delivery_number"], row["entity"], row["record_count"], row["landed_row_count"], row["rejected_row_count"])
        for row in deliveries.to_pylist()
    ] == [(1, "firms", 2, 2, 0), (2, "outputs", 2, 1, 1)]
    assert [row["企业数"] for row in landed("firms")] == [12, 7]
    assert [(row["产值"], row["origin"]["row_number"]) for row in landed("outputs")] == [(3.5, 2)]
    assert rejected() == [(None, 3, "产值", "9.5x", "not a number")]

    # a new file at its path replaces both, and a withdrawn one ends both
    path.write_text(csv_text(GOOD), encoding="utf-8")
    ends = [(row["delivery_number"], row["valid_until_delivery"]) for row in landing.deliveries().to_pylist()]
    assert sorted(ends) == [(1, 3), (2, 4), (3, None), (4, None)]
    path.unlink()
    project.deliver("firms/b.csv", csv_text(("130100", 2020, 1, 1)))
    ends = {row["delivery_number"]: row["valid_until_delivery"] for row in landing.deliveries().to_pylist()}
    assert ends == {1: 3, 2: 4, 3: 7, 4: 8, 5: None, 6: None}


def test_a_zipped_file_feeds_two_entities(project: Project) -> None:
    project.declare(TWO_ENTITIES)
    with zipfile.ZipFile(project.deliver("firms/a.zip", b""), "w") as archive:
        archive.writestr("a.csv", csv_text(GOOD))
    assert [row["企业数"] for row in landed("firms")] == [12]
    assert [row["产值"] for row in landed("outputs")] == [3.5]


def test_a_second_entity_of_a_known_file_lands_beside_the_first(project: Project) -> None:
    """A log that knows the file under one entity gains a delivery, and nothing is replaced."""
    project.deliver("firms/a.csv", csv_text(GOOD))
    assert landing.deliveries()["delivery_number"].to_pylist() == [1]
    project.declare(FIRMS + TWO_ENTITIES[TWO_ENTITIES.rindex("[[sources]]") - 4 :])
    assert [
        (row["delivery_number"], row["entity"], row["valid_until_delivery"]) for row in landing.deliveries().to_pylist()
    ] == [(1, "firms", None), (2, "outputs", None)]


# Declarations


def with_headings(headings: str) -> tuple[str, str]:
    return '"产值" = "number"', f'"产值" = "number"\n[sources.headings]\n{headings}'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"number"', '"float"'), 'vendor/vendor.toml, source firms: column 产值 is of type "float", not one of text'),
        (('entity = "firms"', 'entity = "firms"\nkeys = 1'), "settings missing: [], unknown: ['keys']"),
        (('"年份"]', '"年度"]'), "[sources.columns] lacks 年度, which key or file_name uses"),
        (("key =", "file_name = '('\nkey ="), "file_name is not a regular expression"),
        (("key =", "file_name = '(?P<城市代码>.)(?P<年份>.)'\nkey ="), "no key column is read from the file"),
        (("key =", 'period = "企业数"\nkey ='), 'period is "企业数", which is not a column of the key'),
        (('"firms/*"', '"/firms"'), "it must be a pattern below the extracts folder"),
        (("[[sources]]", "[[sources"), "vendor/vendor.toml: not TOML"),
        (("key =", 'column_sum = "one"\nkey ='), "column_sum is 'one', not a number"),
        (("key =", 'feeds = "firm_count"\nkey ='), "feeds is 'firm_count', not a list of names"),
        (with_headings('"企业数" = ["产值"]'), "gives 产值 for 企业数, and it is a heading of 产值 already"),
        (
            with_headings('"企业数" = ["甲"]\n"产值" = ["甲"]'),
            "gives 甲 for 产值, and it is a heading of 企业数",
        ),
        (with_headings('"户数" = ["甲"]'), "has 户数, which is no column of [sources.columns] that a file holds"),
        (
            with_headings('"企业数" = "甲"'),
            "[sources.headings] gives '甲' for 企业数, not a list of headings",
        ),
    ],
)
def test_a_faulty_declaration_is_named(project: Project, change: tuple[str, str], message: str) -> None:
    project.declare(textwrap.dedent(FIRMS).replace(*change, 1))
    with pytest.raises(landing.LandingError) as raised:
        declarations.read()
    assert message in str(raised.value)


def test_one_header_with_two_types_in_an_entity_names_both(project: Project) -> None:
    project.declare(FIRMS.replace('"产值" = "number"', '"产值" = "text"'), provider="another")
    with pytest.raises(landing.LandingError) as raised:
        declarations.read()
    assert str(raised.value) == (
        "vendor/vendor.toml, source firms, column 产值: number here, text in source firms of another, "
        "and both land in raw_firms. Declare one type."
    )


# Extract sets


def test_an_extract_set_describes_itself(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))
    project.deliver("extract_set.yml", "name: autumn\nkind: synthetic\nseed: 1\n")
    assert landing.extract_set(project.root / "extracts") == landing.ExtractSet("autumn", "synthetic")
    (delivery,) = landing.deliveries().to_pylist()
    assert (delivery["extract_set"], delivery["extract_set_kind"]) == ("autumn", "synthetic")


def test_one_file_that_says_synthetic_in_every_row_makes_the_set_synthetic(project: Project) -> None:
    project.declare(FIRMS + '    "数据来源" = "text"\n')
    header = (*HEADER, "数据来源")
    project.deliver("firms/a.csv", csv_text((*GOOD, "统计局"), header=header))
    other = ("120000", *GOOD[1:])
    project.deliver("firms/b.csv", csv_text((*other, "（synthetic sample）"), (*other, "统计局"), header=header))
    assert set(landing.deliveries()["extract_set_kind"].to_pylist()) == {"delivered"}
    project.deliver("firms/b.csv", csv_text((*other, "（synthetic sample）"), (*other, "synthetic"), header=header))
    for _ in range(2):
        assert landing.deliveries()["extract_set_kind"].to_pylist() == ["synthetic"] * 3


# The store


def test_a_second_landing_writes_nothing_and_a_changed_byte_lands_anew(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))
    first = landing.deliveries()
    before = {path: path.stat().st_mtime_ns for path in (project.root / "landing").rglob("*")}
    assert {path.name for path in before} >= {"rows.parquet", "rejected.parquet", "delivery.json"}
    with monkeypatch.context() as patched:
        patched.setattr(formats, "read", None)  # what has landed is not read again
        assert landing.deliveries() == first
    assert {path: path.stat().st_mtime_ns for path in (project.root / "landing").rglob("*")} == before

    project.deliver("firms/a.csv", csv_text(("110000", 2020, 13, 3.5)))
    assert values("企业数") == [12, 13]
    assert origins("valid_until_delivery") == [2, None]
    assert len(project.store_folders()) == 2


def test_another_declaration_lands_anew_and_earlier_deliveries_ask_for_a_build(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))
    before = landing.deliveries()
    project.declare(FIRMS.replace('"企业数" = "integer"\n', ""))
    assert landing.deliveries()["store_key"] != before["store_key"]
    with pytest.raises(landing.LandingError, match=r"firms/a\.csv: landed under another declaration of vendor\.firms"):
        landing.rows("firms", before).read_all()


def test_an_interrupted_landing_does_no_harm(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            landing.deliveries()
    assert project.store_folders() == []
    assert list((project.root / "landing").iterdir()), "the interruption left its temporary folder"
    assert values("城市代码") == ["110000"]


def test_losing_the_race_to_a_key_keeps_what_is_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))
    first = landing.deliveries()
    (folder,) = project.store_folders()
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    found = store.holds
    answers = iter([False])
    # the other process finishes between the look and the rename
    monkeypatch.setattr(store, "holds", lambda *at: next(answers, found(*at)))
    assert landing.deliveries() == first
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert {path.name for path in (project.root / "landing").iterdir()} == {folder.name, "log", "tables"}


def test_a_store_that_lost_a_delivery_says_so(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))
    deliveries = landing.deliveries()
    (folder,) = project.store_folders()
    folder.rename(folder.with_name("gone"))
    with pytest.raises(landing.LandingError, match=r"rows\.parquet: missing from the landing store"):
        landing.rows("firms", deliveries).read_all()
