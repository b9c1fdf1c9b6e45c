"""Tests that bad records are rejected and reported, while the rest of the delivery is used."""

import json

import pytest

from tests.python.conftest import Build
from tests.python.test_gate import (
    CHANGSHA,
    CITY,
    HANGZHOU,
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
    """Blank out one AI patent count of a city, which must become missing rather than zero."""
    row = next(
        row
        for row in rows
        if row[CITY] == HANGZHOU and row["专利类型"] == "发明" and row["行业代码"] == "39"
    )
    row["人工智能专利申请数"] = "-"
    return rows


def test_bad_records_are_set_aside_and_the_rest_is_built(delivery: Build) -> None:
    edit(patents(delivery, 2020), emptied)
    path = "city_yearbook/城市统计年鉴_2015.csv"
    edit(yearbook(delivery, 2015), first(CHANGSHA, set_to(EMPLOYMENT, "12O.4")))

    delivery.models("fct_city_year_panel", "raw_rejected_rows")

    rejected = delivery.rows("select file_path, column_name, value, reason from raw.rejected_rows")
    assert rejected == [(path, EMPLOYMENT, "12O.4", "not a number (a letter O?)")]
    changsha = "select ln_gdp from marts.fct_city_year_panel where city_id = ? and year = 2015"
    assert delivery.value(changsha, CHANGSHA) is None
    applications, grants = delivery.rows(
        "select ai_invention_application_count, ai_invention_grant_count "
        "from marts.fct_city_year_panel where city_id = ? and year = 2020",
        HANGZHOU,
    )[0]
    assert applications is None
    assert grants > 0


@pytest.mark.soak
def test_what_is_bad_stays_where_it_is_and_every_file_says_what_became_of_it(
    delivery: Build, sample_build: Build
) -> None:
    """Faults in four files change no other values, and a report states each file's outcome.

    The faults are a vanished city, a wrong year, a shortened file, and a year with unknown cities.
    """
    edit(patents(delivery, 2015), each(lambda row: {YEAR: "2005"} if row[CITY] == CHANGSHA else {}))
    edit(firm_survival(delivery, 2015), lambda rows: [row for row in rows if row[CITY] != CHANGSHA])
    later = firm_survival(delivery, 2021)
    later.write_bytes(firm_survival(delivery, 2020).read_bytes())
    edit(later, each(set_to(YEAR, "2021")))
    edit(yearbook(delivery, 2011), lambda rows: rows[:200])
    lines = [
        yearbook(delivery, year).read_text(encoding="utf-8").splitlines()
        for year in range(2010, 2021)
    ]
    unknown = [",".join(["", "某市", *line.split(",")[2:]]) for line in lines[3][1:]]
    whole = [
        lines[0][0],
        *(line for year, rows in enumerate(lines) if year != 3 for line in rows[1:]),
        *unknown,
        *["注：以上为市辖区数据"] * 500,
    ]
    (delivery.extracts / "city_yearbook/城市统计年鉴_全.csv").write_text(
        "\n".join(whole), encoding="utf-8"
    )

    run = delivery.models("gate_sources", "int_series_years")

    assert run.failed == {}
    values = (
        "select series, scope, city_id, year, value from intermediate.int_series_conformed where"
        " scope <> 'total' and not (city_id = '430100' and year = 2015) order by all"
    )
    assert delivery.rows(values) == sample_build.rows(values)

    of_changsha = (
        "select series, value from intermediate.int_series_conformed where city_id = '430100' and"
        " scope = 'industry' and year = ? and regexp_matches(series, ?)"
    )
    before = sample_build.pairs(of_changsha, 2014, "application_count$")
    flows = {series: None if value > 20 else 0 for series, value in before.items()}
    assert {*flows.values()} == {None, 0}
    # Changsha has no AI firms in the sample, so its missing AI count is taken as zero.
    stocks = {"firm_count": None, "ai_firm_count": 0}
    absent = delivery.pairs(of_changsha, 2015, "(firm|application)_count$")
    assert absent == stocks | flows
    critical = (
        "select failing_rows from gates.gate_sources where suite = 'landed_sources' and severity ="
        " 'critical' and not success"
    )
    failing = [row for (rows,) in delivery.rows(critical) for row in json.loads(rows)]
    found = {
        (row["file_path"], name): row[name]
        for row in failing
        for name in row
        if name.endswith(("share", "records"))
    }
    # For 2011, the combined file contains only 200 of the 260 cities delivered before.
    assert found == {
        ("city_yearbook/城市统计年鉴_全.csv", "prose_share"): pytest.approx(500 / 3300),
        ("city_yearbook/城市统计年鉴_全.csv", "unknown_city_share"): 1.0,
        ("city_yearbook/城市统计年鉴_全.csv", "dropped_city_share"): pytest.approx(60 / 260),
        ("patents/专利_2015.csv", "lost_count_records"): 48,
    }

    told = (
        "select outcome, remedy, record_count, used_count, out_of_period_count, no_city_count,"
        " lost_count_records from marts.fct_deliveries where file_path = ? and outcome not in"
        " ('superseded', 'withdrawn')"
    )
    after = (
        "Its years lie outside 2010 to 2020 (period in extract_set.yml, or else first_year and"
        " last_year in dbt_project.yml)."
    )
    assert delivery.rows(told, "firm_survival/企业存续_2021.csv") == [
        ("nothing used", after, 17125, 0, 17125, 0, 0)
    ]
    assert delivery.rows(told, "city_yearbook/城市统计年鉴_全.csv") == [
        ("used", None, 3300, 2540, 0, 260, None)
    ]
    shrunk = (
        "select replaced_record_count, record_count, record_count_change_share from"
        " marts.fct_deliveries where file_path = 'city_yearbook/城市统计年鉴_2011.csv' and"
        " replaced_delivery_number is not null"
    )
    assert delivery.rows(shrunk) == [(260, 200, pytest.approx(-60 / 260))]
