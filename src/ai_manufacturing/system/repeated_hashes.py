"""Hashes that a query gives twice or more, found within bounded memory.

Two ids may have one hash, so the ids decide.
"""

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

Hashes = npt.NDArray[np.uint64]

BITS = 6
"""Hashes that begin with the same bits are compared together: a 64th of all, 25 MB of 200 million."""
BATCH = 2**20


def repeated(batches: Iterable[Hashes], folder: Path) -> Hashes:
    """Return the hashes that are there more than once, each once.

    Parameters
    ----------
    batches : iterable of array of uint64
        All hashes. One batch, and then a 64th of all of them, is in memory; the disk holds 8 bytes for each.
    folder : Path
        Where they lie meanwhile, in files without names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as open_files:
        parts = [open_files.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(2**BITS)]
        for hashes in batches:
            of_part = (hashes >> np.uint64(64 - BITS)).astype(np.uint8)
            ordered = hashes[np.argsort(of_part, kind="stable")]  # a radix sort, as bytes are sorted
            ends = np.cumsum(np.bincount(of_part, minlength=len(parts)))
            for file, part in zip(parts, np.split(ordered, ends[:-1]), strict=True):
                file.write(part.data)
        repeats = []
        for file in parts:
            file.seek(0)
            part = np.frombuffer(bytearray(file.read()), np.uint64)
            part.sort()
            repeats.append(np.unique(part[1:][part[1:] == part[:-1]]))
    return np.concatenate(repeats)


def add_function(connection: DuckDBPyConnection, folder: Path) -> None:
    """Let SQL call repeated_hashes(query), where the query gives one column of 64-bit hashes.

    The query runs beside the statement that asks, so it sees what has been committed.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The connection.
    folder : Path
        As in `repeated`.
    """

    def repeated_hashes(query: str) -> list[int]:
        with connection.cursor() as cursor:
            batches = (batch.column(0).to_numpy() for batch in cursor.sql(query).to_arrow_reader(BATCH))
            return [int(hash_) for hash_ in repeated(batches, folder)]

    connection.create_function("repeated_hashes", repeated_hashes, ["VARCHAR"], "UBIGINT[]", side_effects=True)
