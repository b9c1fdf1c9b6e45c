"""What differs from the release before."""

from typing import Any

from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue

LISTED = 300


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the changes that the release keeps: estimates lost, then moved, the farthest first, then gained."""
    kinds = release.rows(
        "select change_kind, count(*) as change_count, count(distinct city_id) as city_count "
        "from release.changes group by all order by all"
    )
    return {
        "replaced": _replaced(release),
        "kinds": kinds,
        "estimate_count": sum(row["change_count"] for row in kinds if row["change_kind"].startswith("estimate")),
        "estimates": release.rows(
            "select * from release.changes where change_kind like 'estimate%' "
            "order by list_position(['estimate_lost', 'estimate_changed', 'estimate_gained'], change_kind), "
            "moved_std_errors desc nulls first, specification_id, term limit ?",
            LISTED,
        ),
        "cells": release.rows(
            "select column_name, count(*) as cell_count, count(distinct city_id) as city_count, "
            "min(year) as first_year, max(year) as last_year from release.changes "
            "where change_kind = 'cell_changed' group by all order by all"
        ),
    }


def _replaced(release: Release) -> Origin | None:
    """Return whose numbers the release before had, if that was another extract set: then there are no changes."""
    # releases of earlier code do not have the table
    if not release.rows("from duckdb_tables() where schema_name = 'release' and table_name = 'previous'"):
        return None
    before = release.rows("select extract_set, extract_set_kind as kind from release.previous")
    return next((origin for row in before if (origin := Origin(**row)) != release.manifest.origin), None)
