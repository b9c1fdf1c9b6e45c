"""The query book: every question runs on the sample and has the answer that it prints."""

import re

from ai_manufacturing.site import query_book
from tests.python.conftest import PROJECT, Build

BOOK = (PROJECT / "docs/queries.md").read_text(encoding="utf-8")
ENTRIES = query_book.entries(BOOK)


def test_every_heading_of_the_book_is_a_question_with_sql_and_answer() -> None:
    headings = re.findall(r"^## (\d+)\. (.+)$", BOOK, re.M)
    assert [int(number) for number, _ in headings] == list(range(1, 17))
    assert [entry.question for entry in ENTRIES] == [question for _, question in headings]
    for entry in ENTRIES:
        assert entry.answer.count("\n") > 2, f"no row answers: {entry.question}"


def test_every_answer_is_that_of_the_sample_to_the_printed_digit_and_a_wrong_one_is_written_anew(
    sample_build: Build,
) -> None:
    assert "| 359 |" in BOOK
    wrong = BOOK.replace("| 359 |", "| 360 |")
    found = query_book.answered(wrong, sample_build.warehouse)
    assert found.splitlines() == BOOK.splitlines()


def test_the_queries_run_on_the_public_deliveries(public_build: Build) -> None:
    answers = query_book.entries(query_book.answered(BOOK, public_build.warehouse))
    assert len(answers) == len(ENTRIES)
    rows = {
        number: [line.strip("| ").split(" | ") for line in entry.answer.splitlines()[2:]]
        for number, entry in enumerate(answers, start=1)
    }
    # Entry 13 reads comments, which dbt writes; the public files give no counts by sector.
    assert [number for number, found in rows.items() if not found] == [13, 14]
    assert public_build.value("select count(*) from marts.fct_city_sector_years") == 0
    covered = public_build.value(
        "select count(distinct city_id) from estimates.estimation_samples where specification_id ="
        " 'table_1_col_1'"
    )
    assert sum(int(cities) for _, _, cities, _ in rows[8]) == 367 - covered
    assert covered == 282
