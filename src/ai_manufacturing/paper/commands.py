"""Command-line commands that generate synthetic data."""

from pathlib import Path

import click

from ai_manufacturing.cli.console import FOLDER, command, convert_errors, parse_years

COUNT = click.IntRange(min=0)
SEED = click.option(
    "--seed", type=int, default=2020, show_default=True, help="Seed of the random numbers."
)


@command(examples=["synthetic --out build/extracts/sample"])
@click.option("--out", type=FOLDER, required=True, help="Folder to write the data files to.")
@SEED
@click.option(
    "--years",
    callback=parse_years,
    help="First and last year of the data, such as 2008:2022. Default: the period that"
    " dbt_project.yml declares.",
)
def synthetic(out: Path, seed: int, years: range | None) -> None:
    """Generate synthetic data files in the layout of a data vendor."""
    from ai_manufacturing.landing import LandingError
    from ai_manufacturing.paper.synthetic import write_sample
    from ai_manufacturing.system import settings

    years = years or settings.period()
    if 2015 not in years:
        raise click.BadParameter(
            "the synthetic data are anchored in 2015; choose a range of years that includes 2015.",
            param_hint="--years",
        )
    with convert_errors(LandingError, OSError):
        write_sample(out, seed, years)
    click.echo(f"Wrote a synthetic extract set to {out} (seed {seed}). Its numbers are not real.")


@command(examples=["registers --out build/registers --firms 200000"])
@click.option("--out", type=FOLDER, required=True, help="Folder to write the registers to.")
@click.option(
    "--firms", type=COUNT, default=100_000, show_default=True, help="Number of firms to generate."
)
@click.option(
    "--patents",
    type=COUNT,
    default=100_000,
    show_default=True,
    help="Number of patents to generate.",
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
    """Generate synthetic registers of firms and patents of any size, in bounded memory."""
    from ai_manufacturing.landing import LandingError
    from ai_manufacturing.paper.synthetic.registers import write_registers

    with convert_errors(LandingError, OSError):
        write_registers(out, firms, patents, seed, file_format)
    click.echo(
        f"Wrote {firms:,} synthetic firms and {patents:,} synthetic patents to {out} (seed {seed})."
    )
