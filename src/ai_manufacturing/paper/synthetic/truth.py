"""Define the true parameters from which the synthetic sample is drawn.

The parameters are the same for every seed. Parameters described as *calibrated* are values for
which the default estimator, averaged over many seeds, equals the printed number;
docs/decisions/specifications.md names the program that solves for them. The other parameters are
chosen to bring the mean standard errors within a factor of two of the printed ones, except in
Table 6 column 2. The persistence of GDP is chosen to give lagged GDP a mean system GMM
coefficient of .55 to .66 over seeds. No seed is fitted to the paper: a single draw misses a
printed number as often as its confidence interval implies (`benchmarks/replication.md`).

Small counts conceal most of a shift in their logs. The event-year shifts are therefore chosen to
produce the printed effects on the measured scale, and differ from the printed numbers.

The sample does not reproduce some printed numbers, and is not engineered to:

- Table 4 column 3. With GDP as the scaling series, the regressor contains the outcome, and .125
  becomes about .26.
- Table 4 column 4, .559 on M. Over 100 seeds, this package's system GMM estimates .054 (sd .017)
  for M and .643 (sd .042) for lagged GDP. The persistence was chosen to match the latter, so it is
  not evidence about the paper's column. The true persistence is .45, and the Hansen test rejects
  for 23 % of the seeds.
- Table 5 column 3. Net entries have no shift parameter: they follow from entries and exits, and are
  within .07 of the printed numbers and inside the mean interval.
- The numbers of observations in Tables 5 and 6. The log of one plus a count exists for every city
  and year, which gives 2,858 observations with controls and 2,860 without, compared with the
  printed 2,618 and 2,903.
- R-squared in Tables 5 and 6, and the standard errors in Table 6 column 2. Small counts are
  noisier: a standard error of .034 for log grants requires a standard deviation of .19, which is
  impossible for counts this small.
"""

from dataclasses import asdict, dataclass

EVENT_TERMS = ("before5", "before4", "before3", "before2", "current", "after1", "after2", "after3")
"""Printed event-study rows for 2011 to 2014 and 2016 to 2019; 2015 is omitted."""

PerEventYear = tuple[float, ...]


@dataclass(frozen=True)
class Truth:
    """True parameters of the synthetic sample.

    Standard deviations and yearly growth rates are on the log scale. In the names, `firms` is
    ln(1 + M), where M is equation 2 of the paper for firms; `applications` and `grants` are the
    logs of all invention patent applications and grants in sections B to E.
    """

    # Long-run effects on log GDP in high-income cities, calibrated to Table 1 and Table 4 column 2.
    gdp_on_firms: float = 0.0250
    gdp_on_applications: float = 0.0429
    gdp_on_grants: float = 0.0075
    gdp_on_mediators: float = 0.8051
    # Effects on the log share of the secondary sector in GDP, calibrated to Table 2.
    secondary_share_on_firms: float = 0.0404
    secondary_share_on_applications: float = 0.0125
    secondary_share_on_grants: float = 0.0016
    # Effects on log secondary-sector and log manufacturing employment, calibrated to Table 3.
    secondary_employment_on_firms: float = 0.1202
    secondary_employment_on_applications: float = 0.0406
    secondary_employment_on_grants: float = 0.0203
    manufacturing_employment_on_firms: float = 0.0459
    manufacturing_employment_on_applications: float = 0.0387
    manufacturing_employment_on_grants: float = 0.0279
    # Effect on log resident population with registered population held fixed, calibrated to Table 4
    # column 1.
    resident_population_on_firms: float = 0.0733

    # Shifts of log rates by event year in treated cities, which have a high secondary-sector share
    # in 2015. Calibrated to Tables 5 and 6.
    entry_shift: PerEventYear = (
        -0.3059,
        -0.4833,
        -0.2223,
        0.0190,
        -0.1870,
        -0.4124,
        -0.1980,
        -0.1673,
    )
    exit_shift: PerEventYear = (0.1301, 0.0727, 0.1098, 0.0742, 0.1533, 0.6390, 1.0656, 1.4046)
    application_shift: PerEventYear = (
        0.2027,
        0.0998,
        -0.1330,
        -0.2461,
        -0.3367,
        -0.4318,
        -0.3824,
        -0.2497,
    )
    grant_shift: PerEventYear = (
        -0.1919,
        -0.0473,
        -0.0391,
        -0.0463,
        -0.1027,
        -0.1409,
        -0.0356,
        -0.0467,
    )

    # Growth rates and noise of the number of firms in industry sections B to E. Each city's growth
    # rate also has a uniform component between minus and plus firm_growth_slope_range.
    firm_growth_to_2016: float = 0.10
    firm_growth_after_2016: float = 0.15
    firm_growth_slope_range: float = 0.17
    firm_noise_sd: float = 0.08
    firm_noise_persistence: float = 0.7
    # Growth rate and noise of invention patents. Applications and grants share one noise term, and
    # each have one of their own.
    patent_growth: float = 0.10
    patents_on_city_firms: float = 0.3
    patent_shared_noise_sd: float = 0.35
    patent_own_noise_sd: float = 0.50
    # Log GDP adjusts partially to its long-run level each year. The effect of firms is smaller by
    # high_income_difference in low-income cities.
    gdp_growth: float = 0.09
    gdp_persistence: float = 0.45
    gdp_noise_sd: float = 0.06
    gdp_on_registered_population: float = 0.30
    gdp_on_unit_employment: float = 0.06
    gdp_on_rd_personnel: float = 0.02
    high_income_difference: float = 0.12
    # Growth rates and noise of the other outcome variables.
    outcome_noise_persistence: float = 0.35
    secondary_share_growth: float = -0.015
    secondary_share_noise_sd: float = 0.11
    secondary_employment_noise_sd: float = 0.15
    manufacturing_employment_noise_sd: float = 0.19
    resident_population_noise_sd: float = 0.02
    # Effects of firms on the control variables. The mediator is the mean log of above-scale firms,
    # loans, FDI, education spending and science spending.
    unit_employment_on_firms: float = 0.05
    rd_personnel_on_firms: float = 0.10
    mediators_on_firms: float = 0.17
    mediator_noise_sd: tuple[float, ...] = (0.06, 0.06, 0.15, 0.06, 0.10)
    # Yearly entries and exits of AI firms, as shares of the AI firms at the end of the year.
    entry_rate_to_2016: float = 0.149
    entry_rate_after_2016: float = 0.262
    exit_rate: float = 0.055
    flow_noise_sd: float = 0.25
    # Growth rates and noise of AI invention patents, relative to a city's invention patents.
    ai_application_growth_to_2016: float = 0.10
    ai_application_growth_after_2016: float = 0.20
    ai_grant_growth: float = 0.12
    ai_patent_noise_sd: float = 0.30


TRUTH = Truth()


def list_true_parameters() -> dict[str, float]:
    """Return the true parameters as a flat dict of numbers by name.

    The name of an event-year shift ends with the printed row (`entry_shift_before5`), and the name
    of a noise parameter of the added controls with a number.
    """
    parameters: dict[str, float] = {}
    for name, value in asdict(TRUTH).items():
        if isinstance(value, float):
            parameters[name] = value
        else:
            labels = range(1, 6) if name == "mediator_noise_sd" else EVENT_TERMS
            parameters |= {
                f"{name}_{label}": item for label, item in zip(labels, value, strict=True)
            }
    return parameters
