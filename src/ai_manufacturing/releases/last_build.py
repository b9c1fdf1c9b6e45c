"""What the last refresh built: its warehouse for `trace`, its results, and the project as parsed for the next one."""

from pathlib import Path

from ai_manufacturing.system.disk import copy, open_to_readers, put_in_place

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
    """Move what dbt left of a build to the place of that of the last one; parameters as in start_from."""
    incoming = work / FOLDER
    incoming.mkdir()
    for path in (work / WAREHOUSE, work / "target" / PARSED, work / "target" / RESULTS):
        if path.exists():
            path.replace(incoming / path.name)
    open_to_readers(incoming)
    put_in_place(incoming, folder / FOLDER)
