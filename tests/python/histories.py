"""Run sequences of data refreshes, and check the outcome of each step.

A step is a tuple of an act, its expected end, and words. The act is a function of the Refreshes.
The end is the ID of the release published afterwards, the class of the error raised, or None to
compare nothing. Words are regular expressions that the step's report must match.
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

DRIFT = "The drift from release "
MOVED = "specification_id = 'table_2_col_3' and term = 'ai_patent_grants'"
Act = Callable[[Refreshes], object]
Step = tuple[Any, ...]


def delivered(*statements: str, **options: Any) -> Act:
    """Return a function that runs a refresh on a warehouse changed by SQL statements."""

    def act(refreshes: Refreshes) -> Manifest:
        refreshes.of(*statements)
        return refreshes.run(**options)

    return act


def moved(errors: float, *statements: str, rows: str = MOVED) -> Act:
    """Return a function that shifts estimates by some standard errors and runs a refresh."""
    estimate = f"update reports.rpt_coefficients set estimate = estimate + {errors} * std_error"
    return delivered(f"{estimate} where {rows}", *statements)


def again(limits: Limits | None = None, **options: Any) -> Act:
    """Return a function that repeats a refresh without new data, optionally with other limits."""
    return lambda refreshes: refreshes.run(limits, **options)


def done(function: Callable[..., object], *arguments: object) -> Act:
    """Return a function that applies an operation, such as a rollback, to the release store."""
    return lambda refreshes: function(refreshes.store, *arguments, quiet)


RECORD = """
    select anchor.release_id, anchor.reason, coalesce(previous.release_id, '')
    from release.anchor left join release.previous on true
"""


def replay(refreshes: Refreshes, *steps: Step) -> None:
    """Run the steps in order, and check the published release or the error after each step.

    After every step, readers must see the expected release. Each refresh must compare with the
    release that readers saw before, keep the anchor, and warn of drift only if the step's words
    mention it.
    """
    store = refreshes.store
    seen = store.read_current_manifest().release_id if store.published_path.exists() else ""
    with pytest.MonkeyPatch.context() as counted:
        counted.setattr(build, "run_dbt", built := Mock(side_effect=build.run_dbt))
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
                manifest = store.read_current_manifest()
                assert manifest.release_id == end
                ((anchor, reason, before),) = read(store.published_path, RECORD)
                said = f"by {manifest.published_by}, {manifest.reason}.\nanchor {anchor}, {reason}."
                assert anchor in ("", *store.list_release_ids())
                assert before == seen or not events
                assert (DRIFT in events) == (DRIFT in str(words))
                seen = end
            elif store.published_path.exists():
                assert store.read_current_manifest().release_id == seen
            said += f"\nbuilds {built.call_count}\n{events}"
            for word in words:
                assert re.search(word, said, re.MULTILINE), (word, said)
