"""How a release and the paper are cited: CITATION.cff, and the address of the site."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ai_manufacturing import settings
from ai_manufacturing.releases.errors import BadConfigurationError

FILE = "CITATION.cff"
PRINTED = ("volume", "start", "end", "doi")
# Before a paper is printed, these are its citation.
ONLINE = ("url", "date-published")


def read(folder: Path) -> dict[str, Any]:
    """Return CITATION.cff of a folder; `url` is SITE_URL, else that of the file, else None.

    Raises
    ------
    BadConfigurationError
        If SITE_URL is no address.
    """
    cited: dict[str, Any] = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    return cited | {"url": site_url() or cited.get("url")}


def site_url() -> str | None:
    """Return the address of the site; None where SITE_URL names none.

    Raises
    ------
    BadConfigurationError
        If it is no address.
    """
    named = settings.site_url()
    if named and not re.fullmatch(r"https?://[^\s/{}\\]+(/[^\s{}\\]*)?", named):
        raise BadConfigurationError(
            f"SITE_URL is {named!r}, and no address. Write one such as https://example.org/ai/, or"
            " leave it out."
        )
    return named


def names(authors: list[dict[str, str]]) -> list[tuple[str, ...]]:
    """Return family and given names of each author, or the one name of an institution."""
    return [
        (author["name"],) if "name" in author else (author["family-names"], author["given-names"])
        for author in authors
    ]


def missing(paper: Mapping[str, Any]) -> list[str]:
    """Return what a citation of the paper lacks.

    That is nothing if it is published online first: it has no volume yet, but address and date.
    """
    if not paper.get("volume") and all(paper.get(name) for name in ONLINE):
        return []
    return [name for name in PRINTED if not paper.get(name)]
