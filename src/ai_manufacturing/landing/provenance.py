"""Validate the declared provenance of a data source: publisher, licence, links, citation."""

import datetime
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from ai_manufacturing.system.declared import Declared, Many, Text, require_pattern

Class = Literal["official", "commercial_vendor", "republished", "generated"]
Address = Annotated[str, require_pattern(r"https?://\S+", "an address that begins with https://")]
Commit = Annotated[str, require_pattern("[0-9a-f]{40}", "40 hex digits")]


class Provenance(Declared):
    """Origin, licence and citation of a data source, which determine if it may be redistributed.

    Attributes
    ----------
    provenance_class : str
        Origin of the numbers as far as it is known; "republished" if only a third party is known.
    publisher : str
        The original publisher, or "not stated".
    republished_by : str or None
        Third party that supplied the files; None if they come from the publisher.
    licence : str
        Terms of use, or "none stated".
    interpolated : list of str
        Series with interpolated, extrapolated or modelled values.
    citation_en, citation_zh : str
        Citation of the source in English and in Chinese.
    source_address : str or None
        Web page of the repository or publisher.
    source_commit, source_path : str or None
        Commit of the repository, in 40 hex digits, and path of the file or its folder in it.
    looked_up_on : datetime.date or None
        Date on which the address was looked up.
    accessed_on : datetime.date or None
        Date on which the file was downloaded from the address; None if it was not recorded.
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
        """URL of the file at its commit, or of the website if commit or path is unknown."""
        if self.source_address and self.source_commit and self.source_path:
            return f"{self.source_address}/blob/{self.source_commit}/{quote(self.source_path)}"
        return self.source_address

    @property
    def columns(self) -> dict[str, Any]:
        """Provenance fields as columns of the table raw.deliveries."""
        series = " ".join(self.interpolated) or None
        return self.model_dump(exclude={"interpolated"}) | {
            "interpolated_series": series,
            "source_link": self.source_link,
        }

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.provenance_class == "republished" and not self.republished_by:
            raise ValueError(
                'class is "republished", but republished_by is missing. Add republished_by with the'
                " name of the republisher"
            )
        if self.republished_by and not self.source_address:
            raise ValueError(
                "republished_by is given without an address. Add the web page of the source in the"
                " field address"
            )
        if self.source_address and not self.looked_up_on:
            raise ValueError(
                "address is given without the date on which the address was looked up. Add the"
                " field looked_up with a date such as 2026-11-28"
            )
        return self


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
"""Provenance of the output of `ai-manufacturing synthetic`, which no provider declares."""
NOT_DECLARED = dict.fromkeys(GENERATED.columns)
"""Null provenance columns, for a delivery whose source is no longer declared."""
