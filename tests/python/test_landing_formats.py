"""Test the detection of file formats, two-row headers, compressed files and malicious archives."""

import csv
import gzip
import io
import re
import shutil
import zipfile
from typing import Any

import duckdb
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from ai_manufacturing.landing import registers
from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers import containers, formats
from tests.python.landing_project import (
    FIRMS,
    GOOD,
    HEADER,
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

OTHER = ("120000", 2020, 12, 3.5)
TEXT = csv_text(GOOD)
DETECTED = ("file_path", "file_format", "compression", "encoding", "delimiter")


def workbook() -> bytes:
    content = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(list(HEADER))
    book.active.append(list(GOOD))
    book.save(content)
    return content.getvalue()


def parquet(columns: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


def test_the_content_decides_the_format_and_the_name_does_not(project: Project) -> None:
    contents = {
        TEXT.encode(): ("csv", "utf-8", "comma"),
        TEXT.replace(",", "\t").encode("gb18030"): ("csv", "gb18030", "tab"),
        TEXT.replace(",", ";").encode("utf-16"): ("csv", "utf-16", "semicolon"),
        workbook(): ("xlsx", None, None),
        parquet({name: [value] for name, value in zip(HEADER, GOOD, strict=True)}): (
            "parquet",
            None,
            None,
        ),
    }
    expected = []
    for suffix, (content, (found, *text)) in zip("czxgp", contents.items(), strict=True):
        for name, compression in ((f"firms/{suffix}.csv", None), (f"firms/{suffix}.xls", "gzip")):
            project.deliver(name, gzip.compress(content) if compression else content)
            expected.append((name, found, compression, *text))
    assert recorded(*DETECTED) == sorted(expected)
    assert firms() == [GOOD] * 10


def test_a_register_in_any_encoding_lands_the_same(project: Project) -> None:
    project.declare(FIRMS + REGISTER.replace("covers =", "multiline = true\n    covers ="))
    scopes = ["研发; 销售, 服务", '"人工智能"\n应用', ""] * 100
    rows = [(f"{number:03}", scope) for number, scope in enumerate(scopes)]
    expected = []
    for delimiter, named in {",": "comma", "\t": "tab", ";": "semicolon"}.items():
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter).writerows([("编号", "经营范围"), *rows])
        for encoding in ("gb18030", "utf-16", "utf-8", "utf-8-sig"):
            path = f"register/{named}_{encoding}.csv"
            project.deliver(path, text.getvalue().encode(encoding))
            expected.append((path, "csv", None, encoding, named))
    assert recorded(*DETECTED) == sorted(expected)
    for folder in project.store_folders():
        assert {path.name for path in folder.iterdir()} == {"rows.parquet", "delivery.json"}
        stored = pq.read_table(folder / "rows.parquet").to_pylist()
        assert [(row["编号"], row["经营范围"] or "") for row in stored] == rows


def test_a_ragged_record_of_a_register_is_set_aside(project: Project) -> None:
    project.declare(FIRMS + REGISTER)
    rows = ["1,a", "2", "3,b,c,d", '4,"e\nf"', "5,g,", ",", '"6\n",h,i']
    path = project.deliver("register/a.csv", "\n".join(["编号,经营范围", *rows]).encode("gb18030"))
    assert counts() == [(9, 3, 6)]
    (folder,) = project.store_folders()
    assert pq.read_table(folder / "rows.parquet")["经营范围"].to_pylist() == ["a", "g", None]
    several = "stray quotation mark, or a line end in a cell: rows "
    assert rejected() == [
        "3 |  | 2 | expected 2 fields, found 1",
        "4 |  | 3,b,c,d | expected 2 fields, found 4",
        f'5 |  | 4,"e | {several}5 to 6 would be read as one record',
        f'6 |  | f" | {several}5 to 6 would be read as one record',
        f'9 |  | "6 | {several}9 to 10 would be read as one record',
        f'10 |  | ",h,i | {several}9 to 10 would be read as one record',
    ]
    path.write_text("编号,经营范围,column 4,,Column 4\n1,a,b,c,d\n", encoding="utf-8")
    assert counts()[-1] == (1, 1, 0), "a generated name differs from every delivered name"
    # The unterminated quote is beyond the rows that DuckDB samples to detect the CSV dialect.
    path.write_text(
        "编号,经营范围\n" + "1,a\n" * 30_000 + '2,"never closed\n3,b\n', encoding="utf-8"
    )
    assert fault().startswith(
        "register/a.csv, row 30002: the line cannot be read as CSV (Value with"
        " unterminated quote found.)"
    )


def test_a_folder_that_spark_did_not_finish_is_refused(project: Project) -> None:
    part = project.deliver_rows(GOOD, to="firms/table/year=2015/part-00000-c000.csv")
    project.deliver_rows(OTHER, to="firms/part-time.csv")
    assert fault().startswith(
        "firms/table/year=2015: the folder contains no file _SUCCESS, so Spark"
    )
    (part.parents[1] / "_SUCCESS").touch()
    assert len(recorded("file_path")) == 2


def test_a_name_that_looks_like_a_pattern_is_one_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file name that contains glob characters must match only itself, not a neighbouring file."""
    monkeypatch.setenv("LANDING_DIR", "*/landing")
    project.declare(FIRMS.replace("key =", 'period = "年份"\n    key =') + REGISTER)
    project.deliver_rows(GOOD, to="firms/a[1]b.csv")
    project.deliver_rows(GOOD, OTHER, to="firms/a[1]b_again.csv")
    project.deliver("register/a1b.csv", "编号,经营范围\n2,neighbour\n3,neighbour\n")
    project.deliver("register/a[1]b.csv", "编号,经营范围\n1,mine\n")
    assert recorded("record_count", "valid_until_delivery") == [
        (1, 2),
        (2, None),
        (2, None),
        (1, None),
    ]
    *_, (store_key,) = recorded("store_key")
    shutil.copytree(project.root / "*", project.root / "neighbour")
    file = {
        "entity": "firm_register",
        "provider": "vendor",
        "file_number": 1,
        "store_key": store_key,
    }
    *_, path = registers.list_paths(pa.Table.from_pylist([file]))["rows_path"].to_pylist()
    read = duckdb.execute("select 经营范围 from read_parquet($1)", [path]).fetchall()
    assert read == [("mine",)]


def test_a_register_that_cannot_be_read_says_why_and_leaves_nothing(project: Project) -> None:
    project.declare(FIRMS + REGISTER)
    packed = "a register cannot be read from a gzip file, a workbook or a nested zip"
    refused = {
        "columns": (
            "编号\n1\n".encode("gb18030"),
            "the file lacks the columns 经营范围; its columns are 编号.",
        ),
        "empty": (b"", "the file is empty"),
        "encoding": (
            "编号;经营范围\n".encode("utf-16-le"),
            "the encoding of the file was not recognised",
        ),
        "gzip": (gzip.compress(b"x"), packed),
        "parquet": (b"PAR1 and no more", "the file cannot be read as Parquet"),
        "workbook": (workbook(), packed),
    }
    for name, (content, _) in refused.items():
        project.deliver(f"register/{name}.csv", content)
    for line, (name, (_, message)) in zip(fault().splitlines(), refused.items(), strict=True):
        assert line.startswith(f"register/{name}.csv")
        assert message in line
    assert [*(project.root / "landing").glob("*")] == []


def test_stata_files_of_each_age_land_with_observation_numbers(project: Project) -> None:
    project.declare("""
        [[sources]]
        name = "stock"
        entity = "firms"
        files = "stock/*"
        key = ["code"]
        [sources.columns]
        code = "text"
        name = "text"
        firm = "number"
        """)
    ages = [
        (114, "gb18030", "深圳"),
        (114, "latin-1", "Café"),
        (118, "utf-8", "深圳"),
    ]
    for number, (version, encoding, name) in enumerate(ages):
        # pandas writes old Stata versions in Latin-1, which preserves the bytes of any encoding.
        written = name if version == 118 else name.encode(encoding).decode("latin-1")
        frame = pd.DataFrame(
            {
                "code": [None, 110000.0 + number],
                "name": ["b", written],
                "firm": [2.5, None],
                "x": "a",
            }
        )
        frame.to_stata(
            project.deliver(f"stock/{number}.csv", b""), write_index=False, version=version
        )
    assert recorded("file_format", "encoding", "columns_not_read") == [
        ("dta", encoding, "x") for _, encoding, _ in ages
    ]
    assert [
        (row["origin"]["row_number"], row["code"], row["name"], row["firm"]) for row in landed()
    ] == [(2, f"{110000 + number}", name, None) for number, (_, _, name) in enumerate(ages)]
    assert rejected() == ["1 |  | |b|2.5|a | prose: no key"] * len(ages)


def test_a_gzip_file_answers_to_the_declaration_and_the_name_of_what_it_holds(
    project: Project,
) -> None:
    named = FIRMS.replace('"firms/*"', '"firms/企业_*.csv"')
    project.declare(named.replace("key =", "file_name = '企业_(?P<产值>\\d+)\\.csv'\n    key ="))
    project.deliver("firms/企业_7.csv.gz", gzip.compress(TEXT.encode()))
    assert firms() == [(*GOOD[:3], 7.0)]


def test_a_header_of_two_rows_is_joined_where_the_declaration_asks_for_it(project: Project) -> None:
    two_rows = csv_text(("", "", "数量", "产值"), GOOD, header=("城市代码", "年份", "企业", ""))
    project.deliver("firms/a.csv", two_rows)
    assert (
        "row 1: wrong header: it lacks 企业数, 产值; its headings are 城市代码, 年份, 企业"
    ) in fault()

    project.declare(
        FIRMS.replace('"企业数" =', '"企业/数量" =').replace('"产值" =', '"企业/产值" =')
    )
    header = [
        ("标题",),
        ("城市代码", "年份", "企业", None, "备注"),
        (None, None, "数量", "产值", None),
    ]
    path = project.deliver_workbook("firms/b.xlsx", s=[*header, GOOD])
    book = openpyxl.load_workbook(path)
    for merged in ("A2:A3", "B2:B3", "C2:D2", "E2:E3"):
        book["s"].merge_cells(merged)
    book.save(path)
    read = [(row["企业/数量"], row["企业/产值"], row["origin"]["row_number"]) for row in landed()]
    assert read == [(12, 3.5, 3), (12, 3.5, 4)]
    assert rejected() == ["s 1 |  | 标题|||| | prose above the header"]


def test_a_sheet_of_all_rows_of_excel_lands_unless_its_last_corner_holds_something(
    project: Project,
) -> None:
    path = project.deliver_workbook("firms/a.xlsx", Sheet=[HEADER, GOOD])
    book = openpyxl.load_workbook(path)
    corner = book.active["XFD1048576"]
    corner.fill = openpyxl.styles.PatternFill("solid", fgColor="FFFF00")
    book.save(path)
    with zipfile.ZipFile(path) as parts:
        assert b'ref="A1:XFD1048576"' in parts.read("xl/worksheets/sheet1.xml")
    assert firms() == [GOOD]
    corner.value = "x"
    book.save(path)
    assert (
        fault() == "firms/a.xlsx, sheet Sheet: the cells of the sheet span rows 1 to 1,048,576 and"
        " 16,384 columns. This range has 17,179,869,184 cells, but the limit is 33,554,432 cells."
        " Delete the cells that are far from the table, or deliver CSV."
    )


def test_each_member_of_an_archive_is_a_file_of_its_own(project: Project) -> None:
    inner = {
        "2019.csv": csv_text(("110000", 2019, 1, 1)),
        "sub/a.xlsx": workbook(),
        "__MACOSX/._2019.csv": "x",
    }
    project.deliver("firms/autumn.zip", zipped(**inner, README="x"))
    whole = csv_text(("110000", 2018, 2, 2))
    project.deliver("whole.zip", zipped(("firms/2018.csv", whole), ("notes.txt", "x")))
    project.deliver("pictures.zip", zipped(("a.png", "x")))
    table = landing.land_deliveries().to_pylist()
    assert [(row["file_path"], row["source_name"], row["record_count"]) for row in table] == [
        ("firms/autumn.zip/2019.csv", "firms", 1),
        # The pattern `firms/*` does not match files in subfolders.
        ("firms/autumn.zip/sub/a.xlsx", None, 0),
        ("pictures.zip", None, 0),
        ("whole.zip/firms/2018.csv", "firms", 1),
        ("whole.zip/notes.txt", None, 0),
    ]
    assert [year for _, year, *_ in firms()] == [2019, 2018]
    assert landing.land_deliveries().to_pylist() == table


def test_member_names_are_read_in_the_encoding_they_were_written_in(project: Project) -> None:
    names = {"cp437": "a_é.csv", "gb18030": "企业_2019.csv", "utf-8": "企业_2019.csv"}
    for codec, name in names.items():
        # Windows archivers write member names in the local code page without setting the UTF-8
        # flag.
        placeholder = "x" * len(name.encode(codec))
        content = zipped((placeholder, csv_text((codec, 2020, 12, 3.5))))
        project.deliver(
            f"firms/{codec}.zip", content.replace(placeholder.encode(), name.encode(codec))
        )
    assert recorded("file_path") == [
        (f"firms/{codec}.zip/{name}",) for codec, name in names.items()
    ]
    assert [code for code, *_ in firms()] == [*names]


def changed(content: bytes, at: int, **of_directory: int) -> bytes:
    """Flip a bit of a ZIP member's metadata in its local header and in the central directory."""
    altered = bytearray(content)
    altered[content.index(b"PK\x03\x04") + at] ^= 1
    for place in of_directory.values():
        altered[content.index(b"PK\x01\x02") + place] ^= 1
    return bytes(altered)


def test_archives_that_are_harmed_or_lead_elsewhere_are_refused_in_one_line_each(
    project: Project,
) -> None:
    plain = zipped(("a.csv", TEXT))
    packed = gzip.compress(TEXT.encode())
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zipped(("a.csv", TEXT), ("a.csv", TEXT))
    long = csv_text(*((code, 2020, code, 1) for code in range(1000))).encode()
    unpacked = "Ask the provider for the unpacked files."
    nested = f"contains another archive. {unpacked}"
    damaged = changed(plain, 30 + len("a.csv") + 7)
    encrypted = changed(plain, 6, directory=8)
    refused: dict[str, tuple[bytes, str]] = {
        "cut.gz": (gzip.compress(long)[:-300], ": the file is not a complete gzip file.*"),
        "cut.zip": (zipped(("a.csv", long))[:-300], ": the file is not a complete zip.*"),
        "damaged.zip": (
            damaged,
            rf'/a.csv: the member "a.csv" of the archive cannot be unpacked \(.* {unpacked}',
        ),
        "encrypted.zip": (
            encrypted,
            (
                ': the member "a.csv" of the archive is encrypted. Ask the provider for an archive'
                " without a password."
            ),
        ),
        "gzip_in_zip.zip": (zipped(("c.csv", packed)), f"/c.csv: the member {nested}"),
        "twice.zip": (twice, f': the archive contains the file "a.csv" twice. {unpacked}'),
        "zip_in_gzip.gz": (gzip.compress(plain), f": the gzip file {nested}"),
    }
    outside = [
        "../a.csv",
        "x/../../a.csv",
        "/a.csv",
        "C:\\a.csv",
        "..\\a.csv",
        "x\n.csv",
        "\\\\host\\a.csv",
    ]
    leads = f": the path of the member .* points outside the archive. {unpacked}"
    for number, name in enumerate(outside):
        refused[f"outside_{number}.zip"] = (zipped(("good.csv", TEXT), (name, TEXT)), leads)
    for name, (content, _) in refused.items():
        project.deliver(f"firms/{name}", content)
    (project.root / "landing").mkdir()
    before = sorted(project.root.rglob("*"))
    for line, (name, (_, said)) in zip(fault().splitlines(), sorted(refused.items()), strict=True):
        assert re.fullmatch(f"firms/{name}{said}", line), line
    assert sorted(project.root.rglob("*")) == before, (
        "nothing of an archive is ever written as a file"
    )


def bomb(kind: str) -> bytes:
    zeros = TEXT.encode() + (b"0" * (2**20 - 1) + b"\n") * 2**6
    if kind == "gzip":
        return gzip.compress(zeros)
    if kind == "workbook":
        content = io.BytesIO(workbook())
        with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as book:
            book.writestr("xl/media/zeros", zeros)
        return content.getvalue()
    return zipped(("a.csv", zeros))


@pytest.mark.parametrize(
    "kind",
    [
        "gzip",
        pytest.param("zip", marks=pytest.mark.soak),
        pytest.param("workbook", marks=pytest.mark.soak),
    ],
)
def test_a_bomb_is_refused_without_being_unpacked(
    project: Project, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    check = containers.check_expansion

    def checked(size: int, compressed_size: int, archive: str) -> None:
        held.append(size)
        check(size, compressed_size, archive)

    project.deliver("firms/a", bomb(kind))
    monkeypatch.setattr(containers, "check_expansion", checked)
    message = fault()
    assert message.startswith("firms/a")
    assert (
        "The limits are 1,073,741,824 bytes and 200 times the compressed size. If this size is"
        " correct, deliver the file without compression." in message
    )
    # Other archives are refused by their declared size, but gzip is decompressed up to the limit.
    if kind == "gzip":
        assert max(held) <= containers.RATIO_FLOOR + containers.CHUNK


def test_a_parquet_file_with_lists_or_bytes_in_its_cells_is_refused(project: Project) -> None:
    project.deliver("firms/a", parquet({name: [[1]] for name in HEADER}))
    text = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\x98"]).buffers())
    project.deliver("firms/b", parquet(dict.fromkeys(HEADER, text)))
    lists, foreign = fault().splitlines()
    assert (
        lists == "firms/a, column 城市代码: the values of this column have the nested type"
        " list<element: int64>. Ask the provider for a single value in each cell."
    )
    assert foreign.startswith("firms/b: the file contains text that is not valid UTF-8 (")


def test_above_the_absolute_limit_a_plausible_ratio_does_not_help(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deliver("firms/a.gz", gzip.compress(csv_text(*[GOOD] * 100).encode()))
    monkeypatch.setattr(containers, "EXPANDED_LIMIT", 1000)
    assert "The limits are 1,000 bytes" in fault()


def test_sizes_up_to_each_limit_are_accepted() -> None:
    """Archives may expand by any ratio up to 16 MiB, and 200 times up to 1 GiB."""
    for size, compressed_size in ((2**24, 1), (20_000_000, 100_000), (2**30, 2**30)):
        containers.check_expansion(size, compressed_size, "the file")
        with pytest.raises(FileFault, match="the file expands from"):
            containers.check_expansion(size + 1, compressed_size, "the file")
    containers.check_size(2**32)
    with pytest.raises(FileFault, match="exceeds the limit of 4,294,967,296 bytes"):
        containers.check_size(2**32 + 1)


def test_a_line_beyond_the_limit_is_named_by_its_row_before_it_is_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(formats, "LINE_LIMIT", 100)
    monkeypatch.setattr(containers, "CHUNK", 64)
    long = [b"a,b\r\n1,2\r\n3,", b"x" * 60, b"x" * 60, b"never read"]
    read = iter(long)
    with pytest.raises(FileFault, match="the line is longer than 100 bytes") as fault:
        list(formats.check_line_lengths(read))
    assert (fault.value.row, list(read)) == (3, [b"never read"])
    short = [b"a,b\n1,", b"x" * 98, b"\n" + b"y" * 100, b"\n2,3\n", b"\r" + b"z" * 100, b"\r"]
    assert [*formats.check_line_lengths(short)] == short
    with pytest.raises(FileFault, match="the line is longer than 100 bytes"):
        formats.read_sheets(gzip.compress(b"a,b\n" + b"x" * 200), {"a": "a", "b": "b"})
