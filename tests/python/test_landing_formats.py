"""Formats by content, two-row headers, gzip and zip, and archives that mean harm."""

import csv
import gzip
import io
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from ai_manufacturing.landing import registers
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.landing.readers import containers, formats
from tests.python.conftest import PROJECT
from tests.python.landing_project import FIRMS, GOOD, HEADER, REGISTER, Project, csv_text, fault

GOOD_ROW = dict(zip(HEADER, GOOD, strict=True))


def landed() -> list[dict[str, Any]]:
    return [
        {name: row[name] for name in HEADER}
        for row in landing.rows("firms", landing.deliveries()).read_all().to_pylist()
    ]


def detected() -> list[tuple[Any, ...]]:
    columns = ("file_path", "file_format", "compression", "encoding", "delimiter")
    return [tuple(row[name] for name in columns) for row in landing.deliveries().to_pylist()]


def zipped(**members: bytes | str) -> bytes:
    return zipped_items(list(members.items()))


def zipped_items(members: list[tuple[str | zipfile.ZipInfo, bytes | str]]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, held in members:
            archive.writestr(name, held)
    return content.getvalue()


def workbook() -> bytes:
    content = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(list(HEADER))
    book.active.append(list(GOOD))
    book.save(content)
    return content.getvalue()


def parquet() -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([GOOD_ROW]), content)
    return content.getvalue()


@pytest.mark.parametrize("name", ["a.csv", "a.xls", "a.txt", "a.gz", "a", "a.zip"])
@pytest.mark.parametrize("is_gzip", [False, True])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (csv_text(GOOD).encode(), ("csv", "utf-8", "comma")),
        (csv_text(GOOD).replace(",", "\t").encode("gb18030"), ("csv", "gb18030", "tab")),
        (csv_text(GOOD).replace(",", ";").encode("utf-16"), ("csv", "utf-16", "semicolon")),
        (workbook(), ("xlsx", None, None)),
        (parquet(), ("parquet", None, None)),
    ],
)
def test_the_content_decides_the_format_and_the_name_does_not(
    project: Project, name: str, is_gzip: bool, content: bytes, expected: tuple[str | None, ...]
) -> None:
    project.deliver(f"firms/{name}", gzip.compress(content) if is_gzip else content)
    file_format, encoding, delimiter = expected
    assert detected() == [(f"firms/{name}", file_format, "gzip" if is_gzip else None, encoding, delimiter)]
    assert landed() == [GOOD_ROW]


@pytest.mark.parametrize(("delimiter", "named"), [(",", "comma"), ("\t", "tab"), (";", "semicolon")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_register_in_any_encoding_lands_the_same(project: Project, delimiter: str, named: str, encoding: str) -> None:
    project.declare(FIRMS + REGISTER.replace("covers =", "multiline = true\n    covers ="))
    text = io.StringIO()
    scopes = ["研发; 销售, 服务", '"人工智能"\n应用', ""] * 100
    rows = [("编号", "经营范围"), *((f"{number:03}", scope) for number, scope in enumerate(scopes))]
    csv.writer(text, delimiter=delimiter).writerows(rows)
    project.deliver("register/a.csv", text.getvalue().encode(encoding))
    assert detected() == [("register/a.csv", "csv", None, encoding, named)]
    (folder,) = project.store_folders()
    assert {path.name for path in folder.iterdir()} == {"rows.parquet", "delivery.json"}
    stored = pq.read_table(folder / "rows.parquet").to_pylist()
    assert [(row["编号"], row["经营范围"] or "") for row in stored] == rows[1:]


def test_a_ragged_record_of_a_register_is_set_aside(project: Project) -> None:
    project.declare(FIRMS + REGISTER)
    rows = ["1,a", "2", "3,b,c,d", '4,"e\nf"', "5,g,", ",", '"6\n",h,i']
    path = project.deliver("register/a.csv", "\n".join(["编号,经营范围", *rows]).encode("gb18030"))
    (delivery,) = landing.deliveries().to_pylist()
    assert (delivery["record_count"], delivery["landed_row_count"], delivery["rejected_row_count"]) == (9, 3, 6)
    (folder,) = project.store_folders()
    stored = pq.read_table(folder / "rows.parquet").to_pylist()
    assert [row["经营范围"] for row in stored] == ["a", "g", None]
    aside = landing.rejected_rows(landing.deliveries()).read_all().to_pylist()
    several = "stray quotation mark, or a line end in a cell: rows "
    assert [(row["file_path"], row["row_number"], row["value"], row["reason"]) for row in aside] == [
        ("register/a.csv", 3, "2", "expected 2 fields, found 1"),
        ("register/a.csv", 4, "3,b,c,d", "expected 2 fields, found 4"),
        ("register/a.csv", 5, '4,"e', f"{several}5 to 6 would be read as one record"),
        ("register/a.csv", 6, 'f"', f"{several}5 to 6 would be read as one record"),
        ("register/a.csv", 9, '"6', f"{several}9 to 10 would be read as one record"),
        ("register/a.csv", 10, '",h,i', f"{several}9 to 10 would be read as one record"),
    ]
    # beyond what DuckDB looks at to tell the dialect
    path.write_text("编号,经营范围\n" + "1,a\n" * 30_000 + '2,"never closed\n3,b\n', encoding="utf-8")
    assert fault().startswith("register/a.csv, row 30002: not a CSV file (Value with unterminated quote found.)")


def test_a_folder_that_spark_did_not_finish_is_refused(project: Project) -> None:
    part = project.deliver("firms/table/year=2015/part-00000-c000.csv", csv_text(GOOD))
    project.deliver("firms/part-time.csv", csv_text(("120000", 2020, 12, 3.5)))
    with pytest.raises(LandingError, match="firms/table/year=2015: Spark did not finish writing this folder"):
        landing.deliveries()
    (part.parents[1] / "_SUCCESS").touch()
    assert sorted(row["file_path"] for row in landing.deliveries().to_pylist()) == [
        "firms/part-time.csv",
        "firms/table/year=2015/part-00000-c000.csv",
    ]


@pytest.mark.parametrize("name", ["*", "a[1]b", "a?b", "a[!x]b"])
def test_a_name_that_looks_like_a_pattern_is_one_file(
    project: Project, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pattern would read the neighbour that it matches too."""
    monkeypatch.setenv("LANDING_DIR", f"{name}/landing")
    project.declare(FIRMS.replace("key =", 'period = "年份"\n    key =') + REGISTER)
    neighbour = project.deliver("register/a1b.csv", "编号,经营范围\n2,neighbour\n")
    project.deliver(f"register/{name}.csv", "编号,经营范围\n1,mine\n")
    project.deliver(f"firms/{name}.csv", csv_text(GOOD))
    project.deliver(f"firms/{name}_again.csv", csv_text(("110000", 2020, 13, 3.5)))
    table = landing.deliveries().to_pylist()
    assert {row["file_path"]: row["record_count"] for row in table if row["entity"] == "firm_register"} == {
        f"register/{neighbour.name}": 1,
        f"register/{name}.csv": 1,
    }
    assert [row["企业数"] for row in landed()] == [12, 13]
    assert sorted(row["valid_until_delivery"] is None for row in table if row["entity"] == "firms") == [False, True]
    assert {row["landed_type"] for row in registers.landed_columns(landing.deliveries()).to_pylist()} == {"string"}
    shutil.copytree(project.root / name, project.root / "a1b")
    for register in (row for row in table if row["entity"] == "firm_register"):
        with duckdb.connect() as connection:
            read = connection.execute(
                "from read_parquet($1)", [registers.landed_path(register["store_key"])]
            ).fetchall()
        assert len(read) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (gzip.compress(b"x"), "a register is not read from gzip, a workbook or a zip inside another"),
        (workbook(), "a register is not read from gzip, a workbook or a zip inside another"),
        ("编号;经营范围\n".encode("utf-16-le"), "unreadable encoding"),
        ("编号\n1\n".encode("gb18030"), "columns missing: 经营范围. It has: 编号."),
        (b"PAR1 and no more", "not a Parquet file"),
    ],
    ids=["empty", "gzip", "workbook", "encoding", "columns", "Parquet"],
)
def test_a_register_that_cannot_be_read_says_why_and_leaves_nothing(
    project: Project, content: bytes, message: str
) -> None:
    project.declare(FIRMS + REGISTER)
    project.deliver("register/a.csv", content)
    assert fault().startswith("register/a.csv")
    assert message in fault()
    assert [*(project.root / "landing").glob("*")] == []


@pytest.mark.parametrize(
    ("version", "codec", "encoding"),
    [(114, "gb18030", "gb18030"), (117, "gb18030", "gb18030"), (114, "latin-1", "latin-1"), (118, "", "utf-8")],
)
def test_stata_files_of_each_age_are_recognised(project: Project, version: int, codec: str, encoding: str) -> None:
    name = "Café" if codec == "latin-1" else "深圳"
    project.declare(
        """
        [[sources]]
        name = "stock"
        entity = "firms"
        files = "stock/*"
        key = ["code"]
        [sources.columns]
        code = "integer"
        name = "text"
        """
    )
    # pandas writes the old versions as latin-1: its bytes are those of the other encoding
    frame = pd.DataFrame({"code": [7], "name": [name.encode(codec).decode("latin-1") if codec else name]})
    frame.to_stata(project.deliver("stock/a.csv", b""), write_index=False, version=version)
    assert [row[1:4] for row in detected()] == [("dta", None, encoding)]
    (row,) = landing.rows("firms", landing.deliveries()).read_all().to_pylist()
    assert (row["code"], row["name"]) == (7, name)


def test_a_gzip_file_answers_to_the_declaration_and_the_name_of_what_it_holds(project: Project) -> None:
    project.declare(
        FIRMS.replace('"firms/*"', '"firms/企业_*.csv"').replace(
            "key =", "file_name = '企业_(?P<产值>\\d+)\\.csv'\n    key ="
        )
    )
    project.deliver("firms/企业_7.csv.gz", gzip.compress(csv_text(GOOD).encode()))
    assert landed() == [GOOD_ROW | {"产值": 7.0}]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"%PDF-1.4", "a PDF file"),
        (b"\n<HTML><table>", "a web page"),
        (b"<?xml version='1.0'?>", "an XML file"),
        (b"Rar!\x1a", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    ],
)
def test_what_is_not_read_is_named(project: Project, content: bytes, what: str) -> None:
    project.deliver("firms/a.xls", content)
    assert fault() == (
        f"firms/a.xls: the content is {what}. Landing reads CSV, XLSX, XLS, Stata and Parquet, also in gzip and "
        "zip. Convert the file."
    )


# Two-row headers

MERGED = FIRMS.replace('"企业数" =', '"企业/数量" =').replace('"产值" =', '"企业/产值" =')


def test_a_header_merged_over_columns_is_joined_where_the_declaration_asks_for_it(project: Project) -> None:
    project.declare(MERGED)
    path = project.deliver_workbook(
        "firms/a.xlsx",
        s=[("标题",), ("城市代码", "年份", "企业", None, "备注"), (None, None, "数量", "产值", None), GOOD],
    )
    book = openpyxl.load_workbook(path)
    for merged in ("A2:A3", "B2:B3", "C2:D2", "E2:E3"):
        book["s"].merge_cells(merged)
    book.save(path)
    deliveries = landing.deliveries()
    (row,) = landing.rows("firms", deliveries).read_all().to_pylist()
    assert (row["城市代码"], row["年份"], row["企业/数量"], row["企业/产值"], row["origin"]["row_number"]) == (*GOOD, 4)
    (aside,) = landing.rejected_rows(deliveries).read_all().to_pylist()
    assert (aside["row_number"], aside["value"]) == (1, "标题||||")


def test_a_csv_may_have_two_header_rows_too(project: Project) -> None:
    project.declare(MERGED)
    project.deliver("firms/a.csv", csv_text(("", "", "数量", "产值"), GOOD, header=("城市代码", "年份", "企业", "")))
    (row,) = landing.rows("firms", landing.deliveries()).read_all().to_pylist()
    assert (row["企业/数量"], row["企业/产值"], row["origin"]["row_number"]) == (12, 3.5, 3)


def test_two_header_rows_that_nobody_asked_for_stay_a_wrong_header(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(("", "", "数量", "产值"), GOOD, header=("城市代码", "年份", "企业", "")))
    assert "row 1: wrong header: missing 企业数, 产值; found 城市代码, 年份, 企业" in fault()


# Workbooks


def far_cell(place: str, value: str | None) -> bytes:
    content = io.BytesIO()
    book = openpyxl.load_workbook(io.BytesIO(workbook()))
    book.active[place].value = value
    book.active[place].fill = openpyxl.styles.PatternFill("solid", fgColor="FFFF00")
    book.save(content)
    return content.getvalue()


def test_a_workbook_that_declares_all_rows_of_excel_lands_those_that_hold_something(project: Project) -> None:
    content = far_cell("XFD1048576", None)
    assert b'ref="A1:XFD1048576"' in zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet1.xml")
    project.deliver("firms/a.xlsx", content)
    assert landed() == [GOOD_ROW]


def test_a_cell_in_the_last_corner_of_a_sheet_is_refused_before_the_memory_is_taken(project: Project) -> None:
    project.deliver("firms/a.xlsx", far_cell("XFD1048576", "x"))
    assert fault() == (
        "firms/a.xlsx, sheet Sheet: its cells span rows 1 to 1,048,576 and 16,384 columns, 17,179,869,184 cells "
        "in all; the limit is 33,554,432. Delete cells far from the table, or deliver CSV."
    )


def test_an_xls_file_lands_like_any_other(project: Project) -> None:
    """Excel 97, as xlwt wrote it: a prose sheet, a merged title, full width, markers of what is missing."""
    project.deliver("firms/a.xls", (PROJECT / "tests/fixtures/invented.xls").read_bytes())
    assert detected() == [("firms/a.xls", "xls", None, None, None)]
    assert [tuple(row.values()) for row in landed()] == [
        GOOD,
        ("120000", 2020, 1234, None),
        ("130000", 2020, None, None),
    ]
    aside = landing.rejected_rows(landing.deliveries()).read_all().to_pylist()
    assert [(row["sheet_name"], row["row_number"], row["value"], row["reason"]) for row in aside] == [
        ("说明", 1, "虚构数据, 测试用", "prose sheet"),
        ("数据", 1, "企业统计（虚构）|||", "prose above the header"),
        ("数据", 6, "1,2O4", "not a number (a letter O?)"),
    ]


# Archives


def test_each_member_of_an_archive_is_a_file_of_its_own(project: Project) -> None:
    inner = {"2019.csv": csv_text(("110000", 2019, 1, 1)), "sub/a.xlsx": workbook(), "__MACOSX/._2019.csv": "x"}
    project.deliver("firms/autumn.zip", zipped(**inner, README="x"))
    project.deliver("whole.zip", zipped(**{"firms/2018.csv": csv_text(("110000", 2018, 2, 2)), "notes.txt": "x"}))
    project.deliver("pictures.zip", zipped(**{"a.png": "x"}))
    table = landing.deliveries().to_pylist()
    assert [(row["file_path"], row["source_name"], row["record_count"]) for row in table] == [
        ("firms/autumn.zip/2019.csv", "firms", 1),
        ("firms/autumn.zip/sub/a.xlsx", None, 0),  # firms/* is no pattern for a folder below
        ("pictures.zip", None, 0),
        ("whole.zip/firms/2018.csv", "firms", 1),
        ("whole.zip/notes.txt", None, 0),
    ]
    assert [row["年份"] for row in landed()] == [2019, 2018]
    assert landing.deliveries().to_pylist() == table


@pytest.mark.parametrize("codec", ["gb18030", "utf-8", "cp437"])
def test_member_names_are_read_in_the_encoding_they_were_written_in(project: Project, codec: str) -> None:
    name = "企业_2019.csv" if codec != "cp437" else "a_é.csv"
    # as Windows archivers write it: the bytes of the local code page, and no mark of UTF-8
    placeholder = "x" * len(name.encode(codec))
    content = zipped(**{placeholder: csv_text(GOOD)}).replace(placeholder.encode(), name.encode(codec))
    project.deliver("firms/a.zip", content)
    assert landing.deliveries()["file_path"].to_pylist() == [f"firms/a.zip/{name}"]
    assert landed() == [GOOD_ROW]


@pytest.mark.parametrize(
    "name", ["../a.csv", "x/../../a.csv", "/a.csv", "C:\\a.csv", "..\\a.csv", "x\n.csv", "\\\\host\\a.csv"]
)
def test_a_member_that_leads_out_of_its_archive_is_refused(project: Project, name: str) -> None:
    project.deliver("firms/a.zip", zipped(**{"good.csv": csv_text(GOOD), name: csv_text(GOOD)}))
    (project.root / "landing").mkdir()
    before = sorted(project.root.rglob("*"))
    message = fault()
    assert message.startswith("firms/a.zip: the member ")
    assert message.endswith("points outside the archive. Ask the provider for the files unpacked.")
    assert sorted(project.root.rglob("*")) == before


def test_an_archive_in_an_archive_is_refused(project: Project) -> None:
    inner = zipped(**{"a.csv": csv_text(GOOD)})
    packed = gzip.compress(csv_text(GOOD).encode())
    project.deliver("firms/a.zip", zipped(**{"b.zip": inner, "c.csv": packed}))
    project.deliver("firms/d.gz", gzip.compress(inner))
    project.deliver("firms/e.gz", gzip.compress(packed))
    nested = "holds another archive. Ask the provider for the files unpacked."
    assert fault().splitlines() == [
        f"firms/a.zip/b.zip: the member {nested}",
        f"firms/a.zip/c.csv: the member {nested}",
        f"firms/d.gz: the gzip file {nested}",
        f"firms/e.gz: the gzip file {nested}",
    ]


def test_an_encrypted_member_is_refused(project: Project) -> None:
    content = bytearray(zipped(**{"a.csv": csv_text(GOOD)}))
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    project.deliver("firms/a.zip", bytes(content))
    assert fault() == 'firms/a.zip: the member "a.csv" is encrypted. Ask the provider for it without a password.'


def test_a_name_that_stands_twice_is_refused(project: Project) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        project.deliver("firms/a.zip", zipped_items([("a.csv", csv_text(GOOD)), ("a.csv", csv_text(GOOD))]))
    assert fault() == 'firms/a.zip: the archive holds "a.csv" twice. Ask the provider for the files unpacked.'


def declared_smaller(content: bytes, size: int) -> bytes:
    """Let an archive of one member declare another size than it has."""
    changed = bytearray(content)
    struct.pack_into("<I", changed, changed.index(b"PK\x03\x04") + 22, size)
    struct.pack_into("<I", changed, changed.index(b"PK\x01\x02") + 24, size)
    return bytes(changed)


def bomb(kind: str) -> bytes:
    zeros = csv_text(GOOD).encode() + b"0" * 2**26
    if kind == "gzip":
        return gzip.compress(zeros)
    if kind == "workbook":
        content = io.BytesIO(workbook())
        with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as book:
            book.writestr("xl/media/zeros", zeros)
        return content.getvalue()
    content = zipped(**{"a.csv": zeros})
    return declared_smaller(content, 100) if kind == "zip that lies" else content


@pytest.mark.parametrize("kind", ["gzip", "workbook", "zip", "zip that lies"])
def test_a_bomb_is_refused_without_being_unpacked(project: Project, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    check = containers.check_expansion

    def checked(size: int, compressed_size: int, what: str) -> None:
        held.append(size)
        check(size, compressed_size, what)

    project.deliver("firms/a", bomb(kind))
    monkeypatch.setattr(containers, "check_expansion", checked)
    message = fault()
    assert message.startswith("firms/a")
    assert "above the limits of 1,073,741,824 bytes and 200 times. If that is right, deliver it unpacked." in message
    if kind in ("gzip", "zip that lies"):  # the others are refused for what they declare
        assert max(held) <= containers.RATIO_FLOOR + containers.CHUNK


def parquet_bomb(kind: str) -> bytes:
    if kind == "a long text in all rows":
        first = pa.repeat(pa.scalar(0, pa.int32()), 10_000)
        repeated = pa.DictionaryArray.from_arrays(first, ["0" * 100_000])
    else:
        repeated = pa.repeat(pa.scalar(0, pa.int32()), 4_000_000)
    content = io.BytesIO()
    pq.write_table(pa.table(dict.fromkeys(HEADER, repeated)), content)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["a long text in all rows", "rows without end"])
def test_a_parquet_bomb_is_refused_without_being_decoded(
    project: Project, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = parquet_bomb(kind)
    assert len(content) < 100_000
    project.deliver("firms/a", content)
    decoded: list[object] = []
    monkeypatch.setattr(formats, "_as_text", decoded.append)
    message = fault()
    assert message.startswith(f"firms/a: the Parquet file expands from {len(content):,} to ")
    assert message.endswith("If that is right, deliver it as CSV.")
    assert decoded == []


def test_a_parquet_file_with_lists_in_its_cells_is_refused(project: Project) -> None:
    content = io.BytesIO()
    pq.write_table(pa.table({name: [[1]] for name in HEADER}), content)
    project.deliver("firms/a", content.getvalue())
    assert fault() == (
        "firms/a, column 城市代码: its values are of type list<element: int64>. Ask for one value in a cell."
    )


def test_a_member_larger_than_declared_is_refused_even_where_it_is_small(project: Project) -> None:
    project.deliver("firms/a.zip", declared_smaller(zipped(**{"a.csv": csv_text(GOOD, GOOD)}), 10))
    assert fault() == (
        'firms/a.zip/a.csv: the member "a.csv" cannot be unpacked (it declares 10 bytes and holds '
        f"{len(csv_text(GOOD, GOOD).encode())}). Ask the provider for the files unpacked."
    )


def test_above_the_absolute_limit_a_plausible_ratio_does_not_help(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deliver("firms/a.gz", gzip.compress(csv_text(*[GOOD] * 100).encode()))
    monkeypatch.setattr(containers, "EXPANDED_LIMIT", 1000)
    assert "above the limits of 1,000 bytes" in fault()


@pytest.mark.parametrize(("suffix", "message"), [("gz", "not a complete gzip file"), ("zip", "not a complete zip")])
def test_a_truncated_archive_is_refused(project: Project, suffix: str, message: str) -> None:
    content = csv_text(*[(code, 2020, code, 1) for code in range(1000)]).encode()
    packed = gzip.compress(content) if suffix == "gz" else zipped(**{"a.csv": content})
    project.deliver(f"firms/a.{suffix}", packed[:-300])
    assert fault().startswith(f"firms/a.{suffix}: {message}")


def test_a_damaged_member_is_refused(project: Project) -> None:
    content = bytearray(zipped(**{"a.csv": csv_text(GOOD)}))
    content[content.index(b"a.csv") + 12] ^= 1
    project.deliver("firms/a.zip", bytes(content))
    assert fault().startswith('firms/a.zip/a.csv: the member "a.csv" cannot be unpacked (')


# Formulas


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+1+1", "-1+1", "=cmd|' /C calc'!A0"])
def test_a_formula_is_kept_as_text_and_is_never_a_number(project: Project, text: str) -> None:
    project.deliver("firms/a.csv", csv_text((text, 2020, 1, 1), ("110000", 2020, 1, text)))
    deliveries = landing.deliveries()
    assert [row["城市代码"] for row in landed()] == [text]
    (aside,) = landing.rejected_rows(deliveries).read_all().to_pylist()
    reason = "not a number (a formula)" if text[0] in "=@" else "not a number"
    assert (aside["row_number"], aside["column_name"], aside["value"], aside["reason"]) == (3, "产值", text, reason)


def test_nothing_of_an_archive_is_ever_written_as_a_file(project: Project, tmp_path: Path) -> None:
    project.deliver("firms/a.zip", zipped(**{"deep/er/../b.csv": "x"}))
    fault()
    assert [path.name for path in tmp_path.rglob("*.csv")] == []
