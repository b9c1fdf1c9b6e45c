"""Bad deliveries up to the panel: a record set aside with its reason, and what became of every file."""

import json

import openpyxl
import pytest

from tests.python.conftest import Build
from tests.python.test_gate import (
    CHANGSHA,
    CITY,
    HANGZHOU,
    NAME,
    SHENZHEN,
    YEAR,
    Row,
    each,
    edit,
    firm_survival,
    first,
    patents,
    set_to,
    yearbook,
)

EMPLOYMENT = "单位从业人员(万人)"


def emptied(rows: list[Row]) -> list[Row]:
    """Deliver one count of a city without its number: it is missing, and no zero."""
    row = next(row for row in rows if row[CITY] == HANGZHOU and row["专利类型"] == "发明" and row["行业代码"] == "39")
    row["人工智能专利申请数"] = "-"
    return rows


def test_bad_records_are_set_aside_and_the_rest_is_built(delivery: Build) -> None:
    edit(patents(delivery, 2020), emptied)
    path = "city_yearbook/城市统计年鉴_2015.csv"
    edit(yearbook(delivery, 2015), first(CHANGSHA, set_to(EMPLOYMENT, "12O.4")))
    edit(
        yearbook(delivery, 2015),
        lambda rows: [
            *rows,
            rows[0],
            rows[1] | {CITY: "999999", NAME: "亚特兰蒂斯市"},
            rows[2] | {YEAR: "2021"},
        ],
    )

    # two stray marks: 石家庄 and 唐山 would be one city
    of_2014 = yearbook(delivery, 2014)
    lines = of_2014.read_text(encoding="utf-8").splitlines()
    lines[3], lines[4] = lines[3].replace(",石家庄市,", ',"石家庄市,'), lines[4].replace(",唐山市,", ',唐山市",')
    assert sum(line.count('"') for line in lines) == 2
    of_2014.write_text("\n".join(lines), encoding="utf-8")

    delivery.models("fct_city_year_panel", "fct_rows_set_aside", "raw_rejected_rows")

    rejected = delivery.rows(
        "select file_path, row_number, column_name, value, reason from raw.rejected_rows order by file_path desc"
    )
    reason = "stray quotation mark, or a line end in a cell: rows 4 to 5 would be read as one record"
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
    applications, grants, weight = delivery.rows(
        "select ai_invention_application_count, ai_invention_grant_count, ai_patent_applications_weight "
        "from marts.fct_city_year_panel where city_id = ? and year = 2020",
        HANGZHOU,
    )[0]
    assert applications is None
    assert weight is None
    assert grants > 0


GUANGZHOU, CHENGDU = "440100", "510100"
SPELT = {
    # code as in the sample: the code and the name of a real vendor
    SHENZHEN: ("440305", ""),
    "110000": ("110108", ""),
    "500000": ("500230", ""),
    "310000": ("310115001002", ""),
    CHENGDU: ("512081", ""),
    GUANGZHOU: ("", "广 州市"),
    HANGZHOU: ("", "杭州市(省会)"),
    "210100": ("", "辽宁省沈阳市（副省级城市）"),
    "211300": ("", "朝阳（辽宁）"),
    "420600": ("", "襄　阳市（原襄樊市）*"),
    "220200": ("", "吉林省吉林市[1]"),
}


def spelt(rows: list[Row]) -> list[Row]:
    for row in rows:
        if row[CITY] in SPELT:
            row[CITY], row[NAME] = SPELT[row[CITY]]
    return rows


def test_names_and_codes_resolve_by_rule_and_every_file_says_what_became_of_it(
    delivery: Build, sample_build: Build
) -> None:
    """One build of: other spellings, cities that vanish, slipped years, a smaller file, a broken year."""
    edit(patents(delivery, 2017), spelt)
    edit(firm_survival(delivery, 2017), spelt)
    edit(patents(delivery, 2015), each(lambda row: {YEAR: "2005"} if row[CITY] == CHANGSHA else {}))
    edit(firm_survival(delivery, 2015), lambda rows: [row for row in rows if row[CITY] != CHANGSHA])
    for year in (2021, 2022):
        later = firm_survival(delivery, year)
        later.write_bytes(firm_survival(delivery, 2020).read_bytes())
        edit(later, each(set_to(YEAR, str(year))))
    edit(yearbook(delivery, 2011), lambda rows: rows[:200])
    lines = [yearbook(delivery, year).read_text(encoding="utf-8").splitlines() for year in range(2010, 2021)]
    unknown = [",".join(["", "某市", *line.split(",")[2:]]) for line in lines[3][1:]]
    # a note below the counts is no record of an unknown city; a second sheet in wide layout is named
    with firm_survival(delivery, 2018).open("a", encoding="utf-8") as file:
        file.write("注：本表数据为虚构。\n")
    book = openpyxl.Workbook()
    for title, rows in (
        (
            "面板",
            [
                ["year", "地级市", "外商直接投资", "单位"],
                *([year, "长沙市", 1, "百万美元"] for year in range(2010, 2021)),
            ],
        ),
        ("宽表", [["地级市", *range(2010, 2021)], ["长沙市", *[1] * 11]]),
    ):
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    del book["Sheet"]
    book.save(delivery.extracts / "city_yearbook/外商直接投资FDI.xlsx")
    whole = [lines[0][0], *(line for year, rows in enumerate(lines) if year != 3 for line in rows[1:]), *unknown]
    (delivery.extracts / "city_yearbook/城市统计年鉴_全.csv").write_text("\n".join(whole), encoding="utf-8")
    (delivery.extracts / "city_yearbook/备份.csv").write_text("a,b\n1,2\n", encoding="utf-8")

    run = delivery.models("gate_sources", "int_series_years")

    assert run.failed == {}
    assert delivery.rows("select * from marts.fct_rows_set_aside where year = 2017 and delivery_number > 33") == []
    values = (
        "select series, scope, city_id, year, value from intermediate.int_series_conformed where scope <> 'total' "
        "and not (city_id = '430100' and year = 2015) order by all"
    )
    assert delivery.rows(values) == sample_build.rows(values)

    absent = "select series, value from intermediate.int_series_conformed where city_id = '430100' and year = 2015 "
    absent += "and scope = 'industry' and (series like '%firm_count' or series like '%application_count') order by all"
    before = "select series, value from intermediate.int_series_conformed where city_id = '430100' and year = 2014 "
    before += "and scope = 'industry' and series like '%application_count' order by all"
    flows = {series: None if value > 20 else 0 for series, value in sample_build.rows(before)}
    assert set(flows.values()) == {None, 0}
    # it has no AI firm in the sample, and so none before 2015
    assert dict(delivery.rows(absent)) == {"firm_count": None, "ai_firm_count": 0} | flows
    vanished = "select vanished_cities from intermediate.int_series_years where series = ? and year = 2015"
    assert set(delivery.rows(vanished, "firm_count")) == {("长沙市",)}

    year, share = delivery.rows(
        "select year_of_lost_cities, unknown_city_share from intermediate.int_source_checks "
        "where file_path like '%_全.csv'"
    )[0]
    assert (year, share) == ("2013", 1.0)
    critical = "select failing_rows from gates.gate_sources "
    critical += "where suite = 'landed_sources' and severity = 'critical' and not success"
    failing = [row for (rows,) in delivery.rows(critical) for row in json.loads(rows)]
    found = {
        (row["file_path"], name): row[name] for row in failing for name in row if name.endswith(("share", "records"))
    }
    # the panel of all years has 200 of the 260 cities of 2011, which another file had
    assert found == {
        ("city_yearbook/外商直接投资FDI.xlsx", "prose_share"): pytest.approx(2 / 13),
        ("city_yearbook/城市统计年鉴_全.csv", "unknown_city_share"): 1.0,
        ("city_yearbook/城市统计年鉴_全.csv", "dropped_city_share"): pytest.approx(60 / 260),
        ("patents/专利_2015.csv", "lost_count_records"): 48,
    }

    (hint,) = {row["hint"] for row in failing if "prose_share" in row}
    assert hint.startswith("Sheet 宽表 lacks the declared header (no year or 外商直接投资 or 单位)")
    assert 'in biechouwo.toml, source foreign_direct_investment: sheets = ["面板"].' in hint
    note = "select value, reason from raw.rejected_rows where file_path = 'firm_survival/企业存续_2018.csv'"
    assert delivery.rows(note) == [("注：本表数据为虚构。", "prose: note")]

    told = "select outcome, remedy, record_count, used_count, out_of_period_count, no_city_count, lost_count_records "
    told += "from marts.fct_deliveries where file_path = ? and outcome not in ('superseded', 'withdrawn')"
    after = "Its years lie outside 2010 to 2020 (period in extract_set.yml, or else first_year and last_year "
    after += "in dbt_project.yml)."
    for year in (2021, 2022):
        path = f"firm_survival/企业存续_{year}.csv"
        assert delivery.rows(told, path) == [("nothing used", after, 17125, 0, 17125, 0, 0)]
    assert delivery.rows(told, "city_yearbook/城市统计年鉴_全.csv") == [("used", None, 2800, 2540, 0, 260, None)]
    assert delivery.rows(told, "city_yearbook/备份.csv")[0][0] == "unclaimed"
    shrunk = "select replaced_record_count, record_count, record_count_change_share from marts.fct_deliveries "
    shrunk += "where file_path = 'city_yearbook/城市统计年鉴_2011.csv' and replaced_delivery_number is not null"
    assert delivery.rows(shrunk) == [(260, 200, pytest.approx(-60 / 260))]
    parts = "used_count, in_no_series_count, out_of_period_count, superseded_count, prose_count, duplicate_count, "
    parts += "no_city_count, known_other_count, fault_count"
    assert delivery.rows(f"select * from marts.fct_deliveries where record_count <> {parts.replace(',', ' +')}") == []
    warned = "select description, failing_rows from gates.gate_sources "
    warned += "where suite = 'deliveries' and not success order by all"
    assert [
        (told, path) for told, rows in delivery.rows(warned) for path in ("2021", "2022", "备份") if path in rows
    ] == [
        ("Every delivered file belongs to a declared source.", "备份"),
        ("Some records of every delivered file are used.", "2021"),
        ("Some records of every delivered file are used.", "2022"),
    ]
