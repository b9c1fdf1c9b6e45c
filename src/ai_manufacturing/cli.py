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

    sample_extracts.write(out, seed)
    click.echo(f"{out}: synthetic extract set, seed {seed}. Its numbers are invented.")
