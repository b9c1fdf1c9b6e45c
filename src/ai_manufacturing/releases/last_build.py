"""What dbt left of the last refresh: the project as parsed, which saves the next one that work, and its results."""

from pathlib import Path

from ai_manufacturing.system.disk import copy, put_in_place

FOLDER = "last_build"  # in RELEASE_DIR
WAREHOUSE = "warehouse.duckdb"
PARSED = "partial_parse.msgpack"  # dbt's own, of the whole project
RESULTS = "run_results.json"  # dbt's own: what became of each step, and how long it took


def start_from(folder: Path, work: Path) -> None:
    """Lay out what dbt parsed for a new build, which parses again what has changed since.

    Parameters
    ----------
    folder : Path
        RELEASE_DIR.
    work : Path
        Folder of the new build.
    """
    parsed = folder / FOLDER / PARSED
    if parsed.exists():
        (work / "target").mkdir()
        copy(parsed, work / "target" / PARSED)


def keep(folder: Path, work: Path) -> None:
    """Keep what dbt left of a build in the place of that of the last one; parameters as in start_from."""
    incoming = work / FOLDER
    incoming.mkdir()
    for name in (PARSED, RESULTS):
        if (work / "target" / name).exists():
            copy(work / "target" / name, incoming / name)
    put_in_place(incoming, folder / FOLDER)
