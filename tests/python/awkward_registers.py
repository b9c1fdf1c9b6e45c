"""Generate test registers of firms and patents, with odd values in every fifth row."""

import json
from pathlib import Path

import duckdb

from ai_manufacturing.paper.synthetic import registers
from ai_manufacturing.paper.synthetic.files import SYNTHETIC_MARK
from ai_manufacturing.system.sql_text import quote_literal

VALUES = json.loads(
    (Path(__file__).parents[1] / "fixtures/awkward_registers.json").read_text(encoding="utf-8")
)
"""Odd values by kind.

10 October 1582 does not exist in the Gregorian calendar. Keywords contain special characters of
regular expressions and of SQL; each has its language.
"""
DATES = VALUES["dates"]
DATE_TEXTS = [*DATES, *VALUES["written_dates"], *VALUES["no_dates"], *VALUES["faulty_dates"]]
CITIES, INDUSTRIES, IPC, TYPES, KEYWORDS, TEXTS = (
    VALUES[kind] for kind in ("cities", "industries", "ipc", "types", "keywords", "texts")
)


def write(folder: Path, firms: int, patents: int) -> None:
    """Write a firm register and a patent register with the given numbers of rows.

    One row in five has odd values. Of the odd firms, one in ten is in a CSV file.
    """
    registers.write_registers(
        folder, firms - firms // 5, patents - patents // 5, seed=7, patent_years=range(2014, 2016)
    )
    odd, texts = firms // 5, firms // 50
    with duckdb.connect() as connection:
        connection.execute(
            f"copy ({_firms(odd - texts, DATES, 'date')}) to"
            f" {quote_literal(folder / 'firm_register/odd.parquet')}"
        )
        connection.execute(
            f"copy ({_firms(texts, DATE_TEXTS, 'varchar')}) to"
            f" {quote_literal(folder / 'firm_register/texts.csv')}"
        )
        connection.execute(
            f"copy ({_patents(patents // 5)}) to"
            f" {quote_literal(folder / 'patent_register/odd.parquet')}"
        )


def _one(values: list[str | None], part: int) -> str:
    """Return an SQL expression that picks one of the values pseudo-randomly for each row."""
    written = ", ".join("null" if value is None else quote_literal(value) for value in values)
    return f"([{written}])[1 + (hash(i * 64 + {part}) % {len(values)})::integer]"


def _id(kind: str) -> str:
    """Return an SQL expression for record IDs, some of them duplicate, missing or malformed."""
    return f"""case hash(i * 64 + 1) % 40
        when 0 then null when 1 then '' when 2 then ' ' when 3 then '{kind}' || i // 2
        when 4 then lower('{kind}' || i) when 5 then '{kind}' || i % 10 else '{kind}' || i end"""


def _text() -> str:
    return f"""{_one(TEXTS, 2)} || case hash(i * 64 + 3) % 3
        when 0 then '' when 1 then '；' || {_one(TEXTS, 4)}
        else '，' || i end"""


def _firms(rows: int, dates: list[str | None], date_type: str) -> str:
    return f"""
    select
        {_id("F")} as "统一社会信用代码",
        {_one(CITIES, 5)} as "城市代码",
        {_one(INDUSTRIES, 6)} as "行业代码",
        {_one(dates, 7)}::{date_type} as "成立日期", {_one(dates, 8)}::{date_type} as "注销日期",
        {_text()} as "经营范围", '{SYNTHETIC_MARK}' as "数据来源"
    from range({rows}) as numbers(i)"""


def _patents(rows: int) -> str:
    return f"""
    select
        {_id("P")} as "申请号",
        {_one(CITIES, 5)} as "城市代码",
        {_one(INDUSTRIES, 6)} as "行业代码",
        {_one(IPC, 9)} as "IPC主分类号", {_one(TYPES, 10)} as "专利类型",
        {_one(DATES, 7)}::date as "申请日", {_one(DATES, 8)}::date as "授权日",
        {_text()} as "专利名称", {_one(TEXTS, 11)} as "摘要", '{SYNTHETIC_MARK}' as "数据来源"
    from range({rows}) as numbers(i)"""
