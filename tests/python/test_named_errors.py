"""Test that every reported standard error and p-value names its type, such as city-clustered.

This covers all pages in both languages, notes of exported tables, the feed, traces, and answers of
the question door. The name may be in the same sentence, column heading or row, or in the text
directly before or after a table.
"""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import html

from ai_manufacturing import site
from ai_manufacturing.auditing import trace
from ai_manufacturing.question_door.tools import Door
from ai_manufacturing.site import downloads
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import LANGUAGES
from ai_manufacturing.tables import ERRORS, PrintedTable
from tests.python.conftest import PROJECT, Build
from tests.python.site_reader import Page, said


def names_of_errors() -> list[str]:
    """Return bilingual names of standard errors, and of tests with their own p-values."""
    with (PROJECT / "seeds/labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "error"]
    of_seed = [row[name] for row in rows for name in ("label_en", "label_zh")]
    tests = ("wild bootstrap", "野自助法", "野聚类自助法", "Romano–Wolf", "SCPC", "Windmeijer")
    permuted = ("permutation", "permuted", "swapped", "置换", "互换")
    return [*of_seed, *tests, *permuted, "Hansen", "Sargan", "AR(1)", "AR(2)"]


NAMED = re.compile("|".join(map(re.escape, names_of_errors())), re.IGNORECASE)
NUMBER = r"[-−]?\d*\.\d+"
P_VALUE = re.compile(
    rf"(?<![\w.])p(?:-values?|值)?(?: is|为| of)?\s*[=<≥]?\s*<?\s*(?:{NUMBER}|[01](?![\w.]))"
)
# Match a slope with its standard error, or a confidence interval in brackets or in words.
INTERVAL = re.compile(
    rf"{NUMBER} ?[\[(（]{NUMBER}[\])）]|\[{NUMBER}, {NUMBER}\]|95 ?%[^.;。；]{{0,20}}?{NUMBER}"
)
# Match column headings of p-values, standard errors and confidence intervals.
HEAD = re.compile(r"^p\b|\bp$|p值|Std\. error|[Ss]tandard error|标准误|95 % interval|95%置信区间")
BLOCKS = "p | li | dd | figcaption | h1 | h2 | h3 | summary | small"
WORDS = ("p", "h2", "h3", "summary", "figcaption", "div")


def is_naked(text: str, beside: str = "") -> bool:
    """Return whether a text reports a p-value or standard error without naming its type."""
    return bool(P_VALUE.search(text) or INTERVAL.search(text)) and not NAMED.search(text + beside)


def headings(table: html.HtmlElement) -> dict[int, str]:
    """Return the heading of each table column, preceded by the headings of its column groups."""
    heads: dict[int, str] = {}
    taken: set[tuple[int, int]] = set()
    for line, row in enumerate(table.xpath("thead/tr")):
        place = 0
        for cell in row.xpath("td | th"):
            while (line, place) in taken:
                place += 1
            wide, high = (int(cell.get(name, 1)) for name in ("colspan", "rowspan"))
            for column in range(place, place + wide):
                heads[column] = f"{heads.get(column, '')} {said(cell)}".strip()
                taken |= {(line + down, column) for down in range(high)}
            place += wide
    return heads


def beside(region: html.HtmlElement) -> str:
    """Return the text directly before and after a table or chart of an HTML page."""
    texts = []
    for siblings in (region.itersiblings(preceding=True), region.itersiblings()):
        for one in siblings:
            if one.tag not in WORDS or one.xpath(".//table | .//figure"):
                break
            texts.append(said(one))
    return " ".join(texts)


def naked_cells(page: Page) -> Iterator[str]:
    """Yield table cells that report a standard error or p-value without naming its type."""
    for table in page.tree.xpath("//table"):
        heads, words = headings(table), beside(table.getparent())
        for row in table.xpath("tbody/tr"):
            cells = row.xpath("td | th")
            texts = [said(cell) for cell in cells]
            for column, text in enumerate(texts):
                head = heads.get(column, "")
                by_head = HEAD.search(head) and re.search(r"\d", text)
                named = f" {head} {' '.join(texts)} {words}"
                if (by_head and not NAMED.search(named)) or is_naked(text, named):
                    yield f"{head}: {text} in {' | '.join(texts)[:160]}"


def naked_blocks(page: Page) -> Iterator[str]:
    """Yield text blocks that report a standard error or p-value without naming its type."""
    for block in page.tree.xpath(f"//*[self::{' or self::'.join(BLOCKS.split(' | '))}]"):
        if block.xpath("ancestor::table | .//table | .//p | ancestor::code | ancestor::pre"):
            continue
        text = said(block)
        above = block.xpath("preceding-sibling::*[self::h2 or self::h3][1] | ancestor::summary")
        if is_naked(text, " ".join(map(said, above))):
            yield text[:240]


def naked_charts(page: Page) -> Iterator[str]:
    """Yield charts of confidence intervals that do not name the type of standard error."""
    lead = " ".join(page.texts("//p[@class='lead']"))
    for figure in page.tree.xpath("//figure"):
        name = figure.get("data-name")
        drawn = page.figure(name)
        words = f"{said(figure)} {beside(figure)} {lead} {json.dumps(drawn, ensure_ascii=False)}"
        if "conf_low" in drawn["data"]["names"] and not NAMED.search(words):
            yield f"chart {name}"


def test_every_page_names_the_error_of_every_p_value_and_slope(sample_site: Path) -> None:
    found = []
    for name in site.PAGES:
        markup = (sample_site / f"{name}.html").read_text(encoding="utf-8")
        for language in LANGUAGES:
            page = Page(markup, language)
            naked = (*naked_cells(page), *naked_blocks(page), *naked_charts(page))
            found += [f"{name}, {language}: {words}" for words in naked]
    assert found == []


def notes_of(table: PrintedTable) -> Iterator[str]:
    """Yield notes and row labels of an exported table that do not name the type of error."""
    brackets = {"std_error": "( )", "province_error": "[ ]", "wild_p_value": "{ }"}
    notes = [*table.notes]
    for row in table.rows:
        if opening := brackets.get(row.kind):
            if not any(opening in note and NAMED.search(note) for note in notes):
                yield f"{table.table_id}: {row.kind} has no note"
        elif re.search(r"\bp\b|p值", row.label) and not NAMED.search(row.label):
            yield f"{table.table_id}: {row.label}"
    yield from (note for note in notes if is_naked(note))


def test_an_exported_table_names_its_errors(sample_release: Path) -> None:
    with Release(sample_release) as release:
        found = [
            naked
            for table in release.tables.values()
            for column in table.columns
            for language in LANGUAGES
            for naked in notes_of(
                table.prepare([column.specification_id], errors=[*ERRORS], language=language)
            )
        ]
        assert found == []
        # A note names the standard error of a column that does not use the paper's default.
        table = release.tables["table_4"].prepare()
        assert any("Windmeijer" in note for note in table.notes)


def test_the_feed_names_its_errors(sample_site: Path) -> None:
    feed = html.fromstring((sample_site / downloads.FOLDER / downloads.FEED).read_bytes())
    (summary,) = feed.xpath("//summary")
    assert re.search(
        r"0\.\d{3} \(standard error 0\.\d{3}, CRV3 by province, or 0\.\d{3}, CRV1 by city\)",
        said(summary),
    )


def test_a_trace_names_its_errors_with_that_by_province_first(sample_build: Build) -> None:
    lines = [
        line
        for name in ("table_1_col_1", "table_4_col_4", "table_5_col_1")
        for line in trace.trace(sample_build.warehouse, name)
        if "95 %" in line
    ]
    assert len(lines) > 10
    for line in lines:
        first, second = line.split("; ")
        assert re.search("(CRV3|sandwich) by province", first)
        assert re.search("(CRV1|Windmeijer) by city", second)


@pytest.fixture(scope="module")
def door(sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Door:
    return Door(sample_release, tmp_path_factory.mktemp("door") / "shown.duckdb")


def test_a_search_names_the_error_of_every_number(door: Door) -> None:
    asked = ("effect of AI firms on GDP", "verdict estimate standard error", "企业 影响 结论")
    found = [line for words in asked for line in json.loads(door.search(words))["found"]]
    assert [line for line in found if is_naked(line)] == []
    # Each verdict states its estimate together with the name of its standard error.
    verdicts = [line for line in found if line.startswith("verdict") and re.search(NUMBER, line)]
    assert {"论文" in line for line in verdicts} == {True, False}
    assert all(NAMED.search(line) for line in verdicts)


def test_findings_and_verdicts_name_their_errors(door: Door) -> None:
    found = []
    for language, sentence in (("en", "sentence"), ("zh", "sentence_zh")):
        answer = json.loads(door.findings(language))
        found += [row[sentence] for row in answer["findings"] if is_naked(row.get(sentence, ""))]
        estimated = [row for row in answer["verdicts"] if "std_error" in row]
        assert estimated
        assert all(NAMED.search(row["error"]) for row in estimated)
    assert found == []


def test_a_column_of_errors_or_p_values_is_described_with_the_name_of_its_error(
    door: Door,
) -> None:
    found = []
    for table in sorted(json.loads(door.list_tables())["rows_one_per"]):
        if table.split(".")[0] not in ("estimates", "reports"):
            continue
        described = json.loads(door.describe(table))["columns"]
        columns = {row["column"] for row in described}
        for row in described:
            name = row["column"].removeprefix(f"{table}.")
            is_error = re.search(r"(^|_)(std_error|p_value|conf_low|conf_high)(_|$)", name)
            words = row.get("comment", "")
            # A description may name the column that contains the type of error, as in "named in
            # method".
            if is_error and row["data_type"] == "DOUBLE" and not NAMED.search(words):
                named_in = re.search(r"named in (\w+)", words)
                if not named_in or f"{table}.{named_in[1]}" not in columns:
                    found.append(f"{row['column']}: {words[:100]}")
    assert found == []
