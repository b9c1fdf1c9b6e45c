"""What lies in a replication package, and from where."""

import csv
import os
import platform
import shlex
import shutil
import string
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ai_manufacturing import settings, terms
from ai_manufacturing.landing import landed, log
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.releases import databases, fingerprint
from ai_manufacturing.releases.manifest import Manifest, read_manifest
from ai_manufacturing.releases.origin import SYNTHETIC
from ai_manufacturing.replication import withheld
from ai_manufacturing.replication.errors import ReplicationError
from ai_manufacturing.system.duckdb_client import reading
from ai_manufacturing.tables import PAPER_TABLES, exports

HERE = Path(__file__).parent
RELEASE, RAW, LANDING = "data/ai_manufacturing.duckdb", "data/raw", "data/landing"
RAW_FILES, OBSERVATIONS, WITHHELD = "data/raw_files.csv", "data/observations_by_year.csv", "data/withheld_tables.csv"
PANEL = "data/panel.csv"
CODE = "code"
LOCK = f"{CODE}/requirements/run.txt"


class Exhibit(NamedTuple):
    """A table or figure of the paper, the released table behind it, and the file that shows it."""

    name: str
    table: str
    output: str


EXHIBITS = (
    *(Exhibit(name.replace("table_", "Table "), f"rpt_{name}", f"{name}.tex") for name in PAPER_TABLES),
    Exhibit("Figure 1", "rpt_figure_1", "figure_1.csv"),
    Exhibit("Classes of cities by AI firms", "rpt_spatial_classes", "spatial_classes.csv"),
    Exhibit("Every printed number beside its estimate", "rpt_replication_scorecard", "replication_scorecard.csv"),
    Exhibit("Verdict on each printed column", "rpt_verdicts", "verdicts.csv"),
)


@dataclass(frozen=True)
class RawFile:
    """A delivered file, as data/raw_files.csv lists it.

    Attributes
    ----------
    path : str
        Below data/raw.
    sha256, bytes : str, int
        Of its content.
    is_restricted : bool
        Whether it may not be passed on.
    is_included : bool
        Whether the package holds it.
    """

    path: str
    sha256: str
    bytes: int
    provider: str
    records: int
    provenance_class: str
    publisher: str
    republished_by: str
    licence: str
    is_restricted: bool
    is_included: bool
    citation_en: str
    citation_zh: str
    how_to_obtain_en: str
    how_to_obtain_zh: str


@dataclass(frozen=True)
class Package:
    """A package that is being written.

    Attributes
    ----------
    folder : Path
        Where its files lie.
    release : Path
        The release file that it is of.
    manifest : Manifest
        Of that release.
    raw_files : list of RawFile
        All delivered files.
    with_restricted : bool
        Whether it holds restricted files, and the values that come from them.
    permutations : int
        Of the specification curve.
    """

    folder: Path
    release: Path
    manifest: Manifest
    raw_files: list[RawFile]
    with_restricted: bool
    permutations: int


def assemble(release: Path, folder: Path, with_restricted: bool) -> Package:
    """Write everything that a run needs into a folder, restricted files included; `strip` takes them out.

    Raises
    ------
    ReplicationError
        If the delivered files or the code are not those of the release.
    """
    manifest = read_manifest(release)
    extracts = settings.extracts_dir()
    _require_the_deliveries(manifest, extracts)
    for name in ("data", "output", "logs"):
        (folder / name).mkdir(parents=True)
    _write_code(manifest, folder / CODE)
    shutil.copyfile(release, folder / RELEASE)
    raw_files = _raw_files(release, extracts, with_restricted)
    for file in raw_files:
        target = folder / RAW / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(extracts.parent / file.path, target)
    _write_log(release, manifest, folder / LANDING)
    _write_csv(folder / RAW_FILES, [asdict(file) for file in raw_files])
    with reading(release, reads_files=True) as connection:  # to write them, which is the same permission
        ((draws,),) = connection.execute(
            "select coalesce(max(draws), 0) from estimates.est_specification_curve_joint"
        ).fetchall()
        connection.sql(
            "pivot (select variable as series, year from marts.fct_city_year_values where value is not null "
            "and variable in (select series from marts.dim_series)) on year using count(*) group by series "
            "order by series"
        ).write_csv(str(folder / OBSERVATIONS))
        for exhibit in EXHIBITS:
            if exhibit.output.endswith(".csv"):
                connection.sql(_query(exhibit)).write_csv(str(folder / "output" / exhibit.output))
    exports.export(release, folder / "data", "csv")
    exports.export(release, folder / "output", "latex")
    for left in folder.glob("*/.export*"):
        left.unlink()
    package = Package(folder, release, manifest, raw_files, with_restricted, int(draws))
    _write_run(package, extracts.name)
    for name in ("LICENSE", "CITATION.cff"):
        shutil.copyfile(folder / CODE / name, folder / name)
    return package


def strip(package: Package) -> None:
    """Take out what may not be passed on."""
    folder = package.folder
    for file in package.raw_files:
        if not file.is_included:
            (folder / RAW / file.path).unlink()
    if not package.with_restricted:
        (folder / RELEASE).unlink()
        held_back = terms.public_copy(package.release, folder / RELEASE)
        # the schema release is not compared: a build has none
        if names := sorted({row["table_name"] for row in held_back if not row["table_name"].startswith("release.")}):
            (folder / PANEL).unlink()
            withheld.write_summary(withheld.summary(package.release, names), folder / WITHHELD)
        # rows of replaced files; their log holds no values
        for rows in (folder / LANDING).glob("*"):
            if rows.name != "log" and rows.name not in _allowed_keys(package):
                shutil.rmtree(rows)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def write_readme(package: Package, run_time: str, machine: str) -> None:
    """Write README.md in the template that data editors of social-science journals share."""
    manifest = package.manifest
    cited = yaml.safe_load((package.folder / "CITATION.cff").read_text(encoding="utf-8"))
    paper = cited["references"][0]
    authors = ", ".join(f"{author['family-names']} {author['given-names']}" for author in paper["authors"])
    reference = f"{authors} ({paper['year']}): {paper['title']}. {paper['journal']}"
    absent = [file for file in package.raw_files if not file.is_included]
    synthetic = manifest.extract_set_kind == SYNTHETIC
    some = any(file.is_restricted for file in package.raw_files)
    with (package.folder / OBSERVATIONS).open(encoding="utf-8", newline="") as file:
        observations = list(csv.reader(file))
    text = string.Template((HERE / "README.template.md").read_text(encoding="utf-8")).substitute(
        title=cited["title"],
        release_id=manifest.release_id,
        extract_set=manifest.extract_set,
        published_at=manifest.published_at,
        git_commit=manifest.git_commit or "unknown",
        mark="**SYNTHETIC DATA: its numbers are not real.**" if synthetic else "The files were delivered by providers.",
        paper=reference,
        run_time=run_time,
        machine=machine,
        rights=(
            "The makers of this package have the rights to pass on every file that it holds."
            if not some or absent
            else "This package holds restricted files. Do not publish it; give it only to whom their owners allow."
        ),
        availability=(
            f"{len(absent)} of {len(package.raw_files)} delivered files are restricted and not in this package, nor "
            "the values of single cities that come from them; `data/withheld_tables.csv` has rows, means and standard "
            "deviations of the released tables that lack some."
            if absent
            else "All data are in this package."
        ),
        sources=_sources(package.raw_files),
        observations=_table(observations),
        python=platform.python_version(),
        packages=", ".join(f"{name} {version}" for name, version in manifest.package_versions.items()),
        permutations=package.permutations,
        first_step=(
            "Obtain the restricted files (`data/raw_files.csv`) and put each at its path below `data/raw`."
            if absent
            else "Nothing has to be obtained."
        ),
        exhibits="\n".join(
            f"| {exhibit.name} | `code/models/reports/{exhibit.table}.sql` | `reports.{exhibit.table}` "
            f"| `output/{exhibit.output}` |"
            for exhibit in EXHIBITS
        ),
        references="\n".join(
            f"- {one}"
            for one in [
                reference,
                *sorted({f"{file.citation_en} / {file.citation_zh}" for file in package.raw_files if file.citation_en}),
            ]
        ),
    )
    (package.folder / "README.md").write_text(text, encoding="utf-8")


def require_package(folder: Path) -> None:
    """Raise if what an unpacked package says of itself cannot be read.

    Raises
    ------
    ReplicationError
        If data/raw_files.csv lacks a column or names a file outside, or the release is none.
    """
    with (folder / RAW_FILES).open(encoding="utf-8", errors="replace", newline="") as file:
        missing = {*RawFile.__dataclass_fields__} - {*next(csv.reader(file), [])}
    if missing:
        raise ReplicationError(f"{RAW_FILES}: no column {', no column '.join(sorted(missing))}. It is no such package.")
    root = (folder / RAW).resolve()
    if outside := [
        row["path"] for row in read_raw_files(folder) if not (root / row["path"]).resolve().is_relative_to(root)
    ]:
        raise ReplicationError(f"{RAW_FILES}: {outside[0]} leads out of the package.")
    try:
        databases.read(folder / RELEASE)
    except databases.DatabaseError as error:
        raise ReplicationError(f"{RELEASE}: not a release. It is no such package.") from error


def read_raw_files(folder: Path) -> list[dict[str, str]]:
    """Return the rows of data/raw_files.csv of an unpacked package."""
    with (folder / RAW_FILES).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _query(exhibit: Exhibit) -> str:
    return f"from reports.{exhibit.table} order by all"


def _require_the_deliveries(manifest: Manifest, extracts: Path) -> None:
    found = fingerprint.delivery_hashes(extracts)
    if found != manifest.delivery_hashes:
        differ = sorted(
            name
            for name in found.keys() | manifest.delivery_hashes.keys()
            if found.get(name) != manifest.delivery_hashes.get(name)
        )
        raise ReplicationError(
            f"{extracts}: not the files that release {manifest.release_id} was made of; {len(differ)} differ, such as "
            f"{differ[0]}. Set EXTRACTS_DIR to the folder of {manifest.extract_set}, or refresh and package that."
        )


def _write_code(manifest: Manifest, folder: Path) -> None:
    """Write the code of the release: its commit, or what lies here if that is the same code."""
    root = settings.project_root()
    folder.mkdir()
    git = ["git", "-C", str(root)]
    is_known = manifest.git_commit and not manifest.git_commit.endswith("+")
    if (
        is_known
        and not subprocess.run([*git, "cat-file", "-e", f"{manifest.git_commit}^{{commit}}"], check=False).returncode
    ):
        archive = subprocess.run([*git, "archive", manifest.git_commit], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
        return
    if manifest.fingerprint != fingerprint.of(manifest.delivery_hashes):
        raise ReplicationError(
            f"Release {manifest.release_id} was made from code at {manifest.git_commit or 'an unknown commit'}, "
            "which is not in this clone and differs from the code here. Check the commit out and install its locks, "
            "or refresh."
        )
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=False
    )
    if listed.returncode:
        raise ReplicationError(f"{root}: no clone of the project, from which the code could be packed.")
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target)


def _raw_files(release: Path, extracts: Path, with_restricted: bool) -> list[RawFile]:
    with reading(release) as connection:
        deliveries = connection.execute(
            "select file_path, provider, record_count, provenance_class, publisher, republished_by, licence, "
            f"citation_en, citation_zh, {terms.MAY_BE_PASSED_ON} as may_be_passed_on "
            "from marts.fct_deliveries order by delivery_number"
        ).df()
    deliveries = deliveries.astype(object).where(deliveries.notna(), None)
    found = []
    for path, digest in fingerprint.delivery_hashes(extracts).items():
        # a member of an archive has the path of the archive before its own
        is_of = [name == path or name.startswith(f"{path}/") for name in deliveries["file_path"]]
        rows: list[dict[str, Any]] = deliveries[is_of].to_dict("records")
        # the description of the set is the maker's own; what nobody declared is nobody's to pass on
        allowed = path == DESCRIPTION or (bool(rows) and all(row["may_be_passed_on"] for row in rows))
        first = rows[0] if rows else {}
        whence = first.get("republished_by") or first.get("publisher") or "its provider"
        found.append(
            RawFile(
                path=f"{extracts.name}/{path}",
                sha256=digest,
                bytes=(extracts / path).stat().st_size,
                provider=first.get("provider") or "",
                records=sum(int(row["record_count"]) for row in rows),
                provenance_class=", ".join(sorted({row["provenance_class"] or "not declared" for row in rows})),
                publisher=first.get("publisher") or "",
                republished_by=first.get("republished_by") or "",
                licence=first.get("licence") or "",
                is_restricted=not allowed,
                is_included=allowed or with_restricted,
                citation_en=first.get("citation_en") or "",
                citation_zh=first.get("citation_zh") or "",
                how_to_obtain_en="in this package" if allowed else f"from {whence}: the file with this SHA-256",
                how_to_obtain_zh="在本复现包内" if allowed else f"向{whence}获取：SHA-256与此相同的文件",
            )
        )
    return found


def _write_log(release: Path, manifest: Manifest, folder: Path) -> None:
    """Copy the log of the extract set, and the rows of the deliveries that are no longer in the folder."""
    landing = settings.landing_dir()
    events = log.read(landing, manifest.extract_set)
    if not events:
        return
    present = set(manifest.delivery_hashes.values())
    for event in events:
        if event["event"] == "delivered" and event["delivery_id"] not in present:
            rows = folder / event["store_key"]
            if (landing / event["store_key"]).is_dir() and not rows.exists():
                shutil.copytree(landing / event["store_key"], rows)
    files = {name: digest for name, digest in landed.recorded(landing).items() if (folder / name).is_file()}
    log.append(folder, lambda lines: {"files": files, "deliveries": {manifest.extract_set: events}})


def _allowed_keys(package: Package) -> set[str]:
    """Return the folders of the landing store that may be passed on."""
    with reading(package.release) as connection:
        rows = connection.execute(
            f"select delivery_number from marts.fct_deliveries where {terms.MAY_BE_PASSED_ON}"
        ).fetchall()
    numbers = {number for (number,) in rows}
    events = log.read(package.folder / LANDING, package.manifest.extract_set)
    return {event["store_key"] for event in events if event["number"] in numbers and "store_key" in event}


def _write_run(package: Package, extracts: str) -> None:
    queries = {Path(exhibit.output).stem: _query(exhibit) for exhibit in EXHIBITS if exhibit.output.endswith(".csv")}
    listed = ", ".join(f'"{name}": "{query}"' for name, query in queries.items())
    text = (HERE / "run.sh").read_text(encoding="utf-8")
    for mark, value in {
        "folder": shlex.quote(extracts),
        "permutations": package.permutations,
        "queries": listed,
    }.items():
        text = text.replace(f"@{mark}@", str(value))
    path = package.folder / "run.sh"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def _sources(raw_files: list[RawFile]) -> str:
    by_source: dict[tuple[str, ...], list[RawFile]] = {}
    for file in raw_files:
        if file.provider:
            key = (file.provider, file.provenance_class, file.publisher, file.republished_by, file.licence)
            by_source.setdefault(key, []).append(file)
    heading = [
        *("provider", "class 来源类别", "publisher 发布者", "republished by 转发者", "licence 许可"),
        *("files", "records", "in the package", "citation 引用", "how to obtain 获取方式"),
    ]
    rows = [
        [
            *key,
            str(len(files)),
            f"{sum(file.records for file in files):,}",
            "yes" if all(file.is_included for file in files) else "no",
            f"{files[0].citation_en} {files[0].citation_zh}",
            f"{files[0].how_to_obtain_en} / {files[0].how_to_obtain_zh}",
        ]
        for key, files in by_source.items()
    ]
    return _table([heading, *rows])


def _table(rows: list[list[str]]) -> str:
    heading, *others = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    lines = [heading, ["---"] * len(heading), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def machine() -> str:
    """Return processor, threads and system, without the machine's name."""
    return f"{platform.machine()}, {os.cpu_count()} threads, {platform.system()}, Python {sys.version.split()[0]}"
