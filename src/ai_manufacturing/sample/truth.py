"""The true parameters of the synthetic sample.

They are the same for every seed. Those marked *solved* are the values at which the mean of the default estimator over
many seeds equals the number the paper prints (`benchmarks/calibrate_sample.py --solve`); the others are chosen so that
the mean standard errors, too, resemble the printed ones. No seed is fitted to the paper.
"""

from dataclasses import asdict, dataclass

EVENT_TERMS = ("before5", "before4", "before3", "before2", "current", "after1", "after2", "after3")
"""Printed event-study rows, years 2011 to 2014 and 2016 to 2019; 2015 is the omitted year."""

PerEventYear = tuple[float, float, float, float, float, float, float, float]


@dataclass(frozen=True)
class Truth:
    """True parameters; standard deviations and growth rates are on the log scale, per year where they are rates.

    `firms` below is ln(1 + M) with M the paper's equation 2 for firms, `applications` and `grants` are the logs of all
    invention-patent applications and grants in sections B to E.
    """

    # Effects on ln GDP in the long run; solved for Table 1 and Table 4 column 2.
    gdp_on_firms: float = -0.0158
    gdp_on_applications: float = 0.0520
    gdp_on_grants: float = 0.0085
    gdp_on_mediators: float = 1.0756
    # Effects on the log secondary share of GDP; solved for Table 2.
    secondary_share_on_firms: float = 0.0386
    secondary_share_on_applications: float = 0.0121
    secondary_share_on_grants: float = 0.0011
    # Effects on log secondary and log manufacturing employment; solved for Table 3.
    secondary_employment_on_firms: float = 0.1217
    secondary_employment_on_applications: float = 0.0415
    secondary_employment_on_grants: float = 0.0198
    manufacturing_employment_on_firms: float = 0.0470
    manufacturing_employment_on_applications: float = 0.0399
    manufacturing_employment_on_grants: float = 0.0274
    # Effect on log resident population at given registered population; solved for Table 4 column 1.
    resident_population_on_firms: float = 0.0733

    # Latent log shifts where the secondary share is high, per event year; solved for Tables 5 and 6.
    entry_shift: PerEventYear = (-0.311, -0.467, -0.219, 0.028, -0.199, -0.441, -0.212, -0.164)
    exit_shift: PerEventYear = (0.173, 0.125, 0.129, 0.118, 0.180, 0.669, 1.082, 1.420)
    application_shift: PerEventYear = (0.220, 0.112, -0.126, -0.241, -0.340, -0.438, -0.391, -0.262)
    grant_shift: PerEventYear = (-0.158, -0.044, -0.019, -0.055, -0.097, -0.143, -0.032, -0.047)

    # Firms in sections B to E.
    firm_growth_to_2016: float = 0.10
    firm_growth_after_2016: float = 0.15
    firm_growth_slope_range: float = 0.17
    firm_noise_sd: float = 0.08
    firm_noise_persistence: float = 0.7
    # Invention patents: applications and grants share one noise and have one each.
    patent_growth: float = 0.10
    patents_on_city_firms: float = 0.3
    patent_shared_noise_sd: float = 0.35
    patent_own_noise_sd: float = 0.50
    # ln GDP: autoregressive towards its long-run value.
    gdp_growth: float = 0.09
    gdp_persistence: float = 0.56
    gdp_noise_sd: float = 0.06
    gdp_on_registered_population: float = 0.30
    gdp_on_unit_employment: float = 0.06
    gdp_on_rd_personnel: float = 0.02
    high_income_difference: float = 0.12
    # Other outcomes.
    outcome_noise_persistence: float = 0.35
    secondary_share_growth: float = -0.015
    secondary_share_noise_sd: float = 0.11
    secondary_employment_noise_sd: float = 0.15
    manufacturing_employment_noise_sd: float = 0.19
    resident_population_noise_sd: float = 0.02
    # Controls, and the five added controls (above-scale firms, loans, FDI, education and science spending), whose
    # mean log is the mediator.
    unit_employment_on_firms: float = 0.05
    rd_personnel_on_firms: float = 0.10
    mediators_on_firms: float = 0.17
    mediator_noise_sd: tuple[float, float, float, float, float] = (0.06, 0.06, 0.15, 0.06, 0.10)
    # AI firms: shares of a year's stock that entered in it and that leave in it.
    entry_rate_to_2016: float = 0.149
    entry_rate_after_2016: float = 0.262
    exit_rate: float = 0.055
    flow_noise_sd: float = 0.25
    # AI invention patents relative to all invention patents of the city.
    ai_application_growth_to_2016: float = 0.10
    ai_application_growth_after_2016: float = 0.20
    ai_grant_growth: float = 0.12
    ai_patent_noise_sd: float = 0.30


TRUTH = Truth()


def flat(truth: Truth = TRUTH) -> dict[str, float]:
    """Return the parameters under flat names, one number each.

    Parameters
    ----------
    truth : Truth
        True parameters.

    Returns
    -------
    dict of str to float
        Event-year shifts carry the printed row's name (`entry_shift_before5`), other tuples a number.
    """
    flattened: dict[str, float] = {}
    for name, value in asdict(truth).items():
        if isinstance(value, float):
            flattened[name] = value
            continue
        labels = EVENT_TERMS if len(value) == len(EVENT_TERMS) else tuple(str(i + 1) for i in range(len(value)))
        flattened |= {f"{name}_{label}": item for label, item in zip(labels, value, strict=True)}
    return flattened
