"""What lies in a replication package, and from where."""

import csv
import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import jinja2
import yaml

from ai_manufacturing import settings, study, terms
from ai_manufacturing.landing import landed, log
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.releases import databases, fingerprint
from ai_manufacturing.releases.manifest import Manifest, read_manifest
from ai_manufacturing.releases.origin import SYNTHETIC
from ai_manufacturing.replication import programs, rights, withheld
from ai_manufacturing.replication.errors import ReplicationError
from ai_manufacturing.system import duckdb_client, integrity
from ai_manufacturing.system.duckdb_client import reading
from ai_manufacturing.tables import cells, exports

HERE = Path(__file__).parent
RELEASE, RAW, LANDING = "data/ai_manufacturing.duckdb", "data/raw", "data/landing"
RAW_FILES, OBSERVATIONS, WITHHELD = (
    "data/raw_files.csv",
    "data/observations_by_year.csv",
    "data/withheld_tables.csv",
)
PANEL = "data/panel.csv"
CHECKS, CRATE = "CHECKS.csv", "ro-crate-metadata.json"
CODE = programs.CODE
LOCK = f"{CODE}/requirements/run.txt"
NEEDED_BY_A_RUN = (".", ":!tests/python", ":!tests/fixtures", ":!tests/*.py", ":!benchmarks")
"""Of the repository, as git names files: what a run needs. The data tests of dbt are among it."""


class Exhibit(NamedTuple):
    """A table or figure of the paper, the released table behind it, and the file that shows it."""

    name: str
    table: str
    output: str


RAW_COLUMNS = (
    *(
        "path",
        "sha256",
        "bytes",
        "provider",
        "records",
        "provenance_class",
        "publisher",
        "republished_by",
        "licence",
    ),
    *("is_restricted", "is_included", "citation_en", "citation_zh", "address", "accessed"),
    *("how_to_obtain_en", "how_to_obtain_zh"),
)
"""Of data/raw_files.csv: a delivered file below data/raw, whether it may be passed on, and whether it is here."""


CITED = ("citation_en", "citation_zh", "provenance_class", "address", "accessed")
OVERVIEW = {
    "README.md": "this file",
    "run.sh": "the master program",
    CODE: "all programs; `code/README.md` and `code/docs` describe them",
    programs.PROGRAMS: "each program, with what it makes",
    LOCK: "every package with its version and hash",
    RAW: "files as delivered",
    RAW_FILES: (
        "each delivered file: SHA-256, provenance, citation in English and Chinese, how to"
        " obtain it"
    ),
    OBSERVATIONS: "cities with a value, by series and year",
    RELEASE: "the release: marts, gates, estimates and reports",
    PANEL: "intermediate data: the panel of cities and years",
    "data/estimates.csv": "intermediate data: every coefficient",
    "data/specification_curve.csv": "intermediate data: every specification of the curve",
    "data/data_dictionary.csv": (
        "codebook: unit, label, source and missing share of each column, English and Chinese"
    ),
    WITHHELD: (
        "rows, means and standard deviations of the tables of the release that lack restricted"
        " values"
    ),
    LANDING: "order of the deliveries, and rows of files that later ones replaced",
    "output": "tables and figures",
    "logs": "output of the run, run time and machine",
    "LICENSE": "licence of code and text",
    terms.DATA_LICENCE: "licence of the data, by provider",
    "CITATION.cff": "how to cite the package, and the paper",
    CHECKS: "rules of journals, and whether the package keeps them",
    integrity.SUMS: "SHA-256 of every file; `sha256sum -c SHA256SUMS` verifies them",
    CRATE: "the same in RO-Crate 1.1, for machines",
}
"""What a package may hold; its README lists what it does."""
WRITTEN_LAST = ("README.md", CHECKS, integrity.SUMS, CRATE)


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
    raw_files : list of dict
        All delivered files, by RAW_COLUMNS.
    with_restricted : bool
        Whether it holds restricted files, and the values that come from them.
    permutations : int
        Of the specification curve.
    """

    folder: Path
    release: Path
    manifest: Manifest
    raw_files: list[dict[str, Any]]
    with_restricted: bool
    permutations: int


def assemble(release: Path, folder: Path, with_restricted: bool) -> Package:
    """Write everything that a run needs into a folder, restricted files included.

    `strip` takes them out.

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
        target = folder / RAW / file["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(extracts.parent / file["path"], target)
    _write_log(release, manifest, folder / LANDING)
    write_rows(folder / RAW_FILES, raw_files, RAW_COLUMNS)
    with reading(
        release, reads_files=True
    ) as connection:  # to write them, which is the same permission
        ((draws,),) = connection.execute(
            "select coalesce(max(draws), 0) from estimates.est_specification_curve_joint"
        ).fetchall()
        connection.sql(
            "pivot (select variable as series, year from marts.fct_city_year_values where value is"
            " not null and variable in (select series from marts.dim_series)) on year using"
            " count(*) group by series order by series"
        ).write_csv(str(folder / OBSERVATIONS))
        for exhibit in exhibits(connection):
            if exhibit.output.endswith(".csv"):
                connection.sql(_query(exhibit)).write_csv(str(folder / "output" / exhibit.output))
        (folder / terms.DATA_LICENCE).write_text(terms.data_licence(connection), encoding="utf-8")
    for _, figure in study.declared("FIGURES", {}).values():
        study.module(figure).write(release, folder / f"output/{figure}.svg")
    exports.export(release, folder / "data", "csv")
    exports.export(release, folder / "output", "latex")
    for left in folder.glob("*/.export*"):
        left.unlink()
    package = Package(folder, release, manifest, raw_files, with_restricted, int(draws))
    _write_run(package, extracts.name)
    for name in ("LICENSE", "CITATION.cff"):
        shutil.copyfile(folder / CODE / name, folder / name)
    write_rows(folder / programs.PROGRAMS, programs.listed(folder), programs.COLUMNS)
    return package


def strip(package: Package) -> None:
    """Take out what may not be passed on."""
    folder = package.folder
    for file in package.raw_files:
        if not file["is_included"]:
            (folder / RAW / file["path"]).unlink()
    if not package.with_restricted:
        (folder / RELEASE).unlink()
        held_back = terms.public_copy(package.release, folder / RELEASE)
        # the schema release is not compared: a build has none
        if names := sorted(
            {row["table_name"] for row in held_back if not row["table_name"].startswith("release.")}
        ):
            (folder / PANEL).unlink()
            write_rows(
                folder / WITHHELD, withheld.summary(package.release, names), withheld.SUMMARY
            )
        # rows of replaced files; their log holds no values
        for rows in (folder / LANDING).glob("*"):
            if rows.name != "log" and rows.name not in _allowed_keys(package):
                shutil.rmtree(rows)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def write_readme(package: Package, run_time: str, signature: rights.Signature | None) -> None:
    """Write README.md in the template that data editors of social-science journals share."""
    cited = yaml.safe_load((package.folder / "CITATION.cff").read_text(encoding="utf-8"))
    sources: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for file in package.raw_files:
        if file["provider"]:
            names = ("provider", "provenance_class", "publisher", "republished_by", "licence")
            sources.setdefault(tuple(file[name] for name in names), []).append(file)
    with (package.folder / OBSERVATIONS).open(encoding="utf-8", newline="") as rows:
        observations = list(csv.reader(rows))
    text = _filled(
        "README.template.md",
        title=cited["title"],
        paper=dict.fromkeys(("volume", "issue", "start", "end", "doi", "url"), "")
        | cited["references"][0],
        manifest=package.manifest,
        is_synthetic=package.manifest.extract_set_kind == SYNTHETIC,
        run_time=run_time,
        machine=machine(),
        statements=rights.STATEMENTS,
        signature=signature,
        form=rights.FORM.format(manifest=package.manifest),
        drawing=programs.drawing(package.folder),
        overview={
            name: text
            for name, text in OVERVIEW.items()
            if name in WRITTEN_LAST or (package.folder / name).exists()
        },
        files=package.raw_files,
        absent=[file for file in package.raw_files if not file["is_included"]],
        restricted=[file for file in package.raw_files if file["is_restricted"]],
        sources=sources,
        citations=sorted(
            {
                tuple(file[name] for name in CITED)
                for file in package.raw_files
                if file["citation_en"]
            }
        ),
        observations=observations,
        python=platform.python_version(),
        permutations=package.permutations,
        exhibits=exhibits_of(package.release),
    )
    (package.folder / "README.md").write_text(text, encoding="utf-8")


def exhibits_of(release: Path) -> list[Exhibit]:
    """Return the tables and figures that a package of a release shows.

    Raises
    ------
    DatabaseError
        If the file is no release.
    """
    with reading(release) as connection:
        return exhibits(connection)


def exhibits(connection: duckdb.DuckDBPyConnection) -> list[Exhibit]:
    """Return the printed tables of an open release, the figures of the study, and its verdicts."""
    printed = [
        Exhibit(name, f"rpt_{table_id}", f"{table_id}.tex")
        for table_id, name in cells.names(connection).items()
    ]
    drawn = [
        Exhibit(name, table, f"{figure}.svg")
        for name, (table, figure) in study.declared("FIGURES", {}).items()
    ]
    return [
        *printed,
        *drawn,
        *(Exhibit(*declared) for declared in study.declared("EXHIBITS", ())),
        Exhibit(
            "Every printed number beside its estimate",
            "rpt_replication_scorecard",
            "replication_scorecard.csv",
        ),
        Exhibit("Verdict on each printed column", "rpt_verdicts", "verdicts.csv"),
    ]


def require_package(folder: Path) -> None:
    """Raise if what an unpacked package says of itself cannot be read.

    Raises
    ------
    ReplicationError
        If data/raw_files.csv lacks a column or names a file outside, or the release is none.
    """
    with (folder / RAW_FILES).open(encoding="utf-8", errors="replace", newline="") as file:
        missing = {*RAW_COLUMNS} - {*next(csv.reader(file), [])}
    if missing:
        raise ReplicationError(
            f"{RAW_FILES}: no column {', no column '.join(sorted(missing))}. It is no such package."
        )
    root = (folder / RAW).resolve()
    if outside := [
        row["path"]
        for row in read_raw_files(folder)
        if not (root / row["path"]).resolve().is_relative_to(root)
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
            f"{extracts}: not the files that release {manifest.release_id} was made of;"
            f" {len(differ)} differ, such as {differ[0]}. Set EXTRACTS_DIR to the folder of"
            f" {manifest.extract_set}, or refresh and package that."
        )


def _write_code(manifest: Manifest, folder: Path) -> None:
    """Write the code of the release: its commit, or what lies here if that is the same code."""
    root = settings.project_root()
    folder.mkdir()
    git = ["git", "-C", str(root)]
    is_known = manifest.git_commit and not manifest.git_commit.endswith("+")
    if (
        is_known
        and not subprocess.run(
            [*git, "cat-file", "-e", f"{manifest.git_commit}^{{commit}}"], check=False
        ).returncode
    ):
        archive = subprocess.run(
            [*git, "archive", manifest.git_commit, "--", *NEEDED_BY_A_RUN],
            capture_output=True,
            check=True,
        )
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
        return
    if manifest.fingerprint != fingerprint.of(manifest.delivery_hashes):
        raise ReplicationError(
            f"Release {manifest.release_id} was made from code at"
            f" {manifest.git_commit or 'an unknown commit'}, which is not in this clone and differs"
            " from the code here. Check the commit out and install its locks, or refresh."
        )
    files = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *NEEDED_BY_A_RUN]
    listed = subprocess.run([*git, *files], capture_output=True, check=False)
    if listed.returncode:
        raise ReplicationError(
            f"{root}: no clone of the project, from which the code could be packed."
        )
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target)


def _raw_files(release: Path, extracts: Path, with_restricted: bool) -> list[dict[str, Any]]:
    """Return the delivered files with what their providers declare."""
    with reading(release) as connection:
        deliveries = duckdb_client.rows(
            connection,
            "select file_path, coalesce(provider, '') as provider, record_count,"
            " coalesce(provenance_class, 'not declared') as provenance_class, coalesce(publisher,"
            " '') as publisher, coalesce(republished_by, '') as republished_by, coalesce(licence,"
            " '') as licence, coalesce(citation_en, '') as citation_en, coalesce(citation_zh, '')"
            " as citation_zh, coalesce(source_link, '') as address, coalesce(cast(accessed_on as"
            f" varchar), '') as accessed, {terms.MAY_BE_PASSED_ON} as may_be_passed_on from"
            " marts.fct_deliveries order by delivery_number",
        )
    files = []
    for path, digest in fingerprint.delivery_hashes(extracts).items():
        # a member of an archive has the path of the archive before its own
        rows = [
            row
            for row in deliveries
            if row["file_path"] == path or row["file_path"].startswith(f"{path}/")
        ]
        # the description of the set is the maker's own; what nobody declared is nobody's to pass on
        allowed = path == DESCRIPTION or (
            bool(rows) and all(row["may_be_passed_on"] for row in rows)
        )
        first = rows[0] if rows else dict.fromkeys(RAW_COLUMNS, "")
        whence = first["address"] or first["republished_by"] or first["publisher"] or "its provider"
        files.append(
            {name: value for name, value in first.items() if name in RAW_COLUMNS}
            | {
                "path": f"{extracts.name}/{path}",
                "sha256": digest,
                "bytes": (extracts / path).stat().st_size,
                "records": sum(row["record_count"] or 0 for row in rows),
                "provenance_class": ", ".join(sorted({row["provenance_class"] for row in rows})),
                "is_restricted": not allowed,
                "is_included": allowed or with_restricted,
                "how_to_obtain_en": (
                    "in this package" if allowed else f"from {whence}: the file with this SHA-256"
                ),
                "how_to_obtain_zh": (
                    "在本复现包内" if allowed else f"向{whence}获取：SHA-256与此相同的文件"
                ),
            }
        )
    return files


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
    files = {
        name: digest
        for name, digest in landed.recorded(landing).items()
        if (folder / name).is_file()
    }
    log.append(folder, lambda lines: {"files": files, "deliveries": {manifest.extract_set: events}})


def _allowed_keys(package: Package) -> set[str]:
    """Return the folders of the landing store that may be passed on."""
    with reading(package.release) as connection:
        rows = connection.execute(
            f"select delivery_number from marts.fct_deliveries where {terms.MAY_BE_PASSED_ON}"
        ).fetchall()
    numbers = {number for (number,) in rows}
    events = log.read(package.folder / LANDING, package.manifest.extract_set)
    return {
        event["store_key"]
        for event in events
        if event["number"] in numbers and "store_key" in event
    }


def _write_run(package: Package, extracts: str) -> None:
    queries = {
        Path(exhibit.output).stem: _query(exhibit)
        for exhibit in exhibits_of(package.release)
        if exhibit.output.endswith(".csv")
    }
    values = {
        "folder": shlex.quote(extracts),
        "permutations": package.permutations,
        "queries": queries,
        "figures": [figure for _, figure in study.declared("FIGURES", {}).values()],
    }
    path = package.folder / "run.sh"
    path.write_text(_filled("run.sh", **values), encoding="utf-8")
    path.chmod(0o755)


def _filled(name: str, **values: Any) -> str:
    """Return a text out of its template."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.from_string((HERE / name).read_text(encoding="utf-8")).render(values)


def write_rows(path: Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    """Write rows by column name."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def machine() -> dict[str, str]:
    """Return processor, threads, memory, system and Python of this machine, without its name."""
    info = Path("/proc/cpuinfo")
    models = (
        re.findall(r"^model name\s*: (.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        if info.exists()
        else []
    )
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.mac_ver()[0] or platform.version()
    return {
        "processor": f"{models[0] if models else platform.processor()} ({platform.machine()})",
        "threads": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{system}, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
