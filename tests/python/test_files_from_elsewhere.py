"""Tests for trusted database files, and for the processor limit on untrusted files."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager

from ai_manufacturing.disclosure import terms
from ai_manufacturing.system import dbt_plugin, duckdb_client, settings, trusted_files

ENDLESS = "select count(*) from range(1000000000000) as t(x) where hash(x) = 1"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without trusted files: the state folder is empty, and the settings name other files."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("WAREHOUSE_PATH", "RELEASE_DIR", "LANDING_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "named" / name.lower()))
    monkeypatch.delenv("RELEASE_PATH", raising=False)


@pytest.fixture
def landed(tmp_path: Path) -> Path:
    """Return a landing folder to which no environment variable points."""
    (tmp_path / "landing").mkdir()
    return tmp_path / "landing"


@pytest.fixture
def warehouse(tmp_path: Path, landed: Path) -> Path:
    """Return a warehouse with a restricted provider and a view that reads a landed file."""
    path = tmp_path / "second.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"""
            copy (select 7 as value) to '{landed}/rows.parquet';
            create schema marts;
            create view marts.delivered as from read_parquet('{landed}/rows.parquet');
            create table marts.fct_deliveries as select
                'vendor' as provider, 'commercial' as provenance_class, 'all rights' as licence,
                'vendor' as publisher, null as republished_by, 'a' as citation_en,
                'a' as citation_zh, false as may_be_passed_on;
            create table marts.dim_series as select 'gdp' as series, 'vendor' as provider;
            create table marts.dim_variable as select 'gdp' as variable, 'gdp' as series;
        """)
    return path


def delivered(path: Path) -> list[tuple[int]]:
    with duckdb_client.open_read_only(path) as connection:
        return connection.execute("from marts.delivered").fetchall()


def test_a_second_warehouse_of_the_user_shows_the_files_of_its_landing_store(
    warehouse: Path, landed: Path, tmp_path: Path
) -> None:
    with pytest.raises(duckdb.PermissionException, match="file system operations are disabled"):
        delivered(warehouse)
    trusted_files.record_file(warehouse, landed)
    assert delivered(warehouse) == [(7,)]
    copy = Path(shutil.copy(warehouse, tmp_path / "before.duckdb"))
    assert delivered(copy) == [(7,)]


def test_a_log_beside_an_own_file_is_refused_where_no_setting_names_the_file(
    warehouse: Path, landed: Path
) -> None:
    """A write-ahead log next to a trusted file is refused, because its content is not recorded.

    DuckDB would replay the log when it opens the file.
    """
    trusted_files.record_file(warehouse, landed)
    warehouse.with_name(f"{warehouse.name}.wal").write_bytes(b"a log")
    with pytest.raises(duckdb_client.RefusedError, match="contains changes that are not in"):
        delivered(warehouse)


def test_a_file_is_own_by_its_content_or_where_a_setting_names_it(
    tmp_path: Path, landed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own"
    path.write_bytes(b"content")
    # Owning a file does not make it trusted, because users also own their downloads.
    assert not trusted_files.is_trusted(path)
    trusted_files.record_file(path, landed)
    assert (trusted_files.is_trusted(path), trusted_files.find_landing_store(path)) == (
        True,
        landed,
    )
    path.write_bytes(b"another")
    assert (trusted_files.is_trusted(path), trusted_files.find_landing_store(path)) == (False, None)
    monkeypatch.setenv("WAREHOUSE_PATH", str(path))
    assert trusted_files.is_trusted(path)
    assert trusted_files.find_landing_store(path) == settings.landing_dir()
    past = settings.release_dir() / "past" / "000001.duckdb"
    assert (trusted_files.is_trusted(past), trusted_files.find_landing_store(past)) == (True, None)
    assert not trusted_files.is_trusted(settings.release_dir() / "downloaded.duckdb")


def test_a_user_without_a_folder_is_warned_and_trusts_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own"
    path.write_bytes(b"content")
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
    with pytest.warns(UserWarning, match=r"own could not be recorded as your own file"):
        trusted_files.record_file(path)
    assert not trusted_files.is_trusted(path)


def test_dbt_records_a_warehouse_after_it_has_closed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "built.duckdb"
    connection = duckdb.connect(str(path))
    connection.execute("create table t as select 1 as a")
    assert path.with_name("built.duckdb.wal").exists()
    monkeypatch.setattr(DuckDBConnectionManager, "_ENV", SimpleNamespace(close=connection.close))
    dbt_plugin._record_warehouse(path)
    assert not path.with_name("built.duckdb.wal").exists()
    assert trusted_files.find_landing_store(path) == settings.landing_dir()


@pytest.fixture
def elsewhere(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an untrusted file, and limit queries on it to 0.1 seconds of processor time."""
    monkeypatch.setenv("WAREHOUSE_PROCESSOR_LIMIT", "0.1")
    return warehouse


def waiting(connection: duckdb.DuckDBPyConnection) -> list[tuple[int]]:
    """Run a query that sleeps for twice the processor limit in each of five chunks."""

    def wait(value: int) -> int:
        if value % 2048 == 0:
            time.sleep(0.2)
        return value

    connection.create_function("wait", wait, ["BIGINT"], "BIGINT")
    return connection.execute("select count(wait(x)) from range(10240) as t(x)").fetchall()


def test_a_statement_that_waits_is_not_interrupted(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that waits without using the processor is not interrupted.

    On a loaded machine, statements have to wait for the processor.
    """
    monkeypatch.setattr(time, "process_time", lambda: 7.0)
    with duckdb_client.open_read_only(elsewhere) as connection:
        assert waiting(connection) == [(10240,)]


def test_a_statement_that_has_used_the_processor_is_interrupted(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [7.0]
    monkeypatch.setattr(time, "process_time", lambda: clock[-1])
    with duckdb_client.open_read_only(elsewhere) as connection:
        clock.append(7.2)
        with pytest.raises(duckdb.InterruptException):
            connection.execute(ENDLESS)


def test_an_own_file_may_use_the_processor_as_long_as_it_needs(
    elsewhere: Path, landed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted_files.record_file(elsewhere, landed)
    clock = [7.0]
    monkeypatch.setattr(time, "process_time", lambda: clock[-1])
    with duckdb_client.open_read_only(elsewhere) as connection:
        clock.append(700.0)
        assert waiting(connection) == [(10240,)]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "five"])
def test_a_limit_that_is_none_is_refused(
    text: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PROCESSOR_LIMIT", text)
    with pytest.raises(duckdb_client.RefusedError, match=f"PROCESSOR_LIMIT is '{text}'"):
        duckdb_client.open_read_only(warehouse)


def copied(warehouse: Path) -> None:
    terms.write_public_copy(warehouse, warehouse.with_name("copy.duckdb"))


def moved(warehouse: Path, landed: Path) -> None:
    trusted_files.record_file(warehouse, landed)
    landed.rename(landed.with_name("moved"))


def out_of_reach(warehouse: Path, landed: Path) -> None:
    assert landed.is_dir()


@pytest.mark.parametrize("happened", [moved, out_of_reach])
def test_a_copy_names_the_view_whose_files_cannot_be_read(
    happened: Callable[[Path, Path], None], warehouse: Path, landed: Path
) -> None:
    happened(warehouse, landed)
    with pytest.raises(duckdb_client.RefusedError) as raised:
        copied(warehouse)
    message = str(raised.value)
    assert message.startswith(f"{warehouse}: the view marts.delivered reads files that cannot be")
    assert f"{landed}{os.sep}rows.parquet" in message
    assert message.endswith("or build the warehouse again.")
    assert "\n" not in message


def test_a_view_of_a_file_from_elsewhere_has_a_limit_of_rows(
    warehouse: Path, landed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_client, "LARGEST_TABLE", 1000)
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            "create or replace view marts.delivered as select x, x as y from range(501) as t(x)"
        )
    with (
        duckdb_client.open_attached(landed, {"built": warehouse}) as connection,
        pytest.raises(duckdb_client.RefusedError, match=r"marts\.delivered has more than 1,000 "),
    ):
        duckdb_client.require_views(connection, "built", warehouse, ["marts.delivered"])
    trusted_files.record_file(warehouse)
    with duckdb_client.open_attached(landed, {"built": warehouse}) as connection:
        duckdb_client.require_views(connection, "built", warehouse, ["marts.delivered"])
