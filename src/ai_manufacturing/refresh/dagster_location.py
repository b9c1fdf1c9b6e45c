"""Dagster code location that runs a refresh as one step and materialises all dbt assets.

dagster-dbt provides the assets and their lineage, and the suites in expectations/ provide the asset
checks. The step calls the same function as `ai-manufacturing refresh`, so it publishes, holds and
refuses the same builds.
"""

import json
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DbtProject, build_dbt_asset_specs

from ai_manufacturing.auditing import findings
from ai_manufacturing.gate import result_tables, suites, validation
from ai_manufacturing.refresh import cycle
from ai_manufacturing.releases import configured, refresh_log
from ai_manufacturing.releases.errors import (
    GateFailedError,
    NothingNewError,
    RefreshError,
    StaleError,
)
from ai_manufacturing.releases.manifest import Manifest, read_manifest
from ai_manufacturing.system import settings
from ai_manufacturing.system.duckdb_client import open_read_only

NIGHTLY = "30 2 * * *"
SEVERITIES = {"critical": dg.AssetCheckSeverity.ERROR, "warning": dg.AssetCheckSeverity.WARN}

project = DbtProject(settings.project_root(), profiles_dir=settings.engine_root())
if not project.manifest_path.is_file():
    project.preparer.prepare(project)
project.prepare_if_dev()


def _build_checks() -> dict[tuple[str, str], dg.AssetCheckSpec]:
    """Return a Dagster asset check per expectation, keyed by suite and description."""
    return {
        (suite.name, expectation["description"]): dg.AssetCheckSpec(
            name=f"{suite.name}_{number:02d}",
            asset=[
                "gates",
                "gate_second_route" if suite.judges.table.startswith("est_") else "gate_results",
            ],
            description=expectation["description"],
            metadata={"expectation": expectation["type"], "severity": expectation["severity"]},
        )
        for suite in map(suites.read_suite, suites.list_files())
        for number, expectation in enumerate(suite.expectations, start=1)
    }


def _build_assets() -> list[dg.AssetSpec]:
    """Return the assets of the dbt manifest in topological order, as Dagster requires."""
    specs = {spec.key: spec for spec in build_dbt_asset_specs(manifest=project.manifest_path)}
    parents = {key: {parent.asset_key for parent in spec.deps} for key, spec in specs.items()}
    order = TopologicalSorter(parents).static_order()
    return [
        specs[key].replace_attributes(skippable=True, group_name=key.path[0])
        for key in order
        if key in specs
    ]


assets = _build_assets()
checks = _build_checks()


@dg.multi_asset(name="refresh", specs=assets, check_specs=[*checks.values()])
def warehouse(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Run a refresh, and report the materialised assets and the gate results to Dagster.

    If nothing is new, only gate results are reported.
    """

    def log_event(event: str, facts: dict[str, Any]) -> None:
        context.log.info(f"{event}: {json.dumps(facts, ensure_ascii=False)}")
        refresh_log.write_event(settings.release_dir(), event, facts)

    try:
        with refresh_log.record_attempt(settings.release_dir()):
            store = configured.read_store()
            manifest = cycle.refresh(store, configured.read_limits(), log_event)
    except NothingNewError as error:
        context.log.info(str(error))
        # Dagster requires a result for each check, so report the results in the published release.
        yield from _report_check_results(store.published_path)
        return
    except GateFailedError as error:
        yield from _report_check_results(
            store.locate_held_build(error.release_id) / "warehouse.duckdb"
        )
        raise _convert_error(error) from error
    except StaleError as error:
        if error.is_published:
            yield from _materialise_assets(
                read_manifest(store.published_path), store.published_path
            )
        raise _convert_error(error) from error
    except RefreshError as error:
        raise _convert_error(error) from error
    yield from _materialise_assets(manifest, store.published_path)


def _materialise_assets(
    manifest: Manifest, release: Path
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    for spec in assets:
        metadata: dict[str, Any] = {
            "release": manifest.release_id,
            "extract_set": manifest.extract_set,
        }
        rows = manifest.row_counts.get(".".join(spec.key.path))
        if rows is not None:
            metadata["dagster/row_count"] = rows
        yield dg.MaterializeResult(asset_key=spec.key, metadata=metadata)
    yield from _report_check_results(release)


def _report_check_results(database: Path) -> Iterator[dg.AssetCheckResult]:
    """Yield the gate results of a release or a held build as Dagster asset check results.

    If two parts evaluate the same expectation, the worse result is reported.
    """
    with open_read_only(database) as connection:
        rows = connection.execute(
            "select suite, description, severity, success, observed_value, failing_rows from"
            f" {result_tables.select_all_results(connection)} order by success desc nulls"
            " first, severity = 'critical'"
        ).fetchall()
    worst = {(row[0], validation.remove_warning_prefix(row[1])): row[2:] for row in rows}
    for key, (severity, success, observed_value, failing) in worst.items():
        spec = checks[key]
        yield dg.AssetCheckResult(
            passed=success is not False,
            asset_key=spec.asset_key,
            check_name=spec.name,
            severity=SEVERITIES[severity],
            metadata={
                "observed": "not evaluated" if success is None else observed_value or "",
                "failing_rows": (failing or "")[: findings.MAX_FAILING_ROWS_CHARS],
            },
        )


def _convert_error(error: RefreshError) -> dg.Failure:
    refresh_log.write_event(settings.release_dir(), type(error).__name__, {"message": str(error)})
    return dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False)


refresh_job = dg.define_asset_job("refresh_job", selection=dg.AssetSelection.assets(warehouse))


@dg.sensor(job=refresh_job, minimum_interval_seconds=60)
def new_deliveries(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request a refresh once the extracts folder has changed and then remained unchanged.

    File names, sizes and times only decide when to look; the refresh detects changes by content.
    """
    folder = settings.extracts_dir()
    listing = {
        path.relative_to(folder).as_posix(): [path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    cursor = json.loads(context.cursor) if context.cursor else {"seen": None, "asked": None}
    if listing == cursor["asked"]:
        return dg.SkipReason(f"{folder}: no new delivery.")
    if listing != cursor["seen"]:
        context.update_cursor(json.dumps({**cursor, "seen": listing}))
        return dg.SkipReason(
            f"{folder}: a delivery is arriving or has just arrived; the sensor waits."
        )
    return dg.SensorResult(
        run_requests=[dg.RunRequest()], cursor=json.dumps({"seen": listing, "asked": listing})
    )


defs = dg.Definitions(
    assets=[warehouse],
    jobs=[refresh_job],
    schedules=[dg.ScheduleDefinition(name="nightly", job=refresh_job, cron_schedule=NIGHTLY)],
    sensors=[new_deliveries],
)
