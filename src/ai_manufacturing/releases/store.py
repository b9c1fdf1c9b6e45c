"""Add, verify, publish and delete the releases and builds in the release folder.

    RELEASE_DIR/
        ai_manufacturing.duckdb the file that readers open, unless RELEASE_PATH names another
        past/000012.duckdb      releases by number; the published file is a copy of one
        past/000012.*.json      dbt's manifest and run results of the build
        held/000013/            an unpublished build: warehouse.duckdb, report.json, dbt's files
        work/                   private build of a running refresh, or remains of a crashed one
        refreshes.jsonl         releases added, published, rolled back, accepted, pruned (chained)
        refresh.log             start, reports and outcome of each refresh
        partial_parse.msgpack   dbt's parsed project, cached for the next build; may be deleted
        traceback.txt           traceback of the last unexpected error
        refresh.lock

The SHA-256 of each release is stored beside it and in refreshes.jsonl; a held build contains its
own hashes. A missing hash counts as damage. Releases are ordered by number, never by time.
"""

import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from ai_manufacturing.releases.errors import BadConfigurationError, RefreshError
from ai_manufacturing.releases.manifest import (
    RESTORE_HINT,
    Manifest,
    open_release,
    read_manifest,
    require_intact,
)
from ai_manufacturing.system import integrity
from ai_manufacturing.system.disk import make_folder, open_to_readers, sync
from ai_manufacturing.system.integrity import Chain

DIGITS = 6  # number of digits in a release number
LOG = "refreshes.jsonl"
WAREHOUSE = "warehouse.duckdb"  # file name of a build in the folders work/ and held/
# dbt's description of the project, and its result for each model and test of a build.
MANIFEST_FILE, RESULTS_FILE = "manifest.json", "run_results.json"
PUBLISHED = ("published", "published by hand")  # log outcomes of a successful publication
SEEN = (*PUBLISHED, "rolled back to")  # log outcomes that change the published release
DRAFT = re.compile(r"\.[0-9a-f]{32}$")  # suffix of a temporary file that disk.py creates
RESTORE_LOG = (
    "Restore the log and its .head from the same backup. If you have no backup, delete the"
    " .head, and replace the log with an empty file. The next refresh then records the releases"
    " again, except for which of them were rolled back."
)
ID = re.compile(rf"[0-9]{{{DIGITS}}}")


@dataclass(frozen=True)
class Store:
    """A release folder and its retention settings.

    Attributes
    ----------
    folder : Path
        RELEASE_DIR.
    published_path : Path
        The file that readers open, with symbolic links resolved.
    keep_count : int
        Number of past releases to keep, including the published one, and number of held builds to
        keep. The release before the published one is never pruned.
    """

    folder: Path
    published_path: Path
    keep_count: int = 10

    @property
    def work(self) -> Path:
        """Folder for the build of a running refresh."""
        return self.folder / "work"

    @property
    def lock(self) -> Path:
        """Path of the lock file, which a process must lock before changing the store."""
        return self.folder / "refresh.lock"

    def locate_past_release(self, release_id: str) -> Path:
        """Return the path of the DuckDB file of a past release."""
        return self.folder / "past" / f"{require_id(release_id)}.duckdb"

    def locate_held_build(self, release_id: str) -> Path:
        """Return the path of the folder of a held build, which was not published."""
        return self.folder / "held" / require_id(release_id)

    def prepare_folders(self) -> list[str]:
        """Create the subfolders, and remove temporary files that a crashed refresh left behind.

        Only the holder of the lock may call this.

        Returns
        -------
        list of str
            Removed or repaired files, each with its path.

        Raises
        ------
        BadConfigurationError
            If the folders cannot be created or written to.
        """
        try:
            for name in ("past", "held", "work"):
                make_folder(self.folder / name)
            make_folder(self.published_path.parent)
            incoming = glob.escape(f".{self.published_path.name}.")
            hidden_paths = (
                path for name in (".", "past") for path in (self.folder / name).glob(".*")
            )
            drafts = [path for path in hidden_paths if DRAFT.search(path.name)]
            leftovers = [
                *self.work.iterdir(),
                *self.published_path.parent.glob(f"{incoming}*"),
                *drafts,
            ]
            actions = []
            for path in dict.fromkeys(leftovers):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                actions.append(f"{path} was left behind by a refresh that crashed, and was removed")
            actions += self._repair_hashes()
        except OSError as error:
            path = error.filename or self.folder
            raise BadConfigurationError(
                f"{path} cannot be changed ({error.strerror}). Set RELEASE_DIR to a folder that you"
                " can write to."
            ) from error
        folder = self.published_path.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadConfigurationError(
                f"The folder {folder} is not writable. Set RELEASE_PATH to a file in a folder that"
                " you can write to."
            )
        return actions

    def _repair_hashes(self) -> list[str]:
        """Delete orphaned checksum files, and recreate a missing one for the published release."""
        actions = []
        for hash_path in (self.folder / "past").glob(f"*.duckdb{integrity.SUFFIX}"):
            if not hash_path.with_suffix("").exists():
                hash_path.unlink()
                actions.append(f"{hash_path} did not belong to any release, and was removed")
        if (
            self.published_path.exists()
            and not integrity.checksum_path(self.published_path).exists()
        ):
            digest = integrity.sha256(self.published_path)
            # Ignore a damaged log here, because commands that read the log report the damage.
            with suppress(RefreshError):
                if digest in self._read_logged_hashes():
                    integrity.record_checksum(self.published_path, digest)
                    actions.append(
                        f"{integrity.checksum_path(self.published_path)} was missing, and was"
                        " written again"
                    )
        return actions

    def restore_log(self) -> list[str]:
        """Rebuild an empty log by recording all past releases again.

        RESTORE_LOG describes when a user must empty the log.

        Only the holder of the lock may call this.

        Returns
        -------
        list of str
            Actions taken.

        Raises
        ------
        RefreshError
            If there are releases but no log, or the log is damaged.
        """
        ids = self.list_release_ids()
        if not ids or self._chain.read().lines:
            return []
        if not self._chain.path.exists():
            log, folder = self._chain.path, self.folder / "past"
            raise RefreshError(
                f"The log {log} is missing, but {folder} contains releases. {RESTORE_LOG}"
            )
        releases = {}
        for path in map(self.locate_past_release, ids):
            # Skip damaged releases, because `find_faults` reports releases without a log entry.
            with suppress(RefreshError):
                if digest := require_intact(path):
                    releases[path.stem] = {"file_sha256": digest} | read_manifest(path).summary
        self.append_to_log({"releases": releases})
        again = f"the SHA-256 of {len(releases)} releases were recorded again"
        return [f"{self._chain.path} was empty; {again}"]

    def move_wal_aside(self) -> Path | None:
        """Move away a write-ahead log (WAL) that another program left beside the published file.

        DuckDB cannot open a release beside the write-ahead log of another file.

        Returns
        -------
        Path or None
            New path of the log, if there was one.
        """
        log = self.published_path.with_name(self.published_path.name + ".wal")
        if not log.exists():
            return None
        new_path = self.folder / f"{log.name}.{len(list(self.folder.glob(f'{log.name}.*'))) + 1}"
        shutil.move(log, new_path)
        return new_path

    def list_release_ids(self) -> list[str]:
        """Return the numbers of all past releases, oldest first."""
        return _list_numbers(self.folder / "past", ".duckdb")

    def list_held_ids(self) -> list[str]:
        """Return the numbers of all held (unpublished) builds, oldest first."""
        return _list_numbers(self.folder / "held")

    def read_current_manifest(self) -> Manifest | None:
        """Return the manifest of the published release, or None if nothing has been published.

        Raises
        ------
        RefreshError
            If the file is damaged.
        """
        return (
            self._read_intact_manifest(self.published_path)
            if self.published_path.exists()
            else None
        )

    @property
    def basis_path(self) -> Path:
        """Path of the release to compare a new build with: the published file, if it exists.

        Otherwise it is the past release that readers saw last according to the log, or else the
        newest past release. If there is no release at all, the returned file does not exist.
        """
        if self.published_path.exists():
            return self.published_path
        seen_ids = [line["release_id"] for line in self.read_refreshes() if line["outcome"] in SEEN]
        numbers = (*reversed(seen_ids), *reversed(self.list_release_ids()))
        return next(
            (path for path in map(self.locate_past_release, numbers) if path.exists()),
            self.published_path,
        )

    def find_release_to_replace(self) -> Manifest | None:
        """Return the manifest of the release that a manual publication would replace.

        It is the published release. If that is missing or damaged, it is the latest past release
        that can be read.
        """
        for path in (
            self.published_path,
            *map(self.locate_past_release, reversed(self.list_release_ids())),
        ):
            if path.exists():
                # Skip damaged files, because commands that need their content report the damage.
                with suppress(RefreshError):
                    return self._read_intact_manifest(path)
        return None

    @contextmanager
    def open_release(self, path: Path) -> Iterator[tuple[Manifest, DuckDBPyConnection]]:
        """Open and verify a release for the `with` block; yield its manifest and its connection.

        Raises
        ------
        RefreshError
            If the file does not match its SHA-256 or the log, or is not a release.
        """
        digest = require_intact(path)
        with open_release(path) as (manifest, connection):
            self.require_logged_hash(
                path, manifest.release_id if path == self.published_path else path.stem, digest
            )
            yield manifest, connection

    def _read_intact_manifest(self, path: Path) -> Manifest:
        """Verify a release, and return its manifest; see `open_release` for errors."""
        with self.open_release(path) as (manifest, _):
            return manifest

    def read_past_manifest(self, release_id: str) -> Manifest:
        """Verify a past release against its recorded hashes, and return its manifest.

        Raises
        ------
        RefreshError
            If a file differs or is missing; the message names it.
        """
        return self._read_intact_manifest(self.locate_past_release(release_id))

    def summarise_releases(self) -> tuple[list[dict[str, Any]], list[RefreshError]]:
        """Return a summary of each past release, and an error for each unreadable release.

        A release with an entry in the log is not opened.
        """
        releases, errors = [], []
        try:
            logged_releases = self.read_logged_releases()
        except RefreshError as error:
            logged_releases, errors = {}, [error]
        for release_id in self.list_release_ids():
            release = dict(logged_releases.get(release_id, {}))
            release.pop("file_sha256", None)
            try:
                releases.append(
                    release or read_manifest(self.locate_past_release(release_id)).summary
                )
            except RefreshError as error:
                errors.append(error)
        return releases, errors

    def require_logged_hash(self, path: Path, release_id: str, digest: str | None) -> None:
        """Raise RefreshError if the SHA-256 of a release is missing or differs from the log.

        Parameters
        ----------
        path : Path
            The published file or a past release.
        release_id : str
            Number of the release.
        digest : str or None
            SHA-256 stored beside the file.

        Raises
        ------
        RefreshError
            If a hash is missing or differs; the message names the file.
        """
        in_log = self.read_logged_releases().get(release_id, {}).get("file_sha256")
        if path == self.published_path:
            if digest is None and in_log:  # publication crashed before writing the checksum file
                digest = integrity.sha256(path)
            # Accept any logged hash: another process may have replaced the file in the meantime.
            if digest in self._read_logged_hashes():
                return
        if digest is None:
            raise RefreshError(f"{integrity.checksum_path(path)} is missing. {RESTORE_HINT}")
        if in_log not in (None, digest):
            log = self._chain.path
            raise RefreshError(
                f"{path}: its SHA-256 is {digest}, but the log {log} records {in_log}."
                f" {RESTORE_HINT}"
            )

    def find_faults(self) -> list[str]:
        """Return a message for each past release that is missing from the log or the folder."""
        logged_releases, stored_ids = self.read_logged_releases(), set(self.list_release_ids())
        faults = [
            f"{self.locate_past_release(number)} is not listed in {self._chain.path}. Delete"
            " the file."
            for number in stored_ids - logged_releases.keys()
        ]
        faults += [
            f"{self.locate_past_release(number)} is missing, but {self._chain.path} lists it."
            " Restore it and its .sha256 from a backup; otherwise it counts as pruned once no"
            " older release is kept."
            for number in self._find_unpruned_ids() - stored_ids
        ]
        return sorted(faults)

    def _find_unpruned_ids(self) -> set[str]:
        """Return the numbers of releases that were once published and have not been pruned."""
        lines = self._chain.read().lines
        pruned_ids = {number for line in lines for number in line.get("pruned", ())}
        seen_ids = {line["release_id"] for line in lines if line.get("outcome") in SEEN}
        return (self.read_logged_releases().keys() & seen_ids) - pruned_ids

    def compute_next_id(self) -> str:
        """Return the next release number, above all numbers used in the folder and the log."""
        current = self.read_current_manifest()
        number = current.release_id if current else "0"
        numbers = (*self.list_release_ids(), *self.list_held_ids(), *self.read_logged_releases())
        return f"{int(max(number, *numbers, key=int)) + 1:0{DIGITS}d}"

    def read_logged_releases(self) -> dict[str, dict[str, Any]]:
        """Return the SHA-256 and the summary of each release in the log, by release number.

        Raises
        ------
        RefreshError
            If the log is damaged.
        """
        releases: dict[str, dict[str, Any]] = {}
        for line in self._chain.read().lines:
            releases |= line.get("releases", {})
        return releases

    def _read_logged_hashes(self) -> set[str]:
        return {release["file_sha256"] for release in self.read_logged_releases().values()}

    def add_release(self, new_file: Path, release_id: str) -> None:
        """Log the SHA-256 of a new release file, and move the file to the past releases."""
        _require_no_wal(new_file)
        new_file.chmod(0o444)
        sync(new_file)
        path, digest = self.locate_past_release(release_id), integrity.sha256(new_file)
        self.append_to_log(
            {"releases": {release_id: {"file_sha256": digest} | read_manifest(new_file).summary}}
        )
        integrity.record_checksum(path, digest)
        move_dbt_files(new_file.parent, f"{path.with_suffix('')}.")
        new_file.replace(path)
        sync(path.parent)

    def publish_release(self, release_id: str) -> Path | None:
        """Publish a past release by atomically replacing the file that readers open.

        Readers that have the old file open keep it, and others get the old or the new file, never a
        partial one. The SHA-256 beside the file is removed before that step and written after it,
        so it never belongs to another file.

        Returns
        -------
        Path or None
            New path of a write-ahead log that was found beside the published file.

        Raises
        ------
        RefreshError
            If the past release or its copy does not match its SHA-256.
        """
        source = self.locate_past_release(release_id)
        incoming = self.published_path.with_name(f".{self.published_path.name}.{release_id}")
        shutil.copyfile(source, incoming)
        incoming.chmod(0o444)
        sync(incoming)
        digest, copy_digest = (
            require_intact(source, integrity.read_checksum),
            integrity.sha256(incoming),
        )
        self.require_logged_hash(source, release_id, digest)
        if copy_digest != digest:
            raise RefreshError(
                f"The copy of {source} has the SHA-256 {copy_digest} instead of {digest}, so"
                f" nothing was published. {RESTORE_HINT}"
            )
        moved_log = self.move_wal_aside()
        integrity.checksum_path(self.published_path).unlink(missing_ok=True)
        incoming.replace(self.published_path)
        sync(self.published_path.parent)
        integrity.record_checksum(self.published_path, copy_digest)
        return moved_log

    def add_held_build(self, incoming: Path, release_id: str) -> None:
        """Move the folder of an unpublished build to the folder of held builds atomically."""
        open_to_readers(incoming, files=0o444)
        integrity.record_folder(incoming)
        incoming.replace(self.locate_held_build(release_id))

    def require_intact_held_build(self, release_id: str) -> None:
        """Raise RefreshError if the files of a held build do not match their recorded hashes.

        Raises
        ------
        RefreshError
            If a file differs; the message names it.
        """
        folder = self.locate_held_build(release_id)
        if faults := integrity.check_folder(folder):
            raise RefreshError(
                f"The held build is damaged: {faults[0]}. Nothing was published. Delete the folder"
                f" {folder}, and refresh to build the release again."
            )

    def prune_releases(self, *anchors: str) -> list[str]:
        """Delete the oldest releases in excess of `keep_count`, and return their numbers.

        The published release, the one before it and the anchors are never deleted.
        """
        current = self.read_current_manifest()
        ids = self.list_release_ids()
        current_id = current.release_id if current else None
        previous_ids = [number for number in ids if current_id is None or number < current_id][-1:]
        removable_ids = [
            number for number in ids if number not in (current_id, *previous_ids, *anchors)
        ]
        pruned_ids = removable_ids[: max(len(ids) - self.keep_count, 0)]
        # Record missing releases as pruned if they are older than all remaining releases.
        oldest = min({*ids} - {*pruned_ids}, default="")
        missing_ids = [number for number in self._find_unpruned_ids() - {*ids} if number < oldest]
        if pruned_ids or missing_ids:
            self.append_to_log({"pruned": sorted([*pruned_ids, *missing_ids])})
        for number in pruned_ids:
            self.locate_past_release(number).unlink()
            integrity.checksum_path(self.locate_past_release(number)).unlink(missing_ok=True)
            for name in (MANIFEST_FILE, RESULTS_FILE):
                (self.folder / "past" / f"{number}.{name}").unlink(missing_ok=True)
        return pruned_ids

    def prune_held_builds(self) -> list[str]:
        """Delete the oldest held builds in excess of `keep_count`, and return their numbers."""
        pruned_ids = self.list_held_ids()[: -self.keep_count]
        for number in pruned_ids:
            shutil.rmtree(self.locate_held_build(number))
        return pruned_ids

    def append_to_log(self, outcome: dict[str, Any]) -> None:
        """Append an entry to the log of refreshes (refreshes.jsonl) atomically.

        Raises
        ------
        RefreshError
            If the log is damaged.
        """
        self._chain.append(lambda lines: outcome)

    def read_refreshes(self) -> list[dict[str, Any]]:
        """Return the log entries of all refreshes, without entries for added or pruned releases.

        Raises
        ------
        RefreshError
            If the log was truncated, or a line was altered; the message names the line.
        """
        return [
            line for line in self._chain.read().lines if not line.keys() & {"releases", "pruned"}
        ]

    @property
    def _chain(self) -> Chain:
        return Chain(
            self.folder / LOG, make_error=lambda text: RefreshError(f"{text}. {RESTORE_LOG}")
        )


def _list_numbers(folder: Path, ending: str = "") -> list[str]:
    names = (path.name.removesuffix(ending) for path in folder.glob(f"*{ending}"))
    return sorted(name for name in names if ID.fullmatch(name))


def move_dbt_files(build: Path, prefix: str) -> None:
    """Move dbt's manifest and run results from the folder of a build to `prefix` plus their names.

    A warehouse that was copied into the folder has no such files.
    """
    for name in (MANIFEST_FILE, RESULTS_FILE):
        source = build / "target" / name
        if source.exists():
            source.replace(f"{prefix}{name}")


def require_id(release_id: str) -> str:
    """Return a release number unchanged, after checking that it has six digits.

    Raises
    ------
    BadConfigurationError
        If it is not six digits.
    """
    if not ID.fullmatch(release_id):
        raise BadConfigurationError(
            f"{release_id!r} is not a release number. Give six digits, such as 000012. The command"
            " `ai-manufacturing releases` lists all releases."
        )
    return release_id


def _require_no_wal(path: Path) -> None:
    log = path.with_name(path.name + ".wal")
    if log.exists():
        raise RefreshError(
            f"{log} exists, so {path.name} was not closed cleanly. Nothing was published. Run the"
            " command again."
        )
