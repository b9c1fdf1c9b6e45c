"""Check a replication package against the rules of journals and data editors."""

import csv
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import yaml

from ai_manufacturing.disclosure import terms
from ai_manufacturing.releases import citation
from ai_manufacturing.replication import contents, programs, rerun, rights, rows
from ai_manufacturing.system import integrity

FILE_LIMIT, PACKAGE_LIMIT = 2 * 10**9, 30 * 10**9  # bytes
PATH_LIMIT = 200  # characters

# File suffixes of programs, and of all text files.
PROGRAMS = (".py", ".sql", ".sh", ".yml", ".yaml", ".toml", ".cfg", ".js", ".R", ".do", "")
TEXTS = (*PROGRAMS, ".md", ".csv", ".json", ".tex", ".txt", ".log", ".cff", ".html", ".css")
# Match home folders in absolute paths, e-mail addresses, and Chinese identity card numbers.
HOME = re.compile(r"(?<![\w.])(?:/home/|/Users/|/root/|[A-Z]:\\\\?Users\\)[\w.]+")
ADDRESS = re.compile(r"\b[\w.%+-]+@[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b")
IDENTITY = re.compile(
    r"(?<![0-9A-Za-z])[1-9]\d{5}"
    r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])"
    r"\d{3}[\dXx](?![0-9A-Za-z])"
)
# Checksum of Chinese identity numbers in GB 11643: the weights of the first 17 digits, and the
# check character for each remainder.
WEIGHTS, CHECK = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), "10X98765432"
NAME = re.compile(r"[A-Za-z0-9._-]+")
SECTIONS = (
    "Overview",
    "Data availability and provenance statements",
    "Computational requirements",
    "Description of programs",
    "Instructions to replicators",
    "List of exhibits",
    "References",
)
CHECKS = contents.CHECKS
MAX_FAULTS = 5  # maximum number of violations listed per rule
NOT_RUN = "not measured"
# Matches file names in a README: paths below the package's folders, or upper-case names.
NAMED_FILE = re.compile(r"`((?:code|data|output|logs)(?:/[\w*-][\w.*-]*)*|[A-Z][A-Z_]+\.[a-z]+)`")
# Matches the first cell of a row in the README's overview table.
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
# Matches a permanent URL: a URL outside GitHub, or a file on GitHub at a fixed commit.
PERMANENT_ADDRESS = re.compile(
    r"https?://(?!github\.com/)\S+"
    r"|https://github\.com/[^/\s]+/[^/\s]+/(?:blob|tree|raw)/[0-9a-f]{40}/\S+"
)
FACTS = ("processor", "memory", "system", "run time")  # facts that a README must state


class Rule(NamedTuple):
    """Rule for replication packages, with its publisher and a function that yields violations.

    `is_signature` marks a rule that only a person's signature can satisfy.
    """

    name: str
    published_by: str
    find_faults: Callable[[Path], Iterator[str]]
    is_signature: bool = False


class RuleResult(NamedTuple):
    """Rule and its violations in a replication package."""

    rule: Rule
    faults: list[str]


def check_rules(folder: Path) -> list[RuleResult]:
    """Return the violations of each rule in an unpacked replication package."""
    return [RuleResult(rule, list(rule.find_faults(folder))) for rule in RULES]


def write_results(results: list[RuleResult], path: Path) -> None:
    """Write the violations of each rule to a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rule", "published_by", "is_kept", "faults"])
        for rule, faults in results:
            more = [f"{len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
            text = "; ".join([*faults[:MAX_FAULTS], *more])
            writer.writerow([rule.name, rule.published_by, not faults, text])


def list_files(folder: Path) -> list[str]:
    """Return the sorted paths of all files in a package, excluding the output of a rerun."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if path.parts[0] != rerun.RERUN)


def _check_sizes(folder: Path) -> Iterator[str]:
    sizes = {name: (folder / name).stat().st_size for name in list_files(folder)}
    for name, size in sizes.items():
        if size > FILE_LIMIT:
            yield f"{name} has {size:,} bytes"
    if sum(sizes.values()) > PACKAGE_LIMIT:
        yield f"the package has {sum(sizes.values()):,} bytes"


def _check_names(folder: Path) -> Iterator[str]:
    names = list_files(folder)
    casefold_counts = Counter(name.casefold() for name in names)
    for name in names:
        # Delivered files may have any name, because they retain their provider's name.
        if not name.startswith(contents.RAW) and not all(
            NAME.fullmatch(part) for part in name.split("/")
        ):
            yield f"{name} contains a character other than A-Z, a-z, 0-9, ., _ and -"
        if len(name) > PATH_LIMIT:
            yield f"{name} has {len(name)} characters"
        if casefold_counts[name.casefold()] > 1:
            yield f"{name} differs from another name only in upper and lower case"


def _read_texts(folder: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in list_files(folder):
        if Path(name).suffix in suffixes:
            yield name, (folder / name).read_text(encoding="utf-8", errors="ignore")


def _check_paths(folder: Path) -> Iterator[str]:
    for name, text in _read_texts(folder, (*PROGRAMS, ".log")):
        yield from (f"{name} contains {match}" for match in sorted({*HOME.findall(text)}))


def _check_versions(folder: Path) -> Iterator[str]:
    lock = folder / contents.LOCK
    if not lock.is_file() or not rerun.read_pins(lock):
        yield f"{contents.LOCK} lists no versions"
        return
    # Each entry of the lock file contains a requirement and its hashes.
    for entry in re.split(r"\n(?=[A-Za-z])", lock.read_text(encoding="utf-8")):
        if entry.strip() and not ("==" in entry and "--hash=" in entry):
            yield f"{entry.split()[0]} has no version or no hash"


def _check_personal_data(folder: Path) -> Iterator[str]:
    for name, text in _read_texts(folder, TEXTS):
        if not name.startswith(f"{contents.CODE}/"):
            yield from (
                f"{name} contains {address}" for address in sorted({*ADDRESS.findall(text)})
            )
        for number in sorted({*IDENTITY.findall(text)}):
            if _is_identity(number):
                yield f"{name} contains {number}"


def _is_identity(number: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(number, WEIGHTS, strict=False))
    return CHECK[total % len(CHECK)] == number[-1].upper()


def _read_readme(folder: Path) -> str:
    path = folder / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _check_readme(folder: Path) -> Iterator[str]:
    text = _read_readme(folder)
    for section in SECTIONS:
        if f"\n## {section}\n" not in text:
            yield f"README.md has no section {section}"


def _check_overview(folder: Path) -> Iterator[str]:
    text = _read_readme(folder)
    for name in dict.fromkeys(NAMED_FILE.findall(text)):
        if name not in contents.WRITTEN_AFTER_README and not any(folder.glob(name)):
            yield f"README.md names {name}, which is not in the package"
    overview = ROW.findall(text.partition("\n## Overview\n")[2].partition("\n## ")[0])
    for name in list_files(folder):
        if not any(name == row or name.startswith(f"{row}/") for row in overview):
            yield f"{name} is missing from the overview"


def _check_signature(folder: Path) -> Iterator[str]:
    text = _read_readme(folder)
    for statement in rights.STATEMENTS.values():
        if f"- [x] {statement}" not in text:
            yield f'this statement is not certified: "{statement}"'
    if not re.search(r"^Signed: \S.*, \d{4}-\d\d-\d\d$", text, re.MULTILINE):
        yield "nobody has signed the form"


def _check_paper(folder: Path) -> Iterator[str]:
    path = folder / citation.FILE
    if not path.is_file():
        yield f"there is no {citation.FILE}"
        return
    try:
        paper = dict(yaml.safe_load(path.read_text(encoding="utf-8"))["references"][0])
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        paper = {}
    if missing := citation.find_missing_fields(paper):
        yield (
            f"{citation.FILE}: the paper lacks {', '.join(missing)}; for a paper published"
            f" online first, {' and '.join(citation.ONLINE_FIELDS)} are enough"
        )


def _check_programs(folder: Path) -> Iterator[str]:
    path, descriptions = folder / programs.PROGRAMS, {}
    if path.is_file():
        descriptions = {
            row.get("program", ""): row.get("description") for row in rows.read_rows(path)
        }
    models = (model.relative_to(folder).as_posix() for model in programs.find_models(folder))
    for name in ("run.sh", *models):
        if not descriptions.get(name):
            yield f"{programs.PROGRAMS} does not list {name} with its outputs"
    for name in descriptions:
        if not (folder / name).is_file():
            yield f"{programs.PROGRAMS} lists {name}, which is not in the package"
    text = _read_readme(folder)
    for row in programs.find_random_programs(folder):
        if row["seed"] is None or f"| `{row['program']}` | {row['seed']} |" not in text:
            yield f"README.md does not state the seed of {row['program']}"


def _check_machine(folder: Path) -> Iterator[str]:
    rows = dict(re.findall(r"^\| ([A-Za-z ]+) \| (.+) \|$", _read_readme(folder), re.MULTILINE))
    yield from (
        f"README.md does not state the {name}"
        for name in FACTS
        if rows.get(name, NOT_RUN) == NOT_RUN
    )


def _check_data_licence(folder: Path) -> Iterator[str]:
    path = folder / terms.DATA_LICENCE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    providers = sorted({row["provider"] for row in contents.read_raw_files(folder)} - {""})
    for name in providers:
        if f"| {name} |" not in text:
            yield f"{path.name} does not name {name}"
    try:
        graph = json.loads((folder / contents.CRATE).read_text(encoding="utf-8"))["@graph"]
        licences = [node["license"] for node in graph if node["@id"] == "./"]
    except (OSError, ValueError, LookupError, TypeError):
        licences = []
    if licences != [{"@id": terms.DATA_LICENCE}] or not path.is_file():
        yield f"{contents.CRATE} does not name {path.name} as the licence of the package"


def _check_licence(folder: Path) -> Iterator[str]:
    for name in ("LICENSE", citation.FILE):
        if not (folder / name).is_file():
            yield f"there is no {name}"


def _check_citations(folder: Path) -> Iterator[str]:
    for row in contents.read_raw_files(folder):
        if not row["provider"]:
            continue
        path, address = row["path"], row["address"]
        if not all(row[name] for name in contents.CITATION_COLUMNS[:3]):
            yield f"{path} has no citation or no provenance class"
        if row["provenance_class"] != "generated":
            if not PERMANENT_ADDRESS.fullmatch(address):
                yield f"{path} has no permanent address with commit and path ({address or 'none'})"
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", row["accessed"]):
                yield f"{path} has no date of access"


def _check_restricted_files(folder: Path) -> Iterator[str]:
    raw_files = contents.read_raw_files(folder)
    restricted_paths = {
        row["sha256"]: row["path"] for row in raw_files if row["is_restricted"] == "True"
    }
    if not restricted_paths:
        return
    for name in list_files(folder):
        if path := restricted_paths.get(integrity.sha256(folder / name)):
            yield f"{name} is {path}, which is restricted"
    with tempfile.TemporaryDirectory() as private:
        # Writing a public copy returns the restricted values that had to be withheld.
        withheld_rows = terms.write_public_copy(
            folder / contents.RELEASE, Path(private) / "public.duckdb"
        )
    for table in dict.fromkeys(row["table_name"] for row in withheld_rows):
        yield f"{contents.RELEASE} contains {table}, which has values of restricted files"
    if (withheld_rows or (folder / contents.WITHHELD).is_file()) and (
        folder / contents.PANEL
    ).is_file():
        yield f"{contents.PANEL} has values of restricted files"


def _check_exhibits(folder: Path) -> Iterator[str]:
    models = {path.stem for path in programs.find_models(folder)}
    try:
        exhibits = contents.read_exhibits(folder / contents.RELEASE)
    except duckdb.Error:
        yield f"{contents.RELEASE} has no printed tables"
        return
    for exhibit in exhibits:
        if not (folder / f"output/{exhibit.file_name}").is_file():
            yield f"{exhibit.name}: the package lacks output/{exhibit.file_name}"
        if exhibit.table not in models:
            yield f"{exhibit.name}: the package lacks the model {exhibit.table}"


def _check_commit(folder: Path) -> Iterator[str]:
    text = _read_readme(folder)
    commit = re.search(r"from code at commit `([^`]*)`", text)
    if not commit or not re.fullmatch(r"[0-9a-f]{40}", commit[1]):
        if commit:
            # A plus sign after the ID marks uncommitted changes.
            yield f"README.md names {commit[1]}, which is not the ID of a git commit"
        else:
            yield "README.md names no commit"


RULES = (
    Rule(
        "No file has more than 2 GB, and the package no more than 30 GB.", "openICPSR", _check_sizes
    ),
    Rule(
        "File names are portable, and paths have at most 200 characters.",
        "AEA Data Editor",
        _check_names,
    ),
    Rule(
        "No program or log contains an absolute path on a personal computer.",
        "AEA Data Editor",
        _check_paths,
    ),
    Rule(
        "Every required package has a fixed version and a hash.", "AEA Data Editor", _check_versions
    ),
    Rule(
        "No text contains an identity number, or an e-mail address outside the code.",
        "AEA, China Economic Review",
        _check_personal_data,
    ),
    Rule(
        "The README contains the sections of the template.",
        "social-science data editors",
        _check_readme,
    ),
    Rule("The package contains a licence and a citation.", "AEA Data Editor", _check_licence),
    Rule("The data have their own licence.", "AEA Data Editor", _check_data_licence),
    Rule(
        "A person has signed both statements about the rights to the data.",
        "social-science data editors",
        _check_signature,
        is_signature=True,
    ),
    Rule(
        "The README lists the content of the package, and nothing else.",
        "AEA Data Editor",
        _check_overview,
    ),
    Rule(
        "The outputs of every program and the seed of every random draw are documented.",
        "social-science data editors",
        _check_programs,
    ),
    Rule(
        "The README states the processor, memory, system and run time.",
        "social-science data editors",
        _check_machine,
    ),
    Rule(
        "Every source has a provenance class and a citation with address, version, path and date"
        " of access.",
        "AEA, China Economic Review",
        _check_citations,
    ),
    Rule(
        "The paper's citation has volume, pages and DOI, or address and date if it was published"
        " online first.",
        "AEA Data Editor",
        _check_paper,
    ),
    Rule(
        "The package contains no restricted files, and no tables with their values.",
        "AEA Data Editor",
        _check_restricted_files,
    ),
    Rule("Every exhibit has a program and an output.", "AEA Data Editor", _check_exhibits),
    Rule("The code belongs to a git commit.", "this project", _check_commit),
)
