"""The shares of the soak, of which CI takes one where cores are few."""

from collections import Counter

import pytest

from tests.python.conftest import outside


def test_each_test_is_in_one_share(request: pytest.FixtureRequest) -> None:
    tests = request.session.items
    left = Counter(item.nodeid for number in range(1, 5) for item in outside(tests, f"{number}/4"))
    assert left == {item.nodeid: 3 for item in tests}
    assert outside(tests, "1/1") == []
