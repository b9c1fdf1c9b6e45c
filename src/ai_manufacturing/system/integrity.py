"""What shows damage: SHA-256 of files, and logs whose lines each carry that of all before them.

    <file>.sha256, SHA256SUMS   beside a file or in its folder, as sha256sum writes and checks them
    log.jsonl                   one JSON object a line; its last key is the SHA-256 of all before it
    and of itself log.jsonl.head              how many lines there are, and the SHA-256 of the last

A line is on the disk before the head counts it. So the head never leads, and a log with fewer lines
was cut. The head lags by one line at most, where a writer died between the two: a whole line
counts, a torn one is replaced by the next.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_manufacturing.system.disk import locked, replace_bytes, sync, version

SUFFIX = ".sha256"
SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")
Line = dict[str, Any]

OWN = "sha256"


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
    """Write the SHA-256 of a file beside it, whole or not at all.

    The file itself may arrive afterwards.
    """
    _write_sums(beside(path), {path.name: digest})


def recorded(path: Path) -> str | None:
    """Return the SHA-256 that stands beside a file; None if there is none.

    Raises
    ------
    DamagedError
        If what stands there is no line of sha256sum for this file.
    """
    sums = beside(path)
    try:
        return _read_sums(sums)[path.name]
    except FileNotFoundError:
        return None
    except KeyError as error:
        raise DamagedError(f"{sums}: does not name {path.name}") from error


def check(path: Path) -> str | None:
    """Compare a file with the SHA-256 beside it, and return that; None if there is none.

    A file that is replaced meanwhile is compared anew, so that a publication never looks like
    damage.

    Raises
    ------
    DamagedError
        If they differ.
    """
    if not beside(path).exists():
        return None
    while True:
        before = version(path)
        digest = sha256(path)
        # after the file: of a new file it is written last
        expected = recorded(path)
        if expected in (None, digest):
            return expected
        if version(path) == before:
            raise DamagedError(
                f"{path}: its SHA-256 is {digest}, and {beside(path)} says {expected}"
            )


def record_folder(folder: Path, left_out: tuple[str, ...] = ()) -> None:
    """Write SHA256SUMS of all files below a folder, but for those left out by name."""
    _write_sums(folder / SUMS, {name: sha256(folder / name) for name in _names(folder, left_out)})


def check_folder(folder: Path, left_out: tuple[str, ...] = ()) -> list[str]:
    """Return what differs between a folder and its SHA256SUMS, one text for each file."""
    try:
        expected = _read_sums(folder / SUMS)
    except FileNotFoundError:
        return [f"{folder / SUMS}: missing"]
    except DamagedError as error:
        return [str(error)]
    return differences(folder, expected, _names(folder, left_out), SUMS)


def differences(
    folder: Path, expected: Mapping[str, str], present: Iterable[str], witness: object
) -> list[str]:
    """Return what differs between files and their recorded SHA-256, one text for each file.

    Parameters
    ----------
    folder : Path
        What names are relative to.
    expected : mapping of str to str
        SHA-256 by name.
    present : iterable of str
        Names of the files that are there.
    witness : object
        Where the SHA-256 are recorded, as messages name it.
    """
    wrong = [
        f"{folder / name}: {witness} does not name it" for name in present if name not in expected
    ]
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{path}: missing, and {witness} names it")
        elif (actual := sha256(path)) != digest:
            wrong.append(f"{path}: its SHA-256 is {actual}, and {witness} says {digest}")
    return wrong


def _names(folder: Path, left_out: tuple[str, ...]) -> list[str]:
    below = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in below if name not in (SUMS, *left_out))


def _write_sums(path: Path, digests: dict[str, str]) -> None:
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    replace_bytes(path, lines.encode(), mode=0o444)


def _read_sums(path: Path) -> dict[str, str]:
    if path.exists() and not path.is_file():  # to open a pipe waits for its writer
        raise DamagedError(f"{path}: not a regular file")
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
        matches = [LINE.fullmatch(line) for line in lines[:-1]]
    except UnicodeDecodeError as error:
        raise DamagedError(f"{path}: not as sha256sum writes it") from error
    if lines[-1] or not matches or None in matches:
        raise DamagedError(f"{path}: not as sha256sum writes it")
    return {match[2]: match[1] for match in matches if match}


@dataclass(frozen=True)
class Log:
    """What a log holds.

    Attributes
    ----------
    lines : list of dict
        Without their hashes.
    """

    lines: list[Line]
    own: str | None  # hash of the last line
    size: int  # bytes that count
    so_far: "hashlib._Hash"


_read: dict[Path, tuple[object, Log]] = {}


@dataclass(frozen=True)
class Chain:
    """A log and its head.

    Attributes
    ----------
    path : Path
        The log; its folder must exist before a line is appended.
    mode : int
        Permissions of both files.
    damaged : callable
        Makes of a message the error that is raised where the log is damaged.
    """

    path: Path
    mode: int = 0o644
    damaged: Callable[[str], Exception] = DamagedError

    @property
    def head(self) -> Path:
        """Return where the head stands."""
        return self.path.with_name(self.path.name + ".head")

    def read(self) -> Log:
        """Return the log, each byte of it compared, unless this process has read it as it is.

        Raises
        ------
        Exception
            The one of `damaged`, if it was cut, or a line is not as it was written; it names the
            file and the line.
        """
        while True:
            signature = self._signature()
            known, log = _read.get(self.path, (None, None))
            if log is None or known != signature:
                head, content = (
                    path.read_bytes() if path.exists() else None for path in (self.head, self.path)
                )
                if signature != self._signature():  # a writer was between the two
                    continue
                log = self._checked(head, content or b"")
                _read[self.path] = signature, log
            return log

    def append(self, following: Callable[[list[Line]], Line | None]) -> list[Line]:
        """Add a line, whole or not at all, and return all.

        Parameters
        ----------
        following : callable
            Takes the lines so far, which no other writer adds to meanwhile; returns the new one, or
            None.

        Raises
        ------
        Exception
            As `read`.
        OSError
            If the disk refuses, or the file system has no locks.
        """
        with locked(self.path.parent, wait=True):
            log = self.read()
            line = following(log.lines)
            if line is None:
                return log.lines
            if log.lines:
                self._count(log)  # or two writers that die leave two lines uncounted
            log = self._added(log, line)
            self._count(log)
            _read[self.path] = self._signature(), log
            return log.lines

    def _added(self, log: Log, line: Line) -> Log:
        text = _sealed(line, log.so_far) + b"\n"
        is_new = not self.path.exists()
        with self.path.open("ab") as file:
            if is_new:
                os.fchmod(file.fileno(), self.mode)
            file.truncate(log.size)  # what a dead writer left
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync(self.path.parent)
        so_far = log.so_far.copy()
        so_far.update(text)
        return Log([*log.lines, line], json.loads(text)[OWN], log.size + len(text), so_far)

    def _count(self, log: Log) -> None:
        """Write the head of a log, unless it stands there."""
        head = json.dumps({"lines": len(log.lines), OWN: log.own}).encode() + b"\n"
        if not self.head.exists() or self.head.read_bytes() != head:
            replace_bytes(self.head, head, self.mode)

    def _signature(self) -> object:
        return version(self.head), version(self.path)

    def _checked(self, head: bytes | None, content: bytes) -> Log:
        *ended, rest = content.split(b"\n")
        texts = [*ended, rest] if rest else ended
        counted, counted_own = (0, None) if head is None else self._counted(head)
        if len(texts) < counted:
            raise self.damaged(
                f"{self.path}: was cut: it has {len(texts)} lines, and {self.head} counts {counted}"
            )
        if len(texts) > counted + 1:
            what = "is missing" if head is None else f"counts {counted}"
            raise self.damaged(f"{self.path}: has {len(texts)} lines, and {self.head} {what}")
        lines: list[Line] = []
        own, size, so_far = None, 0, hashlib.sha256()
        for number, text in enumerate(texts, start=1):
            line = _parsed(text)
            seal = line.pop(OWN, None)
            if number > len(ended) or text != _sealed(line, so_far):
                if number > counted:
                    break  # of a writer that died
                raise self.damaged(f"{self.path}, line {number}: not as it was written")
            if number == counted and seal != counted_own:
                raise self.damaged(
                    f"{self.path}, line {counted}: not the one that {self.head} counts"
                )
            lines.append(line)
            own, size = seal, size + len(text) + 1
            so_far.update(text + b"\n")
        return Log(lines, own, size, so_far)

    def _counted(self, head: bytes) -> tuple[int, str | None]:
        counted = _parsed(head)
        if head != json.dumps(counted).encode() + b"\n" or counted.keys() != {"lines", OWN}:
            raise self.damaged(f"{self.head}: not as it was written")
        return counted["lines"], counted[OWN]


def _parsed(text: bytes) -> Line:
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def _sealed(line: Line, before: "hashlib._Hash") -> bytes:
    own = before.copy()
    own.update(json.dumps(line, ensure_ascii=False).encode())
    return json.dumps(line | {OWN: own.hexdigest()}, ensure_ascii=False).encode()
