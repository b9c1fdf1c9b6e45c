"""Invented files with the headers of those that nobody could fetch here: the compiled yearbooks,
patents and prices.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl

YEARBOOK = "city_yearbook/ChinaStatisticYearbook19902023.csv"
PATENTS = "city_yearbook/city_innovation_position_panel_2000_2024.csv"
PRICES = "prices/CRE_Pi01.xlsx"
# 213 columns, and the comma that ends every line of the file.
HEADER = (
    (Path(__file__).parents[1] / "fixtures/city_yearbook_1990_2023.header.csv")
    .read_text("utf-8")
    .strip()
    .split(",")
)
PATENT_HEADER = (
    *(
        "province",
        "city",
        "year",
        "province_code",
        "city_code",
        "city_apply",
        "city_grant",
        "city_invgrant",
    ),
    *("listed_apply", "ln1p_city_apply"),
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
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(
        [HEADER, *([row.get(name, "") for name in HEADER] for row in rows)]
    )
    return text.getvalue().encode()


def patents(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return the panel with patents, of rows of province, city, year, code, applied, granted,
    inventions granted.
    """
    text = io.StringIO(newline="")
    lines = ([*row[:3], row[3][:2] + "0000", *row[3:], "", ""] for row in rows)
    csv.writer(text, lineterminator="\n").writerows([PATENT_HEADER, *lines])
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
