"""Bad deliveries through a whole build: one clear message, or a record set aside with its reason."""

from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from tests.python.conftest import Build
from tests.python.test_gate import CHANGSHA, CITY, Row, edit, patents, set_value, yearbook

EMPLOYMENT = "单位从业人员(万人)"
HANGZHOU = "330100"


def empty_file(build: Build) -> None:
    yearbook(build, 2015).write_bytes(b"")


def wrong_header(build: Build) -> None:
    path = yearbook(build, 2015)
    path.write_text(path.read_text(encoding="utf-8").replace("地区生产总值(亿元)", "GDP", 1), encoding="utf-8")


def wrong_encoding(build: Build) -> None:
    path = yearbook(build, 2015)
    path.write_bytes(path.read_bytes()[:900] + b"\xff\xff\xff" + path.read_bytes()[900:])


def truncated_workbook(build: Build) -> None:
    path = build.extracts / "city_yearbook/城市外商直接投资FDI.xlsx"
    workbook = openpyxl.Workbook()
    workbook.active.append(["year", "地级市", "外商直接投资", "单位"])
    workbook.save(path)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("breakage", "path", "message"),
    [
        (empty_file, "city_yearbook/城市统计年鉴_2015.csv", "empty"),
        (wrong_header, "city_yearbook/城市统计年鉴_2015.csv", "地区生产总值(亿元)"),
        (wrong_encoding, "city_yearbook/城市统计年鉴_2015.csv", "row"),
        (truncated_workbook, "city_yearbook/城市外商直接投资FDI.xlsx", "xlsx"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_leaves_no_estimate(
    breakage: Callable[[Build], None], path: str, message: str, delivery: Build
) -> None:
    breakage(delivery)

    delivery.dbt("build")

    assert delivery.exit_code != 0
    (line,) = {line.strip() for line in delivery.output.splitlines() if path in line}
    assert message in line.split(path)[1]
    assert delivery.tables("estimates") | delivery.tables("reports") | delivery.tables("gates") == set()


def test_a_missing_folder_is_named_and_changes_nothing(delivery: Build, tmp_path: Path) -> None:
    delivery.extracts = tmp_path / "nowhere"

    delivery.dbt("build")

    assert delivery.exit_code != 0
    assert "nowhere: there is no such folder. Set EXTRACTS_DIR" in delivery.output
    assert "Traceback" not in delivery.output
    assert "rpt_table_1" in delivery.tables("reports")


def emptied(rows: list[Row]) -> list[Row]:
    """Deliver one count of a city without its number: it is missing, and no zero."""
    row = next(row for row in rows if row[CITY] == HANGZHOU and row["专利类型"] == "发明" and row["行业代码"] == "39")
    row["人工智能专利申请数"] = "-"
    return rows


def test_bad_records_are_set_aside_and_the_rest_is_built(delivery: Build) -> None:
    edit(patents(delivery, 2020), emptied)
    path = "city_yearbook/城市统计年鉴_2015.csv"
    edit(yearbook(delivery, 2015), set_value(EMPLOYMENT, CHANGSHA, lambda row: "12O.4"))
    edit(
        yearbook(delivery, 2015),
        lambda rows: [
            *rows,
            rows[0],
            {**rows[1], CITY: "999999", "城市名称": "亚特兰蒂斯市"},
            {**rows[2], "年份": "2021"},
        ],
    )

    # two stray marks: 石家庄 and 唐山 would be one city
    of_2014 = yearbook(delivery, 2014)
    lines = of_2014.read_text(encoding="utf-8").splitlines()
    lines[3], lines[4] = lines[3].replace(",石家庄市,", ',"石家庄市,'), lines[4].replace(",唐山市,", ',唐山市",')
    assert sum(line.count('"') for line in lines) == 2
    of_2014.write_text("\n".join(lines), encoding="utf-8")

    delivery.dbt("build", "--select", "+estimation_samples", "fct_rows_set_aside")

    assert delivery.exit_code == 0, delivery.output
    rejected = delivery.rows(
        "select file_path, row_number, column_name, value, reason from raw.rejected_rows order by file_path desc"
    )
    reason = "stray quotation mark: rows 4 to 5 would be read as one record"
    assert sorted(rejected[1:]) == [(path.replace("2015", "2014"), row, None, lines[row - 1], reason) for row in (4, 5)]
    row_number = next(
        number
        for number, line in enumerate(yearbook(delivery, 2015).read_text(encoding="utf-8").splitlines(), start=1)
        if line.startswith(CHANGSHA)
    )
    assert rejected[:1] == [(path, row_number, EMPLOYMENT, "12O.4", "not a number (a letter O?)")]
    set_aside = delivery.rows(
        "select row_number, city_name, year, set_aside_reason from marts.fct_rows_set_aside "
        "where set_aside_reason <> 'superseded' order by row_number"
    )
    last = 261
    assert set_aside == [
        (last + 1, "北京市", 2015, "duplicate row"),
        (last + 2, "亚特兰蒂斯市", 2015, "unknown city"),
        (last + 3, "石家庄市", 2021, "out of period"),
    ]
    changsha = "select ln_gdp from marts.fct_city_year_panel where city_id = ? and year = 2015"
    assert delivery.value(changsha, CHANGSHA) is None
    assert delivery.value(
        "select count(*) from estimates.estimation_samples where specification_id='table_1_col_1'"
    ) == (2858 - 3)
    applications, grants, weight = delivery.rows(
        "select ai_invention_application_count, ai_invention_grant_count, ai_patent_applications_weight "
        "from marts.fct_city_year_panel where city_id = ? and year = 2020",
        HANGZHOU,
    )[0]
    assert applications is None
    assert weight is None
    assert grants > 0
