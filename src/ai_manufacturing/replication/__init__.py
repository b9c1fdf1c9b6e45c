"""Write a replication package as a zip for a data editor, or check an existing one.

`write_package` packs the release, the delivered files that may be passed on, the code, the
exhibits and a README. It runs the package first, and writes the zip only if every number is
reproduced. `check_package` repeats this run for a zip, in an empty folder.
"""

import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ai_manufacturing.landing.errors import FileFault
from ai_manufacturing.landing.readers import containers
from ai_manufacturing.replication import contents, rerun, rights, ro_crate, rules, withheld
from ai_manufacturing.replication.errors import ReplicationError
from ai_manufacturing.system import disk, integrity

__all__ = ["CheckResult", "ReplicationError", "check_package", "write_package"]

OnMessage = Callable[[str], None]
LOG, MACHINE = "logs/run.log", "logs/machine.txt"
# Files that every package must contain; data/withheld_tables.csv and restricted files are optional.
REQUIRED_FILES = (
    rerun.COMMAND[-1],
    integrity.SUMS,
    "README.md",
    contents.RELEASE,
    contents.RAW_FILES,
    contents.LOCK,
)


class CheckResult(NamedTuple):
    """Result of checking a replication package, with one line per finding.

    Attributes
    ----------
    faults : list of str
        Damaged files, broken rules, and numbers that the run does not reproduce.
    signature_faults : list of str
        Missing parts of the signature.
    """

    faults: list[str]
    signature_faults: list[str]


def write_package(
    release: Path,
    out: Path | None,
    on_message: OnMessage,
    *,
    with_restricted_files: bool = False,
    without_run: bool = False,
    form: Path | None = None,
) -> Path:
    """Write the replication package of a release as a zip file.

    Parameters
    ----------
    release : Path
        A release file. EXTRACTS_DIR must contain the files that it was built from.
    out : Path or None
        The zip to write; by default it is in build/ and named after the release.
    on_message : callable
        Receives a line of progress.
    with_restricted_files : bool
        Whether to include restricted files, and the tables with their values.
    without_run : bool
        Whether to skip the run that verifies the package, and its log.
    form : Path, optional
        Form rights.FORM that a person filled in for this release. Without it, the package is
        unsigned.

    Returns
    -------
    Path
        The zip.

    Raises
    ------
    ReplicationError
        If files or code do not belong to the release, the form is invalid, or the run gives other
        numbers. No zip is written then.
    """
    with tempfile.TemporaryDirectory(prefix="replication-") as scratch:
        folder = Path(scratch).resolve() / "package"
        folder.mkdir()
        package = contents.assemble_package(release, folder, with_restricted_files)
        out = (
            out
            or Path("build")
            / f"replication_{package.manifest.extract_set}_{package.manifest.release_id}.zip"
        )
        signature = rights.read_signature(form, package.manifest) if form else None
        run_time, log = rules.NOT_RUN, None
        if not without_run:
            on_message("Running the package to check that it reproduces every number.")
            start = time.monotonic()
            log = rerun.run_package(folder, new_environment=False).log
            run_time = f"{time.monotonic() - start:,.0f} seconds"
            if differences := rerun.find_differences(folder, release):
                raise ReplicationError(
                    "\n".join(
                        [("The run produced numbers that differ from the release."), *differences]
                    )
                )
        shutil.rmtree(folder / rerun.RERUN, ignore_errors=True)
        shutil.rmtree(folder / "code/logs", ignore_errors=True)
        contents.remove_restricted_content(package)
        if log is not None:
            (folder / "logs").mkdir(exist_ok=True)
            text = log if with_restricted_files else withheld.remove_failing_rows(log)
            (folder / LOG).write_text(text, encoding="utf-8")
            facts = contents.describe_machine() | {"run time": run_time}
            (folder / MACHINE).write_text(
                "".join(f"{name}: {fact}\n" for name, fact in facts.items()), encoding="utf-8"
            )
        contents.write_readme(package, run_time, signature)
        # Write the metadata twice: the rules check the file, and its final version lists their
        # results.
        ro_crate.write_metadata(folder, package.manifest)
        results = rules.check_rules(folder)
        rules.write_results(results, folder / rules.CHECKS)
        ro_crate.write_metadata(folder, package.manifest)
        integrity.record_folder(folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        incoming = out.with_name(f".{out.name}.incoming")
        _write_zip(folder, incoming, package.manifest.published_at)
        incoming.replace(out)
    for rule, faults in results:
        if faults:
            on_message(f"The package breaks a rule: {_format_fault(rule, faults[0])}")
    return out


def check_package(
    archive: Path,
    on_message: OnMessage,
    may_run: Callable[[str], bool],
    extracts: Path | None = None,
    new_environment: bool = False,
) -> CheckResult:
    """Unpack a replication package, rerun it in an empty folder, and compare every number.

    Parameters
    ----------
    archive : Path
        A zip that `write_package` wrote.
    on_message : callable
        Receives a line of progress.
    may_run : callable
        Receives a description of the programs, and returns whether they may run. It is called once,
        before anything runs and before any database is opened.
    extracts : Path, optional
        Folder of restricted files that were obtained separately, at their paths in
        data/raw_files.csv, with or without the leading name of the extract set.
    new_environment : bool
        See rerun.run_package.

    Returns
    -------
    CheckResult
        The findings. They are empty if the package is signed, complies with every rule and
        reproduces its numbers.

    Raises
    ------
    ReplicationError
        If the file is not a package, restricted files are missing, the user does not allow the run,
        or the run fails.
    """
    with tempfile.TemporaryDirectory(prefix="replication-") as scratch:
        folder = Path(scratch).resolve() / "package"
        folder.mkdir()
        _unpack(archive, folder)
        if damage := _find_damage(folder):
            return CheckResult(damage, [])
        contents.require_raw_files(folder)
        _add_restricted_files(folder, extracts)
        description = (
            f"`{' '.join(rerun.COMMAND)}` of {archive} (SHA-256 {integrity.sha256(archive)}),"
            f" and through it the programs in its folder {contents.CODE}. These programs come"
            " from the author of the zip, and can do anything that you can do on this machine."
            " Every file matches its SHA-256 in the zip, so the zip is complete, but this does"
            " not prove who made it."
        )
        if not may_run(description):
            raise ReplicationError(
                f"The code in {archive} was not run, so no numbers were compared. Run the command"
                " again, and confirm the run."
            )
        # Do not open the package's database until the user has agreed to run the package.
        contents.require_release(folder)
        broken_rules: list[str] = []
        signature_faults: list[str] = []
        for rule, faults in rules.check_rules(folder):
            lines = signature_faults if rule.is_signature else broken_rules
            lines += [_format_fault(rule, fault) for fault in faults]
        on_message("Every file matches its SHA-256. Running the package in an empty folder.")
        start = time.monotonic()
        run = rerun.run_package(folder, new_environment)
        on_message(
            f"The run took {time.monotonic() - start:,.0f} seconds, in an environment"
            f" {run.environment}."
        )
        differences = rerun.find_differences(folder)
        if (broken_rules or signature_faults) and not differences:
            on_message("The run reproduces every number, but the package breaks these rules:")
        return CheckResult(broken_rules + differences, signature_faults)


def _format_fault(rule: rules.Rule, fault: str) -> str:
    """Format a rule and a violation of it as one sentence."""
    return f"{rule.name.removesuffix('.')} ({fault})."


def _find_damage(folder: Path) -> list[str]:
    """Return one line per file of a package that does not match its SHA256SUMS."""
    return [line.replace(f"{folder}/", "") for line in integrity.check_folder(folder)]


def _add_restricted_files(folder: Path, extracts: Path | None) -> None:
    """Copy restricted files that the user obtained separately into an unpacked package."""
    missing = []
    for row in contents.read_raw_files(folder):
        target, path = folder / contents.RAW / row["path"], Path(row["path"])
        if target.is_file():
            continue
        places = (extracts / path, extracts / path.relative_to(path.parts[0])) if extracts else ()
        source = next(
            (
                place
                for place in places
                if place.is_file() and integrity.sha256(place) == row["sha256"]
            ),
            None,
        )
        if source is None:
            missing.append(f"{path} (SHA-256 {row['sha256']}), {row['how_to_obtain_en']}")
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    if missing:
        heading = (
            f"{len(missing)} restricted files are not in the package. Obtain them, put them into"
            " one folder, and name it with --extracts:"
        )
        raise ReplicationError("\n".join([heading, *missing]))


def _write_zip(folder: Path, target: Path, published_at: str) -> None:
    """Write a reproducible zip, whose bytes depend only on the files and the release date."""
    timestamp = datetime.fromisoformat(published_at).timetuple()[:6]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in rules.list_files(folder):
            entry = zipfile.ZipInfo(name, timestamp)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | (folder / name).stat().st_mode & 0o755) << 16
            with (
                archive.open(entry, "w", force_zip64=True) as target_file,
                (folder / name).open("rb") as source_file,
            ):
                shutil.copyfileobj(source_file, target_file)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack a replication package within size limits, preserving executable permissions.

    Raises
    ------
    ReplicationError
        If the file is not a zip or not a package, has a path outside its folder, or expands beyond
        the limits.
    """
    if archive.exists() and not archive.is_file():
        raise ReplicationError(
            f"{archive} is not a regular file. Name the zip file of a replication package."
        )
    try:
        zip_file = containers.open_archive(archive)
        if zip_file is None:
            raise ReplicationError(
                f"{archive} is not a zip file. Name a zip file that `ai-manufacturing"
                " replication-package` wrote."
            )
        with zip_file:
            members = containers.list_members(zip_file)
            if missing := ", ".join(name for name in REQUIRED_FILES if name not in members):
                raise ReplicationError(
                    f"{archive} is not a replication package, because it lacks {missing}. Name a"
                    " zip file that `ai-manufacturing replication-package` wrote."
                )
            for name, entry in members.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    file.writelines(containers.stream_member(zip_file, entry))
                target.chmod(entry.external_attr >> 16 & 0o755 | 0o600)
    except FileFault as error:
        raise ReplicationError(f"{archive}: {error}") from error
    except OSError as error:
        reason, remedy = disk.describe_failure(error, folder)
        raise ReplicationError(
            f"{archive} cannot be unpacked ({reason}). {remedy}, or name another zip file."
        ) from error
