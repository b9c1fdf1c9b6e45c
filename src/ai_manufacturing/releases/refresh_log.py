"""Read and write refresh.log, which records the start, events and outcome of each refresh.

Each line is a JSON object with its time, in the same format under systemd, cron, Dagster and on a
terminal, and the file rotates itself. An attempt has one line for its start and one for its end, so
a killed attempt has only the first. Attempts do not affect any release, so they are not part of
refreshes.jsonl, the hash-chained log of publications.
"""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from ai_manufacturing.system import clock
from ai_manufacturing.system.disk import make_folder
from ai_manufacturing.system.exit_codes import ExitCode

FILE = "refresh.log"
MAX_BYTES = 1_000_000  # file size before rotation, enough for several years of nightly runs
BACKUP_COUNT = 5  # number of rotated log files to keep
ATTEMPT = "attempt"

OnEvent = Callable[[str, dict[str, Any]], None]
"""Callback that receives an event of a refresh and its facts."""


def warn(on_event: OnEvent, message: str) -> None:
    """Report a warning."""
    on_event("warning", {"message": message})


class _Handler(RotatingFileHandler):
    """Rotating log handler that ignores write errors, because the refresh then fails anyway."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Ignore the error, and drop the log record."""


def write_event(folder: Path, event: str, facts: dict[str, Any]) -> str:
    """Append an event to refresh.log if the folder is writable, and return the log line."""
    entry = {"at": clock.now("milliseconds"), "event": event, **facts}
    text = json.dumps(entry, ensure_ascii=False)
    path = folder / FILE
    with suppress(OSError):
        make_folder(folder)
        is_new = not path.exists()
        handler = _Handler(path, maxBytes=MAX_BYTES, backupCount=BACKUP_COUNT, encoding="utf-8")
        try:
            if is_new:
                path.chmod(0o644)  # readable to all users, regardless of the umask
            handler.emit(logging.makeLogRecord({"msg": text}))
        finally:
            handler.close()
    return text


@contextmanager
def record_attempt(folder: Path) -> Iterator[None]:
    """Log the start and the outcome of a refresh attempt, even if the attempt fails.

    Parameters
    ----------
    folder : Path
        RELEASE_DIR. If it is not writable, the attempt fails and reports that itself.
    """
    start = {
        "began_at": clock.now("milliseconds"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "ended_at": None,
        "exit_code": None,
        "outcome": None,
        "message": None,
    }
    write_event(folder, ATTEMPT, start)
    code, outcome, message = int(ExitCode.DONE), "published", None
    try:
        yield
    except BaseException as error:
        code, outcome = int(getattr(error, "exit_code", ExitCode.FAILED)), type(error).__name__
        message = str(error).partition("\n")[0]
        raise
    finally:
        end = {"exit_code": code, "outcome": outcome, "message": message}
        write_event(folder, ATTEMPT, {**start, "ended_at": clock.now("milliseconds"), **end})


def read_last_attempt(folder: Path) -> dict[str, Any] | None:
    """Return the outcome of the last refresh attempt, or its start if it has not ended.

    Attempts that were refused because another refresh was running are skipped.
    """
    refused_attempts = set()
    for line in read_newest_first(folder):
        if line.pop("event") != ATTEMPT:
            continue
        attempt = (line["began_at"], line["pid"], line["host"])
        if line["exit_code"] == ExitCode.LOCKED:
            refused_attempts.add(attempt)
        elif attempt not in refused_attempts:
            del line["at"]
            return line
    return None


def read_newest_first(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of the last two log files, newest first, skipping incomplete lines."""
    for path in (folder / FILE, folder / f"{FILE}.1"):
        with suppress(OSError):
            for text in reversed(path.read_text(encoding="utf-8", errors="replace").splitlines()):
                with suppress(ValueError):
                    yield json.loads(text)
