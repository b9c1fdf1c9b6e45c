"""Read the release store and the limits from the variables described in docs/refresh.md."""

import math
import os
from dataclasses import dataclass

from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import settings

HOLD_ABOVE = 1.0  # default of REFRESH_HOLD_ABOVE, in standard errors


@dataclass(frozen=True)
class Limits:
    """Largest moves of estimates that pass, in standard errors.

    `warn_any_above` applies to all estimates, and a larger move causes a warning.
    `hold_shown_above` applies to shown columns, and a larger move holds the release. A lost
    estimate exceeds any finite limit.
    """

    warn_any_above: float = math.inf
    hold_shown_above: float = math.inf


def read_store() -> Store:
    """Return the store configured by RELEASE_DIR, RELEASE_PATH and RELEASES_KEPT.

    Raises
    ------
    BadConfigurationError
        If RELEASES_KEPT is not a whole number of at least two.
    """
    count = _read_number("RELEASES_KEPT", 10)
    if count < 2 or count != int(count):
        raise BadConfigurationError(
            f"RELEASES_KEPT is {count:g}: give a whole number; the published release and the one"
            " before it are kept."
        )
    return Store(settings.release_dir(), settings.release_path(), int(count))


def read_limits() -> Limits:
    """Return the limits set by REFRESH_WARN_ABOVE and REFRESH_HOLD_ABOVE.

    Raises
    ------
    BadConfigurationError
        If either is not a number of at least zero.
    """
    return Limits(
        _read_number("REFRESH_WARN_ABOVE", math.inf), _read_number("REFRESH_HOLD_ABOVE", HOLD_ABOVE)
    )


def _read_number(name: str, default: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    # nothing is greater than "nan", so such a limit would never hold a release
    if not math.isfinite(number) or number < 0:
        raise BadConfigurationError(f"{name} is {text!r}, which is not a number of 0 or more.")
    return number
