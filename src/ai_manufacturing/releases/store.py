"""The release folder: the published file, the past ones, held builds, and the moves between them.

    RELEASE_DIR/
        ai_manufacturing.duckdb what readers open, unless RELEASE_PATH names another place
        past/000012.duckdb      releases by number; the published file is a copy of one
        held/000013/            a build that was not published: warehouse.duckdb and report.json
        work/                   the private build of a running refresh; whatever is left there is of a dead one
        refreshes.jsonl         one line per refresh that built, and per rollback
        attempts.json           when each refresh began, and how it ended (attempts.py)
        refresh.log             what refreshes reported, with times (refresh_log.py)
        traceback.txt           where the code failed the last time that neither a delivery nor the disk was the cause
        refresh.lock

The SHA-256 of each release stands beside it, that of a held build in it. Numbers order the releases; no clock does.
"""

import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import duckdb

from ai_manufacturing import checksums, duckdb_client
from ai_manufacturing.databases import Origin
from ai_manufacturing.durable import copy, make_folder, open_to_readers, replace_bytes, sync
from ai_manufacturing.releases.errors import BadConfigurationError, RefreshError
from ai_manufacturing.sql_text import identifier

JSON_COLUMNS = ("delivery_hashes", "package_versions", "row_counts", "gate_summary")
DIGITS = 6
LOG = "refreshes.jsonl"
OWN = "sha256"
DRAFT = re.compile(r"\.[0-9a-f]{32}$")
RESTORE = "Restore both from a backup, or `ai-manufacturing rollback ID` puts a past release where readers look."
ID = re.compile(rf"[0-9]{{{DIGITS}}}")


@dataclass(frozen=True)
class Manifest:
    """The one row of release.manifest. What is said of each field is also its comment in the file."""

    release_id: Annotated[str, "The release's number, six digits."]
    published_at: Annotated[str, "UTC; it decides nothing."]
    git_commit: Annotated[str, "Commit of the code, with + if files differ from it; empty outside a clone."]
    extract_set: Annotated[str, "Whose numbers these are."]
    extract_set_kind: Annotated[str, "synthetic or delivered."]
    fingerprint: Annotated[str, "Hash of deliveries, code and packages, which determine the tables."]
    published_by: Annotated[str, "refresh, or hand for a held build."]
    reason: Annotated[str, "Why a held build was published, years read again, declared revisions; else empty."]
    delivery_hashes: Annotated[dict[str, str], "SHA-256 by delivered path, JSON."]
    package_versions: Annotated[dict[str, str], "Versions of the packages that the numbers depend on, JSON."]
    row_counts: Annotated[dict[str, int], "Rows by table, JSON."]
    gate_summary: Annotated[
        dict[str, int], "Expectations, failures by severity, and those with nothing to check, JSON."
    ]

    @property
    def origin(self) -> Origin:
        """Whose numbers these are."""
        return Origin(self.extract_set, self.extract_set_kind)


MANIFEST_COMMENTS = {name: hint.__metadata__[0] for name, hint in get_type_hints(Manifest, include_extras=True).items()}
MANIFEST_COLUMNS = tuple(MANIFEST_COMMENTS)


@dataclass(frozen=True)
class Store:
    """A release folder and how it is kept.

    Attributes
    ----------
    folder : Path
        RELEASE_DIR.
    published : Path
        The file that readers open, symbolic links resolved.
    kept : int
        Past releases kept, the published one among them; the one before it is never pruned. As many held builds are
        kept.
    """

    folder: Path
    published: Path
    kept: int = 10

    @property
    def work(self) -> Path:
        """Folder of private builds."""
        return self.folder / "work"

    @property
    def lock(self) -> Path:
        """The file that whoever changes the store holds locked."""
        return self.folder / "refresh.lock"

    def past(self, release_id: str) -> Path:
        """Return the file of a release by its number."""
        return self.folder / "past" / f"{checked_id(release_id)}.duckdb"

    def held(self, release_id: str) -> Path:
        """Return the folder of a held build."""
        return self.folder / "held" / checked_id(release_id)

    def prepare(self) -> list[str]:
        """Make the folders, and remove what a dead refresh left. Only the holder of the lock may call this.

        Returns
        -------
        list of str
            What was removed or mended, each with its path.

        Raises
        ------
        BadConfigurationError
            If the folders cannot be made or written to.
        """
        try:
            for name in ("past", "held", "work"):
                make_folder(self.folder / name)
            make_folder(self.published.parent)
            incoming = glob.escape(f".{self.published.name}.")
            hidden = (path for name in (".", "past") for path in (self.folder / name).glob(".*"))
            drafts = [path for path in hidden if DRAFT.search(path.name)]
            left = dict.fromkeys((*self.work.iterdir(), *self.published.parent.glob(f"{incoming}*"), *drafts))
            for path in left:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            done = [*(f"{path}: left by a dead refresh; removed" for path in left), *self._settle()]
        except OSError as error:
            raise BadConfigurationError(
                f"{error.filename or self.folder}: {error.strerror}. Set RELEASE_DIR to a folder that this user may "
                "write to."
            ) from error
        if not os.access(self.published.parent, os.W_OK | os.X_OK):
            raise BadConfigurationError(
                f"{self.published.parent}: not writable. Set RELEASE_PATH to a file in a folder that this user may "
                "write to."
            )
        return done

    def _settle(self) -> list[str]:
        """Bring files and hashes together where a dead refresh, or an earlier version, left one without the other."""
        done = []
        for sums in (self.folder / "past").glob(f"*.duckdb{checksums.SUFFIX}"):
            if not sums.with_suffix("").exists():
                sums.unlink()
                done.append(f"{sums}: without its release; removed")
        for path in map(self.past, self.release_ids()):
            if self.published.exists() and path.samefile(self.published):
                incoming = self.work / path.name
                copy(path, incoming)
                incoming.chmod(0o444)
                sync(incoming)
                incoming.replace(path)
                done.append(f"{path}: was one file with the published one; now a copy")
            if not checksums.beside(path).exists() and self._adopt(path):
                done.append(f"{path}: of an earlier version; its SHA-256 is recorded from now on")
        for folder in map(self.held, self.held_ids()):
            if (folder / "report.json").exists() and not (folder / checksums.SUMS).exists():
                checksums.record_folder(folder)
                done.append(f"{folder}: of an earlier version; its SHA-256 are recorded from now on")
        if self.published.exists() and not checksums.beside(self.published).exists():
            found = checksums.sha256(self.published)
            if found in self._recorded_past():
                checksums.record(self.published, found)
                done.append(f"{checksums.beside(self.published)}: missing; written again")
        return done

    def _adopt(self, path: Path) -> bool:
        """Record the hash of a release of an earlier version, and say so in the log, if its tables are whole."""
        try:
            check(path)
        except RefreshError:  # whoever reads it says what is wrong with it
            return False
        checksums.record(path, checksums.sha256(path))
        now = datetime.now(UTC).isoformat("T", "seconds")
        self.record({"release_id": path.stem, "at": now, "outcome": "SHA-256 recorded; an earlier version wrote none"})
        return True

    def _recorded_past(self) -> set[str]:
        found = set()
        for number in self.release_ids():
            with suppress(checksums.DamagedError):
                if digest := checksums.recorded(self.past(number)):
                    found.add(digest)
        return found

    def move_log_aside(self) -> Path | None:
        """Move away a write-ahead log that somebody left beside the published file.

        With a log of another file beside it, no release could be opened.

        Returns
        -------
        Path or None
            Where it is now.
        """
        log = self.published.with_name(self.published.name + ".wal")
        if not log.exists():
            return None
        aside = self.folder / f"{log.name}.{len(list(self.folder.glob(f'{log.name}.*'))) + 1}"
        shutil.move(log, aside)
        return aside

    def release_ids(self) -> list[str]:
        """Return the numbers of the past releases, oldest first."""
        return sorted(path.stem for path in (self.folder / "past").glob("*.duckdb") if ID.fullmatch(path.stem))

    def held_ids(self) -> list[str]:
        """Return the numbers of the held builds, oldest first."""
        return sorted(path.name for path in (self.folder / "held").glob("*") if ID.fullmatch(path.name))

    def current(self) -> Manifest | None:
        """Return the manifest of the published file; None if there is none.

        Raises
        ------
        RefreshError
            If it is damaged.
        """
        return self._whole(self.published) if self.published.exists() else None

    def standing(self) -> Manifest | None:
        """Return the manifest that another release must be of one extract set with.

        That of the published file; where that is gone or damaged, of the latest past release that can be read.
        """
        for path in (self.published, *map(self.past, reversed(self.release_ids()))):
            if path.exists():
                with suppress(RefreshError):  # a damaged file says nothing; what opens it for its content names it
                    return self._whole(path)
        return None

    def _whole(self, path: Path) -> Manifest:
        """Return the manifest of a release whose bytes are those of its SHA-256."""
        is_compared = require_whole(path)
        manifest = read_manifest(path)
        if not is_compared:  # a publication died before its last step
            require_whole(path, self.past(manifest.release_id))
        return manifest

    def next_id(self) -> str:
        """Return a number above all releases and builds that are kept, or that the log of refreshes names."""
        published = self.current()
        named = (str(line.get("release_id")) for line in self.refreshes())
        numbers = [
            *self.release_ids(),
            *self.held_ids(),
            *(number for number in named if ID.fullmatch(number)),
            published.release_id if published else "0",
        ]
        return f"{max(int(number) for number in numbers) + 1:0{DIGITS}d}"

    def add(self, finished: Path, release_id: str) -> None:
        """Move a closed release file among the past ones, durably; its SHA-256 is there before it."""
        _check_no_wal(finished)
        finished.chmod(0o444)
        sync(finished)
        checksums.record(self.past(release_id), checksums.sha256(finished))
        finished.replace(self.past(release_id))
        sync(self.past(release_id).parent)

    def publish(self, release_id: str) -> Path | None:
        """Put a past release where readers look, in one step.

        Readers that have the old file open keep it; whoever opens the path gets the old or the new file, whole. The
        SHA-256 beside it is removed before that step and written after it, so that none is ever that of another file.

        Returns
        -------
        Path or None
            Where a write-ahead log was moved that somebody had left beside the published file.

        Raises
        ------
        RefreshError
            If the past release, or its copy, is not what was written.
        """
        source = self.past(release_id)
        incoming = self.published.with_name(f".{self.published.name}.{release_id}")
        incoming.unlink(missing_ok=True)
        copy(source, incoming)
        incoming.chmod(0o444)
        sync(incoming)
        if not require_whole(incoming, source):
            raise RefreshError(f"{checksums.beside(source)}: missing; nothing was published. {RESTORE}")
        aside = self.move_log_aside()
        checksums.beside(self.published).unlink(missing_ok=True)
        incoming.replace(self.published)
        sync(self.published.parent)
        checksums.record(self.published, str(checksums.recorded(source)))
        return aside

    def keep_held(self, incoming: Path, release_id: str) -> None:
        """Keep the folder of a build that is not published, whole or not at all."""
        open_to_readers(incoming, files=0o444)
        checksums.record_folder(incoming)
        incoming.replace(self.held(release_id))

    def require_held(self, release_id: str) -> None:
        """Let no held build be published whose files are not those that were held.

        Raises
        ------
        RefreshError
            Naming the file that differs.
        """
        folder = self.held(release_id)
        try:
            wrong = checksums.check_folder(folder)
        except FileNotFoundError:  # no build: one has SHA256SUMS since the last prepare
            return
        except checksums.DamagedError as error:
            wrong = [str(error)]
        if wrong:
            raise RefreshError(f"{wrong[0]}. Nothing was published. Delete {folder}, and refresh, to build it again.")

    def prune(self) -> list[str]:
        """Delete the oldest releases above the number kept, never the published one or the one before it."""
        published = self.current()
        ids = self.release_ids()
        current = published.release_id if published else None
        before = [number for number in ids if current is None or number < current][-1:]
        removable = [number for number in ids if number != current and number not in before]
        pruned = removable[: max(len(ids) - self.kept, 0)]
        for number in pruned:
            self.past(number).unlink()
            checksums.beside(self.past(number)).unlink(missing_ok=True)
        return pruned

    def prune_held(self) -> list[str]:
        """Delete the oldest held builds above the number kept."""
        pruned = self.held_ids()[: -self.kept]
        for number in pruned:
            shutil.rmtree(self.held(number))
        return pruned

    def record(self, outcome: dict[str, Any]) -> None:
        """Add a line to the log of refreshes, whole or not at all, with the hash of all that stands before it.

        A line that a dead refresh of an earlier version left torn is ended first.
        """
        before = self._log.read_bytes() if self._log.exists() else b""
        if before and not before.endswith(b"\n"):
            before += b"\n"
        replace_bytes(self._log, before + _sealed(outcome, hashlib.sha256(before)) + b"\n")

    def refreshes(self) -> list[dict[str, Any]]:
        """Return the lines of the log of refreshes that are whole.

        Raises
        ------
        RefreshError
            Naming the line that is not as it was written.
        """
        found = []
        so_far, is_sealed, torn = hashlib.sha256(), False, None
        lines = self._log.read_bytes().splitlines(keepends=True) if self._log.exists() else []
        for number, text in enumerate(lines, start=1):
            line = _parsed(text)
            if line is None or OWN not in line:
                # before the first line with a hash, a refresh may have died while it wrote
                torn = torn or (number if is_sealed else None)
            else:
                body = {name: value for name, value in line.items() if name != OWN}
                if text.removesuffix(b"\n") != _sealed(body, so_far):
                    raise RefreshError(_not_as_written(self._log, torn or number))
                is_sealed, torn, line = True, None, body
            so_far.update(text)
            if line is not None:
                found.append(line)
        if torn:
            raise RefreshError(_not_as_written(self._log, torn))
        return found

    @property
    def _log(self) -> Path:
        return self.folder / LOG


def _sealed(line: dict[str, Any], before: "hashlib._Hash") -> bytes:
    """Return the text of a line of the log with, last, the SHA-256 of what stands before it and of its own content."""
    own = before.copy()
    own.update(json.dumps(line, ensure_ascii=False).encode())
    return json.dumps(line | {OWN: own.hexdigest()}, ensure_ascii=False).encode()


def _parsed(text: bytes) -> dict[str, Any] | None:
    with suppress(ValueError):
        line = json.loads(text)
        return line if isinstance(line, dict) else None
    return None


def _not_as_written(log: Path, number: int) -> str:
    return (
        f"{log}, line {number}: not as it was written. Restore the file from a backup; or look at it, and move it "
        "away: the next refresh then does not know which releases were rolled back."
    )


def checked_id(release_id: str) -> str:
    """Return the number of a release, which paths are made of.

    Raises
    ------
    BadConfigurationError
        If it is not six digits.
    """
    if not ID.fullmatch(release_id):
        raise BadConfigurationError(
            f"{release_id!r} is not a release number. Give six digits, such as 000012. `ai-manufacturing releases` "
            "lists them."
        )
    return release_id


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a release file.

    Raises
    ------
    RefreshError
        If the file cannot be opened or is no release.
    """
    try:
        with reading(path) as connection:
            row = connection.execute(f"select {', '.join(MANIFEST_COLUMNS)} from release.manifest").fetchall()[0]
    except (duckdb.Error, IndexError) as error:
        raise RefreshError(
            f"{path}: not a release ({str(error).splitlines()[0]}). `ai-manufacturing rollback ID` puts a past release "
            "there."
        ) from error
    values = dict(zip(MANIFEST_COLUMNS, row, strict=True))
    return Manifest(**{name: json.loads(value) if name in JSON_COLUMNS else value for name, value in values.items()})


def require_whole(path: Path, instead: Path | None = None) -> bool:
    """Compare a release with the SHA-256 beside it, or beside another of the same bytes; return whether there is one.

    Raises
    ------
    RefreshError
        If they differ.
    """
    try:
        return checksums.check(path, instead)
    except checksums.DamagedError as error:
        raise RefreshError(f"{error}. {RESTORE}") from error


def check(path: Path) -> Manifest:
    """Return the manifest of a release file that has the SHA-256 beside it, and tables with the rows that it says.

    Raises
    ------
    RefreshError
        Naming the file or the table that differs.
    """
    require_whole(path)
    manifest = read_manifest(path)
    with reading(path) as connection:
        found = row_counts(connection)
    if found != manifest.row_counts:
        wrong = sorted(
            name
            for name in found.keys() | manifest.row_counts.keys()
            if found.get(name) != manifest.row_counts.get(name)
        )
        raise RefreshError(f"{path}: manifest and content differ in {', '.join(wrong)}.")
    return manifest


def row_counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Return the rows of every table but those of the release schema."""
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables() where schema_name <> 'release' "
        "and database_name = current_database() order by all"
    ).fetchall()
    counts = {}
    for schema, table in tables:
        ((count,),) = connection.execute(f"select count(*) from {identifier(schema)}.{identifier(table)}").fetchall()
        counts[f"{schema}.{table}"] = count
    return counts


@contextmanager
def reading(path: Path, reads_files: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB file read-only, as duckdb_client does; no progress bar gets among the lines of a log."""
    connection = duckdb_client.connect(str(path), read_only=True, reads_files=reads_files)
    try:
        connection.execute("set enable_progress_bar = false")
        yield connection
    finally:
        connection.close()


def _check_no_wal(path: Path) -> None:
    log = path.with_name(path.name + ".wal")
    if log.exists():
        raise RefreshError(f"{log}: the file beside it was not closed cleanly; nothing was published.")
