"""The time as logs and releases write it."""

from datetime import UTC, datetime


def now(timespec: str = "seconds") -> str:
    """Return the present time, UTC, in ISO 8601.

    Parameters
    ----------
    timespec : str
        Smallest unit that is written, as `datetime.isoformat` takes it.
    """
    return datetime.now(UTC).isoformat("T", timespec)
