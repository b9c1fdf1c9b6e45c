"""Folders of numbered events, `1.json`, `2.json` and so on: each is written once, and carries the SHA-256 of the last.

An event also carries its own SHA-256, so that the last one, which no other follows yet, is no weaker than the rest.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai_manufacturing.durable import sync
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.landing.permissions import make_folder, share

Event = dict[str, Any]

PREVIOUS, OWN = "previous_sha256", "sha256"
WAY_OUT = "Restore it from a backup; if it is the last of the log, delete it, and run the build again."


def first(folder: Path) -> Event | None:
    """Return the first event of a folder in which all have hashes; None if there is none.

    Raises
    ------
    LandingError
        If it is not as it was written.
    """
    path = folder / "1.json"
    return _checked(path, _Before(), {}) if path.is_file() else None


def read(folder: Path, unsealed: Mapping[str, str] | None = None) -> list[Event]:
    """Return the events of a folder in order, without their hashes, which agree.

    Parameters
    ----------
    folder : Path
        Of the events; it need not exist.
    unsealed : mapping of str to str, optional
        SHA-256 by file name of the events that earlier versions wrote, without hashes. None: they are not known, and
        only what follows them covers them.

    Raises
    ------
    LandingError
        With one line for the first event that is missing or not as it was written.
    """
    events: list[Event] = []
    before = _Before()
    while True:
        path = folder / f"{len(events) + 1}.json"
        if path.is_file():
            events.append(_checked(path, before, unsealed))
            continue
        later = _numbers(folder)[len(events) :]
        if not later:
            return events
        # another run may have written both since the first look
        if not path.is_file():
            raise LandingError([f"{path}: missing, and {later[-1]}.json is there. Restore it from a backup."])


def append(folder: Path, event: Event, number: int, store: Path) -> bool:
    """Write an event under a number, whole or not at all; False if the number is taken."""
    make_folder(folder, store)
    before = _Before()
    # from the last event that has hashes: where earlier versions wrote none, from the first
    for earlier in reversed(range(1, number)):
        content = (folder / f"{earlier}.json").read_bytes()
        before.contents.insert(0, content)
        if OWN in json.loads(content):
            break
    draft = folder / f".{uuid.uuid4().hex}"
    try:
        draft.write_bytes(_sealed(event, before.sha256))
        share(draft, store)
        sync(draft)
        os.link(draft, folder / f"{number}.json")
        sync(folder)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def last_number(folder: Path) -> int:
    """Return the number of the last event, 0 if there is none, without a listing of a folder of thousands."""
    low, high = 0, 1
    while (folder / f"{high}.json").is_file():
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (folder / f"{middle}.json").is_file() else (low, middle)
    return low


class _Before:
    """The events that the next one covers: the last, and where earlier versions wrote no hashes, those before it."""

    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.is_sealed = False

    def add(self, content: bytes, *, is_sealed: bool) -> None:
        self.contents = [content] if is_sealed else [*self.contents, content]
        self.is_sealed = is_sealed

    @property
    def sha256(self) -> str | None:
        return hashlib.sha256(b"".join(self.contents)).hexdigest() if self.contents else None


def _checked(path: Path, before: _Before, unsealed: Mapping[str, str] | None) -> Event:
    """Return an event without its hashes, and count it among those that the next one covers."""
    content = path.read_bytes()
    try:
        event = json.loads(content)
    except ValueError as error:
        raise LandingError([f"{path}: incomplete ({error}). {WAY_OUT}"]) from error
    wrong = _fault(content, event, before, unsealed, path)
    if wrong:
        raise LandingError([f"{path}: {wrong}. {WAY_OUT}"])
    before.add(content, is_sealed=OWN in event)
    return {name: value for name, value in event.items() if name not in (PREVIOUS, OWN)}


def _fault(content: bytes, event: Event, before: _Before, unsealed: Mapping[str, str] | None, path: Path) -> str | None:
    if not isinstance(event, dict) or OWN not in event:
        if before.is_sealed:
            return "has no SHA-256 of its own, and the event before it has"
        if unsealed is None or unsealed.get(path.name) == hashlib.sha256(content).hexdigest():
            return None
        return "not as it was when this store was first recorded"
    body = {name: value for name, value in event.items() if name not in (PREVIOUS, OWN)}
    if content != _sealed(body, event.get(PREVIOUS)):
        return "its content is not the one of its SHA-256"
    if event[PREVIOUS] != before.sha256:
        return f"it does not follow on the event before it, {int(path.stem) - 1}.json: one of them is another"
    return None


def _sealed(event: Event, previous: str | None) -> bytes:
    """Return the bytes of an event with the hash of the one before and, last, its own: of all that stands above it."""
    body = event | {PREVIOUS: previous}
    own = hashlib.sha256(_text(body)).hexdigest()
    return _text(body | {OWN: own})


def _text(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False, indent=2).encode()


def _numbers(folder: Path) -> list[int]:
    names = (path.name for path in folder.glob("*.json"))
    return sorted(int(name.removesuffix(".json")) for name in names if name.removesuffix(".json").isdecimal())
