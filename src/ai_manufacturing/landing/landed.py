"""SHA-256 of each file of the store, in the line of the log that landed it.

A line is written before the folder that it names has its name, so that each folder of the store has
one.
"""

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ai_manufacturing.landing import log
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.system import integrity
from ai_manufacturing.system.disk import version

THREADS = 2
LAND_AGAIN = (
    "Restore its folder from a backup; or, if the extracts folder still has the delivered file,"
    " delete this folder, and run the build again; the file then lands again."
)

_found_whole: dict[Path, tuple[Any, ...]] = {}


def add(written: Path, store: Path, store_key: str) -> None:
    """Record a landed folder that is about to be named, as one that is whole."""
    signature = _signature(written)
    files = {
        f"{store_key}/{path.name}": integrity.sha256(path) for path in sorted(written.iterdir())
    }
    log.append(store, lambda lines: {"files": files})
    _found_whole[store / store_key] = signature


def recorded(store: Path) -> dict[str, dict[str, str]]:
    """Return for each landed folder the SHA-256 of its files, as they landed last.

    Files have their paths in the store.

    Raises
    ------
    LandingError
        If the log is damaged.
    """
    folders: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for line in log.lines(store):
        for name, digest in line.get("files", {}).items():
            folders[name.split("/")[0]][name] = digest
    return folders


def is_landed_folder(path: Path) -> bool:
    """Whether a path of the store is the folder of a landed file."""
    return len(path.name) == 64 and path.is_dir()


def faults(store: Path, store_key: str, expected: dict[str, str]) -> list[str]:
    """Return what differs between a landed folder and its record, one text for each file.

    Parameters
    ----------
    store : Path
        The landing store.
    store_key : str
        Name of the folder.
    expected : dict of str to str
        Of its files, as `recorded` returns them.
    """
    present = sorted(f"{store_key}/{path.name}" for path in (store / store_key).iterdir())
    wrong = integrity.differences(store, expected, present, log.chain(store).path)
    return [f"{line}. {LAND_AGAIN}" for line in wrong]


def require(store: Path, store_keys: Iterable[str]) -> None:
    """Raise if the bytes of landed folders are not those that landed.

    What this process has found whole is not hashed again while its files stay as they are.

    Raises
    ------
    LandingError
        With one line for each file that differs.
    """
    signatures = {key: _signature(store / key) for key in store_keys}
    # what is missing is named by whoever reads it
    keys = [key for key, of in signatures.items() if of and _found_whole.get(store / key) != of]
    if not keys:
        return
    expected = recorded(store)
    with ThreadPoolExecutor(THREADS) as threads:
        differences = [*threads.map(lambda key: faults(store, key, expected.get(key, {})), keys)]
    wrong = [line for lines in differences for line in lines]
    if wrong:
        raise LandingError(*wrong)
    _found_whole.update({store / key: signatures[key] for key in keys})


def _signature(folder: Path) -> tuple[Any, ...]:
    return tuple((path.name, version(path)) for path in sorted(folder.glob("*")))
