"""Invented files with the headers of those that nobody could fetch here: the compiled yearbooks,
patents and prices; and of one that may not be copied, city budgets.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl

YEARBOOK = "city_yearbook/ChinaStatisticYearbook19902023.csv"
PATENTS = "city_yearbook/city_innovation_position_panel_2000_2024.csv"
COMPUTING = "patents/overall_tech_entry_ddd_panel_2008_2023.csv"
BUDGETS = "city_yearbook/合并后的城市经济与企业数据.csv"
PRICES = "prices/CRE_Pi01.xlsx"
# 213 columns, and the comma that ends every line of the file.
HEADER = (
    (Path(__file__).parents[1] / "fixtures/city_yearbook_1990_2023.header.csv")
    .read_text("utf-8")
    .strip()
    .split(",")
)
PATENT_HEADER = (
    "province",
    "city",
    "year",
    "province_code",
    "city_code",
    "city_apply",
    "city_grant",
    "city_invgrant",
    "listed_apply",
    "ln1p_city_apply",
)
COMPUTING_HEADER = (
    "city",
    "province",
    "year",
    "total_patents",
    "city_id",
    "high_compute",
    "total_patents_field",
    "high_compute_label",
)
BUDGET_HEADER = (
    "城市",
    "GRP（单位：亿元）",
    "AI百度指数",
    "科学技术支出（单位：万元）",
    "教育支出（单位：万元）",
    "年份",
    "全部企业",
)
PRICE_HEADER = (
    ("Sgnyea", "Prvcnm_id", "Prvcnm", "Pi0101", "Pi0102"),
    (
        "年度标识",
        "省份编码",
        "省份名称",
        "居民消费价格指数(上年＝100)",
        "城市居民消费价格指数(上年＝100)",
    ),
    ("没有单位",) * 5,
)


def yearbook(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return compiled yearbooks with these cells by heading; what a row does not name is empty."""
    return _csv(HEADER, ([row.get(name, "") for name in HEADER] for row in rows))


def patents(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return the panel with patents, of rows of province, city, year, code, applied, granted,
    inventions granted.
    """
    lines = ([*row[:3], row[3][:2] + "0000", *row[3:], "", ""] for row in rows)
    return _csv(PATENT_HEADER, lines)


def computing(rows: Iterable[tuple[str, str, int, int, int]]) -> bytes:
    """Return inventions by field, of rows of city, province, year, all and those in computing.

    One of all has no field.
    """
    return _csv(
        COMPUTING_HEADER,
        (
            [*row[:4], 1, field, count, label]
            for row in rows
            for field, count, label in (
                (0, f"{row[3] - row[4] - 1}.0", "other"),
                (1, f"{row[4]}.0", "high_compute"),
            )
        ),
    )


def budgets(rows: Iterable[tuple[str, float, int, int, int]]) -> bytes:
    """Return city budgets, of rows of city, GDP, spending on science and on education, and year."""
    return _csv(BUDGET_HEADER, ([*row[:2], 1, *row[2:], 1] for row in rows))


def _csv(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    return text.getvalue().encode()


def prices(rows: Iterable[tuple[int, str, str, float]]) -> bytes:
    """Return consumer prices with three rows of headings, of rows of year, province code, province,
    index.
    """
    book = openpyxl.Workbook()
    book.active.title = "sheet1"
    for row in (*PRICE_HEADER, *((*row, row[-1]) for row in rows)):
        book.active.append(row)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
