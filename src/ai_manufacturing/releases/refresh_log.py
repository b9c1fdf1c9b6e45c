"""RELEASE_DIR/refresh.log: when refreshes began, what they and publications report, how they ended.

One JSON object a line, with its time. The file is the same under systemd, cron and Dagster, and on
a terminal. It rotates by itself. Each attempt has a line when it begins and one when it ends; one
that was killed has begun and not ended. An attempt decides nothing, so it is no part of the chain
of refreshes.jsonl, the witness of what was published.
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
LARGEST = 1_000_000  # bytes, some years of nights; then refresh.log.1 and so on
OLDER = 5
ATTEMPT = "attempt"

OnEvent = Callable[[str, dict[str, Any]], None]
"""Takes an event and its facts, as a refresh reports them."""


def warn(on_event: OnEvent, message: str) -> None:
    """Report a warning."""
    on_event("warning", {"message": message})


class _Handler(RotatingFileHandler):
    """A full disk ends the refresh, which says so; its log need not."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Leave the line out."""


def write(folder: Path, event: str, facts: dict[str, Any]) -> str:
    """Add an event to the log of a release folder, if this user may, and return its line."""
    entry = {"at": clock.now("milliseconds"), "event": event, **facts}
    text = json.dumps(entry, ensure_ascii=False)
    path = folder / FILE
    with suppress(OSError):
        make_folder(folder)
        is_new = not path.exists()
        handler = _Handler(path, maxBytes=LARGEST, backupCount=OLDER, encoding="utf-8")
        try:
            if is_new:
                path.chmod(0o644)  # whatever the umask
            handler.emit(logging.makeLogRecord({"msg": text}))
        finally:
            handler.close()
    return text


@contextmanager
def attempt(folder: Path) -> Iterator[None]:
    """Record that an attempt begins, and how it ends, whatever it ends with.

    Parameters
    ----------
    folder : Path
        RELEASE_DIR. Where it cannot be written to, the attempt fails of that and says so itself.
    """
    began = {
        "began_at": clock.now("milliseconds"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "ended_at": None,
        "exit_code": None,
        "outcome": None,
        "message": None,
    }
    write(folder, ATTEMPT, began)
    code, outcome, message = int(ExitCode.DONE), "published", None
    try:
        yield
    except BaseException as error:
        code, outcome = int(getattr(error, "exit_code", ExitCode.FAILED)), type(error).__name__
        message = str(error).partition("\n")[0]
        raise
    finally:
        ended = {"exit_code": code, "outcome": outcome, "message": message}
        write(folder, ATTEMPT, {**began, "ended_at": clock.now("milliseconds"), **ended})


def last_attempt(folder: Path) -> dict[str, Any] | None:
    """Return what the log says last of an attempt: that it began, or how it ended.

    One that another refresh kept out tried nothing, and is passed over.
    """
    kept_out = set()
    for line in newest_first(folder):
        if line.pop("event") != ATTEMPT:
            continue
        who = (line["began_at"], line["pid"], line["host"])
        if line["exit_code"] == ExitCode.LOCKED:
            kept_out.add(who)
        elif who not in kept_out:
            del line["at"]
            return line
    return None


def newest_first(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the log and of the one before it, the last one first, no torn line."""
    for path in (folder / FILE, folder / f"{FILE}.1"):
        with suppress(OSError):
            for text in reversed(path.read_text(encoding="utf-8", errors="replace").splitlines()):
                with suppress(ValueError):
                    yield json.loads(text)
