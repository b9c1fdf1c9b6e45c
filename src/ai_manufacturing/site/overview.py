"""Overview: what was built from what, and whether it may be believed."""

from typing import Any

from ai_manufacturing.site.credibility import verdict_counts
from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return what the overview shows."""
    manifest = release.manifest
    headline = release.rows(
        "select s.*, coalesce(p.outcome_label_en, p.outcome) as outcome_en, "
        "coalesce(p.outcome_label_zh, p.outcome) as outcome_zh, v.verdict_en, v.verdict_zh "
        "from reports.rpt_replication_scorecard as s "
        "left join reports.rpt_specifications as p on s.specification_id = p.specification_id "
        "left join reports.rpt_verdicts as v on s.table_id = v.table_id and s.column_number = v.column_number "
        "where s.item_kind = 'coefficient' and s.table_id in ('table_1', 'table_2', 'table_3', 'table_4') "
        "order by s.table_id, s.column_number, s.term"
    )
    return {
        "headline": headline,
        "period": release.period(),
        "notes": _notes(headline),
        "score": release.rows(
            "select count(*) as printed, count(estimated_value) as estimated, "
            "count(case when verdict = 'reproduced' then 1 end) as reproduced, "
            "count(case when verdict = 'cannot_tell' then 1 end) as cannot_tell, "
            "count(case when verdict = 'outside' then 1 end) as outside "
            "from reports.rpt_replication_scorecard where item_kind = 'coefficient'"
        )[0],
        "verdicts": verdict_counts(release),
        "gate": gate_counts(release),
        "deliveries": sorted(manifest.delivery_hashes.items()),
        "packages": sorted(manifest.package_versions.items()),
        "row_counts": sorted(manifest.row_counts.items()),
        "series": release.rows("select * from marts.dim_series order by is_delivered desc, series, scope"),
        "remarks": release.rows("select * from reports.rpt_paper_remarks order by remark_number, figure_number"),
    }


def gate_counts(release: Release) -> dict[str, int]:
    """Return how many expectations passed, failed by severity, or had nothing to check and so did neither."""
    return release.rows(
        "select count(case when success and checked_count > 0 then 1 end) as passed, "
        "count(case when success and checked_count = 0 then 1 end) as nothing_to_check, "
        "count(case when not success and severity = 'critical' then 1 end) as critical, "
        "count(case when not success and severity = 'warning' then 1 end) as warnings "
        f"from {release.gate_results()}"
    )[0]


def _notes(headline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what substitutes for what in the columns that are estimated, each text once with its columns."""
    columns: dict[str, list[dict[str, Any]]] = {}
    for row in headline:
        if row["estimated_value"] is not None and row["substitutions"]:
            columns.setdefault(row["substitutions"], []).append(row)
    return [
        {"substitutions": text, "substitutions_zh": rows[0]["substitutions_zh"], "columns": rows}
        for text, rows in columns.items()
    ]
