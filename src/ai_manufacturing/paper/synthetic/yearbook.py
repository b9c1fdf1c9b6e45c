"""The city yearbook: controls, GDP, sectors and employment, and the cells that are missing."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ai_manufacturing.paper.synthetic.counts import (
    AI_APPLICATION_CITY_COUNT,
    AI_GRANT_CITY_COUNT,
    CITIES_WITHOUT_GRANTS_IN_2010,
)
from ai_manufacturing.paper.synthetic.geography import LARGEST_UNNAMED_GDP, Geography
from ai_manufacturing.paper.synthetic.paths import (
    Flags,
    Floats,
    Integers,
    anchored,
    autoregressive,
    centred,
    correlated,
    with_mean_growth,
    years_to_last,
)
from ai_manufacturing.paper.synthetic.truth import Truth

# The losses behind the printed numbers of observations: 2,858 = 260 x 11 - 2, 2,598 = 260 x 10 - 2,
# 2,596 two fewer, 2,852 six fewer than 2,858, 1,785 = 255 x 7.
RD_MISSING = (2010, 2)
RESIDENT_POPULATION_MISSING = (2011, 6)
MANUFACTURING_EMPLOYMENT_MISSING = (2011, 2)
SECTOR_EMPLOYMENT_MISSING_YEAR = 2020
YEARS_WITHOUT_ADDED_CONTROLS = range(2010, 2014)
CITIES_WITHOUT_ADDED_CONTROLS = 5

# Level of a median city in 2020, elasticity to size and yearly log growth.
ADDED_CONTROLS = {
    "above_scale_firm_count": (900, 1.0, 0.01),
    "loans_100m_cny": (2200, 1.2, 0.13),
    "fdi_million_usd": (350, 1.3, 0.03),
    "education_spending_100m_cny": (72, 0.8, 0.10),
    "science_spending_100m_cny": (9, 1.3, 0.13),
}
LARGEST_SECONDARY_SHARE = 0.85
DIGITS = {"gdp_per_capita_cny": 0, "rd_personnel": 0, "above_scale_firm_count": 0}
"""Decimal places of the series that are not printed with two."""


def draw_yearbook(
    rng: Generator, truth: Truth, geography: Geography, measures: Floats, years: Integers
) -> dict[str, Floats]:
    """Draw the yearbook series.

    Parameters
    ----------
    rng : Generator
        Source of the draw.
    truth : Truth
        True parameters.
    geography : Geography
        Levels of 2020 and the secondary share of 2015.
    measures : NDArray[np.float64]
        What the outcomes react to, 3 by units by years: ln(1 + M) for firms, ln applications, ln
        grants.
    years : NDArray[np.int64]
        Statistical years.

    Returns
    -------
    dict of str to NDArray[np.float64]
        Series by name, units by years, in the units of their names and rounded as printed; NaN is
        missing.
    """
    logs = _draw_controls(rng, truth, geography, measures[0])
    logs["gdp_100m_cny"] = _draw_gdp(rng, truth, geography, measures, logs)
    logs |= _draw_employment(rng, truth, geography, measures, logs["unit_employment_10k"])
    primary_share, secondary_share = _draw_shares(rng, truth, geography, measures, years == 2015)

    series: dict[str, Floats] = {
        name: np.exp(values).round(DIGITS.get(name, 2)) for name, values in logs.items()
    }
    gdp = series["gdp_100m_cny"]
    series["gdp_per_capita_cny"] = np.rint(gdp / series["resident_population_10k"] * 1e4)
    series["primary_100m_cny"] = np.round(gdp * primary_share, 2)
    series["secondary_100m_cny"] = np.round(gdp * secondary_share, 2)
    series["tertiary_100m_cny"] = np.round(
        gdp - series["primary_100m_cny"] - series["secondary_100m_cny"], 2
    )
    _remove_missing(rng, series, geography, years)
    return series


def _draw_controls(
    rng: Generator, truth: Truth, geography: Geography, m_firms: Floats
) -> dict[str, Floats]:
    """Draw the logs of populations, unit employment, R&D personnel and the five added controls."""
    count = len(geography.size)
    size = geography.relative_size
    to_last = years_to_last(m_firms.shape[1])

    def noise(sd: float) -> Floats:
        return autoregressive(
            rng, m_firms.shape, sd, truth.outcome_noise_persistence, geography.root
        )

    def trend(growth: float, spread: float) -> Floats:
        return (
            growth + spread * correlated(rng.standard_normal((count, 1)), geography.root)
        ) * to_last

    def scattered(sd: float) -> Floats:
        return sd * rng.standard_normal(count)

    registered = anchored(geography.registered, trend(0.005, 0.006) + noise(0.01))
    residents_per_registered = anchored(
        geography.resident - geography.registered,
        truth.resident_population_on_firms * m_firms + noise(truth.resident_population_noise_sd),
    )
    logs = {
        "registered_population_10k": registered,
        "resident_population_10k": registered + residents_per_registered,
        "unit_employment_10k": anchored(
            np.log(0.13) + geography.resident + 0.2 * size + scattered(0.2),
            truth.unit_employment_on_firms * m_firms + trend(0.02, 0.02) + noise(0.08),
        ),
        "rd_personnel": anchored(
            np.log(6000) + 1.25 * size + scattered(0.4),
            truth.rd_personnel_on_firms * m_firms + trend(0.09, 0.03) + noise(0.2),
        ),
    }
    for (name, (level, elasticity, growth)), sd in zip(
        ADDED_CONTROLS.items(), truth.mediator_noise_sd, strict=True
    ):
        logs[name] = anchored(
            np.log(level) + elasticity * size + scattered(0.3),
            truth.mediators_on_firms * m_firms + growth * to_last + noise(sd),
        )
    return logs


def _draw_gdp(
    rng: Generator,
    truth: Truth,
    geography: Geography,
    measures: Floats,
    controls: dict[str, Floats],
) -> Floats:
    """Draw ln GDP, which moves each year part of the way to its long-run value."""
    long_run = (
        _reaction(measures, truth.effects("gdp"))
        + truth.gdp_on_mediators * np.mean([controls[name] for name in ADDED_CONTROLS], axis=0)
        + truth.gdp_on_registered_population * controls["registered_population_10k"]
        + truth.gdp_on_unit_employment * controls["unit_employment_10k"]
        + truth.gdp_on_rd_personnel * controls["rd_personnel"]
    )
    path = long_run.copy()
    for year in range(1, path.shape[1]):
        path[:, year] = (
            truth.gdp_persistence * path[:, year - 1]
            + (1 - truth.gdp_persistence) * long_run[:, year]
        )
    noise = autoregressive(
        rng, path.shape, truth.gdp_noise_sd, truth.gdp_persistence, geography.root
    )
    gdp = anchored(geography.size, with_mean_growth(path, truth.gdp_growth) + noise)
    # High income is GDP per head of the first year above the median; firms do less below it.
    first_income = gdp[:, 0] - controls["resident_population_10k"][:, 0]
    low_income = first_income <= np.median(first_income[geography.in_yearbook])
    lag: Floats = (
        truth.high_income_difference * low_income[:, None] * (measures[0] - measures[0][:, :1])
    )
    return gdp - lag


def _draw_employment(
    rng: Generator, truth: Truth, geography: Geography, measures: Floats, unit_employment: Floats
) -> dict[str, Floats]:
    """Draw the logs of secondary employment and, within it, manufacturing employment."""
    count = len(geography.size)
    persistence, root = truth.outcome_noise_persistence, geography.root
    shared = autoregressive(
        rng, unit_employment.shape, truth.secondary_employment_noise_sd, persistence, root
    )
    own_variance = (
        truth.manufacturing_employment_noise_sd**2 - truth.secondary_employment_noise_sd**2
    )
    own = autoregressive(
        rng, unit_employment.shape, float(np.sqrt(own_variance)), persistence, root
    )
    secondary_effects, manufacturing_effects = map(
        truth.effects, ("secondary_employment", "manufacturing_employment")
    )
    secondary_level = np.log(0.42) + 0.10 * rng.standard_normal(count)
    manufacturing_level = secondary_level + np.log(0.60) + 0.05 * rng.standard_normal(count)
    secondary_path = with_mean_growth(_reaction(measures, secondary_effects), -0.01) + shared
    manufacturing_path = (
        with_mean_growth(_reaction(measures, manufacturing_effects), -0.015) + shared + own
    )
    secondary = unit_employment + centred(secondary_level, secondary_path)
    manufacturing = unit_employment + centred(manufacturing_level, manufacturing_path)
    return {
        "secondary_employment_10k": secondary,
        "manufacturing_employment_10k": np.minimum(manufacturing, secondary),
    }


def _draw_shares(
    rng: Generator, truth: Truth, geography: Geography, measures: Floats, in_2015: Flags
) -> tuple[Floats, Floats]:
    """Draw the primary and secondary shares of GDP."""
    count = len(geography.size)
    path = with_mean_growth(
        _reaction(measures, truth.effects("secondary_share")), truth.secondary_share_growth
    )
    sd, persistence = truth.secondary_share_noise_sd, truth.outcome_noise_persistence
    path += autoregressive(rng, path.shape, sd, persistence, geography.root)
    relative = np.exp(path - path[:, in_2015])
    secondary = np.minimum(
        geography.secondary_share_2015[:, None] * relative, LARGEST_SECONDARY_SHARE
    )
    primary_of_rest = 0.16 * np.exp(
        -0.5 * geography.relative_size + 0.3 * rng.standard_normal(count)
    )
    return (1 - secondary) * np.clip(primary_of_rest, 0.003, 0.5)[:, None], secondary


def _reaction(measures: Floats, effects: list[float]) -> Floats:
    return np.tensordot(np.array(effects), measures, axes=1)


def _remove_missing(
    rng: Generator, series: dict[str, Floats], geography: Geography, years: Integers
) -> None:
    """Blank the cells that a yearbook leaves empty, as many as the printed observations imply."""

    def blank(name: str, year: int, rows: NDArray[np.intp]) -> None:
        series[name][np.ix_(rows, years == year)] = np.nan

    for values in series.values():
        values[~geography.in_yearbook] = np.nan
    # Not in the smallest cities, some of which have no grant in 2010, so that no observation is
    # lost twice.
    with_grants = np.flatnonzero(geography.patent_rank < AI_GRANT_CITY_COUNT)
    larger = with_grants[
        np.argsort(geography.size[with_grants], kind="stable")[CITIES_WITHOUT_GRANTS_IN_2010:]
    ]
    without_patents = np.flatnonzero(
        geography.in_yearbook & (geography.patent_rank >= AI_APPLICATION_CITY_COUNT)
    )
    unnamed = np.flatnonzero(geography.in_yearbook & (geography.size < LARGEST_UNNAMED_GDP))

    year, cities = RD_MISSING
    blank("rd_personnel", year, rng.choice(larger, cities, replace=False))
    year, cities = MANUFACTURING_EMPLOYMENT_MISSING
    blank("manufacturing_employment_10k", year, rng.choice(without_patents, cities, replace=False))
    year, cities = RESIDENT_POPULATION_MISSING
    chosen = rng.choice(unnamed, cities, replace=False)
    blank("resident_population_10k", year, chosen)
    blank("gdp_per_capita_cny", year, chosen)
    everyone = np.arange(len(geography.size))
    blank("secondary_employment_10k", SECTOR_EMPLOYMENT_MISSING_YEAR, everyone)
    blank("manufacturing_employment_10k", SECTOR_EMPLOYMENT_MISSING_YEAR, everyone)
    without_added = rng.choice(unnamed, CITIES_WITHOUT_ADDED_CONTROLS, replace=False)
    for name in ADDED_CONTROLS:
        series[name][without_added] = np.nan
        series[name][:, np.isin(years, YEARS_WITHOUT_ADDED_CONTROLS)] = np.nan
