"""Format messages in English and Chinese from the templates in sentences.yml."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import yaml

CATALOGUE = Path(__file__).with_name("sentences.yml")
COMMAS = {"en": ", ", "zh": "、"}  # list separator of each language


class SentenceError(Exception):
    """Raised if a message has no template, or if values do not match its placeholders."""


class Sentence(NamedTuple):
    """A sentence in English, with its Chinese translation."""

    en: str
    zh: str


Value = Sentence | str | float | Sequence[str]
NOTHING = Sentence("", "")  # the empty sentence


def sentence(key: str, **values: Value) -> Sentence:
    """Format a template of sentences.yml in English and Chinese.

    A value is a number, a name, a sequence of names, or another sentence.

    Raises
    ------
    SentenceError
        If the catalogue lacks the key, or the values do not match the sentence's placeholders.
    """
    if key not in _catalogue():
        raise SentenceError(
            f"{CATALOGUE.name} has no sentence with the key {key!r}. Add the sentence in English"
            " and Chinese."
        )
    english, chinese = _catalogue()[key]
    names = {name for _, name, _, _ in Formatter().parse(english) if name}
    if names != values.keys():
        raise SentenceError(
            f"{CATALOGUE.name}, {key}: the sentence requires the values {sorted(names)}, but"
            f" the caller passed {sorted(values)}."
        )
    return Sentence(
        english.format(**{name: _format_value(value, "en") for name, value in values.items()}),
        chinese.format(**{name: _format_value(value, "zh") for name, value in values.items()}),
    )


def join_sentences(sentences: Iterable[Sentence]) -> Sentence:
    """Join sentences with semicolons, or with a space after a full stop."""
    english, chinese = list(zip(*sentences, strict=True)) or [(), ()]
    return Sentence(
        "; ".join(english).replace(".; ", ". "), "；".join(chinese).replace("。；", "。")
    )


def join_names(names: Sequence[str]) -> Sentence:
    """Join names with "and" in English and with "与" in Chinese."""
    return Sentence(" and ".join(names), "与".join(_format_value(name, "zh") for name in names))


def split_sentences(row: Mapping[str, Any]) -> dict[str, Any]:
    """Split each Sentence in a row into columns `<name>` (English) and `<name>_zh` (Chinese)."""
    columns: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Sentence):
            columns[name], columns[f"{name}_zh"] = value
        else:
            columns[name] = value
    return columns


@cache
def _catalogue() -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(CATALOGUE.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return content


def _format_value(value: Value, language: str) -> Any:
    if isinstance(value, Sentence):
        return getattr(value, language)
    if isinstance(value, str):
        return _catalogue()["names"].get(value, value) if language == "zh" else value
    return (
        COMMAS[language].join(_format_value(name, language) for name in value)
        if isinstance(value, Sequence)
        else value
    )
