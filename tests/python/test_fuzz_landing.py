"""Fuzz tests for landing: each record is landed or rejected, or an error names the file.

The number of delivered records is known, unless the file was damaged.
"""

import gzip
import io
import random
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_manufacturing import landing
from tests.python.landing_project import FIRMS, HEADER, made_in, zipped

# Declare a source that accepts any file name, so that only the content matters.
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


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Draw a random header and rows, possibly with a missing column and duplicate rows."""
    header = draw(st.permutations([*HEADER, "备注"]))
    if draw(st.integers(0, 9)) == 0:
        header.pop()
    rows = [
        {
            "城市代码": f"{110000 + number}",
            "年份": str(draw(st.integers(2009, 2021))),
            **{name: draw(CELLS) for name in ("企业数", "产值", "备注")},
        }
        for number in range(draw(st.integers(0, 12)))
    ]
    rows += draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []
    return header, [[row[name] for name in header] for row in draw(st.permutations(rows))]


def written(file_format: str, header: list[str], rows: list[list[str]], codec: str) -> bytes:
    content = io.BytesIO()
    table = pd.DataFrame(rows, columns=header, dtype="string")
    if file_format == "xlsx":
        quoted = table.replace("^=", "'=", regex=True)
        quoted.to_excel(content, index=False)
    elif file_format == "parquet":
        table.to_parquet(content, index=False)
    elif file_format == "dta":
        table.astype(object).to_stata(content, write_index=False, version=118)
    else:
        mark = {"csv": ",", "tab": "\t", "semicolon": ";"}[file_format]
        text = table.to_csv(index=False, sep=mark, lineterminator="\r\n")
        return text.encode(codec, errors="replace")
    return content.getvalue()


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[bytes, int | None]:
    """Draw a delivered file in a random format and encoding, possibly compressed or damaged.

    Returns its bytes, and the number of its records if that is known.
    """
    header, rows = draw(tables())
    file_format = draw(st.sampled_from(FORMATS))
    codec = draw(st.sampled_from(CODECS)) if draw(st.booleans()) else "utf-8"
    content = written(file_format, header, rows, codec)
    # An encoding that loses characters may also lose line ends, so the number of records is
    # unknown.
    count = len(rows) if codec in CODECS[:4] else None
    if file_format in FORMATS[:3] and any("\n" in cell for row in rows for cell in row):
        # In text formats, a line break within a cell starts a new record, so the number of records
        # is unknown.
        count = None
    packing = draw(st.sampled_from([None, None, "gzip", "zip"]))
    if packing == "gzip":
        content = gzip.compress(content, mtime=0)
    elif packing == "zip":
        content = zipped((zipfile.ZipInfo("member"), content))
    harm = draw(st.sampled_from([None, None, "truncate", "flip", "insert", "random"]))
    chance = random.Random(draw(st.integers(0, 2**32 - 1)))
    return (harmed(content, harm, chance), None) if harm else (content, count)


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


def land(delivered: tuple[bytes, int | None]) -> None:
    """Land a fuzzed file next to a valid file, and check that every record is accounted for."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        made = made_in(Path(folder), patched)
        made.declare(DECLARED)
        made.deliver("firms/good.csv", "城市代码,年份,企业数,产值\n110000,2000,1,1\n")
        before = landing.read_rows("firms", landing.land_deliveries()).read_all()
        assert before.num_rows == 1

        content, count = delivered
        made.deliver("firms/fuzzed", content)
        try:
            table = landing.land_deliveries()
        except landing.LandingError as error:
            (line,) = str(error).splitlines()
            assert line.startswith("firms/fuzzed"), line
            assert line.endswith((".", "it.")), line
            assert landing.read_rows("firms", landing.land_deliveries(as_of=1)).read_all() == before
            return
        rejected = landing.read_rejected_rows(table).read_all()
        landed = landing.read_rows("firms", table).read_all().flatten()["origin.delivery_number"]
        rows, aside = (
            Counter(numbers.to_pylist()) for numbers in (landed, rejected["delivery_number"])
        )
        for delivery in table.to_pylist():
            number = delivery["delivery_number"]
            assert rows[number] == delivery["landed_row_count"]
            assert aside[number] == delivery["rejected_row_count"]
            assert rows[number] + aside[number] == delivery["record_count"]
        if count is not None:
            assert sum(table["record_count"].to_pylist()) == before.num_rows + count
        assert all(rejected["reason"].to_pylist())
        assert landing.land_deliveries() == table


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
