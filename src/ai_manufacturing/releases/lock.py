"""File lock that allows one refresh at a time, released if its process dies."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ai_manufacturing.releases.errors import BadConfigurationError, LockedError
from ai_manufacturing.system import clock
from ai_manufacturing.system.disk import make_folder

PAUSES = (0.05, 0.2)
"""Seconds between attempts, because `read_holder` itself locks the file for microseconds."""


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive file lock while the `with` block runs.

    Parameters
    ----------
    path : Path
        The lock file, which remains after the lock is released.

    Raises
    ------
    LockedError
        If another process holds the lock; the message names it.
    BadConfigurationError
        If the file cannot be created.
    """
    try:
        make_folder(path.parent)
        is_new = not path.exists()
        file = path.open("a+", encoding="utf-8")
        if is_new:
            path.chmod(0o644)  # readable to all users, regardless of the umask
    except OSError as error:
        raise BadConfigurationError(
            f"{path}: {error.strerror}. Set RELEASE_DIR to a folder that you can write to."
        ) from error
    with file:
        try:
            _acquire_lock(file)
        except BlockingIOError:
            file.seek(0)
            description = file.read().strip() or "it has just begun"
            raise LockedError(
                f"Another refresh is running ({description}). Wait until that refresh ends."
            ) from None
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": clock.now(),
        }
        file.seek(0)
        file.truncate()
        file.write(json.dumps(holder))
        file.flush()
        yield


def read_holder(path: Path) -> dict[str, Any] | None:
    """Return the process that holds a file lock, or None; needs only read permission.

    Parameters
    ----------
    path : Path
        The lock file.

    Returns
    -------
    dict or None
        pid, host and since (UTC), whose values are None until the holder has written them; None if
        the lock is free.
    """
    try:
        file = path.open(encoding="utf-8")
    except OSError:  # the file does not exist before the first lock
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            process: dict[str, Any] = dict.fromkeys(("pid", "host", "since"))
            with suppress(ValueError):
                process |= json.load(file)
            return process
    return None


def _acquire_lock(file: IO[str]) -> None:
    for pause in PAUSES:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
