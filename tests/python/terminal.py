"""`ai-manufacturing` as it runs on a terminal, a pseudo one."""

import os
import pty
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.python.conftest import Build


def on_terminal(
    build: Build, *arguments: str, both: bool = False, typed: str = "", **environment: str
) -> tuple[int, str, str]:
    """Run a command whose stderr is a terminal, and its stdout too if both are to be, and its stdin
    if one types.

    Returns
    -------
    tuple of (int, str, str)
        Exit code, what it printed elsewhere, and what the terminal was sent.
    """
    ours, theirs = pty.openpty()
    with tempfile.TemporaryFile() as elsewhere:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "ai-manufacturing"), *arguments],
            cwd=build.project,
            env={**build.environment, "TERM": "xterm", "COLUMNS": "100", **environment},
            stdin=theirs if typed else subprocess.DEVNULL,
            stdout=theirs if both else elsewhere,
            stderr=theirs,
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        sent = b""
        with suppress(OSError):  # the terminal is gone when the command has ended
            while part := os.read(ours, 65536):
                sent += part
        os.close(ours)
        code = process.wait()
        elsewhere.seek(0)
        return code, elsewhere.read().decode("utf-8"), sent.decode("utf-8").replace("\r\n", "\n")
