"""Test delivery folders and the landing store: file names, links, permissions and killed runs."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_manufacturing import landing
from ai_manufacturing.landing import extracts, log
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.errors import BadConfigurationError
from tests.python.landing_project import (
    FIRMS,
    GOOD,
    REGISTER,
    Project,
    csv_text,
    fault,
    made_in,
    recorded,
    zipped,
)
from tests.python.test_landing import FAULTY

OTHER = ("120000", 2020, 1, 1)
NOBODY = 65534


def numbers() -> list[tuple[int, str, int | None]]:
    columns = ("delivery_number", "file_path", "valid_until_delivery")
    return recorded(*columns)  # type: ignore[return-value]


def gbk(project: Project, folder: str, name: str, text: str) -> Path:
    path = project.deliver(f"{folder}/x", text)
    return path.rename(os.fsdecode(os.fsencode(path.parent) + b"/" + name.encode("gb18030")))


def test_a_name_that_is_not_utf_8_lands_escaped_and_answers_to_its_declaration(
    project: Project,
) -> None:
    project.declare(FIRMS.replace("firms/*", "firms/企业_*.csv") + REGISTER)
    path = gbk(project, "firms", "企业_2020.csv", csv_text(GOOD))
    gbk(project, "register", "登记.csv", "编号,经营范围\n1,人工智能\n")
    undeclared = project.deliver("firms/a", "x")
    undeclared.rename(os.fsdecode(os.fsencode(undeclared.parent) + b"/\xff\xfe.csv"))
    project.deliver("firms/a\\b\n.csv", "x")
    escaped = "firms/\\xc6\\xf3\\xd2\\xb5_2020.csv"
    table = {row["file_path"]: row for row in landing.land_deliveries().to_pylist()}
    assert table[escaped]["record_count"] == 1
    assert table["register/\\xb5\\xc7\\xbc\\xc7.csv"]["record_count"] == 1
    assert table["firms/\\xff\\xfe.csv"]["source_name"] is None
    assert table["firms/a\\\\b\\x0a.csv"]["source_name"] is None
    # The escaped path can be decoded to the original bytes of the file name.
    raw = escaped.encode().decode("unicode_escape").encode("latin-1")
    assert raw == os.fsencode(path.relative_to(project.root / "extracts"))
    assert set(fingerprint.hash_deliveries(project.root / "extracts")) == set(table)


def test_what_is_wrong_with_a_file_of_such_a_name_or_its_members_is_one_line(
    project: Project,
) -> None:
    content = zipped(**{"企业.csv": csv_text(GOOD)})
    project.deliver("firms/a.zip", content.replace("企业".encode(), b"\xff\xfe\xfd\xff\xfe\xfd"))
    gbk(project, "firms", "空.csv", "")
    assert fault().splitlines() == [
        "firms/\\xbf\\xd5.csv: the file is empty. Ask the provider for the file again.",
        "firms/a.zip: the file is not a complete zip archive. Ask the provider for the file again.",
    ]


def test_a_folder_replaced_by_a_link_to_its_files_is_the_same_delivery(
    project: Project, tmp_path: Path
) -> None:
    project.deliver("firms/2019.csv", csv_text(GOOD))
    project.deliver("firms/2020.csv", csv_text(OTHER))
    before = landing.land_deliveries()
    (project.root / "extracts/firms").rename(tmp_path / "elsewhere")
    (project.root / "extracts/firms").symlink_to(tmp_path / "elsewhere")
    assert landing.land_deliveries() == before
    (project.root / "extracts").rename(tmp_path / "moved")
    (project.root / "extracts").symlink_to(tmp_path / "moved")
    assert landing.read_extract_set(project.root / "extracts").name == "extracts"
    assert numbers() == [(1, "firms/2019.csv", None), (2, "firms/2020.csv", None)]


def test_links_in_a_circle_end_and_links_to_nothing_are_named(project: Project) -> None:
    project.declare(FIRMS.replace("firms/*", "**"))
    project.deliver("README_2020/a.csv", csv_text(OTHER)).with_name("README").symlink_to("nowhere")
    project.deliver_rows(GOOD)
    (project.root / "extracts/firms/up").symlink_to(project.root / "extracts")
    (project.root / "extracts/firms/here").symlink_to(".")
    assert recorded("file_path") == [("README_2020/a.csv",), ("firms/a.csv",)]
    (project.root / "extracts/firms/gone.csv").symlink_to("nowhere.csv")
    (project.root / "extracts/firms/.#lock").symlink_to("nowhere")
    (project.root / "extracts/firms/self.csv").symlink_to("self.csv")
    way_out = "Correct its permissions. If it is a link, restore its target, or delete the link."
    assert fault().splitlines() == [
        f"firms/gone.csv: the file cannot be read (No such file or directory). {way_out}",
        f"firms/self.csv: the file cannot be read (Too many levels of symbolic links). {way_out}",
    ]


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Yield a project in a world-writable folder, running as `nobody` if the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        project = made_in(Path(folder), monkeypatch)
        Path(folder).chmod(0o777)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        try:
            yield project
        finally:
            if is_root:
                os.seteuid(0)


def test_a_named_pipe_is_named_and_not_waited_for(project: Project) -> None:
    project.deliver_rows(GOOD)
    os.mkfifo(project.root / "extracts/firms/b.csv")
    assert (
        fault()
        == "firms/b.csv: it is neither a file nor a folder. Deliver a regular file, or remove"
        " it from the extracts folder."
    )
    with pytest.raises(BadConfigurationError, match=r"firms/b\.csv: it is neither a file"):
        fingerprint.hash_deliveries(project.root / "extracts")


def test_a_sparse_file_is_refused_by_its_size(project: Project) -> None:
    with project.deliver("firms/huge.csv", b"").open("wb") as sparse:
        sparse.truncate(40 * 10**9)
    assert (
        fault() == "firms/huge.csv: the file has 40,000,000,000 bytes, which exceeds the limit of"
        " 4,294,967,296 bytes. If this size is correct, deliver the file in parts. If each row"
        " describes a firm or a patent, declare the file as a register instead."
    )


def test_folders_and_files_that_may_not_be_read_are_named(unprivileged: Project) -> None:
    file = unprivileged.deliver("firms/a.csv", csv_text(GOOD))
    folder = unprivileged.deliver("firms/2020/a.csv", csv_text(GOOD)).parent
    unprivileged.deliver("extract_set.yml", "name: autumn")
    file.chmod(0)
    folder.chmod(0)
    denied = "cannot be read (Permission denied). Correct its permissions"
    assert fault().splitlines() == [
        f"firms/2020: the folder {denied}, or remove it from the extracts folder.",
        f"firms/a.csv: the file {denied}.",
    ]
    with pytest.raises(BadConfigurationError, match="firms/2020: the folder cannot be read"):
        fingerprint.hash_deliveries(unprivileged.root / "extracts")
    folder.chmod(0o700)
    (unprivileged.root / "extracts/extract_set.yml").chmod(0)
    assert fault() == f"extract_set.yml {denied}."


def test_a_description_that_names_no_set_is_refused_in_one_line(project: Project) -> None:
    project.deliver_rows(GOOD)
    described = [(entry["described"], entry["message"]) for entry in FAULTY["sets"]]
    described += [
        ("name: a\nname: b", 'is not a YAML mapping (found duplicate key "name" with value "b" ('),
        (
            "name: " + "秋" * 40,
            f"name is '{'秋' * 40}', but the value must have at most 255 bytes when it"
            " is percent-encoded as a folder name",
        ),
    ]
    for text, message in described:
        project.deliver("extract_set.yml", text)
        (line,) = fault().splitlines()
        assert line.startswith((f"extract_set.yml: {message}", f"extract_set.yml {message}")), line
    assert not (project.root / "landing").exists()


def test_the_past_of_a_set_without_deliveries_names_the_others(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deliver_rows(GOOD)
    project.deliver("extract_set.yml", "name: autumn")
    landing.land_deliveries()
    (project.root / "extracts").rename(project.root / "spring")
    monkeypatch.setenv("EXTRACTS_DIR", "spring")
    (project.root / "spring/extract_set.yml").unlink()
    unknown = (
        "as_of_delivery 1: the landing store has no deliveries of spring. Its extract sets are:"
        " autumn."
    )
    with pytest.raises(landing.LandingError, match=unknown):
        landing.land_deliveries(as_of=1)
    assert recorded("extract_set") == [("spring",)]
    assert log.list_extract_sets(project.root / "landing") == ["autumn", "spring"]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from ai_manufacturing import landing
    from ai_manufacturing.landing import store

    def stop(*_):
        print("in the middle", flush=True)
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.stdin.readline()
        return publish_folder(*_)

    publish_folder, store.publish_folder = store.publish_folder, stop
    landing.land_deliveries()
"""


def run(how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def drafts(project: Project) -> list[str]:
    found = [
        path
        for path in (project.root / "landing").rglob(".*")
        if not path.name.startswith(".spill")
    ]
    return [path.relative_to(project.root / "landing").as_posix() for path in found]


def test_what_a_dead_run_left_goes_and_what_a_live_one_writes_stays(project: Project) -> None:
    project.deliver_rows(GOOD)
    with run("killed") as killed:
        assert killed.wait() == -signal.SIGKILL
    (litter,) = drafts(project)
    hidden = project.root / "landing/.git"
    hidden.mkdir()
    log_draft = project.root / "landing/log" / f".deliveries.jsonl.head.{'0' * 32}"
    log_draft.parent.mkdir(parents=True)
    log_draft.touch()

    with run("waits") as live:
        assert live.stdout is not None
        assert live.stdout.readline() == "in the middle\n"
        # The live run removed the draft of the killed run, because no other run was active when it
        # started.
        (draft,) = {*drafts(project)} - {".git"}
        assert draft != litter
        landing.land_deliveries()
        assert draft in drafts(project)
        live.communicate("\n")
    assert live.returncode == 0
    assert drafts(project) == [".git"]
    assert numbers() == [(1, "firms/a.csv", None)]


def test_a_store_that_cannot_be_made_or_named_is_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = project.deliver_rows(GOOD)
    monkeypatch.setenv("LANDING_DIR", str(taken / "landing"))
    assert (
        fault() == f"{taken / 'landing'}: the landing store cannot be opened (Not a directory). Set"
        " LANDING_DIR"
        " to a folder that you can read and write."
    )
    monkeypatch.setenv("LANDING_DIR", str(project.root / os.fsdecode("库".encode("gbk"))))
    assert (
        fault() == rf"{project.root}/\xbf\xe2: the name of this folder is not valid UTF-8. Set"
        r" LANDING_DIR to another folder."
    )


def test_the_store_has_one_set_of_permissions_whatever_the_umask(project: Project) -> None:
    project.declare(FIRMS + REGISTER)
    project.deliver_rows(GOOD)
    project.deliver("register/a.csv", "编号,经营范围\n1,人工智能\n")
    before = os.umask(0o077)
    try:
        landing.land_deliveries()
        landed = project.root / "landing"
        modes = {
            (path.is_dir(), stat.S_IMODE(path.stat().st_mode))
            for path in (landed, *landed.rglob("*"))
        }
        assert modes == {(True, 0o755), (False, 0o644)}
        # New files in the landing store follow the permissions that the store's owner has set.
        landed.chmod(0o770)
        project.deliver_rows(OTHER, to="firms/b.csv")
        known = {*landed.rglob("*")}
        landing.land_deliveries()
        new = {*landed.rglob("*")} - known
        assert {stat.S_IMODE(path.stat().st_mode) for path in new} == {0o770, 0o660}
    finally:
        os.umask(before)


def test_hidden_and_unfinished_folders_are_not_delivered(tmp_path: Path) -> None:
    for name in (
        "a.csv",
        "2019/b.csv",
        ".git/objects/c.csv",
        "_temporary/0/d.csv",
        "2019/.e/f.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    faults: list[str] = []
    found = [name for _, name in extracts.walk_folder(tmp_path, faults)]
    assert (found, faults) == (["2019", "2019/b.csv", "a.csv"], [])
