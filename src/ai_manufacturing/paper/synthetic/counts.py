"""Firms, AI firms and invention patents of sections B to E, by unit and year."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ai_manufacturing.paper.synthetic.geography import Geography
from ai_manufacturing.paper.synthetic.paths import (
    Flags,
    Floats,
    Integers,
    anchored,
    autoregressive,
    correlated,
    two_phase_growth,
    years_to_last,
)
from ai_manufacturing.paper.synthetic.truth import PerEventYear, Truth

AI_APPLICATION_CITY_COUNT = 205
AI_GRANT_CITY_COUNT = 185
CITIES_WITHOUT_GRANTS_IN_2010 = 3

FIRMS_PER_100M_CNY = 5.5
MEDIAN_APPLICATIONS = 900
GRANTS_PER_APPLICATION = 0.3
AI_SHARE_OF_APPLICATIONS_2020 = 0.03
AI_SHARE_OF_GRANTS_2020 = 0.013
LEAST_FIRMS = 20


@dataclass(frozen=True, eq=False)
class Flows:
    """Stock at the end of each year, entries and exits; units by years."""

    stock: Integers
    entries: Integers
    exits: Integers


@dataclass(frozen=True, eq=False)
class Patents:
    """Applications or grants, all and AI; units by years."""

    total: Integers
    ai: Integers


def scaled_to_years(ai_2020: Integers, total: Integers) -> Floats:
    """Return M of the paper's equation 2: the AI share of 2020 times the count of each year."""
    return ai_2020[:, None] / total[:, -1:] * total


def draw_firms(rng: Generator, truth: Truth, geography: Geography, years: Integers) -> Integers:
    """Draw all firms: national growth, a growth rate of the city's own, noise."""
    count = len(geography.size)
    root = geography.root
    slope = correlated(
        rng.uniform(-truth.firm_growth_slope_range, truth.firm_growth_slope_range, (count, 1)), root
    )
    noise = autoregressive(
        rng, (count, len(years)), truth.firm_noise_sd, truth.firm_noise_persistence, root
    )
    growth = two_phase_growth(years, truth.firm_growth_to_2016, truth.firm_growth_after_2016)
    level = np.log(FIRMS_PER_100M_CNY) + geography.size + 0.3 * rng.standard_normal(count)
    firms = np.rint(np.exp(anchored(level, growth + slope * years_to_last(len(years)) + noise)))
    return np.maximum(firms, LEAST_FIRMS).astype(np.int64)


def by_year(shift: PerEventYear, years: Integers) -> Floats:
    """Return a shift per year.

    2015 has none, those before 2011 and after 2019, unprinted, repeat their neighbours.
    """
    return np.array([*shift[:4], 0.0, *shift[4:]])[np.clip(years - 2011, 0, 8)]


def draw_flows(rng: Generator, last_stock: Integers, entered: Floats, leaving: Floats) -> Flows:
    """Draw stocks and flows backwards from the last stock, so that no stock falls below zero.

    Parameters
    ----------
    rng : Generator
        Source of the draw.
    last_stock : NDArray[np.int64]
        Stock at the end of the last year, by unit.
    entered, leaving : NDArray[np.float64]
        Units by years: the chance that a firm alive at the end of the year entered in it, and exits
        expected per firm then alive.

    Returns
    -------
    Flows
        With stock_t = stock_{t-1} + entries_t - exits_t.
    """
    flows = Flows(*(np.zeros(entered.shape, dtype=np.int64) for _ in range(3)))
    current = last_stock
    for year in reversed(range(entered.shape[1])):
        flows.stock[:, year] = current
        flows.entries[:, year] = rng.binomial(current, entered[:, year])
        flows.exits[:, year] = rng.poisson(current * leaving[:, year])
        current = current - flows.entries[:, year] + flows.exits[:, year]
    return flows


def draw_ai_firms(rng: Generator, truth: Truth, geography: Geography, years: Integers) -> Flows:
    """Draw AI firms; entries and exits shift where the secondary share is high."""
    count = len(geography.size)
    treated = geography.is_secondary_dominant[:, None]
    entry_noise, exit_noise = (
        truth.flow_noise_sd * correlated(rng.standard_normal((count, len(years))), geography.root)
        for _ in range(2)
    )
    entry_rate = np.where(years <= 2016, truth.entry_rate_to_2016, truth.entry_rate_after_2016)
    entered = entry_rate * np.exp(treated * by_year(truth.entry_shift, years) + entry_noise)
    leaving = truth.exit_rate * np.exp(treated * by_year(truth.exit_shift, years) + exit_noise)
    return draw_flows(rng, geography.ai_firms_2020, np.minimum(entered, 0.95), leaving)


def draw_patents(
    rng: Generator, truth: Truth, geography: Geography, firms: Integers, years: Integers
) -> tuple[Patents, Patents]:
    """Draw patent applications and grants, which share a noise and follow the city's firms."""
    count = len(geography.size)
    trend = years_to_last(len(years))
    persistence, root = truth.outcome_noise_persistence, geography.root
    shared = autoregressive(rng, firms.shape, truth.patent_shared_noise_sd, persistence, root)
    common = truth.patent_growth * trend + truth.patents_on_city_firms * np.log(firms) + shared
    level = (
        np.log(MEDIAN_APPLICATIONS)
        + 1.2 * geography.relative_size
        + 0.4 * rng.standard_normal(count)
    )

    def draw_total(log_level: Floats) -> Integers:
        own = autoregressive(rng, firms.shape, truth.patent_own_noise_sd, persistence, root)
        return np.maximum(np.rint(np.exp(anchored(log_level, common + own))), 1).astype(np.int64)

    applications = draw_total(level)
    grants = draw_total(level + np.log(GRANTS_PER_APPLICATION))
    has_ai_grants = geography.patent_rank < AI_GRANT_CITY_COUNT
    # Their logs are what the printed 2,030 = 185 x 11 - 5 lacks beside two R&D cells.
    smallest = np.argsort(np.where(has_ai_grants, geography.size, np.inf), kind="stable")
    grants[smallest[:CITIES_WITHOUT_GRANTS_IN_2010], 0] = 0

    treated = geography.is_secondary_dominant[:, None]
    application_growth = two_phase_growth(
        years, truth.ai_application_growth_to_2016, truth.ai_application_growth_after_2016
    )
    ai_applications = _draw_ai_patents(
        rng,
        truth,
        applications * AI_SHARE_OF_APPLICATIONS_2020,
        application_growth + treated * by_year(truth.application_shift, years),
        geography.patent_rank < AI_APPLICATION_CITY_COUNT,
        root,
    )
    ai_grants = _draw_ai_patents(
        rng,
        truth,
        grants * AI_SHARE_OF_GRANTS_2020,
        truth.ai_grant_growth * trend + treated * by_year(truth.grant_shift, years),
        has_ai_grants,
        root,
    )
    return (
        Patents(applications, np.minimum(ai_applications, applications)),
        Patents(grants, np.minimum(ai_grants, grants)),
    )


def _draw_ai_patents(
    rng: Generator,
    truth: Truth,
    level: NDArray[np.floating[Any]],
    log_share: Floats,
    active: Flags,
    root: Floats | None,
) -> Integers:
    noise = autoregressive(
        rng, level.shape, truth.ai_patent_noise_sd, truth.outcome_noise_persistence, root
    )
    counts = np.where(active[:, None], rng.poisson(level * np.exp(log_share + noise)), 0)
    # An active city has an AI patent in the last year.
    counts[active, -1] = np.maximum(counts[active, -1], 1)
    return counts
