"""The cycle of a refresh: lock, land and build in private, audit, write the release, publish."""

import ctypes
import hashlib
import importlib.metadata
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ai_manufacturing import landing, settings
from ai_manufacturing.durable import sync
from ai_manufacturing.landing.extracts import DESCRIPTION, walk
from ai_manufacturing.releases import changes, freshness, lock, writer
from ai_manufacturing.releases.errors import (
    BadConfigurationError,
    BuildFailedError,
    GateFailedError,
    HeldError,
    NothingNewError,
    RefreshError,
    StaleError,
)
from ai_manufacturing.releases.store import Manifest, Store, check, read_manifest, reading

PACKAGES = (
    "dbt-core",
    "dbt-duckdb",
    "duckdb",
    "esda",
    "great-expectations",
    "linearmodels",
    "numpy",
    "pandas",
    "scipy",
)
CODE = ("dbt_project.yml", "profiles.yml", "models", "python_models", "macros", "seeds", "expectations", "tests", "src")
PRINTED = 1200  # characters of failing rows in a message; all of them are in the report of the held build
LISTED = 5  # records
PUBLISHED = ("published", "published by hand")  # in the log of refreshes
LANDED = "landed_sources"  # the suite on what landing set aside
GATE_TEST = "no_critical_failure_gate_results"
SET_PARENT_DEATH_SIGNAL = 1  # of Linux' prctl

Report = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Limits:
    """When a refresh whose estimates move is published with a warning, and when it is held; in standard errors.

    An estimate that is lost is beyond any limit that is set.
    """

    warn_above: float = math.inf
    hold_above: float = math.inf


def refresh(store: Store, limits: Limits, report: Report, years: range | None = None) -> Manifest:
    """Build what the deliveries give and publish it, if there is something new and nothing wrong.

    Parameters
    ----------
    store : Store
        Where releases go.
    limits : Limits
        How far estimates may move.
    report : callable
        Takes an event and its facts: progress for a terminal, or lines for a log.
    years : range, optional
        Read the delivered files of these years again, and publish even if nothing is new.

    Returns
    -------
    Manifest
        Of the release that is now published.

    Raises
    ------
    RefreshError
        One of errors.py; readers then still see the release that they saw, but for StaleError, which comes last.
    """
    with _at_work(store, report):
        freshness.allowed_ages()  # a wrong declaration is told before the build
        hashes = delivery_hashes(settings.extracts_dir())
        code = fingerprint(hashes)
        if years is None:
            _leave_what_was_judged(store, code, limits, report)
        release_id = store.next_id()
        report("started", {"release_id": release_id, "deliveries": len(hashes)})
        try:
            manifest = _build_and_publish(store, release_id, code, hashes, limits, report, years)
        except RefreshError as error:
            store.record(
                {"release_id": release_id, "at": _now(), "outcome": type(error).__name__, "message": str(error)}
            )
            raise
        _tell_late_providers(store, report, f"Release {release_id} is published.", is_published=True)
        return manifest


def _leave_what_was_judged(store: Store, code: str, limits: Limits, report: Report) -> None:
    """End a refresh that would build a release again that is published, was rolled back, or is held."""
    published = store.current()
    same = "same deliveries, code and packages"
    nothing = None
    if published is not None and published.fingerprint == code:
        nothing = f"Nothing new since release {published.release_id}: {same}."
    elif published is not None:
        number = _taken_back(store, code, published.release_id)
        if number is not None:
            nothing = (
                f"Nothing new since release {number}: {same}. It was taken back for {published.release_id}; to publish "
                f"it again: ai-manufacturing rollback {number}."
            )
    if nothing is not None:
        _tell_late_providers(store, report, nothing, is_published=False)
        raise NothingNewError(nothing)
    judged_by = _judged_by(published, limits)
    for folder in sorted((store.folder / "held").glob("*")):
        try:
            kept = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # a build that is not whole judges nothing
            continue
        is_same = kept["outcome"] == GateFailedError.__name__ or kept.get("judged_by") == judged_by
        if kept["manifest"]["fingerprint"] == code and is_same:
            message = (
                f"Nothing new since build {folder.name}, which is held: {same}. {folder / 'report.json'} says why. "
                f"Publish it nevertheless: ai-manufacturing publish {folder.name} --reason '...'; or delete its folder "
                "to have it judged again."
            )
            if kept["outcome"] == HeldError.__name__:
                raise HeldError(message)
            raise GateFailedError(message, folder.name)


def _taken_back(store: Store, code: str, published: str) -> str | None:
    """Return the release of the same fingerprint that was published after the present one, and rolled back."""
    for line in store.refreshes():
        number = line["release_id"]
        if line["outcome"] in PUBLISHED and number > published and store.past(number).exists():
            with suppress(RefreshError):  # a damaged file
                if read_manifest(store.past(number)).fingerprint == code:
                    return number
    return None


def _judged_by(published: Manifest | None, limits: Limits) -> list[Any]:
    """Return what a build is held by, beside its own content."""
    return [published.release_id if published else None, str(limits.hold_above)]


def publish_held(store: Store, release_id: str, reason: str, report: Report) -> Manifest:
    """Publish a held build by hand.

    Parameters
    ----------
    store : Store
        Where releases go.
    release_id : str
        Number of the held build.
    reason : str
        Kept in the manifest.
    report : callable
        As in refresh.

    Returns
    -------
    Manifest
        Of the release that is now published.

    Raises
    ------
    RefreshError
        If there is no such build, or it has no estimates and they cannot be made.
    """
    if not reason.strip():
        raise BadConfigurationError("A held build is published with a reason: --reason '...'.")
    with _at_work(store, report):
        folder = store.held(release_id)
        if not (folder / "report.json").exists():
            known = ", ".join(sorted(path.name for path in (store.folder / "held").glob("*"))) or "none"
            raise BadConfigurationError(f"No held build {release_id}. There are: {known}.")
        kept = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        at_gate = kept["outcome"] == GateFailedError.__name__
        # what the gate stopped is estimated now, by the code of now
        if at_gate and fingerprint(kept["manifest"]["delivery_hashes"]) != kept["manifest"]["fingerprint"]:
            raise BadConfigurationError(
                f"{release_id} has no estimates yet, and the code, its packages or the extract set are others now than "
                f"when it was built at commit {kept['manifest']['git_commit'] or 'unknown'}. Go back to them, or "
                "refresh again."
            )
        work = store.work / release_id
        work.mkdir()
        warehouse = work / "warehouse.duckdb"
        shutil.copyfile(folder / "warehouse.duckdb", warehouse)
        if at_gate and _dbt(work, warehouse, "build", "--select", "gate_results+", accepted=reason):
            raise BuildFailedError(f"The estimates of {release_id} could not be built.\n{_tail(work)}")
        described = {**kept["manifest"], "published_by": "hand", "reason": reason, "published_at": _now()}
        manifest = _publish(store, release_id, warehouse, described, report)
        shutil.rmtree(folder)
        return manifest


def rollback(store: Store, release_id: str, report: Report) -> Manifest:
    """Publish a past release again.

    Parameters
    ----------
    store : Store
        Where releases go.
    release_id : str
        Number of the release.
    report : callable
        As in refresh.

    Returns
    -------
    Manifest
        Of the release that is now published.

    Raises
    ------
    RefreshError
        If there is no such release, or its content is not what its manifest says.
    """
    with _at_work(store, report):
        if release_id not in store.release_ids():
            raise BadConfigurationError(
                f"No release {release_id}. There are: {', '.join(store.release_ids()) or 'none'}."
            )
        manifest = check(store.past(release_id))
        store.publish(release_id)
        store.record({"release_id": release_id, "at": _now(), "outcome": "rolled back to"})
        build_site(store, report)
        return manifest


def delivery_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every delivered file, and of extract_set.yml, by its path below the extracts folder.

    Raises
    ------
    BadConfigurationError
        If there is no such folder, or with one line for each file, folder or link in it that cannot be read.
    """
    try:
        landing.extract_set(folder)
    except landing.LandingError as error:
        raise BadConfigurationError(str(error)) from error
    faults: list[str] = []
    paths = {file_path: path for path, file_path in walk(folder, faults) if path.is_file()}
    if (folder / DESCRIPTION).is_file():
        paths[DESCRIPTION] = folder / DESCRIPTION
    hashes = {}
    for file_path in sorted(paths):
        try:
            hashes[file_path] = _sha256(paths[file_path])
        except OSError as error:
            faults.append(f"{file_path}: cannot be read ({error.strerror}). Correct its permissions.")
    if faults:
        raise BadConfigurationError("\n".join(faults))
    return hashes


def fingerprint(hashes: dict[str, str]) -> str:
    """Return the hash of all that the tables are a function of: deliveries, code and package versions.

    Raises
    ------
    BadConfigurationError
        If there is no extracts folder.
    """
    root = settings.project_root()
    paths = [path for name in CODE for path in (root / name, *(root / name).rglob("*"))]
    code = {str(path.relative_to(root)): _sha256(path) for path in sorted(set(paths)) if _is_code(path)}
    try:
        extract_set = landing.extract_set(settings.extracts_dir()).name
    except landing.LandingError as error:
        raise BadConfigurationError(str(error)) from error
    decides = [extract_set, hashes, code, package_versions()]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def package_versions() -> dict[str, str]:
    """Return the versions that the numbers depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _is_code(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc" and ".egg-info" not in str(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat("T", "seconds")


@contextmanager
def _at_work(store: Store, report: Report) -> Iterator[None]:
    """Hold the lock over a store that is ready; whatever the disk refuses then is told, and what readers see."""
    with lock.held(store.folder / "refresh.lock"):
        store.prepare()
        before = _file_number(store.published)
        try:
            _warn_of_log(store.move_log_aside(), report)
            yield
        except OSError as error:
            if _file_number(store.published) == before:
                seen = "The published release is as it was"
            else:
                seen = "The new release is published; what follows that was not done"
            raise RefreshError(
                f"{error.filename or store.folder}: {error.strerror}. {seen}. Make room there, restore it or correct "
                "its permissions, and refresh again."
            ) from error


def _file_number(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _warn_of_log(aside: Path | None, report: Report) -> None:
    if aside is not None:
        report("warning", {"message": f"Someone had written to the published file; the log was moved to {aside}."})


def _tell_late_providers(store: Store, report: Report, outcome: str, is_published: bool) -> None:
    """Warn of providers that are late, and fail for those that are stale, whatever the refresh did."""
    found = freshness.of_release(store.published)
    for provider in found:
        if provider.is_late and not provider.is_stale:
            report("warning", {"message": f"{provider}."})
    stale = [str(provider) for provider in found if provider.is_stale]
    if stale:
        lines = [outcome, *(f"{line}. Ask for a delivery, or allow more." for line in stale)]
        raise StaleError("\n".join(lines), is_published)


def _read_again(years: range, report: Report) -> None:
    try:
        paths = landing.land_again(years)
    except landing.LandingError as error:
        raise BuildFailedError(f"The published release is as it was.\n{error}") from error
    report("read again", {"years": _named(years), "files": len(paths)})


def _named(years: range) -> str:
    return f"{years.start}:{years.stop - 1}"


def _build_and_publish(
    store: Store,
    release_id: str,
    code: str,
    hashes: dict[str, str],
    limits: Limits,
    report: Report,
    years: range | None,
) -> Manifest:
    work = store.work / release_id
    work.mkdir()
    warehouse = work / "warehouse.duckdb"
    if years is not None:
        _read_again(years, report)
    failed = _dbt(work, warehouse, "build")
    _check_unchanged(hashes, code)
    described = {
        "release_id": release_id,
        "published_at": _now(),
        "git_commit": _git_commit(),
        "fingerprint": code,
        "published_by": "refresh",
        "reason": "" if years is None else f"years {_named(years)} read again",
        "delivery_hashes": hashes,
        "package_versions": package_versions(),
    }
    if failed:
        described |= _from_warehouse(warehouse)
        if _failed_at_the_gate(work):
            _warn_of_deliveries(warehouse, report)
            failures = _gate_failures(warehouse, "critical")
            _hold(store, release_id, warehouse, GateFailedError.__name__, described, failures, limits)
            raise GateFailedError(
                "\n".join(
                    [
                        f"The gate holds back release {release_id}; the published one is as it was.",
                        *map(_said, failures),
                        *_lost_records(warehouse, failures),
                        f"Held in {store.held(release_id)}: query warehouse.duckdb there. Publish it nevertheless: "
                        f"ai-manufacturing publish {release_id} --reason '...'.",
                    ]
                ),
                release_id,
            )
        raise BuildFailedError(f"dbt failed; the published release is as it was.\n{_tail(work)}")
    report("built", {"release_id": release_id})
    _warn_of_deliveries(warehouse, report)
    described |= _from_warehouse(warehouse)
    target, manifest = _write(store, release_id, warehouse, described)
    summary = changes.recorded(target)
    report("changes", {"counts": summary.counts, "largest_move": summary.largest_move, "lines": list(summary.lines)})
    if years is not None and (others := changes.outside(target, years)).lines:
        report("warning", {"message": f"Other years than {_named(years)} changed too. {'; '.join(others.lines)}."})
    if summary.is_beyond(limits.hold_above):
        _hold(store, release_id, warehouse, HeldError.__name__, described, list(summary.lines), limits)
        raise HeldError(
            f"{summary.moved}, more than REFRESH_HOLD_ABOVE ({limits.hold_above:g}) allows; the published release is "
            f"as it was. Held in {store.held(release_id)}. Publish it nevertheless: "
            f"ai-manufacturing publish {release_id} --reason '...'."
        )
    if summary.is_beyond(limits.warn_above):
        report("warning", {"message": f"{summary.moved}."})
    _put(store, manifest, target, report)
    return manifest


def _publish(store: Store, release_id: str, warehouse: Path, described: dict[str, Any], report: Report) -> Manifest:
    target, manifest = _write(store, release_id, warehouse, described)
    _put(store, manifest, target, report)
    return manifest


def _write(store: Store, release_id: str, warehouse: Path, described: dict[str, Any]) -> tuple[Path, Manifest]:
    # Not named release: a catalog of that name could not be told from the schema.
    target = store.work / release_id / "unpublished.duckdb"
    previous = store.published if store.published.exists() else None
    return target, writer.write(warehouse, target, described, previous)


def _put(store: Store, manifest: Manifest, target: Path, report: Report) -> None:
    """Move a written release to its place and before its readers."""
    release_id = manifest.release_id
    made_of = manifest.extract_set + (
        " (SYNTHETIC: invented numbers)" if manifest.extract_set_kind == "synthetic" else ""
    )
    store.add(target, release_id)
    _warn_of_log(store.publish(release_id), report)
    by_hand = manifest.published_by == "hand"
    outcome = {"outcome": PUBLISHED[by_hand]} | ({"reason": manifest.reason} if by_hand else {})
    store.record({"release_id": release_id, "at": _now(), **outcome})
    pruned = store.prune()
    told = {"release_id": release_id, "path": str(store.published), "extract_set": made_of, "pruned": pruned}
    report("published", told)
    shutil.rmtree(store.work / release_id)
    build_site(store, report)


def build_site(store: Store, report: Report) -> None:
    """Build the site of what is published, where SITE_DIR names a folder; a failure leaves release and old site."""
    folder = settings.site_dir()
    if folder is None:
        return
    run = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "ai-manufacturing"), "report"),
            *("--release", str(store.published), "--out", str(folder)),
        ],
        cwd=settings.project_root(),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        message = f"{folder}: the site could not be built, and is as it was. {run.stderr.strip()[-PRINTED:]}"
        report("warning", {"message": message})
    else:
        report("site", {"path": str(folder)})


def _dbt(work: Path, warehouse: Path, *arguments: str, accepted: str = "") -> bool:
    """Run dbt in a process of its own, whose write lock ends with it; return whether it failed."""
    environment = {
        **os.environ,
        "WAREHOUSE_PATH": str(warehouse),
        "DBT_TARGET_PATH": str(work / "target"),
        "DBT_LOG_PATH": str(work / "logs"),
        "ACCEPTED_GATE_FAILURES": accepted,
    }
    with (work / "dbt.txt").open("w", encoding="utf-8") as output:
        run = subprocess.run(
            [str(Path(sys.executable).parent / "dbt"), "--no-use-colors", *arguments],
            cwd=settings.project_root(),
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
    return run.returncode != 0


def _die_with_parent() -> None:
    """Let no dbt outlive a refresh that was killed: it would write into the work of the next one."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _failed_at_the_gate(work: Path) -> bool:
    path = work / "target" / "run_results.json"
    if not path.exists():
        return False
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return any(GATE_TEST in result["unique_id"] and result["status"] == "fail" for result in results)


def _gate_failures(warehouse: Path, severity: str) -> list[dict[str, Any]]:
    with reading(warehouse) as connection:
        cursor = connection.execute(
            "select suite, description, severity, observed_value, failing_rows "
            "from gates.gate_results where not success and severity = ? order by all",
            [severity],
        )
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _said(failure: dict[str, Any]) -> str:
    return f"{failure['suite']}: {failure['description']} Rows: {(failure['failing_rows'] or 'none listed')[:PRINTED]}"


def _lost_records(warehouse: Path, failures: list[dict[str, Any]]) -> list[str]:
    """Return records that the failing sources lost, where they stand and why, those of the rarest reasons first."""
    listed = [failure["failing_rows"] or "[]" for failure in failures if failure["suite"] == LANDED]
    sources = {f"{row['provider']}.{row['source_name']}" for rows in listed for row in json.loads(rows)}
    if not sources:
        return []
    with reading(warehouse) as connection:
        found = connection.execute(
            f"""
            with aside as (
                select provider, source_name, file_path, row_number, column_name, value, reason
                from raw.rejected_rows
                where delivery_number in (select delivery_number from raw.deliveries where valid_until_delivery is null)
                union all
                select provider, source_name, file_path, row_number, null, coalesce(city_name, city_code), reason
                from (select *, set_aside_reason as reason from marts.fct_rows_set_aside)
                where reason not in ('superseded', 'withdrawn')
            )

            select file_path, row_number, column_name, value, reason
            from aside
            where list_contains(?, provider || '.' || source_name)
            order by count(*) over (partition by provider, source_name, reason), file_path, row_number, column_name
            limit {LISTED + 1}
            """,
            [sorted(sources)],
        ).fetchall()
    lines = [
        f"{path}, row {row}{f', column {column}' if column else ''}: {json.dumps(value, ensure_ascii=False)[:PRINTED]} "
        f"is set aside ({reason})."
        for path, row, column, value, reason in found[:LISTED]
    ]
    more = "More are in raw.rejected_rows and marts.fct_rows_set_aside."
    return [*lines, more] if len(found) > LISTED else lines


def _warn_of_deliveries(warehouse: Path, report: Report) -> None:
    """Tell what the gate let pass with a warning, and which files nobody reads: none of it is in a release."""
    for failure in _gate_failures(warehouse, "warning"):
        report("warning", {"message": _said(failure)})
    with reading(warehouse) as connection:
        files = connection.execute(
            "select file_path, hint from raw.deliveries where source_name is null order by file_path"
        ).fetchall()
    if files:
        named = "; ".join(f"{path}{f': {hint}' if hint else ''}" for path, hint in files)
        message = f"{len(files)} delivered files are in no table: {named}"
        report("warning", {"message": f"{message[:PRINTED]}. Declare, rename or remove them."})


def _from_warehouse(warehouse: Path) -> dict[str, Any]:
    """Return what the manifest says of a warehouse's content; empty of what was not built."""
    found: dict[str, Any] = {"extract_set": "", "extract_set_kind": "", "gate_summary": {}}
    if not warehouse.exists():
        return found
    with reading(warehouse) as connection:
        try:
            found["extract_set"], found["extract_set_kind"] = connection.execute(
                "select extract_set, extract_set_kind from raw.deliveries limit 1"
            ).fetchall()[0]
            expectations, critical, warnings = connection.execute(
                "select count(*), count(case when not success and severity = 'critical' then 1 end), "
                "count(case when not success and severity = 'warning' then 1 end) from gates.gate_results"
            ).fetchall()[0]
            found["gate_summary"] = {"expectations": expectations, "critical": critical, "warnings": warnings}
        except (duckdb.CatalogException, IndexError):
            return found
    return found


def _hold(
    store: Store,
    release_id: str,
    warehouse: Path,
    outcome: str,
    described: dict[str, Any],
    found: list[Any],
    limits: Limits,
) -> None:
    """Keep a build that is not published, whole or not at all."""
    incoming = store.work / f"{release_id}.held"
    incoming.mkdir()
    warehouse.replace(incoming / "warehouse.duckdb")
    judged_by = _judged_by(store.current(), limits)
    kept = {"outcome": outcome, "manifest": described, "found": found, "judged_by": judged_by}
    (incoming / "report.json").write_text(json.dumps(kept, ensure_ascii=False, indent=2), encoding="utf-8")
    sync(incoming / "report.json")
    incoming.replace(store.held(release_id))


def _check_unchanged(hashes: dict[str, str], code: str) -> None:
    """Let no release say that it was made of other files than it was: a delivery may arrive while dbt builds."""
    now = delivery_hashes(settings.extracts_dir())
    changed = sorted(path for path in hashes.keys() | now.keys() if hashes.get(path) != now.get(path))
    if changed or fingerprint(now) != code:
        raise BuildFailedError(
            f"{', '.join(changed) or 'The code'} changed while dbt built; the published release is as it was. Refresh "
            "again when all is in its place."
        )


def _git_commit() -> str:
    root = settings.project_root()
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (
        OSError,
        subprocess.CalledProcessError,
    ):  # no clone, or no git: the fingerprint still says what the code was
        return ""
    return commit + ("+" if changed else "")


def _tail(work: Path, lines: int = 30) -> str:
    text = (work / "dbt.txt").read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])
