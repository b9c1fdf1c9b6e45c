"""The log of an extract set: what was delivered and withdrawn, in order. Numbers decide, clocks do not.

An event is one file `<store>/log/<extract set>/<number>.json`, written once. What is valid is computed from the events,
never stored, so that the warehouse as it was after any of them is the same computation on fewer.
"""

import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

Event = dict[str, Any]
Identity = tuple[str, ...]


@dataclass
class Delivery:
    """A delivered file of the log."""

    number: int
    event: Event
    copy_of: int | None
    withdrawn_by: int | None = None

    @property
    def identity(self) -> Identity:
        """What makes two deliveries the same: the source, the bytes, and what the file's name says."""
        return identity(self.event)


class State:
    """The deliveries of a log, and the paths that the folder held after its last event."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.deliveries: dict[int, Delivery] = {}
        self.at_path: dict[str, Delivery] = {}
        self._holders: dict[Identity, list[Delivery]] = {}
        for event in events:
            ended = event.get("replaces") or event.get("withdraws")
            if ended:
                self._end(self.deliveries[ended], event["number"])
            if event["event"] == "delivered":
                self._add(event)

    def is_in_force(self, sought: Identity) -> bool:
        """Whether the folder holds these bytes of this source, under whatever name."""
        return sought in self._holders

    def _add(self, event: Event) -> None:
        holders = self._holders.setdefault(identity(event), [])
        first = next((holder.copy_of or holder.number for holder in holders), None)
        delivery = Delivery(event["number"], event, first)
        self.deliveries[delivery.number] = self.at_path[event["file_path"]] = delivery
        holders.append(delivery)

    def _end(self, delivery: Delivery, number: int) -> None:
        del self.at_path[delivery.event["file_path"]]
        holders = self._holders[delivery.identity]
        holders.remove(delivery)
        if delivery.copy_of:
            delivery.withdrawn_by = number
        if not holders:
            # the records belong to the first delivery of these bytes, and stay as long as any copy of it does
            self.deliveries[delivery.copy_of or delivery.number].withdrawn_by = number
            del self._holders[delivery.identity]


def identity(event: Event) -> Identity:
    """Return what makes two deliveries the same."""
    return event["provider"], event["source_name"], event["delivery_id"], json.dumps(event["file_name_values"])


def read(store: Path, extract_set: str) -> list[Event]:
    """Return the events of an extract set in order."""
    folder = _folder(store, extract_set)
    events = []
    while (path := folder / f"{len(events) + 1}.json").is_file():
        events.append(json.loads(path.read_text(encoding="utf-8")))
    return events


def record(store: Path, extract_set: str, present: list[Event]) -> list[Event]:
    """Add what changed since the last landing, and return all events.

    Parameters
    ----------
    store : Path
        The landing store.
    extract_set : str
        Its name.
    present : list of dict
        The files that the folder holds now, by path: file_path, provider, source_name, delivery_id, file_name_values
        and whatever else is to be kept.

    Returns
    -------
    list of dict
        The events in order. Of one landing, further copies of known bytes come first, so that a file that moved keeps
        its number; then what is new, by path; then what is gone.
    """
    events = read(store, extract_set)
    while True:
        for event in _changes(State(events), present):
            numbered = {"number": len(events) + 1} | event
            if not _write(_folder(store, extract_set), numbered):
                break
            events.append(numbered)
        else:
            return events
        # another landing took the number: what it recorded need not be recorded again
        events = read(store, extract_set)


def _changes(state: State, present: list[Event]) -> list[Event]:
    paths = {file["file_path"] for file in present}
    held = {path: delivery.identity for path, delivery in state.at_path.items()}
    new = [file for file in present if held.get(file["file_path"]) != identity(file)]
    new.sort(key=lambda file: (not state.is_in_force(identity(file)), file["file_path"]))
    delivered = []
    for file in new:
        replaced = state.at_path.get(file["file_path"])
        delivered.append({"event": "delivered", "replaces": replaced.number if replaced else None} | file)
    withdrawn = [
        {"event": "withdrawn", "withdraws": delivery.number, "file_path": path}
        for path, delivery in sorted(state.at_path.items())
        if path not in paths
    ]
    return delivered + withdrawn


def _folder(store: Path, extract_set: str) -> Path:
    # the name is a person's text: no part of it may leave the folder
    return store / "log" / quote(extract_set, safe="").replace(".", "%2E")


def _write(folder: Path, event: Event) -> bool:
    """Write an event under its number, whole or not at all; False if the number is taken."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{uuid.uuid4().hex}"
    try:
        draft.write_text(json.dumps(event, ensure_ascii=False, indent=2), encoding="utf-8")
        os.link(draft, folder / f"{event['number']}.json")
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True
