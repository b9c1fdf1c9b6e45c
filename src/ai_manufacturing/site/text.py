"""The words of the site in both languages, from one catalogue."""

import functools
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

LANGUAGES = ("en", "zh")
COMMAS = {"en": ", ", "zh": "、"}
# Beside what a substitute feeds, and at the beginning of the note that says so.
MARK = "†"
# Between two values that make up a third: a term of two factors, a chosen value.
JOINTS = {":": " × ", "=": ": "}


def pair(en: object, zh: object) -> Markup:
    """Return markup that shows one of two texts, by the language of the page."""
    return Markup('<span class="en" lang="en">{}</span><span class="zh" lang="zh-CN">{}</span>').format(en, zh)


@dataclass(frozen=True)
class Catalogue:
    """Texts by key, English and Chinese.

    Attributes
    ----------
    texts : mapping of str to (str, str)
        What the pages say.
    labels : mapping of str to (str, str)
        How a value of the data, such as `ln1p` or `log of zero`, is called.
    sentences : sequence of (str, str)
        Sentences that the estimates have in English, with placeholders for the values in them.
    substituted : mapping of str to (str, str)
        What a value of the data is called here where a substitute feeds it.
    """

    texts: Mapping[str, tuple[str, str]]
    labels: Mapping[str, tuple[str, str]]
    sentences: Sequence[tuple[str, str]]
    substituted: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    substituted_names: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path) -> "Catalogue":
        """Read the catalogue."""
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        # A label of one text is Chinese; its key is the English one.
        labels = {
            key: (key.replace("_", " "), words) if isinstance(words, str) else tuple(words)
            for key, words in content["labels"].items()
        }
        return cls(content["texts"], labels, content["sentences"])

    def with_labels(
        self, labels: Mapping[str, tuple[str, str]], substituted: Sequence[Mapping[str, str]] = ()
    ) -> "Catalogue":
        """Return a catalogue that has the labels of a release too: those of substitutes come first, then its own."""
        return replace(
            self,
            labels={**labels, **self.labels},
            substituted={
                row["name"]: (f"{row['label_en']} {MARK}", f"{row['label_zh']}{MARK}")
                for row in substituted
                if row["kind"] in ("series", "measure", "column")
            },
            substituted_names=frozenset(row["label_en"] for row in substituted),
        )

    def named(self, en: object, zh: object) -> Markup:
        """Return a label of the database in both languages, marked where a substitute feeds what it names."""
        return pair(f"{en} {MARK}", f"{zh}{MARK}") if en in self.substituted_names else pair(en, zh)

    def plain(self, key: str, language: str, **values: object) -> str:
        """Return one language's text, with its placeholders filled."""
        return self.texts[key][LANGUAGES.index(language)].format(**values)

    def both(self, key: str, **values: object) -> Markup:
        """Return both languages' text; the values are escaped."""
        escaped = {
            name: value if isinstance(value, Markup) else html.escape(str(value)) for name, value in values.items()
        }
        return pair(*(Markup(self.plain(key, language, **escaped)) for language in LANGUAGES))

    def label(self, value: Any) -> Markup | str:
        """Return what a value of the data is called, or the value itself if the catalogue has no name for it."""
        return pair(self.plain_label(value, "en"), self.plain_label(value, "zh")) if value is not None else ""

    def plain_label(self, value: Any, language: str) -> str:
        """Return what a value of the data is called in one language; of several in one, what each is called."""
        text = str(value)
        if text in self.substituted:
            return self.substituted[text][LANGUAGES.index(language)]
        if text in self.labels:
            return self.labels[text][LANGUAGES.index(language)]
        if ", " in text:
            return COMMAS[language].join(self.plain_label(part, language) for part in text.split(", "))
        for mark, joint in JOINTS.items():
            if mark in text:
                return joint.join(self.plain_label(part, language) for part in text.split(mark))
        if text.startswith("L."):
            return self.plain("lagged", language, name=self.plain_label(text.removeprefix("L."), language))
        if scoped := re.fullmatch(r"([\w@/]+) \(([\w ]+)\)", text):
            # A scope is named where it was not delivered, and then nothing substitutes for it.
            series, scope = (replace(self, substituted={}).plain_label(part, language) for part in scoped.groups())
            return self.plain("scoped", language, series=series, scope=scope)
        if "@" in text:
            name, _, providers = text.partition("@")
            # A slash stands between the providers of two series; nothing stands for the one used by default.
            named = COMMAS[language].join(filter(None, providers.split("/")))
            return self.plain("of_provider", language, name=self.plain_label(name, language), provider=named)
        return text

    def sentence(self, value: str | None) -> Markup | str:
        """Return sentences of the database in both languages; those that the catalogue has not, in English."""
        if not value:
            return ""
        texts = [self.plain_sentence(value, language) for language in LANGUAGES]
        return Markup('<span lang="en">{}</span>').format(value) if None in texts else pair(*texts)

    def plain_sentence(self, value: str, language: str) -> str | None:
        """Return sentences of the database in one language, or None where the catalogue does not have one of them."""
        if value in self.labels:
            return self.plain_label(value, language)
        for sentence in self.sentences:
            if found := _pattern(sentence[0]).fullmatch(value):
                # A value may be a sentence too, as an expectation is within a warning.
                words = {
                    name: self.plain_sentence(word, language) or self.plain_label(word, language)
                    for name, word in found.groupdict().items()
                }
                return sentence[LANGUAGES.index(language)].format(**words)
        for end in re.finditer("; ", value):
            first, rest = (self.plain_sentence(part, language) for part in (value[: end.start()], value[end.end() :]))
            if first is not None and rest is not None:
                stop = "; " if language == "en" else "" if first.endswith("。") else "；"
                return first + stop + rest
        return None


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(template)))
