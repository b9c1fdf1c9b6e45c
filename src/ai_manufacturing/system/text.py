"""The words of pages and tables in both languages, from one catalogue."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import yaml
from markupsafe import Markup, escape

from ai_manufacturing.estimators.sentences import COMMAS
from ai_manufacturing.system import duckdb_client, study
from ai_manufacturing.system.sql_text import beside

SQL = beside(__file__)

TEXTS = Path(__file__).parents[1] / "site/text.yml"
LANGUAGES = ("en", "zh")
Words = tuple[str, str]  # in each of LANGUAGES
# Beside what a substitute feeds, and at the beginning of the note that says so.
MARK = "†"
# Between two values that make up a third: a term of two factors, a chosen value.
JOINTS = {":": " × ", "=": ": ", "+": " + "}
ADDED = (
    "_next_year",
    "_last_year",
    "_later",
    "_neighbours",
)  # a measure of another year or of other cities
# A name of the data within a sentence, such as ln_gdp, L.ln_gdp or ai_firms:above, and the scope of
# a series.
NAME = re.compile(r"((?:L\.)?[a-z0-9]+_\w+(?:@[\w/]+)?(?::\w+)?)(?: \((\w+)\))?", re.ASCII)


def pair(en: object, zh: object) -> Markup:
    """Return markup that shows one of two texts, by the language of the page."""
    return Markup(
        '<span class="en" lang="en">{}</span><span class="zh" lang="zh-CN">{}</span>'
    ).format(en, zh)


@cache
def _content(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return content


@dataclass(frozen=True)
class Catalogue:
    """Texts by key, English and Chinese.

    Attributes
    ----------
    texts : mapping of str to Words
        What the pages say.
    labels : mapping of str to Words
        How a value of the data, such as `ln1p` or `log of zero`, is called.
    substituted : mapping of str to Words
        What a value of the data is called here where a substitute feeds it.
    """

    texts: Mapping[str, Words]
    labels: Mapping[str, Words]
    substituted: Mapping[str, Words] = field(default_factory=dict)
    substituted_names: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path = TEXTS) -> "Catalogue":
        """Read the catalogue, with the words of the study's room."""
        content = _content(path)
        # A label of one text is Chinese; its key is the English one.
        labels = {
            key: (key.replace("_", " "), words) if isinstance(words, str) else tuple(words)
            for key, words in content["labels"].items()
        }
        catalogues = [folder / path.name for folder in study.folders(path.parent)]
        texts = {
            key: words
            for catalogue in catalogues
            if catalogue.is_file()
            for key, words in _content(catalogue)["texts"].items()
        }
        return cls(texts, labels)

    def with_labels_of(self, connection: duckdb.DuckDBPyConnection) -> "Catalogue":
        """Return a catalogue that has the labels of an open release or warehouse too.

        Of a name of two kinds the label is the measure's, and of a series that of a scope that no
        substitute feeds.
        """

        def words(query: str) -> dict[str, Words]:
            found = connection.execute(query).fetchall()
            return {name: (english, chinese) for name, english, chinese in found}

        of_names = words(SQL["names"])
        of_series = words(
            """
            select series, label_en, label_zh
            from marts.dim_series
            order by substitution is not null desc, scope
            """
        )
        texts = words("select name, label_en, label_zh from marts.dim_labels where kind = 'text'")
        substituted = duckdb_client.rows(
            connection, "from marts.dim_labels where substitution is not null"
        )
        with_texts = replace(self, texts={**self.texts, **texts})
        return with_texts.with_labels({**of_names, **of_series}, substituted)

    def with_labels(
        self, labels: Mapping[str, Words], substituted: Sequence[Mapping[str, str]] = ()
    ) -> "Catalogue":
        """Return a catalogue that has the labels of a release too.

        Those of substitutes come first, then its own.
        """
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
        """Return a label of the database in both languages, marked where a substitute feeds it."""
        return pair(f"{en} {MARK}", f"{zh}{MARK}") if en in self.substituted_names else pair(en, zh)

    def plain(self, key: str, language: str, **values: object) -> str:
        """Return one language's text, with its placeholders filled.

        Of a value in every language it takes its own.
        """
        place = LANGUAGES.index(language)
        filled = {
            name: value[place] if isinstance(value, tuple) else value
            for name, value in values.items()
        }
        return self.texts[key][place].format(**filled)

    def words(self, key: str, **values: object) -> Words:
        """Return a text in each language, with its placeholders filled."""
        return self.plain(key, "en", **values), self.plain(key, "zh", **values)

    def both(self, key: str, **values: object) -> Markup:
        """Return markup of both languages' text; the values are escaped."""
        return pair(
            *map(Markup, self.words(key, **{name: escape(value) for name, value in values.items()}))
        )

    def label(self, value: Any) -> Markup | str:
        """Return what a value of the data is called, or the value itself if it has no name."""
        return pair(*self.names(value)) if value is not None else ""

    def names(self, value: Any) -> Words:
        """Return what a value of the data is called, in each language."""
        return self.plain_label(value, "en"), self.plain_label(value, "zh")

    def plain_label(self, value: Any, language: str) -> str:
        """Return what a value of the data is called in one language.

        Of several in one, what each is called.
        """
        text = str(value)
        words = self.substituted.get(text) or self.labels.get(text)
        if words:
            return words[LANGUAGES.index(language)]
        if ", " in text:
            return COMMAS[language].join(
                self.plain_label(part, language) for part in text.split(", ")
            )
        for mark, joint in JOINTS.items():
            if mark in text:
                return joint.join(self.plain_label(part, language) for part in text.split(mark))
        for suffix in ADDED:
            if text.endswith(suffix):
                return self.plain(
                    f"of{suffix}", language, name=self.names(text.removesuffix(suffix))
                )
        if text.startswith("L."):
            return self.plain("lagged", language, name=self.names(text.removeprefix("L.")))
        if "@" in text:
            name, _, providers = text.partition("@")
            # A slash stands between the providers of two series; nothing stands for the one used by
            # default.
            given = filter(None, providers.split("/"))
            named = COMMAS[language].join(self.plain_label(one, language) for one in given)
            return self.plain("of_provider", language, name=self.names(name), provider=named)
        return text

    def names_within(self, kind: str, value: str) -> Words:
        """Return what a value of a kind is called, in each language.

        By both where its name alone has another meaning elsewhere.
        """
        both = f"{kind}={value}"
        return self.names(both if both in self.labels else value)

    def said(self, en: str | None, zh: str | None) -> Markup | str:
        """Return sentences of the database, with the names in them by their labels."""
        return (
            pair(self.with_labels_in(en, "en"), self.with_labels_in(zh or "", "zh")) if en else ""
        )

    def with_labels_in(self, sentences: str, language: str) -> str:
        """Return sentences of the database in one language, with labels for the names in them."""

        def label(name: re.Match[str]) -> str:
            if name[2] is None:
                return self.plain_label(name[1], language)
            # A scope is named where it was not delivered, and then nothing substitutes for it.
            series, scope = (
                replace(self, substituted={}).plain_label(part, language) for part in name.groups()
            )
            return self.plain("scoped", language, series=series, scope=scope)

        return NAME.sub(label, sentences)
