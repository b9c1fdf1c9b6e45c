"""The release that a build is compared with, as a refresh finds it before it builds."""

from dataclasses import dataclass
from pathlib import Path

from ai_manufacturing.auditing import anchors, deliveries
from ai_manufacturing.auditing.anchors import Anchor
from ai_manufacturing.auditing.deliveries import Part
from ai_manufacturing.releases.manifest import Manifest
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
