"""The store and the limits as the variables of docs/refresh.md set them."""

import math
import os
from dataclasses import dataclass

from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import settings

HOLD_ABOVE = 1.0  # standard errors, unless REFRESH_HOLD_ABOVE is set


@dataclass(frozen=True)
class Limits:
    """Standard errors beyond which a refresh is published with a warning, or held.

    An estimate that is lost is beyond any limit that is set. The first limit is of all estimates,
    the second of shown columns.
    """

    warn_above: float = math.inf
    hold_above: float = math.inf


def store() -> Store:
    """Return the store of RELEASE_DIR, RELEASE_PATH and RELEASES_KEPT.

    Raises
    ------
    BadConfigurationError
        If RELEASES_KEPT is no whole number, or less than two.
    """
    count = _number("RELEASES_KEPT", 10)
    if count < 2 or count != int(count):
        raise BadConfigurationError(
            f"RELEASES_KEPT is {count:g}: give a whole number; the published release and the one"
            " before it are kept."
        )
    return Store(settings.release_dir(), settings.release_path(), int(count))


def limits() -> Limits:
    """Return REFRESH_WARN_ABOVE and REFRESH_HOLD_ABOVE.

    Raises
    ------
    BadConfigurationError
        If one of them is no number.
    """
    return Limits(
        _number("REFRESH_WARN_ABOVE", math.inf), _number("REFRESH_HOLD_ABOVE", HOLD_ABOVE)
    )


def _number(name: str, default: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    # "nan" would let everything pass
    if not math.isfinite(number) or number < 0:
        raise BadConfigurationError(f"{name} is {text!r}, which is not a number of 0 or more.")
    return number
