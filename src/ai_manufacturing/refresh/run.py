"""Define the data that the steps of a refresh share: arguments, inputs and the build."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_manufacturing.auditing.basis import Basis
from ai_manufacturing.auditing.deliveries import Delivery
from ai_manufacturing.landing.declared_revisions import Declaration
from ai_manufacturing.refresh.progress import OnProgress
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.headlines import Headlines
from ai_manufacturing.releases.refresh_log import OnEvent, warn
from ai_manufacturing.releases.store import WAREHOUSE, Store


@dataclass(frozen=True)
class Run:
    """Arguments and inputs of a refresh.

    Attributes
    ----------
    store, limits, on_event, years, replaces, on_progress
        See cycle.refresh.
    may_lack_estimates : bool
        Whether a build without headline estimates may be published.
    release_id : str
        Number of the release to publish.
    hashes : dict of str to str
        SHA-256 of each delivered file by path.
    fingerprint : str
        Fingerprint of deliveries, code and packages.
    basis : Basis or None
        Release to compare the build with.
    declarations : list of Declaration
        Declared revisions of the values in the release `basis`.
    held_build : str or None
        A held build with the same fingerprint, which is judged again instead of building.
    """

    store: Store
    limits: Limits
    on_event: OnEvent
    years: range | None
    replaces: bool
    may_lack_estimates: bool
    on_progress: OnProgress | None
    release_id: str
    hashes: dict[str, str]
    fingerprint: str
    basis: Basis | None
    declarations: list[Declaration]
    held_build: str | None

    @property
    def work(self) -> Path:
        """Folder in which the build is written."""
        return self.store.work / self.release_id

    @property
    def warehouse(self) -> Path:
        """Path of the DuckDB file that the build writes."""
        return self.work / WAREHOUSE

    @property
    def years_in_words(self) -> str:
        """Years to read again, in the format of the `--years` option."""
        return f"{self.years[0]}:{self.years[-1]}" if self.years else ""

    def warn(self, message: str) -> None:
        """Report a warning."""
        warn(self.on_event, message)


@dataclass(frozen=True)
class BuildResult:
    """Result of a build, with the release to compare the build with.

    Attributes
    ----------
    basis : Basis or None
        Release to compare with; None if there is none, or if it belongs to another extract set.
    delivery : Delivery
        Changes in the delivered files since that release.
    paths_read_again : list of str
        Files of the requested years that were read again.
    manifest_fields : dict
        Manifest fields.
    failed_gate : bool
        Whether the build failed the gate.
    headlines : Headlines or None
        Headline estimates of the build; None if it failed the gate.
    """

    basis: Basis | None
    delivery: Delivery
    paths_read_again: list[str]
    manifest_fields: dict[str, Any]
    failed_gate: bool
    headlines: Headlines | None
