"""Test that each fault in the list of planted faults still applies to the code."""

from tests.planted_faults import PROJECT, faults


def test_each_planted_fault_changes_one_place_of_its_file() -> None:
    stale = [
        (fault.path, fault.right)
        for fault in faults()
        if (PROJECT / fault.path).read_text(encoding="utf-8").count(fault.right) != 1
    ]
    assert stale == []
