"""dbt in a process of its own, whose write lock ends with it; dbtRunner would keep the lock."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ai_manufacturing.system import settings

PRINTED_LINES = 30  # of dbt's, in a message
SET_PARENT_DEATH_SIGNAL = 1  # of Linux' prctl


def started(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    to: IO[str] | int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start dbt in the project, with standard output and errors in one stream.

    Parameters
    ----------
    arguments : sequence of str
        Of dbt's command line.
    environment : mapping of str to str
        Variables to add to those of this process.
    to : file or int
        Where the output goes; a pipe by default.
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
    """Let no dbt outlive a parent that was killed: it would write into the work of the next one."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
