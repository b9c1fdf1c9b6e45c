"""Read the settings of the release folder and its checks from environment variables.

docs/refresh.md describes the variables.
"""

import math
import os
from dataclasses import dataclass

from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.releases.store import Store
from ai_manufacturing.system import settings

HOLD_ABOVE = 1.0  # default value of REFRESH_HOLD_ABOVE, in standard errors


@dataclass(frozen=True)
class Limits:
    """Largest changes in estimates between releases that are accepted, in standard errors.

    `warn_any_above` applies to all estimates, and a larger change causes a warning.
    `hold_shown_above` applies to the regressions that the reports show, and a larger change
    prevents publication. A lost estimate exceeds any finite limit.
    """

    warn_any_above: float = math.inf
    hold_shown_above: float = math.inf


def read_store() -> Store:
    """Return the release store configured by RELEASE_DIR, RELEASE_PATH and RELEASES_KEPT.

    Raises
    ------
    BadConfigurationError
        If RELEASES_KEPT is not a whole number of at least two.
    """
    count = _read_number("RELEASES_KEPT", 10)
    if count < 2 or count != int(count):
        raise BadConfigurationError(
            f"The setting RELEASES_KEPT is {count:g}. Give a whole number of 2 or more, because the"
            " published release and the one before it are always kept."
        )
    return Store(settings.release_dir(), settings.release_path(), int(count))


def read_limits() -> Limits:
    """Return the limits on changes in estimates, from REFRESH_WARN_ABOVE and REFRESH_HOLD_ABOVE.

    Raises
    ------
    BadConfigurationError
        If one of the variables is not a number of at least zero.
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
    # Reject NaN as a limit, because comparisons with NaN are false and any change would pass.
    if not math.isfinite(number) or number < 0:
        raise BadConfigurationError(f"The setting {name} is {text!r}. Give a number of 0 or more.")
    return number
