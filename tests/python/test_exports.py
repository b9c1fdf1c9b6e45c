"""Tests for exported files, which are read back with pandas, openpyxl and pyarrow."""

import io
import math
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ai_manufacturing.cli import main
from ai_manufacturing.system.text import Catalogue
from ai_manufacturing.tables import cells, exports, formats, stata_notes
from tests.python.conftest import Build
from tests.python.release_store import changed, mounted
from tests.python.terminal import on_terminal

PANEL = "from marts.fct_city_year_panel order by city_id, year"
ESTIMATES = "from reports.rpt_coefficients order by specification_id, term_order, term"
QUERIES = [("panel", PANEL), ("estimates", ESTIMATES)]
CODES = {"city_id": str, "province_id": str}
MARK = "Extract set sample is SYNTHETIC: its numbers are not real."


@pytest.fixture(scope="session")
def folder(few: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    exports.export(few.warehouse, folder, *formats.list_formats("rows"), "xlsx", "latex")
    return folder


def same(exported: pd.DataFrame, expected: pd.DataFrame, digits: float = 0) -> None:
    """Check that two DataFrames are equal, with empty strings as missing values."""
    numbers = {name: "Float64" for name in expected if expected[name].dtype.kind in "ifb"}
    left, right = (
        frame.astype(object).where(frame.notna(), "").astype(str).assign(**frame[[*numbers]])
        for frame in (exported.iloc[:, : expected.shape[1]], expected)
    )
    # Use rtol=0, because check_exact ignores differences in Float64 columns.
    left, right = left.astype(numbers), right.astype(numbers)
    pd.testing.assert_frame_equal(left, right, rtol=digits, atol=0)


@pytest.mark.parametrize(("name", "query"), QUERIES)
def test_parquet_and_csv_hold_every_value_as_it_is(
    name: str, query: str, folder: Path, few: Build
) -> None:
    expected = few.frame(query)
    parquet = pd.read_parquet(folder / f"{name}.parquet")
    csv = pd.read_csv(folder / f"{name}.csv", dtype=CODES)
    for frame in (parquet, csv):
        same(frame, expected)
        assert frame["is_synthetic"].all()
    schema = pq.read_schema(folder / f"{name}.parquet")
    assert schema.metadata[b"description"].decode() == MARK
    assert all(field.metadata[b"label"] for field in schema)


@pytest.mark.parametrize(("name", "query"), QUERIES)
def test_stata_reads_values_and_labels(name: str, query: str, folder: Path, few: Build) -> None:
    expected = few.frame(query)
    with pd.io.stata.StataReader(folder / f"{name}.dta", convert_categoricals=False) as reader:
        values = reader.read()
        variable_labels, value_labels, data_label = (
            reader.variable_labels(),
            reader.value_labels(),
            reader.data_label,
        )
    assert data_label == MARK
    assert max(map(len, values.columns)) <= 32
    assert all(0 < len(label) <= 80 for label in variable_labels.values())
    assert value_labels["is_synthetic"] == {0: "no", 1: "yes"}
    assert values["is_synthetic"].eq(1).all()
    # Compare labelled numbers by their labels, but city and province codes by their digits.
    for column in value_labels.keys() & set(expected.columns):
        if expected[column].dtype.kind not in "ifb" and column not in ("city_id", "province_id"):
            values[column] = values[column].map(value_labels[column])
    same(values, expected.rename(columns=lambda column: column[:32]))


def test_stata_has_the_cities_as_labelled_numbers(folder: Path) -> None:
    """In Stata, `xtset city_id year` works on the exported panel without any conversion."""
    with pd.io.stata.StataReader(folder / "panel.dta", convert_categoricals=False) as reader:
        panel = reader.read()
        value_labels = reader.value_labels()
    assert panel["city_id"].dtype.kind == panel["year"].dtype.kind == "i"
    assert value_labels["city_id"][440300] == "深圳市"
    assert value_labels["province_id"][440000] == "广东省"
    dictionary = pd.read_stata(folder / "data_dictionary.dta").set_index("stata_name")
    assert (
        dictionary.loc["resident_population_interpolated", "column_name"]
        == "resident_population_interpolated_10k"
    )
    assert dictionary.loc["gdp_100m_cny", "description_zh"] == "地区生产总值，亿元，当年价"


RESTRICTED = "Not to be passed on: values of vendor (For subscribers)."
RESTRICTION = (
    "2 columns of the panel contain values that may not be passed on. They come from vendor (For"
    " subscribers). The column restricted_providers of data_dictionary lists their providers."
)


@pytest.fixture(scope="module")
def restricted(few: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a warehouse in which a vendor does not permit redistribution of GDP and its log."""
    columns = "table_name = 'fct_city_year_panel' and column_name in ('gdp_100m_cny', 'ln_gdp')"
    return changed(
        few.warehouse,
        tmp_path_factory.mktemp("restricted") / "restricted.duckdb",
        "update marts.fct_deliveries set provenance_class = 'commercial_vendor',"
        " licence = 'For subscribers', may_be_passed_on = false",
        "update marts.data_dictionary set restricted_providers = 'vendor',"
        f" restricted_licences = 'For subscribers' where {columns}",
    )


def test_each_format_says_by_column_what_may_not_be_passed_on(
    restricted: Path, tmp_path: Path
) -> None:
    exports.export(restricted, tmp_path, "parquet", "xlsx", "dta", "csv")
    schema = pq.read_schema(tmp_path / "panel.parquet")
    assert schema.metadata[b"restriction"].decode() == RESTRICTION
    told = {field.name for field in schema if b"restriction" in (field.metadata or {})}
    assert told == {"gdp_100m_cny", "ln_gdp"}
    assert schema.field("ln_gdp").metadata[b"restriction"].decode() == RESTRICTED
    assert b"restriction" not in pq.read_schema(tmp_path / "estimates.parquet").metadata

    about = openpyxl.load_workbook(tmp_path / "ai_manufacturing.xlsx")["about"]
    lines = [cell.value for cell in about["A"]]
    assert RESTRICTION in lines
    assert f"panel, gdp_100m_cny: {RESTRICTED}" in lines

    notes = (tmp_path / "panel.dta").read_bytes()
    assert RESTRICTION.encode() in notes
    assert notes.count(RESTRICTED.encode()) == 2
    assert RESTRICTION.encode() not in (tmp_path / "estimates.dta").read_bytes()

    dictionary = pd.read_csv(tmp_path / "data_dictionary.csv")
    listed = dictionary[dictionary["restricted_providers"].notna()]
    assert [*listed["column_name"]] == ["gdp_100m_cny", "ln_gdp"]
    assert {*listed["restricted_licences"]} == {"For subscribers"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["panel", "--format", "csv"],
        pytest.param(["export", "--format", "parquet", "--out", "out"], marks=pytest.mark.soak),
    ],
)
def test_the_terminal_says_it_beside_the_file(
    arguments: list[str],
    restricted: Path,
    few: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for path, expected in ((restricted, True), (few.warehouse, False)):
        result = CliRunner().invoke(main, [*arguments, "--database", str(path)])
        assert result.exit_code == 0
        assert (RESTRICTION in result.stderr.splitlines()) == expected
        assert RESTRICTION not in result.stdout


def test_stata_reads_a_file_with_notes_as_one_without() -> None:
    frame = pd.DataFrame({"gdp": [1.5, None], "name": ["深圳", ""]})
    content = io.BytesIO()
    frame.to_stata(content, write_index=False, version=118, byteorder="little")
    noted = stata_notes.add_notes(
        content.getvalue(), {stata_notes.WHOLE_FILE: ["One.", "二。"], "gdp": ["Three."]}
    )
    pd.testing.assert_frame_equal(pd.read_stata(io.BytesIO(noted)), frame)
    found = re.findall(rb"<ch>(.{4})(.{129})(.{129})(.*?)\0</ch>", noted, re.DOTALL)
    assert [tuple(part.rstrip(b"\0").decode() for part in one[1:]) for one in found] == [
        ("_dta", "note0", "2"),
        ("_dta", "note1", "One."),
        ("_dta", "note2", "二。"),
        ("gdp", "note0", "1"),
        ("gdp", "note1", "Three."),
    ]
    lengths = [int.from_bytes(one[0], "little") for one in found]
    assert lengths == [2 * 129 + len(one[3]) + 1 for one in found]


def test_excel_reads_values_texts_and_the_mark(folder: Path, few: Build) -> None:
    path = folder / "ai_manufacturing.xlsx"
    workbook = openpyxl.load_workbook(path)
    assert workbook.sheetnames == [
        "panel",
        "estimates",
        "specification_curve",
        "data_dictionary",
        "about",
    ]
    assert workbook["about"]["A1"].value == MARK
    comments = {cell.value: cell.comment.text for cell in workbook["panel"][1] if cell.comment}
    assert comments["gdp_100m_cny"] == "GDP, 100 million yuan current."
    for name, query in QUERIES:
        # Excel stores numbers with about 15 significant digits.
        frame = pd.read_excel(path, sheet_name=name, engine="calamine", dtype=CODES)
        same(frame, few.frame(query), digits=1e-14)
        assert frame["is_synthetic"].all()


def test_the_panel_goes_to_standard_output_or_a_file_as_export_writes_it(
    folder: Path, few: Build, tmp_path: Path
) -> None:
    database = ("--database", str(few.warehouse))
    run = CliRunner().invoke(main, ["panel", "--format", "csv", *database])
    assert run.stdout_bytes == (folder / "panel.csv").read_bytes()
    said = f"sample (SYNTHETIC: its numbers are not real), warehouse, {few.warehouse}\n"
    assert run.stderr == said
    assert exports.export_panel(few.warehouse, "parquet") == (folder / "panel.parquet").read_bytes()
    out = tmp_path / "x.CSV"
    # Without --format, the file extension determines the format.
    written = few.command("panel", "--out", str(out), *database)
    assert (written.returncode, written.stdout) == (0, f"{out}\n"), written.stderr
    assert out.read_bytes() == run.stdout_bytes
    assert [*tmp_path.iterdir()] == [out]


def test_a_workbook_of_the_panel_has_values_first_then_what_they_are(
    few: Build, tmp_path: Path
) -> None:
    out = tmp_path / "panel.xlsx"
    written = few.command("panel", "--out", str(out), "--database", str(few.warehouse))
    assert (written.returncode, written.stdout) == (0, f"{out}\n"), written.stderr
    workbook = openpyxl.load_workbook(out)
    assert workbook.sheetnames == ["panel", "data_dictionary", "about"]
    described = pd.read_excel(out, sheet_name="data_dictionary", engine="calamine")
    assert [*described["column_name"]] == [cell.value for cell in workbook["panel"][1]]
    assert {*described["file"]} == {"panel"}


def test_a_panel_that_cannot_be_written_says_why(few: Build, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere" / "panel.csv"
    for arguments, code, why in (
        (
            ("--format", "csv", "--out", str(nowhere)),
            1,
            f"{nowhere.parent}: No such file or directory). Create it, or name",
        ),
        (("--out", str(tmp_path / "panel.sav")), 2, "ends in .csv, .parquet, .xlsx, .dta"),
        ((), 2, "Name a format with --format"),
    ):
        run = few.command("panel", *arguments)
        assert (run.returncode, run.stdout) == (code, "")
        assert why in run.stderr


def test_a_terminal_is_sent_no_panel_of_stata(few: Build) -> None:
    code, _, seen = on_terminal(few, "panel", "--format", "dta", both=True)
    assert (code, "dta is a binary format that a terminal cannot show. Name a file" in seen) == (
        2,
        True,
    )


def hostile(
    texts: list[str | None], numbers: list[int | None], flags: list[bool | None]
) -> formats.Source:
    columns = {
        "city_id": ["440300"] * len(texts),
        "note": texts,
        "big": pa.array(numbers, pa.int64()),
        "flag": pa.array(flags, pa.bool_()),
    }
    table = formats.Table("hostile", pa.table(columns), {"note": "n " * 60})
    places = {"city_id": {440300: "深圳市"}}
    return formats.Source("Extract set x: delivered files.", (table,), places, {})


def write(source: formats.Source, folder: Path, file_format: str) -> None:
    for name, content in formats.render_files(source, file_format):
        (folder / name).write_bytes(content)


TEXTS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1+1",
    "plain - text", 'a "quoted", text\nwith a line', None,
    "深" * 1000, "x" * 5000,
]  # fmt: skip
NUMBERS = [2**53, -(2**53), 2**31, 2**31 - 1, 0, None, 1, 1, 1, 1, 1]
FLAGS = [True, False, None, True, True, True, True, True, True, True, True]


def test_a_text_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    source = hostile(TEXTS, NUMBERS, FLAGS)
    write(source, tmp_path, "csv")
    content = (tmp_path / "hostile.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    read = pd.read_csv(tmp_path / "hostile.csv")["note"]
    assert list(read[:6]) == [f"'{text}" for text in TEXTS[:6]]
    assert list(read[6:8]) == TEXTS[6:8]
    write(source, tmp_path, "xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "ai_manufacturing.xlsx")["hostile"]
    cells = [sheet.cell(row, 2) for row in range(2, 8)]
    assert [cell.value for cell in cells] == TEXTS[:6]
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr"}
    with zipfile.ZipFile(tmp_path / "ai_manufacturing.xlsx") as archive:
        assert "<f>" not in archive.read("xl/worksheets/sheet2.xml").decode()


def test_stata_keeps_long_texts_large_integers_and_what_is_missing(tmp_path: Path) -> None:
    write(hostile(TEXTS, NUMBERS, FLAGS), tmp_path, "dta")
    read = pd.read_stata(tmp_path / "hostile.dta", convert_categoricals=False)
    assert list(read["note"]) == [text or "" for text in TEXTS]
    assert [None if math.isnan(value) else int(value) for value in read["big"]] == NUMBERS
    assert [None if math.isnan(value) else bool(value) for value in read["flag"]] == FLAGS


def test_two_columns_of_one_name_in_stata_are_refused(tmp_path: Path) -> None:
    rows = pa.table({"a" * 32 + "1": [1], "a" * 32 + "2": [2]})
    source = formats.Source("x", (formats.Table("long", rows, {}),), {}, {})
    with pytest.raises(formats.ExportError, match="same name"):
        write(source, tmp_path, "dta")


def test_the_latex_of_an_export_is_that_of_the_tables_and_says_whose_numbers_they_are(
    folder: Path, few: Build
) -> None:
    with duckdb.connect(str(few.warehouse), read_only=True) as connection:
        tables = cells.read_tables(connection, Catalogue.load().extend_from_database(connection))
    for name, table in tables.items():
        text = (folder / f"{name}.tex").read_text(encoding="utf-8")
        assert text == formats.latex(table.prepare())
        assert r"\item {}Extract set sample is SYNTHETIC" in text
        assert re.search(r"\\caption{.+ \(SYNTHETIC DATA\)}", text), (
            "a caption travels without its notes"
        )


def test_no_name_of_an_extract_set_breaks_a_latex_table() -> None:
    escaped = formats.escape_latex(r"2020^rev~1_a\b & 5%")
    assert escaped == r"2020\textasciicircum{}rev\textasciitilde{}1\_a\textbackslash{}b \& 5\%"


def visible(folder: Path) -> list[str]:
    """Return the sorted names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def files_of(file_format: str) -> list[str]:
    names = ("data_dictionary", "estimates", "panel", "specification_curve")
    return [f"{name}.{file_format}" for name in names]


@pytest.mark.soak
def test_two_exports_at_once_leave_each_city_year_once(
    few: Build, folder: Path, tmp_path: Path
) -> None:
    program = str(Path(sys.executable).parent / "ai-manufacturing")
    command = [
        program,
        "export",
        "--format",
        "csv",
        "--out",
        str(tmp_path),
        "--release",
        str(few.warehouse),
    ]
    both = [subprocess.Popen(command, cwd=few.project, env=few.environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert visible(tmp_path) == files_of("csv")
    for name in visible(tmp_path):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("file_format", "name"),
    [("csv", "panel.csv"), ("dta", "panel.dta"), ("xlsx", "ai_manufacturing.xlsx")],
)
def test_a_full_disk_is_one_message_that_names_the_file(
    file_format: str, name: str, few: Build, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    mounted(small, "20k")
    try:
        (small / name).write_bytes(b"earlier")
        run = few.command(
            "export", "--format", file_format, "--out", str(small), "--release", str(few.warehouse)
        )
        assert run.returncode == 1
        assert (
            run.stderr.splitlines()[-1]
            == f"Error: {small / name}: the disk is full; the files of the earlier export are"
            " unchanged. Free disk space, or name another folder with --out."
        )
        assert (small / name).read_bytes() == b"earlier"
        assert visible(small) == [name]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_exports_say_what_a_number_is_on_this_set(public_build: Build, tmp_path: Path) -> None:
    exports.export(public_build.warehouse, tmp_path, "parquet", "latex")
    label = "† AI firms of all industries, by keyword, alive at year end"
    note = "AI firms of all industries by keyword substitute for sections B-E"
    schema = pq.read_schema(tmp_path / "panel.parquet")
    labels = {field.name: field.metadata[b"label"].decode() for field in schema if field.metadata}
    assert labels["ai_firm_count"] == f"{label} ({note})"
    assert labels["ln1p_ai_firms_scaled"].startswith("† Log of one plus M_AI from AI")
    assert not labels["gdp_100m_cny"].startswith("†")
    is_synthetic = pd.read_parquet(tmp_path / "panel.parquet", columns=["is_synthetic"])
    assert not is_synthetic["is_synthetic"].any()
    table = (tmp_path / "table_1.tex").read_text(encoding="utf-8")
    for words in (
        r"\caption{AI in manufacturing and GDP (with substitutes)}",
        r"AI firms of all industries, by keyword (M\_AI) & 0.158***$^{\ddagger}$ $^{\dagger}$",
        r"\item {}$^{\dagger}$ Substitutions (1): science spending substitutes for R\&D",
        r"\item {}Standard errors in [ ] use CRV3 by province (the jackknife)",
    ):
        assert words in table
    # The notes below the table list the columns that cannot be estimated.
    table = (tmp_path / "table_3.tex").read_text(encoding="utf-8")
    assert re.search(
        r"Not estimable \(4\)[ ()\d]*: Not delivered: .*anufacturing employment", table
    )
    assert "Not estimable (1)" not in table
    assert "SYNTHETIC" not in table


def test_an_export_removes_the_litter_of_a_killed_one_and_leaves_other_formats(
    few: Build, tmp_path: Path
) -> None:
    incoming = tmp_path / exports.INCOMING
    incoming.mkdir()
    (incoming / "panel.dta").write_bytes(b"half a file")
    (tmp_path / "ai_manufacturing.xlsx").write_bytes(b"earlier")
    command = ("export", "--format", "csv", "--release", str(few.warehouse), "--out")
    run = few.command(*command, str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert visible(tmp_path) == ["ai_manufacturing.xlsx", *files_of("csv")]
    assert (tmp_path / "ai_manufacturing.xlsx").read_bytes() == b"earlier"
    run = few.command(*command, str(tmp_path / "panel.csv"))
    assert (run.returncode, "is a file" in run.stderr) == (2, True)
