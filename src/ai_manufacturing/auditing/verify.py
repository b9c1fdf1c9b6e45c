"""Verify that stored files, logs, releases and the site match their recorded checksums.

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

BUILD_AGAIN = "Run the build again to rewrite it."
SITE_AGAIN = "Run `ai-manufacturing report` again."


@dataclass
class Verification:
    """Result of verifying the stored files: damage, repairs and counts.

    Attributes
    ----------
    damage_lines : list of str
        One line per difference: the place, the problem and the way out.
    repair_lines : list of str
        One line per item that was removed or recorded.
    counts : dict of str to int
        Number of compared items by kind.
    """

    damage_lines: list[str] = field(default_factory=list)
    repair_lines: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """One-line summary: how many items were compared, and how many differ."""
        counts_text = ", ".join(f"{number} {kind}" for kind, number in self.counts.items())
        count = len(self.damage_lines)
        differ = "differs" if count == 1 else "differ"
        compared = counts_text or "nothing, because no files exist"
        return f"Compared {compared}. {count or 'None'} {differ}."

    def add_count(self, kind: str, number: int = 1) -> None:
        """Increase the number of compared items of the given kind."""
        self.counts[kind] = self.counts.get(kind, 0) + number

    @contextmanager
    def collect_damage(self) -> Iterator[None]:
        """Catch a LandingError or RefreshError, and record each line of its message as damage."""
        try:
            yield
        except (LandingError, RefreshError) as error:
            self.damage_lines += str(error).splitlines()


def verify() -> Verification:
    """Compare all stored files with their recorded SHA-256 hashes and logs.

    Raises
    ------
    LockedError
        If a refresh is running.
    BadConfigurationError, LandingError
        If a folder is not readable or writable.
    """
    outcome = Verification()
    releases = configured.read_store()
    is_there = releases.folder.is_dir()
    with lock.hold_lock(releases.lock) if is_there else nullcontext():
        manifests = _verify_releases(releases, outcome) if is_there else {}
        if settings.landing_dir().is_dir():
            _verify_landing(settings.landing_dir(), manifests, outcome)
        _verify_site(settings.site_dir() or settings.project_root() / "site", outcome)
    return outcome


def _verify_landing(folder: Path, manifests: dict[Path, Manifest], outcome: Verification) -> None:
    with outcome.collect_damage(), store.lock(folder) as repairs:
        outcome.repair_lines += repairs
        # New folders are logged before they appear, so list the folders before reading the log.
        folders = [path for path in folder.iterdir() if checksums.is_landed_folder(path)]
        with outcome.collect_damage():
            hashes = checksums.read_checksums(folder)
            for path in sorted(folders):
                outcome.damage_lines += checksums.find_faults(
                    folder, path.name, hashes.get(path.name, {})
                )
                outcome.add_count("landed files")
        with outcome.collect_damage():
            revisions = declared_revisions.open_chain(folder).read().lines
            outcome.add_count("lines of declared revisions", len(revisions))
        sources = declarations.read_sources_by_name()
        for name in log.list_extract_sets(folder):
            with outcome.collect_damage():
                events = log.read_events(folder, name)
                outcome.add_count("events of deliveries", len(events))
                for delivery in log.State(events).deliveries.values():
                    key, _ = delivered.find_store_key(delivery, sources, False, folder)
                    if not (folder / key).is_dir():
                        delivery_text = (
                            f"{delivery.event['file_path']}, delivery {delivery.number} of {name}"
                        )
                        missing = (
                            f"{folder / key} is missing, but {delivery_text}, was stored there"
                        )
                        outcome.damage_lines.append(f"{missing}. {checksums.REPAIR_ADVICE}")
                outcome.damage_lines += _find_undelivered_files(events, name, manifests)
        _verify_tables(folder, outcome)


def _find_undelivered_files(
    events: list[log.Event], name: str, manifests: dict[Path, Manifest]
) -> Iterator[str]:
    """Yield a message for each input file of a release that is missing from the log."""
    hashes_by_path: dict[str, set[str]] = {}
    for event in events:
        if event["event"] == "delivered":
            hashes_by_path.setdefault(event["file_path"], set()).add(event["delivery_id"])
    for path, manifest in manifests.items():
        if manifest.extract_set != name:
            continue
        for file_path, digest in manifest.delivery_hashes.items():
            # Files that match no declaration are not logged, so skip them.
            if digest not in hashes_by_path.get(file_path, {digest}):
                yield (
                    f"{path} was built from {file_path} with SHA-256 {digest}, which is not in"
                    f" the log of {name}. Restore the landing store of this release."
                )


def _verify_tables(folder: Path, outcome: Verification) -> None:
    """Verify the tables exported for other SQL engines, and remove incompletely written ones."""
    for tables in sorted(folder.glob("tables/*")):
        # Skip locked folders, because a running build is writing to them.
        with outcome.collect_damage(), suppress(BlockingIOError), lock_folder(tables):
            if (tables / integrity.SUMS).exists():
                faults = integrity.check_folder(tables)
                outcome.damage_lines += [f"{line}. {BUILD_AGAIN}" for line in faults]
                outcome.add_count("folders of tables for SQL")
            else:
                shutil.rmtree(tables)
                message = (
                    "writing did not finish, so the folder was removed. The next build writes"
                    " it again."
                )
                outcome.repair_lines.append(f"{tables}: {message}")


def _verify_releases(releases: Store, outcome: Verification) -> dict[Path, Manifest]:
    outcome.repair_lines += [f"{action}." for action in releases.prepare_folders()]
    with outcome.collect_damage():
        outcome.repair_lines += [f"{action}." for action in releases.restore_log()]
    manifests = {}
    for release_id in releases.list_release_ids():
        with outcome.collect_damage():
            manifests[releases.locate_past_release(release_id)] = releases.read_past_manifest(
                release_id
            )
        outcome.add_count("releases")
    with outcome.collect_damage():
        releases.read_current_manifest()
    with outcome.collect_damage():
        outcome.add_count("lines of the log of refreshes", len(releases.read_refreshes()))
        outcome.damage_lines += releases.find_faults()
    for release_id in releases.list_held_ids():
        with outcome.collect_damage():
            releases.require_intact_held_build(release_id)
        outcome.add_count("held builds")
    return manifests


def _verify_site(folder: Path, outcome: Verification) -> None:
    outcome.repair_lines += [
        f"{path} was left behind by a run that crashed, and was removed."
        for path in remove_stale_folders(folder)
    ]
    if not (folder / "assets" / "site.js").exists():
        return
    faults = integrity.check_folder(folder, (catalogue.NAME,))
    outcome.damage_lines += [f"{line}. {SITE_AGAIN}" for line in faults]
    outcome.add_count("sites")
