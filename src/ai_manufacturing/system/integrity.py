"""Detect damaged files by SHA-256 checksums, and altered log lines by hash chains.

    <file>.sha256, SHA256SUMS   checksums next to a file or in its folder, in sha256sum's format
    log.jsonl                   one JSON object per line; the last key of a line is the SHA-256 of
                                all preceding lines and of the line itself
    log.jsonl.head              number of lines, and the SHA-256 of the last line

A line is written to disk before the head counts it. The head therefore never counts more lines than
the log has, unless the log was truncated. If a writer dies between the two steps, the head is one
line behind: a complete extra line is valid, and the next writer overwrites an incomplete one.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_manufacturing.system.disk import file_signature, lock_folder, replace_bytes, sync

SUFFIX = ".sha256"
SUMS = "SHA256SUMS"
CHECKSUM_LINE = re.compile(r"([0-9a-f]{64})  (.+)")  # checksum and file name in sha256sum's format
Line = dict[str, Any]

HASH_KEY = "sha256"  # key under which each log line stores its hash


class DamagedError(Exception):
    """Raised if a file was altered or truncated; the message names the file and the difference."""


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum_path(path: Path) -> Path:
    """Return the path of the file that stores the SHA-256 digest of `path`."""
    return path.with_name(path.name + SUFFIX)


def record_checksum(path: Path, digest: str) -> None:
    """Atomically write the SHA-256 digest of `path` to its checksum file.

    The file itself need not exist yet.
    """
    _write_sums(checksum_path(path), {path.name: digest})


def read_checksum(path: Path) -> str | None:
    """Return the recorded SHA-256 digest of a file, or None if it has no checksum file.

    Raises
    ------
    DamagedError
        If the checksum file is not in sha256sum's format, or does not name the file.
    """
    sums = checksum_path(path)
    try:
        return _read_sums(sums)[path.name]
    except FileNotFoundError:
        return None
    except KeyError as error:
        raise DamagedError(f"{sums} does not list {path.name}") from error


def check_file(path: Path) -> str | None:
    """Verify a file against its recorded SHA-256 digest, and return the digest if there is one.

    If the file is replaced during the check, the check is repeated, so that a publication is not
    mistaken for damage.

    Raises
    ------
    DamagedError
        If the checksums differ.
    """
    if not checksum_path(path).exists():
        return None
    while True:
        before = file_signature(path)
        digest = sha256(path)
        # Read the recorded digest after hashing the file, because publishing writes the digest
        # last.
        expected = read_checksum(path)
        if expected in (None, digest):
            return expected
        if file_signature(path) == before:
            checksum_file = checksum_path(path)
            raise DamagedError(
                f"{path}: its SHA-256 is {digest}, but {checksum_file} records {expected}"
            )


def record_folder(folder: Path, excluded: tuple[str, ...] = ()) -> None:
    """Write the file SHA256SUMS for all files below a folder except `excluded`."""
    _write_sums(
        folder / SUMS, {name: sha256(folder / name) for name in _list_names(folder, excluded)}
    )


def check_folder(folder: Path, excluded: tuple[str, ...] = ()) -> list[str]:
    """Return one message per file that does not match the SHA256SUMS of its folder."""
    try:
        expected = _read_sums(folder / SUMS)
    except FileNotFoundError:
        return [f"{folder / SUMS} is missing"]
    except DamagedError as error:
        return [str(error)]
    return compare_checksums(folder, expected, _list_names(folder, excluded), SUMS)


def compare_checksums(
    folder: Path, expected: Mapping[str, str], present: Iterable[str], record_name: object
) -> list[str]:
    """Return one message per file that is missing, unrecorded, or differs from its digest.

    Parameters
    ----------
    folder : Path
        Folder that names are relative to.
    expected : mapping of str to str
        Recorded SHA-256 by file name.
    present : iterable of str
        Names of existing files.
    record_name : object
        Name of the record, for messages.
    """
    faults = [
        f"{folder / name} is not listed in {record_name}"
        for name in present
        if name not in expected
    ]
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{path} is missing, but {record_name} lists it")
        elif (actual := sha256(path)) != digest:
            faults.append(f"{path}: its SHA-256 is {actual}, but {record_name} records {digest}")
    return faults


def _list_names(folder: Path, excluded: tuple[str, ...]) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in (SUMS, *excluded))


def _write_sums(path: Path, digests: dict[str, str]) -> None:
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    replace_bytes(path, lines.encode(), mode=0o444)


def _read_sums(path: Path) -> dict[str, str]:
    if path.exists() and not path.is_file():  # opening a named pipe would block the process
        raise DamagedError(f"{path} is not a regular file, so the checksums cannot be read")
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
        matches = [CHECKSUM_LINE.fullmatch(line) for line in lines[:-1]]
    except UnicodeDecodeError as error:
        raise DamagedError(
            f"{path} is not a list of checksums in the format of sha256sum"
        ) from error
    if lines[-1] or not matches or None in matches:
        raise DamagedError(f"{path} is not a list of checksums in the format of sha256sum")
    return {match[2]: match[1] for match in matches if match}


@dataclass(frozen=True)
class Log:
    """Verified content of a hash-chained log.

    Attributes
    ----------
    lines : list of dict
        Valid lines without their hashes.
    last_hash : str or None
        Hash of the last line.
    size : int
        Size of the valid lines in bytes.
    running_hash : hashlib hash
        Running hash over the valid lines.
    """

    lines: list[Line]
    last_hash: str | None
    size: int
    running_hash: "hashlib._Hash"


# Cache of verified logs by path, with the signatures of the files that were read.
_verified_logs: dict[Path, tuple[object, Log]] = {}


@dataclass(frozen=True)
class Chain:
    """Hash-chained log in JSON lines, with a head file that records the number of lines.

    Attributes
    ----------
    path : Path
        File of the log; its folder must exist before a line is appended.
    mode : int
        Permissions of log and head.
    make_error : callable
        Creates the exception for a damaged log from a message.
    """

    path: Path
    mode: int = 0o644
    make_error: Callable[[str], Exception] = DamagedError

    @property
    def head(self) -> Path:
        """Path of the head file, which records the number of lines and the last hash."""
        return self.path.with_name(self.path.name + ".head")

    def read(self) -> Log:
        """Read and verify the log, or return the cached content if its files are unchanged.

        Raises
        ------
        Exception
            The exception from `make_error` if the log was truncated or a line was altered; it names
            the file and the line.
        """
        while True:
            signature = self._signature()
            cached_signature, log = _verified_logs.get(self.path, (None, None))
            if log is None or cached_signature != signature:
                head, content = (
                    path.read_bytes() if path.exists() else None for path in (self.head, self.path)
                )
                if signature != self._signature():  # another process changed the log meanwhile
                    continue
                log = self._verify(head, content or b"")
                _verified_logs[self.path] = signature, log
            return log

    def append(self, make_line: Callable[[list[Line]], Line | None]) -> list[Line]:
        """Append a line to the log while holding a lock, and return all lines.

        Parameters
        ----------
        make_line : callable
            Takes the current lines and returns the new line, or None for no change. It is called
            with the lock held, so that no other writer can add lines.

        Raises
        ------
        Exception
            As in `read`.
        OSError
            If the disk is not writable, or the file system does not support locks.
        """
        with lock_folder(self.path.parent, wait=True):
            log = self.read()
            line = make_line(log.lines)
            if line is None:
                return log.lines
            if log.lines:
                self._write_head(log)  # repair an outdated head, so that it never lags two lines
            log = self._append_line(log, line)
            self._write_head(log)
            _verified_logs[self.path] = self._signature(), log
            return log.lines

    def _append_line(self, log: Log, line: Line) -> Log:
        text = _seal_line(line, log.running_hash) + b"\n"
        is_new = not self.path.exists()
        with self.path.open("ab") as file:
            if is_new:
                os.fchmod(file.fileno(), self.mode)
            file.truncate(log.size)  # remove the partial line of a writer that died
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync(self.path.parent)
        running_hash = log.running_hash.copy()
        running_hash.update(text)
        return Log(
            [*log.lines, line], json.loads(text)[HASH_KEY], log.size + len(text), running_hash
        )

    def _write_head(self, log: Log) -> None:
        """Write the head file of the log unless it is up to date."""
        head = json.dumps({"lines": len(log.lines), HASH_KEY: log.last_hash}).encode() + b"\n"
        if not self.head.exists() or self.head.read_bytes() != head:
            replace_bytes(self.head, head, self.mode)

    def _signature(self) -> object:
        return file_signature(self.head), file_signature(self.path)

    def _verify(self, head: bytes | None, content: bytes) -> Log:
        *complete, rest = content.split(b"\n")
        texts = [*complete, rest] if rest else complete
        line_count, head_hash = (0, None) if head is None else self._parse_head(head)
        if len(texts) < line_count:
            raise self.make_error(
                f"{self.path} was truncated: it has {len(texts)} lines, but {self.head} records"
                f" {line_count} lines"
            )
        if len(texts) > line_count + 1:
            raise self.make_error(
                f"{self.path} has {len(texts)} lines, but {self.head} is missing"
                if head is None
                else f"{self.path} has {len(texts)} lines, but {self.head} records only"
                f" {line_count} lines"
            )
        lines: list[Line] = []
        last_hash, size, running_hash = None, 0, hashlib.sha256()
        for number, text in enumerate(texts, start=1):
            line = _parse_line(text)
            seal = line.pop(HASH_KEY, None)
            if number > len(complete) or text != _seal_line(line, running_hash):
                if number > line_count:
                    break  # a writer died before it completed this line
                raise self.make_error(f"{self.path}, line {number} was altered or damaged")
            if number == line_count and seal != head_hash:
                raise self.make_error(
                    f"{self.path}, line {line_count}: the line does not have the SHA-256 that"
                    f" {self.head} records, so one of the two files was altered or replaced"
                )
            lines.append(line)
            last_hash, size = seal, size + len(text) + 1
            running_hash.update(text + b"\n")
        return Log(lines, last_hash, size, running_hash)

    def _parse_head(self, head: bytes) -> tuple[int, str | None]:
        head_line = _parse_line(head)
        is_canonical = head == json.dumps(head_line).encode() + b"\n"
        if not is_canonical or head_line.keys() != {"lines", HASH_KEY}:
            raise self.make_error(f"{self.head} was altered or damaged")
        return head_line["lines"], head_line[HASH_KEY]


def _parse_line(text: bytes) -> Line:
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def _seal_line(line: Line, running_hash: "hashlib._Hash") -> bytes:
    line_hash = running_hash.copy()
    line_hash.update(json.dumps(line, ensure_ascii=False).encode())
    return json.dumps(line | {HASH_KEY: line_hash.hexdigest()}, ensure_ascii=False).encode()
