"""Use and cite: what can be downloaded, on what terms, how it is read, and the releases before."""

from typing import Any

from ai_manufacturing import terms
from ai_manufacturing.site import downloads
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue

# What most readers want, and its name in each format.
SETS = {
    "panel": ("fct_city_year_panel", "panel"),
    "estimates": ("rpt_coefficients", "estimates"),
    "curve": ("est_specification_curve", "specification_curve"),
    "codebook": ("data_dictionary", "data_dictionary"),
}


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the data sets, the terms of their sources, the citation, the quick starts and the history."""
    sources = release.rows(
        "select provider, provenance_class, publisher, republished_by, licence, citation_en, citation_zh, "
        f"{terms.MAY_BE_PASSED_ON} as may_pass_on, count(distinct file_path) as file_count "
        "from marts.fct_deliveries where provider is not null "
        "group by all order by provider, citation_en"
    )
    return {
        "sets": SETS,
        "tables": [
            {**row, "is_withheld": f"{row['schema_name']}.{row['table_name']}" in release.withheld}
            for row in release.rows(
                "select schema_name, table_name, estimated_size as row_count from duckdb_tables() "
                "where list_contains(['marts', 'gates', 'estimates', 'reports'], schema_name) order by all"
            )
        ],
        "sources": sources,
        "withheld": release.withheld_from(terms.WIDE, *release.withheld),
        "bibliography": downloads.bibliography(release.manifest),
        "starts": [
            (language, name, downloads.quick_starts(release)[name]) for language, name in downloads.QUICK_STARTS.items()
        ],
        "history": downloads.history(release),
    }
