"""Test that no file in git quotes a delivered value; see docs/decisions/disclosure.md."""

import csv
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from tests.python.conftest import PROJECT

Values = Mapping[str, npt.NDArray[np.float64]]
"""Sorted delivered values by city code. Values without a city are under `NO_CITY`."""

# Folders of further delivered files, next to the folder of the public data.
BESIDE = ("further", "prices")
# Skip these files, whose numbers are coordinates, published test data or hashes.
OTHER_NUMBERS = (
    "requirements/",
    "seeds/cities.csv",
    "src/ai_manufacturing/paper/boundaries/",
    "studies/robots/seeds/cities.csv",
    "tests/python/golden/",
)
NO_CITY = ""
# Maximum distance in lines between a number and the name of its city. In CSV files both must be in
# the same line.
NEAR = 3
# Minimum number of significant digits that identify a delivered value: rounded and near the name of
# its city, exact and near the name of its city, or exact anywhere.
ROUNDED, EXACT, ALONE = 5, 4, 7
NUMBER = re.compile(
    r"(?<![\w.])"
    r"(?:[0-9]{1,3}(?:[,_][0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?)"
    r"(?!\w|\.[0-9])"
)
CODE = re.compile(r"[1-6][0-9]{5}")
YEARS = range(1949, 2051)


def city_codes() -> dict[str, str]:
    """Return a dictionary that maps each city's names and code to the code."""
    with (PROJECT / "seeds/cities.csv").open(encoding="utf-8", newline="") as file:
        return {
            row[name]: row["city_id"]
            for row in csv.DictReader(file)
            for name in ("city_id", "name_zh", "short_name_zh", "name_en")
        }


def rows_of(path: Path) -> Iterator[Sequence[Any]]:
    """Yield the rows of a delivered CSV, Stata or Excel file."""
    if path.suffix == ".csv":
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("gb18030")
        yield from csv.reader(text.splitlines())
    elif path.suffix == ".dta":
        yield from pd.read_stata(path).itertuples(index=False)
    elif path.suffix == ".xlsx":
        for sheet in pd.read_excel(path, sheet_name=None, header=None, engine="calamine").values():
            yield from sheet.itertuples(index=False)


def number(cell: Any) -> float:
    """Return the absolute value of a numeric cell, or NaN for other cells."""
    try:
        return abs(float(cell))
    except (TypeError, ValueError):
        return float("nan")


def delivered(folders: Iterable[Path], codes: Mapping[str, str]) -> Values:
    """Return the numbers in all files of some folders, grouped by the city that their row names."""
    found: dict[str, set[float]] = defaultdict(set)
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        for row in rows_of(path):
            names = map(as_name, row)
            values = {number(cell) for cell in row if not CODE.fullmatch(as_name(cell))}
            for city in {codes[name] for name in names if name in codes} or {NO_CITY}:
                found[city] |= values
    return {
        city: np.array(sorted(v for v in values if np.isfinite(v) and v and v not in YEARS))
        for city, values in found.items()
    }


def as_name(cell: Any) -> str:
    """Return a cell as text, in the form in which city names and codes are listed."""
    return str(cell).strip().removesuffix(".0")


def significant(written: str) -> int:
    """Count significant digits, without leading zeros and the trailing zeros of a round number."""
    digits = written.replace(".", "").lstrip("0")
    short = digits.rstrip("0")
    is_round = "." in written or len(digits) - len(short) > 1
    return len(short) if is_round else len(digits)


def holds(values: npt.NDArray[np.float64], written: str, *, is_rounded: bool) -> bool:
    """Return whether a number in a text equals one of the values, optionally after rounding."""
    value = float(written)
    half = 0.5 * 10.0 ** -len(written.partition(".")[2]) if is_rounded else 0.0
    # Allow for floating-point error in the comparison.
    slack = 1e-12 * value + half * 1e-9
    first, last = np.searchsorted(values, (value - half - slack, value + half + slack))
    return bool(first < last)


def quoted(
    texts: Iterable[tuple[str, str]], values: Values, codes: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield each number in the texts that is a delivered value, with an error message."""
    everything = np.unique(np.concatenate([*values.values()]))
    names = re.compile("|".join(sorted(map(re.escape, codes), key=len, reverse=True)))
    for file, text in texts:
        lines = text.splitlines()
        cities = [{codes[name] for name in names.findall(line)} for line in lines]
        reach = 0 if file.endswith(".csv") else NEAR
        for place, line in enumerate(lines):
            near = set[str]().union(*cities[max(0, place - reach) : place + reach + 1])
            for found in NUMBER.findall(line):
                one = re.sub("[,_]", "", found)
                digits = significant(one)
                if digits < EXACT or CODE.fullmatch(one):
                    continue
                is_long = digits >= ROUNDED
                whose = [
                    city
                    for city in sorted(near & values.keys())
                    if (is_long or "." in one) and holds(values[city], one, is_rounded=is_long)
                ]
                if whose or (digits >= ALONE and holds(everything, one, is_rounded=False)):
                    yield (
                        one,
                        f"{file}, line {place + 1}: {one} is a delivered value of"
                        f" {', '.join(whose) or 'no city'}. Say it in words, or compute it in a"
                        " test from the files of PUBLIC_EXTRACTS.",
                    )


def tracked() -> list[tuple[str, str]]:
    """Return the name and content of each text file in git, except for OTHER_NUMBERS."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no clone of the repository, so that no file is tracked")
    texts = []
    for name in filter(None, listed.stdout.split("\0")):
        path = PROJECT / name
        if name.startswith(OTHER_NUMBERS) or not path.is_file():
            continue
        try:
            texts.append((name, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            # Skip binary files, such as images and workbooks.
            continue
    return texts


CODES = {"深圳市": "440300", "Shenzhen": "440300", "440300": "440300", "北京市": "110000"}
FEW: Values = {"110000": np.array([54321.0]), "440300": np.array([12.75, 28765.43, 7654321.5])}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Shenzhen has 28765.43.", ["28765.43"]),
        ("Shenzhen has 28,765, rounded.", ["28765"]),
        ('"440300": 28_765', ["28765"]),
        ("深圳市\n\n\n12.75", ["12.75"]),
        ("深圳市\n\n\n\n12.75", []),
        ("Shenzhen has 12.8, rounded to three digits.", []),
        ("Shenzhen has 28,765.44.", []),
        ("Shenzhen has 54,321 as 北京市 has.", ["54321"]),
        ("Nobody is named: 7,654,321.5, and 12.75.", ["7654321.5"]),
        ("Nobody is named: 54321.", []),
        ("Shenzhen, 440300, in 2020: 3 of 100 000.", []),
        ("Shenzhen: a1b28765.43c, 1.28765.43", []),
    ],
)
def test_a_value_is_quoted_beside_its_city_or_by_its_many_digits(
    text: str, numbers: list[str]
) -> None:
    found = quoted([("notes.md", text)], FEW, CODES)
    assert [one for one, _ in found] == numbers


def test_in_a_table_the_city_is_that_of_the_row() -> None:
    table = "440300,1.5\n110000,12.75\n"
    assert [*quoted([("seeds/x.csv", table)], FEW, CODES)] == []
    [(_, message)] = quoted([("notes.md", table)], FEW, CODES)
    assert message.startswith("notes.md, line 2: 12.75 is a delivered value of 440300. ")


@pytest.mark.soak
def test_no_tracked_file_quotes_a_delivered_value(public_extracts: Path) -> None:
    folders = [public_extracts, *(public_extracts.parent / name for name in BESIDE)]
    values = delivered(folders, city_codes())
    # Check that values were read, because the next assertion would pass without any.
    assert sum(len(of_city) > 100 for of_city in values.values()) > 300
    found = [message for _, message in quoted(tracked(), values, city_codes())]
    assert found == [], "\n".join(found)
