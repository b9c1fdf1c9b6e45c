"""Shared code for the commands: help, options, error handling, JSON output and progress."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ai_manufacturing.system.exit_codes import ExitCode

if TYPE_CHECKING:
    from ai_manufacturing.refresh.progress import OnProgress
    from ai_manufacturing.releases.databases import Database

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
# Terminal colours of words at the start of a line.
COLOURS = {"Error": "red", "warning": "yellow", "published": "green"}
DEFAULT_EXIT_CODES = (ExitCode.DONE, ExitCode.FAILED, ExitCode.BAD_CONFIGURATION)
"""Default exit codes of a command."""


class CommandError(click.ClickException):
    """Raised to end a command with an error message and an exit code."""

    exit_code = ExitCode.FAILED

    def show(self, file: Any = None) -> None:
        """Print the message to stderr."""
        click.echo(f"{_colour('Error')}: {self.format_message()}", err=True, color=self.show_color)


class UsageError(CommandError):
    """Raised for wrong usage, such as an unreadable file or an argument without a match."""

    exit_code = ExitCode.BAD_CONFIGURATION


class Command(click.Command):
    """A Click command with examples and exit codes at the end of the help text."""

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[str] = (),
        exit_codes: Collection[ExitCode] = DEFAULT_EXIT_CODES,
        success: str = "done",
        failure: str = "the disk is full, or a file is damaged",
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.examples = examples
        meanings = {ExitCode.DONE: success, ExitCode.FAILED: failure}
        self.exit_codes = {code: meanings.get(code, code.meaning) for code in exit_codes}

    def invoke(self, context: click.Context) -> Any:
        """Run the command, and convert a DuckDB error to a CommandError with advice."""
        try:
            return super().invoke(context)
        except Exception as error:
            # Avoid an import: if DuckDB raised the error, the module is already loaded.
            duckdb = sys.modules.get("duckdb")
            if duckdb is None or not isinstance(error, duckdb.Error):
                raise
            if type(error).__name__ == "RefusedError":
                raise UsageError(str(error)) from error
            reason = str(error).splitlines()[0].rstrip(".!")
            advice = _advise(type(error).__name__)
            raise CommandError(f"The file cannot be read: {reason}. {advice}") from error

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Append examples and exit codes to the help text."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write(
                    "".join(f"  ai-manufacturing {example}\n" for example in self.examples)
                )
        _write_exit_codes(formatter, self.exit_codes.items())


class Commands(click.Group):
    """A Click command group with all exit codes at the end of the help text."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Append the exit codes of all commands to the help text."""
        _write_exit_codes(
            formatter,
            [(code, " - ".join(filter(None, (code.meaning, code.remedy)))) for code in ExitCode],
        )


command = partial(click.command, cls=Command)


def _advise(error: str) -> str:
    """Return advice for a DuckDB error, given the name of the error class."""
    if error == "InterruptException":
        return (
            "An untrusted file may use at most WAREHOUSE_PROCESSOR_LIMIT seconds of processor"
            " time (default 120). Raise the limit if you trust the file's author."
        )
    if error == "OutOfMemoryException":
        return "Raise WAREHOUSE_MEMORY_LIMIT (default 4GB) if you trust the file's author."
    if error == "PermissionException":
        return (
            "An untrusted file cannot read other files. If you trust the author of this"
            " warehouse, set WAREHOUSE_PATH to the warehouse and LANDING_DIR to its landing"
            " store."
        )
    return "The file is damaged, or its build did not finish. Name another file with --database."


def _write_exit_codes(
    formatter: click.HelpFormatter, codes: Iterable[tuple[ExitCode, str]]
) -> None:
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(int(code)), text) for code, text in codes])


JSON_OPTION = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the result as one JSON document; docs/json.md lists its keys.",
)
REPLACE_OPTION = click.option(
    "--replace-extract-set",
    "replaces",
    is_flag=True,
    help="Replace the published release even if the new release contains another extract set, or"
    " if only one of the two releases is synthetic.",
)


class FormatChoice(click.Choice[str]):
    """Choice of an export format; imports the module tables.formats only when needed."""

    case_sensitive = True

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """Export formats of the given kinds, or all export formats by default."""
        from ai_manufacturing.tables import formats

        return tuple(formats.list_formats(*self.kinds) if self.kinds else formats.FORMATS)


def database_option(file_kinds: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a Click option for the database file to read.

    Parameters
    ----------
    file_kinds : str
        Kinds of files that the command can read, for its help.
    """
    return click.option(
        "--database",
        "--release",
        "path",
        type=FILE,
        help=f"{file_kinds} to read. Default: the first of these files that the command can read:"
        " the file that WAREHOUSE_PATH names, the release that RELEASE_PATH or RELEASE_DIR names,"
        " the published release, or build/warehouse.duckdb.",
    )


def parse_years(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> range | None:
    """Parse a year or a range of years, such as 2018:2020, from an option."""
    if text is None:
        return None
    first, _, last = text.partition(":")
    try:
        years = range(int(first), int(last or first) + 1)
    except ValueError:
        years = range(0)
    if not years:
        raise click.BadParameter(
            f"{text!r} is neither a year nor a range of years such as 2018:2020."
        )
    return years


def parse_names(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> list[str] | None:
    """Split the value of an option into comma-separated names."""
    return None if text is None else [name for part in text.split(",") if (name := part.strip())]


def choose_database(
    path: Path | None, *kinds: str, print_description: bool = True, err: bool = False
) -> "Database":
    """Select the database file to read, and print a description of the file.

    With `err`, the description is printed on stderr, because the command writes data to stdout.
    """
    from ai_manufacturing.releases import databases

    with convert_errors(databases.DatabaseError, to=UsageError):
        database = databases.select_database(
            path, kinds or (databases.RELEASE, databases.WAREHOUSE)
        )
    if print_description:
        click.secho(str(database), fg="yellow" if database.origin.is_synthetic else None, err=err)
    return database


@contextmanager
def convert_errors(
    *errors: type[Exception], to: type[CommandError] = CommandError
) -> Iterator[None]:
    """Re-raise the given exceptions as a command error with the same message."""
    try:
        yield
    except errors as error:
        raise to(str(error)) from error


@contextmanager
def exit_on_refresh_error(on_event: Callable[[str, dict[str, Any]], None]) -> Iterator[None]:
    """Report a RefreshError through `on_event`, and exit with the error's exit code."""
    from ai_manufacturing.releases.errors import RefreshError

    try:
        yield
    except RefreshError as error:
        on_event(type(error).__name__, {"message": str(error)})
        raise SystemExit(error.exit_code) from error


def print_json(document: Any) -> None:
    """Print a document as JSON, with NaN and infinity replaced by null."""
    finite = json.loads(json.dumps(document), parse_constant=lambda _: None)
    click.echo(json.dumps(finite, ensure_ascii=False, indent=2))


def log_event(event: str, facts: dict[str, Any]) -> None:
    """Log an event, and print it as text on a terminal or as JSON elsewhere."""
    from ai_manufacturing.releases import refresh_log
    from ai_manufacturing.system import settings

    line = refresh_log.write_event(settings.release_dir(), event, facts)
    if sys.stdout.isatty():
        print_event(event, facts)
    else:
        click.echo(line)


def print_event(event: str, facts: dict[str, Any]) -> None:
    """Print an event as text, on stderr if the event is an error."""
    if event.endswith("Error"):
        click.echo(f"{_colour('Error')}: {facts['message']}", err=True)
        return
    lines = facts.get("lines") or [
        facts.get("message") or ", ".join(f"{name} {value}" for name, value in facts.items())
    ]
    click.echo(f"{_colour(event)}: " + "\n  ".join(lines))


def create_progress_callback() -> "OnProgress | None":
    """Return a callback that shows dbt's progress on one line, or None without a terminal."""
    if not sys.stderr.isatty() or lacks_escape_codes():
        return None

    def show_progress(progress: str | None) -> None:
        line = f"building: {progress}"[: shutil.get_terminal_size().columns - 1] if progress else ""
        # color=True keeps the escape codes even if NO_COLOR is set.
        click.echo(f"\r\x1b[K{line}", nl=False, err=True, color=True)

    return show_progress


def lacks_escape_codes() -> bool:
    """Return whether the terminal does not support ANSI escape codes."""
    return os.environ.get("TERM") == "dumb"


def _colour(word: str) -> str:
    return click.style(word, fg=COLOURS[word], bold=True) if word in COLOURS else word
