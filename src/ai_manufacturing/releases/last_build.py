"""The warehouse of the last published refresh, which the next one starts from.

It is kept in RELEASE_DIR/last_build with what it was built by. Deliveries and seeds may differ: what rests on them is
built anew (`refresh.changed_steps`). If anything else differs, or a file is damaged, a refresh builds from nothing
(docs/decisions/incremental_refresh.md).
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from ai_manufacturing import settings
from ai_manufacturing.landing.extracts import DESCRIPTION
from ai_manufacturing.releases import fingerprint
from ai_manufacturing.system import integrity
from ai_manufacturing.system.disk import copy, open_to_readers, put_in_place

FOLDER = "last_build"  # in RELEASE_DIR, and the name of a link to it in the folder of a build
WAREHOUSE = "warehouse.duckdb"
DESCRIBED = "build.json"
PARSED = "partial_parse.msgpack"  # dbt's own, of the whole project
RESULTS = "run_results.json"  # dbt's own: what became of each step, and how long it took
VARIABLES = re.compile(
    "CURVE_PERMUTATIONS|WAREHOUSE_(THREADS|MEMORY_LIMIT)|ACCEPTED_GATE_FAILURES|DBT_(?!LOG_|.*(DIR|PATH)$).*"
)
"""Of the environment, on which tables depend; where dbt finds and writes its files and how it logs are none of them."""


def made_by() -> dict[str, Any]:
    """Return what tables are a function of, apart from deliveries and the content of seeds."""
    extracts = settings.extracts_dir()
    described = extracts / DESCRIPTION
    return {
        "code": {name: sha256 for name, sha256 in fingerprint.code().items() if not _is_seed(name)},
        "packages": fingerprint.package_versions(),
        "python": sys.version,
        "extract_set": [str(extracts), integrity.sha256(described) if described.is_file() else None],
        "landing_dir": str(settings.landing_dir()),
        "variables": {name: value for name, value in sorted(os.environ.items()) if VARIABLES.fullmatch(name)},
    }


def seeds() -> dict[str, str]:
    """Return the SHA-256 of each seed by its name."""
    return {Path(name).stem: sha256 for name, sha256 in fingerprint.code().items() if _is_seed(name)}


def start_from(folder: Path, work: Path) -> str | None:
    """Lay the last build out for a new one, in its folder.

    Parameters
    ----------
    folder : Path
        RELEASE_DIR.
    work : Path
        Folder of the new build, without a warehouse.

    Returns
    -------
    str or None
        What is damaged, so that the new build is one from nothing.
    """
    last = folder / FOLDER
    if damaged := damage(folder):
        return damaged[0]
    described = last / DESCRIBED
    if described.exists() and json.loads(described.read_text(encoding="utf-8"))["made_by"] == made_by():
        (work / "target").mkdir()
        copy(last / PARSED, work / "target" / PARSED)
        copy(last / WAREHOUSE, work / WAREHOUSE)
        (work / FOLDER).symlink_to(last.absolute())
    return None


def keep(folder: Path, work: Path, made: dict[str, Any], of_seeds: dict[str, str]) -> None:
    """Keep a build in the place of the last one; its warehouse is moved.

    Parameters
    ----------
    folder, work : Path
        As in start_from.
    made, of_seeds
        What made_by and seeds returned before the build.
    """
    if not (work / "target" / RESULTS).exists():
        return
    incoming = work / "kept"
    incoming.mkdir()
    gather(work, incoming, made, of_seeds)
    open_to_readers(incoming, files=0o444)
    integrity.record_folder(incoming)
    put_in_place(incoming, folder / FOLDER)


def gather(work: Path, incoming: Path, made: dict[str, Any], of_seeds: dict[str, str]) -> None:
    """Move a build, as far as dbt has left it, into a folder, with what it was made by; parameters as in keep."""
    for path in (work / WAREHOUSE, work / "target" / PARSED, work / "target" / RESULTS):
        if path.exists():
            path.replace(incoming / path.name)
    described = {"made_by": made, "seeds": of_seeds}
    (incoming / DESCRIBED).write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")


def lay_out(gathered: Path, work: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Copy a build that was gathered in a folder to where dbt would have left it, and return what it was made by."""
    (work / "target").mkdir()
    for name, to in ((WAREHOUSE, work), (PARSED, work / "target"), (RESULTS, work / "target")):
        if (gathered / name).exists():
            copy(gathered / name, to / name)
    if not (gathered / DESCRIBED).exists():  # held by earlier code, without dbt's results: keep passes it over
        return made_by(), seeds()
    described = json.loads((gathered / DESCRIBED).read_text(encoding="utf-8"))
    return described["made_by"], described["seeds"]


def passed(last: Path) -> set[str]:
    """Return the tests that passed in a build that was kept in a folder."""
    results = json.loads((last / RESULTS).read_text(encoding="utf-8"))["results"]
    return {result["unique_id"] for result in results if result["status"] == "pass"}


def damage(folder: Path) -> list[str]:
    """Return what differs between the last build and its SHA-256, a line for each file; nothing if there is none."""
    try:
        return integrity.check_folder(folder / FOLDER)
    except FileNotFoundError:  # no refresh has published yet
        return []
    except integrity.DamagedError as error:
        return [str(error)]


def _is_seed(name: str) -> bool:
    return name.startswith("seeds/") and name.endswith(".csv")
