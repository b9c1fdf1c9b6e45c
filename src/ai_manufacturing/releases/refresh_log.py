"""RELEASE_DIR/refresh.log: when refreshes began, what they and publications report, how they ended.

One JSON object a line, with its time.

The same file under systemd, cron and Dagster, and on a terminal. It rotates by itself.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from ai_manufacturing.system import clock
from ai_manufacturing.system.disk import make_folder

FILE = "refresh.log"
LARGEST = 1_000_000  # bytes, some years of nights; then refresh.log.1 and so on
OLDER = 5

OnEvent = Callable[
    [str, dict[str, Any]], None
]  # takes an event and its facts, as a refresh reports them


class _Handler(RotatingFileHandler):
    """A full disk ends the refresh, which says so; its log need not."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Leave the line out."""


def line(event: str, facts: dict[str, Any]) -> str:
    """Return an event as the line of a log."""
    return json.dumps(
        {"at": clock.now("milliseconds"), "event": event, **facts}, ensure_ascii=False
    )


def write(folder: Path, text: str) -> None:
    """Add a line to the log of a release folder, if this user may write to it."""
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


def newest_first(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the log and of the one before it, the last one first, no torn line."""
    for path in (folder / FILE, folder / f"{FILE}.1"):
        with suppress(OSError):
            for text in reversed(path.read_text(encoding="utf-8", errors="replace").splitlines()):
                with suppress(ValueError):
                    yield json.loads(text)
