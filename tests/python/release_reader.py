"""A reader of the published file, in a process of its own that imports little: twenty of them start
at once.
"""

import json
import time
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import duckdb

from tests.python.waiting import LAST_RESORT

PAUSE = 0.5  # seconds, so that twenty readers leave the refresh a processor


def read_in_a_loop(
    path: str, begun: Barrier, published: "Synchronized[int]", stop: Event, found: Any
) -> None:
    """Open the published file again and again, and compare what is read with its manifest.

    `published` is the number of the newest release that is surely in place: nothing older may be
    read after it.
    """
    seen: list[str] = []
    reads, last = 0, False
    begun.wait(LAST_RESORT)
    try:
        while not last:
            last = stop.is_set()
            at_least = published.value
            with duckdb.connect(path, read_only=True) as connection:
                ((release_id, counts),) = connection.execute(
                    "select release_id, row_counts from release.manifest"
                ).fetchall()
                for table in ("reports.rpt_coefficients", "marts.fct_city_year_panel"):
                    ((count,),) = connection.execute(f"select count(*) from {table}").fetchall()
                    assert count == json.loads(counts)[table], f"{table} of {release_id}"
            assert int(release_id) >= at_least, f"{release_id} after {at_least} was published"
            reads += 1
            if not seen or seen[-1] != release_id:
                seen.append(release_id)
            time.sleep(PAUSE)
    except Exception as error:  # what a reader must never see is what is asked here
        found.put(("error", repr(error)))
        return
    found.put((reads, seen))
