"""Commands that trace, export and compare results, and list missing data."""

from pathlib import Path

import click

from ai_manufacturing.cli.console import (
    FILE,
    FOLDER,
    JSON_OPTION,
    CommandError,
    FormatChoice,
    UsageError,
    choose_database,
    command,
    convert_errors,
    database_option,
    parse_names,
    print_json,
)
from ai_manufacturing.system import study_package
from ai_manufacturing.system.exit_codes import ExitCode


@command(examples=study_package.read_constant("EXAMPLES", {}).get("trace", []))
@click.option(
    "--specification",
    required=True,
    help="Regression to trace: a specification_id from the file regression_specifications.csv.",
)
@click.option(
    "--city",
    help="City to trace: its six-digit code, or its Chinese or English name. Use --city and --year"
    " together to trace one cell of the panel to the delivered rows.",
)
@click.option("--year", type=int, help="Year to trace; use it together with --city.")
@database_option("A release or a built warehouse")
def trace(specification: str, city: str | None, year: int | None, path: Path | None) -> None:
    """Trace an estimate to its sample, or one city-year to source files and corrections."""
    from ai_manufacturing.auditing import trace as tracing

    database = choose_database(path)
    with (
        convert_errors(tracing.TraceError),
        convert_errors(tracing.NoSuchThingError, to=UsageError),
    ):
        lines = tracing.trace(database.path, specification, city, year)
    click.echo("\n".join(lines))


@command(examples=["export --format dta", "export --format latex --out build/tables"])
@click.option(
    "--format",
    "file_format",
    type=FormatChoice(),
    required=True,
    help="Export format. The formats parquet, csv, xlsx and dta contain the panel, the estimates,"
    " the specification curve and the data dictionary; the other formats contain the paper's"
    " tables.",
)
@click.option("--out", type=FOLDER, default=Path("build/exports"), show_default=True)
@database_option("A release or a built warehouse")
def export(file_format: str, out: Path, path: Path | None) -> None:
    """Export the panel, estimates and specification curve, or the paper's tables, to files.

    Also prints the columns that must not be redistributed.
    """
    from ai_manufacturing.tables import exports, formats

    database = choose_database(path)
    with convert_errors(exports.ExportError, OSError):
        paths = exports.export(database.path, out, file_format)
        restriction = exports.describe_restriction(database.path)
    click.echo("\n".join(map(str, paths)))
    if restriction and file_format in formats.list_formats("rows", "book"):
        click.echo(restriction, err=True)


@command(
    examples=[
        "panel --format csv > panel.csv",
        "panel --out panel.xlsx",
        "panel --out panel.dta --database build/public.duckdb",
    ]
)
@click.option(
    "--format",
    "file_format",
    type=FormatChoice("rows", "book"),
    help="Export format. By default, the ending of the file name in --out determines the format.",
)
@click.option("--out", type=FILE, help="File to write the panel to. Default: standard output.")
@database_option("A release or a built warehouse")
def panel(file_format: str | None, out: Path | None, path: Path | None) -> None:
    """Export the city-year panel to a file or to standard output.

    Also prints the columns that must not be redistributed.
    """
    from ai_manufacturing.tables import exports, formats

    stdout = click.get_binary_stream("stdout")
    if file_format is None:
        file_format = out.suffix.lower().removeprefix(".") if out else ""
        panel_formats = formats.list_formats("rows", "book")
        if file_format not in panel_formats:
            endings = ", .".join(panel_formats)
            raise click.UsageError(
                "Name a format with --format, or use --out with a file name that ends in"
                f" .{endings}."
            )
    if out is None and file_format != "csv" and stdout.isatty():
        raise click.UsageError(
            f"{file_format} is a binary format that a terminal cannot show. Name a file with"
            " --out, or redirect the output."
        )
    database = choose_database(path, err=True)
    with convert_errors(exports.ExportError):
        content = exports.export_panel(database.path, file_format)
        restriction = exports.describe_restriction(database.path)
    if restriction:
        click.echo(restriction, err=True)
    if out is None:
        stdout.write(content)
        stdout.flush()
        return
    _write_output(out, content)


def _write_output(out: Path, content: bytes) -> None:
    """Write content to the file given by --out, and print the path."""
    from ai_manufacturing.system import disk

    try:
        disk.replace_bytes(out, content)
    except OSError as error:
        reason, remedy = disk.describe_failure(error, out)
        raise CommandError(
            f"The file could not be written ({reason}). {remedy}, or name another file with --out."
        ) from error
    click.echo(out)


@command(examples=study_package.read_constant("EXAMPLES", {}).get("table", []))
@click.argument("name", metavar="TABLE")
@click.option(
    "--format",
    "file_format",
    type=FormatChoice("printed"),
    required=True,
)
@click.option(
    "--readings",
    callback=parse_names,
    help="Specifications to show as columns of the table, separated by commas. The file"
    " regression_specifications.csv lists all specifications. Default: the columns of the paper.",
)
@click.option(
    "--errors",
    callback=parse_names,
    default="city,province",
    show_default=True,
    help="Statistics to print below each estimate, separated by commas: city is the standard error"
    " clustered by city, printed in parentheses; province is the standard error clustered by"
    " province, printed in square brackets; wild is the p-value of the wild bootstrap, printed in"
    " braces. Write none to omit all of them.",
)
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True)
@click.option("--decimals", type=click.IntRange(2, 4), default=3, show_default=True)
@click.option(
    "--siunitx",
    is_flag=True,
    help="Align numbers at the decimal point with siunitx (version 3). Only for LaTeX.",
)
@click.option(
    "--out",
    type=FILE,
    help="File to write the table to. Default: build/exports/TABLE, with the ending of the format.",
)
@database_option("A release or a built warehouse")
def table(
    name: str,
    file_format: str,
    readings: list[str] | None,
    errors: list[str],
    language: str,
    decimals: int,
    siunitx: bool,
    out: Path | None,
    path: Path | None,
) -> None:
    """Export one table of the paper, with a choice of specifications and standard errors."""
    from ai_manufacturing.tables import NO_ERRORS, TableError, exports

    database = choose_database(path)
    choices = {
        "readings": readings,
        "errors": [] if errors == [NO_ERRORS] else errors,
        "language": language,
        "decimals": decimals,
    }
    with convert_errors(exports.ExportError), convert_errors(TableError, to=UsageError):
        click.echo(exports.export_table(database.path, name, file_format, out, siunitx, **choices))


@command(examples=["sources", "sources --json"])
@database_option("A release or a built warehouse")
@JSON_OPTION
def sources(path: Path | None, as_json: bool) -> None:
    """List available and missing data, with sources and the estimates that need the data."""
    import duckdb

    from ai_manufacturing.landing import LandingError
    from ai_manufacturing.releases import sources as known_sources
    from ai_manufacturing.system import duckdb_client

    database = choose_database(path, print_description=not as_json)
    try:
        with convert_errors(LandingError), duckdb_client.open_read_only(database.path) as release:
            overview = known_sources.read_sources(release)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        reason = str(error).splitlines()[0]
        raise CommandError(
            f"{database.path} was built by an earlier version of the code, or its build did not"
            f" finish ({reason}). Build the warehouse or refresh the release again, or name another"
            " file with --database."
        ) from error
    if as_json:
        print_json(overview)
        return
    click.echo("Delivered:")
    for row in overview["delivered"]:
        click.echo(
            f"  {row['provider']}.{row['source_name']} ({row['provenance_class']},"
            f" {row['licence']})"
        )
        if row["link"]:
            click.echo(f"    {row['link']}, looked up {row['looked_up_on']}")
    if not overview["is_judged"]:
        click.echo(
            "No estimates have been computed yet. If the quality gate failed, the table"
            " gates.gate_results lists the failed checks."
        )
    click.echo("Not delivered:")
    for row in overview["absent"]:
        series = f"{row['series']} ({row['scope']}): {row['label_en']}"
        specification_count = len(row["specifications"])
        click.echo(
            f"  {series}, "
            + (
                f"needed for {specification_count} specifications"
                if specification_count
                else "which no specification needs"
            )
        )
        if row["last_missing_of"]:
            name, specifications = (
                f"{row['series']} ({row['scope']})",
                ", ".join(row["last_missing_of"]),
            )
            click.echo(f"    The specifications {specifications} lack only the series {name}.")
        for place in row["sources"]:
            source = f"{place['provider']}.{place['source_name']}"
            click.echo(f"    {source}: {place['link']}, looked up {place['looked_up_on']}")
            folder, file_name = place["folder"], place["file_name"]
            click.echo(
                f"      Save the file as {file_name} in the folder {folder} of EXTRACTS_DIR."
            )
            if place["estimable"]:
                specifications = ", ".join(place["estimable"])
                click.echo(
                    f"      The source {source} contains every series that the specifications"
                    f" {specifications} lack."
                )
        if not row["sources"]:
            reason = row["absence_reason"] or "no public source is known"
            click.echo(f"    {reason}")


@command(
    examples=[
        "compare build/releases/past/000011.duckdb build/warehouse.duckdb",
        "compare OLD NEW --markdown",
    ],
    success="nothing differs",
    failure="something differs, or a file is damaged",
)
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option(
    "--markdown",
    is_flag=True,
    help="Print the differences as Markdown tables, for example for a code review.",
)
@JSON_OPTION
def compare(old: Path, new: Path, markdown: bool, as_json: bool) -> None:
    """Compare all tables of two release or warehouse files of the same extract set.

    Lists the tables, columns, rows and cells that differ, and how far estimates moved. The exit
    codes are as in diff(1).
    """
    from ai_manufacturing.auditing import compare as comparing
    from ai_manufacturing.system import settings

    if markdown and as_json:
        raise click.UsageError("--markdown and --json cannot be combined. Give only one of them.")
    before, after = (choose_database(path, print_description=not as_json) for path in (old, new))
    with convert_errors(comparing.CompareError, to=UsageError):
        sections = comparing.compare_databases(before, after, settings.landing_dir())
    if as_json:
        print_json(
            {"old": before.to_record(), "new": after.to_record()} | comparing.to_records(sections)
        )
    else:
        click.echo(
            (comparing.format_markdown if markdown else comparing.format_text)(sections)
            or "No difference."
        )
    raise SystemExit(ExitCode.FAILED if sections else ExitCode.DONE)


@command(
    examples=["judge panel.csv", "judge panel.dta --year yr --out cells.xlsx"],
    success="no column needs attention",
    failure="too many cells of a column are unexplained, or a value jumps only in the warehouse",
)
@click.argument("panel", type=FILE)
@click.option(
    "--city",
    help="Column of the file that contains codes or names of cities. Default: detected from the"
    " cells.",
)
@click.option(
    "--year", help="Column of the file that contains years. Default: detected from the cells."
)
@click.option(
    "--column",
    "column_options",
    multiple=True,
    metavar="COLUMN=SERIES",
    help="Compare the given column of the file with the given series. If you use this option, other"
    " columns are not compared.",
)
@click.option(
    "--out", type=FILE, help="File to write, with one row for each compared cell (.csv or .xlsx)."
)
@database_option("A release or a built warehouse")
def judge(
    panel: Path,
    city: str | None,
    year: str | None,
    column_options: tuple[str, ...],
    out: Path | None,
    path: Path | None,
) -> None:
    """Compare a city panel (CSV, XLSX, Stata, Parquet) with the warehouse, and explain differences.

    Reports the columns used for city, year and series, and how often an explanation fits by chance.
    Exits with 1 if over 5 % of a column is unexplained, or if a value jumps only in the warehouse.
    """
    from ai_manufacturing.auditing import panel_columns, panels
    from ai_manufacturing.tables import exports

    pairs = dict(pair.rpartition("=")[::2] for pair in column_options)
    if not all(map(all, pairs.items())) or (out and out.suffix not in (".csv", ".xlsx")):
        raise click.UsageError(
            "Write --column as COLUMN=SERIES, and give --out a file name that ends in .csv or"
            " .xlsx."
        )
    database = choose_database(path)
    with convert_errors(panel_columns.PanelError, to=UsageError):
        judgement = panels.judge_panel(database.path, panel, city, year, pairs)
    click.echo("\n".join(judgement.lines))
    if out:
        with convert_errors(exports.ExportError):
            restriction = exports.describe_restriction(database.path)
        _write_output(out, panels.format_file(judgement.cells, out.suffix == ".xlsx"))
        click.echo(restriction, err=True)
    raise SystemExit(ExitCode.DONE if judgement.is_fine else ExitCode.FAILED)
