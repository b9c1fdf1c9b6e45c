"""The page on the measure: its fixed ratio, what two sources agree on, and the dictionary."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue

ORDER = "grouping <> 'all', grouping, group_name, year"


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the fixed-ratio test, what two sources agree on, and the dictionary."""
    test = release.rows("select * from reports.rpt_fixed_ratio_test order by measure, year")
    agreement = release.rows(
        "select * from reports.rpt_source_agreement order by series, scope, first_provider,"
        f" second_provider, {ORDER}"
    )
    last_of_measure = {
        row["measure"]: row for row in test if row["fixed_ratio_estimate"] is not None
    }
    of_all_cities = [row for row in agreement if row["grouping"] == "all"]
    return {
        "fixed_ratio": test,
        "compared": [*last_of_measure.values()],
        "agreement": [row for row in of_all_cities if row["year"] is None],
        "by_group": [row for row in agreement if row["grouping"] != "all" and row["year"] is None],
        "by_year": [row for row in of_all_cities if row["year"] is not None],
        "reliability": release.rows(
            "select * from reports.rpt_measure_reliability where year is null "
            f"order by measure, scope, first_provider, second_provider, transform, {ORDER}"
        ),
        "sets": release.rows(
            "select class_set, text_count, class_text_count, tagged_text_count, precision_share,"
            " recall_share from marts.fct_ai_dictionary_evaluation where class_set is not null"
            " order by class_set"
        ),
        "zeros": release.rows(
            """
            select
                p.observation_count as count,
                p.observation_count - coalesce(l.overlap_observation_count, p.observation_count)
                    as lost
            from reports.rpt_coefficients as p
            inner join reports.rpt_coefficients as l on p.term = l.term
            where
                p.specification_id = 'table_1_col_1'
                and p.term = p.regressor
                and l.specification_id = 'table_1_col_1_ln'
                and l.observation_count is not null
            """
        ),
        "registers": release.rows(
            "select corpus, entry_year, text_count, tagged_text_count, tagged_share from"
            " marts.fct_ai_dictionary_evaluation where class_set is null order by corpus,"
            " entry_year"
        ),
        "terms": release.rows(
            "select corpus, term, is_used, searched_in, reason, cast(sum(matched_text_count) as"
            " bigint) as text_count, cast(sum(sole_text_count) as bigint) as sole_text_count,"
            " any_value(core_share) as core_share, any_value(narrow_share) as narrow_share,"
            " any_value(wide_share) as wide_share, any_value(example_ids) as example_ids from"
            " marts.fct_ai_term_evaluation group by corpus, term, is_used, searched_in, reason"
            " order by corpus desc, text_count desc, term"
        ),
    }
