"""Waits that a loaded machine does not miss: they end with what is waited for, or with those who
work at it.
"""

import time
from collections.abc import Callable

LAST_RESORT = 600
"""Seconds without progress after which a test gives up; what works is not silent so long."""
PAUSE = 0.2


def wait_for(
    condition: Callable[[], object],
    is_over: Callable[[], object] = lambda: False,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Wait until something is so, however long it takes.

    Parameters
    ----------
    condition : callable
        True once it is so.
    is_over : callable, optional
        True once nobody works at it any more, or a text that says who has ended.
    progress : callable, optional
        A value that changes as long as somebody works.

    Raises
    ------
    RuntimeError
        If nobody works at it any more.
    TimeoutError
        If there was no progress in LAST_RESORT seconds.
    """
    seen, since = progress(), time.monotonic()
    while not condition():
        over = is_over()
        # it may have become so with the last thing that was done
        if over and not condition():
            raise RuntimeError(f"nobody works any more at what is waited for: {over}")
        now = progress()
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > LAST_RESORT:
            raise TimeoutError(f"no progress in {LAST_RESORT} s")
        time.sleep(PAUSE)
