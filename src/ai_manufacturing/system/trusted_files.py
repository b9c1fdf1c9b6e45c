"""Recognise DuckDB files that this user's commands wrote, and treat all others as untrusted.

Settings name some of these files by path. The others are recognised by their SHA-256, which each
command records in a folder of the user when it finishes a file. A copy of such a file is therefore
trusted, and a file that another program has modified is not.
"""

import os
import warnings
from functools import cache
from pathlib import Path

from ai_manufacturing.system import disk, integrity, settings

# Subfolders of RELEASE_DIR to which only this project writes.
RELEASE_FOLDERS = ("past", "held", "work")


def record_file(path: Path, landing: Path | None = None) -> None:
    """Record that this user's commands wrote a file, which must be complete and closed.

    If the record cannot be written, a warning is issued, and the file counts as untrusted.

    Parameters
    ----------
    path : Path
        File to record.
    landing : Path, optional
        Landing store that the views of a warehouse read.
    """
    try:
        folder = _records_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.replace_bytes(folder / integrity.sha256(path), os.fsencode(landing or ""), mode=0o600)
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"{path} could not be recorded as your own file ({error}). The file will therefore be"
            " treated as untrusted unless WAREHOUSE_PATH names it. Set XDG_STATE_HOME to a folder"
            " that you can write to.",
            stacklevel=2,
        )


def is_configured(path: Path) -> bool:
    """Return whether a path is configured as the warehouse or as part of the release folder."""
    place, releases = path.resolve(), settings.release_dir()
    return place in (settings.warehouse_path(), settings.release_path()) or any(
        place.is_relative_to(releases / name) for name in RELEASE_FOLDERS
    )


def is_trusted(path: Path) -> bool:
    """Return whether a file is a configured warehouse or release, or was written by this user."""
    return is_configured(path) or _find_record(path) is not None


def find_landing_store(path: Path) -> Path | None:
    """Return the landing store that the views of a trusted warehouse read from.

    The result is None for a release, which has no views.
    """
    if path.resolve() == settings.warehouse_path():
        return settings.landing_dir()
    record = None if is_configured(path) else _find_record(path)
    store = record.read_bytes() if record else b""
    return Path(os.fsdecode(store)) if store else None


def _records_folder() -> Path:
    """Return the folder with one record per written file, named by the file's SHA-256 digest.

    A record contains the path of the landing store that the file's views read from.
    """
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ai_manufacturing" / "written"


def _find_record(path: Path) -> Path | None:
    """Return the path of a file's record, or None if it was not recorded."""
    try:
        record = _records_folder() / _hash_file(path, disk.file_signature(path))
        return record if record.is_file() else None
    except (OSError, RuntimeError):  # there is no home folder, or the file is unreadable
        return None


# Cache the digest, because a command opens a file several times, and hashing the sample warehouse
# takes 0.3 seconds.
@cache
def _hash_file(path: Path, version: tuple[int, ...]) -> str:
    return integrity.sha256(path)
