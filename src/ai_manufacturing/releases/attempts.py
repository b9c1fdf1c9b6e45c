"""The heartbeat of refreshes.

When each attempt began and how it ended, also one that published nothing.

They are lines of refresh.log. An attempt decides nothing, so it is no part of the chain of
refreshes.jsonl, the witness of what was published. One that was killed has begun and not ended.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from ai_manufacturing.releases import refresh_log
from ai_manufacturing.system import clock
from ai_manufacturing.system.exit_codes import ExitCode

EVENT = "attempt"
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
    attempt = Attempt(clock.now("milliseconds"), os.getpid(), socket.gethostname())
    _write(folder, attempt)
    code, outcome, message = int(ExitCode.DONE), PUBLISHED, None
    try:
        yield
    except BaseException as error:
        code, outcome = int(getattr(error, "exit_code", ExitCode.FAILED)), type(error).__name__
        message = (str(error).splitlines() or [""])[0]
        raise
    finally:
        ended = replace(attempt, ended_at=clock.now("milliseconds"), exit_code=code)
        _write(folder, replace(ended, outcome=outcome, message=message))


def last(folder: Path) -> Attempt | None:
    """Return what the log says last of an attempt: that it began, or how it ended."""
    for line in refresh_log.newest_first(folder):
        if line["event"] == EVENT:
            return Attempt(**{field.name: line[field.name] for field in fields(Attempt)})
    return None


def _write(folder: Path, attempt: Attempt) -> None:
    refresh_log.write(folder, refresh_log.line(EVENT, asdict(attempt)))
