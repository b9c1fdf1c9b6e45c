"""Read the manifest of a release file, and check the file against its SHA-256."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import duckdb

from ai_manufacturing.releases import fingerprint
from ai_manufacturing.releases.errors import RefreshError
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.system import duckdb_client, integrity

JSON_COLUMNS = ("delivery_hashes", "package_versions", "row_counts", "gate_summary")
RESTORE_HINT = (
    "Restore the file and its .sha256 from a backup, or publish a past release with"
    " `ai-manufacturing rollback ID`."
)


@dataclass(frozen=True)
class Manifest:
    """Metadata of a release, stored as the single row of the table release.manifest.

    The annotation of each field is also the comment on its column.
    """

    release_id: Annotated[str, "The release's number, six digits."]
    published_at: Annotated[str, "UTC; it decides nothing."]
    git_commit: Annotated[
        str, "Commit of the code, with + if files differ from it; empty outside a clone."
    ]
    extract_set: Annotated[str, "Whose numbers these are."]
    extract_set_kind: Annotated[str, "synthetic or delivered."]
    fingerprint: Annotated[
        str, "Hash of deliveries, code and packages, which determine the tables."
    ]
    published_by: Annotated[str, "refresh, or hand for a held build."]
    reason: Annotated[
        str, "Why a held build was published, years read again, declared revisions; else empty."
    ]
    delivery_hashes: Annotated[dict[str, str], "SHA-256 by delivered path, JSON."]
    package_versions: Annotated[
        dict[str, str], "Versions of the packages that the numbers depend on, JSON."
    ]
    row_counts: Annotated[dict[str, int], "Rows by table, JSON."]
    gate_summary: Annotated[
        dict[str, int], "Expectations, failures by severity, and those not evaluated, JSON."
    ]

    @property
    def origin(self) -> Origin:
        """Name of the extract set, and whether its data are delivered or synthetic."""
        return Origin(self.extract_set, self.extract_set_kind)

    @property
    def delivery_count(self) -> int:
        """Number of delivered files that the release is based on."""
        return len(fingerprint.drop_description(self.delivery_hashes))

    @property
    def summary(self) -> dict[str, Any]:
        """Manifest fields that the commands `status` and `releases` print."""
        names = (
            "published_at",
            "published_by",
            "reason",
            "extract_set",
            "extract_set_kind",
            "git_commit",
        )
        facts = {name: getattr(self, name) for name in ("release_id", *names)}
        return {**facts, "delivery_count": self.delivery_count, "gate": self.gate_summary}


MANIFEST_COMMENTS = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Manifest, include_extras=True).items()
}
MANIFEST_COLUMNS = tuple(MANIFEST_COMMENTS)


@contextmanager
def open_release(path: Path) -> Iterator[tuple[Manifest, duckdb.DuckDBPyConnection]]:
    """Open a release file for the `with` block; yield its manifest and its connection.

    Raises
    ------
    RefreshError
        If the file cannot be opened or is not a release.
    """
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(duckdb_client.open_read_only(path))
            manifest = load_manifest(connection)
        except duckdb_client.RefusedError as error:
            raise RefreshError(str(error)) from error
        except (duckdb.Error, IndexError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise RefreshError(
                f"{path} is not a release ({reason}). Run `ai-manufacturing rollback ID` to replace"
                " the published file with a past release."
            ) from error
        yield manifest, connection


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a release file; see `open_release` for errors."""
    with open_release(path) as (manifest, _):
        return manifest


def load_manifest(connection: duckdb.DuckDBPyConnection) -> Manifest:
    """Return the manifest of a release from an open DuckDB connection."""
    query = f"select {', '.join(MANIFEST_COLUMNS)} from release.manifest"
    values = dict(zip(MANIFEST_COLUMNS, connection.execute(query).fetchall()[0], strict=True))
    for name in JSON_COLUMNS:
        values[name] = json.loads(values[name])
        if not isinstance(values[name], dict):
            raise TypeError(f"release.manifest, column {name}: the value is not a JSON object")
    return Manifest(**values)


def require_intact(
    path: Path, read_hash: Callable[[Path], str | None] = integrity.check_file
) -> str | None:
    """Verify a release file against its checksum file; return the SHA-256, or None if unrecorded.

    Raises
    ------
    RefreshError
        If the file differs from its checksum.
    """
    try:
        return read_hash(path)
    except integrity.DamagedError as error:
        raise RefreshError(f"{error}. {RESTORE_HINT}") from error
