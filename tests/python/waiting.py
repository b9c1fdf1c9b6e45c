"""Wait for conditions without a fixed timeout, so that tests pass on a loaded machine.

A wait fails only when the work towards the condition has ended or stalled.
"""

import time
from collections.abc import Callable

LAST_RESORT = 600
"""Seconds without progress after which a wait fails. Running work reports progress sooner."""
PAUSE = 0.2


def wait_for(
    condition: Callable[[], object],
    is_over: Callable[[], object] = lambda: False,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Wait until a condition holds, and fail only if there is no more progress.

    Parameters
    ----------
    condition : callable
        Returns a true value once the wait is over.
    is_over : callable, optional
        Returns a true value, such as the reason, once the work towards the condition has ended.
    progress : callable, optional
        Returns a value that changes while the work progresses.

    Raises
    ------
    RuntimeError
        If the work has ended and the condition does not hold.
    TimeoutError
        If there was no progress for LAST_RESORT seconds.
    """
    seen, since = progress(), time.monotonic()
    while not condition():
        over = is_over()
        # The condition may have become true just before the work ended.
        if over and not condition():
            raise RuntimeError(f"nobody works any more at what is waited for: {over}")
        now = progress()
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > LAST_RESORT:
            raise TimeoutError(f"no progress in {LAST_RESORT} s")
        time.sleep(PAUSE)
