"""Texts that were labelled by hand, delivered as registers, and how well their tags agree."""

import csv
import datetime
import hashlib
import io
import math
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ai_manufacturing.system.settings import project_root

LABELS = project_root() / "tests/fixtures/ai_labels.csv"
TITLES = "patents/titles_with_ipc.csv"
REGISTER = "register/crawl_2019"
SEED = "labels of 2026"
SIZES = {
    "scope": {"tagged": 85, "close": 50, "near miss": 48, "rest": 15},
    "title": {"tagged": 75, "near miss": 55, "rest": 20},
}
HALVES = ("development", "held out")
NORMAL_975 = 1.959964


@dataclass(frozen=True)
class Text:
    """A title with its IPC subclasses, or a business scope with its year; `name` is its id in the
    labels.
    """

    name: str
    words: str
    extra: str
    key: str


@dataclass(frozen=True)
class Rate:
    """A weighted share with its 95 % interval, and the labels that it rests on."""

    share: float
    low: float
    high: float
    hit_count: int
    label_count: int

    def __str__(self) -> str:
        return (
            f"{self.share:.3f} ({self.low:.3f} to {self.high:.3f}), {self.hit_count} of"
            f" {self.label_count}"
        )


def titles(extracts: Path) -> Iterator[Text]:
    """Yield each patent."""
    with (extracts / TITLES).open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            number = row["publication_numbers"]
            yield Text(
                number, row["patent_title"], row["true_subclasses_all"], digest(SEED + number)
            )


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
                                digest(f"firm {cells[1]}"),
                                cells[5],
                                path.stem,
                                digest(SEED + cells[1]),
                            )


def digest(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def labels() -> list[dict[str, str]]:
    """Return the labelled texts: what they are named by, their stratum, weight, half and label."""
    with LABELS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def deliver(folder: Path, business_scopes: Iterable[Text], patent_titles: Iterable[Text]) -> None:
    """Write texts as registers in the vendor's layout, for the models to tag: those of one city,
    industry and kind.
    """
    firms = [*business_scopes]
    columns = {
        "统一社会信用代码": [text.name for text in firms],
        "城市代码": ["440300"] * len(firms),
        "行业代码": ["3921"] * len(firms),
        "成立日期": [datetime.date(int(text.extra or 2015), 1, 1) for text in firms],
        "经营范围": [text.words for text in firms],
    }
    patents = [*patent_titles]
    patent_columns = {
        "申请号": [text.name for text in patents],
        "城市代码": ["440300"] * len(patents),
        "行业代码": ["3921"] * len(patents),
        "专利类型": ["发明"] * len(patents),
        "申请日": [datetime.date(2015, 1, 1)] * len(patents),
        "专利名称": [text.words for text in patents],
    }
    for name, content in (("firm_register", columns), ("patent_register", patent_columns)):
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.table(content), folder / name / "texts.parquet")


def rate(rows: list[tuple[bool, float]]) -> Rate:
    """Return a weighted share of hits, with Wilson's interval for the number of equal weights that
    says as much.

    Kish's effective size, (sum of weights)² / sum of squared weights, is the number of labels where
    weights are equal.
    """
    total = sum(weight for _, weight in rows)
    size = total**2 / sum(weight**2 for _, weight in rows)
    share = sum(weight for hit, weight in rows if hit) / total
    middle = (share + NORMAL_975**2 / (2 * size)) / (1 + NORMAL_975**2 / size)
    spread = math.sqrt(share * (1 - share) / size + NORMAL_975**2 / (4 * size**2))
    width = NORMAL_975 * spread / (1 + NORMAL_975**2 / size)
    return Rate(
        share,
        max(0.0, middle - width),
        min(1.0, middle + width),
        sum(hit for hit, _ in rows),
        len(rows),
    )


def rates(
    labelled: list[dict[str, str]], tagged: set[str]
) -> dict[tuple[str, str], tuple[Rate, Rate]]:
    """Return precision and recall by corpus and half, from the names of the texts that the
    dictionary tags.
    """
    found = {}
    for corpus in SIZES:
        for half in HALVES:
            rows = [row for row in labelled if row["corpus"] == corpus and row["half"] == half]
            judged = [
                (row["is_ai"] == "true", row["id"] in tagged, float(row["weight"])) for row in rows
            ]
            precision = rate([(is_ai, weight) for is_ai, is_tagged, weight in judged if is_tagged])
            recall = rate([(is_tagged, weight) for is_ai, is_tagged, weight in judged if is_ai])
            found[corpus, half] = precision, recall
    return found
