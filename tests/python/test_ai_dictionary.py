"""The AI dictionary: invented texts, real ones labelled by hand, and how it agrees with the IPC
classes of patents.
"""

import csv
import datetime
import hashlib
import io
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
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


TITLES = "patents/titles_with_ipc.csv"
REGISTER = "register/crawl_2019"


@dataclass(frozen=True)
class Text:
    """A title with its IPC subclasses, or a business scope with its year; `name` is its id in the
    labels.
    """

    name: str
    words: str
    extra: str


def titles(extracts: Path) -> Iterator[Text]:
    """Yield each patent."""
    with (extracts / TITLES).open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield Text(row["publication_numbers"], row["patent_title"], row["true_subclasses_all"])


def scopes(extracts: Path) -> Iterator[Text]:
    """Yield each firm whose record has eight fields and a whole credit code, once."""
    seen = set()
    for path in sorted((extracts / REGISTER).glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.namelist()):
                with archive.open(member) as binary:
                    for cells in csv.reader(
                        io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
                    ):
                        if (
                            len(cells) == 8
                            and re.fullmatch("[0-9A-Z]{18}", cells[1])
                            and cells[1] not in seen
                        ):
                            seen.add(cells[1])
                            yield Text(
                                hashlib.sha256(f"firm {cells[1]}".encode()).hexdigest(),
                                cells[5],
                                path.stem,
                            )


def invented() -> list[dict[str, str]]:
    """Return the invented texts with their labels, each under a name."""
    return [{**row, "name": f"invented {number}"} for number, row in enumerate(read("ai_texts"))]


def labelled(
    folder: Path, sample_build: Build, further: dict[str, list[Text]], real: Path | None
) -> Build:
    """Deliver the invented texts and further ones as registers in the vendor's layout, all of one
    city, industry and kind, and titles with their classes.
    """

    def make(build: Build) -> Build:
        firms, patents = (
            [Text(row["name"], row["text"], "") for row in invented() if row["kind"] == kind]
            for kind in ("business_scope", "patent_title")
        )
        delivered = build.extracts / TITLES
        delivered.parent.mkdir(parents=True)
        if real:
            shutil.copyfile(real, delivered)
        else:
            rows = [f"CN{number}A,{text.words},G06N" for number, text in enumerate(patents)]
            header = "publication_numbers,patent_title,true_subclasses_all"
            delivered.write_text("\n".join([header, *rows]), encoding="utf-8-sig")
        firms += further.get("scope", [])
        patents += further.get("title", [])
        tables = {
            "firm_register": {
                "统一社会信用代码": [text.name for text in firms],
                "成立日期": [datetime.date(int(text.extra or 2015), 1, 1) for text in firms],
                "经营范围": [text.words for text in firms],
            },
            "patent_register": {
                "申请号": [text.name for text in patents],
                "专利类型": ["发明"] * len(patents),
                "申请日": [datetime.date(2015, 1, 1)] * len(patents),
                "专利名称": [text.words for text in patents],
            },
        }
        for name, columns in tables.items():
            (build.extracts / name).mkdir()
            rows_of_one_city = pd.DataFrame(columns).assign(城市代码="440300", 行业代码="3921")
            rows_of_one_city.to_parquet(build.extracts / name / "texts.parquet", index=False)
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
    return labelled(shared / "labelled", sample_build, {}, None)


@pytest.fixture(scope="session")
def real_texts(shared: Path, sample_build: Build) -> Build:
    """Return a build with the real texts that are labelled; they are not in every clone."""
    if not all((REAL_TEXTS / path).exists() for path in (REGISTER, TITLES)):
        pytest.skip(
            f"the real scopes and titles are not beside {REAL_TEXTS / 'public'}; set"
            " PUBLIC_EXTRACTS"
        )
    known = {row["id"] for row in read("ai_labels")}
    further = {
        corpus: [text for text in texts(REAL_TEXTS) if text.name in known]
        for corpus, texts in (("scope", scopes), ("title", titles))
    }
    return labelled(shared / "real_texts", sample_build, further, REAL_TEXTS / TITLES)


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
    """A label stands for as many texts as its weight says."""
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


@pytest.mark.soak
def test_terms_and_dictionary_agree_with_the_classes_as_a_second_count_says(
    real_texts: Build,
) -> None:
    """Count by Python's regular expressions, all terms at once."""
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
    wide = re.compile(r"(^|\|)(G06|G10L|G05B|G05D|B25J|G16H)")
    texts = [*titles(REAL_TEXTS)]
    of_robots = [
        text for text in texts if "机器人" in include.findall(exclude.sub("#", text.words))
    ]

    evaluated = "select matched_text_count, wide_share from marts.fct_ai_term_evaluation "
    ((matched, share),) = real_texts.rows(
        f"{evaluated} where corpus = 'patent_titles' and term = '机器人'"
    )
    assert matched == len(of_robots)
    assert share == pytest.approx(
        sum(bool(wide.search(text.extra)) for text in of_robots) / len(of_robots)
    )

    sets = (
        "select class_set, class_text_count from marts.fct_ai_dictionary_evaluation where corpus ="
        " 'patent_titles'"
    )
    assert real_texts.pairs(sets) == {
        "core": sum("G06N" in text.extra for text in texts),
        "narrow": sum(bool(re.search("G06N|G06V|G10L", text.extra)) for text in texts),
        "wide": sum(bool(wide.search(text.extra)) for text in texts),
    }
    # the word that fits any machine is measured, and not used
    noise = (
        f"{evaluated} where term = '智能制造' and not is_used and wide_share < 0.2 and"
        " matched_text_count > 30"
    )
    assert len(real_texts.rows(noise)) == 1


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
