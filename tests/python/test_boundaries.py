"""Compare city names, mergers, splits and transfers with an independent list.

The list is FIERsity/china-prefecture-crosswalk (CC BY 4.0): names of prefecture-level units with
the years in which each was valid, acts of the State Council, and flags for years in which a city's
boundary changed. Every difference has a row in tests/fixtures/boundary_differences.csv, with the
reason for accepting it.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.python.conftest import PROJECT, PUBLIC_EXTRACTS, Build

BOUNDARIES = PUBLIC_EXTRACTS.parent / "boundaries"
NAMES = "entity_name_match_ranges_1987_2026.csv"
EVENTS = "unified_events_1987_2026.csv"
FLAGS = "fixed_boundary_event_flags_1999_2020.csv"
LINKS = "fixed_boundary_legacy_links.csv"

YEARS = range(2010, 2023)
ENDED = ("merge", "split", "abolish")

Differences = dict[tuple[str, str, str], tuple[str, str]]


@dataclass
class Ours:
    """City names and boundary changes of this project, read from a built warehouse."""

    # Years in which a name refers to a city, keyed by name and then by city ID.
    names: dict[str, dict[str, set[int]]]
    # City IDs of the prefecture-level units of 2020, keyed by name.
    current: dict[str, str]
    # City IDs of abolished units, keyed by name.
    former: dict[str, str]
    # First year in which a successor replaces an abolished unit, keyed by unit and successor.
    changes: dict[str, dict[str, int]]
    # First years under a new boundary, keyed by city ID.
    breaks: dict[str, set[int]]


def ours(build: Build) -> Ours:
    names: dict[str, dict[str, set[int]]] = defaultdict(dict)
    for name, city, first, last in build.rows(
        "select identifier, city_id, first_year, last_year from intermediate.int_city_identifiers "
        "where identifier_kind = 'name'"
    ):
        names[name].setdefault(city, set()).update(year for year in YEARS if first <= year <= last)
    changes: dict[str, dict[str, int]] = defaultdict(dict)
    for gone, heir, year in build.rows(
        "select from_city_id, to_city_id, first_year from seeds.city_changes "
        "where from_city_id not in (select city_id from seeds.cities)"
    ):
        changes[gone][heir] = year
    breaks: dict[str, set[int]] = defaultdict(set)
    changed = build.compiled("int_city_boundary_changes")
    for city, year in build.rows(f"select city_id, first_year from ({changed})"):
        breaks[city].add(year)
    of_prefectures = "where unit_kind <> 'county_level'"
    return Ours(
        names=names,
        current=build.pairs(f"select name_zh, city_id from seeds.cities {of_prefectures}"),
        former=build.pairs(
            "select distinct from_name_zh, from_city_id from seeds.city_changes "
            "where from_city_id not in (select city_id from seeds.cities)"
        ),
        changes=changes,
        breaks=breaks,
    )


def read(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def in_words(years: Iterable[int]) -> str:
    """Format years as ranges, such as "2010-2012, 2015"."""
    spans: list[list[int]] = []
    for year in sorted(years):
        if spans and spans[-1][-1] == year - 1:
            spans[-1][1:] = [year]
        else:
            spans.append([year])
    return ", ".join("-".join(map(str, span)) for span in spans) or "none"


def cities_of(names: list[dict[str, str]], here: Ours) -> dict[str, str]:
    """Map the unit IDs of the independent list to city IDs of this project, by name."""
    known = here.current | here.former
    return {
        row["entity_id"]: known[row["name_zh"]]
        for row in names
        if int(row["end_year"]) >= YEARS[0] and row["name_zh"] in known
    }


def differences(folder: Path, here: Ours) -> Differences:
    """Return all differences between the independent list and this project's boundaries.

    Keys are the comparison, the unit's ID and its name; values are the two statements.
    """
    names = read(folder, NAMES)
    cities = cities_of(names, here)
    latest = {
        row["entity_id"]: row["name_zh"]
        for row in sorted(names, key=lambda row: int(row["end_year"]))
    }
    found: Differences = {}
    heirs: dict[str, set[str]] = defaultdict(set)

    def compare(comparison: str, outside_id: str, name: str, outside: str, own: str) -> None:
        if outside != own:
            found[comparison, outside_id, name] = (outside, own)

    newest = max(row["end_year"] for row in names)
    units = {row["name_zh"] for row in names if row["end_year"] == newest}
    for name in units ^ here.current.keys():
        compare("units", "", name, str(name in units), str(name in here.current))

    for row in names:
        city = cities.get(row["entity_id"], "")
        of_list = {year for year in YEARS if int(row["start_year"]) <= year <= int(row["end_year"])}
        meant = here.names.get(row["name_zh"], {})
        own = in_words(meant.get(city, ()))
        others = [
            f"{other} in {in_words(years)}"
            for other, years in meant.items()
            if other != city and years
        ]
        compare(
            "names", row["entity_id"], row["name_zh"], in_words(of_list), ", ".join([own, *others])
        )

    broken: dict[str, set[int]] = defaultdict(set)
    entered: dict[str, set[int]] = defaultdict(set)
    flags = read(folder, FLAGS)
    for row in flags:
        for flag, of_unit in (("whole_city_break_flag", broken), ("sample_entry_flag", entered)):
            if int(row["year"]) in YEARS and row[flag] == "1":
                of_unit[row["prefecture_entity_id"]].add(int(row["year"]))
    of_flags = {int(row["year"]) for row in flags} & {*YEARS}
    for entity in {row["prefecture_entity_id"] for row in flags}:
        own_breaks = here.breaks.get(cities[entity], set()) & of_flags
        compare("breaks", entity, latest[entity], in_words(broken[entity]), in_words(own_breaks))
        # This project includes every city of 2020 in all years, so no city enters later.
        compare("entries", entity, latest[entity], in_words(entered[entity]), in_words([]))

    for row in read(folder, LINKS):
        if row["to_entity_id"] and row["relation_type"] in ENDED:
            heirs[row["from_entity_id"]].add(row["to_entity_id"])
    in_list = set()
    for row in read(folder, EVENTS):
        if int(row["year"]) not in YEARS:
            continue
        city, event = cities[row["entity_id"]], (row["event_id"], row["old_prefecture_name"])
        if row["event_type"] in ENDED:
            in_list.add(city)
            their_changes = {cities[heir]: int(row["year"]) for heir in heirs[row["entity_id"]]}
            own_changes = here.changes.get(city, {})
            for heir in sorted(their_changes.keys() | own_changes.keys()):
                said = [
                    in_words([says[heir]] if heir in says else [])
                    for says in (their_changes, own_changes)
                ]
                compare("events", event[0], f"{event[1]} {heir}", *said)
        elif row["event_type"] == "establish":
            compare("events", *event, row["year"], in_words([]))
        else:
            # A unit that was upgraded or renamed has the same area under both names.
            old = row["old_prefecture_name"] or row["new_prefecture_name"]
            continues = city not in here.changes and int(row["year"]) in here.names.get(
                old, {}
            ).get(city, set())
            compare("events", *event, "continues", "continues" if continues else "ends")
    for gone in here.changes.keys() - in_list:
        compare("events", "", gone, "none", in_words(here.changes[gone].values()))
    return found


def answers(rows: list[dict[str, str]]) -> Differences:
    return {
        (row["comparison"], row["outside_id"], row["name_zh"]): (row["outside_says"], row["we_say"])
        for row in rows
    }


@pytest.fixture
def boundaries() -> Path:
    if not BOUNDARIES.is_dir():
        pytest.skip("the outside list of boundaries is not here, beside PUBLIC_EXTRACTS")
    return BOUNDARIES


def test_every_difference_from_the_outside_list_has_its_answer_and_no_answer_is_left_over(
    boundaries: Path, sample_build: Build
) -> None:
    rows = read(PROJECT / "tests/fixtures", "boundary_differences.csv")
    assert differences(boundaries, ours(sample_build)) == answers(rows)
    assert all(row["reason"] for row in rows)
    assert len(answers(rows)) == len(rows)


def test_the_outside_list_covers_the_prefectures_of_2020_in_every_year(
    boundaries: Path, sample_build: Build
) -> None:
    here, names, flags = ours(sample_build), read(boundaries, NAMES), read(boundaries, FLAGS)
    cities = cities_of(names, here)
    years_of = Counter(cities[row["prefecture_entity_id"]] for row in flags)
    assert years_of == dict.fromkeys(here.current.values(), 22)


def test_each_other_name_of_a_city_begins_as_one_of_the_outside_list(
    boundaries: Path, sample_build: Build
) -> None:
    here, names = ours(sample_build), read(boundaries, NAMES)
    cities = cities_of(names, here)
    of_list = {(cities.get(row["entity_id"]), row["name_zh"]) for row in names}
    aliases = sample_build.rows(
        "select identifier, city_id from seeds.city_aliases inner join seeds.cities using (city_id)"
        " where identifier_kind = 'name' and unit_kind <> 'county_level'"
    )
    assert [
        (alias, city)
        for alias, city in aliases
        if not any(
            city == owner and name.startswith(re.sub("(市|州|地区|盟)$", "", alias))
            for owner, name in of_list
        )
    ] == []
