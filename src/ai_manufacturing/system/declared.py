"""What people declare in TOML, YAML and seeds, as pydantic models, and its faults in words."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

# What pydantic says, and what this project says.
WORDS = {
    "Input should be": "not",
    "a valid boolean": "true or false",
    "a valid date": "a date such as 2026-11-26",
    "string": "text",
    "tuple": "list",
    "dictionary": "table",
}


class Declared(BaseModel):
    """A table of a file; a field that it does not have is named with the one that is meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for name in values if isinstance(values, Mapping) else ():
            if name not in names:
                near = get_close_matches(name, names, n=1)
                meant = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
                raise ValueError(f"{name} is unknown ({meant})")
        return values


class Row(Declared):
    """A row of a seed, whose cells are text."""

    model_config = ConfigDict(strict=False)


def matching(pattern: str, what: str) -> AfterValidator:
    """Return the rule that a text matches a pattern, and is what the fault says that it is not."""

    def matched(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"not {what}")
        return text

    return AfterValidator(matched)


Text = Annotated[str, matching(r"(?s).*\S.*", "a text")]
Part = TypeVar("Part")
Many = Annotated[tuple[Part, ...], Field(strict=False)]
Names = Annotated[Many[Text], Field(min_length=1)]


def faults(error: ValidationError, values: Mapping[str, Any], file: str, way_out: str) -> list[str]:
    """Return a line for each table of a file that is not as its model says.

    It has the place, the value, and the way out.

    Parameters
    ----------
    error : ValidationError
        What the model found.
    values : mapping
        What the file holds.
    file : str
        Its name.
    way_out : str
        What can be done, as a sentence.
    """
    found: dict[str, list[str]] = {}
    for one in error.errors():
        place: list[Any] = [part for part in one["loc"] if part != "[key]"]
        where = file
        entries = values.get(place[0]) if place[1:] else None
        # a table of a list is named
        if isinstance(entries, list) and isinstance(entry := entries[place[1]], Mapping):
            where += f", {place[0].removesuffix('s')} {entry.get('name', '?')}"
            place = place[2:]
        found.setdefault(where, []).append(in_words(".".join(map(str, place)), one))
    return [f"{where}: {'; '.join(wrong)}. {way_out}" for where, wrong in found.items()]


def in_words(place: str, fault: ErrorDetails) -> str:
    """Return a fault at a place of a file as a part of a sentence."""
    value, what = fault["input"], fault["msg"]
    if fault["type"] == "missing":
        return f"{place} is missing"
    if fault["type"] == "value_error":
        what = str(fault["ctx"]["error"])
        if isinstance(value, Mapping):
            return f"{place}: {what}" if place else what
    for of_pydantic, word in WORDS.items():
        what = what.replace(of_pydantic, word)
    return f"{place} is {value!r}, {what}"
