"""The words of the site in both languages, from one catalogue."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

LANGUAGES = ("en", "zh")


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
        How a value of the data, such as `ln1p`, is called.
    """

    texts: Mapping[str, tuple[str, str]]
    labels: Mapping[str, tuple[str, str]]

    @classmethod
    def read(cls, path: Path) -> "Catalogue":
        """Read the catalogue."""
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return cls(content["texts"], content["labels"])

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
        """Return what a value of the data is called in one language; of several with commas, what each is called."""
        parts = [str(value)] if value in self.labels else str(value).split(", ")
        position = LANGUAGES.index(language)
        return ("，", ", ")[language == "en"].join(
            self.labels[part][position] if part in self.labels else part for part in parts
        )
