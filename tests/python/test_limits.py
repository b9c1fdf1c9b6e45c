"""Test each limit of the gate and the verdicts with a value just inside and one just outside.

The values are in tests/fixtures/limits.toml.
"""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from ai_manufacturing.gate import suites, validation
from ai_manufacturing.system import duckdb_client
from tests.lib import in_memory, samples
from tests.python.conftest import PROJECT

Row = dict[str, Any]
LISTED = tomllib.loads((PROJECT / "tests/fixtures/limits.toml").read_text(encoding="utf-8"))
LIMITS = LISTED["limits"]
RULES = LIMITS.pop("verdict_rules")
SIDES = ("inside", "outside")
SEVERITIES = ("critical", "warning")
OF_RULES = ("threshold", "fails_above", "fails_above_if_significant")
NO_LIMITS = {"check", "beside", "answers", *SEVERITIES}
YEAR = 2015


def limit_of(row: Row) -> str:
    """Return the name of the limit for which a row of limits.toml gives test values."""
    (name,) = row.keys() - NO_LIMITS
    return name


def asked_by(row: Row) -> tuple[str, str]:
    """Return the severity and the checked column of a row of limits.toml."""
    ((severity, column),) = ((name, row[name]) for name in SEVERITIES if name in row)
    return severity, column


def conditions_of(arguments: Row) -> list[Row]:
    condition: Row = arguments.get("row_condition") or {"conditions": []}
    return list(condition.get("conditions", [condition]))


def numeric_limits(suite: suites.Suite) -> Iterator[tuple[str, str, str]]:
    """Yield the severity, column and argument name of each numeric limit on single values.

    A limit on a whole column, such as its mean, does not apply to rows and needs its own test.
    """
    for one in suite.expectations:
        arguments = one["kwargs"]
        if not one["type"].startswith("expect_column_values_"):
            continue
        numbers = arguments | {
            part["column"]["name"]: part["parameter"] for part in conditions_of(arguments)
        }
        for name, value in numbers.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield one["severity"], arguments["column"], name


def columns_of(suite: suites.Suite) -> set[str]:
    """Return the names of all columns that an expectation suite reads."""
    names = {*suite.judges.key, *suite.judges.critical_where} - {suites.HEADLINE_YEARS}
    for one in suite.expectations:
        arguments = one["kwargs"]
        names |= {
            arguments[name] for name in arguments if name in ("column", "column_A", "column_B")
        }
        names |= {part["column"]["name"] for part in conditions_of(arguments)}
    return names


def test_every_limit_has_a_value_on_each_side() -> None:
    for name in suites.list_files():
        listed = [(*asked_by(row), limit_of(row)) for row in LIMITS.get(name, [])]
        suite = suites.read_suite(name)
        limits = [*numeric_limits(suite)]
        assert sorted(listed) == sorted(limits), name
        with_limit = {column for severity, column, _ in limits if severity == "warning"}
        columns = [
            one["kwargs"].get("column") or one["kwargs"]["column_A"]
            for one in suite.expectations
            if one["severity"] == "warning"
        ]
        without_limit = [column for column in columns if column not in with_limit]
        assert without_limit == LISTED["warnings"].get(name, []), name
    rules = samples.seed_table("verdict_rules").set_index("check_id")
    declared = [(check, name) for name in OF_RULES for check in rules[name].dropna().index]
    assert sorted((row["check"], limit_of(row)) for row in RULES) == sorted(declared)


@pytest.mark.parametrize("name", LIMITS)
def test_an_expectation_passes_inside_its_limit_and_fails_outside(name: str) -> None:
    """Each test row sets one checked value, and all other columns of the suite are null."""
    suite = suites.read_suite(name)
    missing = dict.fromkeys(columns_of(suite)) | dict.fromkeys(suite.judges.critical_where, True)
    rows = []
    for number, row in enumerate(LIMITS[name]):
        _, column = asked_by(row)
        limit = limit_of(row)
        # A limit in a row condition is tested on the condition's own column.
        tested = column if limit in ("min_value", "max_value") else limit
        for side, value in zip(SIDES, row[limit], strict=True):
            place = {suite.judges.key[0]: f"{number} {side}", "year": YEAR}
            rows.append(missing | place | row.get("beside", {}) | {tested: value})
    results = validation.validate(pd.DataFrame(rows), name, [YEAR]).to_pylist()
    failing = {
        (one["severity"], column): {
            failed[suite.judges.key[0]] for failed in json.loads(one["failing_rows"] or "[]")
        }
        for one in results
        if (column := json.loads(one["arguments"]).get("column"))
    }
    for number, row in enumerate(LIMITS[name]):
        of_row = {f"{number} {side}" for side in SIDES}
        assert failing[asked_by(row)] & of_row == {f"{number} outside"}, row


HOLDS: Row = {
    "estimate": 1.0,
    "std_error": 0.1,
    "conf_low": 0.5,
    "conf_high": 1.5,
    "p_value": 0.01,
}
"""An estimate equal to the printed value that passes the checks other checks depend on."""
CLAIMS = 4
"""Number of rows in limits.toml with instruments. They form one design, so p-values are multiplied
by it.
"""
TERMS = {"measure": "m", "next_year": "m_next_year", "later": "m_later"}
"""Names of terms in the tables of checks that differ from their names in rules."""


def evidence(figure: str, value: float) -> Row:
    """Return table columns for which the check's statistic equals this value.

    The printed value and the estimate are 1.
    """
    columns: dict[str, Row] = {
        "p_province": {"p_value_province": value, "p_value": value},
        "p_bonferroni": {"p_value_province": value / CLAIMS},
        "contains_printed": {"conf_high_province": 0.6 + value, "conf_high": 0.6 + value},
        "p_city": {"p_value": value},
        "is_sound": {"is_sound": bool(value)},
        "detectable_share": {"detectable_province": value},
        "moved_share": {
            "difference": value,
            "conf_low_difference": -value,
            "conf_high_difference": value,
        },
        "fallen_share": {
            "estimate_without": 1 - value,
            "difference": -value,
            "p_value_difference": 0.5,
        },
        # A differential trend averages 1 + 3/2 times its slope over the four years from the event
        # on.
        "average_share": {"value": value / (1 + 3 / 2)},
        "breakdown": {"value": value},
        "excludes_zero": {"bound": 1.0, "conf_low": value - 0.5, "conf_high": 1.5},
    }
    return columns.get(figure, {figure: value})


def rows_of(number: int, side: int) -> dict[str, Row]:
    """Return warehouse rows, by table, that put a verdict rule's value on one side of its limit."""
    row = RULES[number]
    rule = samples.seed_table("verdict_rules").set_index("check_id").loc[row["check"]].fillna("")
    given = evidence(rule["figure"], row[limit_of(row)][side]) | row.get("beside", {})
    claim = {"table_id": "table_1", "column_number": number}
    head = {"specification_id": str(number), "term": "m", "term_order": 1, "regressor": "m"}
    head |= dict.fromkeys(("reason", "reason_zh", "substitutions", "substitutions_zh"))
    is_counted = rule["estimator"] == "iv_fixed_effects"
    reading = "year effects by province" if is_counted else "default"
    of_estimate = given if rule["source"] == "estimate" else {}
    coefficient = HOLDS | {f"{name}_province": value for name, value in HOLDS.items()}
    coefficient |= {"is_sound": True, "detectable_province": 0.5, "observation_count": 100}
    rows = {
        "rpt_specifications": claim
        | {"specification_id": str(number), "status": "estimated", "is_partial": False}
        | {"reading": reading},
        "published_estimates": claim | {"term": "m", "estimate": 1.0},
        "rpt_coefficients": head | coefficient | {"estimator": rule["estimator"]} | of_estimate,
        "average": head | HOLDS | {"method": "average", "setting": ""} | of_estimate,
    }
    if not of_estimate:
        check = {"method": rule["method"], "setting": rule["setting"]}
        check |= {"term": TERMS.get(rule["term"], rule["term"]), "estimate": 1.0}
        rows[f"est_{rule['source']}"] = head | check | given
    return rows


@pytest.mark.parametrize("side", SIDES)
def test_a_rule_of_a_verdict_answers_by_its_limit(side: str) -> None:
    """Each row of limits.toml becomes a separate specification that rpt_credibility judges."""
    place = SIDES.index(side)
    tables: dict[str, list[Row]] = {}
    for number in range(len(RULES)):
        for name, row in rows_of(number, place).items():
            tables.setdefault(name.replace("average", "est_inference"), []).append(row)
    # The model also reads this column, although no verdict rule uses it.
    tables["est_influence"][0]["statistic_difference"] = 1.0
    with duckdb_client.connect(reads_files=True) as connection:
        for name in ("verdict_rules", "claim_designs", "labels", "check_power"):
            connection.execute(f"create table {name} as from '{PROJECT / 'seeds' / name}.csv'")
        for name, rows in tables.items():
            in_memory.create(connection, name, pd.DataFrame(rows))
        in_memory.run(connection, "reports/rpt_credibility")
        query = "select specification_id || ' ' || check_id, passes from rpt_credibility"
        answers = dict(connection.execute(query).fetchall())
    words = {True: "passes", False: "fails", None: "none"}
    found = {check: words[answers[check]] for check in expected_answers(place)}
    assert found == expected_answers(place)


def expected_answers(place: int) -> dict[str, str]:
    return {
        f"{number} {row['check']}": row.get("answers", ("passes", "fails"))[place]
        for number, row in enumerate(RULES)
    }
