"""What is said of an estimate, in English and Chinese: reasons, warnings and hypotheses, from one catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import yaml

CATALOGUE = Path(__file__).with_name("sentences.yml")


class SentenceError(Exception):
    """A sentence that the catalogue does not have, or that was given other values than it names."""


class Sentence(NamedTuple):
    """The same words in both languages."""

    en: str
    zh: str


NOTHING = Sentence("", "")
Value = Sentence | str | float | Sequence[str]


def said(key: str, **values: Value) -> Sentence:
    """Return a sentence of sentences.yml with its values.

    Parameters
    ----------
    key : str
        Its key.
    **values
        What stands in its braces: numbers, names, sequences of names, or words in both languages.

    Raises
    ------
    SentenceError
        If the catalogue has no such key, or the sentence names other values than are given.
    """
    templates, needed = _catalogue().get(key, (None, frozenset()))
    if templates is None:
        raise SentenceError(f"{CATALOGUE.name} has no sentence {key!r}: add it, in English and Chinese.")
    if needed != values.keys():
        raise SentenceError(
            f"{CATALOGUE.name}, {key}: the sentence needs the values {sorted(needed)}, and was given {sorted(values)}."
        )
    english, chinese = templates
    return Sentence(
        english.format(**{name: _in_english(value) for name, value in values.items()}),
        chinese.format(**{name: _in_chinese(value) for name, value in values.items()}),
    )


def joined(sentences: Iterable[Sentence]) -> Sentence:
    """Return sentences one after the other."""
    english, chinese = list(zip(*sentences, strict=True)) or [(), ()]
    return Sentence("; ".join(english), "；".join(chinese).replace("。；", "。"))


def both(names: Sequence[str]) -> Sentence:
    """Return names with `and` between them."""
    return Sentence(" and ".join(names), "与".join(map(_in_chinese, names)))


def in_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with each sentence in two columns: English by its name, Chinese with _zh after it."""
    columns: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Sentence):
            columns |= {name: value.en, f"{name}_zh": value.zh}
        else:
            columns[name] = value
    return columns


@cache
def _catalogue() -> dict[str, tuple[tuple[str, str], frozenset[str]]]:
    """Per key the two templates, and the values that both name."""
    content = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return {key: (tuple(words), _names_in(words[0])) for key, words in content.items() if key != "names"}


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))["names"]
    return names


def _names_in(template: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


def _in_english(value: Value) -> Any:
    if isinstance(value, Sentence):
        return value.en
    return value if isinstance(value, str) or not isinstance(value, Sequence) else ", ".join(value)


def _in_chinese(value: Value) -> Any:
    if isinstance(value, Sentence):
        return value.zh
    if isinstance(value, str):
        return _names().get(value, value)
    return "、".join(map(_in_chinese, value)) if isinstance(value, Sequence) else value
