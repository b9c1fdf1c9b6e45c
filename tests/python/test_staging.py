"""Test that staging models read one provider and convert units by the factor of their headings."""

import re
from fractions import Fraction
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
MODELS = {path.stem: path.read_text("utf-8") for path in PROJECT.glob("models/staging/*/stg_*.sql")}
# Units that end a heading, and endings of column names.
DELIVERED = {
    "人": 1,
    "元": 1,
    "万人": 10**4,
    "万元": 10**4,
    "万美元": 10**4,
    "百万美元": 10**6,
    "亿元": 10**8,
}
STAGED = {"count": 1, "10k": 10**4, "1m_usd": 10**6, "100m_cny": 10**8, "cny": 1}


def test_a_model_of_shared_rows_keeps_those_of_its_provider() -> None:
    kept = 0
    for name, text in MODELS.items():
        if "ref('raw_" in text:
            provider = name.removeprefix("stg_").partition("__")[0]
            assert f"where origin.provider = '{provider}'\n" in text, name
            kept += 1
    assert kept >= 15


def test_a_value_is_converted_from_the_unit_of_its_heading_to_that_of_its_column() -> None:
    converted = re.compile(r"\"[^\"]*[(（](\w+)[)）]\"([^,\n]*) as (\w+)")
    checked = 0
    for name, text in MODELS.items():
        for delivered, conversion, column in converted.findall(text):
            staged = next(size for unit, size in STAGED.items() if column.endswith(f"_{unit}"))
            if delivered in DELIVERED:
                divisor = Fraction(staged, DELIVERED[delivered])
                assert conversion == (f" / {divisor}" if divisor != 1 else ""), (name, column)
                checked += 1
    assert checked >= 30


def test_a_value_without_a_unit_in_its_heading_is_converted_by_a_power_of_ten() -> None:
    for name, text in MODELS.items():
        for factor in re.findall(r"\" [*/] (\d+)", text):
            assert re.fullmatch("10+", factor), name
