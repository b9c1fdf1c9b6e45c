"""Draw the synthetic city yearbook: GDP, sectors, employment, controls and missing values."""

import numpy as np

from ai_manufacturing.paper.synthetic.counts import (
    AI_APPLICATION_CITY_COUNT,
    AI_GRANT_CITY_COUNT,
    CITIES_WITHOUT_GRANTS_IN_2010,
)
from ai_manufacturing.paper.synthetic.geography import LARGEST_UNNAMED_GDP, Geography
from ai_manufacturing.paper.synthetic.paths import (
    Draws,
    Floats,
    adjust_partially,
    anchor_at_last,
    centre_on_mean,
    set_mean_growth,
)

# Missing values, as (year, number of cities). They reproduce the numbers of observations in the
# paper: 2,858 = 260 x 11 - 2, 2,598 = 260 x 10 - 2, 2,596 = 2,598 - 2, 2,852 = 2,858 - 6 and
# 1,785 = 255 x 7.
RD_MISSING = (2010, 2)
RESIDENT_POPULATION_MISSING = (2011, 6)
MANUFACTURING_EMPLOYMENT_MISSING = (2011, 2)
SECTOR_EMPLOYMENT_MISSING_YEAR = 2020
YEARS_WITHOUT_ADDED_CONTROLS = range(2010, 2014)
CITIES_WITHOUT_ADDED_CONTROLS = 5

# Level in a median city in 2020, elasticity with respect to GDP, and yearly log growth rate.
ADDED_CONTROLS = {
    "above_scale_firm_count": (900, 1.0, 0.01),
    "loans_100m_cny": (2200, 1.2, 0.13),
    "fdi_million_usd": (350, 1.3, 0.03),
    "education_spending_100m_cny": (72, 0.8, 0.10),
    "science_spending_100m_cny": (9, 1.3, 0.13),
}
LARGEST_SECONDARY_SHARE = 0.85
DIGITS = {"gdp_per_capita_cny": 0, "rd_personnel": 0, "above_scale_firm_count": 0}
"""Decimal places of series; all others are printed with two."""


def draw_yearbook(draws: Draws, geography: Geography, measures: Floats) -> dict[str, Floats]:
    """Draw all series of the synthetic city yearbook.

    Parameters
    ----------
    draws : Draws
        Random numbers, true parameters and years.
    geography : Geography
        Levels in 2020, and the secondary share in 2015.
    measures : NDArray[np.float64]
        Measures that affect the outcomes, 3 by units by years: ln(1 + M) for firms, ln
        applications, ln grants.

    Returns
    -------
    dict of str to NDArray[np.float64]
        Series by name, units by years. The name states the unit of measurement; values are rounded
        as printed, and missing values are NaN.
    """
    logs = _draw_controls(draws, geography, measures[0])
    logs["gdp_100m_cny"] = _draw_gdp(draws, geography, measures, logs)
    logs |= _draw_employment(draws, measures, logs["unit_employment_10k"])
    shares = _draw_shares(draws, geography, measures)

    series = {name: np.exp(values).round(DIGITS.get(name, 2)) for name, values in logs.items()}
    gdp = series["gdp_100m_cny"]
    primary, secondary = (np.round(gdp * share, 2) for share in shares)
    series |= {
        "gdp_per_capita_cny": np.rint(gdp / series["resident_population_10k"] * 1e4),
        "primary_100m_cny": primary,
        "secondary_100m_cny": secondary,
        "tertiary_100m_cny": np.round(gdp - primary - secondary, 2),
    }
    _remove_missing(draws, series, geography)
    return series


def _draw_controls(draws: Draws, geography: Geography, m_firms: Floats) -> dict[str, Floats]:
    """Draw the logs of population, employment, R&D personnel and the other control variables."""
    truth = draws.truth
    draw_noise, draw_scatter = draws.draw_outcome_noise, draws.draw_independent_noise
    size = geography.relative_size

    def trend(growth: float, slope_sd: float) -> Floats:
        return (growth + slope_sd * draws.draw_correlated_noise(1)) * draws.years_to_last

    registered_population = anchor_at_last(
        geography.registered, trend(0.005, 0.006) + draw_noise(0.01)
    )
    resident_ratio = anchor_at_last(
        geography.resident - geography.registered,
        truth.resident_population_on_firms * m_firms
        + draw_noise(truth.resident_population_noise_sd),
    )
    logs = {
        "registered_population_10k": registered_population,
        "resident_population_10k": registered_population + resident_ratio,
        "unit_employment_10k": anchor_at_last(
            np.log(0.13) + geography.resident + 0.2 * size + draw_scatter(0.2),
            truth.unit_employment_on_firms * m_firms + trend(0.02, 0.02) + draw_noise(0.08),
        ),
        "rd_personnel": anchor_at_last(
            np.log(6000) + 1.25 * size + draw_scatter(0.4),
            truth.rd_personnel_on_firms * m_firms + trend(0.09, 0.03) + draw_noise(0.2),
        ),
    }
    for (name, (level, elasticity, growth)), sd in zip(
        ADDED_CONTROLS.items(), truth.mediator_noise_sd, strict=True
    ):
        logs[name] = anchor_at_last(
            np.log(level) + elasticity * size + draw_scatter(0.3),
            truth.mediators_on_firms * m_firms + growth * draws.years_to_last + draw_noise(sd),
        )
    return logs


def _draw_gdp(
    draws: Draws, geography: Geography, measures: Floats, controls: dict[str, Floats]
) -> Floats:
    """Draw log GDP, which adjusts partially to its long-run level each year."""
    truth = draws.truth
    long_run = (
        _reaction(draws, "gdp", measures)
        + truth.gdp_on_mediators * np.mean([controls[name] for name in ADDED_CONTROLS], axis=0)
        + truth.gdp_on_registered_population * controls["registered_population_10k"]
        + truth.gdp_on_unit_employment * controls["unit_employment_10k"]
        + truth.gdp_on_rd_personnel * controls["rd_personnel"]
    )
    path = adjust_partially(long_run, truth.gdp_persistence, 1 - truth.gdp_persistence)
    noise = draws.draw_autoregressive_noise(truth.gdp_noise_sd, truth.gdp_persistence)
    gdp = anchor_at_last(geography.size, set_mean_growth(path, truth.gdp_growth) + noise)
    # Firms have a smaller effect in low-income cities, whose GDP per capita in the first year does
    # not exceed the median.
    first_income = gdp[:, 0] - controls["resident_population_10k"][:, 0]
    low_income = first_income <= np.median(first_income[geography.in_yearbook])
    lag: Floats = (
        truth.high_income_difference * low_income[:, None] * (measures[0] - measures[0][:, :1])
    )
    return gdp - lag


def _draw_employment(draws: Draws, measures: Floats, unit_employment: Floats) -> dict[str, Floats]:
    """Draw log employment in the secondary sector and in manufacturing."""
    truth = draws.truth
    shared_noise = draws.draw_outcome_noise(truth.secondary_employment_noise_sd)
    own_sd = np.sqrt(
        truth.manufacturing_employment_noise_sd**2 - truth.secondary_employment_noise_sd**2
    )
    own_noise = draws.draw_outcome_noise(own_sd)
    secondary_level = np.log(0.42) + draws.draw_independent_noise(0.10)
    manufacturing_level = secondary_level + np.log(0.60) + draws.draw_independent_noise(0.05)
    secondary_path = (
        set_mean_growth(_reaction(draws, "secondary_employment", measures), -0.01) + shared_noise
    )
    manufacturing_path = (
        set_mean_growth(_reaction(draws, "manufacturing_employment", measures), -0.015)
        + shared_noise
        + own_noise
    )
    secondary = unit_employment + centre_on_mean(secondary_level, secondary_path)
    manufacturing = unit_employment + centre_on_mean(manufacturing_level, manufacturing_path)
    return {
        "secondary_employment_10k": secondary,
        "manufacturing_employment_10k": np.minimum(manufacturing, secondary),
    }


def _draw_shares(draws: Draws, geography: Geography, measures: Floats) -> tuple[Floats, Floats]:
    """Draw the shares of the primary and secondary sectors in GDP."""
    truth = draws.truth
    path = set_mean_growth(
        _reaction(draws, "secondary_share", measures), truth.secondary_share_growth
    )
    path += draws.draw_outcome_noise(truth.secondary_share_noise_sd)
    relative = np.exp(path - path[:, draws.years == 2015])
    secondary = np.minimum(
        geography.secondary_share_2015[:, None] * relative, LARGEST_SECONDARY_SHARE
    )
    primary_of_rest = 0.16 * np.exp(
        -0.5 * geography.relative_size + draws.draw_independent_noise(0.3)
    )
    return (1 - secondary) * np.clip(primary_of_rest, 0.003, 0.5)[:, None], secondary


def _reaction(draws: Draws, outcome: str, measures: Floats) -> Floats:
    """Return the sum of the effects of firms, patent applications and grants on an outcome."""
    effects = [
        getattr(draws.truth, f"{outcome}_on_{measure}")
        for measure in ("firms", "applications", "grants")
    ]
    return np.tensordot(effects, measures, axes=1)


def _remove_missing(draws: Draws, series: dict[str, Floats], geography: Geography) -> None:
    """Set values to NaN, so that the numbers of observations match the paper's tables."""
    years, in_yearbook, size = draws.years, geography.in_yearbook, geography.size
    for values in series.values():
        values[~in_yearbook] = np.nan
    # Exclude the smallest cities: they have no grants in 2010, so missing R&D values there would
    # not drop additional observations.
    with_grants = np.flatnonzero(geography.patent_rank < AI_GRANT_CITY_COUNT)
    by_size = np.argsort(size[with_grants], kind="stable")
    larger = with_grants[by_size[CITIES_WITHOUT_GRANTS_IN_2010:]]
    without_patents = np.flatnonzero(
        in_yearbook & (geography.patent_rank >= AI_APPLICATION_CITY_COUNT)
    )
    ordinary_cities = np.flatnonzero(in_yearbook & (size < LARGEST_UNNAMED_GDP))

    for (year, count), candidates, names in (
        (RD_MISSING, larger, ["rd_personnel"]),
        (MANUFACTURING_EMPLOYMENT_MISSING, without_patents, ["manufacturing_employment_10k"]),
        (
            RESIDENT_POPULATION_MISSING,
            ordinary_cities,
            ["resident_population_10k", "gdp_per_capita_cny"],
        ),
    ):
        cities = draws.rng.choice(candidates, count, replace=False)
        for name in names:
            series[name][np.ix_(cities, years == year)] = np.nan
    for name in ("secondary_employment_10k", "manufacturing_employment_10k"):
        series[name][:, years == SECTOR_EMPLOYMENT_MISSING_YEAR] = np.nan
    cities_to_clear = draws.rng.choice(
        ordinary_cities, CITIES_WITHOUT_ADDED_CONTROLS, replace=False
    )
    for name in ADDED_CONTROLS:
        series[name][cities_to_clear] = np.nan
        series[name][:, np.isin(years, YEARS_WITHOUT_ADDED_CONTROLS)] = np.nan
