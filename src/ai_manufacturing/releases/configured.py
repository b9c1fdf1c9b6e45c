"""The store and the limits as the variables of docs/refresh.md set them."""

import os

from ai_manufacturing import settings
from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.refresh import Limits
from ai_manufacturing.releases.store import Store


def store() -> Store:
    """Return the store of RELEASE_DIR, RELEASE_PATH and RELEASES_KEPT.

    Raises
    ------
    BadConfigurationError
        If RELEASES_KEPT is no number, or less than two.
    """
    kept = _number("RELEASES_KEPT")
    if kept is not None and kept < 2:
        raise BadConfigurationError(f"RELEASES_KEPT is {kept:g}: the published release and the one before it are kept.")
    return Store(settings.release_dir(), settings.release_path(), 10 if kept is None else int(kept))


def limits() -> Limits:
    """Return REFRESH_WARN_ABOVE and REFRESH_HOLD_ABOVE.

    Raises
    ------
    BadConfigurationError
        If one of them is no number.
    """
    return Limits(_number("REFRESH_WARN_ABOVE"), _number("REFRESH_HOLD_ABOVE"))


def _number(name: str) -> float | None:
    text = os.environ.get(name)
    try:
        return float(text) if text else None
    except ValueError as error:
        raise BadConfigurationError(f"{name} is {text!r}, which is not a number.") from error
