"""Hashes noted in runs: those that repeat are found wherever their second one lies."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from ai_manufacturing import repeated_hashes
from ai_manufacturing.repeated_hashes import RepeatedHashes


@pytest.mark.parametrize("run", [7, 100, 10_000])
def test_hashes_that_repeat_within_a_run_and_across_runs_are_found_and_no_other(tmp_path: Path, run: int) -> None:
    drawn = np.random.default_rng(1).integers(0, 2**64, 1_000, dtype=np.uint64)
    repeated = {0, 2**64 - 1, *drawn[[3, 500, 999]].tolist()}
    hashes = np.concatenate([drawn, np.array([*repeated, 0, 2**64 - 1, 0], np.uint64)])
    noted = RepeatedHashes(tmp_path, run=run)
    for part in np.array_split(hashes, 13):
        noted.note(part)
    assert set(noted.take(len(hashes)).tolist()) == repeated
    assert [*tmp_path.iterdir()] == []


def test_nothing_is_left_for_the_next_statement(tmp_path: Path) -> None:
    noted = RepeatedHashes(tmp_path, run=2)
    noted.note(np.array([1, 1, 2], np.uint64))
    assert noted.take(3).tolist() == [1]
    noted.note(np.array([2], np.uint64))
    assert noted.take(1).tolist() == []
    assert noted.take(0).tolist() == []


def test_asking_before_all_are_noted_is_an_error(tmp_path: Path) -> None:
    noted = RepeatedHashes(tmp_path)
    noted.note(np.array([1], np.uint64))
    with pytest.raises(RuntimeError, match="1 of 2 hashes"):
        noted.take(2)


def test_sql_finds_what_grouping_finds_on_two_threads(tmp_path: Path) -> None:
    with duckdb.connect(config={"threads": 2}) as connection:
        repeated_hashes.add_functions(connection, tmp_path)
        connection.execute("create table ids as select hash(i - i % 1000 // 999) as id_hash from range(300000) as t(i)")
        asked = "select unnest(repeated_hashes(n)) from (select count(note_hash(id_hash)) as n from ids) order by all"
        grouped = "select id_hash from ids group by id_hash having count(*) > 1 order by all"
        found = connection.execute(asked).fetchall()
        assert len(found) == 300
        assert found == connection.execute(grouped).fetchall()
