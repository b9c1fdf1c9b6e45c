"""Convert simulated samples to inputs of the estimators, without building a warehouse."""

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.paper.synthetic import CityYears
from ai_manufacturing.paper.synthetic.geography import read_units
from ai_manufacturing.system.settings import project_root
from tests.lib import in_memory
from tests.lib.in_memory import Tables

TABLES = tuple(f"table_{number}" for number in range(1, 7))

# Simulated series from which each log variable of the panel is computed.
LOGS = {
    "ln_gdp": "gdp_100m_cny",
    "ln_secondary_value_added": "secondary_100m_cny",
    "ln_gdp_per_capita": "gdp_per_capita_cny",
    "ln_secondary_employment": "secondary_employment_10k",
    "ln_manufacturing_employment": "manufacturing_employment_10k",
    "ln_registered_population": "registered_population_10k",
    "ln_unit_employment": "unit_employment_10k",
    "ln_rd_personnel": "rd_personnel",
    "ln_above_scale_firms": "above_scale_firm_count",
    "ln_loans": "loans_100m_cny",
    "ln_fdi": "fdi_million_usd",
    "ln_education_spending": "education_spending_100m_cny",
    "ln_science_spending": "science_spending_100m_cny",
}

Numbers = NDArray[np.float64] | NDArray[np.int64]


@cache
def seed_table(name: str) -> pd.DataFrame:
    """Read the CSV file of a seed as a DataFrame."""
    return pd.read_csv(project_root() / "seeds" / f"{name}.csv")


def default_rows() -> pd.DataFrame:
    """Return the default specifications of Tables 1 to 6 from regression_specifications.csv."""
    rows = seed_table("regression_specifications")
    return rows[rows["table_id"].isin(TABLES) & (rows["reading"] == "default")]


def inputs(drawn: CityYears) -> Inputs:
    """Return the inputs of the estimators for a simulated sample.

    Parameters
    ----------
    drawn : CityYears
        A simulated sample, with its yearbook rounded like the printed files.

    Returns
    -------
    Inputs
        Only the tables that a default specification of Tables 1 to 6 reads. `missing_reason` is
        always empty, because rows with a NaN measure are dropped in any case.
    """
    cells = pd.MultiIndex.from_product(
        [read_units()["city_id"], drawn.years], names=["city_id", "year"]
    )
    cells = cells.to_frame(index=False)
    logs = {name: _log(drawn.yearbook[series]) for name, series in LOGS.items()}
    panel = cells.assign(
        extract_set="draw",
        province_id=np.repeat(read_units()["province_id"], len(drawn.years)).array,
        **logs,
    )
    panel = panel.assign(name_zh="", region="")

    gdp = drawn.yearbook["gdp_100m_cny"]
    ratios = {
        "ai_firms": (drawn.ai_firms.stock, drawn.firms),
        "ai_patent_applications": (drawn.applications.ai, drawn.applications.total),
        "ai_patent_grants": (drawn.grants.ai, drawn.grants.total),
    }
    observed = {name: part for name, (part, _) in ratios.items()} | {
        "ai_firm_entries": drawn.ai_firms.entries,
        "ai_firm_exits": drawn.ai_firms.exits,
        "ai_firm_net_entries": drawn.ai_firms.entries - drawn.ai_firms.exits,
    }
    measures = pd.concat(
        [
            *(
                _measure(cells, part, whole).assign(measure=name, weighting="fixed_ratio")
                for name, (part, whole) in ratios.items()
            ),
            _measure(cells, drawn.ai_firms.stock, gdp).assign(
                measure="ai_firms", weighting="gdp", weight=np.nan, scaling_value=np.nan
            ),
            *(
                _measure(cells, count).assign(measure=name, weighting="observed")
                for name, count in observed.items()
            ),
        ]
    ).assign(
        scope="industry",
        is_mechanical=lambda rows: rows["weighting"].eq("gdp"),
        missing_reason=None,
    )

    share = (drawn.yearbook["secondary_100m_cny"] / gdp)[
        np.ix_(drawn.in_yearbook, drawn.years == 2015)
    ].ravel()
    above = share > np.median(share)
    groups = pd.DataFrame(
        {
            "grouping": "secondary_dominant",
            "city_id": read_units()["city_id"].to_numpy()[drawn.in_yearbook],
            "group_name": np.where(above, "above", "below"),
            "is_reference": ~above,
        }
    )
    counts = seed_table("series_sources").query("provider == 'vendor' and scope != 'total'")[
        ["series", "scope"]
    ]
    totals = seed_table("series").loc[
        lambda rows: ~rows["series"].isin(counts["series"]), ["series"]
    ]
    return in_memory.inputs(
        default_rows(),
        Tables(
            panel=panel,
            measures=measures,
            groups=groups,
            series=pd.concat([counts, totals.assign(scope="total")]).assign(
                quantity=lambda rows: rows["series"],
                is_delivered=True,
                first_year=int(drawn.years[0]),
                provider="vendor",
                substitution=None,
                absence_reason=None,
                absence_reason_zh=None,
            ),
            gate_results=pd.DataFrame({"success": []}),
            published_estimates=seed_table("published_estimates"),
        ),
    )


def _measure(cells: pd.DataFrame, part: Numbers, whole: Numbers | None = None) -> pd.DataFrame:
    """Compute the AI measure of equation 2: the last year's AI share times each year's total.

    Without a total the measure is the count itself.
    """
    weight = np.full(part.shape, np.nan)
    if whole is not None:
        weight[:] = part[:, -1:] / whole[:, -1:]
    count = part if whole is None else weight * whole
    return cells.assign(
        measure_count=count.ravel(),
        measure_10k=count.ravel() / 10_000,
        ln_measure=_log(count),
        ln1p_measure=_log(1 + count),
        asinh_measure=np.arcsinh(count.ravel()),
        weight=weight.ravel(),
        scaling_value=np.nan if whole is None else whole.ravel().astype(float),
    )


def _log(values: Numbers) -> NDArray[np.float64]:
    """Return logs as a flat array, with NaN for values that are not positive."""
    return np.log(np.where(values > 0, values, np.nan)).ravel()
