"""The `ai-manufacturing` command."""

from pathlib import Path

import click


@click.group()
def main() -> None:
    """Sample extracts and traces of the AI and manufacturing warehouse."""


@main.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--seed", type=int, default=2020, show_default=True, help="Seed of the draw.")
def sample(out: Path, seed: int) -> None:
    """Write a synthetic extract set in the shape a vendor delivers."""
    from ai_manufacturing import sample as sample_extracts

    try:
        sample_extracts.write(out, seed)
    except sample_extracts.NotASampleError as error:
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
    from ai_manufacturing.sample import NotASampleError
    from ai_manufacturing.sample import registers as synthetic_registers

    try:
        synthetic_registers.write(out, firms, patents, seed, file_format)
    except NotASampleError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{out}: {firms:,} firms and {patents:,} patents, seed {seed}. They are invented.")


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
