"""The landing store of an earlier version: a file for each event, in log/<extract set>/ and landed/, and no head."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ai_manufacturing.landing import landed, log
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.system.integrity import sha256

PREVIOUS, OWN = "previous_sha256", "sha256"
RESTORE = "Restore it from a backup."


def adopt(store: Path) -> str | None:
    """Take over the log of an earlier version, once, and return what was done; None if there was nothing to do.

    From then on, a store without its log is damaged. What has a SHA-256 keeps it; what an earlier version still wrote
    without any is recorded after a look that it can be read.

    Raises
    ------
    LandingError
        Naming what is missing or not as it was written.
    """
    old = [path for path in (store / "landed", *store.glob("log/*")) if path.is_dir()]
    done = None
    if not log.lines(store):
        folders = [path for path in store.iterdir() if landed.is_landed_folder(path)]
        if not old and not folders:
            return None
        if not old:
            raise LandingError([f"{log.chain(store).path}: missing, and {store} has landed files. {log.WAY_OUT}"])
        sets = {unquote(path.name): _events(path) for path in old if path.name != "landed"}
        files = _witnesses(store, folders, is_sealed=any(event[OWN] for events in sets.values() for event in events))
        line = {"files": files, "deliveries": {name: [*map(_body, events)] for name, events in sets.items()}}
        log.append(store, lambda lines: None if lines else line)
        count = sum(map(len, sets.values()))
        done = (
            f"{store}: written by an earlier version. {count} events and {len(files)} files are now in "
            f"{log.chain(store).path}; from now on a missing line or SHA-256 is damage."
        )
    for path in old:
        shutil.rmtree(path)
    return done


def _witnesses(store: Path, folders: list[Path], is_sealed: bool) -> dict[str, str]:
    """Return the SHA-256 of each landed file by its path, as it was recorded; or recorded now, if none ever was."""
    files: dict[str, str] = {}
    for event in _events(store / "landed"):
        files |= event["files"]
    for name in [name for name in files if name.startswith("log/")]:  # events that had no SHA-256 of their own
        if not (store / name).is_file() or sha256(store / name) != files.pop(name):
            raise LandingError([f"{store / name}: not as it was when this store was first recorded. {RESTORE}"])
    if files or not folders:
        return files
    if is_sealed:  # by a version that wrote both
        raise LandingError([f"{store / 'landed'}: missing, and the events of {store / 'log'} have SHA-256. {RESTORE}"])
    with ThreadPoolExecutor(landed.THREADS) as threads:
        wrong = [fault for fault in threads.map(_unreadable, folders) if fault]
    if wrong:
        raise LandingError(sorted(wrong))
    return {f"{folder.name}/{path.name}": sha256(path) for folder in sorted(folders) for path in folder.iterdir()}


def _events(folder: Path) -> list[dict[str, Any]]:
    """Return the events of a folder in order, after a comparison of the hashes that they carry."""
    events: list[dict[str, Any]] = []
    before = b""  # the last event; where none has a hash, all
    paths = sorted((path for path in folder.glob("*.json") if path.stem.isdecimal()), key=lambda path: int(path.stem))
    for number, path in enumerate(paths, start=1):
        if path.stem != str(number):
            raise LandingError([f"{folder / f'{number}.json'}: missing, and {paths[-1].name} is there. {RESTORE}"])
        content = path.read_bytes()
        try:
            event = {OWN: None, **json.loads(content)}
        except (ValueError, TypeError) as error:
            raise LandingError([f"{path}: incomplete ({error}). {RESTORE}"]) from error
        body = _body(event) | {PREVIOUS: hashlib.sha256(before).hexdigest() if before else None}
        is_first = not events or events[-1][OWN] is None
        if event[OWN] is None:
            if not is_first:
                raise LandingError([f"{path}: has no SHA-256 of its own, and the event before it has. {RESTORE}"])
            before += content
        elif content != _text(body | {OWN: hashlib.sha256(_text(body)).hexdigest()}):
            raise LandingError([f"{path}: not as it was written, or it does not follow on the one before. {RESTORE}"])
        else:
            before = content
        events.append(event)
    return events


def _body(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in (PREVIOUS, OWN)}


def _text(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False, indent=2).encode()


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
                return f"{path}: has {found} rows, and delivery.json says {count}. {landed.LAND_AGAIN}"
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        return f"{folder}: cannot be read ({str(error).splitlines()[0]}). {landed.LAND_AGAIN}"
    return None
