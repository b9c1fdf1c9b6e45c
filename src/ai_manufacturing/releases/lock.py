"""One refresh, or one export, at a time: a lock that its holder's death releases."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ai_manufacturing.durable import make_folder
from ai_manufacturing.releases.errors import BadConfigurationError, LockedError


@contextmanager
def held(
    path: Path, wait: bool = False, way_out: str = "Set RELEASE_DIR to a folder that this user may write to."
) -> Iterator[None]:
    """Hold the lock while the block runs.

    Parameters
    ----------
    path : Path
        The lock file; it stays when the lock is released.
    wait : bool
        Wait for the holder to finish.
    way_out : str
        What to do if the file cannot be made.

    Raises
    ------
    LockedError
        At once, naming the holder, unless it waits.
    BadConfigurationError
        If the file cannot be made.
    """
    try:
        make_folder(path.parent)
        is_new = not path.exists()
        file = path.open("a+", encoding="utf-8")
        if is_new:
            path.chmod(0o644)  # whatever the umask
    except OSError as error:
        raise BadConfigurationError(f"{path}: {error.strerror}. {way_out}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            raise LockedError(f"Another refresh is at work: {file.read().strip() or 'it has just begun'}.") from None
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat("T", "seconds"),
        }
        file.seek(0)
        file.truncate()
        file.write(json.dumps(holder))
        file.flush()
        yield
