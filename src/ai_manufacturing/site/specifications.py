"""Every specification with its choices, estimates, sample and losses; what the cells of the tables link to."""

from typing import Any

from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import Catalogue

CHOICES = (
    "estimator",
    "outcome",
    "regressor",
    "transform",
    "weighting",
    "scope",
    "controls",
    "subsample",
    "grouping",
    "fixed_effects",
    "covariance",
    "options",
    "providers",
)


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the specifications in the order of their rows."""
    terms = _by_specification(
        release.rows("select * from reports.rpt_coefficients order by specification_id, term_order, term")
    )
    losses = _by_specification(
        release.rows("select * from estimates.observation_losses order by specification_id, step")
    )
    specifications = release.rows("select * from reports.rpt_specifications order by specification_order")
    return {
        "choices": CHOICES,
        "specifications": [
            {**row, "terms": terms[row["specification_id"]], "losses": losses.get(row["specification_id"], [])}
            for row in specifications
        ],
    }


def _by_specification(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["specification_id"], []).append(row)
    return found
