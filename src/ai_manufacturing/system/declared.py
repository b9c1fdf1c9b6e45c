"""Provide pydantic base models for TOML, YAML and seed files, with readable error messages."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

# Phrases in pydantic's error messages, mapped to plainer wording.
REPLACED_PHRASES = {
    "Input should be": "the value must be",
    "a valid boolean": "true or false",
    "a valid date": "a date such as 2026-11-26",
    "string": "text",
    "tuple": "list",
    "dictionary": "table",
}


class Declared(BaseModel):
    """Strict base model that rejects unknown fields and suggests the closest known name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _reject_unknown_fields(cls, values: Any) -> Any:
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for name in values if isinstance(values, Mapping) else ():
            if name not in names:
                near = get_close_matches(name, names, n=1)
                meant = f"did you mean {near[0]}?" if near else f"known names: {', '.join(names)}"
                raise ValueError(f"{name} is unknown ({meant})")
        return values


class Row(Declared):
    """Base model for a row of a dbt seed, whose text cells are converted to the field types."""

    model_config = ConfigDict(strict=False)


def require_pattern(pattern: str, what: str) -> AfterValidator:
    """Return a validator that rejects text not matching `pattern`, which must be `what`."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"the value must be {what}")
        return text

    return AfterValidator(check)


Text = Annotated[str, require_pattern(r"(?s).*\S.*", "a text")]
Part = TypeVar("Part")
Many = Annotated[tuple[Part, ...], Field(strict=False)]
Names = Annotated[Many[Text], Field(min_length=1)]


def describe_errors(
    error: ValidationError, values: Mapping[str, Any], file: str, way_out: str
) -> list[str]:
    """Return one message per invalid table of a file, with location, value and remedy.

    Parameters
    ----------
    error : ValidationError
        Errors from the model.
    values : mapping
        Parsed content of the file.
    file : str
        Name of the file.
    way_out : str
        Sentence that explains the remedy.
    """
    errors_by_place: dict[str, list[str]] = {}
    for detail in error.errors():
        place: list[Any] = [part for part in detail["loc"] if part != "[key]"]
        where = file
        entries = values.get(place[0]) if place[1:] else None
        # Identify a table in a list by its name, which is easier to find in the file than an index.
        if isinstance(entries, list) and isinstance(entry := entries[place[1]], Mapping):
            where += f", {place[0].removesuffix('s')} {entry.get('name', '?')}"
            place = place[2:]
        errors_by_place.setdefault(where, []).append(
            describe_error(".".join(map(str, place)), detail)
        )
    return [
        f"{where}: {'; '.join(descriptions)}. {way_out}"
        for where, descriptions in errors_by_place.items()
    ]


def describe_error(place: str, fault: ErrorDetails) -> str:
    """Describe a pydantic validation error as a clause, such as "year is missing"."""
    value, what = fault["input"], fault["msg"]
    if fault["type"] == "missing":
        return f"{place} is missing"
    if fault["type"] == "value_error":
        what = str(fault["ctx"]["error"])
        if isinstance(value, Mapping):
            return f"{place}: {what}" if place else what
    for phrase, replacement in REPLACED_PHRASES.items():
        what = what.replace(phrase, replacement)
    return f"{place} is {value!r}, but {what}"
