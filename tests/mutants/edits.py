"""An edit of a text, which is a possible fault."""

import re
from dataclasses import dataclass

Words = dict[str, list[str]]


@dataclass(frozen=True)
class Edit:
    """A span of a text, in characters, and its faulty replacement."""

    operator: str
    start: int
    end: int
    new: str

    def applied(self, text: str) -> str:
        """Return the text with the fault."""
        return text[: self.start] + self.new + text[self.end :]


def swaps_of(pairs: str) -> Words:
    """Read "word:other|another", where an underscore stands for a space."""
    words = [pair.replace("_", " ").split(":") for pair in pairs.split()]
    return {word: others.split("|") for word, others in words}


def word_edits(pattern: str, words: Words, text: str, start: int, end: int) -> list[Edit]:
    """Replace each match of a pattern by the words that may be mistaken for it."""
    return [
        Edit(f"{match[0]} to {new}".strip(), *match.span(), new)
        for match in re.compile(pattern).finditer(text, start, end)
        for new in words.get(match[0], [])
    ]


def number_edits(number: str, start: int) -> list[Edit]:
    """Multiply a number by ten, or add one to an integer; zero, one and years only move by one."""
    value, is_decimal = float(number), "." in number
    new = [f"{value * 10:g}"] if is_decimal else [f"{value + 1:.0f}", f"{value * 10:.0f}"]
    kept = new[:1] if value in (0, 1) or 1900 <= value <= 2100 else new
    return [Edit("number changed", start, start + len(number), one) for one in kept]


def swapped(operator: str, places: list[tuple[int, str]]) -> list[Edit]:
    """Replace the value at each place by the nearest value that differs from it."""
    edits = []
    for at, (start, value) in enumerate(places):
        others = [(abs(other - at), new) for other, (_, new) in enumerate(places) if new != value]
        edits += [Edit(operator, start, start + len(value), min(others)[1])] if others else []
    return edits
