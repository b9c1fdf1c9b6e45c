"""Tests for SQL macros, called with a few values each in an in-memory database."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import jinja2
import pytest

from tests.python.conftest import PROJECT

Call = Callable[..., str]
# The example of GB 32100-2015.
CREDIT_CODE = "91350100M000100Y43"


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@pytest.fixture(scope="module")
def call(connection: duckdb.DuckDBPyConnection) -> Call:
    """Return a function that renders a call of a macro, with stand-ins for the functions of dbt."""
    folders = (PROJECT / "macros", PROJECT / "macros/registers")
    files = [path for folder in folders for path in folder.glob("*.sql")]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    module: Any = None

    def dispatch(name: str) -> Any:
        return getattr(module, f"default__{name}")

    def run_query(query: str) -> SimpleNamespace:
        found = connection.execute(query)
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return SimpleNamespace(rows=rows)

    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals |= {
        "adapter": SimpleNamespace(dispatch=dispatch, quote='"{}"'.format),
        "dbt": SimpleNamespace(type_string=lambda: "varchar"),
        "execute": True,
        "load_relation": str,
        "period": {"first_year": 2010, "last_year": 2020}.__getitem__,
        "ref": str,
        "return": lambda value: value,
        "run_query": run_query,
    }
    # The macro `period` reads the years from dbt, and would hide the years above.
    module = environment.from_string(text.replace("macro period", "macro hidden")).module
    return lambda name, *arguments: str(getattr(module, name)(*arguments))


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("nearest_year", {2009: 2010, 2010: 2010, 2015: 2015, 2021: 2020, None: None}),
        ("p_text", {0.0004: "< 0.001", 0.0005: "= 0.001", 0.0049: "= 0.005", 0.5: "= 0.500"}),
        (
            "city_code_of",
            {
                "44 03\u300000": "440300",
                "44030300": "44030300",
                "440303001": "440303",
                "4403030010": "4403030010",
                "440303001002": "440303",
                "4403030010021": "4403030010021",
            },
        ),
        ("ended_as", {2: "superseded", 9: "withdrawn", None: None}),
        (
            "date_of",
            dict.fromkeys(
                ("2015-03-02", "2015年3月2日", " 2015.3.2", "20150302", "42065", "42065.75"),
                "2015-03-02",
            )
            | {"2015-02-30": None, "长期": None, "12065": None},
        ),
        (
            "is_a_date_meant",
            {"2015-02-30": True, "x": True, " N/A ": False, "长期": False, None: False},
        ),
        (
            "is_a_credit_code",
            {
                CREDIT_CODE: True,
                CREDIT_CODE[:-1] + "4": False,
                "8" + CREDIT_CODE[1:]: False,
                CREDIT_CODE[:-1]: False,
                CREDIT_CODE.lower(): False,
            },
        ),
    ],
)
def test_a_value_has_the_answer_worked_out_by_hand(
    name: str, answers: dict[Any, Any], call: Call, connection: duckdb.DuckDBPyConnection
) -> None:
    connection.execute(
        "create or replace table raw_deliveries as from (values (1), (2)) as t (delivery_number)"
    )
    connection.execute("create or replace table given as select unnest($1) as x", [[*answers]])
    found = connection.execute(f"select x, {call(name, 'x')} as y from given").fetchall()
    assert {x: y if y is None or name != "date_of" else str(y) for x, y in found} == answers


@pytest.mark.parametrize(
    ("status", "p_value", "p_value_province", "stars", "mark"),
    [
        ("estimated", 0.0099, 0.0999, "***", ""),
        ("estimated", 0.01, 0.1, "**", "‡"),
        ("estimated", 0.0499, 0.9, "**", "‡"),
        ("estimated", 0.05, 0.9, "*", "‡"),
        ("estimated", 0.0999, 0.0999, "*", ""),
        ("estimated", 0.1, 0.9, "", ""),
        ("estimated", None, None, None, ""),
        ("mechanical", 0.001, 0.9, None, ""),
    ],
)
def test_stars_are_of_three_levels_and_marked_if_clusters_by_province_take_them_away(
    status: str,
    p_value: float | None,
    p_value_province: float | None,
    stars: str | None,
    mark: str,
    call: Call,
    connection: duckdb.DuckDBPyConnection,
) -> None:
    query = (
        f"select {call('stars', 'c')}, {call('taken_away', 'c')}"
        " from (values (?, ?::double, ?::double)) as c (status, p_value, p_value_province)"
    )
    found = connection.execute(query, [status, p_value, p_value_province]).fetchone()
    assert found == (stars, mark)


NINETEEN, TWENTY = ([*range(1, size + 1)] for size in (19, 20))


@pytest.mark.parametrize(
    ("name", "arguments", "given", "expected"),
    [
        ("first_of", ["x", "x desc", "x < 9"], TWENTY, "8, 7, 6, 5, 4 and 3 more"),
        ("first_of", ["x", "x"], [1, 2, 3, 4, 5, 6], "1, 2, 3, 4, 5 and 1 more"),
        ("first_of", ["x", "x"], [1, 2, 3, 4, 5], "1, 2, 3, 4, 5"),
        ("first_of", ["x", "x", "x > 9"], [1], None),
        ("share_of", ["x < 5", "x > 0"], [0, *TWENTY], 0.2),
        ("share_of", ["x < 5", "x > 0"], [0, *NINETEEN], None),
        # Some records of a city only name a county.
        ("repeated_records", [], [None], 0),
        ("repeated_records", [], [None, None], 1),
        ("repeated_records", [], ["a"], 0),
        ("repeated_records", [], ["a", "b"], 0),
        ("repeated_records", [], ["a", "a", "b"], 1),
        ("repeated_records", [], ["a", None], 1),
        ("repeated_records", [], ["a", "a", None, None], 3),
    ],
)
def test_a_group_has_the_answer_worked_out_by_hand(
    name: str,
    arguments: list[str],
    given: list[Any],
    expected: Any,
    call: Call,
    connection: duckdb.DuckDBPyConnection,
) -> None:
    connection.execute("create or replace table given as select unnest($1) as x", [given])
    query = f"select {call(name, *arguments)} from (select x, x as county_code from given)"
    assert connection.execute(query).fetchone() == (expected,)


def test_the_agreement_of_two_columns_is_bland_and_altmans(
    call: Call, connection: duckdb.DuckDBPyConnection
) -> None:
    """The differences 0, 2 and 4 have the mean 2 and the standard deviation 2."""
    rows = "(values (1, 1), (2, 4), (3, 7)) as t (x, y)"
    found = connection.execute(f"select {call('agreement_of', 'x', 'y')} from {rows}").fetchone()
    assert found == pytest.approx((1, 2, 2, 2 - 1.96 * 2, 2 + 1.96 * 2))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            (CREDIT_CODE, "53/0102", "云南", "昆=明"),
            "credit_code=350100/code=530102/name=云南|昆明",
        ),
        ((CREDIT_CODE[:-1], "n/a", " ", "昆明"), ""),
        (("", "-", "云南", "--"), ""),
    ],
)
def test_a_place_is_written_by_each_rule_that_has_a_value(
    values: tuple[str, ...], expected: str, call: Call, connection: duckdb.DuckDBPyConnection
) -> None:
    place = {"credit_code": "a", "code": "b", "province": "c", "name": "d"}
    query = f"select {call('place_of', place)} from (values (?, ?, ?, ?)) as t (a, b, c, d)"
    assert connection.execute(query, values).fetchone() == (expected,)


def test_register_rows_are_numbered_by_file_and_row(
    call: Call, connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """File 0 only declares columns; the files of a provider may start at any number."""
    connection.execute(
        "create or replace table raw_register_paths"
        " (file_number int, rows_path text, entity text, provider text)"
    )
    for number, provider, query in (
        (0, None, "select '' as name, '' as code limit 0"),
        (4, "other", "select 'x' as name"),
        (5, "vendor", "from (values ('a'), ('b')) as t (name)"),
        (6, "vendor", "select 'c' as name"),
    ):
        path = tmp_path / f"key{number}/rows.parquet"
        path.parent.mkdir()
        connection.execute(f"copy ({query}) to '{path}'")
        row = [number, str(path), "firm_register", provider]
        connection.execute("insert into raw_register_paths values (?, ?, ?, ?)", row)
        connection.execute(
            "insert into raw_register_paths values (?, 'none', 'patents', ?)", row[::3]
        )
    for provider, expected in (
        ("vendor", [(5, "key5", 1, "a"), (5, "key5", 2, "b"), (6, "key6", 1, "c")]),
        ("absent", []),
    ):
        rows = call("register_rows", provider, "firm_register")
        query = f"select file_number, store_key, row_number, name from ({rows}) order by all"
        assert connection.execute(query).fetchall() == expected
