"""How a release and the paper are cited: CITATION.cff, the address of the site and a DOI."""

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
IDENTIFIERS = {"url": "url", "identifier": "doi"}  # of the paper, where its citation has them
RESOLVER = "https://doi.org/"


def read(folder: Path) -> dict[str, Any]:
    """Return CITATION.cff of a folder; `url` and `doi` are settings, else of the file, else None.

    Raises
    ------
    BadConfigurationError
        If SITE_URL is no address, or RELEASE_DOI no DOI.
    """
    cited: dict[str, Any] = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
    return cited | {"url": site_url() or cited.get("url"), "doi": _doi() or cited.get("doi")}


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


def _doi() -> str | None:
    """Return the DOI of the release; None where RELEASE_DOI names none."""
    named = settings.release_doi()
    if named and not re.fullmatch(r"10\.\d{4,9}/[^\s{}\\]+", named):
        raise BadConfigurationError(
            f"RELEASE_DOI is {named!r}, and no DOI. Write one such as 10.5281/zenodo.1234567,"
            " without an address before it, or leave it out."
        )
    return named


def makers(cited: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the authors as schema.org has them: a person has two names, an institution one."""
    return [
        {
            "@type": "Organization" if len(name) == 1 else "Person",
            "name": " ".join(reversed(name)),
        }
        for name in names(cited["authors"])
    ]


def article(cited: Mapping[str, Any]) -> dict[str, Any]:
    """Return the paper as schema.org has it."""
    paper = cited["references"][0]
    return {
        "@type": "ScholarlyArticle",
        "name": paper["title"],
        "datePublished": str(paper.get("date-published", paper["year"])),
        **{name: paper[key] for name, key in IDENTIFIERS.items() if key in paper},
        "isPartOf": paper["journal"],
        "author": [" ".join(name) for name in names(paper["authors"])],
    }


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
