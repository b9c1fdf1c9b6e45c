"""Look up English and Chinese text and labels for pages and tables."""

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

CATALOGUE_PATH = Path(__file__).parents[1] / "site/text.yml"
LANGUAGES = ("en", "zh")
Words = tuple[str, str]  # the English and the Chinese text

# Marks values based on substitute data, and the footnote that explains them.
SUBSTITUTE_MARK = "†"
# Separators in composite names, such as interactions, mapped to their form in labels.
SEPARATORS = {":": " × ", "=": ": ", "+": " + "}
# Suffixes of measures that refer to another year or to neighbouring cities.
VARIANT_SUFFIXES = (
    "_next_year",
    "_last_year",
    "_later",
    "_neighbours",
)

# Matches a variable name within a sentence, such as ln_gdp, L.ln_gdp or ai_firms:above, and the
# scope in parentheses that may follow a series.
VARIABLE_NAME = re.compile(r"((?:L\.)?[a-z0-9]+_\w+(?:@[\w/]+)?(?::\w+)?)(?: \((\w+)\))?", re.ASCII)


def render_pair(en: object, zh: object) -> Markup:
    """Return HTML with an English and a Chinese text; the page shows one of them."""
    return Markup(
        '<span class="en" lang="en">{}</span><span class="zh" lang="zh-CN">{}</span>'
    ).format(en, zh)


def _add_mark(en: object, zh: object) -> Words:
    """Append the dagger that marks substitute data to a label in both languages."""
    return f"{en} {SUBSTITUTE_MARK}", f"{zh}{SUBSTITUTE_MARK}"


@cache
def _read_catalogue(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return content


@dataclass(frozen=True)
class Catalogue:
    """Catalogue of text and labels in English and Chinese.

    Attributes
    ----------
    texts : mapping of str to Words
        Texts of the pages by key.
    labels : mapping of str to Words
        Labels by name or value in the data, such as `ln1p` or `log of zero`.
    substitute_labels : mapping of str to Words
        Labels of names that a substitute feeds; they override `labels`.
    substitute_names : frozenset of str
        English labels of all names that a substitute feeds.
    """

    texts: Mapping[str, Words]
    labels: Mapping[str, Words]
    substitute_labels: Mapping[str, Words] = field(default_factory=dict)
    substitute_names: frozenset[str] = frozenset()

    @classmethod
    def load(cls, path: Path = CATALOGUE_PATH) -> "Catalogue":
        """Read the catalogue file, and add the text of the study's own package."""
        content = _read_catalogue(path)
        # If a label has a single text, the text is Chinese, and the key is the English label.
        labels = {
            key: (key.replace("_", " "), words) if isinstance(words, str) else tuple(words)
            for key, words in content["labels"].items()
        }
        catalogues = [folder / path.name for folder in study_package.list_folders(path.parent)]
        texts = {
            key: words
            for catalogue in catalogues
            if catalogue.is_file()
            for key, words in _read_catalogue(catalogue)["texts"].items()
        }
        return cls(texts, labels)

    def extend_from_database(self, connection: duckdb.DuckDBPyConnection) -> "Catalogue":
        """Return a copy of the catalogue with the labels from an open release or warehouse.

        If a name has several kinds, the measure's label takes precedence. If a series has several
        scopes, the label of a scope without a substitute takes precedence.
        """

        def read_labels(query: str) -> dict[str, Words]:
            rows = connection.execute(query).fetchall()
            return {name: (english, chinese) for name, english, chinese in rows}

        name_labels = read_labels(SQL["names"])
        series_labels = read_labels(
            """
            select series, label_en, label_zh
            from marts.dim_series
            order by substitution is not null desc, scope
            """
        )
        texts = read_labels(
            "select name, label_en, label_zh from marts.dim_labels where kind = 'text'"
        )
        substitute_rows = duckdb_client.fetch_rows(
            connection, "from marts.dim_labels where substitution is not null"
        )
        with_texts = replace(self, texts={**self.texts, **texts})
        return with_texts.extend_labels({**name_labels, **series_labels}, substitute_rows)

    def extend_labels(
        self, labels: Mapping[str, Words], substitute_rows: Sequence[Mapping[str, str]] = ()
    ) -> "Catalogue":
        """Return a copy of the catalogue with the labels of a release.

        Labels of substitutes take precedence, followed by the catalogue's own labels.
        """
        return replace(
            self,
            labels={**labels, **self.labels},
            substitute_labels={
                row["name"]: _add_mark(row["label_en"], row["label_zh"])
                for row in substitute_rows
                if row["kind"] in ("series", "measure", "column")
            },
            substitute_names=frozenset(row["label_en"] for row in substitute_rows),
        )

    def render_name(self, en: object, zh: object) -> Markup:
        """Return HTML for a label in both languages, marked if substitute data are used for it."""
        if en in self.substitute_names:
            return render_pair(*_add_mark(en, zh))
        return render_pair(en, zh)

    def format_text(self, key: str, language: str, **values: object) -> str:
        """Return a text in one language, with values filled into its placeholders.

        For values given in both languages, the matching one is used.
        """
        index = LANGUAGES.index(language)
        fillings = {
            name: value[index] if isinstance(value, tuple) else value
            for name, value in values.items()
        }
        return self.texts[key][index].format(**fillings)

    def format_words(self, key: str, **values: object) -> Words:
        """Return a text in both languages, with values filled into its placeholders."""
        return self.format_text(key, "en", **values), self.format_text(key, "zh", **values)

    def render_text(self, key: str, **values: object) -> Markup:
        """Return HTML for a text in both languages, with escaped values in its placeholders."""
        escaped = {name: escape(value) for name, value in values.items()}
        return render_pair(*map(Markup, self.format_words(key, **escaped)))

    def render_label(self, value: Any) -> Markup | str:
        """Return HTML for the label of a value in both languages, or an empty string for None."""
        return render_pair(*self.find_labels(value)) if value is not None else ""

    def find_labels(self, value: Any) -> Words:
        """Return the English and the Chinese label of a value."""
        return self.find_label(value, "en"), self.find_label(value, "zh")

    def find_label(self, value: Any, language: str) -> str:
        """Return the label of a value in one language, or the value itself if it has no label.

        The parts of composite names and comma-separated lists are labelled individually.
        """
        text = str(value)
        words = self.substitute_labels.get(text) or self.labels.get(text)
        if words:
            return words[LANGUAGES.index(language)]
        if ", " in text:
            return COMMAS[language].join(
                self.find_label(part, language) for part in text.split(", ")
            )
        for mark, separator in SEPARATORS.items():
            if mark in text:
                return separator.join(self.find_label(part, language) for part in text.split(mark))
        for suffix in VARIANT_SUFFIXES:
            if text.endswith(suffix):
                return self.format_text(
                    f"of{suffix}", language, name=self.find_labels(text.removesuffix(suffix))
                )
        if text.startswith("L."):
            return self.format_text(
                "lagged", language, name=self.find_labels(text.removeprefix("L."))
            )
        if "@" in text:
            name, _, providers = text.partition("@")
            # A slash separates the providers of two series; an empty name means the default
            # provider.
            names = filter(None, providers.split("/"))
            provider_labels = COMMAS[language].join(
                self.find_label(provider, language) for provider in names
            )
            return self.format_text(
                "of_provider", language, name=self.find_labels(name), provider=provider_labels
            )
        return text

    def find_labels_of_kind(self, kind: str, value: str) -> Words:
        """Return the English and Chinese labels of a value, preferring labels specific to its kind.

        The label of `kind=value` takes precedence, for values that mean something else elsewhere.
        """
        key = f"{kind}={value}"
        return self.find_labels(key if key in self.labels else value)

    def render_sentences(self, en: str | None, zh: str | None) -> Markup | str:
        """Return HTML for sentences from the database, with variable names replaced by labels."""
        return (
            render_pair(self.fill_labels(en, "en"), self.fill_labels(zh or "", "zh")) if en else ""
        )

    def fill_labels(self, sentences: str, language: str) -> str:
        """Replace variable names in sentences from the database with labels in one language."""

        def replace_name(name: re.Match[str]) -> str:
            if name[2] is None:
                return self.find_label(name[1], language)
            # Look up labels without substitutes, because a sentence names a scope only if nothing
            # was delivered for it.
            series, scope = (
                replace(self, substitute_labels={}).find_label(part, language)
                for part in name.groups()
            )
            return self.format_text("scoped", language, series=series, scope=scope)

        return VARIABLE_NAME.sub(replace_name, sentences)
