"""Overview: what was built from what, and whether it may be believed."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return what the overview shows."""
    manifest = release.manifest
    return {
        "headline": release.rows(
            "select s.*, coalesce(p.outcome_label_en, p.outcome) as outcome_en, "
            "coalesce(p.outcome_label_zh, p.outcome) as outcome_zh "
            "from reports.rpt_replication_scorecard as s "
            "left join reports.rpt_specifications as p on s.specification_id = p.specification_id "
            "where s.item_kind = 'coefficient' and s.table_id in ('table_1', 'table_2', 'table_3', 'table_4') "
            "order by s.table_id, s.column_number, s.term"
        ),
        "score": release.rows(
            "select count(*) as printed, count(estimated_value) as estimated, "
            "count(case when verdict = 'reproduced' then 1 end) as reproduced, "
            "count(case when verdict = 'cannot_tell' then 1 end) as cannot_tell, "
            "count(case when verdict = 'outside' then 1 end) as outside "
            "from reports.rpt_replication_scorecard where item_kind = 'coefficient'"
        )[0],
        "gate": manifest.gate_summary,
        "deliveries": sorted(manifest.delivery_hashes.items()),
        "packages": sorted(manifest.package_versions.items()),
        "row_counts": sorted(manifest.row_counts.items()),
        "series": release.rows("select * from marts.dim_series order by is_delivered desc, series, scope"),
        "remarks": release.rows("select * from reports.rpt_paper_remarks order by remark_number, figure_number"),
    }
