"""The shares of the soak, which CI takes in turn where cores are few."""

import pytest

from tests.python.conftest import outside


def test_each_test_is_in_one_share(request: pytest.FixtureRequest) -> None:
    tests = [item for item in request.session.items if item.nodeid != request.node.nodeid]
    shares = [[item for item in tests if item not in outside(tests, f"{number}/4")] for number in range(1, 5)]
    assert sorted(item.nodeid for share in shares for item in share) == sorted(item.nodeid for item in tests)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert outside(tests, "1/1") == []
