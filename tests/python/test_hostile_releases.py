"""Test that a malicious release file cannot run commands, read other files or block a command."""

import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ai_manufacturing import replication
from ai_manufacturing.releases.manifest import JSON_COLUMNS, MANIFEST_COLUMNS
from ai_manufacturing.replication import contents
from ai_manufacturing.system import duckdb_client, integrity
from ai_manufacturing.system.exit_codes import ExitCode
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import changed, edit
from tests.python.test_replication_package import foreign

SECRET = "the reader's own words"
# Timeout in seconds. Only a command that hangs should reach it.
LAST_RESORT = 900
RUN = """
import json, sys
from click.testing import CliRunner
from ai_manufacturing import cli

ended = []
for arguments in json.loads(sys.argv[1]):
    run = CliRunner().invoke(cli.main, arguments)
    is_crash = run.exception is not None and not isinstance(run.exception, SystemExit)
    ended.append([run.exit_code, run.output, repr(run.exception) if is_crash else ""])
print(json.dumps(ended))
"""
VALUES = {name: "{}" if name in JSON_COLUMNS else "1" for name in MANIFEST_COLUMNS}
MANIFEST = ", ".join(f"'{value}' as {name}" for name, value in VALUES.items())
DELIVERIES = "create table raw.deliveries as select 'a' as extract_set, 'delivered' as"
WAREHOUSE = ("create schema raw", f"{DELIVERIES} extract_set_kind", "create schema marts")
RELEASE = (
    *WAREHOUSE,
    "create schema release",
    f"create table release.manifest as select {MANIFEST}",
)
NAME = "hostile.duckdb"
Made = Callable[[Path], Path]
"""Creates a hostile file in a folder that contains secret.txt, and returns its path."""


def database(folder: Path, *statements: str, of: tuple[str, ...] = RELEASE) -> Path:
    named = (statement.replace("{folder}", str(folder)) for statement in (*of, *statements))
    return edit(folder / NAME, *named)


def holding(*statements: str, of: tuple[str, ...] = RELEASE) -> Made:
    return lambda folder: database(folder, *statements, of=of)


def a_view_on_a_pipe(folder: Path) -> Path:
    rows = folder / "rows.csv"
    rows.write_text("a\n1\n", "utf-8")
    path = database(folder, "create view marts.dim_city as from read_csv('{folder}/rows.csv')")
    rows.unlink()
    os.mkfifo(rows)
    return path


def a_view_in_a_log(folder: Path) -> Path:
    """Return a database whose write-ahead log contains a view that reads secret.txt."""
    path = database(folder)
    program = (
        "import duckdb, os, sys; connection = duckdb.connect(sys.argv[1])\n"
        "connection.execute(\"set checkpoint_threshold = '1TB'\")\n"
        "text = f\"read_text('{sys.argv[2]}')\"\n"
        "connection.execute(f'create view marts.dim_city as from {text}')\n"
        "os._exit(0)"
    )
    arguments = [sys.executable, "-c", program, str(path), str(folder / "secret.txt")]
    subprocess.run(arguments, check=True)
    assert path.with_name("hostile.duckdb.wal").exists()
    return path


def at(act: Callable[[Path], object], start: Made = lambda folder: folder / NAME) -> Made:
    """Return a function that makes a hostile file: it calls `act` on the path from `start`."""

    def made(folder: Path) -> Path:
        path = start(folder)
        act(path)
        return path

    return made


def damaged(act: Callable[[Path], object]) -> Made:
    """Return a function that makes a hostile file: it calls `act` on a sound release."""
    return at(act, database)


def changed_to(content: bytes, offset: int) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return change


def a_link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


VIEW = "create view marts.dim_city as "
HOSTILE: dict[str, Made] = {
    "a view on a text": holding(VIEW + "from read_text('{folder}/secret.txt')"),
    "a pipe": at(os.mkfifo),
    "a macro": holding("create macro marts.same(a) as a"),
    "a view on a path": holding(
        "copy (select 1 as a) to '{folder}/rows.parquet'", VIEW + "from '{folder}/rows.parquet'"
    ),
    "a view on a pipe": a_view_on_a_pipe,
    "a view on nothing": holding(VIEW + "select 1 as city_id"),
    "a view that ends never": holding(VIEW + "select count(*) as n from range(1000000000000)"),
    "a view for the manifest": holding(
        "create schema release",
        "create view release.manifest as select content as release_id, content as extract_set, "
        "content as extract_set_kind from read_text('{folder}/secret.txt')",
        "drop table raw.deliveries",
        "create view raw.deliveries as select extract_set, extract_set_kind from release.manifest",
        of=WAREHOUSE,
    ),
    "a macro that is a table": holding(
        "create macro marts.dim_city() as table from read_text('{folder}/secret.txt')"
    ),
    "a computed column": holding(
        "create table marts.dim_city (a int, b text generated always as"
        " (current_setting('temp_directory')))"
    ),
    "a default": holding("create table marts.dim_city (a text default current_setting('schema'))"),
    "a huge cell": holding("create table marts.dim_city as select repeat('a', 300000000) as a"),
    "a huge cell in the manifest": holding(
        "update release.manifest set extract_set = repeat('a', 300000000)"
    ),
    "huge lists": holding(
        "create table marts.dim_city as select repeat([true], 20000000) as a",
        *["insert into marts.dim_city from marts.dim_city limit 1"] * 11,
    ),
    "a huge table": holding(
        "create table marts.dim_city as select 1 as a, 1 as b from range(150000000)"
    ),
    "no manifest": holding("delete from release.manifest"),
    "two manifests": holding("insert into release.manifest from release.manifest"),
    "a view in a log": a_view_in_a_log,
    "a log that is a pipe": damaged(lambda path: os.mkfifo(f"{path}.wal")),
    "another log that is a pipe": damaged(lambda path: os.mkfifo(f"{path}.wal.checkpoint")),
    "a SHA-256 that is a pipe": damaged(lambda path: os.mkfifo(f"{path}{integrity.SUFFIX}")),
    "a version of the future": damaged(changed_to(b"\xff\x7f", 12)),
    "a damaged header": damaged(changed_to(b"\xff" * 4096, 4096)),
    "half a file": damaged(lambda path: os.truncate(path, path.stat().st_size // 2)),
    "no database": at(lambda path: path.write_bytes(b"no database\n" * 10_000)),
    "an empty file": at(Path.touch),
    "a folder": at(Path.mkdir),
    "a link to a text": at(lambda path: path.symlink_to("secret.txt")),
    "a link to a pipe": at(a_link_to_a_pipe),
    "a link to nothing": at(lambda path: path.symlink_to("nothing")),
    "a device": lambda _: Path("/dev/zero"),
}
QUICK = [*HOSTILE][:2]


def ended(folder: Path, commands: list[list[str]], **environment: str) -> list[tuple[int, str]]:
    """Run CLI commands in one subprocess, and return the exit code and output of each command."""
    own = ("WAREHOUSE_PATH", "LANDING_DIR", "RELEASE_DIR", "DBT_TARGET_PATH")
    places = {name: str(folder / "own" / name.lower()) for name in own}
    run = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        cwd=PROJECT,
        env={**os.environ, **places, "DBT_PROJECT_DIR": str(PROJECT), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=LAST_RESORT,
    )
    found = json.loads(run.stdout)
    assert [crash for _, _, crash in found] == [""] * len(commands), run.stdout
    return [(code, output) for code, output, _ in found]


def commands_on(path: Path, out: Path) -> list[list[str]]:
    """Return the arguments of every CLI command that accepts a database, applied to this file."""
    of_database = [
        f"report --out {out}/site",
        f"export --format csv --out {out}/exports",
        "panel --format csv",
        f"table table_1 --format html --out {out}/table.html",
        "trace --specification table_1_col_1",
        "sources",
        f"queries --out {out}/queries.md",
        f"catalogue --out {out}/catalogue.html",
        f"replication-package --out {out}/package.zip",
    ]
    named = [[*line.split(), "--database", str(path)] for line in of_database]
    return [*named, ["compare", str(path), str(path)]]


def with_secret(folder: Path) -> Path:
    folder.mkdir()
    (folder / "secret.txt").write_text(SECRET, "utf-8")
    return folder


def require_no_secret(out: Path, ends: list[tuple[int, str]]) -> None:
    files = [path for path in out.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert not [output for _, output in ends if SECRET in output]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.soak) for name in HOSTILE],
)
def test_no_command_reads_runs_or_awaits_what_a_hostile_file_names(
    name: str, tmp_path: Path
) -> None:
    path = HOSTILE[name](with_secret(tmp_path / "elsewhere"))
    ends = ended(tmp_path, commands_on(path, tmp_path / "out"))
    assert {code for code, _ in ends} == {ExitCode.BAD_CONFIGURATION}, ends
    require_no_secret(tmp_path / "out", ends)
    for _, output in ends:
        assert "hostile.duckdb" in output or "/dev/zero" in output
        assert len(output) < 2000


@pytest.mark.soak
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("select content from read_text('{secret}')", "file system operations are disabled"),
        ("select sum(range)::varchar from range(1000000000000)", "seconds of processor time"),
    ],
)
def test_a_view_of_a_warehouse_reaches_no_other_file_and_ends(
    text: str, words: str, light_build: Build, tmp_path: Path
) -> None:
    secret = with_secret(tmp_path / "elsewhere") / "secret.txt"
    panel = "marts.fct_city_year_panel"
    path = changed(
        light_build.warehouse,
        tmp_path / "hostile.duckdb",
        f"create table marts.delivered as from {panel}",
        f"drop table {panel}",
        f"create view {panel} as select * replace (({text.replace('{secret}', str(secret))}) as"
        " name_zh) from marts.delivered",
    )
    reading_it = ("report", "export", "panel", "compare")
    commands = [each for each in commands_on(path, tmp_path / "out") if each[0] in reading_it]
    ends = ended(tmp_path, commands, WAREHOUSE_PROCESSOR_LIMIT="5")
    require_no_secret(tmp_path / "out", ends)
    for command, (code, output) in zip(commands, ends, strict=True):
        assert code in (ExitCode.FAILED, ExitCode.BAD_CONFIGURATION), command
        assert words in output, (command, output)


def zipped(made: Made) -> Made:
    """Return a function that writes a replication package (ZIP) with a malicious release and
    run.sh.
    """

    def zip_of(folder: Path) -> Path:
        release = made(folder).read_bytes()
        return foreign(folder, f"touch '{folder}/ran'", **{contents.RELEASE: release})

    return zip_of


def a_member(name: str, mode: int = 0) -> Made:
    """Return a function that adds a member, such as a symbolic link, to a malicious package."""

    def add(path: Path) -> None:
        with zipfile.ZipFile(path, "a") as archive:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, str(path.with_name("secret.txt")))

    return at(add, zipped(database))


ZIPS: dict[str, Made] = {
    "a view": zipped(HOSTILE["a view on a text"]),
    "an absolute path": a_member("/tmp/outside.txt"),
    "a link": a_member("output/link.csv", stat.S_IFLNK | 0o777),
    "a view on a pipe": zipped(HOSTILE["a view on a pipe"]),
    "a huge cell": zipped(HOSTILE["a huge cell"]),
} | {name: HOSTILE[name] for name in ("a pipe", "a folder", "an empty file", "a device")}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "a view" else pytest.mark.soak) for name in ZIPS],
)
def test_check_neither_runs_nor_opens_a_hostile_zip(name: str, tmp_path: Path) -> None:
    folder = with_secret(tmp_path / "elsewhere")
    path = ZIPS[name](folder)
    command = ["replication-package", "--check", str(path)]
    ends = ended(tmp_path, [command, [*command, "--yes"]])
    require_no_secret(tmp_path / "out", ends)
    # A symbolic link already fails the checksums, which are verified before the user is asked to
    # confirm the run.
    expected = ExitCode.FAILED if name == "a link" else ExitCode.BAD_CONFIGURATION
    assert [code for code, _ in ends] == [expected, expected]
    assert not [*tmp_path.rglob("ran"), *tmp_path.rglob("outside.txt")]


def test_no_release_of_a_zip_is_opened_before_somebody_says_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_client, "open_in_memory", None)
    with pytest.raises(
        replication.ReplicationError, match="was not run, so no numbers were compared"
    ):
        replication.check_package(zipped(database)(tmp_path), print, lambda _: False)
