"""The release that a build is compared with, read before the build starts."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ai_manufacturing.auditing import anchors, deliveries
from ai_manufacturing.auditing.anchors import Anchor
from ai_manufacturing.auditing.deliveries import Part
from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.releases.errors import RefreshError
from ai_manufacturing.releases.manifest import Manifest, read_manifest
from ai_manufacturing.releases.store import Store


@dataclass(frozen=True)
class Basis:
    """The comparison release, read over a single connection.

    Attributes
    ----------
    path : Path
        The published file, or the past release that readers saw last if nothing is published.
    manifest : Manifest
    anchor : Anchor
        The last release that a person accepted.
    parts : tuple of Part
        Record counts of the files that the release was built from.
    """

    path: Path
    manifest: Manifest
    anchor: Anchor
    parts: tuple[Part, ...]


def read_basis(store: Store) -> Basis | None:
    """Return the comparison release, or None before the first release.

    Raises
    ------
    RefreshError
        If the release is damaged.
    """
    path = store.basis_path
    if not path.exists():
        return None
    with store.open_release(path) as (manifest, connection):
        return Basis(
            path,
            manifest,
            anchors.read_anchor(store, connection, manifest),
            deliveries.read_parts(connection),
        )


def find_applicable_declarations(
    declarations: Sequence[Declaration], basis: Basis | None, store: Store
) -> list[Declaration]:
    """Return the declared revisions that apply to the published release and are still unused.

    After a rollback, a later release may already have used a declaration for the release that is
    published again. If nothing is published, only declarations without a release apply.
    """
    current_id = "" if basis is None else basis.manifest.release_id
    rows = [row for row in declarations if row.after_release == current_id]
    reasons = []
    for number in store.list_release_ids() if rows else []:
        if number > current_id:
            # Skip damaged files: their revisions are no longer in use.
            with suppress(RefreshError):
                reasons.append(read_manifest(store.locate_past_release(number)).reason)
    return [row for row in rows if not any(str(row) in reason for reason in reasons)]
