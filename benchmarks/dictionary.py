"""Measure the AI dictionary on real texts, and draw the texts that were labelled by hand.

    python -m benchmarks.dictionary measure --extracts ../shared/extracts [--out benchmarks] python
    -m benchmarks.dictionary draw --extracts ../shared/extracts --keywords FILE [--out build/labels]

`measure` delivers the business scopes and titles to the project's own models, and compares the tags
with the labels of tests/fixtures/ai_labels.csv. `draw` made the sample behind those labels: a
stratum's texts are ordered by a hash of a seed and their id, and the first ones are taken, so with
the files and the dictionary of that day (FILE, before the commit that changed it) it draws the same
again. Its output holds texts and stays out of the repository.
"""

import argparse
import csv
import datetime
import hashlib
import io
import math
import re
import shutil
import string
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ai_manufacturing.system import duckdb_client
from benchmarks import measuring
from benchmarks.measuring import PROJECT

LABELS = PROJECT / "tests/fixtures/ai_labels.csv"
TITLES = "patents/titles_with_ipc.csv"
REGISTER = "register/crawl_2019"
SEED = "labels of 2026"
SIZES = {
    "scope": {"tagged": 85, "close": 50, "near miss": 48, "rest": 15},
    "title": {"tagged": 75, "near miss": 55, "rest": 20},
}
HALVES = ("development", "held out")
NORMAL_975 = 1.959964
# What a text without a term may yet say of AI; of scopes, first in words that mean little else.
CLOSE = re.compile(
    "(?<!射频)识别(?!卡|码)|算法|视觉|语音(?!、"
    "|信箱|通|电话|增值|业务|杂志|平台|服务)|无人(?!售货|值)|机器人|机械手|机器手"
    "|神经网|自主(?:导|移|飞|驾|水|航)|自适应|预测|数据挖掘|数据分析|导航|自动检测|雷达|图像|图象|指纹|虹膜|掌纹"
    "|(?<![a-z])(?:ai|agv|vr)(?![a-z])|智慧|大数据"
    "|智能(?:装备|设备|机|终端|软件|硬件|检测|识别|产品|科技|技术|系统|控制|传感|穿戴|手表|手环|车|汽车|仓|物流|制造|芯片|电子"
    "|仪|监控|导|驾|家电|玩具)",
    re.IGNORECASE,
)
NEAR_MISS = re.compile(
    "智能|智慧|智控|识别|算法|视觉|语音|无人驾|无人飞|无人值守|机器人|机械手|神经|自主|自适应|预测|大数据|数据挖掘"
    "|导航|自动检测|模型|分类方法|雷达|图像|(?<![a-z])(?:ai|agv|vr)(?![a-z])",
    re.IGNORECASE,
)
NARROW_CLASSES = {"G06N", "G06V", "G10L"}
# Digits, letters and the hyphen of full width lie this far above their own.
FULL_WIDTH = 0xFEE0
FOLD = {ord(mark) + FULL_WIDTH: mark for mark in string.digits + string.ascii_letters + "-"} | {
    0x3000: " "
}


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


def measure(extracts: Path) -> str:
    """Return the figures as Markdown: against the labels, the IPC classes, and by entry year of the
    register.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        delivered = folder / "texts"
        known = {row["id"] for row in labels()}
        deliver(
            delivered, scopes(extracts), (text for text in titles(extracts) if text.name in known)
        )
        (delivered / "patents").mkdir()
        shutil.copy(extracts / TITLES, delivered / TITLES)
        models = ["+fct_ai_term_evaluation", "+fct_ai_dictionary_evaluation", "+fct_ai_tags"]
        tests = ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
        measuring.Scratch(folder, delivered).dbt("build", "--select", *models, *tests)
        with duckdb_client.connect(
            str(folder / "warehouse.duckdb"), read_only=True, reads_files=True
        ) as connection:
            return report(connection)


def report(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the figures of a warehouse that holds all texts."""
    tagged = {
        name
        for (name,) in connection.execute("select distinct id from marts.fct_ai_tags").fetchall()
    }
    labelled = labels()
    against_labels = [
        (corpus, half, str(precision), str(recall))
        for (corpus, half), (precision, recall) in rates(labelled, tagged).items()
    ]
    strata = []
    for corpus, sizes in SIZES.items():
        for stratum in sizes:
            rows = [
                row for row in labelled if row["corpus"] == corpus and row["stratum"] == stratum
            ]
            ai = [row for row in rows if row["is_ai"] == "true"]
            size = sum(float(row["weight"]) for row in rows) / len({row["half"] for row in rows})
            top = rate([(row["is_ai"] == "true", 1.0) for row in rows]).high
            strata.append((corpus, stratum, f"{size:,.0f}", len(rows), len(ai), f"{top:.3f}"))
    classes = connection.execute(
        "select class_set, text_count, class_text_count, tagged_text_count, printf('%.3f',"
        " precision_share), printf('%.3f', recall_share) from marts.fct_ai_dictionary_evaluation"
        " where corpus = 'patent_titles' order by 1"
    ).fetchall()
    years = connection.execute(
        "select case when entry_year = min(entry_year) over () then 'to ' else '' end ||"
        " entry_year, text_count, tagged_text_count, printf('%.5f', tagged_share) from"
        " marts.fct_ai_dictionary_evaluation where corpus = 'firm_register' order by entry_year"
    ).fetchall()
    terms = connection.execute("""
        select
            term,
            max(case when corpus = 'patent_titles' then matched_text_count end),
            printf('%.2f', max(core_share)),
            printf('%.2f', max(narrow_share)),
            printf('%.2f', max(wide_share)),
            sum(case when corpus = 'firm_register' then matched_text_count end),
            sum(case when corpus = 'firm_register' then sole_text_count end),
            case
                when not bool_or(is_used) then 'set aside'
                when any_value(searched_in) <> 'any' then 'scopes alone'
                else 'used'
            end
        from marts.fct_ai_term_evaluation
        where corpus <> 'patent_register'
        group by term
        having sum(matched_text_count) >= 5
        order by sum(matched_text_count) desc, term
        """).fetchall()
    parts = (
        (
            "Against the labels",
            ("corpus", "half", "precision (95 %)", "recall (95 %)"),
            against_labels,
        ),
        (
            "The strata of the labels, by the dictionary of the day of the draw",
            ("corpus", "stratum", "texts", "labelled", "AI", "upper 95 %"),
            strata,
        ),
        (
            "Patent titles against IPC classes",
            ("set", "titles", "in the set", "tagged", "precision", "recall"),
            classes,
        ),
        ("Business scopes by entry year", ("year", "firms", "tagged", "share"), years),
        (
            "Terms in five texts or more",
            ("term", "titles", "core", "narrow", "wide", "scopes", "no other term", "use"),
            terms,
        ),
    )
    return "\n\n".join(
        f"## {title}\n\n{measuring.table(names, rows)}" for title, names, rows in parts
    )


def dictionary(path: Path) -> Callable[[str], bool]:
    """Return what tells whether a text is tagged: by an include term outside what an exclude term
    covers.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: -len(row["term"]))
    patterns = {}
    for kind in ("include", "exclude"):
        terms = [
            (
                rf"(?<![0-9A-Za-z_]){re.escape(row['term'])}(?![0-9A-Za-z_])"
                if row["language"] == "en"
                else re.escape(row["term"])
            )
            for row in rows
            if row["kind"] == kind
        ]
        patterns[kind] = re.compile("|".join(terms), re.IGNORECASE)
    # A text that holds no term to the letter needs no regular expression, which would take twenty
    # times as long.
    letters = [row["term"].casefold() for row in rows if row["kind"] == "include"]

    def tagged(folded: str) -> bool:
        lowered = folded.casefold()
        if not any(term in lowered for term in letters):
            return False
        return patterns["include"].search(patterns["exclude"].sub("#", folded)) is not None

    return tagged


def draw(extracts: Path, keywords: Path, out: Path) -> None:
    """Write one file per corpus: id, stratum, stratum size, half, text."""
    tagged = dictionary(keywords)
    out.mkdir(parents=True, exist_ok=True)
    for corpus, read in (("scope", scopes), ("title", titles)):
        strata: dict[str, list[Text]] = {stratum: [] for stratum in SIZES[corpus]}
        for text in read(extracts):
            folded = text.words.translate(FOLD)
            if tagged(folded):
                stratum = "tagged"
            elif corpus == "scope" and CLOSE.search(folded):
                stratum = "close"
            elif NEAR_MISS.search(folded) or (
                corpus == "title" and NARROW_CLASSES & set(text.extra.split("|"))
            ):
                stratum = "near miss"
            else:
                stratum = "rest"
            strata[stratum].append(text)
        with (out / f"{corpus}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "stratum", "stratum_size", "half", "text"])
            for stratum, texts in strata.items():
                print(f"{corpus}, {stratum}: {len(texts)}")
                for text in sorted(texts, key=lambda text: text.key)[: SIZES[corpus][stratum]]:
                    half = HALVES[int(text.key[-1], 16) % 2]
                    writer.writerow([text.name, stratum, len(texts), half, text.words])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["measure", "draw"])
    parser.add_argument(
        "--extracts", type=Path, required=True, help=f"Folder with {TITLES} and {REGISTER}."
    )
    parser.add_argument(
        "--keywords",
        type=Path,
        default=PROJECT / "seeds/ai_keywords.csv",
        help="Dictionary to draw by.",
    )
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    absent = [path for path in (TITLES, REGISTER) if not (arguments.extracts / path).exists()]
    if absent:
        print(
            f"Skipped: {arguments.extracts} has no {' and no '.join(absent)}. Name the folder that"
            " has them."
        )
        return
    if arguments.command == "draw":
        draw(arguments.extracts, arguments.keywords, arguments.out or PROJECT / "build/labels")
        return
    head = (
        "The AI dictionary on real texts: `python -m benchmarks.dictionary measure --extracts"
        " ../shared/extracts --out benchmarks`. `docs/decisions/ai_dictionary.md` says what was"
        " labelled and how. Intervals are Wilson's.\n\n"
    )
    figures = measure(arguments.extracts.resolve())
    print(figures)
    if arguments.out:
        (arguments.out / "dictionary.md").write_text(head + figures + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
