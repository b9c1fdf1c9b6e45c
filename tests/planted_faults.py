"""Plant known faults in the code one at a time, and check that the tests detect each fault.

Run `python -m tests.planted_faults`. The faults are listed in tests/fixtures/planted_faults.toml.
Use it to judge a change to the tests: `make test` must find every fault, unless the list marks it
as found by the soak alone. Faults are planted in a copy of the project in which the tests pass
beforehand.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.project_copy import (
    FAILED,
    PROJECT,
    SAMPLE,
    copy_of_the_project,
    pytest_command,
    run,
)

LIST = PROJECT / "tests/fixtures/planted_faults.toml"


@dataclass(frozen=True)
class Fault:
    """Fault to plant in a file, and the tests that should detect the fault.

    Attributes
    ----------
    module : str
        Name of the faulty part in the list, which the command line accepts.
    path : str
        File, relative to the project.
    right, wrong : str
        Text that occurs exactly once in the file, and its faulty replacement.
    found_by : list of str
        IDs of the tests that fail.
    soak : bool
        Whether these tests belong to the soak alone.
    """

    module: str
    path: str
    right: str
    wrong: str
    found_by: list[str]
    soak: bool = False


def faults() -> list[Fault]:
    """Read the faults to plant from planted_faults.toml."""
    return [Fault(**entry) for entry in tomllib.loads(LIST.read_text(encoding="utf-8"))["faults"]]


def plant(fault: Fault, project: Path) -> None:
    """Replace the correct text in a project's file with the faulty text.

    Raises
    ------
    ValueError
        If the right text does not occur exactly once.
    """
    path = project / fault.path
    text = path.read_text(encoding="utf-8")
    if text.count(fault.right) != 1:
        raise ValueError(
            f"{fault.path}: {fault.right!r} stands there {text.count(fault.right)} times. Correct"
            f" {LIST}."
        )
    path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")


def outcome(
    tests: Sequence[str], soak: bool, fault: Fault | None = None
) -> subprocess.CompletedProcess[str]:
    """Run tests in a temporary copy of the project, optionally with a planted fault."""
    with tempfile.TemporaryDirectory() as folder:
        project = copy_of_the_project(Path(folder) / "project")
        shutil.copytree(PROJECT / SAMPLE, project / SAMPLE)
        if fault is not None:
            plant(fault, project)
        kinds = "soak or not soak" if soak else "not soak"
        return run(project, *pytest_command("-m", kinds, *tests))


def main() -> int:
    """Plant each fault, print whether tests found it, and return 1 if any fault was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="of these only, as the list names them")
    parser.add_argument("--soak", action="store_true", help="also faults that only the soak finds")
    arguments = parser.parse_args()
    chosen = [
        fault for fault in faults() if not arguments.modules or fault.module in arguments.modules
    ]
    for fault in chosen:
        if fault.soak and not arguments.soak:
            print(f"left to the soak: {fault.module}: {fault.path}", flush=True)
    planted = [fault for fault in chosen if arguments.soak or not fault.soak]
    # Run the tests without any fault first, because a test that fails anyway detects nothing.
    finders = sorted({test for fault in planted for test in fault.found_by})
    if finders and (control := outcome(finders, arguments.soak)).returncode:
        print("without a fault:", control.stdout[-2000:], control.stderr[-2000:])
        return 1
    missed = 0
    for fault in planted:
        ended = outcome(fault.found_by, fault.soak, fault)
        found = ended.returncode == FAILED
        missed += not found
        print(
            f"{'found' if found else 'MISSED'}: {fault.module}: {fault.path}:"
            f" {fault.wrong.strip()}",
            flush=True,
        )
        if not found:
            print(ended.stdout[-2000:], ended.stderr[-2000:], flush=True)
    print(f"{len(chosen) - missed} found or left to the soak, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
