"""Read the previous release, with which a new build is compared, before the build starts."""

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
    """Data of the previous release, with which a new build is compared.

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
    """Return the release to compare a new build with, or None if no release exists yet.

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
    """Return the declared revisions that apply to the current release and are still unused.

    After a rollback, a later release may already have used a declaration for the release that is
    published again. If nothing is published, only declarations without a release apply.
    """
    current_id = "" if basis is None else basis.manifest.release_id
    rows = [row for row in declarations if row.after_release == current_id]
    reasons = []
    for number in store.list_release_ids() if rows else []:
        if number > current_id:
            # A damaged release cannot be published, so it has not used up any declaration.
            with suppress(RefreshError):
                reasons.append(read_manifest(store.locate_past_release(number)).reason)
    return [row for row in rows if not any(str(row) in reason for reason in reasons)]
