"""Fuzzed deliveries: each ends in landed + rejected = delivered, or in one clear line that names
the file.

What was delivered is known from when it was made; what a harmed text holds is counted from its
bytes by csv.
"""

import csv
import gzip
import io
import random
import re
import tempfile
import zipfile
from collections.abc import Iterator
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
from tests.python.landing_project import FIRMS, HEADER, made_in

# A file of any name, so that the content alone decides.
DECLARED = FIRMS.replace("key =", 'period = "年份"\n    key =')
CODECS = (
    "utf-8",
    "utf-8-sig",
    "gb18030",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "latin-1",
    "shift_jis",
    "big5",
)
FORMATS = ("csv", "tab", "semicolon", "xlsx", "parquet", "dta")
ODD_CELLS = [
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
CELLS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.floats(0, 1e6).map(str),
    st.sampled_from(ODD_CELLS),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8),
)


@dataclass
class Delivered:
    """The bytes of a delivery, and the count of its records where that is still known."""

    content: bytes
    count: int | None
    seed: int

    @property
    def counts(self) -> set[int]:
        """Return how many records the file has, as it was made and as csv counts them."""
        return {count for count in (self.count, counted_in_text(self.content)) if count is not None}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Draw a header in any order, more or fewer columns than declared, and rows that repeat or are
    missing.
    """
    header = draw(st.permutations([*HEADER, "备注"]))
    if draw(st.integers(0, 9)) == 0:
        header.pop()
    rows = [
        [
            f"{110000 + number}",
            str(draw(st.integers(2009, 2021))),
            draw(CELLS),
            draw(CELLS),
            draw(CELLS),
        ]
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
        pq.write_table(
            pa.table([pa.array(column, pa.string()) for column in columns], names=header), content
        )
    elif file_format == "dta":
        pd.DataFrame(rows, columns=header).astype(str).to_stata(
            content, write_index=False, version=118
        )
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
    if file_format in FORMATS[:3] and any("\n" in cell for row in rows for cell in row):
        count = None  # in text, each line is a record
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


def decoded(content: bytes) -> str | None:
    for codec in ("utf-8-sig", "gb18030", "utf-16"):
        try:
            text = content.decode(codec)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    return None


def is_blank(cells: list[str]) -> bool:
    return not re.sub(r"[\s\u200b-\u200f\u2060\ufeff]", "", "".join(cells))


def counted_in_text(content: bytes) -> int | None:
    """Count the records of a text with csv; None where it cannot."""
    text = (
        None
        if content.startswith((b"\x1f\x8b", b"PK", b"PAR1", b"<stata_dta>"))
        else decoded(content)
    )
    if text is None:
        return None
    line = next((line for line in re.split("[\r\n]", text) if HEADER[0] in line), "")
    mark = max(",\t;", key=line.count)
    lines: list[str] = []

    def read() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            lines.append(line)
            yield line

    count = -1
    try:
        for record in csv.reader(read(), delimiter=mark, strict=True):
            # each line of a record that marks bind is one
            count += (
                sum(not is_blank([line]) for line in lines)
                if len(lines) > 1
                else not is_blank(record)
            )
            lines.clear()
    except csv.Error:
        return None
    return count


def land(delivered: Delivered) -> None:
    """Land a delivery beside a good one, twice, and check what became of it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        made = made_in(Path(folder), patched)
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
        rows, rejected = (
            landing.rows("firms", table).read_all(),
            landing.rejected_rows(table).read_all(),
        )
        for delivery in table.to_pylist():
            numbered = (rows.flatten()["origin.delivery_number"], rejected["delivery_number"])
            of_delivery = [numbers.to_pylist() for numbers in numbered]
            landed, set_aside = (
                numbers.count(delivery["delivery_number"]) for numbers in of_delivery
            )
            assert (landed, set_aside) == (
                delivery["landed_row_count"],
                delivery["rejected_row_count"],
            )
            assert landed + set_aside == delivery["record_count"]
        fuzzed = [
            delivery for delivery in table.to_pylist() if delivery["file_path"] != "firms/good.csv"
        ]
        if fuzzed:
            counted = sum(delivery["record_count"] for delivery in fuzzed)
            assert delivered.counts in ({counted}, set())
        assert all(reason for reason in rejected["reason"].to_pylist())
        assert landing.deliveries() == table


QUIET = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}


@pytest.mark.parametrize("examples", [8, pytest.param(500, marks=pytest.mark.soak)])
def test_a_fuzzed_delivery_lands_whole_or_is_refused_in_one_line(examples: int) -> None:
    settings(max_examples=examples, **QUIET)(given(deliveries())(land))()
