"""Who may read and write the landing store: whoever may its folder."""

from pathlib import Path


def make_folder(folder: Path, store: Path) -> None:
    """Make a folder of the store, with the permissions of the store's own.

    The folder of the store decides who reads and writes it; a new one is for its owner to write and for all to read,
    whatever the umask. No folder of it is for all to write.
    """
    if not store.is_dir():
        store.mkdir(parents=True, exist_ok=True)
        store.chmod(0o755)
    for path in reversed([folder, *folder.parents]):
        if path != store and path.is_relative_to(store) and not path.is_dir():
            path.mkdir(exist_ok=True)
            share(path, store)


def share(path: Path, store: Path) -> None:
    """Give a file or a folder the permissions of the store."""
    path.chmod(store.stat().st_mode & 0o775 | 0o700 if path.is_dir() else file_mode(store))


def file_mode(store: Path) -> int:
    """Return the permissions of a file of the store."""
    return (store.stat().st_mode & 0o775 | 0o700) & 0o666
