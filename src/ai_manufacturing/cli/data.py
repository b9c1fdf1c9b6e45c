"""Commands that write extracts, and count registers."""

from pathlib import Path

import click

from ai_manufacturing.cli.console import FOLDER, command, failing, parse_years

SEED = click.option("--seed", type=int, default=2020, show_default=True, help="Random seed.")


@command(examples=["synthetic --out build/extracts/sample"])
@click.option("--out", type=FOLDER, required=True, help="Folder to write.")
@SEED
@click.option(
    "--years",
    callback=parse_years,
    help="First and last year, 2008:2022; by default those of dbt_project.yml.",
)
def synthetic(out: Path, seed: int, years: range | None) -> None:
    """Write a synthetic extract set in a vendor's layout."""
    from ai_manufacturing import settings
    from ai_manufacturing import synthetic as synthetic_extracts
    from ai_manufacturing.landing import LandingError

    years = years or settings.period()
    if 2015 not in years:
        raise click.BadParameter(
            "the draw is anchored in 2015; name years that hold it.", param_hint="--years"
        )
    with failing(synthetic_extracts.NotSyntheticError, LandingError, OSError):
        synthetic_extracts.write(out, seed, years)
    click.echo(f"{out}: synthetic extract set, seed {seed}. Its numbers are not real.")


@command(examples=["registers --out build/registers --firms 200000"])
@click.option("--out", type=FOLDER, required=True, help="Folder to write.")
@click.option(
    "--firms", type=click.IntRange(min=0), default=100_000, show_default=True, help="Firms to draw."
)
@click.option(
    "--patents",
    type=click.IntRange(min=0),
    default=100_000,
    show_default=True,
    help="Patents to draw.",
)
@SEED
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
)
def registers(out: Path, firms: int, patents: int, seed: int, file_format: str) -> None:
    """Write synthetic registers of firms and patents, of any size, in bounded memory."""
    from ai_manufacturing.landing import LandingError
    from ai_manufacturing.synthetic import NotSyntheticError
    from ai_manufacturing.synthetic import registers as synthetic_registers

    with failing(NotSyntheticError, LandingError, OSError):
        synthetic_registers.write(out, firms, patents, seed, file_format)
    click.echo(f"{out}: {firms:,} firms and {patents:,} patents, seed {seed}. They are synthetic.")


@command(examples=["counts", "counts --engine spark"])
@click.option(
    "--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True
)
@click.option(
    "--registers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the registers (Spark only). Default: EXTRACTS_DIR, whose registers DuckDB"
    " also counts.",
)
@click.option(
    "--out",
    type=FOLDER,
    help="Folder for the counts (Spark only). Default: COUNTS_DIR, or register_counts in"
    " EXTRACTS_DIR.",
)
def counts(engine: str, registers: Path | None, out: Path | None) -> None:
    """Count firms and patents in registers by city and year."""
    from ai_manufacturing import counts as counting
    from ai_manufacturing.landing import LandingError

    with failing(counting.CountsError, LandingError, OSError):
        counting.count(engine, registers, out, click.echo)
