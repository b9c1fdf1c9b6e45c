"""Select the DuckDB file that a command reads, either a release or a warehouse."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from ai_manufacturing import landing
from ai_manufacturing.releases.errors import RefreshError
from ai_manufacturing.releases.origin import Origin, is_release, read_origin
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import duckdb_client, integrity, settings

RELEASE, WAREHOUSE = "release", "warehouse"


class DatabaseError(Exception):
    """Raised if a command cannot or must not read a database file; the message has a remedy."""


@dataclass(frozen=True)
class Database:
    """A DuckDB file that contains a release or a warehouse, with the origin of its data.

    `str` returns the line that a command prints first.

    Attributes
    ----------
    path : Path
        The DuckDB file.
    origin : Origin
        Extract set and kind of its numbers.
    release_id : str or None
        Number of the release; None for a warehouse.
    """

    path: Path
    origin: Origin
    release_id: str | None = None

    def __str__(self) -> str:
        what = WAREHOUSE if self.release_id is None else f"{RELEASE} {self.release_id}"
        return f"{self.origin}, {what}, {self.path}"

    def to_record(self) -> dict[str, Any]:
        """Return the path, extract set and release number as a dict for JSON output."""
        extract_set, kind = self.origin
        return {
            "path": str(self.path),
            "extract_set": extract_set,
            "extract_set_kind": kind,
            "release_id": self.release_id,
        }


class _Place(NamedTuple):
    """A database file that a command may read, and the setting that specifies the path."""

    setting: str
    kind: str
    path: Path


def read_database(path: Path) -> Database:
    """Check the integrity of a DuckDB file, and return its origin and release number.

    Raises
    ------
    DatabaseError
        If the file does not exist, cannot be opened, is damaged, or is neither a release nor a
        warehouse.
    """
    if not path.exists():
        raise DatabaseError(
            f"{path}: the file does not exist. Run `make build`, or use --database to name a"
            " release or a warehouse."
        )
    releases = Store(settings.release_dir(), settings.release_path())
    try:
        duckdb_client.require_file(path)
        digest = integrity.check_file(path)
        with duckdb_client.open_read_only(path) as connection:
            duckdb_client.require_size(connection, path)
            origin = read_origin(connection)
            if origin is None:
                raise DatabaseError(
                    f"{path} is neither a release nor a warehouse with landed files. Use --database"
                    " to name a release or a warehouse."
                )
            release_id = None
            if is_release(connection):
                rows = connection.execute("select release_id from release.manifest").fetchall()
                if len(rows) != 1:
                    raise DatabaseError(
                        f"{path}: the table release.manifest has {len(rows)} rows, but a release"
                        " has exactly one. Use --database to name another file."
                    )
                ((release_id,),) = rows
                place = path.resolve()
                # The checksum file is missing if a publication crashed before its last step.
                has_none = (
                    place == releases.published_path
                    and digest is None
                    and release_id in releases.read_logged_releases()
                )
                if has_none or place.parent == releases.folder / "past":
                    releases.require_logged_hash(place, release_id, digest)
            return Database(path, origin, release_id)
    except (RefreshError, duckdb_client.RefusedError) as error:
        raise DatabaseError(str(error)) from error
    except integrity.DamagedError as error:
        raise DatabaseError(
            f"The file is damaged: {error}. Restore the file from a backup, or publish a past"
            " release with `ai-manufacturing rollback ID`."
        ) from error
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise DatabaseError(
            f"{path} cannot be opened as a release or a warehouse ({reason}). If a build is writing"
            " to the file, wait until the build ends; otherwise use --database to name another"
            " file."
        ) from error


def select_database(option: Path | None, reads: Collection[str] = (RELEASE, WAREHOUSE)) -> Database:
    """Return the database that a command reads, from its option, the environment or a default.

    The order is: the option of the command; WAREHOUSE_PATH, RELEASE_PATH or RELEASE_DIR, whichever
    file exists first; the published release; the default warehouse. A default never replaces a file
    that the user named. A file that the command cannot read is skipped, but only in favour of one
    with the same extract set. A default must belong to the extract set of EXTRACTS_DIR, if that is
    set.

    Parameters
    ----------
    option : Path or None
        File named by the command's own option.
    reads : collection of str
        Kinds of file that the command can read: RELEASE, WAREHOUSE or both.

    Returns
    -------
    Database
        The file and its extract set.

    Raises
    ------
    DatabaseError
        If the file cannot be read, or its extract set differs from a skipped file or EXTRACTS_DIR.
    """
    if option is not None:
        return read_database(option)
    user_places = _list_user_places()
    places = [*user_places, *_list_default_places()]
    readable = [number for number, place in enumerate(places) if place.kind in reads]
    # Do not fall back to a default if the user named a file, even if that file is missing.
    existing = (
        number for number in readable if number < len(user_places) and places[number].path.exists()
    )
    index = next(existing, readable[0])
    database = read_database(places[index].path)
    for place in places[:index]:
        if place.path.exists() and (other := read_database(place.path)).origin != database.origin:
            kinds = " or a ".join(reads)
            raise DatabaseError(
                f"This command needs a {kinds}, so it cannot read {place.path} ({place.setting},"
                f" extract set {other.origin}). The next file that it can read, {database.path},"
                f" belongs to another extract set, {database.origin}. Use --database to name the"
                " file to read."
            )
    if not user_places and os.environ.get("EXTRACTS_DIR"):
        try:
            name = landing.read_extract_set(settings.extracts_dir()).name
        except landing.LandingError as error:
            raise DatabaseError(str(error)) from error
        if name != database.origin.extract_set:
            folder = os.environ["EXTRACTS_DIR"]
            raise DatabaseError(
                f"EXTRACTS_DIR is {folder}, which contains extract set {name}, but {database.path}"
                f" belongs to extract set {database.origin}. Set WAREHOUSE_PATH or RELEASE_DIR to a"
                f" file or folder of {name}, or use --database to name the file to read."
            )
    return database


def _list_user_places() -> list[_Place]:
    places = []
    if os.environ.get("WAREHOUSE_PATH"):
        places.append(_Place("WAREHOUSE_PATH", WAREHOUSE, settings.warehouse_path()))
    variables = [name for name in ("RELEASE_PATH", "RELEASE_DIR") if os.environ.get(name)]
    if variables:
        places.append(_Place(variables[0], RELEASE, settings.release_path()))
    return places


def _list_default_places() -> list[_Place]:
    release = _Place("The published release", RELEASE, settings.release_path())
    warehouse = _Place("The warehouse", WAREHOUSE, settings.warehouse_path())
    return [release, warehouse] if release.path.exists() else [warehouse]
