"""Hashes that repeat are found wherever their second one lies."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from ai_manufacturing.system import repeated_hashes


@pytest.mark.parametrize("batches", [1, 13, 1_000])
def test_hashes_that_repeat_within_a_batch_and_across_batches_are_found_and_no_other(
    tmp_path: Path, batches: int
) -> None:
    drawn = np.random.default_rng(1).integers(0, 2**64, 1_000, dtype=np.uint64)
    twice = {0, 2**64 - 1, *drawn[[3, 500, 999]].tolist()}
    hashes = np.concatenate([drawn, np.array([*twice, 0, 2**64 - 1, 0], np.uint64)])
    found = repeated_hashes.repeated(np.array_split(hashes, batches), tmp_path)
    assert sorted(found.tolist()) == sorted(twice)
    assert [*tmp_path.iterdir()] == []


def test_of_no_hash_none_repeats(tmp_path: Path) -> None:
    assert repeated_hashes.repeated([], tmp_path).tolist() == []


def test_sql_finds_what_grouping_finds_on_two_threads(tmp_path: Path) -> None:
    with duckdb.connect(config={"threads": 2}) as connection:
        repeated_hashes.add_function(connection, tmp_path)
        connection.execute(
            "create table ids as select hash(i - i % 1000 // 999) as id_hash from range(3000000) as t(i)"
        )
        asked = "select unnest(repeated_hashes('select id_hash from ids where id_hash <> 1')) order by all"
        grouped = "select id_hash from ids group by id_hash having count(*) > 1 order by all"
        found = connection.execute(asked).fetchall()
        assert len(found) == 3000
        assert found == connection.execute(grouped).fetchall()


def test_a_query_that_fails_is_named(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        repeated_hashes.add_function(connection, tmp_path)
        with pytest.raises(duckdb.Error, match="nowhere"):
            connection.execute("select repeated_hashes('select id_hash from nowhere')")
