"""Read the citation of a study from CITATION.cff, SITE_URL and RELEASE_DOI."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.system import settings

FILE = "CITATION.cff"
FORMAT_GUIDE = "https://citation-file-format.github.io"
PRINT_FIELDS = ("volume", "start", "end", "doi")  # fields required to cite a printed paper
ONLINE_FIELDS = ("url", "date-published")  # fields that suffice to cite an online paper
IDENTIFIERS = {"url": "url", "identifier": "doi"}  # CITATION.cff key by schema.org property
RESOLVER = "https://doi.org/"
Name = tuple[str, ...]
"""Family and given names of a person, or the single name of an institution."""


@dataclass(frozen=True)
class Citation:
    """Citation metadata of a study: its title, authors, version, URL, DOI and paper.

    Attributes
    ----------
    absence : str
        Why the title and authors are unknown, with a remedy; empty if CITATION.cff exists.
    title : str
    authors : list of tuple of str
        One Name per author.
    keywords : list of str
    version : str or None
        Version of the code.
    paper : mapping or None
        First entry of `references`, with the keys of CITATION.cff.
    url, doi : str or None
        Address and DOI of the releases, from SITE_URL and RELEASE_DOI, or else from the file.
    """

    absence: str = ""
    title: str = ""
    authors: tuple[Name, ...] = ()
    keywords: tuple[str, ...] = ()
    version: str | None = None
    paper: Mapping[str, Any] | None = None
    url: str | None = None
    doi: str | None = None


def read_citation(folder: Path) -> Citation:
    """Return the citation metadata in a folder's CITATION.cff file.

    Raises
    ------
    BadConfigurationError
        If the file is not a valid citation, SITE_URL is not a URL, or RELEASE_DOI is not a DOI.
    """
    path, url, doi = folder / FILE, read_site_url(), _read_doi()
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        paper = next(iter(content.get("references", [])), None)
        if paper:
            format_article(paper)  # called only to raise an error if the reference is incomplete
        return Citation(
            title=content["title"],
            authors=parse_names(content["authors"]),
            keywords=tuple(content.get("keywords", [])),
            version=content.get("version"),
            paper=paper,
            url=url or content.get("url"),
            doi=doi or content.get("doi"),
        )
    except FileNotFoundError:
        return Citation(
            f"There is no {path}. Write one for your study ({FORMAT_GUIDE}).", url=url, doi=doi
        )
    except KeyError as error:
        field = error.args[0]
        raise BadConfigurationError(
            f"{path} lacks the required field {field}. {FORMAT_GUIDE} describes the format."
        ) from error
    except (AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise BadConfigurationError(
            f"{path} is not a valid citation file ({reason}). {FORMAT_GUIDE} describes the format."
        ) from error


def read_site_url() -> str | None:
    """Return the address of the website from SITE_URL, or None if the variable is not set.

    Raises
    ------
    BadConfigurationError
        If SITE_URL is not a URL.
    """
    url = settings.site_url()
    if url and not re.fullmatch(r"https?://[^\s/{}\\]+(/[^\s{}\\]*)?", url):
        raise BadConfigurationError(
            f"SITE_URL is {url!r}, which is not a web address. Set the variable to an address such"
            " as https://example.org/ai/, or unset it."
        )
    return url


def _read_doi() -> str | None:
    """Return the DOI of the releases from RELEASE_DOI, or None if the variable is not set."""
    doi = settings.release_doi()
    if doi and not re.fullmatch(r"10\.\d{4,9}/[^\s{}\\]+", doi):
        raise BadConfigurationError(
            f"RELEASE_DOI is {doi!r}, which is not a DOI. Set the variable to a DOI such as"
            " 10.5281/zenodo.1234567, without https://doi.org/, or unset it."
        )
    return doi


def format_makers(authors: Iterable[Name]) -> list[dict[str, str]]:
    """Return authors as schema.org objects: persons (two names) or organisations (one name)."""
    return [
        {
            "@type": "Organization" if len(name) == 1 else "Person",
            "name": " ".join(reversed(name)),
        }
        for name in authors
    ]


def format_article(paper: Mapping[str, Any]) -> dict[str, Any]:
    """Return the paper as a schema.org ScholarlyArticle."""
    return {
        "@type": "ScholarlyArticle",
        "name": paper["title"],
        "datePublished": str(paper.get("date-published", paper["year"])),
        **{name: paper[key] for name, key in IDENTIFIERS.items() if key in paper},
        **({"isPartOf": paper["journal"]} if "journal" in paper else {}),
        "author": [" ".join(name) for name in parse_names(paper["authors"])],
    }


def build_bibtex_key(paper: Mapping[str, Any]) -> str:
    """Return the BibTeX key of the paper: the family names of its authors, and the year."""
    authors = "_".join(name[0] for name in parse_names(paper["authors"]))
    return re.sub(r"\W+", "_", f"{authors}_{paper['year']}").lower()


def parse_names(authors: Iterable[Mapping[str, str]]) -> tuple[Name, ...]:
    """Return the family and given name of each author, or the name of an institution."""
    return tuple(
        (author["name"],) if "name" in author else (author["family-names"], author["given-names"])
        for author in authors
    )


def find_missing_fields(paper: Mapping[str, Any]) -> list[str]:
    """Return the required citation fields that the entry of the paper does not contain.

    A paper published online first has no volume yet, so its URL and date are sufficient.
    """
    if not paper.get("volume") and all(paper.get(name) for name in ONLINE_FIELDS):
        return []
    return [name for name in PRINT_FIELDS if not paper.get(name)]
