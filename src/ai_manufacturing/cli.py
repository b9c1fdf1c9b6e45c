"""The `ai-manufacturing` command."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


@click.group()
def main() -> None:
    """Refresh, export, trace and sample the AI and manufacturing warehouse."""


@main.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--seed", type=int, default=2020, show_default=True, help="Seed of the draw.")
def sample(out: Path, seed: int) -> None:
    """Write a synthetic extract set in the shape a vendor delivers."""
    from ai_manufacturing import sample as sample_extracts
    from ai_manufacturing.landing import LandingError

    try:
        sample_extracts.write(out, seed)
    except (sample_extracts.NotASampleError, LandingError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: synthetic extract set, seed {seed}. Its numbers are invented.")


@main.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--firms", type=click.IntRange(min=0), default=100_000, show_default=True, help="Firms to draw.")
@click.option("--patents", type=click.IntRange(min=0), default=100_000, show_default=True, help="Patents to draw.")
@click.option("--seed", type=int, default=2020, show_default=True, help="Seed of the draw.")
@click.option("--format", "file_format", type=click.Choice(["parquet", "csv"]), default="parquet", show_default=True)
def registers(out: Path, firms: int, patents: int, seed: int, file_format: str) -> None:
    """Write a synthetic register of firms and one of patents, of any size, in bounded memory."""
    from ai_manufacturing.landing import LandingError
    from ai_manufacturing.sample import NotASampleError
    from ai_manufacturing.sample import registers as synthetic_registers

    try:
        synthetic_registers.write(out, firms, patents, seed, file_format)
    except (NotASampleError, LandingError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: {firms:,} firms and {patents:,} patents, seed {seed}. They are invented.")


@main.command()
@click.option("--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True)
@click.option(
    "--registers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the registers, for Spark; EXTRACTS_DIR unless given. What lies in EXTRACTS_DIR, DuckDB counts too.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the counts that Spark hands over; COUNTS_DIR, or register_counts in EXTRACTS_DIR.",
)
def counts(engine: str, registers: Path | None, out: Path | None) -> None:
    """Count firms and patents of the registers by city and year."""
    from ai_manufacturing import counts as counting
    from ai_manufacturing.landing import LandingError

    try:
        counting.count(engine, registers, out, click.echo)
    except (counting.CountsError, LandingError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--specification", required=True, help="A row of regression_specifications.csv.")
@click.option("--city", help="Six-digit code or Chinese name, with --year: trace one cell to its delivered rows.")
@click.option("--year", type=int, help="Year of the cell.")
def trace(specification: str, city: str | None, year: int | None) -> None:
    """Trace an estimate to its city-years, or one of its cells to file, SHA-256, row and corrections."""
    from ai_manufacturing import settings
    from ai_manufacturing import trace as tracing

    try:
        lines = tracing.trace(settings.warehouse_path(), specification, city, year)
    except tracing.TraceError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(lines))


@main.command()
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "csv", "xlsx", "dta", "latex"]),
    required=True,
    help="latex writes the paper's tables, the others panel, estimates and the dictionary of their columns.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build/exports"), show_default=True
)
@click.option(
    "--release",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A release, or a built warehouse; by default the published release, or where there is none WAREHOUSE_PATH.",
)
def export(file_format: str, out: Path, release: Path | None) -> None:
    """Write the panel and the estimates for Stata, R and Excel, or the paper's tables for LaTeX."""
    from ai_manufacturing import exports, settings

    published = settings.release_path()
    database = release or (published if published.exists() else settings.warehouse_path())
    try:
        written = exports.export(database, out, file_format)
    except (exports.ExportError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join([f"From {database}:", *(str(path) for path in written)]))


@main.command()
@click.option(
    "--release",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A file that refresh published.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the site.")
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `dbt docs generate --static` wrote, to put beside the pages.",
)
def report(release: Path, out: Path, catalogue: Path | None) -> None:
    """Build the static site of a release."""
    try:
        from ai_manufacturing import site
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error.name} is not installed. `make .venv/.site` installs it.") from error
    from ai_manufacturing.releases.errors import RefreshError

    try:
        pages = site.build(release, out, catalogue)
    except (site.SiteError, RefreshError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: {len(pages)} pages; open {out / 'index.html'}.")
    if "query" not in pages:
        click.echo("Without the query page: `make query-page` bundles it, with npm.")


def _years(context: click.Context, parameter: click.Parameter, text: str | None) -> range | None:
    if text is None:
        return None
    first, _, last = text.partition(":")
    try:
        years = range(int(first), int(last or first) + 1)
    except ValueError:
        years = range(0)
    if not years:
        raise click.BadParameter(f"{text!r} is no year, or first and last year such as 2018:2020.")
    return years


@main.command()
@click.option("--years", callback=_years, help="Read the files of these years again, 2018:2020, and publish.")
def refresh(years: range | None) -> None:
    """Build what the deliveries give, and publish it if nothing is wrong.

    Exit codes: 0 published, 1 the disk refuses, 2 bad configuration, 3 nothing new, 4 gate failed, 5 build failed,
    6 locked, 7 held because estimates moved too far, 8 published or nothing new, but a provider is stale.
    """
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.refresh import refresh as run

    with _outcome():
        manifest = run(configured.store(), configured.limits(), _report, years)
        click.echo(f"Release {manifest.release_id} is published.", err=not sys.stdout.isatty())


@main.command()
@click.argument("release_id")
@click.option("--reason", required=True, help="Kept in the manifest.")
def publish(release_id: str, reason: str) -> None:
    """Publish a held build by hand."""
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.refresh import publish_held

    with _outcome():
        publish_held(configured.store(), release_id, reason, _report)


@main.command()
@click.argument("release_id")
def rollback(release_id: str) -> None:
    """Publish a past release again."""
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.refresh import rollback as run

    with _outcome():
        run(configured.store(), release_id, _report)
        click.echo(f"Release {release_id} is published.")


@main.command()
def releases() -> None:
    """List the releases that are kept."""
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.store import read_manifest

    with _outcome():
        store = configured.store()
        current = store.current()
        for release_id in store.release_ids():
            manifest = read_manifest(store.past(release_id))
            mark = "*" if current and current.release_id == release_id else " "
            click.echo(
                f"{mark} {release_id}  {manifest.published_at}  {manifest.extract_set} ({manifest.extract_set_kind})  "
                f"{manifest.git_commit[:12]}  {manifest.reason}".rstrip()
            )


@main.command()
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Print what changed between two releases."""
    from ai_manufacturing.releases import changes, configured
    from ai_manufacturing.releases.errors import BadConfigurationError

    with _outcome():
        store = configured.store()
        for release_id in (old, new):
            if release_id not in store.release_ids():
                raise BadConfigurationError(f"No release {release_id}. There are: {', '.join(store.release_ids())}.")
        summary = changes.between(store.past(old), store.past(new))
        click.echo("\n".join(summary.lines) or "No change.")


@main.command()
@click.argument("old", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("new", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--markdown", is_flag=True, help="Write Markdown tables, for a review.")
def compare(old: Path, new: Path, markdown: bool) -> None:
    """Compare all tables of two release or warehouse files.

    Lists tables, columns, rows and cells that differ, and estimates by how far they moved.
    Exit codes, as of diff(1): 0 the same, 1 different, 2 trouble.
    """
    from ai_manufacturing import compare as comparing

    try:
        sections = comparing.compare(old, new)
    except comparing.CompareError as error:
        raise click.UsageError(str(error)) from error
    click.echo((comparing.as_markdown if markdown else comparing.as_text)(sections) or "No difference.")
    raise SystemExit(1 if sections else 0)


@main.command()
def status() -> None:
    """Say what is published, how old it is, from which deliveries, who delivers late, what the last refresh did."""
    from datetime import UTC, datetime

    from ai_manufacturing.releases import configured, freshness

    with _outcome():
        store = configured.store()
        manifest = store.current()
        if manifest is None:
            click.echo(f"{store.published}: nothing is published yet.")
        else:
            age = datetime.now(UTC) - datetime.fromisoformat(manifest.published_at)
            synthetic = " SYNTHETIC: its numbers are invented." if manifest.extract_set_kind == "synthetic" else ""
            click.echo(
                f"{store.published}: release {manifest.release_id} of {manifest.published_at} ({age.days} days old)"
            )
            click.echo(f"extract set {manifest.extract_set}, {len(manifest.delivery_hashes)} files.{synthetic}")
            click.echo(
                f"gate: {json.dumps(manifest.gate_summary)}; by {manifest.published_by} {manifest.reason}".rstrip()
            )
            for provider in freshness.of_release(store.published):
                click.echo(provider)
        last = next(reversed(store.refreshes()), None)
        click.echo(f"last refresh: {json.dumps(last, ensure_ascii=False) if last else 'none'}")


@contextmanager
def _outcome() -> Iterator[None]:
    """Turn what a refresh ends with into a message and its exit code."""
    from ai_manufacturing.releases.errors import RefreshError

    try:
        yield
    except RefreshError as error:
        _report(type(error).__name__, {"message": str(error)})
        raise SystemExit(error.exit_code) from error


def _report(event: str, facts: dict[str, Any]) -> None:
    """Print progress: words on a terminal, a JSON line under a scheduler."""
    if not sys.stdout.isatty():
        click.echo(json.dumps({"event": event, **facts}, ensure_ascii=False))
        return
    lines = facts.get("lines") or [
        facts.get("message") or ", ".join(f"{name} {value}" for name, value in facts.items())
    ]
    click.echo(f"{event}: " + "\n  ".join(lines))
