"""Recognise the DuckDB files that this user's commands wrote; all others are read as data.

Settings name some of them by place. The others are recognised by their SHA-256, which each command
records in a folder of the user when it has finished a file. So a copy of an own file is own, and a
file that anything else has changed is not.
"""

import os
import warnings
from functools import cache
from pathlib import Path

from ai_manufacturing.system import disk, integrity, settings

RELEASE_FOLDERS = ("past", "held", "work")  # of RELEASE_DIR, which this project alone writes


def record(path: Path, landing: Path | None = None) -> None:
    """Record that this user's commands wrote a file, which must be finished and closed.

    Without a home folder that can be written, it warns: the file then counts as one from elsewhere.

    Parameters
    ----------
    path : Path
        The file.
    landing : Path, optional
        The landing store whose files views of a warehouse show.
    """
    try:
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.replace_bytes(folder / integrity.sha256(path), os.fsencode(landing or ""), mode=0o600)
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"{path} will be read as a file from elsewhere unless WAREHOUSE_PATH names it: it"
            f" cannot be recorded as your own ({error}). Set XDG_STATE_HOME to a folder of yours.",
            stacklevel=2,
        )


def is_named(path: Path) -> bool:
    """Whether the settings name a file as this project's, which no other program writes."""
    place, releases = path.resolve(), settings.release_dir()
    return place in (settings.warehouse_path(), settings.release_path()) or any(
        place.is_relative_to(releases / name) for name in RELEASE_FOLDERS
    )


def is_own(path: Path) -> bool:
    """Whether the settings name a file, or this user's commands recorded it; it must be regular."""
    return is_named(path) or _entry(path) is not None


def landing_store(path: Path) -> Path | None:
    """Return the landing store whose files the views of an own warehouse show.

    None for a release, which has no views.
    """
    if path.resolve() == settings.warehouse_path():
        return settings.landing_dir()
    entry = None if is_named(path) else _entry(path)
    named = entry.read_bytes() if entry else b""
    return Path(os.fsdecode(named)) if named else None


def _folder() -> Path:
    """Return the folder of records: a file for each SHA-256 holds the path of its landing store."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ai_manufacturing" / "written"


def _entry(path: Path) -> Path | None:
    """Return the record of a file, or None."""
    try:
        entry = _folder() / _sha256(path, disk.version(path))
        return entry if entry.is_file() else None
    except (OSError, RuntimeError):  # a user without a folder, or a file that cannot be read
        return None


# A command opens a file several times, and the sample's warehouse takes .3 seconds to read.
@cache
def _sha256(path: Path, version: tuple[int, ...]) -> str:
    return integrity.sha256(path)
