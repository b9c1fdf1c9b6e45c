"""Command that counts firms and patents in register files."""

from pathlib import Path

import click

from ai_manufacturing.cli.console import FOLDER, command, convert_errors


@command(examples=["counts", "counts --engine spark"])
@click.option(
    "--engine", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True
)
@click.option(
    "--registers",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help=(
        "Folder that contains the register files (only with --engine spark). The default is"
        " EXTRACTS_DIR, the folder that DuckDB always reads."
    ),
)
@click.option(
    "--out",
    type=FOLDER,
    help=(
        "Folder to write the counts to (only with --engine spark). The default is COUNTS_DIR or, if"
        " that is not set, the folder register_counts in EXTRACTS_DIR."
    ),
)
def counts(engine: str, registers: Path | None, out: Path | None) -> None:
    """Count firms and patents in register files by city and year."""
    from ai_manufacturing.landing import LandingError
    from ai_manufacturing.landing import counts as counting

    with convert_errors(counting.CountsError, LandingError, OSError):
        counting.count_registers(engine, registers, out, click.echo)
