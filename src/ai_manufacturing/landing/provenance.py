"""Provenance of a source: who published its files and on what terms, as its provider declares."""

import datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from ai_manufacturing.system.declared import Declared, Many, Text, matching

Class = Literal["official", "commercial_vendor", "republished", "generated"]
Address = Annotated[str, matching(r"https?://\S+", "one that begins with https://")]
Commit = Annotated[str, matching("[0-9a-f]{40}", "40 hex digits")]


class Provenance(Declared):
    """Where the files of a source come from; what may be passed on follows from it (terms.py).

    Attributes
    ----------
    provenance_class : str
        Whose numbers these are as far as is known; "republished" where only the third party is.
    publisher : str
        Who published them first, or "not stated".
    republished_by : str or None
        The third party from whom the files are; None where they are from the publisher.
    licence : str
        The terms, or "none stated".
    interpolated : list of str
        Series of which some values are interpolated, extrapolated or modelled.
    citation_en, citation_zh : str
        How to cite the source.
    source_address : str or None
        The page of the repository or of the publisher.
    source_commit, source_path : str or None
        The commit of the repository that has the file, in 40 hex digits, and the path of the file
        or its folder there.
    looked_up_on : datetime.date or None
        The day on which the address was looked up.
    accessed_on : datetime.date or None
        The day on which the file was fetched from there; None where nobody recorded it.
    """

    provenance_class: Class = Field(alias="class")
    publisher: Text
    republished_by: Text | None = None
    licence: Text
    interpolated: Many[str]
    citation_en: Text
    citation_zh: Text
    source_address: Address | None = Field(None, alias="address")
    source_commit: Commit | None = Field(None, alias="commit")
    source_path: Text | None = Field(None, alias="path")
    looked_up_on: datetime.date | None = Field(None, alias="looked_up")
    accessed_on: datetime.date | None = Field(None, alias="accessed")

    @property
    def source_link(self) -> str | None:
        """The page of the file at its commit; the address where commit or path is not known."""
        if self.source_address and self.source_commit and self.source_path:
            return f"{self.source_address}/blob/{self.source_commit}/{quote(self.source_path)}"
        return self.source_address

    @property
    def columns(self) -> dict[str, Any]:
        """What raw.deliveries has of it."""
        series = " ".join(self.interpolated) or None
        return self.model_dump(exclude={"interpolated"}) | {
            "interpolated_series": series,
            "source_link": self.source_link,
        }

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.provenance_class == "republished" and not self.republished_by:
            raise ValueError("class is republished, nothing says by whom. Write republished_by")
        if self.republished_by and not self.source_address:
            raise ValueError("republished_by does not say where. Write address")
        if self.source_address and not self.looked_up_on:
            raise ValueError("address has no day. Write looked_up, as 2026-11-28")
        return self


# What `ai-manufacturing synthetic` draws is the work of no provider.
GENERATED = Provenance.model_validate(
    {
        "class": "generated",
        "publisher": "ai-manufacturing synthetic",
        "licence": "MIT",
        "interpolated": [],
        "citation_en": (
            "Synthetic numbers, drawn by the command ai-manufacturing synthetic; not to be cited as"
            " data."
        ),
        "citation_zh": "合成数据，由命令 ai-manufacturing synthetic 生成，不可作为数据引用。",
    }
)
NOT_DECLARED = dict.fromkeys(GENERATED.columns)
