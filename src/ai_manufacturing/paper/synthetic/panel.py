"""Draw all city-year variables of the synthetic sample."""

from dataclasses import dataclass

import numpy as np

from ai_manufacturing.paper.synthetic.counts import (
    Flows,
    Patents,
    draw_ai_firms,
    draw_firms,
    draw_patents,
    scale_to_years,
)
from ai_manufacturing.paper.synthetic.geography import draw_geography, read_units
from ai_manufacturing.paper.synthetic.paths import Draws, Flags, Floats, Integers
from ai_manufacturing.paper.synthetic.truth import TRUTH, Truth
from ai_manufacturing.paper.synthetic.yearbook import draw_yearbook


@dataclass(frozen=True, eq=False)
class CityYears:
    """Synthetic city-year panel, as arrays of shape (cities, years).

    Cities are in the order of seeds/cities.csv.

    Attributes
    ----------
    years : NDArray[np.int64]
        Statistical years.
    in_yearbook : NDArray[np.bool_]
        Units with yearbook rows.
    firms : NDArray[np.int64]
        All active firms in sections B to E.
    ai_firms : Flows
        AI firms in sections B to E.
    applications, grants : Patents
        Invention patents in sections B to E.
    yearbook : dict of str to NDArray[np.float64]
        Series by name, rounded as printed; missing values are NaN.
    """

    years: Integers
    in_yearbook: Flags
    firms: Integers
    ai_firms: Flows
    applications: Patents
    grants: Patents
    yearbook: dict[str, Floats]


def draw_city_years(
    seed: int, period: range, truth: Truth = TRUTH, root: Floats | None = None
) -> CityYears:
    """Draw a synthetic city-year panel of firms, patents and yearbook variables.

    Parameters
    ----------
    seed : int
        Random seed.
    period : range
        Statistical years, which must include 2015. Levels for 2020 apply to the last year.
    truth : Truth
        True parameters; only benchmarks override the default.
    root : NDArray[np.float64], optional
        Matrix root of the correlation of noise between units, units by units. The default is
        independent noise.

    Returns
    -------
    CityYears
        Identical for identical arguments.
    """
    root = np.eye(len(read_units())) if root is None else root
    years = np.array(period)
    of_geography, of_firms, of_ai_firms, of_patents, of_yearbook = (
        Draws(np.random.default_rng([seed, part]), root, truth, years) for part in range(5)
    )
    geography = draw_geography(of_geography)
    firms = draw_firms(of_firms, geography)
    applications, grants = draw_patents(of_patents, geography, firms)
    measures = np.stack(
        [
            np.log1p(scale_to_years(geography.ai_firms_2020, firms)),
            np.log(applications.total),
            np.log(np.maximum(grants.total, 1)),
        ]
    )
    return CityYears(
        years=years,
        in_yearbook=geography.in_yearbook,
        firms=firms,
        ai_firms=draw_ai_firms(of_ai_firms, geography),
        applications=applications,
        grants=grants,
        yearbook=draw_yearbook(of_yearbook, geography, measures),
    )
