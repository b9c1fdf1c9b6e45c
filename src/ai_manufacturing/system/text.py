"""Texts and labels of pages and tables in English and Chinese, from one catalogue."""

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
from ai_manufacturing.system import duckdb_client, study_package
from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

TEXTS = Path(__file__).parents[1] / "site/text.yml"
LANGUAGES = ("en", "zh")
Words = tuple[str, str]  # one text for each of LANGUAGES
# Marks values that use a substitute, and the notes that explain it.
MARK = "†"
# Separators in composite names, such as interactions, and their replacements in labels.
JOINTS = {":": " × ", "=": ": ", "+": " + "}
ADDED = (
    "_next_year",
    "_last_year",
    "_later",
    "_neighbours",
)  # suffixes for a measure of another year or of other cities
# Matches a variable name within a sentence, such as ln_gdp, L.ln_gdp or ai_firms:above, and the
# scope that may follow a series in brackets.
NAME = re.compile(r"((?:L\.)?[a-z0-9]+_\w+(?:@[\w/]+)?(?::\w+)?)(?: \((\w+)\))?", re.ASCII)


def pair(en: object, zh: object) -> Markup:
    """Return markup that shows one of two texts, depending on the page's language."""
    return Markup(
        '<span class="en" lang="en">{}</span><span class="zh" lang="zh-CN">{}</span>'
    ).format(en, zh)


@cache
def _content(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return content


@dataclass(frozen=True)
class Catalogue:
    """Texts and labels in English and Chinese.

    Attributes
    ----------
    texts : mapping of str to Words
        Texts of the pages by key.
    labels : mapping of str to Words
        Labels by name or value in the data, such as `ln1p` or `log of zero`.
    substituted : mapping of str to Words
        Labels of names that a substitute feeds; they override `labels`.
    substituted_names : frozenset of str
        English labels of all names that a substitute feeds.
    """

    texts: Mapping[str, Words]
    labels: Mapping[str, Words]
    substituted: Mapping[str, Words] = field(default_factory=dict)
    substituted_names: frozenset[str] = frozenset()

    @classmethod
    def read(cls, path: Path = TEXTS) -> "Catalogue":
        """Read the catalogue, including the texts of the study's package."""
        content = _content(path)
        # A label with a single text is Chinese; its key is the English label.
        labels = {
            key: (key.replace("_", " "), words) if isinstance(words, str) else tuple(words)
            for key, words in content["labels"].items()
        }
        catalogues = [folder / path.name for folder in study_package.list_folders(path.parent)]
        texts = {
            key: words
            for catalogue in catalogues
            if catalogue.is_file()
            for key, words in _content(catalogue)["texts"].items()
        }
        return cls(texts, labels)

    def with_labels_of(self, connection: duckdb.DuckDBPyConnection) -> "Catalogue":
        """Return a catalogue extended by the labels of an open release or warehouse.

        If a name has several kinds, the measure's label takes precedence. If a series has several
        scopes, the label of a scope without a substitute takes precedence.
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
        substituted = duckdb_client.fetch_rows(
            connection, "from marts.dim_labels where substitution is not null"
        )
        with_texts = replace(self, texts={**self.texts, **texts})
        return with_texts.with_labels({**of_names, **of_series}, substituted)

    def with_labels(
        self, labels: Mapping[str, Words], substituted: Sequence[Mapping[str, str]] = ()
    ) -> "Catalogue":
        """Return a catalogue extended by the labels of a release.

        Labels of substitutes take precedence, followed by the catalogue's own labels.
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
        """Return markup of a database label in both languages, marked if a substitute feeds it."""
        return pair(f"{en} {MARK}", f"{zh}{MARK}") if en in self.substituted_names else pair(en, zh)

    def plain(self, key: str, language: str, **values: object) -> str:
        """Return a text in one language, with its placeholders filled.

        For values given in both languages, the matching one is used.
        """
        place = LANGUAGES.index(language)
        filled = {
            name: value[place] if isinstance(value, tuple) else value
            for name, value in values.items()
        }
        return self.texts[key][place].format(**filled)

    def words(self, key: str, **values: object) -> Words:
        """Return a text in both languages, with its placeholders filled."""
        return self.plain(key, "en", **values), self.plain(key, "zh", **values)

    def both(self, key: str, **values: object) -> Markup:
        """Return markup of a text in both languages; values are escaped."""
        return pair(
            *map(Markup, self.words(key, **{name: escape(value) for name, value in values.items()}))
        )

    def label(self, value: Any) -> Markup | str:
        """Return markup of the label of a value in both languages; empty for None."""
        return pair(*self.names(value)) if value is not None else ""

    def names(self, value: Any) -> Words:
        """Return the label of a value in both languages."""
        return self.plain_label(value, "en"), self.plain_label(value, "zh")

    def plain_label(self, value: Any, language: str) -> str:
        """Return the label of a value in one language, or the value itself without a label.

        The parts of composite names and comma-separated lists are labelled individually.
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
            # A slash separates the providers of two series; an empty name is the default provider.
            given = filter(None, providers.split("/"))
            named = COMMAS[language].join(self.plain_label(one, language) for one in given)
            return self.plain("of_provider", language, name=self.names(name), provider=named)
        return text

    def names_within(self, kind: str, value: str) -> Words:
        """Return the label of a value of a kind, in both languages.

        The label of `kind=value` takes precedence, for values that mean something else elsewhere.
        """
        both = f"{kind}={value}"
        return self.names(both if both in self.labels else value)

    def said(self, en: str | None, zh: str | None) -> Markup | str:
        """Return markup of sentences from the database, replacing names with labels."""
        return (
            pair(self.with_labels_in(en, "en"), self.with_labels_in(zh or "", "zh")) if en else ""
        )

    def with_labels_in(self, sentences: str, language: str) -> str:
        """Replace the names in sentences from the database with labels in one language."""

        def label(name: re.Match[str]) -> str:
            if name[2] is None:
                return self.plain_label(name[1], language)
            # Sentences name a scope only if it was not delivered, so it has no substitute.
            series, scope = (
                replace(self, substituted={}).plain_label(part, language) for part in name.groups()
            )
            return self.plain("scoped", language, series=series, scope=scope)

        return NAME.sub(label, sentences)
