"""The `ai-manufacturing` command."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ai_manufacturing.databases import Database

NAMED_FILE = click.Path(dir_okay=False, path_type=Path)
NAMED_FOLDER = click.Path(file_okay=False, path_type=Path)


class _UsageError(click.ClickException):
    """A file that cannot be read, or an argument that names nothing: wrong usage, as click has it."""

    exit_code = 2


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


def _read(named: Path | None, *kinds: str) -> "Database":
    """Choose the file that a command reads, and print it first."""
    from ai_manufacturing import databases

    try:
        database = databases.chosen(named, kinds or (databases.RELEASE, databases.WAREHOUSE))
    except databases.DatabaseError as error:
        raise _UsageError(str(error)) from error
    click.echo(database)
    return database


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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ai-manufacturing", message="%(package)s %(version)s")
def main() -> None:
    """Refresh, export and trace the AI and manufacturing warehouse."""


@main.command()
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
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: synthetic extract set, seed {seed}. Its numbers are not real.")


@main.command()
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
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: {firms:,} firms and {patents:,} patents, seed {seed}. They are synthetic.")


@main.command()
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
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--specification", required=True, help="A row of regression_specifications.csv.")
@click.option("--city", help="Six-digit code or Chinese name; with --year, traces one cell to its delivered rows.")
@click.option("--year", type=int, help="Year of the cell.")
@_database("A built warehouse")
def trace(specification: str, city: str | None, year: int | None, named: Path | None) -> None:
    """Trace an estimate to its city-years, or one cell to its file, SHA-256, row and corrections."""
    from ai_manufacturing import databases
    from ai_manufacturing import trace as tracing

    database = _read(named, databases.WAREHOUSE)
    try:
        lines = tracing.trace(database.path, specification, city, year)
    except tracing.NoSuchThingError as error:
        raise _UsageError(str(error)) from error
    except tracing.TraceError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(lines))


@main.command()
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
    from ai_manufacturing import exports

    database = _read(named)
    try:
        written = exports.export(database.path, out, file_format)
    except (exports.ExportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(map(str, written)))


@main.command()
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
    from ai_manufacturing import exports
    from ai_manufacturing.tables import NO_ERRORS, TableError

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
        raise click.ClickException(str(error)) from error


@main.command()
@_database("A release or a built warehouse")
@click.option("--out", type=NAMED_FILE, help="File to write. Default, for the synthetic sample only: docs/queries.md.")
def queries(named: Path | None, out: Path | None) -> None:
    """Write the query book with answers from a release or a warehouse."""
    import duckdb

    from ai_manufacturing import databases, durable, query_book, settings

    database = _read(named)
    book = settings.project_root() / "docs/queries.md"
    if out is None and database.origin.kind != databases.SYNTHETIC:
        raise click.UsageError(f"{book} holds the answers on the synthetic sample. Give --out for those of this set.")
    try:
        answered = query_book.answered(book.read_text(encoding="utf-8"), database.path)
        durable.replace_bytes(out or book, answered.encode())
    except (duckdb.Error, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(out or book)


@main.command()
@_database("A built warehouse")
@click.option("--out", type=NAMED_FILE, default=Path("site/catalogue.html"), show_default=True, help="File to write.")
def catalogue(named: Path | None, out: Path) -> None:
    """Write dbt's pages on models, columns and lineage into one file."""
    from ai_manufacturing import catalogue as catalogues
    from ai_manufacturing import databases

    database = _read(named, databases.WAREHOUSE)
    try:
        catalogues.write(database, out)
    except (catalogues.CatalogueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(out)


@main.command()
@_database("A release")
@click.option("--out", type=NAMED_FOLDER, required=True, help="Folder of the site.")
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Page from `ai-manufacturing catalogue` to include. Default: the one already in --out.",
)
def report(named: Path | None, out: Path, catalogue: Path | None) -> None:
    """Build the static site of a release."""
    try:
        from ai_manufacturing import site
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is not installed. `make .venv/.site` installs it.") from error
    from ai_manufacturing import catalogue as catalogues
    from ai_manufacturing import databases
    from ai_manufacturing.releases.errors import RefreshError

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
        pages = site.build(release.path, out, attached)
    except (site.SiteError, RefreshError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: {len(pages)} pages; open {out / 'index.html'}.")
    if attached is None:
        click.echo(left_out)
    if "query" not in pages:
        click.echo("Without the query page: `make query-page` bundles it with npm.")


@main.command()
@click.option("--years", callback=_years, help="Read the files of these years (such as 2018:2020) again, and publish.")
@_replaces
def refresh(years: range | None, replaces: bool) -> None:
    """Build from the deliveries, and publish if the gate and the tests pass.

    Exit codes: 0 published, 1 the disk refuses, 2 bad configuration or another extract set than the published one,
    3 nothing new, 4 gate failed, 5 build failed, 6 locked, 7 held because published values or estimates are rewritten,
    8 a provider is stale (anything new is published).
    """
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.refresh import refresh as run

    with _outcome(_report):
        manifest = run(configured.store(), configured.limits(), _report, years, replaces)
        click.echo(f"Release {manifest.release_id} is published.", err=not sys.stdout.isatty())


@main.command()
@click.argument("release_id")
@click.option("--reason", required=True, help="Why you publish it; the manifest keeps it.")
@_replaces
def publish(release_id: str, reason: str, replaces: bool) -> None:
    """Publish a held build by hand."""
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.refresh import publish_held

    with _outcome(_report):
        publish_held(configured.store(), release_id, reason, _report, replaces)


@main.command()
@click.argument("release_id")
@_replaces
def rollback(release_id: str, replaces: bool) -> None:
    """Publish a past release again."""
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.refresh import rollback as run

    with _outcome(_say):
        run(configured.store(), release_id, _say, replaces)
        click.echo(f"Release {release_id} is published.")


@main.command()
def releases() -> None:
    """List the kept releases; exit code 1 if there is none."""
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.errors import RefreshError
    from ai_manufacturing.releases.store import read_manifest

    with _outcome(_say):
        store = configured.store()
        if not store.release_ids():
            raise RefreshError(f"{store.folder}: no release is kept there. `ai-manufacturing refresh` makes one.")
        damaged = current = None
        try:
            current = store.current()
        except RefreshError as error:  # said once those are listed that can take its place
            damaged = error
        for release_id in store.release_ids():
            manifest = read_manifest(store.past(release_id))
            mark = "*" if current and current.release_id == release_id else " "
            click.echo(
                f"{mark} {release_id}  {manifest.published_at}  {manifest.origin}  {manifest.git_commit[:12]}  "
                f"{manifest.reason}".rstrip()
            )
        if damaged is not None:
            raise damaged


@main.command()
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Print what changed between two releases of one extract set."""
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.refresh import difference

    with _outcome(_say):
        summary = difference(configured.store(), old, new)
        click.echo("\n".join(summary.lines) or "No change.")


@main.command()
@click.argument("old", type=NAMED_FILE)
@click.argument("new", type=NAMED_FILE)
@click.option("--markdown", is_flag=True, help="Print Markdown tables, for a review.")
def compare(old: Path, new: Path, markdown: bool) -> None:
    """Compare all tables of two release or warehouse files of one extract set.

    Lists the tables, columns, rows and cells that differ, and estimates by how far they moved.
    Exit codes as in diff(1): 0 the same, 1 different, 2 error.
    """
    from ai_manufacturing import compare as comparing

    before, after = _read(old), _read(new)
    try:
        sections = comparing.compare(before, after)
    except comparing.CompareError as error:
        raise _UsageError(str(error)) from error
    click.echo((comparing.as_markdown if markdown else comparing.as_text)(sections) or "No difference.")
    raise SystemExit(1 if sections else 0)


@main.command("replication-package")
@_database("A release")
@click.option("--out", type=NAMED_FILE, help="Zip to write. Default: build/replication_<set>_<release>.zip.")
@click.option("--with-restricted", is_flag=True, help="Include restricted files and the tables with their values.")
@click.option("--without-run", is_flag=True, help="Do not run the package before it is written; it then has no log.")
@click.option(
    "--check", "archive", type=NAMED_FILE, help="Unpack this zip in an empty folder, run it, compare every number."
)
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
    extracts: Path | None,
    new_environment: bool,
) -> None:
    """Write one zip with data, code, logs and README for a journal's data editor, or check one.

    Exit codes of --check: 0 the same numbers, 1 different or a rule is broken, 2 it cannot be checked.
    """
    from ai_manufacturing import databases, replication
    from ai_manufacturing.releases.errors import RefreshError

    try:
        if archive is not None:
            faults = replication.check(archive, click.echo, extracts, new_environment)
            click.echo("\n".join(faults) or f"{archive}: the run gives every number of the package.")
            raise SystemExit(1 if faults else 0)
        release = _read(named, databases.RELEASE)
        written = replication.write(
            release.path, out, click.echo, with_restricted=with_restricted, without_run=without_run
        )
    except (replication.ReplicationError, RefreshError) as error:
        raise _UsageError(str(error)) from error
    click.echo(written)


@main.command()
def status() -> None:
    """Show the published release, its deliveries, late providers, the last refresh; exit code 1 if none."""
    from datetime import UTC, datetime

    from ai_manufacturing.releases import configured, freshness
    from ai_manufacturing.releases.errors import RefreshError

    with _outcome(_say):
        store = configured.store()
        manifest = store.current()
        if manifest is not None:
            age = datetime.now(UTC) - datetime.fromisoformat(manifest.published_at)
            click.echo(
                f"{store.published}: release {manifest.release_id} of {manifest.published_at} ({age.days} days old)"
            )
            click.echo(f"extract set {manifest.origin}, {len(manifest.delivery_hashes)} files")
            click.echo(
                f"gate: {json.dumps(manifest.gate_summary)}; by {manifest.published_by} {manifest.reason}".rstrip()
            )
            for provider in freshness.of_release(store.published):
                click.echo(provider)
        last = next(reversed(store.refreshes()), None)
        click.echo(f"last refresh: {json.dumps(last, ensure_ascii=False) if last else 'none'}")
        if manifest is None:
            raise RefreshError(f"{store.published}: nothing is published yet. `ai-manufacturing refresh` does it.")


@main.command()
def verify() -> None:
    """Compare landing store, logs, releases, held builds and site with their SHA-256.

    Prints a line for each thing that differs: where, what, and what to do. Removes what dead runs left.
    Exit codes: 0 nothing differs, 1 damage, 2 bad configuration, 6 a refresh is at work.
    """
    from ai_manufacturing import verify as verifying
    from ai_manufacturing.landing import LandingError

    with _outcome(_say):
        try:
            found = verifying.verify()
        except (LandingError, OSError) as error:
            raise click.ClickException(str(error)) from error
    click.echo("\n".join([*found.mended, *found.damaged, found.summary]))
    raise SystemExit(1 if found.damaged else 0)


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
    """Print progress: words on a terminal, a JSON line under a scheduler."""
    if sys.stdout.isatty():
        _say(event, facts)
    else:
        click.echo(json.dumps({"event": event, **facts}, ensure_ascii=False))


def _say(event: str, facts: dict[str, Any]) -> None:
    """Print progress in words; errors go to stderr, as in click."""
    if event.endswith("Error"):
        click.echo(f"Error: {facts['message']}", err=True)
        return
    lines = facts.get("lines") or [
        facts.get("message") or ", ".join(f"{name} {value}" for name, value in facts.items())
    ]
    click.echo(f"{event}: " + "\n  ".join(lines))
