"""The `ai-manufacturing` command.

Commands import heavy modules only when they run, so that help and completion are fast.
"""

import os

import click

from ai_manufacturing.cli import counting, packages, releases, results, status, studies
from ai_manufacturing.cli.console import Command, Commands, lacks_escape_codes
from ai_manufacturing.system import study_package


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ai-manufacturing", message="%(package)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Refresh, export and trace the AI and manufacturing warehouse.

    Run `ai-manufacturing COMMAND -h` for options and examples. Output to a terminal is coloured
    unless NO_COLOR is set.
    """
    if os.environ.get("NO_COLOR") or lacks_escape_codes():
        context.color = False


paper_commands = [
    study_package.load_module(name) for name in study_package.read_constant("COMMANDS", ())
]
for module in (counting, results, packages, releases, status, studies, *paper_commands):
    for entry in vars(module).values():
        if isinstance(entry, Command):
            main.add_command(entry)
