"""SHA-256 of files, kept beside them as sha256sum writes and checks it: `<file>.sha256`, or SHA256SUMS of a folder."""

import hashlib
import os
import re
from pathlib import Path

from ai_manufacturing.durable import replace_bytes

SUFFIX = ".sha256"
SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


class DamagedError(Exception):
    """A file that is not what was written; the message names it, and says what differs."""


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def beside(path: Path) -> Path:
    """Return where the SHA-256 of a file stands."""
    return path.with_name(path.name + SUFFIX)


def record(path: Path, digest: str) -> None:
    """Write the SHA-256 of a file beside it, whole or not at all; the file itself may arrive afterwards."""
    _write(beside(path), {path.name: digest})


def recorded(path: Path) -> str | None:
    """Return the SHA-256 that stands beside a file; None if there is none.

    Raises
    ------
    DamagedError
        If what stands there is no line of sha256sum for this file.
    """
    sums = beside(path)
    try:
        return _read(sums)[path.name]
    except FileNotFoundError:
        return None
    except KeyError as error:
        raise DamagedError(f"{sums}: does not name {path.name}") from error


def check(path: Path) -> str | None:
    """Compare a file with the SHA-256 beside it, and return that; None if there is none.

    A file that is replaced meanwhile is compared anew, so that a publication never looks like damage.

    Raises
    ------
    DamagedError
        If they differ.
    """
    if not beside(path).exists():
        return None
    while True:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            # after the file: of a new file it is written last
            expected = recorded(path)
            is_replaced = not os.path.samestat(os.fstat(file.fileno()), path.stat())
        if expected in (None, found):
            return expected
        if not is_replaced:
            raise DamagedError(f"{path}: its SHA-256 is {found}, and {beside(path)} says {expected}")


def record_folder(folder: Path, left_out: tuple[str, ...] = ()) -> None:
    """Write SHA256SUMS of all files below a folder, but for those left out by name."""
    _write(folder / SUMS, {name: sha256(folder / name) for name in _names(folder, left_out)})


def check_folder(folder: Path, left_out: tuple[str, ...] = ()) -> list[str]:
    """Return what differs between a folder and its SHA256SUMS, one text for each file.

    Raises
    ------
    FileNotFoundError
        If it has none.
    DamagedError
        If SHA256SUMS is not as it was written.
    """
    expected = _read(folder / SUMS)
    names = _names(folder, left_out)
    wrong = [f"{folder / name}: SHA256SUMS does not name it" for name in names if name not in expected]
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{path}: missing, and SHA256SUMS names it")
        elif (found := sha256(path)) != digest:
            wrong.append(f"{path}: its SHA-256 is {found}, and SHA256SUMS says {digest}")
    return wrong


def _names(folder: Path, left_out: tuple[str, ...]) -> list[str]:
    below = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in below if name not in (SUMS, *left_out))


def _write(path: Path, digests: dict[str, str]) -> None:
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    replace_bytes(path, lines.encode(), mode=0o444)


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
        found = [LINE.fullmatch(line) for line in lines[:-1]]
    except UnicodeDecodeError as error:
        raise DamagedError(f"{path}: not as sha256sum writes it") from error
    if lines[-1] or not found or None in found:
        raise DamagedError(f"{path}: not as sha256sum writes it")
    return {match[2]: match[1] for match in found if match}
