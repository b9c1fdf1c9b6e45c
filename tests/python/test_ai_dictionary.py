"""The AI dictionary: invented texts, real ones labelled by hand, and how it agrees with the IPC
classes of patents.
"""

import csv
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.lib import ai_texts
from tests.lib.ai_texts import Text
from tests.python import conftest
from tests.python.conftest import PROJECT, Build, built_once
from tests.python.register_models import count

REAL_TEXTS = Path(
    os.environ.get("PUBLIC_EXTRACTS", PROJECT.parent / "shared/extracts/public")
).parent


def invented() -> list[dict[str, str]]:
    """Return the invented texts with their labels, each under a name."""
    with (PROJECT / "tests/fixtures/ai_texts.csv").open(encoding="utf-8", newline="") as file:
        return [
            {**row, "name": f"invented {number}"} for number, row in enumerate(csv.DictReader(file))
        ]


def labelled(
    folder: Path,
    sample_build: Build,
    scopes: Iterable[Text],
    titles: Iterable[Text],
    real: Path | None,
) -> Build:
    """Deliver the invented texts and these as registers, and titles with their classes."""

    def make(build: Build) -> Build:
        texts = {
            kind: [
                Text(row["name"], row["text"], "", "") for row in invented() if row["kind"] == kind
            ]
            for kind in ("business_scope", "patent_title")
        }
        delivered = build.extracts / ai_texts.TITLES
        delivered.parent.mkdir(parents=True)
        if real:
            shutil.copyfile(real, delivered)
        else:
            rows = [
                f"CN{number}A,{text.words},G06N|G06V"
                for number, text in enumerate(texts["patent_title"])
            ]
            header = "publication_numbers,patent_title,true_subclasses_all"
            delivered.write_text("\n".join([header, *rows]), encoding="utf-8-sig")
        ai_texts.deliver(
            build.extracts, [*texts["business_scope"], *scopes], [*texts["patent_title"], *titles]
        )
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
    return labelled(shared / "labelled", sample_build, [], [], None)


@pytest.fixture(scope="session")
def real_texts(shared: Path, sample_build: Build) -> Build:
    """Return a build with the real texts that are labelled; they are not in every clone."""
    if not all((REAL_TEXTS / path).exists() for path in (ai_texts.REGISTER, ai_texts.TITLES)):
        pytest.skip(
            f"the real scopes and titles are not beside {REAL_TEXTS / 'public'}; set"
            " PUBLIC_EXTRACTS"
        )
    known = {row["id"] for row in ai_texts.labels()}
    scopes, titles = (
        (text for text in texts if text.name in known)
        for texts in (ai_texts.scopes(REAL_TEXTS), ai_texts.titles(REAL_TEXTS))
    )
    return labelled(
        shared / "real_texts", sample_build, scopes, titles, REAL_TEXTS / ai_texts.TITLES
    )


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
    rates = ai_texts.rates(ai_texts.labels(), tagged(real_texts))
    precision, recall = rates["scope", "held out"]
    assert precision.share >= 0.85
    assert precision.label_count >= 30
    assert recall.label_count >= 30


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
    texts = [*ai_texts.titles(REAL_TEXTS)]
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


def test_a_share_of_few_labels_has_the_interval_of_wilson() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81 of 263, 15 of 148, 0 of 20,
    # 1 of 29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (hits, size), (low, high) in published.items():
        rate = ai_texts.rate([(number < hits, 3.0) for number in range(size)])
        assert (rate.low, rate.high) == (
            pytest.approx(low, abs=5e-5),
            pytest.approx(high, abs=5e-5),
        )
        assert (rate.hit_count, rate.label_count) == (hits, size)
