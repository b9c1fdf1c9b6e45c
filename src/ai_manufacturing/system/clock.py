"""Provide UTC timestamps for logs and releases."""

from datetime import UTC, datetime


def now(timespec: str = "seconds") -> str:
    """Return the current time in UTC, in ISO 8601 format.

    Parameters
    ----------
    timespec : str
        Smallest unit to include, as in `datetime.isoformat`.
    """
    return datetime.now(UTC).isoformat("T", timespec)
