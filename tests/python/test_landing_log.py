"""Test which records are valid after repeated, corrected and withdrawn deliveries."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ai_manufacturing import landing
from ai_manufacturing.landing import log, registers
from ai_manufacturing.system import integrity
from tests.python.landing_project import FIRMS, REGISTER, Project, csv_text, landed, recorded

BY_YEAR = FIRMS.replace("key =", 'period = "年份"\n    key =')


def firms(*rows: str) -> str:
    """Return the text of a CSV file from rows written as "code year count"."""
    return csv_text(*((*row.split(), 1) for row in rows))


def deliver(project: Project, name: str, *rows: str) -> Path:
    return project.deliver(f"firms/{name}.csv", firms(*rows))


def validity(as_of: int | None = None) -> list[str]:
    """Return each row's code, year and count, with the first and last delivery in which it is
    valid.
    """
    rows = (
        f"{row['城市代码']} {row['年份']} {row['企业数']}: "
        f"{row['origin']['valid_from_delivery']}-{row['origin']['valid_until_delivery'] or ''}"
        for row in landing.read_rows("firms", landing.land_deliveries(as_of)).read_all().to_pylist()
    )
    return sorted(rows, key=lambda row: row.split(":"))


def current(as_of: int | None = None) -> list[str]:
    return [row.split(":")[0] for row in validity(as_of) if row.endswith("-")]


def events(project: Project) -> list[dict[str, Any]]:
    return log.read_events(project.root / "landing", "extracts")


def test_new_files_are_numbered_by_path_and_a_landing_without_change_adds_nothing(
    project: Project,
) -> None:
    deliver(project, "b", "b 2020 1")
    path = deliver(project, "a", "a 2020 1")
    os.utime(path, (1_500_000_000, 1_500_000_000))
    first = landing.land_deliveries()
    assert str(first["modified_at"][0]) == "2017-07-14 02:40:00"
    os.utime(path, (1_600_000_000, 1_600_000_000))
    assert landing.land_deliveries() == first, (
        "times are kept from the first landing, and decide nothing"
    )
    deliver(project, "0", "c 2020 1")
    named = recorded("delivery_number", "file_path")
    assert named == [(1, "firms/a.csv"), (2, "firms/b.csv"), (3, "firms/0.csv")]
    assert landing.land_deliveries(as_of=2) == first
    assert len(events(project)) == 3


def test_a_correction_replaces_a_period_even_the_rows_it_leaves_out(project: Project) -> None:
    project.declare(BY_YEAR)
    deliver(project, "a", "a 2019 1", "a 2020 2", "b 2020 3")
    landing.land_deliveries()
    deliver(project, "a_corrected", "a 2020 20")
    assert validity() == ["a 2019 1: 1-", "a 2020 2: 1-2", "a 2020 20: 2-", "b 2020 3: 1-2"]
    assert recorded("valid_until_delivery", "superseded_periods") == [
        (None, [{"period": "2020", "valid_from_delivery": 1, "valid_until_delivery": 2}]),
        (None, []),
    ]
    assert current(as_of=1) == ["a 2019 1", "a 2020 2", "b 2020 3"]


def test_without_a_period_a_repeated_key_replaces_the_whole_delivery_of_its_source(
    project: Project,
) -> None:
    project.declare(FIRMS.replace('"firms/*"', '"other/*"'), provider="another")
    project.deliver("other/a.csv", firms("a 2020 1"))
    deliver(project, "a", "a 2019 1", "a 2020 2")
    landing.land_deliveries()
    deliver(project, "b", "a 2020 20")
    assert current() == ["a 2020 1", "a 2020 20"]
    assert recorded("valid_until_delivery") == [(3,), (None,), (None,)]


def test_a_file_that_changed_or_went_takes_its_rows_with_it(project: Project) -> None:
    project.declare(BY_YEAR)
    deliver(project, "a", "a 2019 1", "a 2020 2")
    gone = deliver(project, "b", "b 2020 5")
    landing.land_deliveries()
    deliver(project, "a", "a 2020 20")
    gone.unlink()
    assert validity() == ["a 2019 1: 1-3", "a 2020 2: 1-3", "a 2020 20: 3-", "b 2020 5: 2-4"]
    assert [event["event"] for event in events(project)] == [
        "delivered",
        "delivered",
        "delivered",
        "withdrawn",
    ]
    assert current(as_of=3) == ["a 2020 20", "b 2020 5"]


def test_the_same_bytes_land_once_and_stay_as_long_as_any_copy_does(project: Project) -> None:
    rows = ("a 2020 1", "x y 1")
    first = deliver(project, "b", *rows)
    landing.land_deliveries()
    second = deliver(project, "a", *rows)
    assert recorded("file_path", "copy_of_delivery") == [("firms/b.csv", None), ("firms/a.csv", 1)]
    assert len(project.store_folders()) == 1
    assert validity() == ["a 2020 1: 1-"]
    assert landing.read_rejected_rows(landing.land_deliveries()).read_all()[
        "delivery_number"
    ].to_pylist() == [1]
    first.unlink()
    assert validity() == ["a 2020 1: 1-"]
    second.unlink()
    deliver(project, "c", "c 2020 1")
    assert validity() == ["a 2020 1: 1-5", "c 2020 1: 4-"]


@pytest.mark.parametrize(
    "moves",
    [
        {"2020": "2020_old", "2020_v2": "2020"},
        {"2020": "2020_v2", "2020_v2": "2020_v3", "2020_v3": "2020"},
    ],
    ids=["archived", "in a circle"],
)
def test_files_that_change_names_keep_their_order(project: Project, moves: dict[str, str]) -> None:
    project.declare(BY_YEAR)
    folder = project.root / "extracts/firms"
    for version, name in enumerate(moves, start=1):
        deliver(project, name, f"a 2020 {version}")
        landing.land_deliveries()
    before = validity()
    for name in moves:
        (folder / f"{name}.csv").rename(folder / f"{name}.moved")
    for name, new in moves.items():
        (folder / f"{name}.moved").rename(folder / f"{new}.csv")
    assert validity() == before
    assert current() == [f"a 2020 {len(moves)}"]


def test_a_landing_is_recorded_whole_or_not_at_all_even_with_a_swap_in_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.declare(BY_YEAR)
    for name, row in (("a", "a 2020 1"), ("b", "a 2020 10")):
        deliver(project, name, row)
        landing.land_deliveries()
    before = validity()
    deliver(project, "b", "a 2020 1")
    deliver(project, "a", "a 2020 10")
    written = log.open_chain(project.root / "landing").path
    without_the_swap = written.read_bytes()
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(
            landing.LandingError, match=r"the log of deliveries cannot be written \(No space left"
        ):
            landing.land_deliveries()
    # Simulate a full disk that stored only half of the last log line.
    whole = written.read_bytes()
    assert whole.startswith(without_the_swap)
    written.write_bytes(whole[: (len(whole) + len(without_the_swap)) // 2])
    assert len(events(project)) == 2
    assert validity() == before
    assert written.read_bytes().startswith(without_the_swap)
    # Clear the cache of verified logs, so that the log is read from disk as in a new process.
    integrity._verified_logs.clear()
    assert [event["landing"] for event in events(project)] == [1, 2, 3, 3]


def test_the_old_bytes_delivered_again_in_place_count_again(project: Project) -> None:
    for count in (1, 10, 1):
        deliver(project, "a", f"a 2020 {count}")
        landing.land_deliveries()
    assert validity() == ["a 2020 1: 1-2", "a 2020 1: 3-", "a 2020 10: 2-3"]
    assert len(project.store_folders()) == 2


def test_versions_side_by_side_follow_their_order_and_come_back_when_a_later_one_is_withdrawn(
    project: Project,
) -> None:
    project.declare(BY_YEAR)
    for number in (1, 2, 3):
        latest = deliver(project, f"{4 - number}", f"a 2020 {number}")
        landing.land_deliveries()
    assert validity() == ["a 2020 1: 1-2", "a 2020 2: 2-3", "a 2020 3: 3-"]
    latest.unlink()
    assert validity() == ["a 2020 1: 1-2", "a 2020 2: 4-", "a 2020 3: 3-4"]
    past = [current(as_of=number) for number in (1, 2, 3, 4)]
    assert past == [["a 2020 1"], ["a 2020 2"], ["a 2020 3"], ["a 2020 2"]]


def test_a_delivery_counts_again_only_while_no_later_one_is_valid(project: Project) -> None:
    """A delivery has one period of validity, the last in which no later delivery was valid."""
    project.declare(BY_YEAR)
    paths = {}
    for number in (1, 2, 3):
        paths[number] = deliver(project, f"{number}", f"a 2020 {number}")
        landing.land_deliveries()
    deliver(project, "3", "a 2020 4")
    assert validity()[:3] == ["a 2020 1: 1-2", "a 2020 2: 2-3", "a 2020 3: 3-4"], "at no time free"
    for number in (1, 2):
        paths[number].unlink()
        landing.land_deliveries()
    assert validity()[:2] == ["a 2020 1: 1-2", "a 2020 2: 2-3"], "withdrawn while it did not count"
    for number in (5, 6):
        paths[number] = deliver(project, f"{number}", f"a 2020 {number}")
        landing.land_deliveries()
    for number in (6, 5):
        paths[number].unlink()
        landing.land_deliveries()
    assert "a 2020 4: 10-" in validity(), "both later deliveries are withdrawn"
    deliver(project, "7", "a 2020 7")
    landing.land_deliveries()
    paths[3].unlink()
    assert {"a 2020 1: 1-2", "a 2020 4: 10-11"} < {*validity()}, "the last period decides"


def test_a_faulty_file_leaves_the_log_as_it_was_and_a_delivery_that_never_was_is_refused(
    project: Project,
) -> None:
    deliver(project, "a", "a 2020 1")
    landing.land_deliveries()
    for as_of in (0, 2, -1):
        refused = f"as_of_delivery {as_of}: extracts has deliveries 1 to 1"
        with pytest.raises(landing.LandingError, match=refused):
            landing.land_deliveries(as_of)
    deliver(project, "b", "b 2020 1")
    project.deliver("firms/c.csv", b"")
    with pytest.raises(landing.LandingError):
        landing.land_deliveries()
    assert len(events(project)) == 1


def test_rows_of_files_that_are_gone_keep_the_columns_they_landed_with(project: Project) -> None:
    for count in (1, 10):
        path = deliver(project, "a", f"a 2020 {count}")
        landing.land_deliveries()
    project.declare(FIRMS + '    "备注" = "text"\n')
    path.write_text(
        firms("a 2020 100").replace("产值", "产值,备注").replace(",1\n", ",1,x\n"), encoding="utf-8"
    )
    with pytest.raises(
        landing.LandingError, match="Run the build once without the variable as_of_delivery"
    ):
        landing.land_deliveries(as_of=2)
    assert [(row["企业数"], row["备注"]) for row in landed()] == [(1, None), (10, None), (100, "x")]
    assert recorded("is_of_earlier_declaration") == [(True,), (True,), (False,)]
    assert current(as_of=1) == ["a 2020 1"]


def test_a_key_that_was_of_another_type_is_still_the_same_key(project: Project) -> None:
    project.declare(BY_YEAR.replace('"年份" = "integer"', '"年份" = "text"'))
    first = deliver(project, "a", "a 2020 1")
    landing.land_deliveries()
    project.declare(BY_YEAR)
    deliver(project, "b", "a 2020 10")
    landing.land_deliveries()
    first.unlink()
    landing.land_deliveries()
    project.declare(BY_YEAR.replace('"企业数" = "integer"', '"企业数" = "number"'))
    deliver(project, "c", "a 2020 100")
    assert validity() == ["a 2020 1.0: 1-2", "a 2020 10.0: 2-4", "a 2020 100.0: 4-"]


REGISTER_RECORD = (
    "delivery_number",
    "file_path",
    "record_count",
    "valid_until_delivery",
    "copy_of_delivery",
)


def test_a_register_file_is_replaced_at_its_path_and_withdrawn_with_it(project: Project) -> None:
    project.declare(FIRMS + REGISTER)
    path = project.deliver("register/a.csv", "编号,经营范围\n1,五金\n")
    other = project.deliver("register/b.csv", "编号,经营范围\n1,五金\n2,五金\n")
    at_first = landing.land_deliveries()
    # An ID that occurs in two register files does not count as a correction.
    assert recorded(*REGISTER_RECORD) == [
        (1, "register/a.csv", 1, None, None),
        (2, "register/b.csv", 2, None, None),
    ]
    path.write_text("编号,经营范围\n1,塑料\n", encoding="utf-8")
    other.rename(other.with_name("c.csv"))
    assert recorded(*REGISTER_RECORD) == [
        (1, "register/a.csv", 1, 4, None),
        (2, "register/b.csv", 2, None, None),
        (3, "register/c.csv", 2, None, 2),
        (4, "register/a.csv", 1, None, None),
    ]
    assert landing.land_deliveries(as_of=2) == at_first


def test_a_register_that_changes_while_it_is_read_is_told_and_not_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.declare(FIRMS + REGISTER)
    path = project.deliver("register/a.csv", "编号,经营范围\n1,五金\n")
    describe = registers._describe_rows

    def overwritten_meanwhile(*arguments: Any) -> dict[str, Any]:
        path.write_text("编号,经营范围\n1,五金\n2,五金\n", encoding="utf-8")
        return describe(*arguments)

    with monkeypatch.context() as overwriting:
        overwriting.setattr(registers, "_describe_rows", overwritten_meanwhile)
        with pytest.raises(
            landing.LandingError, match=r"register/a\.csv: the file changed while it was read"
        ):
            landing.land_deliveries()
    assert project.store_folders() == []
    assert recorded("record_count") == [(2,)]


def test_files_of_some_years_are_read_again_and_the_log_stays(project: Project) -> None:
    project.declare(BY_YEAR)
    for year in (2018, 2019, 2020):
        deliver(project, f"{year}", f"110000 {year} 10")
    before = landing.land_deliveries()
    *_, (damaged,) = recorded("store_key")
    written = project.root / "landing" / damaged / "delivery.json"
    written.write_text('{"record_count": 7}', encoding="utf-8")
    assert landing.land_again(range(2019, 2021)) == ["firms/2019.csv", "firms/2020.csv"]
    assert landing.land_deliveries() == before


def test_two_landings_at_once_do_not_take_one_number(project: Project) -> None:
    for number in range(20):
        deliver(project, f"{number:02}", f"{number} 2020 1")
    landing.land_deliveries()
    present = [delivery.event for delivery in log.State(events(project)).by_place.values()]
    folder = project.root / "another"
    folder.mkdir()
    with ThreadPoolExecutor(4) as threads:
        logs = list(threads.map(lambda _: log.record_changes(folder, "s", present), range(4)))
    assert all(len(found) == 20 for found in logs)
    assert [event["number"] for event in log.read_events(folder, "s")] == list(range(1, 21))
