"""Check the age of each provider's newest data, and warn or fail beyond declared limits.

Age only triggers warnings and failures; the order of deliveries decides which rows are used.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from ai_manufacturing import landing
from ai_manufacturing.landing.declarations import AllowedAge
from ai_manufacturing.releases.errors import BadConfigurationError, StaleError
from ai_manufacturing.releases.refresh_log import OnEvent, warn
from ai_manufacturing.system.duckdb_client import open_read_only


@dataclass(frozen=True)
class Freshness:
    """Age of the newest data from one provider, with the provider's age limits.

    Attributes
    ----------
    provider : str
        Name of the provider's folder in models/staging.
    newest_delivery_at : datetime
        Time at which its newest delivery landed, UTC.
    age_days : float
        Days since then.
    limits : AllowedAge
        Limits from the provider's declaration.
    """

    provider: str
    newest_delivery_at: datetime
    age_days: float
    limits: AllowedAge

    @property
    def is_late(self) -> bool:
        """Whether the age of the data exceeds the warning limit."""
        days = self.limits.warn_after_days
        return days is not None and self.age_days > days

    @property
    def is_stale(self) -> bool:
        """Whether the age of the data exceeds the failure limit."""
        days = self.limits.fail_after_days
        return days is not None and self.age_days > days

    def to_record(self) -> dict[str, Any]:
        """Return the age and the limits as a dict for JSON output."""
        return {
            "provider": self.provider,
            "newest_delivery_at": self.newest_delivery_at.isoformat("T", "seconds"),
            "age_days": self.age_days,
            "warn_after_days": self.limits.warn_after_days,
            "fail_after_days": self.limits.fail_after_days,
            "is_late": self.is_late,
            "is_stale": self.is_stale,
        }

    def __str__(self) -> str:
        newest = f"newest delivery on {self.newest_delivery_at:%Y-%m-%d}"
        text = f"{self.provider}: {newest}, {self.age_days:.0f} days ago"
        for limit in ("fail_after_days", "warn_after_days"):
            days = getattr(self.limits, limit)
            if days is not None and self.age_days > days:
                return f"{text}, which exceeds {limit} ({days:g}) of its declaration"
        return text


def read_allowed_ages() -> dict[str, AllowedAge]:
    """Return the warning and failure age limits of each provider.

    Raises
    ------
    BadConfigurationError
        If a declaration is invalid.
    """
    try:
        return landing.read_allowed_ages()
    except landing.LandingError as error:
        raise BadConfigurationError(str(error)) from error


def read_freshness(release: DuckDBPyConnection, now: datetime | None = None) -> list[Freshness]:
    """Return the age of each provider's newest data, sorted by provider name.

    Parameters
    ----------
    release : DuckDBPyConnection
        The open release file.
    now : datetime, optional
        Time to measure ages at, with a time zone; defaults to the current time.

    Raises
    ------
    BadConfigurationError
        If a declaration is invalid.
    """
    limits, now = read_allowed_ages(), now or datetime.now(UTC)
    query = "select provider, newest_delivery_at from release.freshness order by all"
    return [
        Freshness(
            provider,
            at,
            (now - at.replace(tzinfo=UTC)) / timedelta(days=1),
            limits.get(provider, AllowedAge()),
        )
        for provider, at in release.execute(query).fetchall()
    ]


def require_fresh(release: Path, outcome: str, is_published: bool, on_event: OnEvent) -> None:
    """Warn if a provider's newest data are late, and raise StaleError if they are too old.

    Parameters
    ----------
    release : Path
        The published file.
    outcome : str
        Result of the refresh, the first line of the error message.
    is_published : bool
        Whether the refresh published a release.
    on_event : callable
        Receives the warnings.

    Raises
    ------
    StaleError
        If a provider is stale; the message has a line for each.
    """
    with open_read_only(release) as connection:
        providers = read_freshness(connection)
    stale = []
    for provider in providers:
        if provider.is_stale:
            stale.append(f"{provider}. Ask the provider for a delivery, or raise the limit.")
        elif provider.is_late:
            warn(on_event, f"{provider}.")
    if stale:
        raise StaleError("\n".join([outcome, *stale]), is_published)
