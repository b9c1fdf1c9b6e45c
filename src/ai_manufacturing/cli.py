"""The `ai-manufacturing` command."""

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ai_manufacturing.releases.origin import SYNTHETIC
from ai_manufacturing.system.exit_codes import ExitCode

if TYPE_CHECKING:
    from ai_manufacturing.refresh.progress import Progress, Told
    from ai_manufacturing.releases.attempts import Attempt
    from ai_manufacturing.releases.databases import Database
    from ai_manufacturing.releases.store import Manifest, Store

NAMED_FILE = click.Path(dir_okay=False, path_type=Path)
NAMED_FOLDER = click.Path(file_okay=False, path_type=Path)
COLOURS = {"Error": "red", "warning": "yellow", "published": "green"}  # of what a line begins with
ANY_COMMAND = (ExitCode.DONE, ExitCode.FAILED, ExitCode.BAD_CONFIGURATION)
PANEL_FORMATS = ("csv", "parquet", "dta")  # with a file for each table
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/refresh.md).")


class _Failed(click.ClickException):
    """What a command cannot do; the message says why."""

    exit_code = ExitCode.FAILED

    def show(self, file: Any = None) -> None:
        """Print the message to stderr."""
        click.echo(f"{_coloured('Error')}: {self.format_message()}", err=True, color=self.show_color)


class _UsageError(_Failed):
    """A file that cannot be read, or an argument that names nothing: wrong usage, as click has it."""

    exit_code = ExitCode.BAD_CONFIGURATION


class _Command(click.Command):
    """A command whose help ends with examples and with the codes that it may end with."""

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[str] = (),
        ends_with: Collection[ExitCode] = ANY_COMMAND,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.examples, self.ends_with = examples, ends_with

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what stands below the options."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  ai-manufacturing {example}\n" for example in self.examples))
        _write_codes(formatter, [(code, code.meaning) for code in self.ends_with])


class _Commands(click.Group):
    """The commands, whose help ends with all exit codes."""

    command_class = _Command

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what stands below the commands."""
        _write_codes(formatter, [(code, " - ".join(filter(None, (code.meaning, code.remedy)))) for code in ExitCode])


def _write_codes(formatter: click.HelpFormatter, codes: Iterable[tuple[ExitCode, str]]) -> None:
    with formatter.section("Exit codes"):
        formatter.write_dl([(str(int(code)), said) for code, said in codes])


def _coloured(word: str) -> str:
    return click.style(word, fg=COLOURS[word], bold=True) if word in COLOURS else word


def _replaces(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--replace-extract-set",
        "replaces",
        is_flag=True,
        help="Allow it to replace a release of another extract set or kind.",
    )(command)


def _database(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        "--database",
        "--release",
        "named",
        type=NAMED_FILE,
        help=f"{what}. Default: the first that the command can read of WAREHOUSE_PATH, RELEASE_PATH or RELEASE_DIR, "
        "the published release, build/warehouse.duckdb.",
    )


def _read(named: Path | None, *kinds: str, said: bool = True, err: bool = False) -> "Database":
    """Choose the file that a command reads, and print it first, to stderr if stdout is for data."""
    from ai_manufacturing.releases import databases

    try:
        database = databases.chosen(named, kinds or (databases.RELEASE, databases.WAREHOUSE))
    except databases.DatabaseError as error:
        raise _UsageError(str(error)) from error
    if said:
        click.secho(str(database), fg="yellow" if database.origin.is_synthetic else None, err=err)
    return database


def _print_json(document: Any) -> None:
    """Print a document; JSON has no number that is none."""
    click.echo(json.dumps(_finite(document), ensure_ascii=False, indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _years(context: click.Context, parameter: click.Parameter, text: str | None) -> range | None:
    if text is None:
        return None
    first, _, last = text.partition(":")
    try:
        years = range(int(first), int(last or first) + 1)
    except ValueError:
        years = range(0)
    if not years:
        raise click.BadParameter(f"{text!r} is not a year, or a first and last year such as 2018:2020.")
    return years


def _names(context: click.Context, parameter: click.Parameter, text: str | None) -> list[str] | None:
    return None if text is None else [name for part in text.split(",") if (name := part.strip())]


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ai-manufacturing", message="%(package)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Refresh, export and trace the AI and manufacturing warehouse.

    `ai-manufacturing COMMAND -h` shows options and examples. Colours appear on a terminal, unless NO_COLOR is set.
    """
    if os.environ.get("NO_COLOR") or _is_dumb():
        context.color = False


def _is_dumb() -> bool:
    return os.environ.get("TERM") == "dumb"


@main.command(
    examples=["synthetic --out build/extracts/sample"],
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--seed", type=int, default=2020, show_default=True, help="Random seed.")
@click.option("--years", callback=_years, help="First and last year, 2008:2022; by default those of dbt_project.yml.")
def synthetic(out: Path, seed: int, years: range | None) -> None:
    """Write a synthetic extract set in a vendor's layout."""
    from ai_manufacturing import settings
    from ai_manufacturing import synthetic as synthetic_extracts
    from ai_manufacturing.landing import LandingError

    years = years or settings.period()
    if 2015 not in years:
        raise click.BadParameter("the draw is anchored in 2015; name years that hold it.", param_hint="--years")
    try:
        synthetic_extracts.write(out, seed, years)
    except (synthetic_extracts.NotSyntheticError, LandingError, OSError) as error:
        raise _Failed(str(error)) from error
    click.echo(f"{out}: synthetic extract set, seed {seed}. Its numbers are not real.")


@main.command(
    examples=["registers --out build/registers --firms 200000"],
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--firms", type=click.IntRange(min=0), default=100_000, show_default=True, help="Firms to draw.")
@click.option("--patents", type=click.IntRange(min=0), default=100_000, show_default=True, help="Patents to draw.")
@click.option("--seed", type=int, default=2020, show_default=True, help="Random seed.")
@click.option("--format", "file_format", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
def registers(out: Path, firms: int, patents: int, seed: int, file_format: str) -> None:
    """Write synthetic registers of firms and patents, of any size, in bounded memory."""
    from ai_manufacturing.landing import LandingError
    from ai_manufacturing.synthetic import NotSyntheticError
    from ai_manufacturing.synthetic import registers as synthetic_registers

    try:
        synthetic_registers.write(out, firms, patents, seed, file_format)
    except (NotSyntheticError, LandingError, OSError) as error:
        raise _Failed(str(error)) from error
    click.echo(f"{out}: {firms:,} firms and {patents:,} patents, seed {seed}. They are synthetic.")


@main.command(
    examples=[
        "counts",
        "counts --engine spark",
    ],
)
@click.option("--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True)
@click.option(
    "--registers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the registers (Spark only). Default: EXTRACTS_DIR, whose registers DuckDB also counts.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the counts (Spark only). Default: COUNTS_DIR, or register_counts in EXTRACTS_DIR.",
)
def counts(engine: str, registers: Path | None, out: Path | None) -> None:
    """Count firms and patents in registers by city and year."""
    from ai_manufacturing import counts as counting
    from ai_manufacturing.landing import LandingError

    try:
        counting.count(engine, registers, out, click.echo)
    except (counting.CountsError, LandingError, OSError) as error:
        raise _Failed(str(error)) from error


@main.command(
    examples=[
        "trace --specification table_1_col_1",
        "trace --specification table_1_col_1 --city Shenzhen --year 2015",
    ],
)
@click.option("--specification", required=True, help="A row of regression_specifications.csv.")
@click.option(
    "--city", help="Six-digit code, Chinese or English name; with --year, traces one cell to its delivered rows."
)
@click.option("--year", type=int, help="Year of the cell.")
@_database("A built warehouse")
def trace(specification: str, city: str | None, year: int | None, named: Path | None) -> None:
    """Trace an estimate to its city-years, or one cell to its file, SHA-256, row and corrections."""
    from ai_manufacturing.auditing import trace as tracing
    from ai_manufacturing.releases import databases

    database = _read(named, databases.WAREHOUSE)
    try:
        lines = tracing.trace(database.path, specification, city, year)
    except tracing.NoSuchThingError as error:
        raise _UsageError(str(error)) from error
    except tracing.TraceError as error:
        raise _Failed(str(error)) from error
    click.echo("\n".join(lines))


@main.command(
    examples=[
        "export --format dta",
        "export --format latex --out build/tables",
    ],
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "csv", "xlsx", "dta", "latex"]),
    required=True,
    help="latex: the paper's tables. Others: panel, estimates, specification curve, dictionary.",
)
@click.option("--out", type=NAMED_FOLDER, default=Path("build/exports"), show_default=True)
@_database("A release or a built warehouse")
def export(file_format: str, out: Path, named: Path | None) -> None:
    """Write panel, estimates and specification curve for Stata, R and Excel, or the paper's tables for LaTeX."""
    from ai_manufacturing.tables import exports

    database = _read(named)
    try:
        written = exports.export(database.path, out, file_format)
    except (exports.ExportError, OSError) as error:
        raise _Failed(str(error)) from error
    click.echo("\n".join(map(str, written)))


@main.command(
    examples=[
        "panel --format csv > panel.csv",
        "panel --out panel.parquet",
        "panel --out panel.dta --database build/public.duckdb",
    ],
)
@click.option("--format", "file_format", type=click.Choice(PANEL_FORMATS), help="Default: by the ending of --out.")
@click.option("--out", type=NAMED_FILE, help="File to write. Default: standard output.")
@_database("A release or a built warehouse")
def panel(file_format: str | None, out: Path | None, named: Path | None) -> None:
    """Write the panel, one row per city and year: the file that `export` names panel."""
    from ai_manufacturing.system import disk
    from ai_manufacturing.tables import exports

    stdout = click.get_binary_stream("stdout")
    if file_format is None:
        file_format = out.suffix.lower().removeprefix(".") if out else ""
        if file_format not in PANEL_FORMATS:
            raise click.UsageError(f"Name a format with --format, or a file that ends in .{', .'.join(PANEL_FORMATS)}.")
    if out is None and file_format != "csv" and stdout.isatty():
        raise click.UsageError(f"{file_format} is no text for a terminal. Name a file with --out, or redirect.")
    database = _read(named, err=True)
    try:
        content = exports.panel(database.path, file_format)
    except exports.ExportError as error:
        raise _Failed(str(error)) from error
    if out is None:
        stdout.write(content)
        stdout.flush()
        return
    try:
        disk.replace_bytes(out, content)
    except OSError as error:
        raise _Failed(f"{out}: {disk.reason(error)}. Make room, or name another file with --out.") from error
    click.echo(out)


@main.command(
    examples=[
        "table table_1 --format docx",
        "table table_3 --format latex --errors city,province,wild --language zh",
    ],
)
@click.argument("name", metavar="TABLE")
@click.option(
    "--format", "file_format", type=click.Choice(["latex", "docx", "xlsx", "markdown", "html"]), required=True
)
@click.option(
    "--readings",
    callback=_names,
    help="Specifications to show as columns, such as table_1_col_1,table_1_col_1_no_controls. Default: the paper's.",
)
@click.option(
    "--errors",
    callback=_names,
    default="city,province",
    show_default=True,
    help="Lines below each estimate: city ( ), province [ ], wild { }, the p-value of the wild bootstrap; or none.",
)
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True)
@click.option("--decimals", type=click.IntRange(2, 4), default=3, show_default=True)
@click.option("--siunitx", is_flag=True, help="LaTeX: align numbers at the decimal point with siunitx (version 3).")
@click.option("--out", type=NAMED_FILE, help="File to write. Default: build/exports/TABLE with the format's ending.")
@_database("A release or a built warehouse")
def table(
    name: str,
    file_format: str,
    readings: list[str] | None,
    errors: list[str],
    language: str,
    decimals: int,
    siunitx: bool,
    out: Path | None,
    named: Path | None,
) -> None:
    """Write one table of the paper, table_1 to table_6, with a choice of readings and errors."""
    from ai_manufacturing.tables import NO_ERRORS, TableError, exports

    database = _read(named)
    choices = {
        "readings": readings,
        "errors": [] if errors == [NO_ERRORS] else errors,
        "language": language,
        "decimals": decimals,
    }
    try:
        click.echo(exports.export_table(database.path, name, file_format, out, siunitx, **choices))
    except TableError as error:
        raise _UsageError(str(error)) from error
    except exports.ExportError as error:
        raise _Failed(str(error)) from error


@main.command(
    examples=["queries --out build/queries.md"],
)
@_database("A release or a built warehouse")
@click.option("--out", type=NAMED_FILE, help="File to write. Default, for the synthetic sample only: docs/queries.md.")
def queries(named: Path | None, out: Path | None) -> None:
    """Write the query book with answers from a release or a warehouse."""
    import duckdb

    from ai_manufacturing import settings
    from ai_manufacturing.site import query_book
    from ai_manufacturing.system import disk

    database = _read(named)
    book = settings.project_root() / "docs/queries.md"
    if out is None and database.origin.kind != SYNTHETIC:
        raise click.UsageError(f"{book} holds the answers on the synthetic sample. Give --out for those of this set.")
    try:
        answered = query_book.answered(book.read_text(encoding="utf-8"), database.path)
        disk.replace_bytes(out or book, answered.encode())
    except (duckdb.Error, OSError) as error:
        raise _Failed(str(error)) from error
    click.echo(out or book)


@main.command(
    examples=["catalogue --out site/catalogue.html"],
)
@_database("A built warehouse")
@click.option("--out", type=NAMED_FILE, default=Path("site/catalogue.html"), show_default=True, help="File to write.")
def catalogue(named: Path | None, out: Path) -> None:
    """Write dbt's pages on models, columns and lineage into one file."""
    from ai_manufacturing.releases import databases
    from ai_manufacturing.site import catalogue as catalogues

    database = _read(named, databases.WAREHOUSE)
    try:
        catalogues.write(database, out)
    except (catalogues.CatalogueError, OSError) as error:
        raise _Failed(str(error)) from error
    click.echo(out)


@main.command(
    examples=["report --out site"],
)
@_database("A release")
@click.option("--out", type=NAMED_FOLDER, required=True, help="Folder of the site.")
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Page from `ai-manufacturing catalogue` to include. Default: the one already in --out.",
)
@click.option(
    "--with-restricted",
    is_flag=True,
    help="Show values that may not be passed on, for a site behind a door; each page says so.",
)
def report(named: Path | None, out: Path, catalogue: Path | None, with_restricted: bool) -> None:
    """Build the static site of a release, without values that may not be passed on."""
    try:
        from ai_manufacturing import site
    except ModuleNotFoundError as error:
        raise _Failed(f"{error.name} is not installed. `make .venv/.site` installs it.") from error
    from ai_manufacturing.releases import databases
    from ai_manufacturing.site import catalogue as catalogues

    release = _read(named, databases.RELEASE)
    beside = out / catalogues.NAME
    attached = catalogue or (beside if beside.is_file() else None)
    left_out = "Without dbt's catalogue: `make catalogue` writes it."
    try:
        if attached is not None:
            catalogues.require(attached, release.origin)
    except catalogues.CatalogueError as error:
        if catalogue is not None:
            raise _UsageError(str(error)) from error
        attached, left_out = None, f"Without dbt's catalogue. {error}"
    try:
        with _outcome(_say):
            pages = site.build(release.path, out, attached, with_restricted=with_restricted)
    except site.SiteError as error:
        raise _Failed(str(error)) from error
    click.echo(f"{out}: {len(pages)} pages; open {out / 'index.html'}.")
    if attached is None:
        click.echo(left_out)
    if "query" not in pages:
        click.echo("Without the query page: `make query-page` bundles it with npm.")


@main.command(
    examples=[
        "refresh",
        "refresh --years 2018:2020",
    ],
    ends_with=ExitCode,
)
@click.option("--years", callback=_years, help="Read the files of these years (such as 2018:2020) again, and publish.")
@_replaces
def refresh(years: range | None, replaces: bool) -> None:
    """Build from the deliveries, and publish if the gate and the tests pass."""
    from ai_manufacturing import settings
    from ai_manufacturing.refresh.refresh import refresh as run
    from ai_manufacturing.releases import attempts, configured

    with _outcome(_report), attempts.recorded(settings.release_dir()):
        manifest = run(configured.store(), configured.limits(), _report, years, replaces, _progress_line())
        if sys.stdout.isatty():
            click.echo(f"Release {manifest.release_id} is published.")


@main.command(
    examples=["publish 000013 --reason 'the revision of 2024'"],
    ends_with=(*ANY_COMMAND, ExitCode.BUILD_FAILED, ExitCode.LOCKED),
)
@click.argument("release_id")
@click.option("--reason", required=True, help="Why you publish it; the manifest keeps it.")
@_replaces
def publish(release_id: str, reason: str, replaces: bool) -> None:
    """Publish a held build by hand."""
    from ai_manufacturing.refresh.refresh import publish_held
    from ai_manufacturing.releases import configured

    with _outcome(_report):
        publish_held(configured.store(), release_id, reason, _report, replaces)


@main.command(
    examples=["accept 000012 --reason 'compared with the yearbook'"],
    ends_with=(*ANY_COMMAND, ExitCode.LOCKED),
)
@click.argument("release_id")
@click.option("--reason", required=True, help="Why the numbers are right; the log and the next releases keep it.")
def accept(release_id: str, reason: str) -> None:
    """Accept the published release: drift of its estimates is measured from it on."""
    from ai_manufacturing.refresh.refresh import accept as run
    from ai_manufacturing.releases import configured

    with _outcome(_say):
        run(configured.store(), release_id, reason, _say)


@main.command(
    examples=["rollback 000012"],
    ends_with=(*ANY_COMMAND, ExitCode.LOCKED),
)
@click.argument("release_id")
@_replaces
def rollback(release_id: str, replaces: bool) -> None:
    """Publish a past release again."""
    from ai_manufacturing.refresh.refresh import rollback as run
    from ai_manufacturing.releases import configured

    with _outcome(_say):
        run(configured.store(), release_id, _say, replaces)
        click.echo(f"Release {release_id} is published.")


@main.command(
    examples=[
        "sources",
        "sources --json",
    ],
)
@_database("A release or a built warehouse")
@JSON
def sources(named: Path | None, as_json: bool) -> None:
    """Say what is delivered, what is not, where it can be had and what becomes estimable with it."""
    from ai_manufacturing import sources as delivered_sources
    from ai_manufacturing.landing.errors import LandingError
    from ai_manufacturing.releases import store

    database = _read(named, said=not as_json)
    try:
        with store.reading(database.path) as release:
            known = delivered_sources.known(release)
    except LandingError as error:
        raise _Failed(str(error)) from error
    if as_json:
        _print_json(known)
        return
    click.echo("Delivered:")
    for row in known["delivered"]:
        click.echo(f"  {row['provider']}.{row['source_name']} ({row['provenance_class']}, {row['licence']})")
        if row["link"]:
            click.echo(f"    {row['link']}, seen {row['accessed_on']}")
    click.echo("Not delivered:")
    for row in known["absent"]:
        click.echo(f"  {row['series']}: {row['label_en']}, for {len(row['specifications'])} specifications")
        for place in row["sources"]:
            click.echo(f"    {place['provider']}.{place['source_name']}: {place['link']}, seen {place['accessed_on']}")
            click.echo(f"      put it at {place['put_at']} in the extracts folder")
            if place["estimable"]:
                click.echo(f"      makes estimable: {', '.join(place['estimable'])}")
        if not row["sources"]:
            click.echo(f"    {row['absence_reason'] or 'no known public source'}")


@main.command(
    examples=[
        "releases",
        "releases --json",
    ],
)
@JSON
def releases(as_json: bool) -> None:
    """List the kept releases, the published one with a star, and the anchor that its drift is measured from."""
    from ai_manufacturing.auditing import anchors
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.errors import RefreshError
    from ai_manufacturing.releases.origin import Origin

    with _outcome(_say):
        store = configured.store()
        current = None
        listed, damaged = store.listed()
        try:
            current = store.current()
        except RefreshError as error:  # said once those are listed that can take its place
            damaged.insert(0, error)
        published = current.release_id if current else None
        anchor = anchors.of(store, store.published, current).release_id if current else None
        releases = [_described(release, published, anchor) for release in listed]
        if as_json:
            _print_json({"releases": releases})
        for release in [] if as_json else releases:
            is_published = release["is_published"]
            line = (
                f"{'*' if is_published else ' '} {release['release_id']}  {release['published_at']}  "
                f"{Origin(release['extract_set'], release['extract_set_kind'])}  {release['git_commit'][:12]}  "
                f"{release['reason']}{'  (anchor)' * release['is_anchor']}"
            )
            click.secho(line.rstrip(), fg="green" if is_published else None)
        if damaged:
            raise damaged[0]
        if not listed:
            raise RefreshError(f"{store.folder}: no release is kept there. `ai-manufacturing refresh` makes one.")


def _described(release: dict[str, Any], published: str | None, anchor: str | None) -> dict[str, Any]:
    """Return what status and releases say of a release in JSON."""
    number = release["release_id"]
    return {**release, "is_published": number == published, "is_anchor": number == anchor}


@main.command(
    examples=[
        "diff 000011 000012",
        "diff 000011 000012 --json",
    ],
)
@click.argument("old")
@click.argument("new")
@JSON
def diff(old: str, new: str, as_json: bool) -> None:
    """Print what changed between two releases of one extract set."""
    from ai_manufacturing.refresh.refresh import difference
    from ai_manufacturing.releases import configured

    with _outcome(_say):
        summary = difference(configured.store(), old, new)
    if as_json:
        _print_json({"old": old, "new": new, **asdict(summary)})
    else:
        click.echo("\n".join(summary.lines) or "No change.")


@main.command(
    examples=[
        "compare build/releases/past/000011.duckdb build/warehouse.duckdb",
        "compare OLD NEW --markdown",
    ],
)
@click.argument("old", type=NAMED_FILE)
@click.argument("new", type=NAMED_FILE)
@click.option("--markdown", is_flag=True, help="Print Markdown tables, for a review.")
@JSON
def compare(old: Path, new: Path, markdown: bool, as_json: bool) -> None:
    """Compare all tables of two release or warehouse files of one extract set.

    Lists the tables, columns, rows and cells that differ, and estimates by how far they moved. Its exit codes are
    those of diff(1).
    """
    from ai_manufacturing.auditing import compare as comparing

    if markdown and as_json:
        raise click.UsageError("--markdown and --json are two formats; give one.")
    before, after = (_read(path, said=not as_json) for path in (old, new))
    try:
        sections = comparing.compare(before, after)
    except comparing.CompareError as error:
        raise _UsageError(str(error)) from error
    if as_json:
        files = {name: _file(database) for name, database in (("old", before), ("new", after))}
        _print_json(files | comparing.as_records(sections))
    else:
        click.echo((comparing.as_markdown if markdown else comparing.as_text)(sections) or "No difference.")
    raise SystemExit(ExitCode.FAILED if sections else ExitCode.DONE)


def _file(database: "Database") -> dict[str, Any]:
    """Return what a command says of a file in JSON."""
    origin = database.origin._asdict()
    return {
        "path": str(database.path),
        "extract_set": origin["extract_set"],
        "extract_set_kind": origin["kind"],
        "release_id": database.release_id,
    }


@main.command(
    "replication-package",
    examples=[
        "replication-package",
        "replication-package --check build/replication_sample_000001.zip --yes",
    ],
)
@_database("A release")
@click.option("--out", type=NAMED_FILE, help="Zip to write. Default: build/replication_<set>_<release>.zip.")
@click.option("--with-restricted", is_flag=True, help="Include restricted files and the tables with their values.")
@click.option("--without-run", is_flag=True, help="Do not run the package before it is written; it then has no log.")
@click.option(
    "--check", "archive", type=NAMED_FILE, help="Unpack this zip in an empty folder, run it, compare every number."
)
@click.option("--yes", is_flag=True, help="With --check: run the code of the zip without asking; you trust its makers.")
@click.option("--extracts", type=NAMED_FOLDER, help="With --check: folder of the restricted files, obtained apart.")
@click.option(
    "--new-environment", is_flag=True, help="With --check: install the locked packages even if they are here."
)
def replication_package(
    named: Path | None,
    out: Path | None,
    with_restricted: bool,
    without_run: bool,
    archive: Path | None,
    yes: bool,
    extracts: Path | None,
    new_environment: bool,
) -> None:
    """Write one zip with data, code, logs and README for a journal's data editor, or check one."""
    from ai_manufacturing import replication
    from ai_manufacturing.releases import databases
    from ai_manufacturing.releases.errors import RefreshError

    try:
        if archive is not None:
            faults = replication.check(archive, click.echo, lambda what: _may_run(what, yes), extracts, new_environment)
            click.echo("\n".join(faults) or f"{archive}: the run gives every number of the package.")
            raise SystemExit(ExitCode.FAILED if faults else ExitCode.DONE)
        release = _read(named, databases.RELEASE)
        written = replication.write(
            release.path, out, click.echo, with_restricted=with_restricted, without_run=without_run
        )
    except (replication.ReplicationError, RefreshError) as error:
        raise _UsageError(str(error)) from error
    click.echo(written)


def _may_run(what: str, yes: bool) -> bool:
    """Say what will be run, and ask where somebody can answer."""
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            f"This would run {what} Nobody can be asked here. Read run.sh and code in the zip; if you trust who made "
            "it, add --yes."
        )
    click.echo(f"This runs {what}", err=True)
    return yes or click.confirm("Run it?", err=True)


@main.command(
    examples=[
        "status",
        "status --json",
    ],
)
@JSON
def status(as_json: bool) -> None:
    """Show the published release, its deliveries, late providers, the last attempt, and whether one runs."""
    from ai_manufacturing.releases import configured, lock
    from ai_manufacturing.releases.errors import RefreshError

    with _outcome(_say):
        store = configured.store()
        running = lock.holder(store.lock)
        manifest = store.current()
        if as_json:
            _print_json(_status(store, manifest, running))
        else:
            for line, colour in _status_in_words(store, manifest, running):
                click.secho(line, fg=colour)
        if manifest is None:
            at_work = (
                f"A refresh has been running {_since(running)}." if running else "`ai-manufacturing refresh` does it."
            )
            raise RefreshError(f"{store.published}: nothing is published yet. {at_work}")


def _status(store: "Store", manifest: "Manifest | None", running: dict[str, Any] | None) -> dict[str, Any]:
    """Return the JSON document of status."""
    from ai_manufacturing.auditing import anchors, freshness
    from ai_manufacturing.releases import attempts

    lines, attempt = store.refreshes(), _last(attempts.read(store.folder))
    names = ("release_id", "at", "outcome", "message", "reason", "instead_of")
    document: dict[str, Any] = {
        "path": str(store.published),
        "release": None,
        "anchor": None,
        "providers": [],
        "last_refresh": _chosen(_last(lines), names),
        "last_attempt": asdict(attempt) if attempt else None,
        "last_publication": _chosen(_last_publication(lines), names[:3]),
        "running": running,
    }
    if manifest is not None:
        age_days = _age(manifest).total_seconds() / 86400
        anchor = anchors.of(store, store.published, manifest)
        described = _described(manifest.listed, manifest.release_id, anchor.release_id)
        document["release"] = {**described, "age_days": age_days}
        document["anchor"] = anchor.record(store.published)
        document["providers"] = [provider.record() for provider in freshness.of_release(store.published)]
    return document


def _last(items: Sequence[Any]) -> Any:
    return items[-1] if items else None


def _chosen(line: dict[str, Any] | None, names: Sequence[str]) -> dict[str, Any] | None:
    return {name: line.get(name) for name in names} if line else None


def _last_publication(lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    from ai_manufacturing.refresh.refresh import PUBLISHED

    publications = [line for line in lines if line["outcome"] in PUBLISHED]
    return publications[-1] if publications else None


def _status_in_words(
    store: "Store", manifest: "Manifest | None", running: dict[str, Any] | None
) -> Iterator[tuple[str, str | None]]:
    """Yield the lines of status and their colours."""
    from ai_manufacturing.auditing import anchors, freshness
    from ai_manufacturing.releases import attempts

    if manifest is not None:
        of = f"release {manifest.release_id} of {manifest.published_at} ({_age(manifest).days} days old)"
        yield f"{store.published}: {of}", None
        files = f"{manifest.delivery_count} files"
        yield f"extract set {manifest.origin}, {files}", "yellow" if manifest.origin.is_synthetic else None
        gate = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in manifest.gate_summary.items())
        yield f"gate: {gate or 'no results'}; by {manifest.published_by} {manifest.reason}".rstrip(), None
        anchor = anchors.of(store, store.published, manifest)
        drift = anchor.record(store.published)["largest_drift"]
        yield f"drift: {drift:.2f} standard errors at most, from {anchor}", None
        for provider in freshness.of_release(store.published):
            yield str(provider), "red" if provider.is_stale else "yellow" if provider.is_late else None
    if running:
        yield f"running: {_since(running)}", "yellow"
    yield _attempt_in_words(_last(attempts.read(store.folder)), running)
    lines = store.refreshes()
    publication = _last_publication(lines)
    yield f"last publication: {_refresh_in_words(publication) if publication else 'none'}", None
    last = _last(lines)
    yield f"last refresh: {_refresh_in_words(last) if last else 'none'}", None


def _attempt_in_words(attempt: "Attempt | None", running: dict[str, Any] | None) -> tuple[str, str | None]:
    """Return the line of status on an attempt, and its colour."""
    if attempt is None:
        return "last attempt: none is recorded", None
    began = f"last attempt: {attempt.began_at}, {_days_ago(attempt.began_at)}"
    if attempt.ended_at is None:
        if running and (running["pid"], running["host"]) == (attempt.pid, attempt.host):
            return f"{began}, is running", None
        return f"{began}, began and did not end: it was killed, or the machine stopped", "red"
    failed = attempt.exit_code not in (ExitCode.DONE, ExitCode.NOTHING_NEW)
    ended = f"{began}, exit code {attempt.exit_code}, {attempt.outcome}"
    return ": ".join(filter(None, (ended, attempt.message))), "red" if failed else None


def _since(running: dict[str, Any]) -> str:
    """Return since when the holder of a lock is at work, and which process it is."""
    if running["since"] is None:
        return "for a moment"
    return f"since {running['since']}, process {running['pid']} on {running['host']}"


def _days_ago(at: str) -> str:
    return f"{(datetime.now(UTC) - datetime.fromisoformat(at)).days} days ago"


def _age(manifest: "Manifest") -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(manifest.published_at)


def _refresh_in_words(line: dict[str, Any]) -> str:
    """Return a line of the log of refreshes: an error by the first line of its message."""
    first = (line.get("message") or line["outcome"]).splitlines()[0]
    return f"{line['release_id']}, {line['at']}: {first}"


@main.command(
    examples=["verify"],
    ends_with=(*ANY_COMMAND, ExitCode.LOCKED),
)
@JSON
def verify(as_json: bool) -> None:
    """Compare landing store, logs, releases, held builds and site with their SHA-256.

    Prints a line for each thing that differs: where, what, and what to do. Removes what dead runs left.
    """
    from ai_manufacturing.auditing import verify as verifying
    from ai_manufacturing.landing import LandingError

    with _outcome(_say):
        try:
            found = verifying.verify()
        except (LandingError, OSError) as error:
            raise _Failed(str(error)) from error
    if as_json:
        _print_json(asdict(found))
    else:
        for line in found.mended:
            click.echo(line)
        for line in found.damaged:
            click.secho(line, fg="red")
        click.echo(found.summary)
    raise SystemExit(ExitCode.FAILED if found.damaged else ExitCode.DONE)


@contextmanager
def _outcome(report: Callable[[str, dict[str, Any]], None]) -> Iterator[None]:
    """Turn an error of a refresh into a message and its exit code."""
    from ai_manufacturing.releases.errors import RefreshError

    try:
        yield
    except RefreshError as error:
        report(type(error).__name__, {"message": str(error)})
        raise SystemExit(error.exit_code) from error


def _report(event: str, facts: dict[str, Any]) -> None:
    """Print progress, words on a terminal and a JSON line under a scheduler, and add the line to the log."""
    from ai_manufacturing import settings
    from ai_manufacturing.releases import refresh_log

    line = refresh_log.line(event, facts)
    refresh_log.write(settings.release_dir(), line)
    if sys.stdout.isatty():
        _say(event, facts)
    else:
        click.echo(line)


def _say(event: str, facts: dict[str, Any]) -> None:
    """Print progress in words; errors go to stderr, as in click."""
    if event.endswith("Error"):
        click.echo(f"{_coloured('Error')}: {facts['message']}", err=True)
        return
    lines = facts.get("lines") or [
        facts.get("message") or ", ".join(f"{name} {value}" for name, value in facts.items())
    ]
    click.echo(f"{_coloured(event)}: " + "\n  ".join(lines))


def _progress_line() -> "Told | None":
    """Return what rewrites one line of a terminal with the progress of dbt; None where stderr is no terminal."""
    if not sys.stderr.isatty() or _is_dumb():
        return None

    def show(progress: "Progress | None") -> None:
        line = f"building: {progress}"[: shutil.get_terminal_size().columns - 1] if progress else ""
        click.echo(f"\r\x1b[K{line}", nl=False, err=True, color=True)  # color lets the escape pass

    return show
