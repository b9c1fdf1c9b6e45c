"""The log of the landing store: landed files, deliveries and withdrawals, in order.

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
    "Restore it and its .head from one backup. If there is none, delete the landing store: the"
    " delivered files then land again, as first deliveries."
)

Event = dict[str, Any]
Identity = tuple[str, ...]
Place = tuple[str, str]


@dataclass
class Delivery:
    """A delivery in the log.

    `copy_of` is the number of the first delivery with the same content; `withdrawn_by` is the
    number of the event that ended the validity of its records.
    """

    number: int
    event: Event
    copy_of: int | None
    withdrawn_by: int | None = None

    @property
    def identity(self) -> Identity:
        """Provider, source, content hash and file-name values, which copies have in common."""
        return identity(self.event)


class State:
    """State after a sequence of events: the deliveries, and the files in the folder."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.deliveries: dict[int, Delivery] = {}
        self.at_place: dict[Place, Delivery] = {}
        self._first: dict[Identity, Delivery] = {}
        for _, of_landing in groupby(events, key=lambda event: event["landing"]):
            self._apply([*of_landing])

    def is_in_force(self, sought: Identity) -> bool:
        """Return whether the folder contains this delivery, under any file name."""
        return sought in self._first

    def _apply(self, of_landing: list[Event]) -> None:
        ended: dict[Identity, int] = {}
        for event in of_landing:
            gone = event.get("replaces") or event.get("withdraws")
            if gone:
                ended[self._take_away(self.deliveries[gone], event["number"])] = event["number"]
            if event["event"] == "delivered":
                self._add(event)
        # Files may swap names within one landing, so removals are decided after all its events.
        present = {delivery.identity for delivery in self.at_place.values()} if ended else set()
        for whose, number in ended.items():
            if whose not in present:
                # Records belong to the first delivery of their content, and remain valid while the
                # folder contains any copy of it.
                self._first.pop(whose).withdrawn_by = number

    def _add(self, event: Event) -> None:
        delivery = Delivery(event["number"], event, copy_of=None)
        first = self._first.setdefault(delivery.identity, delivery)
        if first is not delivery:
            delivery.copy_of = first.number
        self.deliveries[delivery.number] = self.at_place[place(event)] = delivery

    def _take_away(self, delivery: Delivery, number: int) -> Identity:
        del self.at_place[place(delivery.event)]
        if delivery.copy_of:
            delivery.withdrawn_by = number
        return delivery.identity


def identity(event: Event) -> Identity:
    """Return the values that are equal for two deliveries of the same content and source."""
    return (
        event["provider"],
        event["source_name"],
        event["delivery_id"],
        json.dumps(event["file_name_values"]),
    )


def place(event: Event) -> Place:
    """Return the path and entity of a delivery, as one file may feed several entities."""
    return event["file_path"], event["entity"]


def chain(store: Path) -> Chain:
    """Return the log of a store; reading it raises LandingError if it is damaged."""
    return Chain(store / NAME, file_mode(store), lambda text: LandingError(f"{text}. {WAY_OUT}"))


def lines(store: Path) -> list[Line]:
    """Return the lines of the log.

    Raises
    ------
    LandingError
        If the log was truncated, or a line was altered.
    """
    return chain(store).read().lines


def append(store: Path, following: Callable[[list[Line]], Line | None]) -> list[Line]:
    """Append a line to the log; see `Chain.append`."""
    make_folder((store / NAME).parent, store)
    return chain(store).append(following)


def read(store: Path, extract_set: str) -> list[Event]:
    """Return the events of an extract set, in order.

    Raises
    ------
    LandingError
        If the log is damaged.
    """
    return _of_set(lines(store), extract_set)


def record(store: Path, extract_set: str, present: list[Event]) -> list[Event]:
    """Append the changes since the last landing to the log, and return all events.

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

    def landing_of(so_far: list[Line]) -> Line | None:
        events = _of_set(so_far, extract_set)
        landing = len(events) + 1
        numbered = [
            {"number": number, "landing": landing} | event
            for number, event in enumerate(_changes(State(events), present), start=landing)
        ]
        return {"deliveries": {extract_set: numbered}} if numbered else None

    return _of_set(append(store, landing_of), extract_set)


def sets(store: Path) -> list[str]:
    """Return the names of the extract sets in the log."""
    return sorted({name for line in lines(store) for name in line.get("deliveries", {})})


def _changes(state: State, present: list[Event]) -> list[Event]:
    places = {place(file) for file in present}
    identities = {where: delivery.identity for where, delivery in state.at_place.items()}
    new = [file for file in present if identities.get(place(file)) != identity(file)]
    new.sort(key=lambda file: (not state.is_in_force(identity(file)), file["file_path"]))
    delivered = []
    for file in new:
        replaced = state.at_place.get(place(file))
        delivered.append(
            {"event": "delivered", "replaces": replaced.number if replaced else None} | file
        )
    withdrawn = [
        {"event": "withdrawn", "withdraws": delivery.number, "file_path": where[0]}
        for where, delivery in sorted(state.at_place.items())
        if where not in places
    ]
    return delivered + withdrawn


def _of_set(lines: list[Line], extract_set: str) -> list[Event]:
    return [event for line in lines for event in line.get("deliveries", {}).get(extract_set, [])]
