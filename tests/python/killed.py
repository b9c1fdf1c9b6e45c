"""Run a command in a process that is killed at a chosen line, to test crash safety.

The lines of the traced modules are numbered in the order in which they are first reached. Repeated
executions do not count, so a loop gets no more kill points than straight code.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.python import dbt_process


@contextmanager
def at_place(within: Sequence[str], last: int, mark: str = "") -> Iterator[None]:
    """Kill this process at the `last`-th distinct line it reaches, or count lines if `last` is 0.

    At the end, the number of lines reached is printed, in total and before the mark.

    Parameters
    ----------
    within : sequence of str
        Path fragments of the modules to trace.
    last : int
        Number of the line at which to kill the process.
    mark : str
        Name of a function.
    """
    reached: set[tuple[str, int]] = set()
    not_reached: dict[CodeType, set[int]] = {}
    before = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        """Record a line when it is first reached, and kill the process at the `last`-th line.

        Code whose lines have all been reached is no longer traced, and runs at full speed.
        """
        nonlocal before
        code = frame.f_code
        if code not in not_reached:
            is_within = any(part in code.co_filename for part in within)
            not_reached[code] = {line for *_, line in code.co_lines() if line and is_within}
            if code.co_name == mark and is_within:
                before = len(reached)
        lines = not_reached[code]
        if event == "line" and frame.f_lineno in lines:
            lines.remove(frame.f_lineno)
            reached.add((code.co_filename, frame.f_lineno))
            if len(reached) == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace if lines else None

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)
        print("\n", len(reached), before, flush=True)


def spread(points: int, total: int, before: int) -> list[int]:
    """Return evenly spaced kill points, half of them before the mark and half of them after it."""
    half = points // 2
    shares = [(2 * number + 1) / (2 * half) for number in range(half)]
    places = [1 + int(share * before) for share in shares]
    return places + [1 + before + int(share * (total - before)) for share in shares]


@contextmanager
def command(
    folder: Path,
    environment: dict[str, str],
    within: Sequence[str],
    mark: str,
    imported: Sequence[str],
    prepare: Callable[[], None] | None = None,
) -> Iterator[dbt_process.Ask]:
    """Start a process that imports the command-line program once and forks for each run.

    Parameters
    ----------
    folder : Path
        The working directory.
    environment : dict of str to str
        The variables of the process.
    within, mark
        As in at_place.
    imported : sequence of str
        Modules to import in advance, so that lines reached by importing them do not count.
    prepare : callable, optional
        Called once in the process, after the imports.

    Yields
    ------
    callable
        Takes the command's arguments and dies_at; returns the exit code and the output.
    """
    ready = (folder, environment, within, mark, imported, prepare)
    with dbt_process.forks(_serve, *ready) as ask:
        yield lambda *arguments, dies_at=0: ask(tuple(map(str, arguments)), dies_at)


def dies(
    run: dbt_process.Ask,
    points: int,
    arguments: tuple[object, ...],
    after_death: Callable[[], None],
    after_success: Callable[[str], None],
    before_death: Callable[[], None] = lambda: None,
) -> None:
    """Check that a command can be killed at many points of its code and then run again.

    After each death nothing may be half-written, and the next run must succeed.
    """
    before_death()
    exit_code, printed = run(*arguments)
    assert exit_code == 0, printed
    after_success(printed)
    total, before_the_mark = map(int, printed.split()[-2:])
    assert total > before_the_mark > 0, "the command never reached what it writes"
    for place in spread(points, total, before_the_mark):
        before_death()
        exit_code, printed = run(*arguments, dies_at=place)
        assert exit_code == -signal.SIGKILL, printed
        after_death()
        exit_code, printed = run(*arguments)
        assert exit_code == 0, printed
        after_success(printed)


def _serve(
    asked: Connection,
    printed: str,
    folder: Path,
    environment: dict[str, str],
    within: Sequence[str],
    mark: str,
    imported: Sequence[str],
    prepare: Callable[[], None] | None,
) -> None:
    from ai_manufacturing import cli

    dbt_process.settle_in(folder, environment, printed)
    for name in imported:
        importlib.import_module(name)
    if prepare is not None:
        prepare()

    def run(arguments: tuple[str, ...], dies_at: int) -> int:
        with at_place(within, dies_at, mark):
            return int(cli.main([*arguments]) or 0)

    dbt_process.fork_for_each(asked, run)
