"""Provenance of a source, as its provider declares it: who published the files, and on what terms."""

import csv
import datetime
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ai_manufacturing import settings
from ai_manufacturing.landing import declarations
from ai_manufacturing.landing.errors import LandingError

CLASSES = ("official", "commercial_vendor", "republished", "generated")
# What may be passed on follows from class, republisher and licence: ai_manufacturing/terms.py.
WORDS = ("publisher", "licence", "citation_en", "citation_zh")
REQUIRED = ("class", *WORDS, "interpolated")
OPTIONAL = ("republished_by",)
# Where the files are: they lead from a number to the page on which anyone can fetch its file.
WHEREABOUTS = ("address", "commit", "path")
DAYS = {"looked_up": "looked_up_on", "accessed": "accessed_on"}
GUIDE = "docs/how_to/add_a_provider.md says what it holds."


@dataclass(frozen=True)
class Provenance:
    """Where the files of a source come from: the columns that it has in raw.deliveries.

    Attributes
    ----------
    provenance_class : str
        One of CLASSES: whose numbers these are as far as is known; "republished" where only the third party is.
    publisher : str
        Who published them first, or "not stated".
    republished_by : str or None
        The third party from whom the files are; None where they are from the publisher.
    licence : str
        The terms, or "none stated".
    interpolated_series : str or None
        Series of which some values are interpolated, extrapolated or modelled, separated by blanks.
    citation_en, citation_zh : str
        How to cite the source.
    source_address : str or None
        The page of the repository or of the publisher.
    source_commit, source_path : str or None
        The commit of the repository that has the file, in 40 hex digits, and the path of the file or its folder there.
    source_link : str or None
        The page of the file at that commit; the address where commit or path is not known.
    looked_up_on : datetime.date or None
        The day on which the address was looked up.
    accessed_on : datetime.date or None
        The day on which the file was fetched from there; None where nobody recorded it.
    """

    provenance_class: str
    publisher: str
    republished_by: str | None
    licence: str
    interpolated_series: str | None
    citation_en: str
    citation_zh: str
    source_address: str | None = None
    source_commit: str | None = None
    source_path: str | None = None
    source_link: str | None = None
    looked_up_on: datetime.date | None = None
    accessed_on: datetime.date | None = None


NOT_DECLARED: dict[str, str | None] = dict.fromkeys(Provenance.__dataclass_fields__)
# What `ai-manufacturing synthetic` draws is the work of no provider.
GENERATED = Provenance(
    provenance_class="generated",
    publisher="ai-manufacturing synthetic",
    republished_by=None,
    licence="MIT",
    interpolated_series=None,
    citation_en="Synthetic numbers, drawn by the command ai-manufacturing synthetic; not to be cited as data.",
    citation_zh="合成数据，由命令 ai-manufacturing synthetic 生成，不可作为数据引用。",
)


def read() -> dict[tuple[str, str], Provenance]:
    """Return the provenance of each declared source and register, by provider and name.

    A table `[provenance]` is of all sources of its provider; a table `provenance` of a source replaces what it names.

    Raises
    ------
    LandingError
        With one line for each source whose provenance is missing or cannot be understood.
    """
    provenances: dict[tuple[str, str], Provenance] = {}
    faults: list[str] = []
    series = _series()
    for path, declared in declarations.files():
        provider = path.parent.name
        of_provider = declared.get("provenance", {})
        for entry in [*declared.get("sources", []), *declared.get("registers", [])]:
            name = entry.get("name", "?")
            declaration = {**of_provider, **entry.get("provenance", {})}
            wrong = _fault(declaration, series)
            if wrong:
                faults.append(f"{provider}/{path.name}, source {name}: {wrong} {GUIDE}")
            else:
                words: dict[str, Any] = {word: declaration.get(word) for word in (*WORDS, *OPTIONAL)}
                words |= {f"source_{word}": declaration.get(word) for word in WHEREABOUTS}
                words |= {column: declaration.get(day) for day, column in DAYS.items()}
                words["source_link"] = _link(declaration)
                provenances[provider, name] = Provenance(
                    provenance_class=declaration["class"],
                    interpolated_series=" ".join(declaration["interpolated"]) or None,
                    **words,
                )
    if faults:
        raise LandingError(*faults)
    return provenances


def _link(declaration: dict[str, Any]) -> str | None:
    address, commit, path = (declaration.get(word) for word in WHEREABOUTS)
    return f"{address}/blob/{commit}/{quote(path)}" if address and commit and path else address


def _fault(declaration: dict[str, Any], series: set[str]) -> str | None:
    if not declaration:
        return "no provenance. Add a table [provenance]."
    missing = [name for name in REQUIRED if name not in declaration]
    unknown = sorted(declaration.keys() - {*REQUIRED, *OPTIONAL, *WHEREABOUTS, *DAYS})
    if missing or unknown:
        return f"provenance lacks {', '.join(missing) or 'nothing'}, unknown: {', '.join(unknown) or 'nothing'}."
    if declaration["class"] not in CLASSES:
        return f'the class of provenance is "{declaration["class"]}", not one of {", ".join(CLASSES)}.'
    for name in (*WORDS, *OPTIONAL, *WHEREABOUTS):
        if name in declaration and not (isinstance(declaration[name], str) and declaration[name].strip()):
            return f"{name} of provenance is {declaration[name]!r}, not a text."
    if declaration["class"] == "republished" and "republished_by" not in declaration:
        return "provenance is republished and does not say by whom. Write republished_by, or another class."
    if "republished_by" in declaration and "address" not in declaration:
        return "provenance is republished and does not say where. Write address."
    if "address" in declaration and "looked_up" not in declaration:
        return "address of provenance has no day. Write looked_up, the day on which it was looked up."
    if not re.fullmatch(r"https?://\S+", declaration.get("address", "https://-")):
        return f"address of provenance is {declaration['address']!r}, not one that begins with https://."
    if not re.fullmatch(r"[0-9a-f]{40}", declaration.get("commit", "0" * 40)):
        return f"commit of provenance is {declaration['commit']!r}, not 40 hex digits."
    for name in DAYS:
        if type(declaration.get(name, datetime.date.min)) is not datetime.date:
            return f"{name} of provenance is {declaration[name]!r}, not a date as 2026-11-28."
    names = declaration["interpolated"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return f"interpolated of provenance is {names!r}, not a list of series; [] if none is."
    unknown = sorted(set(names) - series)
    if unknown:
        return f"interpolated of provenance names {', '.join(unknown)}, no row of seeds/series.csv."
    return None


def _series() -> set[str]:
    path = settings.project_root() / "seeds" / "series.csv"
    if not path.is_file():
        return set()
    with path.open(encoding="utf-8", newline="") as rows:
        return {row["series"] for row in csv.DictReader(rows)}
