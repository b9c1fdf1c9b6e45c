"""What `dbt build` built, a refresh publishes without building it again, unless there is any doubt."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ai_manufacturing import landing
from ai_manufacturing.refresh import build, cycle, whole_build
from ai_manufacturing.releases import fingerprint, last_build
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.manifest import check
from ai_manufacturing.releases.store import Store
from tests.planted_faults import copy_of_the_project
from tests.python import dbt_process
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import command


def test_a_refresh_after_a_build_runs_the_joint_test_of_the_curve_and_no_other_model(
    store: Store, sample_build: Build
) -> None:
    run = command(store, sample_build, "refresh", CURVE_PERMUTATIONS="2")
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line["event"] for line in lines] == [
        "started",
        "delivery",
        "build",
        "landed",
        "built",
        "changes",
        "published",
    ]
    ((started_at,),) = sample_build.rows("select started_at from main.build_record")
    assert lines[2]["message"] == f"publishes the build of {started_at} in {sample_build.warehouse}"

    results = json.loads((store.folder / "last_build/run_results.json").read_text(encoding="utf-8"))["results"]
    ran = {result["unique_id"] for result in results}
    built = {name.split(".")[2] for name in ran if name.startswith(("model.", "seed."))}
    assert built == {"est_specification_curve_joint", "data_dictionary"}, "the test, and what describes its columns"
    tests = [name for name in ran if name.startswith("test.")]
    assert 0 < len(tests) < 12
    assert all("curve_joint" in name or "data_dictionary" in name for name in tests)

    manifest = check(store.published)
    with duckdb.connect(str(store.published), read_only=True) as connection:
        joint = "select max(draws), count(case when status = 'estimated' then 1 end) > 0 from estimates."
        assert connection.execute(joint + "est_specification_curve_joint").fetchall() == [(2, True)]
        assert not connection.execute("from duckdb_tables() where table_name = 'build_record'").fetchall()
        headline = "select estimate, std_error from reports.rpt_coefficients where specification_id = 'table_1_col_1' "
        headline += "order by term_order"
        assert connection.execute(headline).fetchall() == sample_build.rows(headline)
    rows = {name: sample_build.value(f"select count(*) from {name}") for name in manifest.row_counts}
    assert {name for name in rows if rows[name] != manifest.row_counts[name]} == {
        "estimates.est_specification_curve_joint"
    }
    assert command(store, sample_build, "refresh", CURVE_PERMUTATIONS="2").returncode == 3
    # the warehouse is as it was, for the next one
    assert sample_build.rows("select started_at from main.build_record") == [(started_at,)]


def test_nothing_but_the_joint_test_reads_the_number_of_permutations() -> None:
    reading = "env_var('CURVE_PERMUTATIONS'"
    files = [path for name in ("models", "python_models", "macros", "seeds") for path in (PROJECT / name).rglob("*")]
    found = [path for path in files if path.is_file() and reading in path.read_text(encoding="utf-8", errors="replace")]
    (path,) = found
    before, _ = path.read_text(encoding="utf-8").split(reading)
    model = re.findall(r"^  - name: (\w+)$", before, re.MULTILINE)[-1]
    assert f"{model}+" == build.JOINT_TEST


# ---------------------------------------------------------------- any doubt


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_project(tmp_path_factory.mktemp("clone") / "project")


@pytest.fixture
def recorded(project: Path, sample_build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Return a whole build by the code of a copy, from deliveries of its own, with their variables set."""
    copied = replace(
        sample_build,
        project=project,
        extracts=Path(shutil.copytree(sample_build.extracts, tmp_path / "extracts")),
        landing=Path(shutil.copytree(sample_build.scratch / "landing", tmp_path / "landing")),
        warehouse=Path(shutil.copy(sample_build.warehouse, tmp_path / "warehouse.duckdb")),
    )
    for name, value in copied.environment.items():
        monkeypatch.setenv(name, value)
    kept = {path: path.read_bytes() for path in (project / "seeds/industries.csv", project / "macros/stars.sql")}
    with duckdb.connect(str(copied.warehouse)) as connection:
        connection.execute("update main.build_record set inputs = ?", [whole_build.inputs()])
    yield copied
    for path, content in kept.items():
        path.write_bytes(content)


def taken(build: Build, work: Path) -> whole_build.Taken:
    work.mkdir()
    return whole_build.take(work, fingerprint.delivery_hashes(build.extracts))


def test_a_build_of_what_is_there_is_taken_and_its_file_is_left_as_it_was(recorded: Build, tmp_path: Path) -> None:
    before = recorded.warehouse.read_bytes()
    found = taken(recorded, tmp_path / "work")
    assert (found.permutations, found.started_at[:2]) == ("0", "20")
    assert recorded.warehouse.read_bytes() == before
    with duckdb.connect(str(tmp_path / "work/warehouse.duckdb"), read_only=True) as connection:
        ((rows,),) = connection.execute("select count(*) from marts.fct_delivered_values").fetchall()
    assert rows == recorded.value("select count(*) from marts.fct_delivered_values")


def appended(name: str, text: str = "\n") -> Callable[[Build, pytest.MonkeyPatch], None]:
    def change(build: Build, _: pytest.MonkeyPatch) -> None:
        folder = build.project if (build.project / name).exists() else build.extracts
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return change


def by_hand(*statements: str) -> Callable[[Build, pytest.MonkeyPatch], None]:
    def change(build: Build, _: pytest.MonkeyPatch) -> None:
        with duckdb.connect(str(build.warehouse)) as connection:
            for statement in statements:
                connection.execute(statement)

    return change


def set_to(name: str, value: str) -> Callable[[Build, pytest.MonkeyPatch], None]:
    return lambda _, monkeypatch: monkeypatch.setenv(name, value)


def withdrawn(build: Build, _: pytest.MonkeyPatch) -> None:
    (build.extracts / "patents/专利_2015.csv").unlink()


def added(build: Build, _: pytest.MonkeyPatch) -> None:
    shutil.copy(build.extracts / "patents/专利_2015.csv", build.extracts / "patents/late.csv")


def another_version(_: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = fingerprint.package_versions() | {"numpy": "0.1"}
    monkeypatch.setattr(fingerprint, "package_versions", lambda: versions)


def landed_since(build: Build, _: pytest.MonkeyPatch) -> None:
    """Deliver a file, land it elsewhere, and withdraw it: the folder is as it was, the log is not."""
    late = Path(shutil.copy(build.extracts / "patents/专利_2015.csv", build.extracts / "patents/专利_2015_再版.csv"))
    before = whole_build.landed()
    landing.deliveries()
    late.unlink()
    assert whole_build.landed() != before


def left_open(build: Build, _: pytest.MonkeyPatch) -> None:
    build.warehouse.with_name(build.warehouse.name + ".wal").write_bytes(b"open")


LN_GDP = "update marts.fct_city_year_panel set ln_gdp = ln_gdp + 0.001 where city_id = '440300' and year = 2015"
VIEW = "create or replace view marts.fct_delivered_values as from intermediate.int_series_conformed"
SWAPPED = """
    update marts.dim_city set name_en = case city_id when '440300' then 'Guangzhou' else 'Shenzhen' end
    where city_id in ('440100', '440300')
"""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(appended("seeds/industries.csv"), r"from other code: seeds/industries\.csv", id="a seed"),
        pytest.param(appended("macros/stars.sql"), r"from other code: macros/stars\.sql", id="code"),
        pytest.param(appended("patents/专利_2015.csv"), r"from other deliveries: patents/专利_2015\.csv", id="a file"),
        pytest.param(added, r"from other deliveries: patents/late\.csv", id="a new file"),
        pytest.param(withdrawn, r"from other deliveries: patents/专利_2015\.csv", id="a file less"),
        pytest.param(another_version, "from other packages: numpy", id="a package"),
        pytest.param(set_to("WAREHOUSE_THREADS", "7"), "from other settings: WAREHOUSE_THREADS", id="a setting"),
        pytest.param(set_to("DBT_EMPTY", "1"), "from other settings: DBT_EMPTY", id="a flag of dbt"),
        pytest.param(set_to("LANDING_DIR", "elsewhere"), "from other places: landing_dir", id="another store"),
        pytest.param(set_to("WAREHOUSE_PATH", "nowhere.duckdb"), r"nowhere\.duckdb is not there", id="no file"),
        pytest.param(landed_since, "other files have landed in .* since", id="landed since"),
        pytest.param(left_open, "is open in another process, or was not closed cleanly", id="open"),
        pytest.param(by_hand(LN_GDP), r"was changed since it was built: marts\.fct_city_year_panel$", id="a cell"),
        pytest.param(by_hand(SWAPPED), r"was changed since it was built: marts\.dim_city$", id="two names"),
        pytest.param(by_hand(VIEW), "was changed since it was built: columns, views$", id="a view"),
        pytest.param(
            by_hand("comment on column marts.dim_city.city_id is 'edited'"), "was built: columns$", id="a comment"
        ),
        pytest.param(
            by_hand("create table reports.rpt_extra as select 1 as a"), r"reports\.rpt_extra$", id="one more table"
        ),
        pytest.param(by_hand("drop table main.build_record"), "was no whole dbt build that ended well", id="no record"),
        pytest.param(
            by_hand("update main.build_record set content = ''"), "was no whole dbt build that", id="not ended"
        ),
    ],
)
def test_any_doubt_leads_to_a_build(
    change: Callable[[Build, pytest.MonkeyPatch], None],
    reason: str,
    recorded: Build,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The refresh itself, up to where dbt would build."""
    change(recorded, monkeypatch)
    events: list[tuple[str, dict[str, Any]]] = []

    class BuildsError(Exception):
        pass

    def builds(work: Path, warehouse: Path, *arguments: str, **options: Any) -> bool:
        assert arguments == ("build",), "all of it"
        assert not warehouse.exists(), "from nothing"
        raise BuildsError

    monkeypatch.setattr(build, "dbt", builds)
    with pytest.raises(Exception, match="BuildsError"):
        cycle.refresh(store, Limits(), lambda event, facts: events.append((event, facts)))
    (message,) = [facts["message"] for event, facts in events if event == "build"]
    assert re.search(f"^builds, because .*{reason}", message), message


def test_a_warehouse_that_another_process_writes_to_is_not_taken(recorded: Build, tmp_path: Path) -> None:
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(recorded.warehouse)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(whole_build.NotTakenError, match="cannot be read: IO Error"):
            taken(recorded, tmp_path / "work")
        process.communicate()


def test_a_partial_run_voids_the_record_and_a_test_run_does_not(delivery: Build) -> None:
    recorded = "select count(*) from duckdb_tables() where table_name = 'build_record'"
    assert delivery.value(recorded) == 1
    assert delivery.dbt("test", "--select", "dim_city").exit_code == 0, delivery.output
    assert delivery.value(recorded) == 1
    assert delivery.dbt("build", "--select", "rpt_table_1").exit_code == 0, delivery.output
    assert delivery.value(recorded) == 0


# ---------------------------------------------------------------- two sets in one clone


def test_warehouses_of_one_name_in_two_folders_share_what_dbt_parsed(sample_build: Build, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    shutil.copy(sample_build.scratch / "target/partial_parse.msgpack", target)
    environment = sample_build.environment | {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(tmp_path / "logs")}
    for folder in ("here", "there"):
        named = environment | {"WAREHOUSE_PATH": str(tmp_path / folder / sample_build.warehouse.name)}
        exit_code, printed = dbt_process.run(["parse", "--no-write-json"], PROJECT, named)
        assert exit_code == 0, printed
        assert "Unable to do partial parsing" not in printed


@pytest.mark.parametrize("content", [b"", b"no project", None], ids=["empty", "not a project", "cut off"])
def test_a_damaged_copy_of_what_dbt_parsed_is_parsed_again(
    content: bytes | None, sample_build: Build, store: Store, tmp_path: Path
) -> None:
    """A refresh starts from what dbt parsed in the last one."""
    parsed = (sample_build.scratch / "target/partial_parse.msgpack").read_bytes()
    (store.folder / "last_build").mkdir()
    damaged = parsed[: len(parsed) // 2] if content is None else content
    (store.folder / "last_build/partial_parse.msgpack").write_bytes(damaged)
    last_build.start_from(store.folder, tmp_path)
    assert (tmp_path / "target/partial_parse.msgpack").read_bytes() == damaged
    paths = {"DBT_TARGET_PATH": str(tmp_path / "target"), "DBT_LOG_PATH": str(tmp_path / "logs")}
    exit_code, printed = dbt_process.run(["parse"], PROJECT, sample_build.environment | paths)
    assert exit_code == 0, printed
    assert (tmp_path / "target/manifest.json").exists()
