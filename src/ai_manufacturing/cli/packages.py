"""Commands that present a release as a site, query book, replication package or MCP server."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from ai_manufacturing.cli.console import (
    DEFAULT_EXIT_CODES,
    FILE,
    FOLDER,
    CommandError,
    UsageError,
    choose_database,
    command,
    convert_errors,
    database_option,
    exit_on_refresh_error,
    print_event,
)
from ai_manufacturing.system.exit_codes import ExitCode

if TYPE_CHECKING:
    from ai_manufacturing.releases.databases import Database


@command(examples=["queries --out build/queries.md"])
@database_option("A release or a built warehouse")
@click.option(
    "--out",
    type=FILE,
    help="Markdown file to write. The default, docs/questions.md, is only for the synthetic sample."
    "",
)
def queries(path: Path | None, out: Path | None) -> None:
    """Write example queries and their answers from a release or a warehouse to a file."""
    import duckdb

    from ai_manufacturing.site import query_book
    from ai_manufacturing.system import disk, settings

    database = choose_database(path)
    book = settings.project_root() / "docs/questions.md"
    if out is None and not database.origin.is_synthetic:
        raise click.UsageError(
            f"{book} contains the answers for the synthetic sample. For another extract set, name"
            " a different file with --out."
        )
    with convert_errors(duckdb.Error, OSError):
        text = query_book.update_answers(book.read_text(encoding="utf-8"), database.path)
        disk.replace_bytes(out or book, text.encode())
    click.echo(out or book)


@command(examples=["catalogue --out site/catalogue.html"])
@database_option("A built warehouse")
@click.option(
    "--out",
    type=FILE,
    default=Path("site/catalogue.html"),
    show_default=True,
    help="Path of the HTML file to write.",
)
def catalogue(path: Path | None, out: Path) -> None:
    """Write dbt's documentation of models, columns and lineage to one HTML file."""
    from ai_manufacturing.releases import databases
    from ai_manufacturing.site import catalogue as catalogues

    database = choose_database(path, databases.WAREHOUSE)
    with convert_errors(catalogues.CatalogueError, OSError):
        catalogues.write_catalogue(database, out)
    click.echo(out)


@command(examples=["report --out site"])
@database_option("A release or a built warehouse")
@click.option("--out", type=FOLDER, required=True, help="Folder to write the site to.")
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Catalogue page to include in the site, written by `ai-manufacturing catalogue`. Default:"
    " the catalogue page that the --out folder already contains, if there is one.",
)
@click.option(
    "--with-restricted",
    is_flag=True,
    help="Show values that may not be passed on, and add a notice to each page. Use this option"
    " only if access to the site is limited to authorised people.",
)
def report(path: Path | None, out: Path, catalogue: Path | None, with_restricted: bool) -> None:
    """Build the static site of a release or a warehouse, without restricted values."""
    try:
        from ai_manufacturing import site
    except ModuleNotFoundError as error:
        raise CommandError(
            f"The Python package {error.name} is not installed. Install it with `make .venv/.site`."
        ) from error
    from ai_manufacturing.releases import citation
    from ai_manufacturing.site import catalogue as catalogues
    from ai_manufacturing.system import settings

    database = choose_database(path)
    present_page = out / catalogues.NAME
    included_page = catalogue or (present_page if present_page.is_file() else None)
    note = "The site does not contain dbt's catalogue. Run `make catalogue` to write the catalogue."
    try:
        if included_page is not None:
            catalogues.require_origin(included_page, database.origin)
    except catalogues.CatalogueError as error:
        if catalogue is not None:
            raise UsageError(str(error)) from error
        included_page, note = None, f"The site does not contain dbt's catalogue. {error}"
    with (
        convert_errors(site.SiteError),
        exit_on_refresh_error(print_event),
        TemporaryDirectory() as folder,
    ):
        release = _prepare_release(database, Path(folder))
        pages = site.build(release, out, included_page, with_restricted=with_restricted)
    click.echo(f"{out} now contains {len(pages)} pages. Open {out / 'index.html'}.")
    if included_page is None:
        click.echo(note)
    if "query" not in pages:
        click.echo(
            "The site does not contain the query page. Run `make query-page` to build the query"
            " page with npm."
        )
    if reason := citation.read_citation(settings.project_root()).absence:
        click.echo(f"The site does not contain a citation of the project. {reason}")


def _prepare_release(database: "Database", folder: Path) -> Path:
    """Return the path of a release; for a warehouse, write a temporary release first."""
    from ai_manufacturing.refresh import writer

    if database.release_id is not None:
        return database.path
    release = folder / "unpublished.duckdb"
    writer.write_unpublished_release(database.path, release)
    return release


@command(examples=["mcp", "mcp --database build/releases/ai_manufacturing.duckdb"])
@database_option("A release or a built warehouse")
@click.option(
    "--with-restricted",
    is_flag=True,
    help="Allow answers to contain values that may not be passed on. Use this option only if access"
    " to the assistant is limited to authorised people.",
)
def mcp(path: Path | None, with_restricted: bool) -> None:
    """Run an MCP server on standard input and output for an AI assistant's questions.

    The server reads a copy without restricted values (docs/how_to/ask_from_an_assistant.md).
    """
    try:
        from ai_manufacturing.question_door import server, tools
    except ModuleNotFoundError as error:
        raise CommandError(
            f"The Python package {error.name} is not installed. Install it with"
            " `python -m pip install -e '.[mcp]'`."
        ) from error
    database = choose_database(path, err=True)
    with exit_on_refresh_error(print_event), TemporaryDirectory() as folder:
        release = _prepare_release(database, Path(folder))
        copy_path = Path(folder) / "shown.duckdb"
        server.serve(tools.Door(release, copy_path, with_restricted=with_restricted))


@command(
    "replication-package",
    examples=[
        "replication-package",
        "replication-package --check build/replication_sample_000001.zip --yes",
    ],
    exit_codes=(*DEFAULT_EXIT_CODES, ExitCode.UNSIGNED),
    success="the package is written, or --check found no difference",
    failure="the disk is full, or --check found a difference or a broken rule",
)
@database_option("A release")
@click.option(
    "--out",
    type=FILE,
    help="Path of the zip to write. Default: build/replication_<set>_<release>.zip.",
)
@click.option(
    "--with-restricted",
    is_flag=True,
    help="Add the restricted files to the package, and the tables that contain their values.",
)
@click.option(
    "--without-run",
    is_flag=True,
    help="Write the package without running it first. The package then contains no log.",
)
@click.option(
    "--signed",
    type=FILE,
    help="Completed form in which a person certifies the rights to the data. The README of the"
    " package contains the empty form.",
)
@click.option(
    "--check",
    "archive",
    type=FILE,
    help="Check this replication package: unpack the zip in an empty folder, run its code, and"
    " compare every number.",
)
@click.option(
    "--yes",
    is_flag=True,
    help="With --check: run the code in the zip without asking for confirmation. Use this option"
    " only if you trust the author of the zip.",
)
@click.option(
    "--extracts",
    type=FOLDER,
    help="With --check: folder that contains the restricted files, which you obtained separately.",
)
@click.option(
    "--new-environment",
    is_flag=True,
    help="With --check: install the locked packages even if they are already installed.",
)
def replication_package(
    path: Path | None,
    out: Path | None,
    with_restricted: bool,
    without_run: bool,
    signed: Path | None,
    archive: Path | None,
    yes: bool,
    extracts: Path | None,
    new_environment: bool,
) -> None:
    """Write a replication package (data, code, logs and README) as a zip, or check one."""
    from ai_manufacturing import replication
    from ai_manufacturing.releases import databases
    from ai_manufacturing.releases.errors import RefreshError

    with (
        convert_errors(OSError),
        convert_errors(replication.ReplicationError, RefreshError, to=UsageError),
    ):
        if archive is not None:
            result = replication.check_package(
                archive,
                click.echo,
                lambda programs: _confirm_run(programs, yes),
                extracts,
                new_environment,
            )
            click.echo(
                "\n".join([*result.faults, *result.signature_faults])
                or f"{archive}: the run reproduces every number of the package."
            )
            if result.faults:
                raise SystemExit(ExitCode.FAILED)
            raise SystemExit(ExitCode.UNSIGNED if result.signature_faults else ExitCode.DONE)
        release = choose_database(path, databases.RELEASE)
        archive_path = replication.write_package(
            release.path,
            out,
            click.echo,
            with_restricted_files=with_restricted,
            without_run=without_run,
            form=signed,
        )
    click.echo(archive_path)


def _confirm_run(programs: str, yes: bool) -> bool:
    """Ask for confirmation before running the package's code, unless --yes was given."""
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            "The package was not run, because the command cannot ask for confirmation without a"
            " terminal. Read run.sh and the code in the zip; if you trust the author of the zip,"
            f" add --yes. The command would run {programs}"
        )
    click.echo(f"This runs {programs}", err=True)
    return yes or click.confirm("Run it?", err=True)
