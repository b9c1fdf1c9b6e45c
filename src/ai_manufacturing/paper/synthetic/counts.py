"""Draw synthetic counts of firms, AI firms and invention patents by city and year.

All counts are for industry sections B to E.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from ai_manufacturing.paper.synthetic.geography import Geography
from ai_manufacturing.paper.synthetic.paths import (
    Draws,
    Flags,
    Floats,
    Integers,
    anchor_at_last,
    compute_two_phase_growth,
)
from ai_manufacturing.paper.synthetic.truth import PerEventYear

AI_APPLICATION_CITY_COUNT = 205  # cities with at least one AI patent application
AI_GRANT_CITY_COUNT = 185  # cities with at least one AI patent grant
CITIES_WITHOUT_GRANTS_IN_2010 = 3

FIRMS_PER_100M_CNY = 5.5  # firms per 100 million CNY of GDP in the last year
MEDIAN_APPLICATIONS = 900  # patent applications of a median city in the last year
GRANTS_PER_APPLICATION = 0.3
AI_SHARE_OF_APPLICATIONS_2020 = 0.03
AI_SHARE_OF_GRANTS_2020 = 0.013
LEAST_FIRMS = 20  # lower bound on the number of firms in a city-year


@dataclass(frozen=True, eq=False)
class Flows:
    """Firms at year end, entries and exits, as arrays of shape (cities, years)."""

    stock: Integers
    entries: Integers
    exits: Integers


@dataclass(frozen=True, eq=False)
class Patents:
    """All patents and AI patents, as arrays of shape (cities, years).

    An instance contains either applications or grants.
    """

    total: Integers
    ai: Integers


def scale_to_years(ai_2020: Integers, total: Integers) -> Floats:
    """Return M of equation 2: the AI share in 2020 times the total count of each year."""
    return ai_2020[:, None] / total[:, -1:] * total


def draw_firms(draws: Draws, geography: Geography) -> Integers:
    """Draw firm counts with a national trend, a city-specific growth rate and AR(1) noise."""
    truth, reach = draws.truth, draws.truth.firm_growth_slope_range
    slope = draws.root @ draws.rng.uniform(-reach, reach, (len(draws.root), 1))
    noise = draws.draw_autoregressive_noise(truth.firm_noise_sd, truth.firm_noise_persistence)
    growth = compute_two_phase_growth(
        draws.years, truth.firm_growth_to_2016, truth.firm_growth_after_2016
    )
    level = np.log(FIRMS_PER_100M_CNY) + geography.size + draws.draw_independent_noise(0.3)
    firms = np.rint(np.exp(anchor_at_last(level, growth + slope * draws.years_to_last + noise)))
    return np.maximum(firms, LEAST_FIRMS).astype(np.int64)


def spread_shift(shift: PerEventYear, years: Integers) -> Floats:
    """Expand treatment shifts by event year to one value per calendar year.

    The shift is zero in 2015. Years before 2011 and after 2019 are not printed and repeat the
    nearest shift.
    """
    return np.array([*shift[:4], 0.0, *shift[4:]])[np.clip(years - 2011, 0, 8)]


def draw_flows(
    rng: Generator, last_stock: Integers, entry_shares: Floats, leaving: Floats
) -> Flows:
    """Draw firm entries and exits backwards from the final stock, which keeps stocks nonnegative.

    Parameters
    ----------
    rng : Generator
        Random number generator.
    last_stock : NDArray[np.int64]
        Stock at the end of the last year, by unit.
    entry_shares, leaving : NDArray[np.float64]
        Units by years: the probability that a firm active at the end of the year entered during it,
        and the expected exits per such firm.

    Returns
    -------
    Flows
        Flows that satisfy stock_t = stock_{t-1} + entries_t - exits_t.
    """
    stock, entries, exits = np.zeros((3, *entry_shares.shape), dtype=np.int64)
    current = last_stock
    for year in reversed(range(entry_shares.shape[1])):
        stock[:, year] = current
        entries[:, year] = rng.binomial(current, entry_shares[:, year])
        exits[:, year] = rng.poisson(current * leaving[:, year])
        current = current - entries[:, year] + exits[:, year]
    return Flows(stock, entries, exits)


def draw_ai_firms(draws: Draws, geography: Geography) -> Flows:
    """Draw AI firms, with entry and exit rates that shift by event year in treated cities.

    Treated cities have a high share of the secondary sector in GDP.
    """
    truth, years = draws.truth, draws.years
    is_treated = geography.is_secondary_dominant
    entry_noise, exit_noise = (
        truth.flow_noise_sd * draws.draw_correlated_noise(len(years)) for _ in range(2)
    )
    entry_rate = np.where(years <= 2016, truth.entry_rate_to_2016, truth.entry_rate_after_2016)
    entry_shares = entry_rate * np.exp(
        is_treated * spread_shift(truth.entry_shift, years) + entry_noise
    )
    leaving = truth.exit_rate * np.exp(
        is_treated * spread_shift(truth.exit_shift, years) + exit_noise
    )
    return draw_flows(draws.rng, geography.ai_firms_2020, np.minimum(entry_shares, 0.95), leaving)


def draw_patents(draws: Draws, geography: Geography, firms: Integers) -> tuple[Patents, Patents]:
    """Draw patent applications and grants, which share a noise term and increase with firms."""
    truth, years, trend = draws.truth, draws.years, draws.years_to_last
    shared_noise = draws.draw_outcome_noise(truth.patent_shared_noise_sd)
    common = (
        truth.patent_growth * trend + truth.patents_on_city_firms * np.log(firms) + shared_noise
    )
    level = (
        np.log(MEDIAN_APPLICATIONS)
        + 1.2 * geography.relative_size
        + draws.draw_independent_noise(0.4)
    )

    def total(log_level: Floats) -> Integers:
        own = draws.draw_outcome_noise(truth.patent_own_noise_sd)
        return np.maximum(np.rint(np.exp(anchor_at_last(log_level, common + own))), 1).astype(
            np.int64
        )

    applications = total(level)
    grants = total(level + np.log(GRANTS_PER_APPLICATION))
    has_ai_grants = geography.patent_rank < AI_GRANT_CITY_COUNT
    # Set the first-year grants of the three smallest cities to zero. Their missing logs and two
    # missing R&D values reproduce the printed number of observations, 2,030 = 185 x 11 - 5.
    smallest = np.argsort(np.where(has_ai_grants, geography.size, np.inf), kind="stable")
    grants[smallest[:CITIES_WITHOUT_GRANTS_IN_2010], 0] = 0

    def add_ai(counts: Integers, ai_share: float, log_growth: Floats, active: Flags) -> Patents:
        noise = draws.draw_outcome_noise(truth.ai_patent_noise_sd)
        means = counts * ai_share * np.exp(log_growth + noise)
        ai = np.where(active[:, None], draws.rng.poisson(means), 0)
        # Ensure that active cities have at least one AI patent in the last year.
        ai[active, -1] = np.maximum(ai[active, -1], 1)
        return Patents(counts, np.minimum(ai, counts))

    is_treated = geography.is_secondary_dominant
    application_growth = compute_two_phase_growth(
        years, truth.ai_application_growth_to_2016, truth.ai_application_growth_after_2016
    )
    return (
        add_ai(
            applications,
            AI_SHARE_OF_APPLICATIONS_2020,
            application_growth + is_treated * spread_shift(truth.application_shift, years),
            geography.patent_rank < AI_APPLICATION_CITY_COUNT,
        ),
        add_ai(
            grants,
            AI_SHARE_OF_GRANTS_2020,
            truth.ai_grant_growth * trend + is_treated * spread_shift(truth.grant_shift, years),
            has_ai_grants,
        ),
    )
