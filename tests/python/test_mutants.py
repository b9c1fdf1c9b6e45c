"""Test that mutants are drawn in the declared proportions and that each changes one place."""

import ast
from collections import Counter

import sqlglot

from tests.mutants.places import CYCLE, FAULTS, draws

PYTHON = '''"""A docstring with 3 numbers."""

def rate(rows: dict[str, int], limit=0.05, *, strict=True):
    if limit < 0 and not strict:
        raise ValueError("limit 5 is below 0")
    named = [max(row, 2) for row in rows if row in "人"]
    return rows["left"] - rows["right"] * len(named[limit:]) / rows.get("all", 1)
'''
SQL = """select distinct city.id, city.name, coalesce(sum(value), 3) as total
from city
left join firms using (id, year)
where
    year >= 2010
    and name is not null
    and kind = 'whole' or kind = 'part'
order by id desc
"""


def operators(suffix: str, text: str) -> set[str]:
    return {edit.operator for edit in FAULTS[suffix](text)}


def test_draws_repeat_and_follow_the_shares() -> None:
    drawn = [next(draws(5, number)) for number in range(len(CYCLE))]
    assert drawn == [next(draws(5, number)) for number in range(len(CYCLE))]
    assert Counter(mutant.stratum for mutant in drawn) == Counter(CYCLE)


def test_each_fault_of_python_parses_and_leaves_wording_and_types_alone() -> None:
    for edit in FAULTS["py"](PYTHON):
        assert ast.dump(ast.parse(edit.applied(PYTHON))) != ast.dump(ast.parse(PYTHON))
        assert "docstring with 3 numbers" in edit.applied(PYTHON)
        assert edit.operator == "guard removed" or "limit 5 is below 0" in edit.applied(PYTHON)
    kinds = (
        "< to <=, and to or, not or minus dropped, condition negated, guard removed, - to +, "
        "filter dropped, max to min, name swapped, default dropped, bound moved, "
        "number changed, true/false flipped, arguments swapped"
    )
    assert operators("py", PYTHON) >= {*kinds.split(", ")}


def test_each_fault_of_sql_parses() -> None:
    for edit in FAULTS["sql"](SQL):
        faulty = sqlglot.parse_one(edit.applied(SQL), dialect="duckdb")
        assert faulty != sqlglot.parse_one(SQL, dialect="duckdb")
    kinds = (
        "left join to inner join, join key dropped, condition dropped, distinct to nothing, "
        "is not null to is null, >= to >, sum to max, number changed, name swapped"
    )
    assert operators("sql", SQL) >= {*kinds.split(", ")}
