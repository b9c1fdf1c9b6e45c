"""Commands that create, list, publish and verify releases."""

import getpass
import sys
from dataclasses import asdict

import click

from ai_manufacturing.cli.console import (
    DEFAULT_EXIT_CODES,
    JSON_OPTION,
    REPLACE_OPTION,
    command,
    convert_errors,
    create_progress_callback,
    exit_on_refresh_error,
    log_event,
    parse_years,
    print_event,
    print_json,
)
from ai_manufacturing.cli.status import build_release_record
from ai_manufacturing.system.exit_codes import ExitCode


@command(
    examples=["refresh", "refresh --years 2018:2020"],
    exit_codes=[code for code in ExitCode if code != ExitCode.UNSIGNED],
)
@click.option(
    "--years",
    callback=parse_years,
    help="Read the input files of these years (such as 2018:2020) again, and publish the result.",
)
@REPLACE_OPTION
@click.option(
    "--without-estimates",
    is_flag=True,
    help="Publish the build even if it contains no headline estimates. This is allowed only if no"
    " earlier release contains a headline estimate.",
)
def refresh(years: range | None, replaces: bool, without_estimates: bool) -> None:
    """Build a release from the input files, and publish it if all checks pass."""
    from ai_manufacturing.refresh import cycle
    from ai_manufacturing.releases import configured, refresh_log
    from ai_manufacturing.system import settings

    with exit_on_refresh_error(log_event), refresh_log.record_attempt(settings.release_dir()):
        manifest = cycle.refresh(
            configured.read_store(),
            configured.read_limits(),
            log_event,
            years,
            replaces,
            without_estimates,
            create_progress_callback(),
        )
        if sys.stdout.isatty():
            click.echo(f"Release {manifest.release_id} is published.")


@command(
    examples=["publish 000013 --reason 'the revision of 2024'"],
    exit_codes=(*DEFAULT_EXIT_CODES, ExitCode.BUILD_FAILED, ExitCode.LOCKED),
)
@click.argument("release_id")
@click.option(
    "--reason",
    required=True,
    help="Reason for publishing the build. The reason is recorded in the manifest of the release.",
)
@REPLACE_OPTION
def publish(release_id: str, reason: str, replaces: bool) -> None:
    """Publish a build that the automatic checks held back."""
    from ai_manufacturing.refresh import by_hand
    from ai_manufacturing.releases import configured

    with exit_on_refresh_error(log_event):
        by_hand.publish_held_build(configured.read_store(), release_id, reason, log_event, replaces)


@command(
    examples=[
        "accept 000012 --reason 'compared with the yearbook'",
        "accept --revision 'vendor,*,total,2018:2019' --reason 'economic census'",
    ],
    exit_codes=(*DEFAULT_EXIT_CODES, ExitCode.LOCKED),
)
@click.argument("release_id", required=False)
@click.option(
    "--revision",
    "revisions",
    multiple=True,
    metavar="PROVIDER,SERIES,SCOPE,YEARS",
    help="Declare that the next release may change these values, and that the quality gate may find"
    " these years unusual. Write YEARS as 2018:2019. Write * for every provider, series or scope.",
)
@click.option(
    "--by",
    default=getpass.getuser,
    help="Name of the person who declares the revisions. Default: the current user.",
)
@click.option(
    "--reason",
    required=True,
    help="Explanation of why the numbers are right. The explanation is recorded in the log and in"
    " later releases.",
)
def accept(release_id: str | None, revisions: tuple[str, ...], by: str, reason: str) -> None:
    """Accept the published release as the baseline for drift, or declare revisions."""
    from ai_manufacturing.refresh import by_hand
    from ai_manufacturing.releases import configured

    with exit_on_refresh_error(print_event):
        if release_id and not revisions:
            by_hand.accept_release(configured.read_store(), release_id, reason, print_event)
        elif revisions and not release_id:
            by_hand.declare_revisions(configured.read_store(), revisions, reason, by, print_event)
        else:
            raise click.UsageError("Give either the number of a release or --revision.")


@command(examples=["rollback 000012"], exit_codes=(*DEFAULT_EXIT_CODES, ExitCode.LOCKED))
@click.argument("release_id")
@REPLACE_OPTION
def rollback(release_id: str, replaces: bool) -> None:
    """Restore a past release as the published release."""
    from ai_manufacturing.refresh import by_hand
    from ai_manufacturing.releases import configured

    with exit_on_refresh_error(print_event):
        by_hand.roll_back(configured.read_store(), release_id, print_event, replaces)
        click.echo(f"Release {release_id} is published.")


@command(
    examples=["releases", "releases --json"], failure="there is no release, or a file is damaged"
)
@JSON_OPTION
def releases(as_json: bool) -> None:
    """List the stored releases, and mark the published release and the baseline for drift."""
    from ai_manufacturing.auditing import anchors
    from ai_manufacturing.releases import configured
    from ai_manufacturing.releases.errors import RefreshError
    from ai_manufacturing.releases.origin import Origin

    with exit_on_refresh_error(print_event):
        store = configured.read_store()
        published_id = anchor_id = None
        stored_releases, errors = store.summarise_releases()
        try:
            if store.published_path.exists():
                with store.open_release(store.published_path) as (current, release_file):
                    published_id, anchor_id = (
                        current.release_id,
                        anchors.read_anchor(store, release_file, current).release_id,
                    )
        except RefreshError as error:  # raise the error after listing the other releases
            errors.insert(0, error)
        records = [
            build_release_record(release, published_id, anchor_id) for release in stored_releases
        ]
        if as_json:
            print_json({"releases": records})
        for release in [] if as_json else records:
            is_published = release["is_published"]
            line = (
                f"{'*' if is_published else ' '} {release['release_id']}  {release['published_at']}"
                f"  {Origin(release['extract_set'], release['extract_set_kind'])} "
                f" {release['git_commit'][:12]} "
                f" {release['reason']}{'  (anchor)' * release['is_anchor']}"
            )
            click.secho(line.rstrip(), fg="green" if is_published else None)
        if errors:
            raise errors[0]
        if not stored_releases:
            raise RefreshError(
                f"{store.folder} contains no releases. Run `ai-manufacturing refresh` to create"
                " one."
            )


@command(examples=["diff 000011 000012", "diff 000011 000012 --json"])
@click.argument("old")
@click.argument("new")
@JSON_OPTION
def diff(old: str, new: str, as_json: bool) -> None:
    """Print the changes between two releases of the same extract set."""
    from ai_manufacturing.refresh import by_hand
    from ai_manufacturing.releases import configured

    with exit_on_refresh_error(print_event):
        summary = by_hand.summarise_changes(configured.read_store(), old, new)
    if as_json:
        print_json({"old": old, "new": new, **asdict(summary)})
    else:
        click.echo("\n".join(summary.lines) or "No change.")


@command(
    examples=["verify"],
    exit_codes=(*DEFAULT_EXIT_CODES, ExitCode.LOCKED),
    success="all files are intact",
    failure="a file differs from its SHA-256",
)
@JSON_OPTION
def verify(as_json: bool) -> None:
    """Verify the SHA-256 checksums of input files, logs, releases, builds and site.

    Prints the file, the problem and a remedy for each difference. Removes leftovers of crashed
    runs.
    """
    from ai_manufacturing.auditing import verify as verifying
    from ai_manufacturing.landing import LandingError

    with exit_on_refresh_error(print_event), convert_errors(LandingError, OSError):
        outcome = verifying.verify()
    if as_json:
        print_json(
            {
                "damaged": outcome.damage_lines,
                "mended": outcome.repair_lines,
                "checked": outcome.counts,
            }
        )
    else:
        for line in outcome.repair_lines:
            click.echo(line)
        for line in outcome.damage_lines:
            click.secho(line, fg="red")
        click.echo(outcome.summary)
    raise SystemExit(ExitCode.FAILED if outcome.damage_lines else ExitCode.DONE)
