"""Tests for features that all commands share: help, version, exit codes, JSON and progress."""

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from ai_manufacturing import cli
from ai_manufacturing.auditing import city_names
from ai_manufacturing.cli import console
from ai_manufacturing.refresh import progress
from ai_manufacturing.releases import errors
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system.exit_codes import ExitCode
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import changed, command, release
from tests.python.terminal import on_terminal

DOCUMENTED = "".join(
    (PROJECT / page).read_text(encoding="utf-8") for page in ("docs/refresh.md", "docs/json.md")
)


def forbid_other_keys(schema: Any) -> Any:
    """Return a JSON schema whose objects contain their documented keys only."""
    if isinstance(schema, list):
        return [forbid_other_keys(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if isinstance(schema.get("required"), list) else {}
    return closed | {name: forbid_other_keys(part) for name, part in schema.items()}


STATUS = Draft202012Validator(
    forbid_other_keys(json.loads((PROJECT / "docs/status.schema.json").read_text(encoding="utf-8")))
)


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table with this heading in the documentation, without links."""
    _, _, rest = DOCUMENTED.partition(f"| {heading} |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [
        [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cell.strip()) for cell in line.split("|")[1:-1]]
        for line in lines
    ]


def test_help_and_documentation_print_the_exit_codes_of_the_code() -> None:
    assert table("exit code") == [[str(int(code)), code.meaning, code.remedy] for code in ExitCode]
    help_text = CliRunner().invoke(cli.main, ["-h"]).output.partition("Exit codes:")[2]
    said = (" - ".join(filter(None, (code.meaning, code.remedy))) for code in ExitCode)
    printed = " ".join(f"{int(code)} {text}" for code, text in zip(ExitCode, said, strict=True))
    # Help wraps lines at spaces and after hyphens, so compare without whitespace.
    assert "".join(help_text.split()) == "".join(printed.split())


def test_each_error_of_a_refresh_has_an_exit_code_of_its_own() -> None:
    raised = [
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, Exception)
    ]
    of_a_refresh = {*ExitCode} - {ExitCode.UNSIGNED}
    assert sorted(raised) == sorted(of_a_refresh - {ExitCode.DONE})
    assert {*cli.main.commands["refresh"].exit_codes} == of_a_refresh


@pytest.mark.parametrize("name", sorted(cli.main.commands))
def test_the_help_of_a_command_has_examples_that_it_accepts_and_its_exit_codes(name: str) -> None:
    entry = cli.main.commands[name]
    help_text, short = (
        CliRunner().invoke(cli.main, [name, flag]).output for flag in ("--help", "-h")
    )
    assert help_text == short
    assert entry.examples
    for example in entry.examples:
        assert f"\n  ai-manufacturing {example}\n" in help_text
        first, *arguments = shlex.split(example.partition(" > ")[0])
        assert first == name
        entry.make_context(name, arguments)
    codes = re.findall(r"^  (\d+) +", help_text.partition("Exit codes:")[2], re.MULTILINE)
    assert codes == [str(int(code)) for code in entry.exit_codes]
    # The help of a command must not explain other commands, except in `refresh`.
    others = {other for other in cli.main.commands if other != name and f"`{other}`" in help_text}
    assert name == "refresh" or not others & {"compare", "judge", "verify", "status", "releases"}
    assert {"0", "1", "2"} <= {*codes}


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run = CliRunner().invoke(cli.main, ["--version"])
    assert (run.exit_code, run.stdout) == (0, f"ai-manufacturing {project['version']}\n")


def keys(subject: str) -> set[str]:
    """Return the JSON keys that docs/json.md documents for a command or an object."""
    pattern = rf"^- {re.escape(subject)} (?:prints|contains?) the keys? (.+?)\.\s"
    (listed,) = re.findall(pattern, DOCUMENTED, re.MULTILINE | re.DOTALL)
    return {*re.findall(r"`(\w+)`", listed)}


@pytest.fixture
def asked(store: Store, small_build: Build) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs an `ai-manufacturing` command on the release store."""
    return partial(command, store, small_build)


def document(run: subprocess.CompletedProcess[str], name: str, code: int = 0) -> dict[str, Any]:
    """Parse a command's output, which must be one JSON document with the documented keys."""
    assert run.returncode == code, run.stdout + run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    if name == "status":
        STATUS.validate(found)
    else:
        assert found.keys() == keys(f"`{name}`")
    return found


def test_with_nothing_published_the_documents_are_there_and_the_codes_are_not_zero(
    asked: Callable[..., Any], store: Store
) -> None:
    run = asked("status", "--json")
    empty = {"path": str(store.published_path), "providers": [], "stale_relations": []}
    assert document(run, "status", 1) == dict.fromkeys(STATUS.schema["required"]) | empty
    assert "no release has been published yet. Run `ai-manufacturing refresh`" in run.stderr
    run = asked("releases", "--json")
    assert document(run, "releases", 1) == {"releases": []}
    assert "contains no releases. Run `ai-manufacturing refresh`" in run.stderr


def test_commands_that_read_print_one_json_document(
    asked: Callable[..., Any], store: Store, small_build: Build, tmp_path: Path
) -> None:
    release(store, small_build.warehouse)
    moved = changed(
        small_build.warehouse,
        tmp_path / "moved.duckdb",
        "update reports.rpt_coefficients set estimate = estimate + 2 * std_error "
        "where specification_id = 'table_1_col_1' and term = 'ai_firms'",
        "update marts.fct_city_year_panel set ln_gdp = null where city_id = '440300' and year in"
        " (2016, 2018)",
    )
    release(store, moved)
    last = {"release_id": "000002", "at": "2026-11-24T00:00:00+00:00", "outcome": "published"}
    store.append_to_log(last)

    listed = document(asked("releases", "--json"), "releases")["releases"]
    published = [(row["release_id"], row["is_published"], row["is_anchor"]) for row in listed]
    assert published == [("000001", False, False), ("000002", True, True)]
    assert listed[0].keys() == keys("Each object in `releases`")

    status = document(asked("status", "--json"), "status")
    assert status["release"].pop("age_days") > 0
    assert status["release"].pop("headlines") == {"specification_count": 2, "estimated_count": 2}
    assert status["release"] == listed[1]
    assert (listed[1]["extract_set"], listed[1]["extract_set_kind"]) == ("sample", "synthetic")
    assert [one["provider"] for one in status["providers"]] == ["vendor"]
    assert last.items() <= status["last_publication"].items()

    diff = document(asked("diff", "000001", "000002", "--json"), "diff")
    assert diff["counts"] == {"cell_changed": 2, "estimate_changed": 1}
    assert diff["largest_move"] == pytest.approx(2)
    years = "is neither a year nor a range of years such as 2018:2020"
    for arguments, said in (
        (("refresh", "--years", "2020:2018"), years),
        (("refresh", "--years", "2018-2020"), years),
        (("compare", "--json", "--markdown", "a", "b"), "Give only one of them"),
        (
            ("diff", "000001", "000009", "--json"),
            "There is no release 000009. Existing releases: 000001, 000002.",
        ),
    ):
        refused = asked(*arguments)
        assert (refused.returncode, refused.stdout, said in refused.stderr) == (2, "", True)


def test_sources_are_one_json_document(store: Store, audited_build: Build) -> None:
    release(store, audited_build.warehouse)
    known = document(command(store, audited_build, "sources", "--json"), "sources")
    delivered = [(row["provider"], row["link"]) for row in known["delivered"]]
    assert {*delivered} == {("vendor", None)}
    assert known["is_judged"] is True
    (prices,) = (row for row in known["absent"] if row["series"] == "consumer_price_level")
    (place,) = prices["sources"]
    assert prices.keys() == keys("Each object in `absent`")
    assert place.keys() == keys("Each object in `sources` of a series")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (duckdb.InterruptException, "WAREHOUSE_PROCESSOR_LIMIT"),
        (duckdb.OutOfMemoryException, "WAREHOUSE_MEMORY_LIMIT"),
        (duckdb.PermissionException, "LANDING_DIR"),
        (duckdb.IOException, "Name another file with --database"),
    ],
)
def test_an_error_of_duckdb_names_the_setting_that_helps(
    error: type[duckdb.Error], advice: str
) -> None:
    @console.command()
    def read() -> None:
        raise error("a reason")

    said = CliRunner().invoke(read).output
    assert "The file cannot be read: a reason. " in said
    assert advice in said


def test_colours_are_for_a_terminal_that_wants_them(light_build: Build) -> None:
    arguments = ("trace", "--specification", "none")
    code, _, seen = on_terminal(light_build, *arguments, both=True)
    assert code == 2
    first, second = seen.splitlines()
    assert re.fullmatch(r"\x1b\[33msample \(SYNTHETIC: .*\x1b\[0m", first)
    wrong = "\x1b[31m\x1b[1mError\x1b[0m: There is no specification 'none'. Similar names: "
    assert second.startswith(wrong)
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        _, _, seen = on_terminal(light_build, *arguments, both=True, **environment)
        assert seen == click.unstyle(f"{first}\n{second}\n")
    _, printed, _ = on_terminal(light_build, *arguments)
    assert printed == click.unstyle(f"{first}\n")


def test_progress_counts_the_steps_of_a_build(tmp_path: Path) -> None:
    def line(kind: str, name: str) -> str:
        data = {"total": 4, "node_info": {"unique_id": name}}
        return json.dumps({"info": {"name": kind}, "data": data}) + "\n"

    path = tmp_path / "dbt.log"
    log = progress.Log(path)
    assert log.read_progress() == "reading the project"
    started, ended = line("LogStartLine", "raw"), line("LogModelResult", "raw")
    path.write_text(started + ended[:9])
    assert log.read_progress() == "0 of 4 steps", "half a line counts not yet"
    path.write_text(
        started + ended + line("LogStartLine", "panel") + line("SkippingDetails", "unique")
    )
    assert log.read_progress() == "2 of 4 steps"
    with path.open("a") as file:
        file.write(line("MainReportVersion", "") + started + line("LogTestResult", "gate"))
    assert log.read_progress() == "3 of 6 steps"


def test_names_of_cities_are_in_the_language_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    city = "select '440300' as city_id, '深圳市' as name_zh, 'Shenzhen' as name_en"
    with duckdb.connect() as connection:
        assert city_names.read_city_names(connection) == {}
        connection.execute(f"create schema marts; create table marts.dim_city as {city}")
        assert city_names.read_city_names(connection) == {"440300": "Shenzhen"}
        zh, en = ("zh_CN.UTF-8", "深圳市"), ("en_US.UTF-8", "Shenzhen")
        # Of the variables that are set, the first of the three decides.
        for deciding, name in enumerate(names := ("LC_ALL", "LC_MESSAGES", "LANG")):
            for (locale, city_name), (other, _) in ((zh, en), (en, zh)):
                values = [""] * deciding + [locale] + [other] * (len(names) - deciding - 1)
                for variable, value in zip(names, values, strict=True):
                    monkeypatch.setenv(variable, value)
                assert city_names.read_city_names(connection) == {"440300": city_name}, name
