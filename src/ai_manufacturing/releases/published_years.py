"""Estimate columns of a built warehouse once more, on the years that a published release has of them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ai_manufacturing import settings
from ai_manufacturing.estimation import inputs, samples, specifications, tables
from ai_manufacturing.releases.store import reading


def estimates(warehouse: Path, years: Mapping[str, tuple[int, int]]) -> dict[tuple[str, str], float]:
    """Return the estimates of specifications on the city-years of some years, by specification and term.

    Parameters
    ----------
    warehouse : Path
        A warehouse that dbt built.
    years : mapping of str to tuple of int
        By specification its first and last year with an observation. Earlier rows that lend a dynamic panel lags and
        instruments stay.
    """
    names = [*years]
    declared = settings.variables()
    with reading(warehouse) as connection:

        def table(name: str) -> pd.DataFrame:
            return connection.table(name).df()

        rows = table("intermediate.int_specifications_sampled").drop(columns="design")
        used = connection.table("intermediate.int_specification_city_years").filter("is_used").df()
        # Each has years of its own here, and so a sample of its own.
        used = rows.loc[rows["specification_id"].isin(names), ["specification_id", "sample_id"]].merge(used)
        first, last = (used["specification_id"].map({name: years[name][end] for name in names}) for end in (0, 1))
        used = used[(used["year"] <= last) & ((used["year"] >= first) | used["reason"].notna())]
        used["sample_id"] = used["specification_id"]
        event_first, event_last = declared["event_window"]
        drawn = inputs.Inputs(
            specifications=rows.assign(sample_id=rows["specification_id"]),
            panel=table("intermediate.int_city_year_variables"),
            measures=table("marts.fct_ai_measure"),
            groups=table("marts.dim_city_groups"),
            series=table("marts.dim_specification_series"),
            samples=samples.without_singletons(used).to_pandas(),
            losses=table("intermediate.int_specification_losses"),
            gate_results=table("gates.gate_results"),
            published=table("seeds.published_estimates"),
            substitution_labels=table("seeds.substitutions"),
            event_year=declared["break_year"],
            event_window=(event_first, event_last),
        )
    asked = specifications.read(rows[rows["specification_id"].isin(names)])
    found = tables.coefficients(asked, drawn).to_pandas().dropna(subset="estimate")
    return {(row.specification_id, row.term): float(row.estimate) for row in found.itertuples()}
