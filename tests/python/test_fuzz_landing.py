"""Fuzzed deliveries: each ends in landed + rejected = delivered, or in one clear line that names the file."""

import csv
import gzip
import io
import random
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_manufacturing import landing
from tests.python.conftest import Build
from tests.python.landing_project import FIRMS, HEADER, Project

# A file of any name, so that the content alone decides.
DECLARED = FIRMS.replace("key =", 'period = "年份"\n    key =')
CODECS = ("utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-32", "latin-1", "shift_jis", "big5")
FORMATS = ("csv", "tab", "semicolon", "xlsx", "parquet", "dta")
CELLS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.floats(0, 1e6).map(str),
    st.sampled_from(
        [
            "",
            "-",
            "—",
            "…",
            "无",
            "1,234",
            "１２",
            "12%",
            "1,2O4",
            "=1+1",
            "@x",
            "+1",
            "1e400",
            '"',
            "a\nb",
            "\u200b",
            "NaN",
        ]
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8),
)


@dataclass
class Delivered:
    """The bytes of a delivery, and the count of its records where that is still known."""

    content: bytes
    count: int | None
    seed: int


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Draw a header in any order, more or fewer columns than declared, and rows that repeat or are missing."""
    header = draw(st.permutations([*HEADER, "备注"]))
    if draw(st.integers(0, 9)) == 0:
        header.pop()
    rows = [
        [f"{110000 + number}", str(draw(st.integers(2009, 2021))), draw(CELLS), draw(CELLS), draw(CELLS)]
        for number in range(draw(st.integers(0, 12)))
    ]
    rows = [dict(zip((*HEADER, "备注"), row, strict=True)) for row in rows]
    rows += draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []
    return header, [[row[name] for name in header] for row in draw(st.permutations(rows))]


def written(file_format: str, header: list[str], rows: list[list[str]], codec: str) -> bytes:
    content = io.BytesIO()
    if file_format == "xlsx":
        book = openpyxl.Workbook()
        for row in [header, *rows]:
            book.active.append(["'" + cell if cell.startswith("=") else cell for cell in row])
        book.save(content)
    elif file_format == "parquet":
        columns = list(zip(*rows, strict=True)) or [()] * len(header)
        pq.write_table(pa.table([pa.array(column, pa.string()) for column in columns], names=header), content)
    elif file_format == "dta":
        pd.DataFrame(rows, columns=header).astype(str).to_stata(content, write_index=False, version=118)
    else:
        text = io.StringIO()
        mark = {"csv": ",", "tab": "\t", "semicolon": ";"}[file_format]
        csv.writer(text, delimiter=mark).writerows([header, *rows])
        return text.getvalue().encode(codec, errors="replace")
    return content.getvalue()


@st.composite
def deliveries(draw: st.DrawFn) -> Delivered:
    """Draw a delivery: a table in a format and an encoding, perhaps packed, perhaps harmed."""
    header, rows = draw(tables())
    file_format = draw(st.sampled_from(FORMATS))
    codec = draw(st.sampled_from(CODECS)) if draw(st.booleans()) else "utf-8"
    content = written(file_format, header, rows, codec)
    # an empty row is no record, and an encoding that loses characters may lose line ends
    count = len(rows) if codec in CODECS[:4] else None
    packing = draw(st.sampled_from([None, None, "gzip", "zip"]))
    if packing == "gzip":
        content = gzip.compress(content, mtime=0)
    elif packing == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("member"), content)
        content = packed.getvalue()
    harm = draw(st.sampled_from([None, None, "truncate", "flip", "insert", "random"]))
    seed = draw(st.integers(0, 2**32 - 1))
    if harm:
        content, count = harmed(content, harm, random.Random(seed)), None
    return Delivered(content, count, seed)


def harmed(content: bytes, harm: str, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    if harm == "truncate":
        return content[:at]
    if harm == "insert":
        return content[:at] + chance.randbytes(chance.randrange(1, 9)) + content[at:]
    if harm == "random":
        return chance.randbytes(chance.randrange(400))
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 4)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def land(delivered: Delivered) -> None:
    """Land a delivery beside a good one, twice, and check what became of it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setenv("DBT_PROJECT_DIR", folder)
        patched.setenv("EXTRACTS_DIR", "extracts")
        patched.setenv("LANDING_DIR", "landing")
        made = Project(Path(folder))
        made.declare(DECLARED)
        made.deliver("firms/good.csv", "城市代码,年份,企业数,产值\n110000,2000,1,1\n")
        before = landing.rows("firms", landing.deliveries()).read_all()
        assert before.num_rows == 1

        made.deliver("firms/fuzzed", delivered.content)
        try:
            table = landing.deliveries()
        except landing.LandingError as error:
            (line,) = str(error).splitlines()
            assert line.startswith("firms/fuzzed"), line
            assert line.endswith((".", "it.")), line
            assert landing.rows("firms", landing.deliveries(as_of=1)).read_all() == before
            return
        rows, rejected = landing.rows("firms", table).read_all(), landing.rejected_rows(table).read_all()
        for delivery in table.to_pylist():
            of_delivery = [part["delivery_number"].to_pylist() for part in (rows, rejected)]
            landed, set_aside = (numbers.count(delivery["delivery_number"]) for numbers in of_delivery)
            assert (landed, set_aside) == (delivery["landed_row_count"], delivery["rejected_row_count"])
            assert landed + set_aside == delivery["record_count"]
        fuzzed = [delivery for delivery in table.to_pylist() if delivery["file_path"] != "firms/good.csv"]
        if delivered.count is not None and fuzzed:
            assert sum(delivery["record_count"] for delivery in fuzzed) == delivered.count
        assert all(reason for reason in rejected["reason"].to_pylist())
        assert landing.deliveries() == table


QUIET = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}


@settings(max_examples=30, **QUIET)
@given(deliveries())
def test_a_fuzzed_delivery_lands_whole_or_is_refused_in_one_line(delivered: Delivered) -> None:
    land(delivered)


@pytest.mark.soak
@settings(max_examples=500, **QUIET)
@given(deliveries())
def test_five_hundred_fuzzed_deliveries(delivered: Delivered) -> None:
    land(delivered)


def tried_on_a_warehouse(delivery: Build, count: int) -> None:
    """Build harmed yearbooks into a good warehouse: it stays open, and keeps what was there if the file is refused."""
    path = delivery.extracts / "city_yearbook/城市统计年鉴_2015.csv"
    good = path.read_bytes()
    panel = "from marts.fct_city_year_panel order by all"
    before = delivery.rows(panel)
    for seed in range(count):
        chance = random.Random(seed)
        path.write_bytes(harmed(good, chance.choice(["truncate", "flip", "insert", "random"]), chance))
        delivery.dbt("run", "--select", "raw_deliveries+1")
        if delivery.exit_code:
            lines = {line.strip() for line in delivery.output.splitlines() if path.name in line}
            assert len(lines) == 1, delivery.output
        else:
            unaccounted = (
                "select count(*) from raw.deliveries where record_count <> landed_row_count + rejected_row_count"
            )
            assert delivery.value(unaccounted) == 0
        assert delivery.rows(panel) == before


def test_the_warehouse_that_stood_before_still_opens(delivery: Build) -> None:
    tried_on_a_warehouse(delivery, 1)


@pytest.mark.soak
def test_the_warehouse_that_stood_before_opens_after_each_of_many(delivery: Build) -> None:
    tried_on_a_warehouse(delivery, 15)
