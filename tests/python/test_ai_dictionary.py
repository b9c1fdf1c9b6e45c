"""Tests for the keyword dictionary that identifies AI firms and AI patents by their texts."""

import csv
import datetime
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.python import conftest
from tests.python.conftest import PROJECT, Build, built_once
from tests.python.register_models import count

REAL_TEXTS = Path(
    os.environ.get("PUBLIC_EXTRACTS", PROJECT.parent / "shared/extracts/public")
).parent


def read(name: str) -> list[dict[str, str]]:
    with (PROJECT / f"tests/fixtures/{name}.csv").open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


REGISTER = "register/crawl_2019"


Text = tuple[str, str, int]
"""Name of a text in the labels, its words, and the year of the firm or patent."""
CLASSES = ("G06N|A47L", "G10L", "A47L|G06F", "A47L|H04L")
"""IPC subclasses assigned to the invented titles in rotation."""


def scopes(extracts: Path) -> Iterator[Text]:
    """Yield the business scope of each firm with a complete record and a valid ID, once."""
    seen = set()
    for path in sorted((extracts / REGISTER).glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.namelist()):
                text = archive.read(member).decode("utf-8-sig")
                for cells in csv.reader(io.StringIO(text, newline="")):
                    code = cells[1] if len(cells) == 8 else ""
                    if re.fullmatch("[0-9A-Z]{18}", code) and code not in seen:
                        seen.add(code)
                        name = hashlib.sha256(f"firm {code}".encode()).hexdigest()
                        yield name, cells[5], int(path.stem)


def invented() -> list[dict[str, str]]:
    """Return the invented test texts, each with its label (AI or not) and a name."""
    return [{**row, "name": f"invented {number}"} for number, row in enumerate(read("ai_texts"))]


def labelled(folder: Path, sample_build: Build, further: Iterable[Text] = ()) -> Build:
    """Build a warehouse from registers and patent titles that contain the labelled test texts.

    The texts are the invented ones and any further business scopes. All are assigned to one city,
    industry and kind of record.
    """

    def make(build: Build) -> Build:
        firms, patents = (
            [(row["name"], row["text"], 2015) for row in invented() if row["kind"] == kind]
            for kind in ("business_scope", "patent_title")
        )
        header = ("publication_numbers", "patent_title", "true_subclasses_all")
        classified = [
            (name, words, CLASSES[number % len(CLASSES)])
            for number, (name, words, _) in enumerate(patents)
        ]
        (build.extracts / "patents").mkdir(parents=True)
        pd.DataFrame(classified, columns=header).to_csv(
            build.extracts / "patents/titles_with_ipc.csv", index=False, encoding="utf-8-sig"
        )
        for entity, texts, columns in (
            ("firm_register", [*firms, *further], ("统一社会信用代码", "经营范围", "成立日期")),
            ("patent_register", patents, ("申请号", "专利名称", "申请日")),
        ):
            rows = [(name, words, datetime.date(year, 1, 1)) for name, words, year in texts]
            table = pd.DataFrame(rows, columns=columns)
            table = table.assign(城市代码="440300", 行业代码="3921", 专利类型="发明")
            (build.extracts / entity).mkdir()
            table.to_parquet(build.extracts / entity / "texts.parquet", index=False)
        conftest.seed(build, sample_build)
        count(
            build,
            "fct_ai_tags",
            "fct_ai_term_evaluation",
            "fct_ai_dictionary_evaluation",
            "fct_deliveries",
        )
        build.exit_code = 0
        return build

    manifest = sample_build.manifest
    return built_once(
        Build(folder / "texts", folder / conftest.WAREHOUSE, folder, manifest=manifest), make
    )


@pytest.fixture(scope="session")
def labelled_build(shared: Path, sample_build: Build) -> Build:
    return labelled(shared / "labelled", sample_build)


@pytest.fixture(scope="session")
def real_texts(shared: Path, sample_build: Build) -> Build:
    """Return a build with hand-labelled real texts, or skip the test if the texts are missing."""
    if not (REAL_TEXTS / REGISTER).exists():
        pytest.skip(f"the real scopes are not beside {REAL_TEXTS / 'public'}; set PUBLIC_EXTRACTS")
    known = {row["id"] for row in read("ai_labels")}
    further = [text for text in scopes(REAL_TEXTS) if text[0] in known]
    return labelled(shared / "real_texts", sample_build, further)


def tagged(build: Build) -> set[str]:
    return {name for (name,) in build.rows("select id from marts.fct_ai_tags")}


def test_the_dictionary_finds_the_ai_texts_and_no_others(labelled_build: Build) -> None:
    found = tagged(labelled_build)
    rows = [(row["is_ai"] == "true", row["name"] in found, row["text"]) for row in invented()]
    hits = sum(is_ai and is_found for is_ai, is_found, _ in rows)
    precision = hits / sum(is_found for _, is_found, _ in rows)
    recall = hits / sum(is_ai for is_ai, _, _ in rows)
    wrong = [text for is_ai, is_found, text in rows if is_ai != is_found]
    assert precision >= 0.95, wrong
    assert recall >= 0.95, wrong


@pytest.mark.soak
def test_of_the_real_scopes_held_out_that_it_tags_at_least_85_in_100_are_ai(
    real_texts: Build,
) -> None:
    """At least 85 % of the held-out real texts that the dictionary tags must be about AI.

    Each labelled text is weighted by the number of texts it represents.
    """
    is_tagged = tagged(real_texts)
    labels = [
        row
        for row in read("ai_labels")
        if (row["corpus"], row["half"]) == ("scope", "held out") and row["id"] in is_tagged
    ]
    weights = {row["id"]: float(row["weight"]) for row in labels}
    hits = sum(weights[row["id"]] for row in labels if row["is_ai"] == "true")
    assert len(labels) >= 30
    assert hits / sum(weights.values()) >= 0.85


def test_terms_and_dictionary_agree_with_the_classes_as_a_second_count_says(
    labelled_build: Build,
) -> None:
    """Term statistics agree with an independent count by a single Python regular expression."""
    with (PROJECT / "seeds/ai_keywords.csv").open(encoding="utf-8", newline="") as file:
        keywords = [row for row in csv.DictReader(file) if row["language"] == "zh"]
    exclude, include = (
        re.compile(
            "|".join(
                sorted((r["term"] for r in keywords if r["kind"] == kind), key=len, reverse=True)
            )
        )
        for kind in ("exclude", "include")
    )
    titles = [row["text"] for row in invented() if row["kind"] == "patent_title"]
    classes = [CLASSES[number % len(CLASSES)] for number in range(len(titles))]
    of_robots = [
        "G" in subclasses
        for title, subclasses in zip(titles, classes, strict=True)
        if "机器人" in include.findall(exclude.sub("#", title))
    ]
    assert 0 < sum(of_robots) < len(of_robots)
    assert labelled_build.rows(
        "select matched_text_count, wide_share from marts.fct_ai_term_evaluation"
        " where corpus = 'patent_titles' and term = '机器人'"
    ) == [(len(of_robots), pytest.approx(sum(of_robots) / len(of_robots)))]
    sets = (
        "select class_set, class_text_count from marts.fct_ai_dictionary_evaluation where corpus ="
        " 'patent_titles'"
    )
    of_set = {"core": CLASSES[:1], "narrow": CLASSES[:2], "wide": CLASSES[:3]}
    assert labelled_build.pairs(sets) == {
        name: sum(map(classes.count, members)) for name, members in of_set.items()
    }


def test_titles_are_used_and_feed_no_series(labelled_build: Build) -> None:
    used = (
        "select outcome, used_count, record_count, remedy from marts.fct_deliveries where entity ="
        " 'patent_titles'"
    )
    ((outcome, used_count, record_count, remedy),) = labelled_build.rows(used)
    assert (outcome, used_count, remedy) == ("used", record_count, None)
    counted = (
        "select text_count from marts.fct_ai_dictionary_evaluation where corpus = 'patent_titles'"
    )
    assert labelled_build.rows(counted) == [(record_count,)] * 3
