"""A register as a vendor sends it: zips of CSV files, without industry and exits, placed by credit code and name."""

import csv
import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ai_manufacturing import landing
from ai_manufacturing.landing import LandingError
from tests.planted_faults import copy_of_the_project
from tests.python.conftest import PROJECT, Build
from tests.python.landing_project import FIRMS, Project

REGISTER_EXTRACTS = PROJECT / os.environ.get("REGISTER_EXTRACTS", "../shared/extracts/register")
HEADER = ("企业名称", "统一社会信用代码", "注册日期", "企业类型", "注册资金", "经营范围", "所在省份", "地区")
PERSON = "甲某某"  # invented, as all of these firms
CRAWL = """
    [[registers]]
    name = "crawl"
    entity = "firm_register"
    covers = "survivors"
    files = "crawl/*.zip/*.csv"
    personal = ["法人代表"]
    lacks = ["industry", "exit"]
    [registers.columns]
    "编号" = "text"
    "经营范围" = "text"
    "省" = "text"
    "市" = "text"
    [registers.place]
    credit_code = "编号"
    name = "市"
    province = "省"
"""


def csv_text(*rows: tuple[str, ...]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def zipped(path: Path, **members: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"{name}.csv", text)


def everything_kept(folder: Path) -> Iterator[str]:
    """Yield all that a folder keeps, as text: its files' bytes, and the cells of its Parquet files."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        yield path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield json.dumps(pq.read_table(path).to_pylist(), ensure_ascii=False, default=str)


def test_a_personal_column_reaches_nothing_that_is_kept(project: Project) -> None:
    """Nor does a name that a lost or added field has moved, or a column that nobody declared."""
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
        pa.table({name: [f"{name} {PERSON}" if name in ("法人代表", "联系人") else name] for name in header}),
        project.root / "extracts/crawl/2011.zip",
    )
    project.declare(CRAWL.replace("crawl/*.zip/*.csv", "crawl/2011.zip").replace('"crawl"', '"parquet"'), "another")

    deliveries = landing.deliveries()
    table = deliveries.to_pylist()

    assert {row["file_path"]: row["landed_row_count"] for row in table} == {
        "crawl/2010.zip/浙江.csv": 1,
        "crawl/2011.zip": 1,
    }
    assert {row["columns_not_read"] for row in table} == {"法人代表, 联系人"}
    rejected = [row for batch in landing.rejected_rows(deliveries) for row in batch.to_pylist()]
    assert [(row["row_number"], row["value"]) for row in rejected] == [(3, None), (4, None), (5, None), (6, None)]
    kept = [*everything_kept(project.root / "landing"), json.dumps(rejected, ensure_ascii=False)]
    assert any("五金" in text for text in kept)
    assert not any(PERSON in text for text in kept)


def test_a_member_of_a_zip_is_a_delivery_of_its_own(project: Project) -> None:
    project.declare(FIRMS + CRAWL)
    path = project.root / "extracts/crawl/2010.zip"
    row = ("1", "五金", "浙江", "杭州")
    zipped(path, 浙江=csv_text(("编号", "经营范围", "省", "市"), row), 西藏=csv_text(("编号", "经营范围", "省", "市")))
    first = landing.deliveries().to_pylist()
    found = {(delivery["file_path"], delivery["record_count"], delivery["compression"]) for delivery in first}
    assert found == {("crawl/2010.zip/浙江.csv", 1, "zip"), ("crawl/2010.zip/西藏.csv", 0, "zip")}
    zipped(path, 浙江=csv_text(("编号", "经营范围", "省", "市"), row, ("2", "五金", "浙江", "宁波")))
    later = {delivery["delivery_number"]: delivery for delivery in landing.deliveries().to_pylist()}
    assert [number for number, delivery in later.items() if delivery["valid_until_delivery"] is None] == [3]


@pytest.mark.parametrize(
    ("declared", "wrong", "message"),
    [
        ('name = "市"', 'name = "地级市"', "[registers.columns] lacks 地级市, which place names for name"),
        ('name = "市"', 'name = ["市", "省"]', "[registers.place] gives two columns for name: ['市', '省']"),
        ('province = "省"', 'province = "市"', "[registers.place] gives 市 for name and province"),
        ('province = "省"', "", "[registers.place] needs name and province together"),
        ('credit_code = "编号"', 'post_code = "编号"', "[registers.place] has post_code, not one of code, credit_code"),
        ('personal = ["法人代表"]', 'personal = ["市"]', "市 is personal and stands in [registers.columns] too"),
        ('"exit"]', '"exits"]', "lacks names exits; a firm_register may lack industry, exit"),
        ('covers = "survivors"', "", "settings missing: ['covers'], unknown: []. Write covers = one of \"complete\" ("),
        ('covers = "survivors"', 'covers = "samples"', "covers is 'samples'. Write covers = one of \"complete\" ("),
        ('"survivors"', '"complete"', 'covers is "complete" and lacks names exit. A register without exits holds surv'),
        (', "exit"]', "]", 'covers is "survivors" and lacks does not name exit. A register without exits holds surv'),
    ],
)
def test_a_wrong_declaration_is_one_message(project: Project, declared: str, wrong: str, message: str) -> None:
    assert declared in CRAWL
    project.declare(FIRMS + CRAWL.replace(declared, wrong))
    project.deliver("firms/a.csv", "城市代码,年份,企业数,产值\n110000,2020,1,1\n")
    with pytest.raises(LandingError) as error:
        landing.deliveries()
    (line,) = str(error.value).splitlines()[-1:]
    assert line.strip().startswith("vendor/vendor.toml, register crawl: ")
    assert message in line


CHARACTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)  # GB 32100-2015, table 2


def credit_code(region: str, number: int, *, is_right: bool = True) -> str:
    first = f"91{region}{number:09d}"
    check = (31 - sum(CHARACTERS.index(mark) * weight for mark, weight in zip(first, WEIGHTS, strict=True)) % 31) % 31
    return first + CHARACTERS[check if is_right else (check + 1) % 31]


def test_check_digits_are_those_of_codes_that_firms_publish() -> None:
    for code in ("914403001922038216", "9144030071526726XG", "91110000802100433B", "91330100799655058B"):
        assert credit_code(code[2:8], 0)[:8] == code[:8]
        total = sum(CHARACTERS.index(mark) * weight for mark, weight in zip(code, WEIGHTS, strict=False))
        assert (total + CHARACTERS.index(code[17])) % 31 == 0


SCOPE, AI_SCOPE = "五金销售", "人工智能应用软件开发"
DATE_FORMS = ("2010-{0:02d}-02", "2010年{0}月2日", "2010/{0}/2", "2010{0:02d}02")


def firm(number: int, region: str, province: str, place: str, **other: Any) -> tuple[str, ...]:
    code = other["code"] if "code" in other else credit_code(region, number)
    date = other.get("date", DATE_FORMS[number % 4].format(number % 12 + 1))
    return (f"firm {number}", code, date, "N/A", "N/A", other.get("scope", SCOPE), province, place)


def deliver_crawl(folder: Path) -> list[tuple[str, str]]:
    """Write two provinces of 2010, one of 2011 that ends in June and one of 2000; return each firm's city in 2010."""
    liaoning = [
        *(firm(number, "211302", "辽宁", "朝阳") for number in range(24)),
        firm(24, "210000", "辽宁", "朝阳"),  # the office is the province's, so the name decides
        firm(25, "211302", "辽宁", "沈阳"),  # two cities: the code is asked first
        firm(26, "210102", "辽宁", "朝阳", code=credit_code("210102", 26, is_right=False)),
        firm(27, "", "辽宁", "沈阳", code="210100000012345"),  # a registration number of before 2015
        firm(28, "", "辽宁", "自贸区", code="210100000012346"),  # a zone is no city
        firm(29, "222401", "吉林", "延边"),
        firm(30, "110105", "北京", "朝阳"),  # a district of Beijing
        firm(31, "", "北京", "朝阳", code="110105000012345"),
        firm(32, "310115", "上海", "自贸区"),
        firm(33, "469025", "海南", "省直辖县"),  # 定安: Hainan's offices keep old codes
        firm(34, "", "N/A", "朝阳", code="1"),  # without a province a name is no city
        firm(35, "210102", "辽宁", "沈阳", date="40299"),  # 1 May 2010 of a spreadsheet
        firm(36, "210102", "辽宁", "沈阳", date="2010-02-30"),
        firm(37, "210102", "辽宁", "沈阳", scope=AI_SCOPE),
    ]
    zhejiang = [firm(100 + number, "330102", "浙江", "杭州", scope=AI_SCOPE) for number in range(12)]
    cut_off = [firm(200 + month, "330102", "浙江", "杭州", date=f"2011-{month:02d}-02") for month in range(1, 7)]
    repeated = liaoning[0]
    ragged = (*zhejiang[0][:5], "x", PERSON, "", "杭州")
    zipped(
        folder / "crawl_2019/2010.zip",
        辽宁=csv_text(HEADER, *liaoning, repeated),
        浙江=csv_text(HEADER, *zhejiang, ragged),
    )
    zipped(folder / "crawl_2019/2011.zip", 浙江=csv_text(HEADER, *cut_off))
    early = [firm(number, "330102", "浙江", "杭州", date="2000-01-02") for number in (301, 302)]
    zipped(folder / "crawl_2019/2000.zip", 浙江=csv_text(HEADER, *early))
    cities = {**dict.fromkeys([*range(26)], "211300"), 26: "211300", 27: "210100", 29: "222400", 30: "110000"}
    cities |= {31: "110000", 32: "310000", 33: "469021", 35: "210100", 37: "210100"}
    return [(f"firm {number}", city) for number, city in cities.items()]


SELECTED = "+int_firm_register_counts +fct_row_accounting +fct_register_placement +dim_series +fct_register_entries"


def second_count(folder: Path) -> dict[str, int]:
    """Count the records of all zips with Python's readers."""
    counts = {}
    for path in sorted(folder.glob("crawl_2019/*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    lines = io.TextIOWrapper(member, encoding="utf-8-sig", newline="")
                    counts[f"crawl_2019/{path.name}/{name}"] = sum(1 for row in csv.reader(lines) if row) - 1
    return counts


ACCOUNTED = "select file_path, sum(row_count)::bigint from marts.fct_row_accounting group by all"


def test_a_crawl_of_all_survivors_gives_their_entries_and_no_stock(fresh: Build, tmp_path: Path) -> None:
    """The crawl at hand is a sample (test_sets.py); a whole one would say survivors."""
    fresh.project = copy_of_the_project(tmp_path / "project")
    declaration = fresh.project / "models/staging/kinginsun/kinginsun.toml"
    declared = declaration.read_text(encoding="utf-8")
    assert 'covers = "sample"' in declared
    declaration.write_text(declared.replace('covers = "sample"', 'covers = "survivors"'), encoding="utf-8")
    expected = Counter(city for _, city in deliver_crawl(fresh.extracts))
    seeds_and_models = ("resource_type:seed", *SELECTED.split(), "fct_register_rows_set_aside")
    fresh.dbt("build", "--select", *seeds_and_models, "--exclude", "resource_type:test")
    assert fresh.exit_code == 0, fresh.output

    assert dict(fresh.rows(ACCOUNTED)) == second_count(fresh.extracts)
    aside = "select disposition, sum(row_count)::bigint from marts.fct_row_accounting where disposition <> 'used' "
    assert dict(fresh.rows(f"{aside} group by all")) == {
        "expected 8 fields, found 9": 1,
        "duplicate id": 1,
        "unknown city": 1,
        "no city": 1,
        "unreadable date": 1,
        # 2011 ends in June
        "in no series": 6,
        "out of period": 2,
    }
    entered = "select city_id, sum(firm_count)::bigint from marts.fct_register_entries where entry_year = 2010 "
    assert dict(fresh.rows(f"{entered} group by all")) == {**expected, "330100": 12}

    # What is not delivered whole is absent: no row of 2011 or later, and none of a firm in another province's file.
    columns = "provider, scope, city_id, year, firm_count, firm_entry_count, firm_exit_count, ai_firm_entry_count"
    counts = fresh.rows(f"select {columns} from intermediate.int_firm_register_counts order by city_id")
    assert counts == [
        ("kinginsun", "all_industries", city, 2010, None, firms, None, ai)
        for city, firms, ai in (("110000", 2, 0), ("210100", 3, 1), ("211300", 27, 0), ("222400", 1, 0),
                                ("310000", 1, 0), ("330100", 12, 12), ("469021", 1, 0))
    ]  # fmt: skip
    why = "select distinct series, is_delivered, absence_reason from marts.dim_series where series like '%firm%' and "
    # No row of series_sources.csv takes them.
    assert fresh.rows(f"{why} scope = 'industry' order by series") == [
        (series, False, None if "entry" in series else NO_STOCK)
        for series in (
            "ai_firm_count",
            "ai_firm_entry_count",
            "ai_firm_exit_count",
            "firm_count",
            "firm_entry_count",
            "firm_exit_count",
        )
    ]
    placed = (
        "select row_count, placed_count, placed_by_code_count, placed_by_name_count, agreeing_count, "
        "contradicting_count, month_count from marts.fct_register_placement where file_path like '%辽宁.csv' "
        "and entry_year = 2010"
    )
    assert fresh.rows(placed) == [(38, 36, 32, 4, 30, 1, 12)]


NO_STOCK = "The register of kinginsun has no exits: it gives entries of survivors, and no stock."


@pytest.mark.soak
@pytest.mark.usefixtures("seeded")
def test_a_place_rule_that_places_under_half_is_named(fresh: Build) -> None:
    rows = [firm(number, "330102", "浙江", f"街道 {number}") for number in range(12)]
    zipped(fresh.extracts / "crawl_2019/2010.zip", 浙江=csv_text(HEADER, *rows))
    fresh.dbt("run", "--select", "+gate_sources")
    assert fresh.exit_code == 0, fresh.output
    failed = (
        "select description, observed_value from gates.gate_sources "
        "where suite = 'landed_sources' and not success and severity = 'critical'"
    )
    ((description, _),) = fresh.rows(failed)
    assert description.startswith(
        "The name by which a register is placed knows the city of at least half of its records"
    )


@pytest.fixture
def real_register() -> Path:
    """Return the real crawl, which is not in every clone."""
    if not REGISTER_EXTRACTS.is_dir():
        pytest.skip("the real register is not here; set REGISTER_EXTRACTS to its folder")
    return REGISTER_EXTRACTS.resolve()


@pytest.mark.soak
@pytest.mark.usefixtures("seeded")
def test_the_real_crawl_is_placed_and_every_record_is_accounted_for(
    fresh: Build, real_register: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.extracts = real_register
    fresh.dbt("run", "--select", *SELECTED.split())
    assert fresh.exit_code == 0, fresh.output

    accounted, delivered = dict(fresh.rows(ACCOUNTED)), second_count(real_register)
    assert accounted == delivered
    assert sum(delivered.values()) == 585_302
    placed, rows, agreeing, contradicting = fresh.rows(
        "select sum(placed_count), sum(row_count), sum(agreeing_count), sum(contradicting_count) "
        "from marts.fct_register_placement"
    )[0]
    with capsys.disabled():
        print(
            f"\nregister: {rows:,} firms, {placed / rows:.4f} placed; code and name agree for "
            f"{agreeing / (agreeing + contradicting):.4f}"
        )
    assert placed / rows >= 0.95
    assert agreeing / (agreeing + contradicting) >= 0.95
    # It is a sample: about as many firms of a province and year, whatever its size.
    assert fresh.value("select count(*) from intermediate.int_firm_register_counts") == 0
    sizes = dict(
        fresh.rows(
            "select substring(city_id, 1, 2), sum(firm_count)::bigint from marts.fct_register_entries "
            "where entry_year = 2012 and substring(city_id, 1, 2) in ('33', '41', '45') group by all"
        )
    )
    assert len(sizes) == 3
    assert max(sizes.values()) < 2 * min(sizes.values())
