"""A refresh that starts from the last build: when it may, and that it gives what a build from nothing gives."""

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from ai_manufacturing.auditing import verify
from ai_manufacturing.refresh import build
from ai_manufacturing.releases import fingerprint, last_build
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import integrity
from ai_manufacturing.system.sql_text import literal
from tests.python import test_gate
from tests.python.conftest import PROJECT, Build

Change = Callable[[Path, pytest.MonkeyPatch], None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project of a few files, with deliveries, that the environment names."""
    folder = tmp_path / "project"
    for name in ("dbt_project.yml", "models/a.sql", "macros/a.sql", "expectations/a.json", "seeds/a.csv", "src/a.py"):
        write(folder / name, "old")
    write(folder / "extracts/extract_set.yml", "name: set\n")
    write(folder / "extracts/a.csv", "1")
    monkeypatch.setenv("DBT_PROJECT_DIR", str(folder))
    monkeypatch.setenv("EXTRACTS_DIR", str(folder / "extracts"))
    monkeypatch.setenv("LANDING_DIR", str(folder / "landing"))
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def written(name: str) -> Change:
    return lambda project, _: write(project / name, "new")


def set_to(name: str, value: str) -> Change:
    return lambda _, monkeypatch: monkeypatch.setenv(name, value)


def another_set(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project / "extracts", project / "others")
    monkeypatch.setenv("EXTRACTS_DIR", str(project / "others"))


def another_version(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = fingerprint.package_versions() | {"numpy": "0.1"}
    monkeypatch.setattr(fingerprint, "package_versions", lambda: versions)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(written("dbt_project.yml"), id="a setting"),
        pytest.param(written("models/a.sql"), id="a model"),
        pytest.param(written("models/a.yml"), id="a description"),
        pytest.param(written("seeds/_seeds.yml"), id="the type of a seed"),
        pytest.param(written("macros/a.sql"), id="a macro"),
        pytest.param(written("expectations/a.json"), id="an expectation"),
        pytest.param(written("src/a.py"), id="the package"),
        pytest.param(lambda project, _: (project / "macros/a.sql").unlink(), id="a macro less"),
        pytest.param(
            lambda project, _: write(project / "extracts/extract_set.yml", "name: b\n"), id="the name of the set"
        ),
        pytest.param(another_set, id="another folder"),
        pytest.param(another_version, id="a version"),
        pytest.param(set_to("LANDING_DIR", "elsewhere"), id="another store"),
        pytest.param(set_to("CURVE_PERMUTATIONS", "7"), id="permutations"),
        pytest.param(set_to("WAREHOUSE_THREADS", "7"), id="threads"),
        pytest.param(set_to("ACCEPTED_GATE_FAILURES", "because"), id="an accepted failure"),
        pytest.param(set_to("DBT_EMPTY", "1"), id="a flag of dbt"),
    ],
)
def test_each_part_of_what_made_the_last_build_tells_it_apart(
    change: Change, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = last_build.made_by()
    assert last_build.made_by() == before
    change(project, monkeypatch)
    assert last_build.made_by() != before


def test_deliveries_and_seeds_may_differ(project: Path) -> None:
    before, seeds = last_build.made_by(), last_build.seeds()
    write(project / "extracts/a.csv", "2")
    write(project / "extracts/b.csv", "2")
    write(project / "seeds/a.csv", "new")
    assert last_build.made_by() == before
    assert last_build.seeds().keys() == {"a"}
    assert last_build.seeds() != seeds


def kept(store: Store, content: str = "tables") -> Path:
    """Keep a build of some text."""
    work = store.work / "000001"
    write(work / "warehouse.duckdb", content)
    write(work / "target/partial_parse.msgpack", "parsed")
    results = [{"unique_id": "test.a", "status": "pass"}, {"unique_id": "test.b", "status": "warn"}]
    write(work / "target/run_results.json", json.dumps({"results": results}))
    last_build.keep(store.folder, work, last_build.made_by(), last_build.seeds())
    shutil.rmtree(work)
    return store.folder / "last_build"


def started(store: Store) -> tuple[Path, str | None]:
    work = store.work / "000002"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    return work, last_build.start_from(store.folder, work)


def test_the_next_build_starts_from_a_copy_of_the_last_one(project: Path, store: Store) -> None:
    assert started(store)[1] is None
    assert not (started(store)[0] / "warehouse.duckdb").exists()
    kept(store)
    folder = kept(store, "tables of another")  # in the place of the first
    assert last_build.passed(folder) == {"test.a"}
    work, damaged = started(store)
    assert damaged is None
    assert (work / "warehouse.duckdb").read_text() == "tables of another"
    assert (work / "target/partial_parse.msgpack").read_text() == "parsed"
    (work / "warehouse.duckdb").write_text("built")
    assert integrity.check_folder(folder) == []
    write(project / "macros/a.sql", "new")
    work, damaged = started(store)
    assert damaged is None
    assert not [*work.iterdir()]


@pytest.mark.parametrize(
    "name", ["warehouse.duckdb", "partial_parse.msgpack", "run_results.json", "build.json", "SHA256SUMS"]
)
def test_a_damaged_one_is_named_and_not_used(name: str, project: Path, store: Store) -> None:
    folder = kept(store)
    content = bytearray((folder / name).read_bytes())
    content[0] ^= 1
    (folder / name).chmod(0o644)
    (folder / name).write_bytes(content)
    work, damaged = started(store)
    # of a changed SHA256SUMS, it or the file differs that it names
    at_fault = str(folder / ("" if name == "SHA256SUMS" else name))
    assert at_fault in str(damaged)
    assert not [*work.iterdir()]
    found = verify.Verified()
    verify._releases(store, found)
    assert [line for line in found.damaged if at_fault in line and "Delete" in line]


def test_a_build_that_died_leaves_no_part_of_itself(project: Path, store: Store) -> None:
    kept(store)
    started(store)
    assert store.prepare()
    assert not [*store.work.iterdir()]
    assert integrity.check_folder(store.folder / "last_build") == []


# ---------------------------------------------------------------- against builds from nothing


def cell(delivery: Path, _: Path) -> None:
    """Correct one cell where it was delivered."""
    path = delivery / "city_yearbook/城市统计年鉴_2015.csv"
    rows = [*csv.reader(path.open(encoding="utf-8", newline=""))]
    column = rows[0].index("年末金融机构贷款余额(亿元)")
    row = next(row for row in rows if row[0] == "440300")
    row[column] = f"{float(row[column]) * 1.01:.2f}"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def new_file(delivery: Path, _: Path) -> None:
    """Deliver a year again, in a file of its own."""
    path = delivery / "city_yearbook/城市统计年鉴_2013.csv"
    heading, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    write(path.with_name("城市统计年鉴_2013_再版.csv"), heading + "".join(reversed(rows)))


def withdrawn(delivery: Path, _: Path) -> None:
    (delivery / "city_yearbook/城市统计年鉴_2013_再版.csv").unlink()


def correction(_: Path, project: Path) -> None:
    row = "t001,vendor,city_yearbook,440300,2014,fdi_1m_usd,set_missing,,a test,测试,a test,2026-11-24\n"
    with (project / "seeds/corrections.csv").open("a", encoding="utf-8") as file:
        file.write(row)


def specification(_: Path, project: Path) -> None:
    seed = project / "seeds/regression_specifications.csv"
    row = seed.read_text(encoding="utf-8").splitlines()[1].split(",")
    row[0], row[4], row[5], row[19] = "copied", "copied", "false", ""
    with seed.open("a", encoding="utf-8") as file:
        file.write(",".join(row) + "\n")


def seed(_: Path, project: Path) -> None:
    path = project / "seeds/cities.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("116.4074", "116.5074"), encoding="utf-8")


def differing(one: Path, other: Path) -> list[str]:
    """Return what two warehouses do not have alike: columns, comments, and the rows of tables."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(one)} as one (read_only); attach {literal(other)} as other (read_only)")

        def of(what: str, database: str) -> list[tuple[str, ...]]:
            query = f"select {what} where database_name = '{database}' and not internal order by all"
            return connection.execute(query).fetchall()

        found = []
        for what in (
            "schema_name, table_name, column_name, data_type, comment from duckdb_columns()",
            "schema_name, table_name, comment from duckdb_tables()",
            "schema_name, view_name, comment from duckdb_views()",
        ):
            found += [str(row) for row in set(of(what, "one")) ^ set(of(what, "other"))]
        for schema, table in () if found else of("schema_name, table_name from duckdb_tables()", "one"):
            rows = [f"from {name}.{schema}.{table}" for name in ("one", "other")]
            for here, there in (rows, rows[::-1]):
                if lost := connection.execute(f"{here} except all {there} limit 1").fetchall():
                    found.append(f"{schema}.{table}: {lost}")
        return found


@pytest.mark.soak
def test_a_build_from_the_last_one_gives_what_a_build_from_nothing_gives(
    sample_build: Build, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, delivery = tmp_path / "project", tmp_path / "delivery"
    shutil.copytree(sample_build.extracts, delivery)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, project / name)
    for name, value in {"DBT_PROJECT_DIR": project, "DBT_PROFILES_DIR": project, "EXTRACTS_DIR": delivery}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("LANDING_DIR", str(tmp_path / "landing"))
    monkeypatch.setenv("CURVE_PERMUTATIONS", "0")

    def built(name: str) -> tuple[Path, set[str]]:
        """Build as a refresh does, and return the folder and the nodes that were left as they were."""
        work = store.work / name
        work.mkdir()
        made, seeds = last_build.made_by(), last_build.seeds()
        if name != "nothing":
            assert last_build.start_from(store.folder, work) is None
        assert not build.dbt(work, work / "warehouse.duckdb", "build"), build.why_failed(work)
        results = json.loads((work / "target/run_results.json").read_text(encoding="utf-8"))["results"]
        left = {result["unique_id"] for result in results if result["message"] == "as in the last build"}
        if name != "nothing":
            last_build.keep(store.folder, work, made, seeds)
        return work, left

    def as_from_nothing(threads: str) -> list[str]:
        with monkeypatch.context() as patched:
            patched.setenv("WAREHOUSE_THREADS", threads)
            work, _ = built("nothing")
        found = differing(store.folder / "last_build/warehouse.duckdb", work / "warehouse.duckdb")
        shutil.rmtree(work)
        return found

    assert built("first")[1] == set()
    panel, estimates = "model.ai_manufacturing.fct_city_year_panel", "model.ai_manufacturing.est_inference"
    new_file(delivery, project)
    cell(delivery, project)
    left = built("a file and a cell")[1]
    assert "seed.ai_manufacturing.series" in left
    assert not {panel, estimates} & left
    assert as_from_nothing(threads="1") == []
    correction(delivery, project)
    specification(delivery, project)
    assert panel not in built("a correction and a specification")[1]
    withdrawn(delivery, project)
    seed(delivery, project)
    left = built("a file withdrawn, and a seed")[1]
    # of the seed are distances between cities, which only the errors of Conley read
    assert "model.ai_manufacturing.est_coefficients" in left
    assert estimates not in left
    assert as_from_nothing(threads="4") == []

    # where the gate fails, the estimates of the last build are gone
    test_gate.negative_control(replace(sample_build, extracts=delivery))
    work = store.work / "held"
    work.mkdir()
    assert last_build.start_from(store.folder, work) is None
    assert build.dbt(work, work / "warehouse.duckdb", "build")
    assert build.failed_at_the_gate(work)
    with duckdb.connect(str(work / "warehouse.duckdb"), read_only=True) as connection:
        schemas = connection.execute("select distinct schema_name from duckdb_tables()").fetchall()
    assert ("gates",) in schemas
    assert not {("estimates",), ("reports",)} & {*schemas}
