"""Record and verify the SHA-256 of every file in the landing store.

The checksums are part of the log line that records a landing. The line is written before the
landed folder gets its final name, so every such folder has a line in the log.
"""

from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ai_manufacturing.landing import log
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.system import integrity
from ai_manufacturing.system.disk import file_signature

THREADS = 2
"""Number of folders that are hashed in parallel."""
REPAIR_ADVICE = (
    "Restore its folder from a backup. If the extracts folder still contains the delivered file,"
    " you can instead delete this folder and run the build again; the file then lands again."
)

_verified_signatures: dict[Path, tuple[Any, ...]] = {}
"""File signatures of the folders that this process has verified.

Folders with an unchanged signature are not hashed again.
"""


def record_checksums(draft: Path, store: Path, store_key: str) -> None:
    """Log the SHA-256 of each file in a draft folder, before the folder gets its final name."""
    signature = _read_signature(draft)
    files = {f"{store_key}/{path.name}": integrity.sha256(path) for path in sorted(draft.iterdir())}
    log.append_line(store, lambda lines: {"files": files})
    _verified_signatures[store / store_key] = signature


def read_checksums(store: Path) -> dict[str, dict[str, str]]:
    """Return the latest logged SHA-256 of every file in the landing store, grouped by folder.

    The outer key is the store key of a folder, the inner key the path of a file in the store.

    Raises
    ------
    LandingError
        If the log is damaged.
    """
    folders: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for line in log.read_lines(store):
        for name, digest in line.get("files", {}).items():
            folders[name.split("/")[0]][name] = digest
    return folders


def is_landed_folder(path: Path) -> bool:
    """Return whether a path is the folder of a stored file, which is named after a SHA-256."""
    return len(path.name) == 64 and path.is_dir()


def find_faults(store: Path, store_key: str, digests: dict[str, str]) -> list[str]:
    """Return a message for each difference between a folder and its recorded checksums.

    Parameters
    ----------
    store : Path
        The landing store.
    store_key : str
        Name of the folder.
    digests : dict of str to str
        Recorded SHA-256 by path, as `read_checksums` returns it for this folder.
    """
    present = sorted(f"{store_key}/{path.name}" for path in (store / store_key).iterdir())
    wrong = integrity.compare_checksums(store, digests, present, log.open_chain(store).path)
    return [f"{line}. {REPAIR_ADVICE}" for line in wrong]


def verify_folders(store: Path, store_keys: Iterable[str]) -> None:
    """Raise LandingError if a file in the given folders differs from its recorded SHA-256.

    A folder that this process has already verified is hashed again only if its files have changed.

    Raises
    ------
    LandingError
        With one line for each file that differs.
    """
    signatures = {key: _read_signature(store / key) for key in store_keys}
    # Skip missing folders here, because the code that reads them raises a clearer error.
    keys = [
        key
        for key, signature in signatures.items()
        if signature and _verified_signatures.get(store / key) != signature
    ]
    if not keys:
        return
    digests = read_checksums(store)
    with ThreadPoolExecutor(THREADS) as threads:
        differences = [
            *threads.map(lambda key: find_faults(store, key, digests.get(key, {})), keys)
        ]
    wrong = [line for lines in differences for line in lines]
    if wrong:
        raise LandingError(*wrong)
    _verified_signatures.update({store / key: signatures[key] for key in keys})


def _read_signature(folder: Path) -> tuple[Any, ...]:
    return tuple((path.name, file_signature(path)) for path in sorted(folder.glob("*")))
