"""What all commands have in common: help, version, exit codes, JSON, colours, and progress on a terminal."""

import json
import re
import shlex
import shutil
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
from click.testing import CliRunner, Result

from ai_manufacturing import city_names, cli
from ai_manufacturing.refresh import progress
from ai_manufacturing.releases import errors
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system.exit_codes import ExitCode
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import changed, command, release
from tests.python.terminal import on_terminal

DOCUMENTED = (PROJECT / "docs/refresh.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """Return the rows of a table in docs/refresh.md, links as their text."""
    _, _, rest = DOCUMENTED.partition(f"| {heading} |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell.strip()) for cell in line.split("|")[1:-1]] for line in lines]


# ---------------------------------------------------------------- help, version, exit codes


def test_help_and_documentation_print_the_exit_codes_of_the_code() -> None:
    assert table("exit code") == [[str(int(code)), code.meaning, code.remedy] for code in ExitCode]
    help_text = " ".join(CliRunner().invoke(cli.main, ["-h"]).output.partition("Exit codes:")[2].split())
    said = (" - ".join(filter(None, (code.meaning, code.remedy))) for code in ExitCode)
    assert help_text == " ".join(f"{int(code)} {text}" for code, text in zip(ExitCode, said, strict=True))


def test_each_error_of_a_refresh_has_an_exit_code_of_its_own() -> None:
    raised = [
        error.exit_code for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)
    ]
    assert sorted(raised) == sorted({*ExitCode} - {ExitCode.DONE})
    assert {*cli.main.commands["refresh"].ends_with} == {*ExitCode}


@pytest.mark.parametrize("name", sorted(cli.main.commands))
def test_the_help_of_a_command_has_examples_that_it_accepts_and_its_exit_codes(name: str) -> None:
    entry = cli.main.commands[name]
    help_text = CliRunner().invoke(cli.main, [name, "-h"]).output
    assert help_text == CliRunner().invoke(cli.main, [name, "--help"]).output
    assert entry.examples
    for example in entry.examples:
        assert f"\n  ai-manufacturing {example}\n" in help_text
        first, *arguments = shlex.split(example.partition(" > ")[0])
        assert first == name
        entry.make_context(name, arguments)
    codes = re.findall(r"^  (\d)  ", help_text.partition("Exit codes:")[2], re.MULTILINE)
    assert codes == [str(int(code)) for code in entry.ends_with]
    assert {"0", "1", "2"} <= {*codes}


def test_an_example_that_is_wrong_would_be_seen() -> None:
    with pytest.raises(click.UsageError, match="No such option"):
        cli.main.commands["status"].make_context("status", ["--jsn"])


@pytest.mark.parametrize("years", ["2020:2018", "2018-2020", "all"])
def test_years_that_are_none_are_refused(years: str) -> None:
    with pytest.raises(click.BadParameter, match="first and last year such as 2018:2020"):
        cli.main.commands["refresh"].make_context("refresh", ["--years", years])


def test_the_version_is_that_of_the_project(sample_build: Build) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    run = sample_build.command("--version")
    assert (run.returncode, run.stdout) == (0, f"ai-manufacturing {version}\n")


# ---------------------------------------------------------------- JSON


def keys(row: str) -> set[str]:
    """Return the keys that docs/refresh.md lists of a document or an object."""
    rows = dict([*table("command | keys of the document"), *table("object | keys")])
    return {*re.findall(r"`(\w+)`", rows[row].partition(";")[0])}


@pytest.fixture
def asked(store: Store, audited_build: Build) -> Callable[..., Result]:
    """Return a function that runs a command on the store, in this process as it has the imports."""
    environment = {**audited_build.environment, "RELEASE_DIR": str(store.folder), "RELEASE_PATH": str(store.published)}
    return lambda *arguments: CliRunner().invoke(cli.main, arguments, env=environment)


def document(run: Result, code: int, name: str) -> dict[str, Any]:
    """Return the one document that a command printed, which has the documented keys, and nothing else."""
    assert run.exit_code == code, run.output
    found: dict[str, Any] = json.loads(run.stdout)
    assert found.keys() == keys(f"`{name}`")
    return found


def test_with_nothing_published_the_documents_are_there_and_the_codes_are_not_zero(
    asked: Callable[..., Result], store: Store
) -> None:
    run = asked("status", "--json")
    assert document(run, 1, "status") == {
        "path": str(store.published),
        "release": None,
        "anchor": None,
        "providers": [],
        "last_refresh": None,
        "last_attempt": None,
        "last_publication": None,
        "running": None,
    }
    assert "nothing is published yet. `ai-manufacturing refresh`" in run.stderr
    run = asked("releases", "--json")
    assert document(run, 1, "releases") == {"releases": []}
    assert "no release is kept there. `ai-manufacturing refresh`" in run.stderr


def test_commands_that_read_print_one_json_document(
    asked: Callable[..., Result], store: Store, audited_build: Build, tmp_path: Path
) -> None:
    release(store, audited_build.warehouse)
    ((old, error),) = audited_build.rows(
        "select estimate, std_error from reports.rpt_coefficients "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'"
    )
    moved = changed(
        audited_build.warehouse,
        tmp_path / "moved.duckdb",
        "update reports.rpt_coefficients set estimate = estimate + 2 * std_error "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'",
        "update marts.fct_city_year_panel set ln_gdp = null where city_id = '440300' and year in (2016, 2018)",
    )
    release(store, moved)
    store.record({"release_id": "000002", "at": "2026-11-24T00:00:00+00:00", "outcome": "published"})

    listed = document(asked("releases", "--json"), 0, "releases")["releases"]
    assert [(row["release_id"], row["is_published"]) for row in listed] == [("000001", False), ("000002", True)]
    assert listed[0].keys() == keys("`release` of `status`, each of `releases`")

    run = command(store, audited_build, "status", "--json")
    assert (run.returncode, run.stderr) == (0, "")
    status = json.loads(run.stdout)
    assert status.keys() == keys("`status`")
    assert {name: value for name, value in status["release"].items() if name != "age_days"} == listed[1]
    assert (listed[1]["extract_set"], listed[1]["extract_set_kind"]) == ("sample", "synthetic")
    assert status["release"]["age_days"] > 0
    assert status["anchor"].keys() == keys("`anchor`")
    assert (listed[1]["is_anchor"], status["anchor"]["release_id"]) == (True, "000002")
    (vendor,) = status["providers"]
    assert vendor.keys() == keys("each of `providers`")
    assert (vendor["provider"], vendor["warn_after_days"], vendor["is_stale"]) == ("vendor", 400, False)
    assert status["last_refresh"].keys() == keys("`last_refresh`")
    assert (status["last_refresh"]["outcome"], status["last_refresh"]["message"]) == ("published", None)

    diff = document(asked("diff", "000001", "000002", "--json"), 0, "diff")
    assert diff["counts"] == {"cell_changed": 2, "estimate_changed": 1}
    assert diff["largest_move"] == pytest.approx(2)
    assert diff["cells"] == [
        {"column_name": "ln_gdp", "count": 2, "cities": 1, "first_year": 2016, "last_year": 2018,
         "largest_relative_change": None, "largest_change": None}
    ]  # fmt: skip
    (estimate,) = diff["estimates"]
    assert (estimate["specification_id"], estimate["term"]) == ("table_1_col_1", "ai_firms")
    assert (estimate["old_value"], estimate["new_value"]) == pytest.approx((old, old + 2 * error))
    assert asked("diff", "000001", "000002").stdout == (
        "ln_gdp: 2 cells of 1 cities changed, 2016-2018, from or to missing\n"
        f"table_1_col_1 ai_firms: {old:.4g} ({error:.4g}) -> {old + 2 * error:.4g} ({error:.4g}), 2.00 standard errors"
        + (", intervals apart" if estimate["is_interval_changed"] else "")
        + (", stars" if estimate["is_stars_changed"] else "")
        + "\n"
    )

    known = document(asked("sources", "--json"), 0, "sources")
    assert {(row["provider"], row["link"]) for row in known["delivered"]} == {("vendor", None)}
    (prices,) = (row for row in known["absent"] if row["series"] == "consumer_price_level")
    (place,) = prices["sources"]
    assert place["source_name"] == "consumer_prices"
    assert (place["folder"], place["file_name"], place["estimable"]) == ("prices", "CRE_Pi01*.xlsx", [])
    assert ("table_1_col_1_2010_prices" in prices["specifications"], prices["last_missing_of"]) == (True, [])
    assert known["is_judged"]
    assert known["absent"][0].keys() == keys("each of `absent`")
    assert place.keys() == keys("each of `sources` of a series")
    assert place["link"].startswith("https://github.com/Aliebc/PRHS_Data/blob/1d1a5bff7e49")
    told = asked("sources").stdout
    waiting = (PROJECT / "seeds/regression_specifications.csv").read_text(encoding="utf-8").count("_2010_prices,ai_")
    assert f"  consumer_price_level (total): Consumer prices of the province, for {waiting} specifications\n" in told

    refused = asked("compare", "--json", "--markdown", "a", "b")
    assert (refused.exit_code, refused.stdout, "give one" in refused.stderr) == (2, "", True)
    absent = asked("diff", "000001", "000009", "--json")
    assert (absent.exit_code, absent.stdout) == (2, "")
    assert "No release 000009. There are: 000001, 000002." in absent.stderr


# ---------------------------------------------------------------- colours


def test_colours_are_for_a_terminal(light_build: Build) -> None:
    arguments = ("trace", "--specification", "none")
    code, _, seen = on_terminal(light_build, *arguments, both=True)
    assert code == 2
    first, second = seen.splitlines()
    assert re.fullmatch(r"\x1b\[33msample \(SYNTHETIC: .*\x1b\[0m", first)
    assert second.startswith("\x1b[31m\x1b[1mError\x1b[0m: No specification 'none'. Close to it: ")
    code, printed, _ = on_terminal(light_build, *arguments)
    assert (code, printed.startswith("sample (SYNTHETIC: "), "\x1b" in printed) == (2, True, False)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colours_gets_none(environment: dict[str, str], audited_build: Build) -> None:
    code, _, seen = on_terminal(audited_build, "rollback", "1", both=True, **environment)
    assert (code, seen.startswith("Error: '1' is not a release number."), "\x1b" in seen) == (2, True, False)


# ---------------------------------------------------------------- progress


def models() -> dict[str, int]:
    """Return the models of each layer by their files; an ephemeral one is no step, but part of what reads it."""
    files = [*(PROJECT / "models").glob("*/**/*.sql"), *(PROJECT / "python_models").glob("*/**/*.py")]
    files = [path for path in files if "ephemeral" not in path.read_text(encoding="utf-8")]
    layers = Counter(path.relative_to(PROJECT).parts[1] for path in files)
    return {layer: count for layer, count in layers.items() if layer != "staging"}


def test_progress_counts_the_models_of_each_layer_of_a_build(sample_build: Build, tmp_path: Path) -> None:
    written = (sample_build.scratch / "logs/dbt.log").read_bytes()
    path, manifest = tmp_path / "dbt.log", tmp_path / "manifest.json"
    log = progress.Log(path, manifest)
    assert str(log.progress()) == "reading the project"

    shutil.copy(sample_build.scratch / "target/manifest.json", manifest)
    middle = len(written) // 2
    path.write_bytes(written[:middle])  # within a line
    half = log.progress()
    assert 0 < half.done < half.total
    at_work = [f"{layer} {done}/{total}" for layer, (done, total) in half.layers.items() if done < total]
    assert str(half) == f"{half.done} of {half.total} steps, {', '.join(at_work) or 'seeds and tests'}"

    path.write_bytes(written)
    whole = log.progress()
    expected = models()
    assert whole.layers == {layer: (count, count) for layer, count in expected.items()}
    assert next(iter(whole.layers)) == "landing"
    assert whole.done == whole.total > sum(expected.values())
    assert {layer: total for layer, (_, total) in half.layers.items()}.items() <= expected.items()


# ---------------------------------------------------------------- names of cities


def test_a_release_without_english_names_has_the_chinese_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    with duckdb.connect() as connection:
        assert city_names.by_id(connection) == {}
        connection.execute("create schema marts")
        connection.execute("create table marts.dim_city as select '440300' as city_id, '深圳市' as name_zh")
        assert city_names.by_id(connection) == {"440300": "深圳市"}
        connection.execute(
            "create or replace table marts.dim_city as select *, 'Shenzhen' as name_en from marts.dim_city"
        )
        assert city_names.by_id(connection) == {"440300": "Shenzhen"}
        monkeypatch.setenv("LC_ALL", "")
        monkeypatch.setenv("LANG", "zh_CN.UTF-8")
        monkeypatch.delenv("LC_MESSAGES", raising=False)
        assert city_names.by_id(connection) == {"440300": "深圳市"}
