"""Compute a fingerprint of all inputs to the tables: deliveries, code and packages."""

import hashlib
import importlib.metadata
import json
import os
import subprocess
from pathlib import Path

from ai_manufacturing import landing
from ai_manufacturing.landing.extracts import DESCRIPTION, walk_folder
from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.system import settings
from ai_manufacturing.system.integrity import sha256

# Python packages whose versions can affect numerical results.
PACKAGES = (
    "dbt-core",
    "dbt-duckdb",
    "duckdb",
    "great-expectations",
    "linearmodels",
    "numpy",
    "pandas",
    "scipy",
)
# Files and folders with code that affects the tables, relative to a project folder.
CODE = (
    ".dbtignore",
    "dbt_project.yml",
    "profiles.yml",
    "models",
    "python_models",
    "macros",
    "seeds",
    "expectations",
    "tests/generic",
    "tests/singular",
    "src",
)


def hash_deliveries(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every delivered file and of extract_set.yml, by path.

    Raises
    ------
    BadConfigurationError
        If the folder does not exist, or a file, folder or link in it cannot be read; the message
        has a line for each.
    """
    _read_extract_set(folder)
    faults: list[str] = []
    paths = {file_path: path for path, file_path in walk_folder(folder, faults) if path.is_file()}
    if (folder / DESCRIPTION).is_file():
        paths[DESCRIPTION] = folder / DESCRIPTION
    hashes = {}
    for file_path in sorted(paths):
        try:
            hashes[file_path] = sha256(paths[file_path])
        except OSError as error:
            faults.append(
                f"{file_path}: the file cannot be read ({error.strerror}). Correct its permissions."
            )
    if faults:
        raise BadConfigurationError("\n".join(faults))
    return hashes


def drop_description(hashes: dict[str, str]) -> dict[str, str]:
    """Return the file hashes without the entry of extract_set.yml."""
    return {path: digest for path, digest in hashes.items() if path != DESCRIPTION}


def compute_fingerprint(hashes: dict[str, str]) -> str:
    """Return a SHA-256 over the extract set's name, file hashes, code and package versions.

    Raises
    ------
    BadConfigurationError
        If the extracts folder does not exist.
    """
    inputs = [
        _read_extract_set(settings.extracts_dir()).name,
        hashes,
        hash_code(),
        read_package_versions(),
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def hash_code() -> dict[str, str]:
    """Return the SHA-256 of each code file and seed, by its path in the repository."""
    engine = settings.engine_root()
    paths = {
        path
        for root in settings.project_folders()
        for name in CODE
        for path in (root / name, *(root / name).rglob("*"))
    }
    return {os.path.relpath(path, engine): sha256(path) for path in sorted(paths) if _is_code(path)}


def read_package_versions() -> dict[str, str]:
    """Return the installed version of each package that can affect numerical results."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def read_git_commit() -> str:
    """Return the Git commit, with "+" for local changes, or "" outside a repository."""

    def run_git(*arguments: str) -> str:
        run = subprocess.run(
            ["git", *arguments],
            cwd=settings.project_root(),
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout.strip()

    try:
        return run_git("rev-parse", "HEAD") + ("+" if run_git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):  # not a Git repository
        return ""


def _read_extract_set(folder: Path) -> landing.ExtractSet:
    try:
        return landing.read_extract_set(folder)
    except landing.LandingError as error:
        raise BadConfigurationError(str(error)) from error


def _is_code(path: Path) -> bool:
    return (
        path.is_file()
        and "__pycache__" not in path.parts
        and path.suffix != ".pyc"
        and ".egg-info" not in str(path)
    )
