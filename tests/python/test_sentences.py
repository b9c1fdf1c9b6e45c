"""Test that every sentence about estimates is in the catalogue, in English and Chinese."""

import ast
import csv
import re
from collections.abc import Iterator

import pytest
import yaml

from ai_manufacturing.estimators import sentences
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import (
    NOTHING,
    Sentence,
    SentenceError,
    join_names,
    join_sentences,
    sentence,
)
from ai_manufacturing.system.text import Catalogue
from tests.python.conftest import PROJECT, Build

LATIN_SENTENCE = re.compile(r"[A-Za-z]+( [a-z]{2,}){2}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# Columns that contain reason codes. Every code needs a label in reasons.csv.
REASONS = {
    "estimates.observation_losses": "reason",
    "marts.fct_ai_measure": "missing_reason",
    "marts.fct_row_accounting": "disposition",
    "marts.fct_rows_set_aside": "set_aside_reason",
    "marts.fct_register_rows_set_aside": "set_aside_reason",
}


SOURCE = [
    path.read_text(encoding="utf-8")
    for folder in ("estimators", "estimation", "robustness", "paper")
    for path in (PROJECT / "src/ai_manufacturing" / folder).glob("*.py")
]


def calls() -> Iterator[tuple[str, set[str]]]:
    """Yield the key and the placeholder names of each sentence that the source code uses."""
    for node in (node for text in SOURCE for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
            "NotEstimable",
            "sentence",
        ):
            key = node.args[0]
            if isinstance(key, ast.Constant):
                yield str(key.value), {str(keyword.arg) for keyword in node.keywords}


def test_both_languages_of_a_sentence_name_the_same_values() -> None:
    content = yaml.safe_load(sentences.CATALOGUE.read_text(encoding="utf-8"))
    content.pop("names")
    of_site = Catalogue.load()
    for key, words in (content | of_site.texts | of_site.labels).items():
        english, chinese = words
        assert english, key
        assert CHINESE.search(chinese) or key in of_site.texts | of_site.labels, key
        assert chinese, key
        values = [{*re.findall(r"{(\w+)", text)} for text in words]
        assert key in of_site.labels or values[0] == values[1], key


def test_every_sentence_that_the_code_says_is_in_the_catalogue_with_its_values() -> None:
    found = list(calls())
    assert len(found) > 60
    for key, values in found:
        sentence(key, **dict.fromkeys(values, 1.0))
    content = yaml.safe_load(sentences.CATALOGUE.read_text(encoding="utf-8"))
    assert [key for key in content if key != "names" and f'"{key}"' not in "".join(SOURCE)] == []


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        (
            "not_delivered",
            {},
            (
                r"not_delivered: the sentence requires the values \['series'\], but the caller"
                r" passed \[\]"
            ),
        ),
        ("no_such_sentence", {}, "has no sentence with the key 'no_such_sentence'"),
    ],
)
def test_a_wrong_sentence_is_an_error_of_the_program(
    key: str,
    values: dict[str, str],
    message: str,
) -> None:
    with pytest.raises(SentenceError, match=message):
        NotEstimable(key, **values)


def test_a_sentence_is_said_in_both_languages() -> None:
    reason = NotEstimable("no_city_year", names=["ln_gdp", "year"], first=2010, last=2020)
    assert str(reason) == reason.reason.en == "No city-year has all of ln_gdp, year in 2010-2020."
    assert reason.reason.zh == "2010—2020年间没有城市—年份同时具备ln_gdp、年份。"
    nested = sentence(
        "constant_outcome",
        name="y",
        removed=sentence("effects_removed", effects=join_names(["city_id", "year"])),
    )
    assert nested == (
        "The outcome y does not vary once the city_id and year effects are removed.",
        "剔除城市与年份固定效应后，被解释变量y没有变异。",
    )
    assert join_sentences([nested, Sentence("left out", "略去"), Sentence("odd", "异常")]) == (
        f"{nested.en} left out; odd",
        f"{nested.zh}略去；异常",
    )
    assert join_sentences([]) == NOTHING


@pytest.mark.parametrize("kind", ["sample_build", "public_build"])
def test_every_sentence_of_a_build_has_its_chinese_and_every_reason_its_label(
    kind: str, request: pytest.FixtureRequest
) -> None:
    build: Build = request.getfixturevalue(kind)
    columns = build.rows(
        "select zh.table_schema || '.' || zh.table_name, en.column_name, zh.column_name "
        "from information_schema.columns as zh inner join information_schema.columns as en "
        "on zh.table_schema = en.table_schema and zh.table_name = en.table_name "
        "and zh.column_name = en.column_name || '_zh' "
        "where zh.table_schema in ('marts', 'estimates', 'reports') "
        "and regexp_matches(en.column_name, '(reason|warnings|substitutions?|joint_test)$')"
    )
    said_of = {table for table, _, _ in columns}
    assert said_of >= {
        "reports.rpt_coefficients",
        "estimates.est_permuted_weights",
        "reports.rpt_replication_scorecard",
    }
    # Every English text column needs a Chinese counterpart.
    alone = build.rows(
        "select table_schema || '.' || table_name, column_name from information_schema.columns "
        "where table_schema in ('estimates', 'reports') "
        "and regexp_matches(column_name, '(reason|warnings|substitutions)$')"
    )
    assert {*alone} - {(table, english) for table, english, _ in columns} == {
        # This column contains codes from reasons.csv instead of sentences.
        ("estimates.observation_losses", "reason")
    }
    count = 0
    for table, english, chinese in columns:
        for en, zh in build.rows(f"select distinct {english}, {chinese} from {table}"):
            assert bool(en) == bool(zh), (table, en, zh)
            if en:
                count += 1
                assert CHINESE.search(zh), (table, en, zh)
                assert not LATIN_SENTENCE.search(zh), (table, en, zh)
    assert count > 20
    with (PROJECT / "seeds/reasons.csv").open(encoding="utf-8") as file:
        labelled = {row["reason"] for row in csv.DictReader(file)}
    for table, column in REASONS.items():
        found = {reason for (reason,) in build.rows(f"select distinct {column} from {table}")}
        assert found - {None, ""} <= labelled, table
