"""Draw the texts of tests/fixtures/ai_labels.csv: business scopes and patent titles, to be labelled by hand.

    python benchmarks/draw_labels.py --extracts ../shared/extracts [--corpus scope title] [--out build/labels]

A stratum's texts are ordered by a hash of a seed and their id, and the first ones are taken; so a second draw from the
same files and the same dictionary is the same. The half of a text is a bit of that hash. What is written holds texts:
it is read by the person who labels, and stays out of the repository.
"""

import argparse
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SEED = "labels of 2026"
# What a text without a term may yet say of AI; of scopes, first in words that mean little else.
CLOSE = re.compile(
    "(?<!射频)识别(?!卡|码)|算法|视觉|语音(?!、|信箱|通|电话|增值|业务|杂志|平台|服务)|无人(?!售货|值)|机器人|机械手|机器手"
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
SIZES = {
    "scope": {"tagged": 85, "close": 50, "near miss": 48, "rest": 15},
    "title": {"tagged": 75, "near miss": 55, "rest": 20},
}
WIDE = "ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ０１２３４５６７８９－　"
NARROW = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789- "
FOLD = str.maketrans(WIDE, NARROW)


def dictionary(path: Path) -> Callable[[str], bool]:
    """Return what tells whether a text is tagged: by an include term outside what an exclude term covers."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: -len(row["term"]))
    patterns = {}
    for kind in ("include", "exclude"):
        terms = [
            rf"(?<![0-9A-Za-z_]){re.escape(row['term'])}(?![0-9A-Za-z_])"
            if row["language"] == "en"
            else re.escape(row["term"])
            for row in rows
            if row["kind"] == kind
        ]
        patterns[kind] = re.compile("|".join(terms), re.IGNORECASE)
    # A text that holds no term to the letter needs no regular expression, which would take twenty times as long.
    terms = [row["term"].casefold() for row in rows if row["kind"] == "include"]

    def tagged(folded: str) -> bool:
        lowered = folded.casefold()
        if not any(term in lowered for term in terms):
            return False
        return patterns["include"].search(patterns["exclude"].sub("#", folded)) is not None

    return tagged


def titles(extracts: Path) -> Iterator[tuple[str, str, str]]:
    """Yield publication number, title and IPC subclasses of each patent."""
    with (extracts / "patents/titles_with_ipc.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            yield row["publication_numbers"], row["patent_title"], row["true_subclasses_all"]


def scopes(extracts: Path) -> Iterator[tuple[str, str, str]]:
    """Yield credit code, business scope and year of each firm whose record has eight fields and a whole code, once."""
    seen = set()
    for path in sorted((extracts / "register/crawl_2019").glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.namelist()):
                with archive.open(member) as binary:
                    for cells in csv.reader(io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")):
                        if len(cells) == 8 and re.fullmatch("[0-9A-Z]{18}", cells[1]) and cells[1] not in seen:
                            seen.add(cells[1])
                            yield cells[1], cells[5], path.stem


def digest(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Write one file per corpus: id, stratum, stratum size, half, text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extracts", type=Path, required=True)
    parser.add_argument("--keywords", type=Path, default=PROJECT / "seeds/ai_keywords.csv", help="The dictionary.")
    parser.add_argument("--corpus", nargs="+", choices=[*SIZES], default=[*SIZES])
    parser.add_argument("--out", type=Path, default=PROJECT / "build/labels")
    arguments = parser.parse_args()
    tagged = dictionary(arguments.keywords)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for corpus in arguments.corpus:
        strata: dict[str, list[tuple[str, str, str]]] = {stratum: [] for stratum in SIZES[corpus]}
        for record_id, text, extra in (titles if corpus == "title" else scopes)(arguments.extracts):
            folded = text.translate(FOLD)
            if tagged(folded):
                stratum = "tagged"
            elif corpus == "scope" and CLOSE.search(folded):
                stratum = "close"
            elif NEAR_MISS.search(folded) or (corpus == "title" and NARROW_CLASSES & set(extra.split("|"))):
                stratum = "near miss"
            else:
                stratum = "rest"
            strata[stratum].append((digest(SEED + record_id), record_id, text))
        with (arguments.out / f"{corpus}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "stratum", "stratum_size", "half", "text"])
            for stratum, rows in strata.items():
                print(f"{corpus}, {stratum}: {len(rows)}")
                for key, record_id, text in sorted(rows)[: SIZES[corpus][stratum]]:
                    name = record_id if corpus == "title" else digest(f"firm {record_id}")
                    half = "held out" if int(key[-1], 16) % 2 else "development"
                    writer.writerow([name, stratum, len(rows), half, text])


if __name__ == "__main__":
    main()
