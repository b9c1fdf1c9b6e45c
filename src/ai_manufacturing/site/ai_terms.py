"""The AI dictionary: how each term fares in patents by their IPC classes, and how many firms it tags by entry year."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the figures of the dictionary as a whole, of registers by entry year, and of each term."""
    return {
        "sets": dictionary_sets(release),
        "years": release.rows(
            "select corpus, entry_year, text_count, tagged_text_count, tagged_share "
            "from marts.fct_ai_dictionary_evaluation where class_set is null order by corpus, entry_year"
        ),
        "terms": release.rows(
            "select corpus, term, is_used, searched_in, reason, cast(sum(matched_text_count) as bigint) as text_count, "
            "cast(sum(sole_text_count) as bigint) as sole_text_count, any_value(core_share) as core_share, "
            "any_value(narrow_share) as narrow_share, any_value(wide_share) as wide_share, "
            "any_value(example_ids) as example_ids from marts.fct_ai_term_evaluation "
            "group by corpus, term, is_used, searched_in, reason order by corpus desc, text_count desc, term"
        ),
    }


def dictionary_sets(release: Release) -> list[dict[str, Any]]:
    """Return precision and recall of the dictionary against each set of IPC classes."""
    return release.rows(
        "select class_set, text_count, class_text_count, tagged_text_count, precision_share, recall_share "
        "from marts.fct_ai_dictionary_evaluation where class_set is not null order by class_set"
    )
