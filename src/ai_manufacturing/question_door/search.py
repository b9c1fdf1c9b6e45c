"""Keyword search for the tables, columns, findings and verdicts of a release."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import duckdb

from ai_manufacturing.system.sql_text import load_statements

SQL = load_statements(__file__)

# Maximum number of search results of each kind, in display order.
LIMITS = {"verdict": 4, "finding": 3, "question": 4, "table": 6, "column": 10, "series": 6}
LINE_LIMIT, TOTAL_LIMIT = 360, 4_200  # maximum bytes per line and in total
SCORE_SHARE = 0.6  # minimum score of a result, relative to the best score
STOP_WORDS = {
    *("a", "an", "and", "are", "as", "at", "by", "can", "did", "do", "does", "for", "from", "had"),
    *("has", "have", "how", "i", "in", "is", "it", "its", "many", "me", "much", "of", "on", "or"),
    *("that", "the", "their", "there", "these", "this", "to", "was", "were", "what", "when"),
    *("where", "which", "who", "why", "with"),
}
WORD = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]+")
CHINESE = re.compile(r"[\u4e00-\u9fff]")


class Matches(NamedTuple):
    """Search results: the best lines, and the number of omitted matches."""

    lines: list[str]
    more: int


def split_words(text: str) -> set[str]:
    """Split a text into singular English words and pairs of Chinese characters."""
    words = set()
    for word in WORD.findall(text.lower()):
        if CHINESE.match(word):
            words |= {word[place : place + 2] for place in range(max(1, len(word) - 1))}
        else:
            words.add(word.removesuffix("s") if len(word) > 3 else word)
    return words


def find_best_lines(
    release: duckdb.DuckDBPyConnection, text: str, withheld: Mapping[str, str]
) -> Matches:
    """Return the entries of a release that best match a question or keywords.

    Parameters
    ----------
    release : DuckDBPyConnection
        An open release, or a public copy.
    text : str
        A question or keywords in English or Chinese. The result is Chinese if the text is.
    withheld : mapping of str to str
        Note on how much of a table or column is withheld, by its name (schema.table.column).
    """
    question_words, is_chinese = split_words(text) - STOP_WORDS, CHINESE.search(text) is not None
    entries = release.execute(SQL["entries"]).fetchall()
    names = {name for _, name, *_ in entries}
    # Add withheld columns that a public copy omits, so that a search still finds them.
    entries += [("column", name, "", "", 0) for name in withheld if name not in names]
    matching_words = [
        question_words & split_words(f"{name} {en} {zh}") for _, name, en, zh, _ in entries
    ]
    word_counts = Counter(word for words in matching_words for word in words)
    # Weight words by inverse document frequency, because rare words are more informative.
    weights = {word: math.log(1 + len(entries) / number) for word, number in word_counts.items()}
    scores = [math.fsum(weights[word] for word in words) for words in matching_words]
    threshold = SCORE_SHARE * max(scores)
    matches: defaultdict[str, list[tuple[float, int, int, str]]] = defaultdict(list)
    for (kind, name, en, zh, place), score in zip(entries, scores, strict=True):
        if score and score >= threshold:
            line = ": ".join(filter(None, (name, withheld.get(name), zh if is_chinese else en)))
            matches[kind].append((-score, place, len(line), f"{kind} {line}"))
    lines: list[str] = []
    for kind, limit in LIMITS.items():
        for *_, line in sorted(matches[kind])[:limit]:
            short_line = _shorten(line)
            if len("".join([*lines, short_line]).encode()) <= TOTAL_LIMIT:
                lines.append(short_line)
    return Matches(lines, sum(map(len, matches.values())) - len(lines))


def _shorten(line: str) -> str:
    prefix = line.encode()[:LINE_LIMIT].decode(errors="ignore")
    return prefix if prefix == line else f"{prefix}…"
