"""Read and append to the log of deliveries, withdrawals and checksums in the landing store.

Each line of `<store>/log/deliveries.jsonl` (its format is in integrity.py) contains either `files`,
the SHA-256 of landed files by path, or `deliveries`, the events of one landing by extract set.
Events are ordered by their numbers, not by clock times. Validity is computed from the events and
never stored, so an earlier state of the warehouse is the same computation on fewer events.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.system.disk import file_mode, make_folder
from ai_manufacturing.system.integrity import Chain, Line

NAME = "log/deliveries.jsonl"
WAY_OUT = (
    "Restore the log and its .head from the same backup. If you have no backup, delete the landing"
    " store: the delivered files then land again, as first deliveries."
)

Event = dict[str, Any]
Identity = tuple[str, ...]
Place = tuple[str, str]


@dataclass
class Delivery:
    """A delivered file in the log, numbered in the order of delivery.

    `copy_of` is the number of the first delivery with the same content; `withdrawn_by` is the
    number of the event that ended the validity of its records.
    """

    number: int
    event: Event
    copy_of: int | None
    withdrawn_by: int | None = None

    @property
    def identity(self) -> Identity:
        """Key that all copies of the file share; see `identify`."""
        return identify(self.event)


class State:
    """Deliveries and current contents of the folder, computed by replaying logged events."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.deliveries: dict[int, Delivery] = {}
        self.by_place: dict[Place, Delivery] = {}
        self._first_by_identity: dict[Identity, Delivery] = {}
        for _, landing_events in groupby(events, key=lambda event: event["landing"]):
            self._apply_landing([*landing_events])

    def is_present(self, identity: Identity) -> bool:
        """Return whether the folder contains a file with this identity, under any file name."""
        return identity in self._first_by_identity

    def _apply_landing(self, events: list[Event]) -> None:
        withdrawals: dict[Identity, int] = {}
        for event in events:
            removed_number = event.get("replaces") or event.get("withdraws")
            if removed_number:
                identity = self._remove(self.deliveries[removed_number], event["number"])
                withdrawals[identity] = event["number"]
            if event["event"] == "delivered":
                self._add_delivery(event)
        # Files may swap names in one import, so apply withdrawals after all of its events.
        present = (
            {delivery.identity for delivery in self.by_place.values()} if withdrawals else set()
        )
        for identity, number in withdrawals.items():
            if identity not in present:
                # Copies of a file share the records of its first delivery, which remain valid until
                # the last copy is removed from the folder.
                self._first_by_identity.pop(identity).withdrawn_by = number

    def _add_delivery(self, event: Event) -> None:
        delivery = Delivery(event["number"], event, copy_of=None)
        first = self._first_by_identity.setdefault(delivery.identity, delivery)
        if first is not delivery:
            delivery.copy_of = first.number
        self.deliveries[delivery.number] = self.by_place[locate(event)] = delivery

    def _remove(self, delivery: Delivery, number: int) -> Identity:
        del self.by_place[locate(delivery.event)]
        if delivery.copy_of:
            delivery.withdrawn_by = number
        return delivery.identity


def identify(event: Event) -> Identity:
    """Return the key shared by copies of a file: provider, source, content hash and name."""
    return (
        event["provider"],
        event["source_name"],
        event["delivery_id"],
        json.dumps(event["file_name_values"]),
    )


def locate(event: Event) -> Place:
    """Return the file path and entity of a delivery; one file may contain several entities."""
    return event["file_path"], event["entity"]


def open_chain(store: Path) -> Chain:
    """Return the delivery log of a store; reading a damaged log raises LandingError."""
    return Chain(store / NAME, file_mode(store), lambda text: LandingError(f"{text}. {WAY_OUT}"))


def read_lines(store: Path) -> list[Line]:
    """Return all lines of the delivery log, after verifying its hash chain.

    Raises
    ------
    LandingError
        If the log was truncated, or a line was altered.
    """
    return open_chain(store).read().lines


def append_line(store: Path, build_line: Callable[[list[Line]], Line | None]) -> list[Line]:
    """Append a line to the delivery log while holding its lock; see `Chain.append`."""
    make_folder((store / NAME).parent, store)
    return open_chain(store).append(build_line)


def read_events(store: Path, extract_set: str) -> list[Event]:
    """Return the logged deliveries and withdrawals of an extract set, in order.

    Raises
    ------
    LandingError
        If the log is damaged.
    """
    return _select_events(read_lines(store), extract_set)


def record_changes(store: Path, extract_set: str, present: list[Event]) -> list[Event]:
    """Log the files added or removed since the last import, and return all events.

    Parameters
    ----------
    store : Path
        The landing store.
    extract_set : str
        Name of the extract set.
    present : list of dict
        Files currently in the folder, by path: file_path, provider, source_name, delivery_id,
        file_name_values and any other facts to record.

    Returns
    -------
    list of dict
        All events, in order. Within one landing, copies of known content come first, so that a
        moved file keeps its number; then new files, by path; then withdrawn files.
    """

    def build_line(lines: list[Line]) -> Line | None:
        events = _select_events(lines, extract_set)
        landing = len(events) + 1
        new_events = [
            {"number": number, "landing": landing} | event
            for number, event in enumerate(_find_changes(State(events), present), start=landing)
        ]
        return {"deliveries": {extract_set: new_events}} if new_events else None

    return _select_events(append_line(store, build_line), extract_set)


def list_extract_sets(store: Path) -> list[str]:
    """Return the sorted names of all extract sets in the delivery log."""
    return sorted({name for line in read_lines(store) for name in line.get("deliveries", {})})


def _find_changes(state: State, present: list[Event]) -> list[Event]:
    places = {locate(file) for file in present}
    identities = {location: delivery.identity for location, delivery in state.by_place.items()}
    new = [file for file in present if identities.get(locate(file)) != identify(file)]
    new.sort(key=lambda file: (not state.is_present(identify(file)), file["file_path"]))
    deliveries = []
    for file in new:
        previous = state.by_place.get(locate(file))
        deliveries.append(
            {"event": "delivered", "replaces": previous.number if previous else None} | file
        )
    withdrawals = [
        {"event": "withdrawn", "withdraws": delivery.number, "file_path": location[0]}
        for location, delivery in sorted(state.by_place.items())
        if location not in places
    ]
    return deliveries + withdrawals


def _select_events(lines: list[Line], extract_set: str) -> list[Event]:
    return [event for line in lines for event in line.get("deliveries", {}).get(extract_set, [])]
