"""Every specification with its choices, estimates, sample and losses; what the cells of the tables link to."""

from typing import Any

from ai_manufacturing.estimators.sentences import sentence
from ai_manufacturing.site.readings import overlap_note
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue

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
    # In the order of inference_checks.csv, in which the estimation wrote them.
    inference = _by_specification(
        release.rows(
            "select i.* from estimates.est_inference as i "
            "left join reports.rpt_coefficients as c on i.specification_id = c.specification_id and i.term = c.term "
            "where i.specification_id in "
            "(select specification_id from estimates.est_inference where status <> 'not_estimable') "
            "order by i.specification_id, c.term_order, i.term, i.rowid"
        )
    )
    influence = _by_specification(_influence(release))
    specifications = release.rows("select * from reports.rpt_specifications order by specification_order")
    return {
        "choices": CHOICES,
        "specifications": [
            {
                **row,
                "terms": terms[row["specification_id"]],
                "overlap": next(filter(None, map(overlap_note, terms[row["specification_id"]])), None),
                "losses": losses.get(row["specification_id"], []),
                "inference": inference.get(row["specification_id"], []),
                "influence": influence.get(row["specification_id"], []),
            }
            for row in specifications
        ],
    }


def _influence(release: Release) -> list[dict[str, Any]]:
    """Return the estimates without the flagged cities, and without the city and the province that move them most.

    What is left out has its name in both languages.
    """
    nobody = sentence("nobody_flagged")
    return release.rows(
        "with places as ("
        "select 'city' as unit_kind, city_id as unit_id, name_en, name_zh from marts.dim_city union "
        "select 'province', province_id, province_name_en, province_name_zh from marts.dim_city), "
        "flags as (select description, min(description_zh) as description_zh "
        f"from {release.gate_results()} group by description union all select ?, ?) "
        "select e.*, coalesce(p.name_en, e.unit_id) as left_out_en, "
        "coalesce(p.name_zh, f.description_zh, e.unit_id) as left_out_zh, "
        "split_part(e.setting, '=', 2) as errors "
        "from estimates.est_influence as e "
        "inner join reports.rpt_specifications as s on e.specification_id = s.specification_id "
        "left join places as p on e.unit_kind = p.unit_kind and e.unit_id = p.unit_id "
        "left join flags as f on e.unit_id = f.description "
        "where e.status <> 'not_estimable' and (e.rank = 1 or e.method = 'leave_out_flagged') "
        "and (e.term = s.regressor or s.estimator <> 'fixed_effects') "
        "order by e.specification_id, e.term, e.method desc, e.unit_kind desc, e.unit_id, errors",
        nobody.en,
        nobody.zh,
    )


def _by_specification(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["specification_id"], []).append(row)
    return found
