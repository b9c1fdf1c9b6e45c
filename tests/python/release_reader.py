"""Read the published release repeatedly in a separate process, to test concurrent reads.

The module imports little, because twenty readers start at once.
"""

import json
import time
from pathlib import Path

import duckdb

# Seconds between two reads, so that twenty readers leave processor time for the refresh.
PAUSE = 0.5


def releases_read(path: str, begun: Path) -> list[str]:
    """Open the published file repeatedly, and check its row counts against its manifest.

    Parameters
    ----------
    path : str
        The published file.
    begun : Path
        Created after the first read. The reader stops once it is deleted.

    Returns
    -------
    list of str
        The release of each read.
    """
    seen: list[str] = []
    is_last = False
    while not is_last:
        is_last = bool(seen) and not begun.exists()
        with duckdb.connect(path, read_only=True) as connection:
            ((release_id, counts),) = connection.execute(
                "select release_id, row_counts from release.manifest"
            ).fetchall()
            for table in ("reports.rpt_coefficients", "marts.fct_city_year_panel"):
                ((count,),) = connection.execute(f"select count(*) from {table}").fetchall()
                assert count == json.loads(counts)[table], f"{table} of {release_id}"
        if not seen:
            begun.touch()
        seen.append(release_id)
        time.sleep(PAUSE)
    return seen
