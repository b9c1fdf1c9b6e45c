"""Draws of the sample as the specifications read them, without a warehouse."""

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.paper.synthetic import CityYears
from ai_manufacturing.paper.synthetic.geography import units
from ai_manufacturing.system.settings import project_root
from tests.lib import in_memory
from tests.lib.in_memory import Tables

TABLES = tuple(f"table_{number}" for number in range(1, 7))

# Variables of the panel, and the drawn series that each is the log of.
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
    """Return a table of seeds/."""
    return pd.read_csv(project_root() / "seeds" / f"{name}.csv")


def default_rows() -> pd.DataFrame:
    """Return the rows of the seed with reading `default` of Tables 1 to 6."""
    rows = seed_table("regression_specifications")
    return rows[rows["table_id"].isin(TABLES) & (rows["reading"] == "default")]


def inputs(drawn: CityYears) -> Inputs:
    """Return what the default specifications read, as the warehouse would compute it from the
    written files.

    Parameters
    ----------
    drawn : CityYears
        A draw; its yearbook is rounded as the files print it.

    Returns
    -------
    Inputs
        Without what no default specification of Tables 1 to 6 reads; every cell of `missing_reason`
        is empty, as a measure that is not a number is lost all the same.
    """
    cells = pd.MultiIndex.from_product([units()["city_id"], drawn.years], names=["city_id", "year"])
    cells = cells.to_frame(index=False)
    logs = {name: _log(drawn.yearbook[series]) for name, series in LOGS.items()}
    panel = cells.assign(
        extract_set="draw",
        province_id=np.repeat(units()["province_id"], len(drawn.years)).array,
        **logs,
    )
    panel = panel.assign(name_zh="", region="")

    ai_firms, gdp = drawn.ai_firms, drawn.yearbook["gdp_100m_cny"]
    counts = {
        ("ai_firms", "fixed_ratio"): _scaled(ai_firms.stock, drawn.firms),
        ("ai_patent_applications", "fixed_ratio"): _scaled(
            drawn.applications.ai, drawn.applications.total
        ),
        ("ai_patent_grants", "fixed_ratio"): _scaled(drawn.grants.ai, drawn.grants.total),
        ("ai_firms", "gdp"): _scaled(ai_firms.stock, gdp),
        ("ai_firms", "observed"): ai_firms.stock,
        ("ai_firm_entries", "observed"): ai_firms.entries,
        ("ai_firm_exits", "observed"): ai_firms.exits,
        ("ai_firm_net_entries", "observed"): ai_firms.entries - ai_firms.exits,
        ("ai_patent_applications", "observed"): drawn.applications.ai,
        ("ai_patent_grants", "observed"): drawn.grants.ai,
    }
    measures = pd.concat(
        [
            cells.assign(
                measure=measure,
                weighting=weighting,
                measure_count=count.ravel(),
                measure_10k=count.ravel() / 10_000,
                ln_measure=_log(count),
                ln1p_measure=_log(1 + count),
                asinh_measure=np.arcsinh(count.ravel()),
                is_mechanical=weighting == "gdp",
                weight=np.repeat(weight, len(drawn.years)),
                scaling_value=scaling,
            )
            for (measure, weighting), count in counts.items()
            for weight, scaling in [_parts(drawn, measure, weighting)]
        ]
    ).assign(scope="industry", missing_reason=None)

    share = (drawn.yearbook["secondary_100m_cny"] / gdp)[
        np.ix_(drawn.in_yearbook, drawn.years == 2015)
    ].ravel()
    above = share > np.median(share)
    groups = pd.DataFrame(
        {
            "grouping": "secondary_dominant",
            "city_id": units()["city_id"].to_numpy()[drawn.in_yearbook],
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
            published=seed_table("published_estimates"),
        ),
    )


def _scaled(counts: Numbers, series: Numbers) -> Numbers:
    """Return equation 2: the count over the series, both of 2020, times the series of each year."""
    return counts[:, -1:] / series[:, -1:] * series


def _parts(
    drawn: CityYears, measure: str, weighting: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weight of each city and the scaling value of each row; not numbers where equation
    2 does not apply.
    """
    ai, of_all = {
        "ai_firms": (drawn.ai_firms.stock, drawn.firms),
        "ai_patent_applications": (drawn.applications.ai, drawn.applications.total),
        "ai_patent_grants": (drawn.grants.ai, drawn.grants.total),
    }.get(measure, (drawn.firms, drawn.firms))
    if weighting != "fixed_ratio":
        return np.full(len(ai), np.nan), np.full(of_all.size, np.nan)
    return ai[:, -1] / of_all[:, -1], of_all.ravel().astype(float)


def _log(values: Numbers) -> NDArray[np.float64]:
    """Return logs in the order of the panel's rows, not a number where there is none."""
    return np.log(np.where(values > 0, values, np.nan)).ravel()
