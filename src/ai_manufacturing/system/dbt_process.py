"""Run dbt in a subprocess, so that its DuckDB write lock is released when it exits.

dbtRunner, which runs dbt in the calling process, would not release the lock.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ai_manufacturing.system import settings

PRINTED_LINES = 30  # number of lines of dbt output to include in an error message
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, an option of Linux's prctl(2)


def start_dbt(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    to: IO[str] | int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start dbt in the project folder, with standard error merged into standard output.

    Parameters
    ----------
    arguments : sequence of str
        Command-line arguments of dbt.
    environment : mapping of str to str
        Environment variables to add to this process's own.
    to : file or int
        Destination of the output; a pipe by default.
    """
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "dbt"), "--no-use-colors", *arguments],
        cwd=settings.project_root(),
        env={"DBT_PROFILES_DIR": str(settings.engine_root()), **os.environ, **environment},
        stdout=to,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _die_with_parent() -> None:
    """Ask Linux to kill dbt when its parent dies, so that no orphan overwrites the next run."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
