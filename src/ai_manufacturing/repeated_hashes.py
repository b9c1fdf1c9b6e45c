"""Which hashes were noted twice: sorted in runs under a limit of memory, which takes a tenth of grouping them in SQL.

SQL notes the hash of each id, and asks for those that repeat. Two ids may have one hash, so the ids decide.
"""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from duckdb import DuckDBPyConnection

Hashes = npt.NDArray[np.uint64]

RUN = 2**22
"""Hashes that are sorted at a time: 32 MB, and as much again while runs are compared."""


class RepeatedHashes:
    """Hashes of one statement; more than a run of them lie in sorted runs on the disk."""

    def __init__(self, folder: Path, run: int = RUN) -> None:
        self.folder, self.run = folder, run
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._filled = 0
        self._last: Hashes = np.empty(0, np.uint64)
        self._runs: list[Path] = []
        self._disk: tempfile.TemporaryDirectory[str] | None = None

    def note(self, hashes: Hashes) -> None:
        """Take hashes, of any thread."""
        with self._lock:
            while len(hashes):
                if not len(self._last):
                    self._last = np.empty(self.run, np.uint64)
                taken = hashes[: self.run - self._filled]
                self._last[self._filled : self._filled + len(taken)] = taken
                self._filled += len(taken)
                hashes = hashes[len(taken) :]
                if self._filled == self.run:
                    self._write()

    def _write(self) -> None:
        if self._disk is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._disk = tempfile.TemporaryDirectory(prefix=".hashes.", dir=self.folder)
        path = Path(self._disk.name) / str(len(self._runs))
        self._last.sort()
        self._last.tofile(path)
        self._runs.append(path)
        self._filled = 0

    def take(self, count: int) -> Hashes:
        """Return the hashes that were noted more than once, each once, and forget all.

        Parameters
        ----------
        count : int
            How many were noted; a statement that failed before may have left others, and its ids are compared too.

        Raises
        ------
        RuntimeError
            If fewer were noted.
        """
        with self._lock:
            noted = self._filled + len(self._runs) * self.run
            if noted < count:
                raise RuntimeError(f"{noted} of {count} hashes were noted: the engine asked before it had noted all.")
            last = self._last[: self._filled]
            last.sort()
            found = [_repeated(part) for part in self._parts(last)]
            if self._disk is not None:
                self._disk.cleanup()
            self._forget()
        return np.concatenate(found)

    def _parts(self, last: Hashes) -> Iterator[Hashes]:
        """Yield all hashes of one range after another, sorted; as many ranges as runs, so that each is about a run."""
        count = len(self._runs) + 1
        edges = np.array([2**64 * number // count for number in range(1, count)], np.uint64)
        cuts = [[0, *np.searchsorted(np.memmap(path, np.uint64, "r"), edges).tolist(), self.run] for path in self._runs]
        of_last = [0, *np.searchsorted(last, edges).tolist(), len(last)]
        for number in range(count):
            parts = [last[of_last[number] : of_last[number + 1]]]
            for path, cut in zip(self._runs, cuts, strict=True):
                size = cut[number + 1] - cut[number]
                parts.append(np.fromfile(path, np.uint64, size, offset=cut[number] * 8))
            part = np.concatenate(parts)
            part.sort()
            yield part


def _repeated(hashes: Hashes) -> Hashes:
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def add_functions(connection: DuckDBPyConnection, folder: Path) -> None:
    """Let SQL call note_hash(hash) in each row, and repeated_hashes(their count) after the last one.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The connection.
    folder : Path
        Where runs are written, and removed when they have been read.
    """
    noted = RepeatedHashes(folder)

    def note_hash(hashes: pa.ChunkedArray) -> pa.Array:
        for chunk in hashes.chunks:
            noted.note(chunk.to_numpy())
        return pa.repeat(pa.scalar(True), len(hashes))

    def repeated_hashes(count: int) -> list[int]:
        return [int(found) for found in noted.take(count)]

    connection.create_function("note_hash", note_hash, ["UBIGINT"], "BOOLEAN", type="arrow", side_effects=True)  # type: ignore[call-overload]
    connection.create_function("repeated_hashes", repeated_hashes, ["BIGINT"], "UBIGINT[]", side_effects=True)
