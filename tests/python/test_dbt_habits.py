"""Tests of everyday dbt commands on a built warehouse (last list of docs/for_dbt_users.md).

A "changed" table is one that was edited by hand beforehand: the next run restores its values from
the files, which then differ.
"""

import json
import re
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pytest
import yaml

from ai_manufacturing import landing
from ai_manufacturing.releases import contents
from ai_manufacturing.releases.store import Store
from tests.planted_faults import copy_of_the_project
from tests.python import dbt_process
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import past_release, read
from tests.python.test_build import NEEDS_AN_EXTENSION

pytestmark = pytest.mark.door


@dataclass
class Habits:
    """A built warehouse, and a process that runs dbt on it without parsing the project again."""

    build: Build
    # Whether to write the artifact run_results.json, which only `dbt retry` needs.
    is_retried: bool = False

    def dbt(self, command: str | list[str], dies_at: str = "", **variables: str) -> int:
        """Run dbt, store its output, and return its exit code."""
        arguments = command.split() if isinstance(command, str) else command
        if not self.is_retried:
            arguments = [*arguments, "--no-write-json"]
        assert self.build.shell is not None
        self.build.exit_code, self.build.output = self.build.shell.dbt(
            *arguments, environment=self.build.environment | variables, dies_at=dies_at
        )
        return self.build.exit_code

    def edit(self, statement: str) -> None:
        """Run an SQL statement that changes the warehouse."""
        with duckdb.connect(str(self.build.warehouse)) as connection:
            connection.execute(statement)

    def content(self) -> bytes:
        """Return the bytes of the warehouse file after flushing its write-ahead log."""
        self.edit("checkpoint")
        return self.build.warehouse.read_bytes()

    def relations(self) -> set[tuple[str, str]]:
        """Return the schema and name of each table and view in the warehouse."""
        return {*self.build.rows("select table_schema, table_name from information_schema.tables")}

    @property
    def estimates(self) -> set[str]:
        """Names of the tables and views in the schemas `estimates` and `reports`."""
        return self.build.tables("estimates") | self.build.tables("reports")


@pytest.fixture
def habits(delivery: Build) -> Habits:
    return Habits(delivery)


def test_every_unit_test_of_a_model_passes_and_makes_no_relation(habits: Habits) -> None:
    before = habits.relations()
    unit_tests = habits.dbt("test --select test_type:unit", DBT_EXCLUDE_RESOURCE_TYPES="")
    assert unit_tests == 0, habits.build.output
    assert habits.relations() == before
    assert habits.build.manifest is not None
    declared = json.loads(habits.build.manifest.read_text(encoding="utf-8"))["unit_tests"]
    assert {test["name"] for test in declared.values()} <= {
        *re.findall(r"\w+", habits.build.output)
    }


@pytest.mark.soak
def test_no_command_drops_what_it_does_not_rebuild(habits: Habits) -> None:
    before = habits.relations()
    for command in (
        "test --select gate_results dim_city",
        "compile --select rpt_table_1",
        "run --select rpt_figure_1 raw_deliveries",
        "seed --select required_cities",
        "run --select gate_series gate_results",
        "run --select est_spatial_autocorrelation",
        "build --select +rpt_table_1",
        "build --exclude path:models/intermediate path:python_models/gates",
    ):
        assert habits.dbt(command) == 0, habits.build.output
        assert habits.relations() == before, command
    assert habits.dbt(["show", "--inline", NEEDS_AN_EXTENSION]) != 0
    assert "httpfs" in habits.build.output, "nothing is loaded from the network"


@pytest.mark.soak
def test_no_estimate_is_made_of_what_was_not_judged(habits: Habits) -> None:
    """dbt must not compute estimates from tables that changed after the gate checked them.

    Cases: a partial selection, a killed run, and a seed that changed in between. Existing estimates
    must stay unchanged.
    """
    before = habits.build.rows("from estimates.est_spatial_autocorrelation order by all")
    moved = (
        "update intermediate.int_series_conformed set value = value * 2 where city_id = '430100'"
        " and year = 2013"
    )
    habits.edit(moved)
    killed = habits.dbt(
        "run --threads 1 --select fct_ai_measure dim_city_groups", dies_at="dim_city_groups.sql"
    )
    assert killed == -signal.SIGKILL, habits.build.output
    habits.edit("update seeds.city_groupings set year = 2015 where grouping = 'large_gdp'")
    for command, *changed in (
        ("run --select est_spatial_autocorrelation", "fct_ai_measure"),
        ("run --select fct_ai_measure est_local_spatial_autocorrelation", "fct_ai_measure"),
        ("run --select dim_city_groups est_permuted_weights", "fct_ai_measure", "dim_city_groups"),
    ):
        assert habits.dbt(command) == 1, habits.build.output
        named = re.search(
            r"rebuilt after the quality gate had checked them: (\S+(?:, \S+)*)\. .+"
            r"dbt build --select (.+)`",
            habits.build.output,
        )
        assert named is not None, habits.build.output
        assert {*named[1].split(", ")} == {*changed}
        assert {*named[2].split()} == {f"{name}+" for name in changed}
    assert habits.build.rows("from estimates.est_spatial_autocorrelation order by all") == before
    assert habits.dbt("run --select est_source_agreement") == 0, "what it reads is as it was"


@pytest.mark.soak
def test_what_is_older_than_its_inputs_is_named_and_not_judged(habits: Habits) -> None:
    stale = (
        "select node, input_node from intermediate.int_stale_relations where is_judged order by all"
    )
    assert habits.build.rows(stale) == []
    assert habits.dbt("run --select fct_city_year_panel") == 0, habits.build.output
    followers = [
        "gate_results",
        "int_city_year_variables",
        "int_judged_tables",
        "int_panel_consistency",
        "int_specification_city_years",
    ]
    assert habits.build.rows(stale) == [(name, "fct_city_year_panel") for name in followers]
    status = habits.build.command("status")
    older = "int_city_year_variables is older than marts.fct_city_year_panel"
    assert f"{habits.build.warehouse}: intermediate.{older}" in status.stdout
    assert habits.dbt("run --select judged_relations") == 1
    assert f"intermediate.{older}." in habits.build.output
    assert "Run `dbt build`, or `dbt build --select fct_city_year_panel+`." in habits.build.output

    assert habits.dbt("build --select fct_city_year_panel+") == 0, habits.build.output
    assert habits.build.rows(stale) == []


@pytest.mark.soak
def test_a_gate_that_fails_in_a_partial_run_leaves_no_estimate_nor_does_retry(
    habits: Habits,
) -> None:
    habits.is_retried = True
    others = {name for name in habits.relations() if name[0] not in ("estimates", "reports")}
    habits.edit(
        "update intermediate.int_record_checks set ai_above_all_count = 1 "
        "where entity = 'patents' and city_id = '440300'"
    )
    assert habits.dbt("build --select gate_series gate_results+") == 1
    assert habits.estimates == set()
    assert habits.relations() == others
    assert "gate critical: patents: " in habits.build.output
    assert "The gate failed, so all estimates and reports were dropped" in habits.build.output

    # Run `dbt retry` in a new process: it parses the project, and dbt's parser threads do not
    # survive a fork.
    retried = replace(habits.build, shell=None).dbt("retry")
    assert retried.exit_code == 1, retried.output
    assert habits.estimates == set()
    assert habits.dbt("run --select est_spatial_autocorrelation") == 1
    assert "expectations failed (see gates.gate_results)" in habits.build.output
    assert habits.estimates == set()


@pytest.mark.soak
def test_two_routes_that_differ_leave_no_estimate_and_the_gate_that_says_so(habits: Habits) -> None:
    habits.edit(
        "update estimates.est_second_route set std_error = std_error * (1 + 1e-7) "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'"
    )
    assert habits.dbt("build --select est_route_differences+") == 1
    assert (
        "gate critical: second_route: The clustered standard errors of the printed columns"
        in habits.build.output
    )
    assert habits.estimates == set()
    assert habits.build.value("select count(*) from gates.gate_second_route where not success") == 1

    routes = "est_coefficients est_second_route est_route_differences gate_second_route"
    assert habits.dbt(f"run --select {routes}") == 0, habits.build.output
    assert habits.build.value("select count(*) from gates.gate_second_route where not success") == 0
    assert "est_coefficients" in habits.estimates


@pytest.mark.soak
def test_a_sample_of_years_reads_these_years_and_changes_none(habits: Habits) -> None:
    tables = [
        "fct_city_year_values",
        "fct_city_year_panel",
        "fct_spatial_distribution",
        "fct_spatial_concentration",
    ]
    of_the_years = "from marts.{} where year between 2014 and 2016 order by all"
    before = [habits.build.rows(of_the_years.format(table)) for table in tables]
    sample = "{'start': '2014-01-01', 'end': '2017-01-01'}"
    assert habits.dbt(["run", "--select", *tables, "--sample", sample]) == 0, habits.build.output
    assert [habits.build.rows(f"from marts.{table} order by all") for table in tables] == before


@pytest.fixture
def state(delivery: Build, tmp_path: Path) -> Path:
    """Parse the unchanged project, and return the folder for `--state` and `--defer`."""
    folder = tmp_path / "state"
    parsed = replace(delivery, shell=None, artifacts=True).dbt(
        "parse", "--target-path", str(folder)
    )
    assert parsed.exit_code == 0, parsed.output
    return folder


def test_dbt_has_the_days_of_each_provider_that_declares_them(sample_build: Build) -> None:
    assert sample_build.manifest is not None
    sources = json.loads(sample_build.manifest.read_text(encoding="utf-8"))["sources"].values()
    days = {
        source["name"]: tuple(
            source["freshness"][limit]["count"] for limit in ("warn_after", "error_after")
        )
        for source in sources
    }
    allowed = {
        name: (age.warn_after_days, age.fail_after_days)
        for name, age in landing.read_allowed_ages().items()
    }
    assert days == allowed


@pytest.mark.soak
def test_a_late_provider_is_found_by_source_freshness_and_one_that_never_delivered_is_not(
    habits: Habits,
) -> None:
    days = landing.read_allowed_ages()["vendor"]
    assert days.warn_after_days is not None
    assert days.fail_after_days is not None
    for late, outcome, exit_code in (
        (days.warn_after_days + 1, "WARN", 0),
        (days.fail_after_days + 1, "ERROR STALE", 1),
    ):
        habits.edit(
            "update raw.deliveries set landed_at = current_timestamp at time zone 'UTC' - interval"
            f" {late} day"
        )
        assert habits.dbt("source freshness") == exit_code, habits.build.output
        assert f"{outcome} freshness of delivered.vendor" in habits.build.output
        assert "PASS freshness of delivered.csmar" in habits.build.output


@pytest.mark.soak
def test_a_change_of_the_package_modifies_every_python_model(
    state: Path, habits: Habits, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {path.stem for path in PROJECT.glob("python_models/*/*.py")} - {"__init__"}
    build = replace(habits.build, shell=None)
    for code, expected in (("another", models), ("", set())):
        monkeypatch.setenv("PACKAGE_CODE", code)
        build.dbt(
            "--quiet", "ls", "--select", "state:modified", "--state", str(state), "--output", "name"
        )
        assert {*build.output.split()} & models == expected, build.output


@pytest.mark.soak
def test_dev_builds_beside_a_published_release_and_reads_from_it_what_it_leaves_out(
    state: Path, habits: Habits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(
        tmp_path / "releases", tmp_path / "releases/ai_manufacturing.duckdb", keep_count=3
    )
    store.prepare_folders()
    past_release(store, habits.build.warehouse)
    store.publish_release("000001")
    before = store.published_path.read_bytes()
    dev = tmp_path / "dev.duckdb"
    monkeypatch.setenv("DEV_WAREHOUSE_PATH", str(dev))
    build = replace(habits.build, shell=None)
    assert build.dbt("run", "--target", "dev", "--select", "rpt_figure_1").exit_code == 1
    assert "does not exist" in build.output, "dbt run loads no seeds"
    monkeypatch.setenv("DEFER_TO", str(store.published_path))

    def run(*selected: str) -> int:
        return build.dbt(
            "run", "--target", "dev", "--select", *selected, "--defer", "--state", str(state)
        ).exit_code

    estimates = ["est_permuted_weights", "est_spatial_autocorrelation"]
    chosen = [
        "dim_series",
        "fct_ai_measure",
        "fct_spatial_trend",
        "rpt_figure_1",
        "rpt_table_1",
        *estimates,
    ]
    assert run(*chosen) == 0, build.output
    with duckdb.connect(str(dev)) as connection:
        connection.execute(f"attach '{store.published_path}' as release (read_only)")
        made = connection.execute(
            "select schema_name[5:] || '.' || table_name from duckdb_tables() "
            "where database_name = 'dev' and schema_name <> 'dev_raw'"
        ).fetchall()
        assert {name.partition(".")[2] for (name,) in made} == {*chosen}
        for (table,) in made:
            difference = f"from dev_{table} except from release.{table}"
            assert connection.execute(f"select count(*) from ({difference})").fetchone() == (0,), (
                table
            )
        connection.execute("delete from dev_marts.fct_ai_measure where year = 2015")
    monkeypatch.setenv(
        "DEFER_TO", str(shutil.copy(store.published_path, tmp_path / "another.duckdb"))
    )
    assert run("est_spatial_autocorrelation") == 1
    assert "rebuilt after the quality gate had checked them: fct_ai_measure." in build.output
    assert "Unable to do partial parsing" not in build.output, (
        "another DEFER_TO parses nothing anew"
    )
    assert store.published_path.read_bytes() == before


def test_what_marts_estimates_and_reports_read_is_released_but_for_delivered_records(
    sample_build: Build,
) -> None:
    """Releases contain every table that marts and reports read, except for delivered records.

    Register tables of any size and the deviations of every value are not released either.
    """
    lacking = sample_build.rows(
        "select distinct readers.node from (select *, unnest(inputs) as input from"
        " raw.built_relations) as readers inner join raw.built_relations as made on readers.input ="
        " made.node where split_part(readers.relation, '.', 1) in ('marts', 'estimates', 'reports')"
        " and not list_contains($1, made.relation)"
        " and not list_contains($2, split_part(made.relation, '.', 1))",
        contents.INPUTS,
        (*contents.SCHEMAS, "seeds"),
    )
    assert {name for (name,) in lacking} == {
        "data_dictionary",
        "fct_ai_dictionary_evaluation",
        "fct_ai_tags",
        "fct_ai_term_evaluation",
        "fct_city_sector_years",
        "fct_delivered_values",
        "fct_deliveries",
        "fct_doubtful_values",
        "fct_register_entries",
        "fct_register_placement",
        "fct_register_rows_set_aside",
        "fct_row_accounting",
        "fct_rows_set_aside",
    }


@pytest.mark.soak
def test_a_second_row_of_a_key_is_named_and_stops_what_follows(
    sample_build: Build, tmp_path: Path
) -> None:
    """A duplicate key is named in the error message and stops the downstream models.

    One table declares its key in `meta`, the other in its contract.
    """
    project = copy_of_the_project(tmp_path / "project")
    for path in ("models/gate/int_panel_consistency.sql", "models/marts/dim_city.sql"):
        beijing_twice = (
            "select * from final union all (select * from final where city_id = '110000')"
        )
        sql = (project / path).read_text(encoding="utf-8")
        (project / path).write_text(
            sql.replace("select * from final", beijing_twice), encoding="utf-8"
        )
    warehouse = Path(shutil.copy(sample_build.warehouse, tmp_path / "warehouse.duckdb"))
    landing = sample_build.scratch / "landing"
    build = Build(
        sample_build.extracts, warehouse, tmp_path, project, landing, "unit_test", artifacts=False
    )

    assert build.dbt("build", "--select", "int_panel_consistency+").exit_code == 1
    key = "city_id 110000, year 2010, row_count 2"
    table = '"warehouse"."intermediate"."int_panel_consistency"'
    assert f"{table} has more than one row with the same key: {key}" in build.output, build.output
    assert "SKIP relation gates.gate_results" in build.output
    of_beijing = "select count(*) = count(distinct year) from {} where city_id = '110000'"
    assert build.value(of_beijing.format(table)), "the older table stands"

    assert build.dbt("build", "--select", "dim_city", "fct_spatial_distribution").exit_code == 1
    assert 'duplicate key "110000"' in build.output, build.output
    assert "SKIP relation marts.fct_spatial_distribution" in build.output
    assert build.value("select count(*) from marts.dim_city") == 367, "the older table stands"


@pytest.mark.soak
def test_a_seed_that_breaks_its_rules_fails_with_each_rule_and_record(habits: Habits) -> None:
    for statement in (
        "insert into seeds.cities select * from seeds.cities where city_id = '110000'",
        "update seeds.series set cell_min = null where series = 'gdp_100m_cny'",
        (
            "update seeds.series_sources set absent_row = 'none' "
            "where (series, scope, provider) = ('firm_count', 'industry', 'vendor')"
        ),
        (
            "update seeds.series_sources set limits = 'straight_share_min=1' "
            "where (series, provider) = ('above_scale_firm_count', 'duhe1123')"
        ),
        (
            "update seeds.series_pairs set provider = 'nobody' where provider is not null and"
            " series like 'above%'"
        ),
        (
            "update seeds.regression_specifications set outcome = 'nonsense' where specification_id"
            " = 'table_1_col_1'"
        ),
        "update seeds.ai_keywords set reason = null"
        " where kind = 'set_aside' and term = '智能传感器'",
        (
            "update seeds.derived_variables set series = 'nonsense' where variable ="
            " 'ln_secondary_productivity'"
        ),
        "update seeds.city_groupings set series = 'nonsense' where grouping = 'large_gdp'",
        "update seeds.control_sets set controls = 'nonsense' where control_set = 'added'",
        (
            "update seeds.regression_specifications set controls = '@paper @nonsense' where"
            " specification_id = 'table_1_col_2'"
        ),
        (
            "delete from seeds.substituted_labels where (kind, name, provider) = ('series',"
            " 'firm_count', 'duhe1123')"
        ),
        (
            "insert into seeds.labels select * from seeds.labels where (kind, name) = ('measure',"
            " 'ai_firms')"
        ),
    ):
        habits.edit(statement)
    assert habits.dbt("test --select seeds_*_keep_their_rules") == 1
    printed = re.findall(
        r"seeds_\w+_keep_their_rules failed: seed (.+), rule (.+), record (.+)", habits.build.output
    )
    rules = (PROJECT / "seeds/_seeds.yml").read_text(encoding="utf-8")
    (of_limits,) = re.findall(r"regexp_full_match\(limits.*", rules)
    (of_labels,) = re.findall(r"substitution is null or \(series.*", rules)
    (of_sets,) = re.findall(r"list_has_all\(\(select list\('@'.*", rules)
    of_variables = (
        "list_has_all((select list(variable) from dim_variable), string_split(controls, ' '))"
    )
    of_series = "list_has_all((select list(series) from series), string_split(series, ' '))"
    assert {*printed} == {
        ("cities", "city_id is unique", "110000"),
        ("cities", "name_zh is unique", "北京市"),
        ("cities", "short_name_zh is unique", "北京"),
        ("cities", "name_en is unique", "Beijing"),
        ("series", "cell_min is not null", "gdp_100m_cny"),
        ("series_sources", "absent_row in ('zero', 'missing')", "firm_count, industry, vendor"),
        ("series_sources", of_limits, "above_scale_firm_count, total, duhe1123"),
        ("series_sources", of_labels, "firm_count, industry, duhe1123"),
        (
            "series_pairs",
            "provider in (select provider from series_sources)",
            "above_scale_firm_count, total, secondary_value_added_100m_cny, total, nobody",
        ),
        (
            "regression_specifications",
            "estimator = 'event_study' or outcome in (select variable from dim_variable)",
            "table_1_col_1",
        ),
        ("ai_keywords", "kind <> 'set_aside' or reason is not null", "智能传感器"),
        ("derived_variables", of_series, "ln_secondary_productivity"),
        ("city_groupings", of_series, "large_gdp"),
        (
            "city_groupings",
            "split = 'category' or variable = series or series like '% %'",
            "large_gdp",
        ),
        ("control_sets", of_variables, "added"),
        ("regression_specifications", of_sets, "table_1_col_2"),
        ("labels", "kind, name is unique", "measure, ai_firms"),
    }


def test_the_rules_of_each_seed_are_tested() -> None:
    seeds = yaml.safe_load((PROJECT / "seeds/_seeds.yml").read_text(encoding="utf-8"))["seeds"]
    with_rules = {
        seed["name"] for seed in seeds if "rules" in seed.get("config", {}).get("meta", {})
    }
    tests = [
        path.read_text(encoding="utf-8")
        for path in (PROJECT / "tests/singular").glob("seeds_*.sql")
    ]
    tested = [
        name for sql in tests for name in re.findall(r"'(\w+)',", sql.partition("others=")[0])
    ]
    assert sorted(tested) == sorted(with_rules)


@pytest.mark.soak
def test_a_project_is_run_from_another_folder(sample_build: Build, tmp_path: Path) -> None:
    """With --project-dir, dbt runs in any folder and resolves paths relative to the project."""
    project = copy_of_the_project(tmp_path / "project")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = sample_build.environment | {
        "WAREHOUSE_PATH": "build/warehouse.duckdb",
        "LANDING_DIR": "build/landing",
        "DBT_TARGET_PATH": str(tmp_path / "target"),
    }
    for name in ("DBT_PROJECT_DIR", "DBT_PROFILES_DIR"):
        del environment[name]
    folders = ["--project-dir", str(project), "--profiles-dir", str(project)]
    arguments = ["run", *folders, "--select", "+raw_deliveries"]
    exit_code, printed = dbt_process.run(arguments, elsewhere, environment)
    assert exit_code == 0, printed
    assert list(elsewhere.iterdir()) == []
    deliveries = "from raw.deliveries where source_name is not null"
    assert len(read(project / "build/warehouse.duckdb", deliveries)) == 44
