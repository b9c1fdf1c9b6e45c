"""What landed, byte for byte: the SHA-256 of each file of the store, in the event that landed it.

Events are files `<store>/landed/<number>.json` (chain.py). One is written before the folder that it names has its name,
so that each folder of the store has one. The first of a store that earlier versions wrote adopts what is there.
"""

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ai_manufacturing.checksums import sha256
from ai_manufacturing.landing import chain
from ai_manufacturing.landing.errors import LandingError

FOLDER = "landed"
THREADS = 2
LAND_AGAIN = (
    "Restore its folder from a backup; or, if the extracts folder still has the delivered file, delete this folder, "
    "and run the build again; the file then lands again."
)

_found_whole: dict[Path, tuple[Any, ...]] = {}


def add(written: Path, store: Path, store_key: str) -> None:
    """Record a landed folder that is about to be named, as one that this process has found whole."""
    signature = _signature(written)
    files = {f"{store_key}/{path.name}": sha256(path) for path in sorted(written.iterdir())}
    _append(store, {"event": "landed", "files": files})
    _found_whole[store / store_key] = signature


def recorded(store: Path) -> dict[str, str]:
    """Return the SHA-256 of each landed file by its path in the store, as it landed last.

    Raises
    ------
    LandingError
        If an event is missing or damaged.
    """
    files: dict[str, str] = {}
    for event in chain.read(store / FOLDER, unsealed={}):
        files |= event["files"]
    return files


def by_folder(files: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the files of `recorded` for each folder by its name."""
    found: dict[str, dict[str, str]] = {}
    for name, digest in files.items():
        found.setdefault(name.split("/")[0], {})[name] = digest
    return found


def adopted(store: Path) -> dict[str, str] | None:
    """Return the SHA-256 of what an earlier version had written, by path; None where nothing is recorded yet."""
    event = chain.first(store / FOLDER)
    if event is None:
        return None
    return dict(event["files"]) if event["event"] == "adopted" else {}


def adopt(store: Path) -> None:
    """Record what an earlier version has written, once, after a look that it can be read.

    Raises
    ------
    LandingError
        Naming the landed file that cannot be read, or has other rows than delivery.json says.
    """
    if chain.last_number(store / FOLDER):
        return
    folders = [path for path in store.iterdir() if is_landed_folder(path)]
    logged = [*store.glob("log/*/*.json")]
    if not folders and not logged:
        return
    with ThreadPoolExecutor(THREADS) as threads:
        wrong = [fault for fault in threads.map(_unreadable, folders) if fault]
    if wrong:
        raise LandingError(sorted(wrong))
    found = sorted([*(path for folder in folders for path in folder.iterdir()), *logged])
    _append(store, {"event": "adopted", "files": {path.relative_to(store).as_posix(): sha256(path) for path in found}})


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
        As `recorded` returns it.
    """
    below = f"{store_key}/"
    names = {name for name in expected if name.startswith(below)}
    present = {f"{below}{path.name}" for path in (store / store_key).iterdir()}
    wrong = [f"{store / name}: no event of {store / FOLDER} names it. {LAND_AGAIN}" for name in present - names]
    wrong += [f"{store / name}: missing from the landing store. {LAND_AGAIN}" for name in names - present]
    for name in names & present:
        if (found := sha256(store / name)) != expected[name]:
            wrong.append(f"{store / name}: not what landed. Its SHA-256 is {found}, not {expected[name]}. {LAND_AGAIN}")
    return sorted(wrong)


def require(store: Path, store_keys: Iterable[str]) -> None:
    """Let nothing be read from landed folders whose bytes are not those that landed.

    What this process has found whole is not hashed again while its files stay as they are.

    Raises
    ------
    LandingError
        With one line for each file that differs.
    """
    keys = [key for key in dict.fromkeys(store_keys) if _found_whole.get(store / key) != _signature(store / key)]
    keys = [key for key in keys if (store / key).is_dir()]  # what is missing is named by whoever reads it
    if not keys:
        return
    expected = by_folder(recorded(store))
    signatures = {key: _signature(store / key) for key in keys}
    with ThreadPoolExecutor(THREADS) as threads:
        found = [*threads.map(lambda key: faults(store, key, expected.get(key, {})), keys)]
    wrong = [line for lines in found for line in lines]
    if wrong:
        raise LandingError(wrong)
    _found_whole.update({store / key: signature for key, signature in signatures.items()})


def _signature(folder: Path) -> tuple[Any, ...]:
    try:
        stats = [(entry.name, entry.stat()) for entry in os.scandir(folder)]
    except OSError:
        return ()
    return tuple(sorted((name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in stats))


def _append(store: Path, event: dict[str, Any]) -> None:
    folder = store / FOLDER
    while True:
        number = chain.last_number(folder) + 1
        if chain.append(folder, {"number": number} | event, number, store):
            return


def _unreadable(folder: Path) -> str | None:
    """Return what is wrong with a landed folder whose bytes nobody has recorded."""
    import pyarrow as pa  # here, because a refresh with nothing new has read its files before
    import pyarrow.parquet as pq

    try:
        if [path.name for path in folder.iterdir()] == ["rows.parquet"]:  # a converted register, which has no counts
            pq.ParquetFile(folder / "rows.parquet").close()
            return None
        record = json.loads((folder / "delivery.json").read_text(encoding="utf-8"))
        for name in ("rows", "rejected"):
            path = folder / f"{name}.parquet"
            count = record["landed_row_count" if name == "rows" else "rejected_row_count"]
            if not path.is_file() and name == "rejected" and not count:
                continue
            with pq.ParquetFile(path) as file:
                found = sum(batch.num_rows for batch in file.iter_batches())
            if found != count:
                return f"{path}: has {found} rows, and delivery.json says {count}. {LAND_AGAIN}"
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        return f"{folder}: cannot be read ({str(error).splitlines()[0]}). {LAND_AGAIN}"
    return None
