"""Check the landing store, logs, releases, held builds and the site for damage.

Files left by a crashed run are removed while holding the lock of their writer. A missing hash or
log line counts as damage.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ai_manufacturing.landing import (
    checksums,
    declarations,
    declared_revisions,
    delivered,
    log,
    store,
)
from ai_manufacturing.landing.errors import LandingError
from ai_manufacturing.releases import configured, lock
from ai_manufacturing.releases.errors import RefreshError
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.store import Store
from ai_manufacturing.site import catalogue
from ai_manufacturing.system import integrity, settings
from ai_manufacturing.system.disk import lock_folder, remove_stale_folders

BUILD_AGAIN = "Run the build again, which writes it anew."
SITE_AGAIN = "Run `ai-manufacturing report` again."


@dataclass
class Verified:
    """Result of a verification.

    Attributes
    ----------
    damaged : list of str
        One line per difference: the place, the problem and the way out.
    mended : list of str
        One line per item that was removed or recorded.
    checked : dict of str to int
        Number of compared items by kind.
    """

    damaged: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Numbers of compared and of differing items, in words."""
        compared = ", ".join(f"{number} {kind}" for kind, number in self.checked.items())
        count = len(self.damaged)
        differ = "differs" if count == 1 else "differ"
        return f"Compared: {compared or 'nothing is there'}. {count or 'None'} {differ}."

    def count(self, kind: str, number: int = 1) -> None:
        """Add to the number of compared items of a kind."""
        self.checked[kind] = self.checked.get(kind, 0) + number

    @contextmanager
    def damage(self) -> Iterator[None]:
        """Record the lines of a landing or refresh error as damage."""
        try:
            yield
        except (LandingError, RefreshError) as error:
            self.damaged += str(error).splitlines()


def verify() -> Verified:
    """Compare all stored files with their recorded hashes and logs.

    Raises
    ------
    LockedError
        If a refresh is running.
    BadConfigurationError, LandingError
        If a folder is not readable or writable.
    """
    outcome = Verified()
    releases = configured.read_store()
    is_there = releases.folder.is_dir()
    with lock.hold_lock(releases.lock) if is_there else nullcontext():
        manifests = _releases(releases, outcome) if is_there else {}
        if settings.landing_dir().is_dir():
            _landing(settings.landing_dir(), manifests, outcome)
        _site(settings.site_dir() or settings.project_root() / "site", outcome)
    return outcome


def _landing(folder: Path, manifests: dict[Path, Manifest], outcome: Verified) -> None:
    with outcome.damage(), store.lock(folder) as done:
        outcome.mended += done
        # List folders before reading the log, because landing logs a folder before renaming it.
        folders = [path for path in folder.iterdir() if checksums.is_landed_folder(path)]
        with outcome.damage():
            expected = checksums.read_checksums(folder)
            for path in sorted(folders):
                outcome.damaged += checksums.find_faults(
                    folder, path.name, expected.get(path.name, {})
                )
                outcome.count("landed files")
        with outcome.damage():
            revisions = declared_revisions.open_chain(folder).read().lines
            outcome.count("lines of declared revisions", len(revisions))
        declared = declarations.read_sources_by_name()
        for name in log.list_extract_sets(folder):
            with outcome.damage():
                events = log.read_events(folder, name)
                outcome.count("events of deliveries", len(events))
                for delivery in log.State(events).deliveries.values():
                    key, _ = delivered.find_store_key(delivery, declared, False, folder)
                    if not (folder / key).is_dir():
                        what = (
                            f"{delivery.event['file_path']}, delivery {delivery.number} of {name}"
                        )
                        missing = f"{folder / key}: missing, and {what}, landed there"
                        outcome.damaged.append(f"{missing}. {checksums.REPAIR_ADVICE}")
                outcome.damaged += _not_delivered(events, name, manifests)
        _tables(folder, outcome)


def _not_delivered(
    events: list[log.Event], name: str, manifests: dict[Path, Manifest]
) -> Iterator[str]:
    """Yield files of releases that the log of their extract set lacks at that path and hash."""
    delivered_as: dict[str, set[str]] = {}
    for event in events:
        if event["event"] == "delivered":
            delivered_as.setdefault(event["file_path"], set()).add(event["delivery_id"])
    for path, manifest in manifests.items():
        if manifest.extract_set != name:
            continue
        for file_path, digest in manifest.delivery_hashes.items():
            # an undeclared file has no delivery
            if digest not in delivered_as.get(file_path, {digest}):
                yield (
                    f"{path}: made of {file_path} with SHA-256 {digest}, which the log of {name}"
                    " does not have. Restore the landing store of this release."
                )


def _tables(folder: Path, outcome: Verified) -> None:
    """Check the folders of tables that every build rewrites."""
    for tables in sorted(folder.glob("tables/*")):
        # a locked folder is being written
        with outcome.damage(), suppress(BlockingIOError), lock_folder(tables):
            if (tables / integrity.SUMS).exists():
                wrong = integrity.check_folder(tables)
                outcome.damaged += [f"{line}. {BUILD_AGAIN}" for line in wrong]
                outcome.count("folders of tables for SQL")
            else:
                shutil.rmtree(tables)
                what = "not written to the end; removed. The next build writes it."
                outcome.mended.append(f"{tables}: {what}")


def _releases(releases: Store, outcome: Verified) -> dict[Path, Manifest]:
    outcome.mended += [f"{what}." for what in releases.prepare_folders()]
    with outcome.damage():
        outcome.mended += [f"{what}." for what in releases.restore_log()]
    manifests = {}
    for release_id in releases.list_release_ids():
        with outcome.damage():
            manifests[releases.locate_past_release(release_id)] = releases.read_past_manifest(
                release_id
            )
        outcome.count("releases")
    with outcome.damage():
        releases.read_current_manifest()
    with outcome.damage():
        outcome.count("lines of the log of refreshes", len(releases.read_refreshes()))
        outcome.damaged += releases.find_faults()
    for release_id in releases.list_held_ids():
        with outcome.damage():
            releases.require_intact_held_build(release_id)
        outcome.count("held builds")
    return manifests


def _site(folder: Path, outcome: Verified) -> None:
    outcome.mended += [
        f"{path}: left by a dead run; removed." for path in remove_stale_folders(folder)
    ]
    if not (folder / "assets" / "site.js").exists():
        return
    wrong = integrity.check_folder(folder, (catalogue.NAME,))
    outcome.damaged += [f"{line}. {SITE_AGAIN}" for line in wrong]
    outcome.count("sites")
