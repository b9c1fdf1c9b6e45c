"""Registers with every awkward case: ordinary firms and patents, and rows drawn from all combinations of odd values."""

from pathlib import Path

import duckdb

from ai_manufacturing.synthetic import registers
from ai_manufacturing.synthetic.files import SYNTHETIC_MARK
from ai_manufacturing.system.sql_text import literal

# 10 October 1582 is no day of the Gregorian calendar
DATES = [
    None, "0001-01-01", "1582-10-10", "1899-12-31", "2009-12-31", "2010-01-01", "2012-02-29", "2015-06-01",
    "2015-06-02", "2020-12-31", "2021-01-01", "9999-12-31",
]  # fmt: skip
WRITTEN_DATES = [
    "2015-6-1", "2015/6/1", "2015 06 01", "2015\\06\\01", "2015-06-01T00:00:00", "2015-06-01 23:59",
    "2015-06-01 10:00:00.5", "015-06-01", "20150601", "2015.6.01", "2015年6月1日", "42156", " 42156.75 ",
    " 2015年06月01日 ",
]  # fmt: skip
NO_DATES = ["-", "——", "长期", " 无 ", "N/A"]
"""Nothing was delivered, or no end."""
FAULTY_DATES = [
    "2015", "12156", "42156天", "2015-06", "2015601", "2015年6月", "2015年13月1日", "20150230", "2015年6月1日起",
    "２０１５-06-01", "2015-06/01", "2015-02-30", "2015-13-01", "2015-06-01abc", "2015-06-01 25:00", "不详",
]  # fmt: skip
DATE_TEXTS = [*DATES, *WRITTEN_DATES, *NO_DATES, *FAULTY_DATES]
CITIES = ["440300", "110000", "110100", "341400", "990000", "44030", " 440300", "４４０３００", "深圳市", None]
CITIES += ["440305", "110105", "110228", "371202", "429004", "429099", "44030A", "440305001", "", " "]
INDUSTRIES = ["3921", "39", "3", "0610", "6510", "ZZ00", "Ｃ39", "99", " 39", None]
INDUSTRIES += ["C39", "c3921", "C 39 计算机、通信和其他电子设备制造业", "制造业39", ""]
IPC = ["G06N 3/08", "A01B 1/00", "A01Z 1/00", "Z99Z 1/00", "G06", "g06n 3/08", "Ｇ06N", None]
TYPES = ["发明", "实用新型", "外观设计", "发明 ", "invention", None]
KEYWORDS = [
    ("C++", "en"), (".NET", "en"), ("a|b", "en"), ("x^y", "zh"), ("[ai]", "zh"), ("back\\slash", "zh"),
    ("it's", "en"), ("智能(芯片)", "zh"), ("$dollar$", "zh"), ("a.i", "en"), ("(?i)", "zh"), ("识别{2}", "zh"),
    ("五 金*", "zh"), ("深度-学习", "zh"), ("#", "zh"), ('say "hi"', "en"), ("50% & more", "en"),
]  # fmt: skip
"""Terms with the special characters of regular expressions and of SQL."""
TEXTS = [
    None, "", " ", "人工智能", "不含人工智能", "不含人工智能；人工智能应用软件开发", "ＡＩ芯片、ａｉ 服务", "AI",
    "ai技术", "人工AI技术", "AIR conditioning, fairAI, AI_2, AI2, 2AI", "A.I. 与 a.i，axi", "人 工 智 能",
    "人工\n智能；机器\t学习", "深度学习\r\n神经网络",
    "Machine Learning、MACHINE　LEARNING、ｍａｃｈｉｎｅ　ｌｅａｒｎｉｎｇ",
    "machine\u00a0learning, machine-learning", "MACHİNE LEARNING, machıne learning, \u212aNN, K\u0130, ſensor",
    "ΣΊΣΥΦΟΣ ai ΣΑΣ", "智能机器人🤖制造、𠮷人脸识别𠮷", "e\u0301人脸识别\u200b，人\u200b脸识别",
    "c++、C++17、C+、c+++、xC++、.net、a.NET、.netx、ａ．ｎｅｔ",
    "a|b A|B ab x^y [AI] (?i) back\\slash back/slash it's its",
    "智能(芯片) 智能芯片 $dollar$ 识别{2} 识别识别 五 金* 五金 五 金金", 'say "hi"; 50% & more; 50%', "# 人工智能 #",
    "机器人" * 400,
]  # fmt: skip


def write(folder: Path, firms: int, patents: int) -> None:
    """Write registers of so many rows; one in five is of odd values, and of those of firms one in ten lies in CSV."""
    registers.write(folder, firms - firms // 5, patents - patents // 5, seed=7, patent_years=range(2014, 2016))
    odd, texts = firms // 5, firms // 50
    with duckdb.connect() as connection:
        connection.execute(
            f"copy ({_firms(odd - texts, DATES, 'date')}) to {literal(folder / 'firm_register/odd.parquet')}"
        )
        connection.execute(
            f"copy ({_firms(texts, DATE_TEXTS, 'varchar')}) to {literal(folder / 'firm_register/texts.csv')}"
        )
        connection.execute(f"copy ({_patents(patents // 5)}) to {literal(folder / 'patent_register/odd.parquet')}")


def _one(values: list[str | None], part: int) -> str:
    """Return SQL that draws one of the values."""
    written = ", ".join("null" if value is None else literal(value) for value in values)
    return f"([{written}])[1 + (hash(i * 64 + {part}) % {len(values)})::integer]"


def _id(kind: str) -> str:
    """Return SQL for ids of which some repeat, in this file and elsewhere, and some are missing or odd."""
    return f"""case hash(i * 64 + 1) % 40
        when 0 then null when 1 then '' when 2 then ' ' when 3 then '{kind}' || i // 2
        when 4 then lower('{kind}' || i) when 5 then '{kind}' || i % 10 else '{kind}' || i end"""


def _text() -> str:
    return f"""{_one(TEXTS, 2)} || case hash(i * 64 + 3) % 3 when 0 then '' when 1 then '；' || {_one(TEXTS, 4)}
        else '，' || i end"""


def _firms(rows: int, dates: list[str | None], date_type: str) -> str:
    return f"""
    select
        {_id("F")} as "统一社会信用代码", {_one(CITIES, 5)} as "城市代码", {_one(INDUSTRIES, 6)} as "行业代码",
        {_one(dates, 7)}::{date_type} as "成立日期", {_one(dates, 8)}::{date_type} as "注销日期",
        {_text()} as "经营范围", '{SYNTHETIC_MARK}' as "数据来源"
    from range({rows}) as numbers(i)"""


def _patents(rows: int) -> str:
    return f"""
    select
        {_id("P")} as "申请号", {_one(CITIES, 5)} as "城市代码", {_one(INDUSTRIES, 6)} as "行业代码",
        {_one(IPC, 9)} as "IPC主分类号", {_one(TYPES, 10)} as "专利类型",
        {_one(DATES, 7)}::date as "申请日", {_one(DATES, 8)}::date as "授权日",
        {_text()} as "专利名称", {_one(TEXTS, 11)} as "摘要", '{SYNTHETIC_MARK}' as "数据来源"
    from range({rows}) as numbers(i)"""
