"""Run the `ai-manufacturing` command in a pseudo-terminal, as an interactive user would."""

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
    """Run a command with stderr connected to a pseudo-terminal.

    Parameters
    ----------
    both : bool
        Whether stdout is on the terminal too.
    typed : str
        Input from the terminal. Without it stdin is empty.

    Returns
    -------
    tuple of (int, str, str)
        Exit code, output outside the terminal, and output on the terminal.
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
        # Reading raises OSError after the command has closed the terminal.
        with suppress(OSError):
            while part := os.read(ours, 65536):
                sent += part
        os.close(ours)
        code = process.wait()
        elsewhere.seek(0)
        return code, elsewhere.read().decode("utf-8"), sent.decode("utf-8").replace("\r\n", "\n")
