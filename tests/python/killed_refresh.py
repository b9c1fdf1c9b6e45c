"""A refresh that kills itself at one line of its own code, run by test_refresh.py in a process of its own.

    python killed_refresh.py <built warehouse> <line to die at, 0 for never>

Only the dbt run is replaced, by a copy of a warehouse that dbt built; prints how many lines were run.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from ai_manufacturing import settings
from ai_manufacturing.releases import refresh
from ai_manufacturing.releases.store import Store

lines = 0
warehouse, last = Path(sys.argv[1]), int(sys.argv[2])


def trace(frame: FrameType, event: str, argument: Any) -> Any:
    """Count the lines of the releases package, and die at one of them."""
    global lines
    if "/releases/" not in frame.f_code.co_filename:
        return None
    if event == "line":
        lines += 1
        if lines == last:
            os.kill(os.getpid(), signal.SIGKILL)
    return trace


def copied(work: Path, target: Path, *arguments: str, accepted: str = "") -> bool:
    shutil.copyfile(warehouse, target)
    return False


refresh._dbt = copied
refresh.fingerprint = lambda hashes: os.urandom(8).hex()  # there is always something new
store = Store(settings.release_dir(), settings.release_path(), kept=3)
sys.settrace(trace)
try:
    refresh.refresh(store, refresh.Limits(), lambda event, facts: None)
finally:
    sys.settrace(None)
    print(lines)
