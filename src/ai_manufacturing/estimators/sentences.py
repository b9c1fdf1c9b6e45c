"""Reasons, warnings and hypotheses in English and Chinese, from one catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import yaml

CATALOGUE = Path(__file__).with_name("sentences.yml")
COMMAS = {"en": ", ", "zh": "、"}


class SentenceError(Exception):
    """A sentence that the catalogue does not have, or that was given other values than it names."""


class Sentence(NamedTuple):
    """The same words in both languages."""

    en: str
    zh: str


Value = Sentence | str | float | Sequence[str]
NOTHING = Sentence("", "")


def sentence(key: str, **values: Value) -> Sentence:
    """Return a sentence of sentences.yml with its values.

    Values are numbers, names, sequences of names, or other sentences.

    Raises
    ------
    SentenceError
        If the catalogue has no such key, or the sentence names other values than are given.
    """
    if key not in _catalogue():
        raise SentenceError(
            f"{CATALOGUE.name} has no sentence {key!r}: add it, in English and Chinese."
        )
    english, chinese = _catalogue()[key]
    names = {name for _, name, _, _ in Formatter().parse(english) if name}
    if names != values.keys():
        raise SentenceError(
            f"{CATALOGUE.name}, {key}: the sentence needs the values {sorted(names)}, and was given"
            f" {sorted(values)}."
        )
    return Sentence(
        english.format(**{name: _worded(value, "en") for name, value in values.items()}),
        chinese.format(**{name: _worded(value, "zh") for name, value in values.items()}),
    )


def joined(sentences: Iterable[Sentence]) -> Sentence:
    """Return sentences one after the other."""
    english, chinese = list(zip(*sentences, strict=True)) or [(), ()]
    return Sentence(
        "; ".join(english).replace(".; ", ". "), "；".join(chinese).replace("。；", "。")
    )


def both(names: Sequence[str]) -> Sentence:
    """Return names with `and` between them."""
    return Sentence(" and ".join(names), "与".join(_worded(name, "zh") for name in names))


def in_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with each sentence in two columns, the Chinese one with _zh after its name."""
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


def _worded(value: Value, language: str) -> Any:
    if isinstance(value, Sentence):
        return getattr(value, language)
    if isinstance(value, str):
        return _catalogue()["names"].get(value, value) if language == "zh" else value
    return (
        COMMAS[language].join(_worded(name, language) for name in value)
        if isinstance(value, Sequence)
        else value
    )
