"""Write files durably, set their permissions, and lock folders.

File systems may write names and contents in any order, so files are synced before they are renamed.
The kernel releases the locks of processes that die.
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

FULL_DISK_CODES = (errno.ENOSPC, errno.EDQUOT)  # error codes for a full disk and an exceeded quota


def describe_failure(error: OSError, place: Path) -> tuple[str, str]:
    """Return the cause and the remedy of a failed write as two phrases for an error message.

    Parameters
    ----------
    error : OSError
        Error raised while writing.
    place : Path
        Path to write to. For a missing file, the message names that file instead.
    """
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
        missing = next((above for above in reversed(path.parents) if not above.exists()), path)
        return f"{missing}: {error.strerror}", "Create it"
    if error.errno in FULL_DISK_CODES:
        return f"{place}: the disk is full", "Free disk space"
    return f"{place}: {error.strerror or error}", "Make it writable"


def file_signature(path: Path) -> tuple[int, ...]:
    """Return inode, size and timestamps of a file to detect changes; empty if it is missing."""
    try:
        at = path.stat()
    except OSError:
        return ()
    return at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns


def sync(path: Path) -> None:
    """Flush a file or a folder to disk with fsync."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace the content of a file atomically and durably."""
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
    """Create a folder and any missing parents, with permissions independent of the umask.

    New folders are writable by their owner and readable by all, regardless of the umask. Existing
    folders are not changed, because their permissions are their owner's choice.

    Parameters
    ----------
    folder : Path
        Folder to create.
    store : Path, optional
        Folder whose permissions apply to new folders below it.
    """
    for path in reversed([folder, *folder.parents]):
        if not path.exists():
            path.mkdir(exist_ok=True)
            if store is not None and path != store and path.is_relative_to(store):
                apply_store_permissions(path, store)
            else:
                path.chmod(0o755)


def apply_store_permissions(path: Path, store: Path) -> None:
    """Apply the permissions of a store's root folder to `path`, without world write access."""
    path.chmod(store.stat().st_mode & 0o775 | 0o700 if path.is_dir() else file_mode(store))


def file_mode(store: Path) -> int:
    """Return the permission bits for new files below a store's root folder."""
    return (store.stat().st_mode & 0o775 | 0o700) & 0o666


def open_to_readers(folder: Path, files: int = 0o644) -> None:
    """Make a folder and its content readable by all users, regardless of the umask.

    Parameters
    ----------
    folder : Path
        Folder to change, including its content.
    files : int
        Permissions of its files.
    """
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else files)


def put_in_place(finished: Path, target: Path) -> None:
    """Move a finished folder to a target path, replacing any folder at that path.

    If the file system can exchange two names, readers always find one of the two folders.
    Otherwise, they find none between two renames.

    Raises
    ------
    OSError
        If a folder cannot be renamed.
    """
    if not target.exists():
        finished.rename(target)
    elif _exchange_names(finished, target):
        shutil.rmtree(finished, ignore_errors=True)
    else:
        old = finished.with_name(f"{finished.name}.old")
        target.rename(old)
        finished.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _exchange_names(one: Path, other: Path) -> bool:
    """Swap two folders atomically; return False if the operating system does not support it."""
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, constants for renameat2(2)
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:  # not Linux
        return False
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


@contextmanager
def private_folder(target: Path) -> Iterator[Path]:
    """Create a locked temporary folder next to the folder that it is meant to replace.

    Temporary folders of dead processes are removed first. The new folder is locked during the with
    block, and removed afterwards unless it was moved.

    Parameters
    ----------
    target : Path
        Folder to replace; it need not exist, but its parent must.
    """
    remove_stale_folders(target)
    own = target.with_name(f".{target.name}.{os.getpid()}")
    own.mkdir()
    try:
        with lock_folder(own):
            yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove_stale_folders(target: Path) -> list[Path]:
    """Delete temporary folders that dead processes left next to `target`; return their paths."""
    removed = []
    for folder in target.parent.glob(f".{glob.escape(target.name)}.[0-9]*"):
        with suppress(OSError), lock_folder(folder):  # skip folders that a live process has locked
            shutil.rmtree(folder)
            removed.append(folder)
    return removed


@contextmanager
def lock_folder(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on a folder for the duration of a with block.

    Parameters
    ----------
    folder : Path
        Folder to lock.
    wait : bool
        Whether to wait if another process holds the lock; otherwise BlockingIOError is raised.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)
