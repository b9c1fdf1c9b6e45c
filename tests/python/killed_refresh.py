"""A refresh that kills itself at one place of its own code, run by test_refresh.py in a process of its own.

Only the dbt run is replaced, by a copy of a warehouse that dbt built.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ai_manufacturing import settings
from ai_manufacturing.refresh import build, cycle
from ai_manufacturing.releases import attempts, fingerprint
from ai_manufacturing.releases.configured import Limits
from ai_manufacturing.releases.store import Store
from tests.python import dbt_process, killed

ROOMS = ("/ai_manufacturing/refresh/", "/ai_manufacturing/releases/", "/ai_manufacturing/auditing/")


def run(warehouse: Path, last: int, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Refresh, and die at a place, 0 for never; return the exit code and what was printed.

    Printed are how many places there are, and how many of them lie before the release is moved to its place.
    """
    with tempfile.NamedTemporaryFile() as printed:
        arguments = (warehouse, last, folder, environment, printed.name)
        process = dbt_process.processes.Process(target=_refresh, args=arguments)
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode, printed.read().decode("utf-8")


def _refresh(warehouse: Path, last: int, folder: Path, environment: dict[str, str], printed: str) -> None:
    dbt_process.settle_in(folder, environment, printed)

    def copied(work: Path, target: Path, *arguments: str, **options: Any) -> bool:
        shutil.copyfile(warehouse, target)
        return False

    something_new = os.urandom(8).hex()
    build.dbt = copied
    fingerprint.of = lambda hashes: something_new
    store = Store(settings.release_dir(), settings.release_path(), kept=2)
    with killed.at_place(ROOMS, last, mark="add"), attempts.recorded(settings.release_dir()):
        cycle.refresh(store, Limits(), lambda event, facts: None)
