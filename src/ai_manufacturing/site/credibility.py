"""Is it true? The verdict on every column that the paper prints, and the checks that it follows from."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the verdicts in the order of the paper, each with its checks."""
    columns = release.rows(
        "select v.*, coalesce(s.outcome_label_en, s.outcome) as outcome_en, "
        "coalesce(s.outcome_label_zh, s.outcome) as outcome_zh, "
        "s.regressor, s.regressor_label_en as regressor_en, s.regressor_label_zh as regressor_zh, s.estimator, "
        "s.reason, s.reason_zh "
        "from reports.rpt_verdicts as v "
        "inner join reports.rpt_specifications as s on v.specification_id = s.specification_id "
        "order by v.table_id, v.column_number"
    )
    checks: dict[str, list[dict[str, Any]]] = {}
    for row in release.rows("select * from reports.rpt_credibility order by specification_id, check_order"):
        checks.setdefault(row["specification_id"], []).append(row)
    return {
        "columns": [
            {**row, **_checks(checks[row["specification_id"]])} for row in columns if row["cause"] != "no_data"
        ],
        "column_count": len(columns),
        "without_data": columns_by([row for row in columns if row["cause"] == "no_data"], "reason"),
        "verdicts": verdict_counts(release),
    }


def verdict_counts(release: Release) -> list[dict[str, Any]]:
    """Return each verdict that is given here, with its meaning and the number of columns."""
    return release.rows(
        "select verdict_en, verdict_zh, meaning, meaning_zh, count(*) as column_count from reports.rpt_verdicts "
        "group by all order by column_count desc, verdict_en"
    )


def columns_by(claims: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return each text once, in both languages, with the columns that it is said of."""
    columns: dict[str, list[dict[str, Any]]] = {}
    for row in claims:
        if row[key]:
            columns.setdefault(row[key], []).append(row)
    return [{"text": text, "text_zh": rows[0][f"{key}_zh"], "columns": rows} for text, rows in columns.items()]


def _checks(checks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the checks; where none can be made and all say why in one sentence, that sentence alone."""
    sentences = {(row["sentence"], row["sentence_zh"]) for row in checks}
    is_one = len(sentences) == 1 and all(row["figure"] is None for row in checks)
    return {
        "checks": [] if is_one else checks,
        "unchecked": checks[0]["sentence"] if is_one else None,
        "unchecked_zh": checks[0]["sentence_zh"] if is_one else None,
    }
