"""Test a vendor's firm register: zipped CSV files without industry codes or exit dates."""

import csv
import io
import json
import os
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.planted_faults import copy_of_the_project
from tests.python import landing_project
from tests.python.conftest import PROJECT, Build
from tests.python.landing_project import CRAWL, FIRMS, Project, recorded, rejected
from tests.python.register_models import count

REGISTER_EXTRACTS = PROJECT / os.environ.get("REGISTER_EXTRACTS", "../shared/extracts/register")
HEADER = (
    "企业名称",
    "统一社会信用代码",
    "注册日期",
    "企业类型",
    "注册资金",
    "经营范围",
    "所在省份",
    "地区",
)
# The name of the person is invented, like all firms in this file.
PERSON = "甲某某"


def csv_text(*rows: tuple[str, ...]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def zipped(path: Path, **members: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        landing_project.zipped(**{f"{name}.csv": text for name, text in members.items()})
    )


def everything_kept(folder: Path) -> Iterator[str]:
    """Yield the content of all files in a folder as text, with Parquet cells as JSON."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        yield path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False, default=str)


def test_a_personal_column_reaches_nothing_that_is_kept(project: Project) -> None:
    """Personal names must not be stored, even if a missing or extra field moves them."""
    project.declare(FIRMS + CRAWL)
    header = ("编号", "法人代表", "经营范围", "省", "市", "联系人")
    zipped(
        project.root / "extracts/crawl/2010.zip",
        浙江=csv_text(
            header,
            ("1", PERSON, "五金", "浙江", "杭州", PERSON),
            ("2", "五金", PERSON, "", "浙江", "杭州", "", PERSON),
            ("3", PERSON),
        )
        + f'4,,五金,浙江,杭州,"\n5,{PERSON},五金,浙江,杭州,"\n',
    )
    project.deliver("crawl/2011.zip", b"")
    pq.write_table(
        pa.table(
            {
                name: [f"{name} {PERSON}" if name in ("法人代表", "联系人") else name]
                for name in header
            }
        ),
        project.root / "extracts/crawl/2011.zip",
    )
    project.declare(
        CRAWL.replace("crawl/*.zip/*.csv", "crawl/2011.zip").replace('"crawl"', '"parquet"'),
        "another",
    )

    assert recorded("file_path", "landed_row_count", "columns_not_read") == [
        ("crawl/2010.zip/浙江.csv", 1, "法人代表, 联系人"),
        ("crawl/2011.zip", 1, "法人代表, 联系人"),
    ]
    assert [line.split(" | ")[:3] for line in rejected()] == [[row, "", ""] for row in "3456"]
    kept = [*everything_kept(project.root / "landing"), *rejected()]
    assert any("五金" in text for text in kept)
    assert not any(PERSON in text for text in kept)


CHARACTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# Check digit weights of the unified social credit code (GB 32100-2015, table 2).
WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)


def credit_code(region: str, number: int, *, is_right: bool = True) -> str:
    first = f"91{region}{number:09d}"
    check = (
        31
        - sum(CHARACTERS.index(mark) * weight for mark, weight in zip(first, WEIGHTS, strict=True))
        % 31
    ) % 31
    return first + CHARACTERS[check if is_right else (check + 1) % 31]


def test_check_digits_are_those_of_codes_that_firms_publish() -> None:
    for code in ("914403001922038216", "91110000802100433B", "91330100799655058B"):
        assert credit_code(code[2:8], int(code[8:17])) == code


SCOPE, AI_SCOPE = "五金销售", "人工智能应用软件开发"
DATE_FORMS = ("2010-{0:02d}-02", "2010年{0}月2日", "2010/{0}/2", "2010{0:02d}02")


def firm(number: int, region: str, province: str, place: str, **other: Any) -> tuple[str, ...]:
    code = other["code"] if "code" in other else credit_code(region, number)
    date = other.get("date", DATE_FORMS[number % 4].format(number % 12 + 1))
    return (f"firm {number}", code, date, "N/A", "N/A", other.get("scope", SCOPE), province, place)


def deliver_crawl(folder: Path) -> Counter[str]:
    """Write a zipped register: two provinces in 2010, one incomplete year 2011, and the year 2000.

    Returns the number of firms of 2010 by city.
    """
    members: dict[tuple[str, str], list[tuple[str, ...]]] = defaultdict(list)
    cities: Counter[str] = Counter()
    with (PROJECT / "tests/fixtures/crawl.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            given = {name: row[name] for name in ("code", "date", "scope") if row[name]}
            number = int(row["number"])
            if given.get("code") == "wrong check digit":
                given["code"] = credit_code(row["region"], number, is_right=False)
            record = firm(number, row["region"], row["province"], row["place"], **given)
            members[row["archive"], row["member"]].append(record)
            if row["archive"] == "2010" and row["city_id"]:
                cities[row["city_id"]] += 1
    repeated = members["2010", "辽宁"]
    repeated.append(repeated[0])
    of_zhejiang = members["2010", "浙江"]
    # This row has one field too many.
    of_zhejiang.append((*of_zhejiang[0][:5], "x", PERSON, "", "杭州"))
    for archive in ("2000", "2010", "2011"):
        texts = {
            member: csv_text(HEADER, *rows)
            for (year, member), rows in members.items()
            if year == archive
        }
        zipped(folder / f"crawl_2019/{archive}.zip", **texts)
    return cities


SELECTED = (
    "fct_row_accounting",
    "fct_register_placement",
    "fct_register_entries",
    "int_firm_register_counts",
)


def second_count(folder: Path) -> dict[str, int]:
    """Count the records in all ZIP files without using the landing code."""
    counts = {}
    for path in sorted(folder.glob("crawl_2019/*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    lines = io.TextIOWrapper(member, encoding="utf-8-sig", newline="")
                    counts[f"crawl_2019/{path.name}/{name}"] = (
                        sum(1 for row in csv.reader(lines) if row) - 1
                    )
    return counts


ACCOUNTED = "select file_path, sum(row_count)::bigint from marts.fct_row_accounting group by all"


def test_the_firms_of_a_crawl_are_placed_by_their_code_or_their_name_and_a_sample_is_no_count(
    fresh: Build,
) -> None:
    expected = deliver_crawl(fresh.extracts)
    assert count(fresh, *SELECTED, firms_of="kinginsun").failed == {}
    assert fresh.pairs(ACCOUNTED) == second_count(fresh.extracts)
    aside = (
        "select disposition, sum(row_count)::bigint from marts.fct_row_accounting where disposition"
        " <> 'used' "
    )
    assert fresh.pairs(f"{aside} group by all") == {
        "expected 8 fields, found 9": 1,
        "duplicate id": 1,
        "unknown city": 1,
        "no city": 1,
        "unreadable date": 1,
        "out of period": 2,
    }
    entered = (
        "select city_id, sum(firm_count)::bigint from marts.fct_register_entries where entry_year ="
        " 2010 "
    )
    assert fresh.pairs(f"{entered} group by all") == expected
    without_a_name = "select * from marts.fct_register_entries where name_zh is null"
    assert fresh.rows(without_a_name) == []
    placed = (
        "select row_count, placed_count, placed_by_code_count, placed_by_name_count,"
        " agreeing_count, contradicting_count, month_count from marts.fct_register_placement where"
        " file_path like '%辽宁.csv' and entry_year = 2010"
    )
    assert fresh.rows(placed) == [(40, 38, 33, 5, 31, 1, 12)]
    assert fresh.rows("from intermediate.int_firm_register_counts") == []


NO_STOCK = (
    "The register crawl of 2019 (kinginsun) has no exits: it provides the entries of"
    " surviving firms, but no stock."
)


def test_a_crawl_of_all_survivors_gives_their_entries_and_no_stock(
    fresh: Build, tmp_path: Path
) -> None:
    """Declare the register as complete for surviving firms, although the real one is a sample."""
    fresh.project = copy_of_the_project(tmp_path / "project")
    declaration = fresh.project / "models/staging/kinginsun/kinginsun.toml"
    declared = declaration.read_text(encoding="utf-8")
    assert 'covers = "sample"' in declared
    declaration.write_text(
        declared.replace('covers = "sample"', 'covers = "survivors"'), encoding="utf-8"
    )
    deliver_crawl(fresh.extracts)
    count(fresh, "int_firm_register_counts", "dim_series", firms_of="kinginsun")

    # Incomplete years have no counts: 2011 ends in June, and the file of one province is missing.
    columns = (
        "provider, scope, city_id, year, firm_count, firm_entry_count, firm_exit_count,"
        " ai_firm_entry_count"
    )
    counts = fresh.rows(
        f"select {columns} from intermediate.int_firm_register_counts order by city_id"
    )
    assert counts == [
        ("kinginsun", "all_industries", city, 2010, None, firms, None, ai)
        for city, firms, ai in (
            ("110000", 2, 0),
            ("210100", 3, 1),
            ("211300", 27, 0),
            ("222400", 1, 0),
            ("310000", 1, 0),
            ("330100", 12, 12),
            ("370100", 2, 0),
            ("469021", 1, 0),
        )
    ]
    why = (
        "select distinct series, is_delivered, absence_reason from marts.dim_series where series"
        " like '%firm%' and "
    )
    # No row of series_sources.csv selects these counts for a series.
    assert fresh.rows(f"{why} scope = 'industry' order by series") == [
        (f"{ai}firm_{kind}", False, None if kind == "entry_count" else NO_STOCK)
        for ai in ("ai_", "")
        for kind in ("count", "entry_count", "exit_count")
    ]


def test_a_place_rule_that_places_under_half_is_named(fresh: Build) -> None:
    rows = [firm(number, "330102", "浙江", f"街道 {number}") for number in range(12)]
    zipped(fresh.extracts / "crawl_2019/2010.zip", 浙江=csv_text(HEADER, *rows))
    count(fresh, "gate_sources", firms_of="kinginsun")
    failed = (
        "select description from gates.gate_sources "
        "where suite = 'landed_sources' and not success and severity = 'critical'"
    )
    assert fresh.value(failed).startswith(
        "The declared place name locates the city of at least half of a register's records"
    )


@pytest.fixture
def real_register() -> Path:
    """Return the folder of the real register, or skip the test if the data are not available."""
    if not REGISTER_EXTRACTS.is_dir():
        pytest.skip("the real register is not here; set REGISTER_EXTRACTS to its folder")
    return REGISTER_EXTRACTS.resolve()


@pytest.mark.soak
def test_the_real_crawl_is_placed_and_every_record_is_accounted_for(
    fresh: Build, real_register: Path
) -> None:
    fresh.extracts = real_register
    count(fresh, *SELECTED, firms_of="kinginsun")

    delivered = second_count(real_register)
    assert fresh.pairs(ACCOUNTED) == delivered
    assert sum(delivered.values()) == 585_302
    ((placed, rows, agreeing, contradicting),) = fresh.rows(
        "select sum(placed_count), sum(row_count), sum(agreeing_count), sum(contradicting_count) "
        "from marts.fct_register_placement"
    )
    assert placed / rows >= 0.95
    assert agreeing / (agreeing + contradicting) >= 0.95
