"""The image: the README's two commands, which the devcontainer opens with."""

import json
import re
import shutil
import subprocess

import pytest

from tests.python.conftest import PROJECT


def test_the_image_runs_the_two_commands_of_the_readme_and_the_devcontainer_opens_it() -> None:
    readme = (
        (PROJECT / "README.md")
        .read_text(encoding="utf-8")
        .partition("## Two commands")[2]
        .partition("\n## ")[0]
    )
    steps = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
    commands = re.findall(r"^    (make \w+) ", readme, flags=re.MULTILINE)
    assert (
        commands
        == re.findall(r"^RUN (make .*)$", steps, flags=re.MULTILINE)
        == ["make build", "make test"]
    )

    opened = json.loads((PROJECT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert opened["build"]["dockerfile"] == "../Dockerfile"


@pytest.mark.soak
@pytest.mark.door
def test_the_image_is_built() -> None:
    if shutil.which("docker") is None:
        pytest.skip("Docker is not here")
    built = subprocess.run(
        ["docker", "build", str(PROJECT)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
