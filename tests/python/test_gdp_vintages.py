"""Test that a workbook of revised GDP is landed as a series separate from the default GDP."""

import openpyxl
import pytest

from tests.python.conftest import Build

REVISED = "296个地级市GDP相关数据（以2000年为基期）.xlsx"
HEADER = ("省份", "城市", "年份", "名义GDP", "GDP指数", "实际GDP", "GDP平减指数")
NOTE = "更多数据，关注淘宝店"
NOT_COMPARABLE = ("长春市", "四平市")
"""Cities whose boundaries change within the file; corrections.csv sets their values to missing."""
# Ratio of revised GDP in the generated workbook to GDP in the sample.
GROWTH = 1.01


def test_a_workbook_of_revised_gdp_lands_beside_the_default_series(delivery: Build) -> None:
    cities = delivery.rows(
        "select p.province_name_zh, c.name_zh, p.year, p.gdp_100m_cny from"
        " marts.fct_city_year_panel as p inner join marts.dim_city as c using (city_id)"
        " where p.gdp_100m_cny is not null and c.unit_kind = 'prefecture_level'"
        f" and c.name_zh not in {NOT_COMPARABLE} order by c.city_id, p.year"
    )
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Sheet1"
    sheet.append(HEADER)
    for province, city, year, gdp in cities:
        sheet.append((province, city, year, round(gdp * GROWTH, 4), 110, gdp, 1.0))
    for city in NOT_COMPARABLE:
        sheet.append(("吉林省", city, 2019, 900.0, 105, 900.0, 1.0))
    sheet.cell(row=sheet.max_row + 4, column=2, value=NOTE)
    computation = book.create_sheet("计算过程")
    computation.append(HEADER)
    computation.append((*cities[0][:3], 1.0, 110, 1.0, 1.0))
    folder = delivery.extracts / "city_yearbook"
    folder.mkdir(exist_ok=True)
    book.save(folder / REVISED)
    run = delivery.models("fct_city_year_values", "fct_row_accounting", "rpt_gdp_vintages")
    assert run.failed == {}
    accounted = delivery.pairs(
        "select disposition, row_count from marts.fct_row_accounting"
        " where source_name = 'revised_gdp'"
    )
    assert accounted == {"used": len(cities) + 2, "prose: note": 1, "sheet not declared": 1}
    ((count, *ratios),) = delivery.rows(
        "select count(r.value), min(r.value / d.value), max(r.value / d.value) from"
        " marts.fct_city_year_values as r inner join marts.fct_city_year_values as d"
        " using (city_id, year) where r.variable = 'revised_gdp_100m_cny'"
        " and d.variable = 'gdp_100m_cny'"
    )
    assert count == len(cities)
    assert ratios == pytest.approx([GROWTH, GROWTH], rel=1e-4)
    # Without a second provider in the sample, the vintage of GDP cannot be determined.
    assert delivery.rows(
        "select distinct vintage, neither_share from reports.rpt_gdp_vintages"
    ) == [("cannot be told", 1.0)]
