"""GDP of one vintage: a workbook of its form lands, and the real one gives a reading of the
headline and the vintage of each province.
"""

from pathlib import Path

import openpyxl
import pytest

from tests.python import models
from tests.python.conftest import PUBLIC_EXTRACTS, WAREHOUSE, Build, built_once, seed
from tests.python.test_sets import linked

FURTHER = PUBLIC_EXTRACTS.parent / "further"
REVISED = "296个地级市GDP相关数据（以2000年为基期）.xlsx"
HEADER = ("省份", "城市", "年份", "名义GDP", "GDP指数", "实际GDP", "GDP平减指数")
NOTE = "更多数据，关注淘宝店"
READING = (
    "select specification_id, status, round(estimate, 4), round(std_error, 4), observation_count,"
    " reason from reports.rpt_coefficients where specification_id in ('table_1_col_1',"
    " 'table_1_col_1_revised_gdp') and term = regressor order by 1"
)
NOT_COMPARABLE = ("长春市", "四平市")
"""Cities whose boundaries change within the file; corrections.csv sets their values missing."""
GROWTH = 1.01  # of the generated revision, over what the sample's vendor delivers


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
    # The sample has no second provider that could repeat the default value.
    assert delivery.rows(
        "select distinct vintage, neither_share from reports.rpt_gdp_vintages"
    ) == [("cannot be told", 1.0)]


@pytest.fixture(scope="module")
def with_further(public_extracts: Path, sample_build: Build, shared: Path) -> Build:
    """Return the public set with the further workbook of GDP beside it."""
    workbook = FURTHER / REVISED
    if not workbook.is_file():
        pytest.skip("the further workbook of GDP is not here")
    folder = shared / "with_further"
    extracts = folder / "extracts"
    build = Build(extracts, folder / WAREHOUSE, folder, manifest=sample_build.manifest)

    def make(build: Build) -> Build:
        linked(extracts, public_extracts)
        (extracts / "city_yearbook" / REVISED).symlink_to(workbook)
        seed(build, sample_build)
        assert build.manifest is not None
        nodes = models.nodes_of(build.manifest).values()
        run = build.models(*(node["name"] for node in nodes if node["resource_type"] == "model"))
        assert run.failed == {}
        build.exit_code = 0
        return build

    return built_once(build, make)


@pytest.mark.soak
def test_the_reading_of_one_vintage_is_estimated_where_its_file_is_delivered(
    with_further: Build, public_build: Build
) -> None:
    default = ("table_1_col_1", "estimated", 0.1576, 0.0419, 2228, None)
    reading = "table_1_col_1_revised_gdp"
    assert with_further.rows(READING) == [
        default,
        (reading, "estimated", 0.1506, 0.0416, 2228, None),
    ]
    missing = "Not delivered: revised_gdp_100m_cny."
    assert public_build.rows(READING) == [
        default,
        (reading, "not_estimable", None, None, None, missing),
    ]
    assert public_build.value("select count(*) from reports.rpt_gdp_vintages") == 0


@pytest.mark.soak
def test_each_province_has_its_vintage_of_default_gdp(with_further: Build) -> None:
    provinces = with_further.pairs(
        "select vintage, list(province_name_en order by province_id) from"
        " reports.rpt_gdp_vintages group by 1"
    )
    assert provinces["revised"] == ["Beijing", "Shanghai", "Guangdong", "Chongqing", "Shaanxi"]
    assert {"Jiangsu", "Shandong", "Heilongjiang"} < {*provinces["unrevised"]}
    assert provinces["mixed"] == ["Yunnan"]
    assert provinces["cannot be told"] == ["Jilin", "Tibet", "Xinjiang"]
    assert sum(map(len, provinces.values())) == 31
    assert (
        with_further.value(
            "select max(abs(revised_share + unrevised_share + neither_share + same_share - 1))"
            " from reports.rpt_gdp_vintages"
        )
        < 1e-12
    )
