"""Generate the rows of a study's dbt seeds from its study.toml."""

from collections.abc import Iterable, Iterator
from typing import Any

from ai_manufacturing.new_study.declaration import Series, Study

# Default plausibility limits in series.csv, which study.toml can override for each series.
USUAL_LIMITS = {
    "repeated_share_max": 0.5,
    "straight_share_max": 0.5,
    "shared_share_max": 0.5,
    "rank_correlation_min": 0.5,
    "growth_spread_max": 2,
    "province_spread_max": 2,
    "year_factor_max": 3,
    "agreeing_share_min": 0.9,
}
EFFECTS_BY_READING = {"default": "city year", "year effects by group": "city group-year"}
"""Fixed effects of the regressions that compare groups, by reading."""

Row = dict[str, Any]


def list_rows(
    study: Study, regions: Iterable[str], labels: Iterable[dict[str, str]]
) -> dict[str, list[Row]]:
    """Return the rows of each generated seed, by seed name; omitted columns are left empty.

    Parameters
    ----------
    study : Study
        Declaration of the study.
    regions : iterable of str
        Values of `region` in cities.csv, one for each city.
    labels : iterable of dict
        Rows of the engine's labels.csv, whose labels for errors, effects and groups a study reuses.
    """
    groups = _list_groups(study, regions)
    source = {"series": "*", "scope": "total", "provider": study.provider}
    scope_columns = {"delivered_scope": "total", "priority": 1, "boundaries": "current"}
    return {
        "series": [_describe_series(study, series) for series in study.series.values()],
        "series_sources": [source | scope_columns | {"absent_row": "missing"}],
        "industry_scopes": [{"scope": "industry", "section": "C"}],
        "measure_weightings": [
            {
                "measure": study.measure.name,
                "weighting": "observed",
                "base_series": study.measure.series,
                "is_mechanical": "false",
                "description": f"{study.measure.en} as delivered",
            }
        ],
        "regression_specifications": list(_specify_regressions(study, groups)),
        "published_estimates": list(_list_printed_estimates(study)),
        "labels": list(_list_labels(study, groups, labels)),
        "city_groupings": list(_group_cities(study)),
    }


def lower_initial(label: str) -> str:
    """Lower the first letter of a label for use inside a sentence, unless it is an acronym."""
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def _describe_series(study: Study, series: Series) -> Row:
    low, high = series.between
    return {
        "series": series.name,
        "unit": series.unit,
        "is_additive": str(series.is_additive).lower(),
        "median_min": low,
        "median_max": high,
        "cell_min": low,
        "cell_max": high,
        "log_variable": series.log_name if series in study.log_series else "",
        "label_en": series.en,
        "label_zh": series.zh,
        **USUAL_LIMITS,
        **series.limits,
    }


def _specify_regressions(study: Study, groups: Iterable[str]) -> Iterator[Row]:
    """Yield a specification per table column and, if a split is declared, per group comparison."""
    regressions: list[Row] = [
        {
            "specification_id": f"{table.name}_{number}",
            "table_id": table.name,
            "column_number": number,
            "reading": "default",
            "is_headline": "true",
            "outcome": study.series[column.outcome].log_name,
            "controls": " ".join(study.series[name].log_name for name in column.controls),
            "description": f"{table.en}: {column.en}",
        }
        for table, number, column in study.columns
    ]
    if study.split:
        regressions += _compare_groups(regressions[0], study.split.by, groups)
    for order, regression in enumerate(regressions, start=1):
        yield {
            "specification_order": 10 * order,
            "estimator": "fixed_effects",
            "regressor": study.measure.name,
            "transform": study.measure.transform,
            "weighting": "observed",
            "scope": "industry",
            "first_year": study.first_year,
            "last_year": study.last_year,
            "fixed_effects": "city year",
            "covariance": "city",
        } | regression


def _compare_groups(claim: Row, by: str, groups: Iterable[str]) -> Iterator[Row]:
    """Yield regressions that compare the effect between groups, and one within each group."""
    name = f"heterogeneity_{by}"
    whole = {"table_id": "heterogeneity", "column_number": 1, "is_headline": "false"}
    for reading, effects in EFFECTS_BY_READING.items():
        yield (
            claim
            | whole
            | {
                "specification_id": name if reading == "default" else f"{name}_group_years",
                "reading": reading,
                "grouping": by,
                "fixed_effects": effects,
                "description": f"Effect by {by}: differences between groups, {effects} effects",
            }
        )
    for group in groups:
        yield (
            claim
            | whole
            | {
                "specification_id": f"{name}_{group}",
                "reading": f"{group} only",
                "subsample": f"{by}={group}",
                "description": f"Effect by {by}: {group} only",
            }
        )


def _group_cities(study: Study) -> Iterator[Row]:
    if split := study.split:
        halves = {"series": split.by, "year": split.year, "split": "median"}
        yield {
            "grouping": split.by,
            "variable": split.by,
            "is_stratum": "false",
            "description": split.en,
            **({"split": "category"} if split.by == "region" else halves),
            "reference_group": split.reference,
        }


def _list_groups(study: Study, regions: Iterable[str]) -> list[str]:
    if study.split is None:
        return []
    if study.split.by != "region":
        return ["above", "below"]
    return [region for region in dict.fromkeys(regions) if region]


def _list_printed_estimates(study: Study) -> Iterator[Row]:
    for table, number, column in study.columns:
        if printed := column.printed:
            yield {
                "table_id": table.name,
                "column_number": number,
                "outcome": study.series[column.outcome].log_name,
                "term": study.measure.name,
                "estimate": printed.estimate,
                "std_error": printed.std_error,
                "stars": printed.stars,
                "n_obs": printed.observations,
                "r_squared": printed.r_squared or "",
                "printed_label": study.measure.zh,
            }


def _list_labels(
    study: Study, groups: Iterable[str], engine_labels: Iterable[dict[str, str]]
) -> Iterator[Row]:
    label_by_key = {
        (row["kind"], row["name"]): (row["label_en"], row["label_zh"]) for row in engine_labels
    }
    measure, split = study.measure, study.split
    labels: dict[tuple[str, str], tuple[str, str]] = {
        ("term", measure.name): (measure.en, measure.zh),
        ("measure", measure.name): (measure.en, measure.zh),
        ("text", "site_title"): (study.en, study.zh),
    }
    labels |= {key: names for key, names in label_by_key.items() if key[0] == "error"}
    shared_keys = [("term", "city year"), ("term", measure.transform)]
    labels |= {("text", name): texts for name, texts in _write_explanations(study).items()}
    for table in study.tables:
        labels["table", table.name] = labels["text", f"title_{table.name}"] = (table.en, table.zh)
    if split:
        labels["group", split.by] = (split.en, split.zh)
        labels["text", "heterogeneity_lead"] = (
            f"Does the coefficient differ by {lower_initial(split.en)}?",
            f"系数是否因{split.zh}而异？",
        )
        shared_keys += [
            ("term", "city group-year"),
            ("table", "heterogeneity"),
            ("reading", "year effects by group"),
        ]
        for group in groups:
            # Regions that the default labels lack are labelled with their own name.
            en, zh = labels["group", group] = label_by_key.get(("group", group), (group, group))
            labels["reading", f"{group} only"] = (f"{en} only", f"仅{zh}")
    labels |= {key: label_by_key[key] for key in shared_keys}
    for order, ((kind, name), (en, zh)) in enumerate(labels.items(), start=1):
        yield {"kind": kind, "name": name, "label_order": order, "label_en": en, "label_zh": zh}


def _write_explanations(study: Study) -> dict[str, tuple[str, str]]:
    """Return the home page's explanations of the estimate, in English and Chinese."""
    measure, outcome = study.measure, study.main_outcome
    measure_name, outcome_name = lower_initial(measure.en), lower_initial(outcome.en)
    return {
        "findings_lead": (
            f"We re-estimate the claim of “{study.paper.title}” for {{first_year}}–{{last_year}}.",
            f"用现有数据文件重新估计“{study.paper.title}”的论断（{{first_year}}—{{last_year}}年）。",
        ),
        "claim_association": (
            f"{outcome.en} rises or falls with {measure_name} as printed",
            f"{outcome.zh}随{measure.zh}的变动与论文一致",
        ),
        "designs_declared": ("The designs were declared on {day}.", "研究设计声明于{day}。"),
        "how_measure": (
            f"The measure is {measure_name}, as delivered each year.",
            f"指标为逐年交付的{measure.zh}。",
        ),
        "how_coefficient": (
            f"A coefficient of {{estimate}} means that {outcome_name} is about {{percent}} % higher"
            f" where {measure_name} is 10 % higher.",
            f"系数{{estimate}}表示：{measure.zh}高10%时，{outcome.zh}约高{{percent}}%。",
        ),
    }
