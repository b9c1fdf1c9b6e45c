"""The release folder: the published file, the past ones, held builds, and the moves between them.

    RELEASE_DIR/
        ai_manufacturing.duckdb what readers open, unless RELEASE_PATH names another place; one of past/
        past/000012.duckdb      releases by number
        held/000013/            a build that was not published: warehouse.duckdb and report.json
        work/                   the private build of a running refresh; whatever is left there is of a dead one
        refreshes.jsonl         one line per refresh that built, and per rollback
        traceback.txt           where the code failed the last time that neither a delivery nor the disk was the cause
        refresh.lock

Numbers order the releases; no clock does.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import duckdb

from ai_manufacturing import duckdb_client
from ai_manufacturing.databases import Origin
from ai_manufacturing.durable import sync
from ai_manufacturing.releases.errors import BadConfigurationError, RefreshError
from ai_manufacturing.sql_text import identifier

JSON_COLUMNS = ("delivery_hashes", "package_versions", "row_counts", "gate_summary")
DIGITS = 6
LOG = "refreshes.jsonl"
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

    def past(self, release_id: str) -> Path:
        """Return the file of a release by its number."""
        return self.folder / "past" / f"{checked_id(release_id)}.duckdb"

    def held(self, release_id: str) -> Path:
        """Return the folder of a held build."""
        return self.folder / "held" / checked_id(release_id)

    def prepare(self) -> None:
        """Make the folders, and remove what a dead refresh left. Only the holder of the lock may call this.

        Raises
        ------
        BadConfigurationError
            If the folders cannot be made or written to.
        """
        try:
            for name in ("past", "held", "work"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self.published.parent.mkdir(parents=True, exist_ok=True)
            for left in (*self.work.iterdir(), *self.published.parent.glob(f".{self.published.name}.*")):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
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
        """Return the manifest of the published file; None if there is none."""
        return read_manifest(self.published) if self.published.exists() else None

    def standing(self) -> Manifest | None:
        """Return the manifest that another release must be of one extract set with.

        That of the published file; where that is gone or damaged, of the latest past release that can be read.
        """
        for path in (self.published, *map(self.past, reversed(self.release_ids()))):
            if path.exists():
                with suppress(RefreshError):  # a damaged file says nothing; what opens it for its content names it
                    return read_manifest(path)
        return None

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
        """Move a closed release file among the past ones, durably."""
        _check_no_wal(finished)
        finished.chmod(0o444)
        sync(finished)
        finished.replace(self.past(release_id))
        sync(self.past(release_id).parent)

    def publish(self, release_id: str) -> Path | None:
        """Put a past release where readers look, in one step.

        Readers that have the old file open keep it; whoever opens the path gets the old or the new file, whole.

        Returns
        -------
        Path or None
            Where a write-ahead log was moved that somebody had left beside the published file.
        """
        source = self.past(release_id)
        incoming = self.published.with_name(f".{self.published.name}.{release_id}")
        incoming.unlink(missing_ok=True)
        try:
            os.link(source, incoming)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, incoming)
            incoming.chmod(0o444)
            sync(incoming)
        aside = self.move_log_aside()
        incoming.replace(self.published)
        # A second link to one file is left alone by replace.
        incoming.unlink(missing_ok=True)
        sync(self.published.parent)
        return aside

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
        return pruned

    def prune_held(self) -> list[str]:
        """Delete the oldest held builds above the number kept."""
        pruned = self.held_ids()[: -self.kept]
        for number in pruned:
            shutil.rmtree(self.held(number))
        return pruned

    def record(self, outcome: dict[str, Any]) -> None:
        """Add a line to the log of refreshes; what a dead refresh left of its own is ended first."""
        with self._log.open("a+b") as log:
            if log.tell():
                log.seek(-1, os.SEEK_END)
                if log.read(1) != b"\n":
                    log.write(b"\n")
            log.write(json.dumps(outcome, ensure_ascii=False).encode() + b"\n")
        sync(self._log)

    def refreshes(self) -> list[dict[str, Any]]:
        """Return the lines of the log of refreshes that are whole."""
        found = []
        for line in self._log.read_bytes().split(b"\n") if self._log.exists() else []:
            with suppress(ValueError):  # a refresh died while it wrote, perhaps within a character
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    @property
    def _log(self) -> Path:
        return self.folder / LOG


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


def check(path: Path) -> Manifest:
    """Return the manifest of a release file whose tables have the rows that it says.

    Raises
    ------
    RefreshError
        Naming the table that differs.
    """
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
def reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB file read-only; no progress bar gets among the lines of a log."""
    connection = duckdb_client.connect(str(path), read_only=True)
    try:
        connection.execute("set enable_progress_bar = false")
        yield connection
    finally:
        connection.close()


def _check_no_wal(path: Path) -> None:
    log = path.with_name(path.name + ".wal")
    if log.exists():
        raise RefreshError(f"{log}: the file beside it was not closed cleanly; nothing was published.")
