"""What `dbt build` built, a refresh publishes without building it again, unless there is any doubt."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest

from ai_manufacturing.refresh import build, whole_build
from ai_manufacturing.releases import fingerprint, last_build
from ai_manufacturing.releases.manifest import check
from ai_manufacturing.releases.store import Store
from tests.python import dbt_process
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import command, read


@pytest.mark.door
@pytest.mark.soak
def test_a_refresh_after_a_build_runs_the_joint_test_of_the_curve_and_no_other_model(
    store: Store, delivery: Build
) -> None:
    built = delivery.dbt("build")
    assert built.exit_code == 0, built.output
    run = command(store, delivery, "refresh", CURVE_PERMUTATIONS="2")
    assert run.returncode == 0, run.stdout + run.stderr
    message = json.loads(run.stdout.splitlines()[2])["message"]
    started_at = delivery.value("select started_at from main.build_record")
    assert message == f"publishes the build of {started_at} in {delivery.warehouse}"
    path = store.folder / "last_build/run_results.json"
    ran = {result["unique_id"] for result in json.loads(path.read_text(encoding="utf-8"))["results"]}
    models = {name.split(".")[2] for name in ran if name.startswith(("model.", "seed."))}
    assert models == {"est_specification_curve_joint", "data_dictionary"}
    joint = "select max(draws) from estimates.est_specification_curve_joint"
    assert read(store.published, joint) == [(2,)]
    assert not read(store.published, "from duckdb_tables() where table_name = 'build_record'")
    headline = "from reports.rpt_coefficients where specification_id = 'table_1_col_1' order by all"
    assert read(store.published, headline) == delivery.rows(headline)
    counts = check(store.published).row_counts
    counts.pop("estimates.est_specification_curve_joint")
    assert counts == {name: delivery.value(f"select count(*) from {name}") for name in counts}
    assert command(store, delivery, "refresh", CURVE_PERMUTATIONS="2").returncode == 3
    # a run of tests leaves the record, and a partial build voids it
    recorded = "select count(*) from duckdb_tables() where table_name = 'build_record'"
    for arguments, left in ((("test", "-s", "dim_city"), 1), (("build", "-s", "rpt_table_1"), 0)):
        assert delivery.dbt(*arguments).exit_code == 0, delivery.output
        assert delivery.value(recorded) == left


def test_nothing_but_the_joint_test_reads_the_number_of_permutations() -> None:
    reading = "env_var('CURVE_PERMUTATIONS'"
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for name in ("models", "python_models", "macros", "seeds")
        for path in (PROJECT / name).rglob("*.*")
        if path.is_file()
    ]
    ((before, _),) = [text.split(reading) for text in texts if reading in text]
    model = re.findall(r"^  - name: (\w+)$", before, re.MULTILINE)[-1]
    assert f"{model}+" == build.JOINT_TEST


def test_a_build_of_what_is_there_is_taken_and_any_doubt_leads_to_a_build(
    delivery: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_hand(statement: str) -> None:
        with duckdb.connect(str(delivery.warehouse)) as connection:
            connection.execute(statement)

    def take() -> whole_build.Taken:
        shutil.rmtree(tmp_path / "work", ignore_errors=True)
        (tmp_path / "work").mkdir()
        return whole_build.take(tmp_path / "work", fingerprint.delivery_hashes(delivery.extracts))

    def doubt() -> str:
        with pytest.raises(whole_build.NotTakenError) as raised:
            take()
        return str(raised.value)

    for name, value in delivery.environment.items():
        monkeypatch.setenv(name, value)
    by_hand(f"update main.build_record set inputs = '{whole_build.inputs()}'")
    before = delivery.warehouse.read_bytes()
    assert take().permutations == "0"
    assert delivery.warehouse.read_bytes() == before
    with monkeypatch.context() as other:
        other.setenv("WAREHOUSE_THREADS", "7")
        assert "from other settings: WAREHOUSE_THREADS" in doubt()
    late = delivery.extracts / "patents/late.csv"
    shutil.copy(delivery.extracts / "patents/专利_2015.csv", late)
    assert "from other deliveries: patents/late.csv" in doubt()
    late.unlink()
    by_hand("update marts.fct_city_year_panel set ln_gdp = ln_gdp + 0.001 where year = 2015")
    assert doubt().endswith("was changed since it was built: marts.fct_city_year_panel")


@pytest.mark.door
@pytest.mark.soak
@pytest.mark.parametrize("share", [0, 0.5, 1], ids=["empty", "cut off", "whole"])
def test_what_dbt_parsed_is_used_for_a_warehouse_of_the_same_name_and_parsed_again_if_damaged(
    share: float, sample_build: Build, store: Store, tmp_path: Path
) -> None:
    def parse(warehouse: Path) -> str:
        paths = {
            "DBT_TARGET_PATH": str(tmp_path / "target"),
            "DBT_LOG_PATH": str(tmp_path / "logs"),
            "WAREHOUSE_PATH": str(warehouse),
        }
        environment = sample_build.environment | paths
        exit_code, printed = dbt_process.run(["parse"], PROJECT, environment)
        assert exit_code == 0, printed
        return printed

    parse(tmp_path / "here" / sample_build.warehouse.name)
    parsed = (tmp_path / "target/partial_parse.msgpack").read_bytes()
    shutil.rmtree(tmp_path / "target")
    kept = store.folder / "last_build/partial_parse.msgpack"
    kept.parent.mkdir()
    kept.write_bytes(parsed[: int(share * len(parsed))])
    last_build.start_from(store.folder, tmp_path)
    printed = parse(tmp_path / "there" / sample_build.warehouse.name)
    assert ("Unable to do partial parsing" in printed) == (share < 1)
