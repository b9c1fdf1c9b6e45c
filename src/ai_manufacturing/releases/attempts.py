"""The heartbeat of refreshes: when each attempt began and how it ended, also one that published nothing.

RELEASE_DIR/attempts.json holds the newest, the last one last. It decides nothing, so it is no part of the chain of
refreshes.jsonl. An attempt that was killed has begun and not ended.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ai_manufacturing.system import clock
from ai_manufacturing.system.disk import locked, make_folder, replace_bytes
from ai_manufacturing.system.exit_codes import ExitCode

FILE = "attempts.json"
KEPT = 50
PUBLISHED = "published"


@dataclass(frozen=True)
class Attempt:
    """One attempt; what is None has not happened.

    Attributes
    ----------
    began_at, ended_at : str
        UTC.
    pid, host : int, str
        The process.
    exit_code : int
        What the command ended with.
    outcome : str
        "published", or the name of the error.
    message : str
        First line of the error.
    """

    began_at: str
    pid: int
    host: str
    ended_at: str | None = None
    exit_code: int | None = None
    outcome: str | None = None
    message: str | None = None


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Record that an attempt begins, and how it ends, whatever it ends with.

    Parameters
    ----------
    folder : Path
        RELEASE_DIR. Where it cannot be written to, the attempt fails of that and says so itself.
    """
    began = Attempt(clock.now("milliseconds"), os.getpid(), socket.gethostname())
    _record(folder, began)
    try:
        yield
    except BaseException as error:
        code = int(getattr(error, "exit_code", ExitCode.FAILED))
        message = (str(error).splitlines() or [""])[0]
        _record(
            folder,
            replace(
                began, ended_at=clock.now("milliseconds"), exit_code=code, outcome=type(error).__name__, message=message
            ),
        )
        raise
    _record(folder, replace(began, ended_at=clock.now("milliseconds"), exit_code=int(ExitCode.DONE), outcome=PUBLISHED))


def read(folder: Path) -> list[Attempt]:
    """Return the attempts that are kept, the last one last; none of a file that somebody else has written."""
    try:
        return [Attempt(**attempt) for attempt in json.loads((folder / FILE).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _record(folder: Path, attempt: Attempt) -> None:
    """Add an attempt, or what became of it; attempts at the same time wait for each other."""
    began = (attempt.began_at, attempt.pid, attempt.host)
    with suppress(OSError):
        make_folder(folder)
        with locked(folder, wait=True):
            others = [other for other in read(folder) if (other.began_at, other.pid, other.host) != began]
            newest = [asdict(other) for other in (*others, attempt)][-KEPT:]
            replace_bytes(folder / FILE, json.dumps(newest, ensure_ascii=False, indent=1).encode())
