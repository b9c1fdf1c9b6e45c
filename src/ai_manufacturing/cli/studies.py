"""Command that generates the project folder of a new study."""

from pathlib import Path

import click

from ai_manufacturing.cli.console import FOLDER, UsageError, command


@command(examples=["new-study studies/robots"])
@click.argument("folder", type=FOLDER)
@click.option("--replace", is_flag=True, help="Overwrite files that already exist.")
def new_study(folder: Path, replace: bool) -> None:
    """Generate the files of a study from the study.toml in FOLDER."""
    from ai_manufacturing.new_study import DeclarationError, write_study

    try:
        paths = write_study(folder, replace=replace)
    except DeclarationError as error:
        raise UsageError(str(error)) from error
    click.echo(
        f"Wrote {len(paths)} files to {folder}. Next, run: cd {folder}; ai-manufacturing refresh"
    )
