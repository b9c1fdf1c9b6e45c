"""Validity by order of delivery: copies, corrections, withdrawals, and the past."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ai_manufacturing import landing
from ai_manufacturing.landing import log, registers, store
from tests.python.landing_project import FIRMS, REGISTER, Project, csv_text

BY_YEAR = FIRMS.replace("key =", 'period = "年份"\n    key =')
Valid = list[tuple[str, int, int, int, int | None]]


def firms(*rows: tuple[str, int, int]) -> str:
    return csv_text(*((code, year, count, 1) for code, year, count in rows))


def validity(as_of: int | None = None) -> Valid:
    """Return code, year, count, from and until of each row."""
    return sorted(
        (
            *(row["城市代码"], row["年份"], row["企业数"]),
            *(row["origin"][name] for name in ("valid_from_delivery", "valid_until_delivery")),
        )
        for row in landing.rows("firms", landing.deliveries(as_of)).read_all().to_pylist()
    )


def current(as_of: int | None = None) -> list[tuple[str, int, int]]:
    return [row[:3] for row in validity(as_of) if row[4] is None]


def recorded(*columns: str) -> list[tuple[Any, ...]]:
    rows = sorted(landing.deliveries().to_pylist(), key=lambda row: row["delivery_number"])
    return [tuple(row[name] for name in columns) for row in rows]


def events(project: Project) -> list[dict[str, Any]]:
    return log.read(project.root / "landing", "extracts")


def test_new_files_are_numbered_by_path_and_a_landing_without_change_adds_nothing(project: Project) -> None:
    project.deliver("firms/b.csv", firms(("b", 2020, 1)))
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    first = landing.deliveries()
    assert recorded("delivery_number", "file_path") == [(1, "firms/a.csv"), (2, "firms/b.csv")]
    project.deliver("firms/0.csv", firms(("c", 2020, 1)))
    assert recorded("delivery_number", "file_path")[2:] == [(3, "firms/0.csv")]
    assert landing.deliveries(as_of=2) == first
    assert len(events(project)) == 3


def test_times_are_kept_from_the_first_landing_and_decide_nothing(project: Project) -> None:
    path = project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    os.utime(path, (1_500_000_000, 1_500_000_000))
    first = landing.deliveries()
    assert str(first["modified_at"][0]) == "2017-07-14 02:40:00"
    os.utime(path, (1_600_000_000, 1_600_000_000))
    assert landing.deliveries() == first


def test_a_correction_replaces_a_period_even_the_rows_it_leaves_out(project: Project) -> None:
    project.declare(BY_YEAR)
    project.deliver("firms/a.csv", firms(("a", 2019, 1), ("a", 2020, 2), ("b", 2020, 3)))
    landing.deliveries()
    project.deliver("firms/a_corrected.csv", firms(("a", 2020, 20)))
    assert validity() == [
        ("a", 2019, 1, 1, None),
        ("a", 2020, 2, 1, 2),
        ("a", 2020, 20, 2, None),
        ("b", 2020, 3, 1, 2),
    ]
    assert recorded("valid_until_delivery", "superseded_periods") == [
        (None, [{"period": "2020", "valid_from_delivery": 1, "valid_until_delivery": 2}]),
        (None, []),
    ]
    # what was said before
    assert current(as_of=1) == [("a", 2019, 1), ("a", 2020, 2), ("b", 2020, 3)]


def test_a_file_of_another_city_does_not_replace_its_sibling(project: Project) -> None:
    project.declare(BY_YEAR)
    for province in "ab":
        project.deliver(f"firms/{province}.csv", firms((province, 2020, 1)))
        landing.deliveries()
    assert current() == [("a", 2020, 1), ("b", 2020, 1)]


def test_without_a_period_a_repeated_key_replaces_the_whole_delivery(project: Project) -> None:
    project.deliver("firms/a.csv", firms(("a", 2019, 1), ("a", 2020, 2)))
    landing.deliveries()
    project.deliver("firms/b.csv", firms(("a", 2020, 20)))
    assert current() == [("a", 2020, 20)]
    assert recorded("valid_until_delivery") == [(2,), (None,)]


def test_another_source_replaces_nothing(project: Project) -> None:
    project.declare(FIRMS.replace('"firms/*"', '"other/*"'), provider="another")
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    project.deliver("other/a.csv", firms(("a", 2020, 1)))
    assert len(current()) == 2


def test_a_file_that_changed_or_went_takes_its_rows_with_it(project: Project) -> None:
    project.declare(BY_YEAR)
    project.deliver("firms/a.csv", firms(("a", 2019, 1), ("a", 2020, 2)))
    gone = project.deliver("firms/b.csv", firms(("b", 2020, 5)))
    landing.deliveries()
    project.deliver("firms/a.csv", firms(("a", 2020, 20)))
    gone.unlink()
    assert validity() == [
        ("a", 2019, 1, 1, 3),
        ("a", 2020, 2, 1, 3),
        ("a", 2020, 20, 3, None),
        ("b", 2020, 5, 2, 4),
    ]
    assert [event["event"] for event in events(project)] == ["delivered", "delivered", "delivered", "withdrawn"]
    assert current(as_of=3) == [("a", 2020, 20), ("b", 2020, 5)]


def test_the_same_bytes_land_once_and_stay_as_long_as_any_copy_does(project: Project) -> None:
    text = firms(("a", 2020, 1)) + "x,y,1,1\n"
    first = project.deliver("firms/b.csv", text)
    landing.deliveries()
    project.deliver("firms/a.csv", text)
    assert recorded("file_path", "copy_of_delivery") == [("firms/b.csv", None), ("firms/a.csv", 1)]
    assert len(project.store_folders()) == 1
    assert validity() == [("a", 2020, 1, 1, None)]
    assert landing.rejected_rows(landing.deliveries()).read_all()["delivery_number"].to_pylist() == [1]
    first.unlink()
    assert validity() == [("a", 2020, 1, 1, None)]
    (project.root / "extracts/firms/a.csv").unlink()
    project.deliver("firms/c.csv", firms(("c", 2020, 1)))
    assert validity() == [("a", 2020, 1, 1, 5), ("c", 2020, 1, 4, None)]


def test_an_old_file_that_moves_does_not_replace_its_correction(project: Project) -> None:
    old, new = firms(("a", 2020, 1)), firms(("a", 2020, 10))
    project.deliver("firms/latest.csv", old)
    project.deliver("firms/previous.csv", firms(("z", 2020, 1)))
    landing.deliveries()
    project.deliver("firms/latest.csv", new)
    project.deliver("firms/previous.csv", old)
    assert current() == [("a", 2020, 10)]


@pytest.mark.parametrize(
    "moves",
    [
        {"2020.csv": "2020_old.csv", "2020_v2.csv": "2020.csv"},
        {"2020.csv": "2020_v2.csv", "2020_v2.csv": "2020.csv"},
        {"2020.csv": "2020_v2.csv", "2020_v2.csv": "2020_v3.csv", "2020_v3.csv": "2020.csv"},
    ],
    ids=["archived", "swapped", "in a circle"],
)
def test_files_that_change_names_keep_their_order(project: Project, moves: dict[str, str]) -> None:
    project.declare(BY_YEAR)
    contents = {"2020.csv": 1, "2020_v2.csv": 10} | ({"2020_v3.csv": 100} if len(moves) == 3 else {})
    for name, count in contents.items():
        project.deliver(f"firms/{name}", firms(("a", 2020, count)))
        landing.deliveries()
    before = validity()
    texts = {name: (project.root / "extracts/firms" / name).read_text(encoding="utf-8") for name in contents}
    for name in contents:
        (project.root / "extracts/firms" / name).unlink()
    for name, text in texts.items():
        project.deliver(f"firms/{moves[name]}", text)
    assert validity() == before
    assert current() == [("a", 2020, max(contents.values()))]


def test_a_landing_is_recorded_whole_or_not_at_all_even_with_a_swap_in_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.declare(BY_YEAR)
    old = project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    landing.deliveries()
    new = project.deliver("firms/b.csv", firms(("a", 2020, 10)))
    before = validity()
    texts = old.read_text(encoding="utf-8"), new.read_text(encoding="utf-8")
    new.write_text(texts[0], encoding="utf-8")
    old.write_text(texts[1], encoding="utf-8")
    written = log.chain(project.root / "landing").path
    without_the_swap = written.read_bytes()
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(landing.LandingError, match=r"the log of deliveries cannot be written \(No space left"):
            landing.deliveries()
    # what the disk took of the line
    whole = written.read_bytes()
    assert whole.startswith(without_the_swap)
    written.write_bytes(whole[: (len(whole) + len(without_the_swap)) // 2])
    assert len(events(project)) == 2
    assert validity() == before
    assert written.read_bytes().startswith(without_the_swap)
    assert [event["landing"] for event in events(project)] == [1, 2, 3, 3]


def test_the_old_bytes_delivered_again_in_place_count_again(project: Project) -> None:
    for count in (1, 10, 1):
        project.deliver("firms/a.csv", firms(("a", 2020, count)))
        landing.deliveries()
    assert validity() == [("a", 2020, 1, 1, 2), ("a", 2020, 1, 3, None), ("a", 2020, 10, 2, 3)]
    assert len(project.store_folders()) == 2


def test_rows_come_back_when_their_correction_is_withdrawn(project: Project) -> None:
    project.declare(BY_YEAR)
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    landing.deliveries()
    wrong = project.deliver("firms/b.csv", firms(("a", 2020, 10)))
    landing.deliveries()
    wrong.unlink()
    assert validity() == [("a", 2020, 1, 3, None), ("a", 2020, 10, 2, 3)]
    assert [current(as_of=number) for number in (1, 2, 3)] == [[("a", 2020, 1)], [("a", 2020, 10)], [("a", 2020, 1)]]


def test_three_versions_side_by_side_follow_their_order(project: Project) -> None:
    project.declare(BY_YEAR)
    for number in (1, 2, 3):
        project.deliver(f"firms/{4 - number}.csv", firms(("a", 2020, number)))
        landing.deliveries()
    assert validity() == [("a", 2020, 1, 1, 2), ("a", 2020, 2, 2, 3), ("a", 2020, 3, 3, None)]


def test_a_faulty_file_leaves_the_log_as_it_was(project: Project) -> None:
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    landing.deliveries()
    project.deliver("firms/b.csv", firms(("b", 2020, 1)))
    project.deliver("firms/c.csv", b"")
    with pytest.raises(landing.LandingError):
        landing.deliveries()
    assert len(events(project)) == 1


@pytest.mark.parametrize("as_of", [0, 2, -1])
def test_a_delivery_that_never_was_is_refused(project: Project, as_of: int) -> None:
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    landing.deliveries()
    with pytest.raises(landing.LandingError, match=f"as_of_delivery {as_of}: extracts has the deliveries 1 to 1"):
        landing.deliveries(as_of)


def test_rows_of_files_that_are_gone_keep_the_columns_they_landed_with(project: Project) -> None:
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    landing.deliveries()
    project.deliver("firms/a.csv", firms(("a", 2020, 10)))
    landing.deliveries()
    project.declare(FIRMS + '    "备注" = "text"\n')
    project.deliver("firms/a.csv", firms(("a", 2020, 100)).replace("产值", "产值,备注").replace(",1\n", ",1,x\n"))
    with pytest.raises(landing.LandingError, match="Run the build once without as_of_delivery"):
        landing.deliveries(as_of=2)
    rows = landing.rows("firms", landing.deliveries()).read_all().to_pylist()
    assert [(row["企业数"], row["备注"]) for row in rows] == [(1, None), (10, None), (100, "x")]
    assert recorded("is_of_earlier_declaration") == [(True,), (True,), (False,)]
    assert current(as_of=1) == [("a", 2020, 1)]


def test_a_key_that_was_of_another_type_is_still_the_same_key(project: Project) -> None:
    project.declare(BY_YEAR.replace('"年份" = "integer"', '"年份" = "text"'))
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    landing.deliveries()
    project.declare(BY_YEAR)
    project.deliver("firms/b.csv", firms(("a", 2020, 10)))
    landing.deliveries()
    (project.root / "extracts/firms/a.csv").unlink()
    landing.deliveries()
    project.declare(BY_YEAR.replace('"企业数" = "integer"', '"企业数" = "number"'))
    project.deliver("firms/c.csv", firms(("a", 2020, 100)))
    assert [row[2:] for row in validity()] == [(1, 1, 2), (10, 2, 4), (100, 4, None)]


def test_a_register_file_is_replaced_at_its_path_and_withdrawn_with_it(project: Project) -> None:
    project.declare(FIRMS + REGISTER)
    path = project.deliver("register/a.csv", "编号,经营范围\n1,五金\n")
    other = project.deliver("register/b.csv", "编号,经营范围\n1,五金\n2,五金\n")
    landing.deliveries()
    columns = ("delivery_number", "file_path", "record_count", "valid_until_delivery", "copy_of_delivery")
    # the same id in two files is no correction
    assert recorded(*columns) == [(1, "register/a.csv", 1, None, None), (2, "register/b.csv", 2, None, None)]
    at_first = landing.deliveries()
    path.write_text("编号,经营范围\n1,塑料\n", encoding="utf-8")
    other.rename(other.with_name("c.csv"))
    assert recorded(*columns) == [
        (1, "register/a.csv", 1, 4, None),
        (2, "register/b.csv", 2, None, None),
        (3, "register/c.csv", 2, None, 2),
        (4, "register/a.csv", 1, None, None),
    ]
    assert landing.deliveries(as_of=2) == at_first


def test_a_register_that_changes_while_it_is_read_is_told_and_not_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.declare(FIRMS + REGISTER)
    path = project.deliver("register/a.csv", "编号,经营范围\n1,五金\n")
    describe = registers._describe

    def overwritten_meanwhile(*arguments: Any) -> dict[str, Any]:
        path.write_text("编号,经营范围\n1,五金\n2,五金\n", encoding="utf-8")
        return describe(*arguments)

    with monkeypatch.context() as overwriting:
        overwriting.setattr(registers, "_describe", overwritten_meanwhile)
        with pytest.raises(landing.LandingError, match=r"register/a\.csv: the file changed while it was read"):
            landing.deliveries()
    assert project.store_folders() == []
    assert recorded("record_count") == [(2,)]


def test_what_a_power_cut_left_half_written_is_named_with_the_way_out(project: Project) -> None:
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    landing.deliveries()
    (folder,) = project.store_folders()
    (folder / "delivery.json").write_text("", encoding="utf-8")
    with pytest.raises(landing.LandingError, match=r"delivery\.json: its SHA-256 is .* delete this folder"):
        landing.deliveries()
    for path in sorted(folder.iterdir()):
        path.unlink()
    folder.rmdir()
    assert validity() == [("a", 2020, 1, 1, None)]
    log.chain(project.root / "landing").path.write_text("", encoding="utf-8")
    with pytest.raises(
        landing.LandingError, match=r"deliveries\.jsonl: was cut: it has 0 lines, and .* counts 3\. Rest"
    ):
        landing.deliveries()


def test_files_of_some_years_are_read_again_and_the_log_stays(project: Project) -> None:
    project.declare(BY_YEAR)
    for year in (2018, 2019, 2020):
        project.deliver(f"firms/{year}.csv", firms(("110000", year, 10)))
    before = validity()
    keys = dict(recorded("file_path", "store_key"))
    folders = {path: project.root / "landing" / key for path, key in keys.items()}
    for path in ("firms/2019.csv", "firms/2020.csv"):
        (folders[path] / "delivery.json").write_text('{"record_count": 7}', encoding="utf-8")
    of_2018 = folders["firms/2018.csv"].stat().st_ino
    assert landing.land_again(range(2019, 2021)) == ["firms/2019.csv", "firms/2020.csv"]
    assert folders["firms/2018.csv"].stat().st_ino == of_2018
    assert validity() == before
    assert recorded("delivery_number", "record_count") == [(1, 1), (2, 1), (3, 1)]


def test_two_landings_at_once_do_not_take_one_number(project: Project) -> None:
    for number in range(20):
        project.deliver(f"firms/{number:02}.csv", firms((str(number), 2020, 1)))
    landing.deliveries()
    present = [delivery.event for delivery in log.State(events(project)).at_place.values()]
    folder = project.root / "another"
    folder.mkdir()
    with ThreadPoolExecutor(4) as threads:
        logs = list(threads.map(lambda _: log.record(folder, "s", present), range(4)))
    assert all(len(found) == 20 for found in logs)
    assert [event["number"] for event in log.read(folder, "s")] == list(range(1, 21))
    assert len({event["file_path"] for event in log.read(folder, "s")}) == 20


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "秋季 2024"])
def test_the_name_of_a_set_cannot_lead_out_of_the_store(project: Project, name: str) -> None:
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    project.deliver("extract_set.yml", f"name: '{name}'\n")
    landing.deliveries()
    assert log.sets(project.root / "landing") == [name]
    assert {path.name for path in (project.root / "landing/log").iterdir()} == {
        "deliveries.jsonl",
        "deliveries.jsonl.head",
    }
    assert {path.name for path in project.root.iterdir()} == {"models", "python_models", "extracts", "landing"}


def test_only_new_files_are_read_even_for_a_new_warehouse(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.deliver("firms/a.csv", firms(("a", 2020, 1)))
    landing.deliveries()
    written: list[Path] = []
    write = store.write
    monkeypatch.setattr(store, "write", lambda *arguments: (written.append(arguments[1]), write(*arguments)))
    project.deliver("firms/b.csv", firms(("b", 2020, 1)))
    landing.deliveries()
    assert len(written) == 1
