"""One draw of the synthetic sample at the level of unit and year."""

from dataclasses import dataclass

import numpy as np

from ai_manufacturing.paper.synthetic.counts import (
    Flows,
    Patents,
    draw_ai_firms,
    draw_firms,
    draw_patents,
    scaled_to_years,
)
from ai_manufacturing.paper.synthetic.geography import draw_geography
from ai_manufacturing.paper.synthetic.paths import Flags, Floats, Integers
from ai_manufacturing.paper.synthetic.shocks import CommonShocks, root
from ai_manufacturing.paper.synthetic.truth import TRUTH, Truth
from ai_manufacturing.paper.synthetic.yearbook import draw_yearbook


@dataclass(frozen=True, eq=False)
class CityYears:
    """One draw: units, the rows of seeds/cities.csv, by years.

    Attributes
    ----------
    years : NDArray[np.int64]
        Statistical years.
    in_yearbook : NDArray[np.bool_]
        Units with yearbook rows.
    firms : NDArray[np.int64]
        All firms alive in sections B to E.
    ai_firms : Flows
        AI firms in sections B to E.
    applications, grants : Patents
        Invention patents in sections B to E.
    yearbook : dict of str to NDArray[np.float64]
        Series by name, rounded as printed; NaN is missing.
    """

    years: Integers
    in_yearbook: Flags
    firms: Integers
    ai_firms: Flows
    applications: Patents
    grants: Patents
    yearbook: dict[str, Floats]


def draw(
    seed: int, period: range, truth: Truth = TRUTH, shocks: CommonShocks | None = None
) -> CityYears:
    """Draw all that the files hold at the level of unit and year.

    Parameters
    ----------
    seed : int
        Seed of the draw.
    period : range
        Statistical years, among them 2015; levels of 2020 are those of the last.
    truth : Truth
        True parameters; only benchmarks pass others than the default.
    shocks : CommonShocks, optional
        What units share; in the sample they share nothing.

    Returns
    -------
    CityYears
        The same for the same arguments.
    """
    geography_rng, firm_rng, ai_firm_rng, patent_rng, yearbook_rng = (
        np.random.default_rng([seed, part]) for part in range(5)
    )
    years = np.array(period)
    geography = draw_geography(geography_rng, root(shocks))
    firms = draw_firms(firm_rng, truth, geography, years)
    applications, grants = draw_patents(patent_rng, truth, geography, firms, years)
    measures = np.stack(
        [
            np.log1p(scaled_to_years(geography.ai_firms_2020, firms)),
            np.log(applications.total),
            np.log(np.maximum(grants.total, 1)),
        ]
    )
    return CityYears(
        years=years,
        in_yearbook=geography.in_yearbook,
        firms=firms,
        ai_firms=draw_ai_firms(ai_firm_rng, truth, geography, years),
        applications=applications,
        grants=grants,
        yearbook=draw_yearbook(yearbook_rng, truth, geography, measures, years),
    )
