"""The shares of the soak, of which CI takes one where cores are few."""

from collections import Counter

import pytest

from tests.python.conftest import outside


def test_each_test_is_in_one_share(request: pytest.FixtureRequest) -> None:
    tests = request.session.items
    left = Counter(item.nodeid for number in range(1, 5) for item in outside(tests, f"{number}/4"))
    assert left == {item.nodeid: 3 for item in tests}
    assert outside(tests, "1/1") == []


@pytest.mark.parametrize("share", ["5/4", "0/4", "0/0", "half", ""])
def test_a_share_that_is_none_is_refused(share: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(
        pytest.UsageError, match=f"--share is {share}. Write 2/4 for the second of four parts."
    ):
        outside(request.session.items, share)
