"""Data and provenance: series, providers, files, packages and tables, and how one follows from another."""

from typing import Any

from ai_manufacturing.site.quality import gate_counts
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return what the release was built from."""
    manifest = release.manifest
    return {
        "gate": gate_counts(release),
        "deliveries": sorted(manifest.delivery_hashes.items()),
        "packages": sorted(manifest.package_versions.items()),
        "row_counts": sorted(manifest.row_counts.items()),
        "series": release.rows("select * from marts.dim_series order by is_delivered desc, series, scope"),
        "sources": release.rows(
            "select provider, source_name, provenance_class, publisher, republished_by, licence, interpolated_series, "
            "citation_en, citation_zh, count(*) as file_count, string_agg(distinct outcome, ', ' order by outcome) "
            "as outcomes from marts.fct_deliveries where provider is not null group by all order by all"
        ),
    }
