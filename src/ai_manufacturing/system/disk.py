"""What must outlive a power cut, and what must not outlive its process.

File systems keep the order of names and of contents apart; the kernel releases the locks of the
dead.
"""

import ctypes
import errno
import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


def refusal(error: OSError, place: Path) -> tuple[str, str]:
    """Return what the system refused and why, and what a person can do about it.

    Parameters
    ----------
    error : OSError
        Raised while something was written.
    place : Path
        Where it was to be written. A file that is missing is named instead: the writer needed it.
    """
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
        missing = next((above for above in reversed(path.parents) if not above.exists()), path)
        return f"{missing}: {error.strerror}", "Put it there"
    if error.errno in FULL:
        return f"{place}: the disk is full", "Make room"
    return f"{place}: {error.strerror or error}", "Make it writable"


def version(path: Path) -> tuple[int, ...]:
    """Return what tells one content of a file from another without reading it; empty if none."""
    try:
        at = path.stat()
    except OSError:
        return ()
    return at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns


def sync(path: Path) -> None:
    """Write a file or a folder through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Give a file another content: whole and on the disk, or not at all."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_bytes(content)
        draft.chmod(mode)
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def make_folder(folder: Path, store: Path | None = None) -> None:
    """Make a folder, and those above it.

    Their owner writes and all read, whatever the umask. A folder that is there keeps its
    permissions: they are its owner's choice.

    Parameters
    ----------
    folder : Path
        The folder.
    store : Path, optional
        One that decides who reads and writes what is made below it.
    """
    for path in reversed([folder, *folder.parents]):
        if not path.exists():
            path.mkdir(exist_ok=True)
            if store is not None and path != store and path.is_relative_to(store):
                share(path, store)
            else:
                path.chmod(0o755)


def share(path: Path, store: Path) -> None:
    """Give a file or a folder the permissions of the store that it lies in.

    No folder is for all to write.
    """
    path.chmod(store.stat().st_mode & 0o775 | 0o700 if path.is_dir() else file_mode(store))


def file_mode(store: Path) -> int:
    """Return the permissions of a file of a store."""
    return (store.stat().st_mode & 0o775 | 0o700) & 0o666


def open_to_readers(folder: Path, files: int = 0o644) -> None:
    """Let all read a finished folder, whatever the umask that it was made under.

    Parameters
    ----------
    folder : Path
        The folder; what lies in it is included.
    files : int
        Permissions of its files.
    """
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else files)


def put_in_place(finished: Path, target: Path) -> None:
    """Put a finished folder where another may be, which is removed.

    A reader finds one of the two at any time, where the file system can exchange two names.
    Elsewhere it finds none between two renames.

    Raises
    ------
    OSError
        If a folder cannot be renamed.
    """
    if not target.exists():
        finished.rename(target)
    elif _exchanged(finished, target):
        shutil.rmtree(finished, ignore_errors=True)
    else:
        old = finished.with_name(f"{finished.name}.old")
        target.rename(old)
        finished.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange the names of two folders; return False where the system cannot."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of renameat2(2)
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:  # not Linux
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


@contextmanager
def private_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside the one that it will replace.

    What dead processes left there is removed. The folder is locked while the block runs and removed
    after it, unless it was moved.

    Parameters
    ----------
    target : Path
        The folder to replace; it need not exist, but its parent must.
    """
    remove_left(target)
    own = target.with_name(f".{target.name}.{os.getpid()}")
    own.mkdir()
    try:
        with locked(own):
            yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove_left(target: Path) -> list[Path]:
    """Remove what dead processes left beside a folder that they would have replaced; return it."""
    removed = []
    for folder in target.parent.glob(f".{glob.escape(target.name)}.[0-9]*"):
        with suppress(OSError), locked(folder):  # one that is locked is at work
            shutil.rmtree(folder)
            removed.append(folder)
    return removed


@contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder.

    Parameters
    ----------
    folder : Path
        The folder.
    wait : bool
        Wait for another process that holds it; else BlockingIOError at once.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
