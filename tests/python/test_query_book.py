"""Test that each query in docs/questions.md runs on the sample and gives the printed answer."""

import json
import re
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing.site import query, query_book
from ai_manufacturing.site.release import Release
from tests.python.conftest import PROJECT, Build
from tests.python.site_reader import Restricted

BOOK = (PROJECT / "docs/questions.md").read_text(encoding="utf-8")
ENTRIES = query_book.parse_entries(BOOK)
WITHHELD = (3, 6, 7)
"""Questions that a public copy does not answer."""


def test_every_heading_of_the_book_is_a_question_with_sql_and_answer() -> None:
    headings = re.findall(r"^### (\d+)\. (.+)$", BOOK, re.M)
    assert [int(number) for number, _ in headings] == list(range(1, 10))
    assert [entry.question for entry in ENTRIES] == [question for _, question in headings]
    for entry in ENTRIES:
        assert entry.answer.count("\n") > 2, f"no row answers: {entry.question}"


def test_every_answer_is_that_of_the_sample_to_the_printed_digit_and_a_wrong_one_is_written_anew(
    sample_build: Build,
) -> None:
    assert "| 359 |" in BOOK
    wrong = BOOK.replace("| 359 |", "| 360 |")
    found = query_book.update_answers(wrong, sample_build.warehouse)
    assert found.splitlines() == BOOK.splitlines()


def test_an_answer_keeps_twelve_digits_and_is_one_cell_of_markdown(tmp_path: Path) -> None:
    database = tmp_path / "some.duckdb"
    duckdb.connect(str(database)).close()
    query = (
        "select 2 / 3 as a, 1234567.25::double as b, 0.1::double + 0.2 as c, null as d,"
        " true as e, 'x|y' as f"
    )
    book = f"### 1. Which?\n\n哪些？\n\n```sql\n{query}\n```\n\n| old |\n"
    answer = query_book.update_answers(book, database).rpartition("```\n\n")[2]
    assert answer.splitlines() == [
        "| a | b | c | d | e | f |",
        "| --- | --- | --- | --- | --- | --- |",
        r"| 0.666666666667 | 1234567.25 | 0.3 |  | true | x\|y |",
    ]


def test_the_queries_run_on_the_public_deliveries(public_build: Build) -> None:
    answers = query_book.parse_entries(query_book.update_answers(BOOK, public_build.warehouse))
    rows = [
        [line.strip("| ").split(" | ") for line in entry.answer.splitlines()[2:]]
        for entry in answers
    ]
    # Question 8 reads column comments, which only dbt writes, so it has no rows here.
    assert [number for number, found in enumerate(rows, 1) if not found] == [8]
    # The headline regression uses 282 of the 367 cities.
    assert sum(int(cities) for _, _, cities, _ in rows[4]) == 367 - 282


def test_the_query_page_of_a_public_copy_offers_what_it_answers_and_says_what_is_withheld(
    restricted_sample: Restricted,
) -> None:
    def content(path: Path) -> dict[str, Any]:
        with Release(path) as release:
            return query.build_content(release, release.load_catalogue())

    whole, copied = (content(path) for path in restricted_sample)
    offered = [entry for number, entry in enumerate(ENTRIES, 1) if number not in WITHHELD]
    for page, entries in ((whole, ENTRIES), (copied, offered)):
        assert [one["en"] for one in page["questions"]] == [entry.question for entry in entries]
    assert json.loads(copied["book"]) == [entry.sql for entry in offered]
    assert json.loads(whole["withheld_here"])["parts"] == []
    said = json.loads(copied["withheld_here"])
    assert said["providers"] == "vendor"
    parts = {(part["table"], part["column"]): part for part in said["parts"]}
    doubtful = parts["marts.fct_doubtful_values", None]
    assert (doubtful["isAll"], doubtful["isLeftOut"]) == (True, False)
    assert re.fullmatch(r"all \d+ rows", doubtful["extent"][0])
    gdp = parts["marts.fct_city_year_panel", "gdp_100m_cny"]
    assert (gdp["isAll"], gdp["isLeftOut"], gdp["width"]) == (True, True, 10)
    extents = {name: extent for name, *_, extent in json.loads(copied["tables"])}
    assert extents["marts.fct_doubtful_values"] == doubtful["extent"]
    assert extents["marts.dim_city"] is None
