"""Test which long tests are selected after a change, and the ledger of their last passing runs."""

import re

from tests import long_tests
from tests.long_tests import Passed
from tests.python import conftest

PACKAGE = "tests/python/test_replication_package.py"


def reaches() -> dict[str, dict[str, int]]:
    """Return the files on which each long test depends, with the number of import steps."""
    return {test: long_tests.reach(test.partition("::")[0]) for test in long_tests.ledger()}


def after(changed: str) -> list[str]:
    """Return the test files that depend on a changed file, in the order in which CI runs them."""
    all_of_them = reaches()
    order = long_tests.in_order(
        all_of_them, long_tests.ledger(), "", changed=lambda _: frozenset({changed})
    )
    return [test.partition("::")[0] for test in order if changed in all_of_them[test]]


def test_each_long_test_has_a_line_in_the_ledger() -> None:
    assert sorted(conftest.COLLECTED - long_tests.ledger().keys()) == []


def test_each_line_of_the_ledger_is_a_test() -> None:
    gone = []
    for test in long_tests.ledger():
        file, _, function = test.partition("::")
        path = long_tests.PROJECT / file
        if not path.exists() or not re.search(rf"^def {function}\(", path.read_text("utf-8"), re.M):
            gone.append(test)
    assert gone == []


def test_a_change_of_the_package_runs_its_tests_first() -> None:
    first = after("src/ai_manufacturing/replication/contents.py")
    assert first[0] == PACKAGE
    assert first.index(PACKAGE) < first.index("tests/python/test_sets.py")


def test_a_change_of_a_report_runs_the_tests_that_read_it() -> None:
    files = after("models/reports/rpt_findings.sql")
    assert {"tests/python/test_sets.py", "tests/python/test_another_study.py"} <= {*files[:20]}


def test_a_change_of_a_model_runs_the_tests_of_what_is_made_from_it() -> None:
    files = after("models/specifications/int_specification_city_years.sql")
    assert "tests/python/test_estimates.py" in files


def test_a_door_sees_every_seed_in_two_steps() -> None:
    seed = "seeds/cities.csv"
    door = long_tests.reach("tests/python/test_workers.py", is_door=True)
    assert door[seed] == 2
    assert long_tests.reach("tests/python/test_workers.py").get(seed, 3) > 2


def test_without_a_change_the_oldest_come_first_and_the_commit_decides_among_equals() -> None:
    dates = {"a": "2026-12-02T00:00:00Z", "b": "2026-12-01T00:00:00Z", "c": "", "d": ""}
    passed = {test: Passed("0", date, 50) for test, date in dates.items()}
    nothing: dict[str, dict[str, int]] = {test: {} for test in dates}
    orders = {tuple(long_tests.in_order(nothing, passed, commit)) for commit in "0123456789"}
    assert orders == {("c", "d", "b", "a"), ("d", "c", "b", "a")}
    assert long_tests.that_fit([*dates], passed, 100) == ["a", "b"]
    assert long_tests.that_fit([*dates], passed, 10) == ["a"]


def test_a_change_counts_if_it_is_newer_than_the_last_pass_of_the_test_that_sees_it() -> None:
    passed = {"a": Passed("1", "2026-12-01"), "b": Passed("2", "2026-12-02")}
    seen = {test: {"models/x.sql": 1} for test in passed}
    change = frozenset({"models/x.sql"})
    for commit, first in (("1", "a"), ("2", "b")):
        since = {"1": frozenset[str](), "2": frozenset[str](), commit: change}
        assert long_tests.in_order(seen, passed, "", since.__getitem__)[0] == first


def test_every_file_has_changed_since_a_commit_that_is_unknown() -> None:
    every = {*long_tests.git("ls-files").splitlines()}
    assert every <= long_tests.changed_since("") == long_tests.changed_since("0" * 40)
    assert len(long_tests.changed_since("HEAD")) < len(every)


def test_a_test_is_overdue_a_week_of_commits_after_it_passed() -> None:
    passed = {
        "old": Passed("0", "2026-11-24T00:00:00Z"),
        "new": Passed("0", "2026-12-01T00:00:00Z"),
    }
    assert long_tests.overdue(passed | {"never": Passed()}, "2026-12-02T00:00:00Z") == ["old"]
    assert long_tests.overdue(passed, "") == []
