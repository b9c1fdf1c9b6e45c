"""Histories of refreshes: steps, how each of them ends, and what holds after all of them.

A step is an act, its end and words. The act takes the refreshes. Its end is the number of the
release that is published after it, the class of the error that it raises, or None where nothing is
compared. The words are patterns of what it reports.
"""

import re
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from ai_manufacturing.refresh import build
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.manifest import Manifest
from tests.python.release_store import Refreshes, quiet, read

DRIFT = "Drift from release "
MOVED = "specification_id = 'table_2_col_3' and term = 'ai_patent_grants'"
Act = Callable[[Refreshes], object]
Step = tuple[Any, ...]


def delivered(*statements: str, **options: Any) -> Act:
    """Return the refresh of a new delivery: that of the build, changed by statements."""

    def act(refreshes: Refreshes) -> Manifest:
        refreshes.of(*statements)
        return refreshes.run(**options)

    return act


def moved(errors: float, *statements: str, rows: str = MOVED) -> Act:
    """Return the refresh of a delivery that moves estimates by some of their standard errors."""
    estimate = f"update reports.rpt_coefficients set estimate = estimate + {errors} * std_error"
    return delivered(f"{estimate} where {rows}", *statements)


def again(**limits: float) -> Act:
    """Return another refresh of the same delivery, perhaps by other limits."""
    return lambda refreshes: refreshes.run(Limits(**limits) if limits else None)


def done(function: Callable[..., object], *arguments: object) -> Act:
    """Return the act of a person on the releases."""
    return lambda refreshes: function(refreshes.store, *arguments, quiet)


RECORD = """
    select anchor.release_id, anchor.reason, coalesce(previous.release_id, '')
    from release.anchor left join release.previous on true
"""


def replay(refreshes: Refreshes, *steps: Step) -> None:
    """Take the steps, and compare how each ends.

    Readers have the release that they should have. A refresh compares with the release that they
    had before, keeps the anchor, and warns of drift only where the words of its step do.
    """
    store = refreshes.store
    seen = store.current().release_id if store.published.exists() else ""
    with pytest.MonkeyPatch.context() as counted:
        counted.setattr(build, "dbt", built := Mock(side_effect=build.dbt))
        for act, end, *words in steps:
            refreshes.events.clear()
            if end is None or isinstance(end, str):
                act(refreshes)
                said = ""
            else:
                with pytest.raises(end) as raised:
                    act(refreshes)
                said = f"exit {int(raised.value.exit_code)}, {raised.value}"
            store, events = refreshes.store, "\n".join(map(str, refreshes.events))
            if isinstance(end, str):
                manifest = store.current()
                assert manifest.release_id == end
                ((anchor, reason, before),) = read(store.published, RECORD)
                said = f"by {manifest.published_by}, {manifest.reason}.\nanchor {anchor}, {reason}."
                assert anchor in ("", *store.release_ids())
                assert before == seen or not events
                assert (DRIFT in events) == (DRIFT in str(words))
                seen = end
            elif store.published.exists():
                assert store.current().release_id == seen
            said += f"\nbuilds {built.call_count}\n{events}"
            for word in words:
                assert re.search(word, said, re.MULTILINE), (word, said)
