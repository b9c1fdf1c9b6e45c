"""The release that a build is compared with, as a refresh finds it before it builds."""

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
    """What a refresh reads of the release, with one connection.

    Attributes
    ----------
    path : Path
        The file: the published one, or that of the past release that readers saw last.
    manifest : Manifest
    anchor : Anchor
        The last release that a person accepted.
    parts : tuple of Part
        What its files deliver.
    """

    path: Path
    manifest: Manifest
    anchor: Anchor
    parts: tuple[Part, ...]


def read(store: Store) -> Basis | None:
    """Return what a build is compared with; None if there is no release.

    Raises
    ------
    RefreshError
        If it is damaged.
    """
    path = store.basis
    if not path.exists():
        return None
    with store.opened(path) as (manifest, connection):
        return Basis(
            path, manifest, anchors.of(store, connection, manifest), deliveries.parts(connection)
        )


def standing(
    declared: Sequence[Declaration], basis: Basis | None, store: Store
) -> list[Declaration]:
    """Return the declared revisions of the published release that no later release has used.

    After a rollback a later release may have used one that names the release published now. Where
    none is published, those stand that name none.
    """
    published = "" if basis is None else basis.manifest.release_id
    rows = [row for row in declared if row.after_release == published]
    reasons = []
    for number in store.release_ids() if rows else []:
        if number > published:
            with suppress(RefreshError):  # a damaged file has published nothing that is still there
                reasons.append(read_manifest(store.past(number)).reason)
    return [row for row in rows if not any(str(row) in reason for reason in reasons)]
