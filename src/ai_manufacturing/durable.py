"""What must outlive a power cut, and what must not outlive its process.

File systems keep the order of names and of contents apart; the kernel releases the locks of the dead.
"""

import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sync(path: Path) -> None:
    """Write a file or a folder through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def private_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside the one that it will replace, and remove those that dead processes left there.

    The folder is locked while the block runs and removed after it, unless it was moved.

    Parameters
    ----------
    target : Path
        The folder to replace; it need not exist, but its parent must.
    """
    for left in target.parent.glob(f".{glob.escape(target.name)}.[0-9]*"):
        with suppress(OSError), _locked(left):  # one that is locked is at work
            shutil.rmtree(left)
    own = target.with_name(f".{target.name}.{os.getpid()}")
    own.mkdir()
    try:
        with _locked(own):
            yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; BlockingIOError at once if another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
