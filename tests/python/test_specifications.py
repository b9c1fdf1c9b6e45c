"""Test that every regression specification matches its description in the paper."""

import csv
import tomllib
from typing import Any

from tests.python.conftest import PROJECT

Fields = dict[str, str]
NOT_COMPARED = {"specification_id", "specification_order", "is_headline", "description"}


def described() -> dict[tuple[str, str, str], Fields]:
    """Return the expected fields of each regression by table, column and reading."""
    text = (PROJECT / "tests/fixtures/specifications.toml").read_text(encoding="utf-8")
    fixture: dict[str, Any] = tomllib.loads(text)
    columns: dict[tuple[str, str], Fields] = {}
    for block in fixture["three_measures"]:
        table, first = block["first"].split(".")
        for place, measure in enumerate(fixture["measures"].values()):
            columns[table, str(int(first) + place)] = {"outcome": block["outcome"], **measure}
    columns |= {tuple(name.split(".")): fields for name, fields in fixture["columns"].items()}
    columns = {
        (table, column): {**fixture["default"], **fixture["tables"].get(table, {}), **fields}
        for (table, column), fields in columns.items()
    }
    regressions = {(*column, "default"): fields for column, fields in columns.items()}
    for changed in fixture["readings"]:
        reading, where = changed.pop("reading"), changed.pop("columns")
        for name in where.split():
            table, column = name.split(".")
            table = f"table_{table}" if table.isdigit() else table
            regressions[table, column, reading] = {**columns[table, column], **changed}
    return regressions


def test_each_regression_is_the_one_described() -> None:
    with (PROJECT / "seeds/regression_specifications.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    keys = ("table_id", "column_number", "reading")
    seed = {tuple(row.pop(key) for key in keys): row for row in rows}
    assert len(seed) == len(rows)
    compared = {
        key: {name: value for name, value in row.items() if name not in NOT_COMPARED}
        for key, row in seed.items()
    }
    assert compared == described()
    # The headlines are the columns of Tables 1 to 3.
    assert {key for key, row in seed.items() if row["is_headline"] == "true"} == {
        (f"table_{table}", str(column), "default")
        for table, count in ((1, 3), (2, 3), (3, 6))
        for column in range(1, count + 1)
    }
