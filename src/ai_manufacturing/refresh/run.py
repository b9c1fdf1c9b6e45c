"""What a refresh works with: what it was called with, what was delivered, and what became of it."""

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
    """One refresh, before it builds.

    Attributes
    ----------
    store, limits, on_event, years, replaces, on_progress
        As in cycle.refresh.
    may_lack_estimates : bool
        Whether a build without headline estimates may be published.
    release_id : str
        Number of the release that it would publish.
    hashes : dict of str to str
        SHA-256 of each delivered file, by its path.
    fingerprint : str
        Of deliveries, code and packages.
    basis : Basis or None
        The release that the build is compared with.
    declared : list of Declaration
        Revisions that stand.
    held_build : str or None
        A held build of the same fingerprint, which is judged again in place of a new build.
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
    declared: list[Declaration]
    held_build: str | None

    @property
    def work(self) -> Path:
        """Folder of the build."""
        return self.store.work / self.release_id

    @property
    def warehouse(self) -> Path:
        """The file that it is built into."""
        return self.work / WAREHOUSE

    @property
    def years_in_words(self) -> str:
        """The years that are read again, as the option names them."""
        return f"{self.years[0]}:{self.years[-1]}" if self.years else ""

    def warn(self, message: str) -> None:
        """Report a warning."""
        warn(self.on_event, message)


@dataclass(frozen=True)
class Built:
    """What was built, and with what it is compared.

    Attributes
    ----------
    basis : Basis or None
        The release that it is compared with; None if that is of another extract set.
    delivery : Delivery
        What was delivered since that.
    paths_read_again : list of str
        Files of the years that were read again.
    described : dict
        The fields of the manifest.
    is_at_gate : bool
        Whether the gate stopped it.
    headlines : Headlines or None
        Its headline estimates; None if the gate stopped it.
    """

    basis: Basis | None
    delivery: Delivery
    paths_read_again: list[str]
    described: dict[str, Any]
    is_at_gate: bool
    headlines: Headlines | None
