"""Assemble the data, code, exhibits and README of a replication package."""

import csv
import os
import platform
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from duckdb import DuckDBPyConnection

from ai_manufacturing.disclosure import terms, withholding
from ai_manufacturing.landing import checksums, declared_revisions, log
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.releases import citation, databases, fingerprint
from ai_manufacturing.releases.manifest import Manifest, load_manifest
from ai_manufacturing.releases.origin import SYNTHETIC
from ai_manufacturing.replication import programs, rights, rows, withheld
from ai_manufacturing.replication.errors import ReplicationError
from ai_manufacturing.system import duckdb_client, integrity, settings, study_package
from ai_manufacturing.system.duckdb_client import open_read_only
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue
from ai_manufacturing.tables import cells, exports

SQL = load_statements(__file__)

TEMPLATE_FOLDER = Path(__file__).parent
RELEASE, RAW, LANDING = "data/ai_manufacturing.duckdb", "data/raw", "data/landing"
RAW_FILES = "data/raw_files.csv"
OBSERVATIONS = "data/observations_by_year.csv"
WITHHELD = "data/withheld_tables.csv"
PANEL = "data/panel.csv"
CHECKS, CRATE = "CHECKS.csv", "ro-crate-metadata.json"
CODE = programs.CODE
LOCK = f"{CODE}/requirements/run.txt"
RUN_PATHSPECS = (".", ":!tests/python", ":!tests/fixtures", ":!tests/*.py", ":!benchmarks")
"""Git pathspecs of the files that a run needs, including the data tests of dbt."""


class Exhibit(NamedTuple):
    """Table or figure of the paper, with the released table behind it and its output file."""

    name: str
    table: str
    file_name: str


RAW_COLUMNS = (
    "path",
    "sha256",
    "bytes",
    "provider",
    "records",
    "provenance_class",
    "publisher",
    "republished_by",
    "licence",
    "is_restricted",
    "is_included",
    "citation_en",
    "citation_zh",
    "address",
    "accessed",
    "how_to_obtain_en",
    "how_to_obtain_zh",
)
"""Columns of data/raw_files.csv, which lists every delivered file, included or not."""

# Columns that identify a data source, and columns that are needed to cite the source.
SOURCE_COLUMNS = ("provider", "provenance_class", "publisher", "republished_by", "licence")
CITATION_COLUMNS = ("citation_en", "citation_zh", "provenance_class", "address", "accessed")
DECLARED_COLUMNS = {*SOURCE_COLUMNS, *CITATION_COLUMNS}
OVERVIEW = {
    "README.md": "this file",
    "run.sh": "the master program",
    CODE: "all programs; `code/README.md` and `code/docs` describe them",
    programs.PROGRAMS: "each program, with its outputs",
    LOCK: "every package with its version and hash",
    RAW: "files as delivered",
    RAW_FILES: "each delivered file: SHA-256, provenance, citation in English and Chinese, how to"
    " obtain it",
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
    citation.FILE: "how to cite the package, and the paper",
    CHECKS: "rules of journals, and whether the package follows them",
    integrity.SUMS: "SHA-256 of every file; `sha256sum -c SHA256SUMS` verifies them",
    CRATE: "the same as RO-Crate 1.1, for programs",
}
"""Files that a package may contain; its README lists those that it contains."""
# Optional fields in the citation of a paper.
OPTIONAL_CITATION_FIELDS = ("journal", "volume", "issue", "start", "end", "doi", "url")
# Files of a package that do not exist yet when the README is written.
WRITTEN_AFTER_README = ("README.md", CHECKS, integrity.SUMS, CRATE)


@dataclass(frozen=True)
class Package:
    """Replication package that is being written.

    Attributes
    ----------
    folder : Path
        Folder of the package.
    release : Path
        The release file to package.
    manifest : Manifest
        Manifest of that release.
    raw_files : list of dict
        All delivered files, with the keys RAW_COLUMNS.
    with_restricted_files : bool
        Whether to include restricted files, and the values that come from them.
    permutations : int
        Number of permutations of the specification curve.
    exhibits : list of Exhibit
        Tables and figures of the package.
    allowed_keys : frozenset of str
        Folders of the landing store that may be passed on.
    """

    folder: Path
    release: Path
    manifest: Manifest
    raw_files: list[dict[str, Any]]
    with_restricted_files: bool
    permutations: int
    exhibits: list[Exhibit]
    allowed_keys: frozenset[str] = frozenset()


def assemble_package(release: Path, folder: Path, with_restricted_files: bool) -> Package:
    """Copy the release, raw files and code of a package to a folder, ready to be run.

    Restricted files are included until `remove_restricted_content` removes them.

    Raises
    ------
    ReplicationError
        If the delivered files or the code do not belong to the release.
    BadConfigurationError
        If CITATION.cff is not a valid citation.
    """
    extracts = settings.extracts_dir()
    for name in ("data", "output", "logs"):
        (folder / name).mkdir(parents=True)
    with open_read_only(release, allowed_folders=[folder]) as connection:
        manifest = load_manifest(connection)
        _require_deliveries(manifest, extracts)
        raw_files = _list_raw_files(connection, extracts, with_restricted_files)
        curve = "select coalesce(max(draws), 0) from estimates.est_specification_curve_joint"
        ((draws,),) = connection.execute(curve).fetchall()
        connection.sql(SQL["observations"]).write_csv(str(folder / OBSERVATIONS))
        (folder / terms.DATA_LICENCE).write_text(
            terms.format_data_licence(connection), encoding="utf-8"
        )
        allowed_keys = _find_allowed_keys(connection, manifest)
    _write_code(manifest, folder / CODE)
    # The exhibits are computed from this copy, so that they contain only values that the packaged
    # release contains.
    if with_restricted_files:
        shutil.copyfile(release, folder / RELEASE)
    else:
        terms.write_public_copy(release, folder / RELEASE)
    for file in raw_files:
        _copy_file(extracts.parent / file["path"], folder / RAW / file["path"])
    _write_log(manifest, folder / LANDING)
    rows.write_rows(folder / RAW_FILES, raw_files, RAW_COLUMNS)
    with open_read_only(folder / RELEASE, allowed_folders=[folder]) as connection:
        exhibits = list_exhibits(connection)
        for name, query in _format_queries(exhibits).items():
            connection.sql(query).write_csv(str(folder / "output" / f"{name}.csv"))
    for _, figure in study_package.read_constant("FIGURES", {}).values():
        study_package.load_module(figure).write_figure(
            folder / RELEASE, folder / f"output/{figure}.svg"
        )
    for name, file_format in {"data": "csv", "output": "latex"}.items():
        exports.export(folder / RELEASE, folder / name, file_format)
    package = Package(
        folder,
        release,
        manifest,
        raw_files,
        with_restricted_files,
        int(draws),
        exhibits,
        allowed_keys,
    )
    _write_run(package, extracts.name)
    shutil.copyfile(folder / CODE / "LICENSE", folder / "LICENSE")
    if not citation.read_citation(folder / _find_project_folder()).absence:
        shutil.copyfile(folder / _find_project_folder() / citation.FILE, folder / citation.FILE)
    rows.write_rows(folder / programs.PROGRAMS, programs.list_programs(folder), programs.COLUMNS)
    return package


def remove_restricted_content(package: Package) -> None:
    """Remove files and values that may not be redistributed from a package."""
    folder = package.folder
    for file in package.raw_files:
        if not file["is_included"]:
            (folder / RAW / file["path"]).unlink()
    if not package.with_restricted_files:
        with open_read_only(folder / RELEASE) as connection:
            withheld_rows = withholding.read_withheld_rows(connection)
        tables = {row["table_name"] for row in withheld_rows}
        # Withheld city values are published as summary statistics. Tables computed from city values
        # are compared in their public form, without restricted values.
        if names := sorted(name for name in tables if name.startswith("marts.")):
            (folder / PANEL).unlink(missing_ok=True)
            withheld.write_summary(folder / WITHHELD, package.release, names)
        # Remove the rows of replaced files, but keep their log, which contains no values.
        for stored_folder in (folder / LANDING).glob("*"):
            if stored_folder.name not in {"log", *package.allowed_keys}:
                shutil.rmtree(stored_folder)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def write_readme(package: Package, run_time: str, signature: rights.Signature | None) -> None:
    """Write README.md in the template shared by the data editors of social-science journals."""
    folder, files = package.folder, package.raw_files
    study_citation = citation.read_citation(folder)
    paper = study_citation.paper
    sources: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for file in files:
        if file["provider"]:
            sources.setdefault(tuple(file[name] for name in SOURCE_COLUMNS), []).append(file)
    citations = {
        tuple(file[name] for name in CITATION_COLUMNS) for file in files if file["citation_en"]
    }
    with (folder / OBSERVATIONS).open(encoding="utf-8", newline="") as counts:
        observations = list(csv.reader(counts))
    text = _render(
        "README.template.md",
        title=study_citation.title or package.manifest.extract_set,
        uncited=Catalogue.load().texts["use_uncited"][0] if study_citation.absence else "",
        paper=paper and dict.fromkeys(OPTIONAL_CITATION_FIELDS, "") | dict(paper),
        missing=citation.find_missing_fields(paper) if paper else [],
        own_licence=terms.ESTIMATES_LICENCE.sentence,
        manifest=package.manifest,
        is_synthetic=package.manifest.extract_set_kind == SYNTHETIC,
        run_time=run_time,
        machine=describe_machine(),
        statements=rights.STATEMENTS,
        signature=signature,
        form=rights.FORM.format(manifest=package.manifest),
        drawing=programs.find_random_programs(folder),
        overview={
            name: text
            for name, text in OVERVIEW.items()
            if name in WRITTEN_AFTER_README or (folder / name).exists()
        },
        files=[
            {**file, "folder": str(Path(file["path"]).parent), "provider": file["provider"] or ""}
            for file in files
        ],
        absent=[file for file in files if not file["is_included"]],
        restricted=[file for file in files if file["is_restricted"]],
        sources=sources,
        citations=sorted(citations),
        observations=observations,
        python=platform.python_version(),
        permutations=package.permutations,
        exhibits=package.exhibits,
        models={
            path.stem: {
                "path": path.relative_to(folder).as_posix(),
                "lines": len(path.read_text(encoding="utf-8").splitlines()),
            }
            for path in programs.find_models(folder)
        },
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def read_exhibits(release: Path) -> list[Exhibit]:
    """Return the exhibits (tables and figures) of a release file.

    Raises
    ------
    DatabaseError
        If the file is not a release.
    """
    with open_read_only(release) as connection:
        return list_exhibits(connection)


def list_exhibits(connection: DuckDBPyConnection) -> list[Exhibit]:
    """Return the exhibits of an open release: printed tables, figures and verdicts."""
    tables = [
        Exhibit(name, f"rpt_{table_id}", f"{table_id}.tex")
        for table_id, name in cells.read_table_names(connection).items()
    ]
    figures = [
        Exhibit(name, table, f"{figure}.svg")
        for name, (table, figure) in study_package.read_constant("FIGURES", {}).items()
    ]
    return [
        *tables,
        *figures,
        *(Exhibit(*entry) for entry in study_package.read_constant("EXHIBITS", ())),
        Exhibit(
            "Every printed number beside its estimate",
            "rpt_replication_scorecard",
            "replication_scorecard.csv",
        ),
        Exhibit("What the designs of each printed column say together", "rpt_claims", "claims.csv"),
        Exhibit("Verdict of each design", "rpt_verdicts", "verdicts.csv"),
    ]


def require_raw_files(folder: Path) -> None:
    """Raise if data/raw_files.csv in an unpacked package is invalid.

    Raises
    ------
    ReplicationError
        If data/raw_files.csv lacks a column or names a file outside the package.
    """
    with (folder / RAW_FILES).open(encoding="utf-8", errors="replace", newline="") as file:
        missing = ", ".join(sorted({*RAW_COLUMNS} - {*next(csv.reader(file), [])}))
    if missing:
        raise ReplicationError(
            f"{RAW_FILES} lacks the columns {missing}, so this zip file is not a replication"
            " package."
        )
    root = (folder / RAW).resolve()
    for row in read_raw_files(folder):
        if not (root / row["path"]).resolve().is_relative_to(root):
            raise ReplicationError(
                f"{RAW_FILES}: the path {row['path']} points outside the package, so the package"
                " cannot be checked. Ask the author of the package for a corrected zip file."
            )


def require_release(folder: Path) -> None:
    """Raise if an unpacked package does not contain a readable release.

    Raises
    ------
    ReplicationError
        If the file is missing, damaged or not a release; the message explains which.
    """
    try:
        database = databases.read_database(folder / RELEASE)
    except databases.DatabaseError as error:
        reason = str(error).replace(f"{folder}/", "")
        raise ReplicationError(
            f"{RELEASE} cannot be read as a release, so the package cannot be checked. {reason}"
        ) from error
    if database.release_id is None:
        raise ReplicationError(
            f"{RELEASE} is not a release, so this zip file is not a replication package."
        )


def read_raw_files(folder: Path) -> list[dict[str, str]]:
    """Return the rows of data/raw_files.csv, which lists the delivered files of a package."""
    return rows.read_rows(folder / RAW_FILES)


def _format_queries(exhibits: list[Exhibit]) -> dict[str, str]:
    """Return the SQL query of each exhibit written as CSV, keyed by file name without suffix."""
    files = {Path(exhibit.file_name): exhibit.table for exhibit in exhibits}
    return {
        path.stem: f"from reports.{table} order by all"
        for path, table in files.items()
        if path.suffix == ".csv"
    }


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _require_deliveries(manifest: Manifest, extracts: Path) -> None:
    hashes = fingerprint.hash_deliveries(extracts)
    differing_paths = sorted(
        {name for name, _ in hashes.items() ^ manifest.delivery_hashes.items()}
    )
    if differing_paths:
        count, example = len(differing_paths), differing_paths[0]
        raise ReplicationError(
            f"{extracts} does not contain the files of release {manifest.release_id}: {count} files"
            f" differ, such as {example}. Set EXTRACTS_DIR to the folder of extract set"
            f" {manifest.extract_set}, or refresh and package the new release."
        )


def _write_code(manifest: Manifest, folder: Path) -> None:
    """Write the code of a release, from its git commit or from a clone with the same code."""
    root = settings.engine_root()
    folder.mkdir()
    git = ["git", "-C", str(root)]
    excluded_paths = [":!studies"] if root == settings.project_root() else []
    pathspecs = [*RUN_PATHSPECS, *excluded_paths]
    # A commit ID that ends in + had uncommitted changes, and git cannot resolve it.
    archive_command = [*git, "archive", manifest.git_commit or "+", "--", *pathspecs]
    archive = subprocess.run(archive_command, capture_output=True, check=False)
    if not archive.returncode:
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
        return
    if manifest.fingerprint != fingerprint.compute_fingerprint(manifest.delivery_hashes):
        commit = manifest.git_commit or "an unknown commit"
        raise ReplicationError(
            f"Release {manifest.release_id} was built from the code at {commit}, which is not in"
            " this clone and differs from the current code. Check out the commit of the release and"
            " install its locked packages, or refresh and package the new release."
        )
    options = ["-z", "--cached", "--others", "--exclude-standard"]
    list_command = [*git, "ls-files", *options, "--", *pathspecs]
    listing = subprocess.run(list_command, capture_output=True, check=False)
    if listing.returncode:
        raise ReplicationError(
            f"{root} is not a git clone of the project, so the code cannot be packed. Run the"
            " command in a git clone."
        )
    for name in listing.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            _copy_file(root / name, folder / name)


def _find_project_folder() -> Path:
    """Return the path of the study's project folder within a package."""
    return Path(CODE, os.path.relpath(settings.project_root(), settings.engine_root()))


def _list_raw_files(
    connection: DuckDBPyConnection, extracts: Path, with_restricted_files: bool
) -> list[dict[str, Any]]:
    """Return one record per delivered file, with the metadata that its provider declared."""
    deliveries = duckdb_client.fetch_rows(
        connection,
        SQL["raw_files"],
    )
    files = []
    for path, digest in fingerprint.hash_deliveries(extracts).items():
        # The path of an archive member begins with the path of its archive.
        parts = [row for row in deliveries if f"{row['file_path']}/".startswith(f"{path}/")]
        # The package's author wrote the description file. Undeclared files may not be
        # redistributed.
        may_be_passed_on = path == DESCRIPTION or (
            bool(parts) and all(row["may_be_passed_on"] for row in parts)
        )
        file = dict.fromkeys(RAW_COLUMNS, "") | {
            key: parts[0][key] for key in DECLARED_COLUMNS if parts
        }
        holder = file["address"] or file["republished_by"] or file["publisher"] or "its provider"
        how_to_obtain = ("in this package", "在本复现包内")
        if not may_be_passed_on:
            how_to_obtain = (
                f"from {holder}: the file with this SHA-256",
                f"向{holder}获取：SHA-256与此相同的文件",
            )
        files.append(
            {
                **file,
                "path": f"{extracts.name}/{path}",
                "sha256": digest,
                "bytes": (extracts / path).stat().st_size,
                "records": sum(row["records"] for row in parts),
                "provenance_class": ", ".join(sorted({row["provenance_class"] for row in parts})),
                "is_restricted": not may_be_passed_on,
                "is_included": may_be_passed_on or with_restricted_files,
                "how_to_obtain_en": how_to_obtain[0],
                "how_to_obtain_zh": how_to_obtain[1],
            }
        )
    return files


def _write_log(manifest: Manifest, folder: Path) -> None:
    """Copy the delivery log of the extract set, and the stored rows of replaced deliveries."""
    landing = settings.landing_dir()
    events = log.read_events(landing, manifest.extract_set)
    if not events:
        return
    present = set(manifest.delivery_hashes.values())
    for event in events:
        if event["event"] == "delivered" and event["delivery_id"] not in present:
            stored_folder = landing / event["store_key"]
            if stored_folder.is_dir():
                shutil.copytree(stored_folder, folder / event["store_key"], dirs_exist_ok=True)
    files = {
        name: digest
        for digests in checksums.read_checksums(landing).values()
        for name, digest in digests.items()
        if (folder / name).is_file()
    }
    log.append_line(
        folder, lambda lines: {"files": files, "deliveries": {manifest.extract_set: events}}
    )
    declared_revisions.append_revisions(
        folder, declared_revisions.read_revisions(manifest.extract_set)
    )


def _find_allowed_keys(connection: DuckDBPyConnection, manifest: Manifest) -> frozenset[str]:
    """Return the folders of the landing store whose content may be redistributed."""
    query = "select delivery_number from marts.fct_deliveries where may_be_passed_on"
    numbers = {number for (number,) in connection.execute(query).fetchall()}
    events = log.read_events(settings.landing_dir(), manifest.extract_set)
    return frozenset(
        event["store_key"]
        for event in events
        if event["number"] in numbers and "store_key" in event
    )


def _write_run(package: Package, extracts: str) -> None:
    path = package.folder / "run.sh"
    text = _render(
        "run.sh",
        project=shlex.quote(_find_project_folder().as_posix()),
        folder=shlex.quote(extracts),
        permutations=package.permutations,
        is_public=not package.with_restricted_files,
        queries=_format_queries(package.exhibits),
        figures=[figure for _, figure in study_package.read_constant("FIGURES", {}).values()],
    )
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def _render(name: str, **values: Any) -> str:
    """Render a Jinja template of this folder with the given values."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["names"] = citation.parse_names
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    template = (TEMPLATE_FOLDER / name).read_text(encoding="utf-8")
    return environment.from_string(template).render(values)


def describe_machine() -> dict[str, str]:
    """Return the processor, memory and operating system of this machine, without its name."""
    processor, info = platform.processor(), Path("/proc/cpuinfo")
    if info.exists():
        model = re.search(r"^model name\s*: (.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        processor = model[1] if model else processor
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.mac_ver()[0] or platform.version()
    return {
        "processor": f"{processor} ({platform.machine()})",
        "threads": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{system}, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
