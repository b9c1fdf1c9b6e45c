"""The curves of growth: which law a curve follows, what breaks first, and that a section comes out
whole.
"""

import sys
from pathlib import Path

import pytest

from benchmarks import growth, measuring

SIZES = [10, 100, 1_000, 10_000]


def test_the_exponent_of_a_known_power_is_recovered() -> None:
    law = growth.fit(SIZES, [0.02 * size**1.5 for size in SIZES])
    assert law.kind == "power"
    assert law.exponent == pytest.approx(1.5)
    assert law.at(1e6) == pytest.approx(0.02 * 1e9)
    assert growth.size_at(law, 3_600) == pytest.approx((3_600 / 0.02) ** (1 / 1.5))


def test_a_fixed_part_and_a_slope_are_told_from_a_power() -> None:
    law = growth.fit(SIZES, [8 + 0.7 * size for size in SIZES])
    assert (law.kind, law.fixed, law.slope) == ("line", pytest.approx(8), pytest.approx(0.7))
    assert law.words("s") == "8 s + 7 s per 10"
    assert law.at(1e6) == pytest.approx(700_008)


def test_what_rises_ever_faster_is_neither_and_goes_on_as_it_went_last() -> None:
    quantities = [8 + 1e-4 * size**2 for size in SIZES]
    law = growth.fit(SIZES, quantities)
    assert law.kind == "neither"
    assert law.last == pytest.approx(2, abs=0.05)
    assert law.at(1e5) == pytest.approx(1e6, rel=0.1)


def test_two_points_or_a_curve_that_does_not_grow_give_no_power() -> None:
    assert growth.fit([10, 100], [5.0, 6.0]).kind == "line"
    flat = growth.fit(SIZES, [5.0] * 4)
    assert flat.at(1e9) == pytest.approx(5)
    assert growth.size_at(flat, 6) is None
    falling = growth.fit([1, 10, 100], [58.0, 57.0, 40.0])
    assert falling.kind != "power"
    assert falling.at(1e9) == 40
    with pytest.raises(ValueError, match="two points above zero"):
        growth.fit([10, 100], [5.0, 0.0])


def test_the_memory_of_a_run_is_its_own_and_not_that_of_the_process_that_starts_it() -> None:
    kept = b"x" * 300_000_000
    found = measuring.used([sys.executable, "-c", "print('done')"])
    assert len(kept) > found.peak * 2
    assert (found.exit_code, found.output) == (0, "done\n")


def axis(script: str) -> growth.Axis:
    """A real process for each size, which it finds in SIZE."""
    return growth.Axis(
        lambda scratch, size: {**scratch.environment, "SIZE": str(size)},
        (sys.executable, "-c", f"import os\nsize = int(os.environ['SIZE'])\n{script}"),
        "things",
        (1, 2, 3),
        (1, 2),
        {},
    )


def test_the_first_size_that_breaks_ends_a_curve_and_says_why() -> None:
    found = growth.points(axis("if size > 1: raise OSError('no room')"), quick=False)
    assert [(one.size, one.broke, one.is_end) for one in found] == [
        (1, "", False),
        (2, "exit code 1: OSError: no room", True),
    ]
    section = measuring.Section("title", "how")
    rows, laws, _ = growth.add(section, axis(""), found)
    assert [row.cells[0] for row in section.rows] == ["1 things", "1 things: memory"]
    assert rows[-1][-1] == "exit code 1: OSError: no room"
    assert not laws


def test_a_run_that_passes_its_time_is_killed_and_one_that_passes_its_memory_is_told() -> None:
    late = growth.point(axis("import time\ntime.sleep(60)"), 1, seconds=0.2)
    assert (late.broke, late.is_end) == ("killed after 200 ms", True)
    large = growth.point(axis("kept = b'x' * (size * 100_000_000)"), 3, memory=2e8)
    assert large.broke.endswith("of memory, more than 200 MB")
    assert not large.is_end
    assert large.memory > 3e8


@pytest.mark.soak
def test_a_copy_of_the_project_has_longer_seeds_and_the_same_code(tmp_path: Path) -> None:
    scratch = measuring.Scratch(tmp_path, tmp_path / "extracts")
    environment = growth.cities(scratch, 370)
    project = Path(environment["DBT_PROJECT_DIR"])
    listed = (project / "seeds/cities.csv").read_text(encoding="utf-8").splitlines()
    assert len(listed) == 371
    assert len({line.split(",")[0] for line in listed}) == 371
    assert (project / "models").resolve() == measuring.PROJECT / "models"
    survival = (tmp_path / "extracts/firm_survival").iterdir()
    assert "\n900003," in min(survival).read_text(encoding="utf-8")


@pytest.mark.soak
def test_the_section_has_a_row_for_each_run_and_a_law_for_each_quantity() -> None:
    section = growth.measure(1, quick=True, chosen=("files",))
    assert [row.work for row in section.rows] == [
        "20 files of 300 rows, landed",
        "20 files of 300 rows, landed: memory",
    ]
    assert [row.unit for row in section.rows] == ["s", "B"]
    tables = [part.splitlines() for part in section.details.split("\n\n") if part.startswith("|")]
    assert [len(table) - 2 for table in tables] == [2, 4, 1]
    assert len({line.count("|") for line in tables[0]}) == 1
    assert "ulimit" not in section.text
