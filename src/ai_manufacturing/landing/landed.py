"""SHA-256 of each file of the store, in the line of the log that landed it.

A line is written before the folder that it names has its name, so that each folder of the store has
one.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ai_manufacturing.landing import log
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.system import integrity

THREADS = 2
LAND_AGAIN = (
    "Restore its folder from a backup; or, if the extracts folder still has the delivered file,"
    " delete this folder, and run the build again; the file then lands again."
)

_found_whole: dict[Path, tuple[Any, ...]] = {}


def add(written: Path, store: Path, store_key: str) -> None:
    """Record a landed folder that is about to be named, as one that this process has found whole."""
    signature = _signature(written)
    files = {
        f"{store_key}/{path.name}": integrity.sha256(path) for path in sorted(written.iterdir())
    }
    log.append(store, lambda lines: {"files": files})
    _found_whole[store / store_key] = signature


def recorded(store: Path) -> dict[str, str]:
    """Return the SHA-256 of each landed file by its path in the store, as it landed last.

    Raises
    ------
    LandingError
        If the log is damaged.
    """
    files: dict[str, str] = {}
    for line in log.lines(store):
        files |= line.get("files", {})
    return files


def by_folder(files: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the files of `recorded` for each folder by its name."""
    folders: dict[str, dict[str, str]] = {}
    for name, digest in files.items():
        folders.setdefault(name.split("/")[0], {})[name] = digest
    return folders


def is_landed_folder(path: Path) -> bool:
    """Whether a path of the store is the folder of a landed file."""
    return len(path.name) == 64 and path.is_dir()


def faults(store: Path, store_key: str, expected: dict[str, str]) -> list[str]:
    """Return what differs between a landed folder and what is recorded of it, one text for each file.

    Parameters
    ----------
    store : Path
        The landing store.
    store_key : str
        Name of the folder.
    expected : dict of str to str
        Of its files, as `by_folder` returns them.
    """
    present = sorted(f"{store_key}/{path.name}" for path in (store / store_key).iterdir())
    wrong = integrity.differences(store, expected, present, log.chain(store).path)
    return [f"{line}. {LAND_AGAIN}" for line in wrong]


def require(store: Path, store_keys: Iterable[str]) -> None:
    """Let nothing be read from landed folders whose bytes are not those that landed.

    What this process has found whole is not hashed again while its files stay as they are.

    Raises
    ------
    LandingError
        With one line for each file that differs.
    """
    keys = [
        key
        for key in dict.fromkeys(store_keys)
        if _found_whole.get(store / key) != _signature(store / key)
    ]
    keys = [
        key for key in keys if (store / key).is_dir()
    ]  # what is missing is named by whoever reads it
    if not keys:
        return
    expected = by_folder(recorded(store))
    signatures = {key: _signature(store / key) for key in keys}
    with ThreadPoolExecutor(THREADS) as threads:
        differences = [*threads.map(lambda key: faults(store, key, expected.get(key, {})), keys)]
    wrong = [line for lines in differences for line in lines]
    if wrong:
        raise LandingError(*wrong)
    _found_whole.update({store / key: signature for key, signature in signatures.items()})


def _signature(folder: Path) -> tuple[Any, ...]:
    try:
        stats = [(entry.name, entry.stat()) for entry in os.scandir(folder)]
    except OSError:
        return ()
    return tuple(
        sorted((name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in stats)
    )
