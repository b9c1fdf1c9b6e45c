"""No tracked file quotes a delivered value: docs/decisions/delivered_values.md has the rule."""

import csv
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from tests.python.conftest import PROJECT

Values = Mapping[str, npt.NDArray[np.float64]]
"""Delivered values in order, by the code of their city; those of no city under `NO_CITY`."""

BESIDE = ("further", "prices")  # other folders of delivered files, beside the public set
# Coordinates, published test data of estimators, and hashes: many digits, and no delivered value.
OTHER_NUMBERS = (
    "requirements/",
    "seeds/cities.csv",
    "src/ai_manufacturing/paper/boundaries/",
    "studies/robots/seeds/cities.csv",
    "tests/python/golden/",
)
NO_CITY = ""
NEAR = 3  # lines above and below, in which the name of a city counts; in a table, its own row
ROUNDED, EXACT, ALONE = 5, 4, 7  # significant digits: of the rule's three parts
NUMBER = re.compile(
    r"(?<![\w.])"
    r"(?:[0-9]{1,3}(?:[,_][0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?)"
    r"(?!\w|\.[0-9])"
)
CODE = re.compile(r"[1-6][0-9]{5}")
YEARS = range(1949, 2051)


class Written(NamedTuple):
    """A number of a tracked file, and the cities that are named near it."""

    file: str
    line: int
    number: str
    near: set[str]


class Quoted(NamedTuple):
    """A number of a tracked file that is a delivered value."""

    file: str
    line: int
    number: str
    city: str

    def __str__(self) -> str:
        """Say where it stands and how to do without."""
        whose = f"of {self.city}" if self.city else "of no city"
        return (
            f"{self.file}, line {self.line}: {self.number} is a delivered value {whose}. Say it in"
            " words, or compute it in a test from the files of PUBLIC_EXTRACTS."
        )


def city_codes() -> dict[str, str]:
    """Return the codes of cities by all their names, and by themselves."""
    with (PROJECT / "seeds/cities.csv").open(encoding="utf-8", newline="") as file:
        return {
            row[name]: row["city_id"]
            for row in csv.DictReader(file)
            for name in ("city_id", "name_zh", "short_name_zh", "name_en")
        }


# ---------------------------------------------------------------- what was delivered


def sheets(path: Path) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of each sheet of a file."""
    if path.suffix == ".csv":
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("gb18030")
        yield [tuple(row) for row in csv.reader(text.splitlines())]
    elif path.suffix == ".dta":
        yield [*pd.read_stata(path).itertuples(index=False, name=None)]
    elif path.suffix == ".xlsx":
        for sheet in pd.read_excel(path, sheet_name=None, header=None, engine="calamine").values():
            yield [*sheet.itertuples(index=False, name=None)]


def number(cell: Any) -> float:
    """Return the number in a cell without its sign; of another cell, no number."""
    try:
        return abs(float(cell))
    except (TypeError, ValueError):
        return float("nan")


def is_key(column: Iterable[Any]) -> bool:
    """Whether most numbers of a column are codes of places, or years."""
    numbers = [value for cell in column if np.isfinite(value := number(cell))]
    keys = [value for value in numbers if value in YEARS or CODE.fullmatch(as_name(value))]
    return 2 * len(keys) > len(numbers)


def delivered(folders: Iterable[Path], codes: Mapping[str, str]) -> Values:
    """Return the values of all files below folders, by the city that their row names."""
    found: dict[str, set[float]] = defaultdict(set)
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        for rows in sheets(path):
            width = max(map(len, rows), default=0)
            columns = [[row[place] for row in rows if place < len(row)] for place in range(width)]
            valued = [place for place, column in enumerate(columns) if not is_key(column)]
            for row in rows:
                numbers = {number(row[place]) for place in valued if place < len(row)}
                cities = {codes[name] for cell in row if (name := as_name(cell)) in codes}
                for city in cities or {NO_CITY}:
                    found[city] |= {value for value in numbers if np.isfinite(value) and value}
    return {city: np.array(sorted(values)) for city, values in found.items()}


def as_name(cell: Any) -> str:
    """Return a cell as the name or code of a city is written."""
    return str(cell).strip().removesuffix(".0")


# ---------------------------------------------------------------- what is written


def significant(written: str) -> int:
    """Count the digits that say something: no leading zeros, and none that end a round number."""
    digits = written.replace(".", "").lstrip("0")
    short = digits.rstrip("0")
    is_round = "." in written or len(digits) - len(short) > 1
    return len(short) if is_round else len(digits)


def holds(values: npt.NDArray[np.float64], written: str, *, is_rounded: bool) -> bool:
    """Whether a number as written is one of the values, or one of them rounded."""
    value = float(written)
    half = 0.5 * 10.0 ** -len(written.partition(".")[2]) if is_rounded else 0.0
    slack = 1e-12 * value + half * 1e-9  # binary fractions
    first, last = np.searchsorted(values, (value - half - slack, value + half + slack))
    return bool(first < last)


def written(texts: Iterable[tuple[str, str]], codes: Mapping[str, str]) -> Iterator[Written]:
    """Yield the numbers of texts, each with the name of its file, that have digits enough."""
    names = re.compile("|".join(sorted(map(re.escape, codes), key=len, reverse=True)))
    for file, text in texts:
        lines = text.splitlines()
        cities = [{codes[name] for name in names.findall(line)} for line in lines]
        reach = 0 if file.endswith(".csv") else NEAR
        for place, line in enumerate(lines):
            near = set[str]().union(*cities[max(0, place - reach) : place + reach + 1])
            for found in NUMBER.findall(line):
                one = re.sub("[,_]", "", found)
                if significant(one) >= EXACT and not CODE.fullmatch(one):
                    yield Written(file, place + 1, one, near)


def quoted(numbers: Iterable[Written], values: Values) -> Iterator[Quoted]:
    """Yield which of the numbers are delivered values."""
    everything = np.unique(np.concatenate([*values.values()]))
    for one in numbers:
        is_long = significant(one.number) >= ROUNDED
        whose = [
            city
            for city in sorted(one.near & values.keys())
            if (is_long or "." in one.number)
            and holds(values[city], one.number, is_rounded=is_long)
        ]
        if whose:
            yield Quoted(*one[:3], whose[0])
        elif significant(one.number) >= ALONE and holds(everything, one.number, is_rounded=False):
            yield Quoted(*one[:3], NO_CITY)


def tracked() -> list[tuple[str, str]]:
    """Return the texts that git tracks, but for those of other numbers."""
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
            continue  # a picture or a workbook
    return texts


# ---------------------------------------------------------------- tests

CODES = {"深圳市": "440300", "Shenzhen": "440300", "440300": "440300", "北京市": "110000"}
FEW: Values = {"110000": np.array([54321.0]), "440300": np.array([12.75, 28765.43, 7654321.5])}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Shenzhen has 28765.43.", ["28765.43"]),
        ("Shenzhen has 28,765, rounded.", ["28765"]),
        ('"440300": 28_765', ["28765"]),
        ("深圳市\n\n\n\n12.75", []),
        ("Shenzhen has 28,765.44.", []),
        ("Shenzhen has 54,321 as 北京市 has.", ["54321"]),
        ("Nobody is named: 7,654,321.5, and 12.75.", ["7654321.5"]),
        ("Shenzhen: a1b28765.43c, 1.28765.43", []),
    ],
)
def test_a_value_is_quoted_beside_its_city_or_by_its_many_digits(
    text: str, numbers: list[str]
) -> None:
    found = quoted(written([("notes.md", text)], CODES), FEW)
    assert [one.number for one in found] == numbers


def test_in_a_table_the_city_is_that_of_the_row() -> None:
    table = "440300,1.5\n110000,12.75\n"
    assert [*quoted(written([("seeds/x.csv", table)], CODES), FEW)] == []
    [found] = quoted(written([("notes.md", table)], CODES), FEW)
    assert str(found).startswith("notes.md, line 2: 12.75 is a delivered value of 440300. ")


@pytest.fixture(scope="module")
def public_values(public_extracts: Path) -> Values:
    folders = [public_extracts, *(public_extracts.parent / name for name in BESIDE)]
    return delivered([folder for folder in folders if folder.is_dir()], city_codes())


@pytest.mark.soak
def test_no_tracked_file_quotes_a_delivered_value(public_values: Values) -> None:
    numbers = written(tracked(), city_codes())
    found = [str(one) for one in quoted(numbers, public_values)]
    assert found == [], "\n".join(found)


@pytest.mark.soak
def test_a_long_value_of_any_city_would_be_found(public_values: Values) -> None:
    """Without this, a reader that reads nothing would find nothing either."""
    codes = city_codes()
    names = {city: name for name, city in codes.items()}
    chance = np.random.default_rng(43)
    planted = []
    for city in sorted(public_values.keys() - {NO_CITY}):
        shown = [f"{value:.2f}" for value in public_values[city]]
        if long := [one for one in shown if significant(one) >= ROUNDED]:
            planted.append(f"{names[city]} has {chance.choice(long)}")
    assert len(planted) > 300
    found = quoted(written([("cities.csv", "\n".join(planted))], codes), public_values)
    assert [one.line for one in found] == [*range(1, len(planted) + 1)]
