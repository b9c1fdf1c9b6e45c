"""Draws of the sample as a vendor first delivers them, clean or with a fault."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from ai_manufacturing.paper.synthetic import CityYears, draw
from ai_manufacturing.paper.synthetic.files import (
    OUTSIDE_DIVISIONS,
    OUTSIDE_PATENT_DIVISION,
    Cells,
    firm_cells,
    patent_cells,
)
from ai_manufacturing.paper.synthetic.geography import units
from ai_manufacturing.system.settings import period
from tests.lib import judged_samples

SEED = 41
YEARS = list(period())
GDP = (
    "gdp_100m_cny",
    "primary_100m_cny",
    "secondary_100m_cny",
    "tertiary_100m_cny",
    "gdp_per_capita_cny",
)
STOCK, ENTRIES, EXITS, AI_STOCK, AI_ENTRIES, AI_EXITS = range(6)
APPLICATIONS, GRANTS, AI_APPLICATIONS, AI_GRANTS = range(4)
GUANGDONG, JIANGSU = "440000", "320000"

Counts = NDArray[np.int64]


@dataclass
class Delivery:
    """A draw as a vendor delivers it; faults change it in place.

    Attributes
    ----------
    drawn : CityYears
        The clean draw.
    firms, patents : Cells
        Counts of cities and industries.
    yearbook, stated : dict of str to NDArray[np.float64]
        The yearbook's series, and those that provinces add up to their own totals.
    second_gdp : NDArray[np.float64], optional
        GDP as another provider delivers it.
    """

    drawn: CityYears
    firms: Cells
    patents: Cells
    yearbook: dict[str, NDArray[np.float64]]
    stated: dict[str, NDArray[np.float64]]
    second_gdp: NDArray[np.float64] | None = None

    @property
    def years_of_ai(self) -> NDArray[np.float64]:
        """AI firms in sections B to E, units by years."""
        return city_years(self).ai_firms.stock.astype(float)


Fault = Callable[[Delivery, Generator], None]


def clean(seed: int) -> Delivery:
    """Return the delivery of a seed without any fault."""
    drawn = draw(seed, period())
    return Delivery(
        drawn,
        firm_cells(seed, drawn),
        patent_cells(seed, drawn),
        deepcopy(drawn.yearbook),
        deepcopy(drawn.yearbook),
    )


def city_years(delivery: Delivery) -> CityYears:
    """Return the city-years of sections B to E that the cells add up to."""
    inside = ~delivery.firms.labels["行业代码"].isin(OUTSIDE_DIVISIONS).to_numpy()
    firms = np.maximum(delivery.firms.counts[:, :, inside], 0).sum(axis=2)
    labels = delivery.patents.labels
    inventions = (labels["专利类型"] == "发明") & (labels["行业代码"] != OUTSIDE_PATENT_DIVISION)
    patents = delivery.patents.counts[:, :, inventions.to_numpy()].sum(axis=2)
    drawn = delivery.drawn
    return replace(
        drawn,
        yearbook=delivery.yearbook,
        firms=firms[STOCK],
        ai_firms=replace(
            drawn.ai_firms, stock=firms[AI_STOCK], entries=firms[AI_ENTRIES], exits=firms[AI_EXITS]
        ),
        applications=replace(
            drawn.applications, total=patents[APPLICATIONS], ai=patents[AI_APPLICATIONS]
        ),
        grants=replace(drawn.grants, total=patents[GRANTS], ai=patents[AI_GRANTS]),
    )


def checked(delivery: Delivery, models: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return the check models of a delivery, by suite."""
    of_cities = city_years(delivery)
    series = judged_samples.conformed(of_cities, replace(of_cities, yearbook=delivery.stated))
    if not delivery.firms.counts[AI_EXITS].max() > 0:
        series = series[~series["series"].str.contains("entry|exit")]
    pairs = None
    if delivery.second_gdp is not None:
        pairs = judged_samples.source_pairs(of_cities, delivery.second_gdp)
    cells = judged_samples.records(delivery.firms, delivery.patents)
    return judged_samples.checked(series, judged_samples.used_series(), pairs, cells, models)


# Faults


def failures(delivery: Delivery) -> pd.DataFrame:
    """Return the expectations that a delivery fails, as gates.gate_results has them.

    Where a suite of cells stops it, the other suites are not asked.
    """
    failed = pd.DataFrame()
    for models in (judged_samples.CELL_CHECKED, judged_samples.CHECKED):
        results = judged_samples.judged(checked(delivery, models), judged_samples.used_series())
        failed = pd.concat([failed, results[results["success"].eq(False)]])
        if failed["severity"].eq("critical").any():
            break
    return failed


def _at(first: int) -> slice:
    return slice(YEARS.index(first), None)


def _provinces(rng: Generator, count: int) -> NDArray[np.bool_]:
    """Return the units of provinces drawn at random."""
    ids = units()["province_id"]
    return ids.isin(rng.choice(ids.unique(), count, replace=False)).to_numpy()


def _in(province_id: str) -> NDArray[np.bool_]:
    return units()["province_id"].eq(province_id).to_numpy()


def _set_stock(counts: Counts, stock: int, values: Counts) -> None:
    """Replace a stock, with entries and exits that add up to it."""
    entries, exits = counts[stock + 1], counts[stock + 2]
    net = np.diff(values, axis=-1)
    entries[..., 1:] = np.maximum(net + exits[..., 1:], 0)
    exits[..., 1:] = entries[..., 1:] - net
    counts[stock] = values


def _remove_ai(counts: Counts, cells: NDArray[np.bool_]) -> None:
    counts[AI_STOCK:][:, cells] = 0


def cells_never_above_four(delivery: Delivery, rng: Generator, provinces: int = 31) -> None:
    counts = delivery.firms.counts
    small = counts[AI_STOCK].max(axis=-1) <= 4
    _remove_ai(counts, small & _provinces(rng, provinces)[:, None])


def stocks_under_five(delivery: Delivery, _: Generator) -> None:
    counts = delivery.firms.counts
    _set_stock(counts, AI_STOCK, np.where(counts[AI_STOCK] < 5, 0, counts[AI_STOCK]))


def ai_patents_under_three(delivery: Delivery, _: Generator) -> None:
    ai = delivery.patents.counts[AI_APPLICATIONS:]
    ai[ai < 3] = 0


def patent_cells_never_above_nine(delivery: Delivery, _: Generator) -> None:
    counts = delivery.patents.counts
    for count, of_all in ((APPLICATIONS, AI_APPLICATIONS), (GRANTS, AI_GRANTS)):
        small = counts[count].max(axis=-1) <= 9
        counts[count][small] = counts[of_all][small] = 0


def small_ai_patents_as_three(delivery: Delivery, _: Generator) -> None:
    counts = delivery.patents.counts
    ai = counts[AI_APPLICATIONS]
    counts[AI_APPLICATIONS] = np.where((ai > 0) & (ai < 5), 3, ai)
    counts[APPLICATIONS] = np.maximum(counts[APPLICATIONS], counts[AI_APPLICATIONS])


def ai_firms_to_fives(delivery: Delivery, _: Generator) -> None:
    counts = delivery.firms.counts
    rounded = 5 * np.rint(counts[AI_STOCK] / 5).astype(np.int64)
    _set_stock(counts, STOCK, counts[STOCK] - counts[AI_STOCK] + rounded)
    _set_stock(counts, AI_STOCK, rounded)
    counts[ENTRIES : EXITS + 1] = np.maximum(
        counts[ENTRIES : EXITS + 1], counts[AI_ENTRIES : AI_EXITS + 1].max(axis=0)
    )


def firms_to_tens(delivery: Delivery, rng: Generator) -> None:
    counts, cities = delivery.firms.counts, _provinces(rng, 15)
    part = counts[:, cities]
    rounded = 10 * np.rint(part[STOCK] / 10).astype(np.int64)
    _set_stock(part, STOCK, np.maximum(rounded, part[AI_STOCK]))
    part[ENTRIES] += part[AI_ENTRIES] + part[AI_EXITS]
    part[EXITS] += part[AI_ENTRIES] + part[AI_EXITS]
    counts[:, cities] = part


def patents_to_threes(delivery: Delivery, rng: Generator) -> None:
    """Round each count at random to one of the two multiples of three beside it."""
    counts = delivery.patents.counts
    counts[:] = 3 * np.floor(counts / 3 + rng.random(counts.shape)).astype(np.int64)
    counts[:AI_APPLICATIONS] = np.maximum(counts[:AI_APPLICATIONS], counts[AI_APPLICATIONS:])


def stocks_fall_to_zero(delivery: Delivery, rng: Generator, with_flows: bool) -> None:
    counts, cities = delivery.firms.counts, _provinces(rng, 10)
    part = counts[:, cities]
    part[AI_STOCK:, :, :, YEARS.index(2018) : YEARS.index(2020)] = 0
    counts[:, cities] = part
    if not with_flows:
        counts[[ENTRIES, EXITS, AI_ENTRIES, AI_EXITS]] = judged_samples.MISSING


def dissolved_kept(delivery: Delivery, rng: Generator, share: float, first: int = 2010) -> None:
    counts = delivery.firms.counts
    late = counts[..., _at(first)]
    kept = rng.binomial(late[AI_EXITS], share)
    for exits, stock in ((EXITS, STOCK), (AI_EXITS, AI_STOCK)):
        late[exits] -= kept
        late[stock] += np.cumsum(kept, axis=-1)


def entries_left_out(delivery: Delivery, rng: Generator) -> None:
    late = delivery.firms.counts[..., _at(2017)]
    lost = rng.binomial(late[AI_ENTRIES], 0.5)
    # a firm that was never counted cannot leave
    lost[(late[AI_STOCK] < np.cumsum(lost, axis=-1)).any(axis=-1)] = 0
    late[AI_ENTRIES] -= lost
    late[AI_STOCK] -= np.cumsum(lost, axis=-1)


def at_the_capital(counts: Counts, share: float, years: slice = slice(None)) -> None:
    """Book a share of each city's counts at the first city of its province, the capital."""
    provinces = units().reset_index(drop=True).groupby("province_id").groups
    for rows in provinces.values():
        cities = np.asarray(rows)
        moved = np.rint(share * counts[:, cities[1:], ..., years]).astype(np.int64)
        counts[:, cities[1:], ..., years] -= moved
        counts[:, cities[0], ..., years] += moved.sum(axis=1)


def patents_at_the_capital(share: float, years: slice = slice(None)) -> Fault:
    def fault(delivery: Delivery, _: Generator) -> None:
        at_the_capital(delivery.patents.counts, share, years)

    return fault


def ai_firms_at_the_capital(delivery: Delivery, _: Generator) -> None:
    at_the_capital(delivery.firms.counts, 0.25)


def multiplied(name: str, province_id: str, first: int, factor: float) -> Fault:
    def fault(delivery: Delivery, _: Generator) -> None:
        delivery.yearbook[name][_in(province_id), _at(first)] *= factor

    return fault


def _scale_gdp(delivery: Delivery, factor: NDArray[np.float64]) -> None:
    for name in GDP:
        delivery.yearbook[name] = np.round(
            delivery.yearbook[name] * factor, 0 if name == "gdp_per_capita_cny" else 2
        )
    delivery.stated = delivery.yearbook


def gdp_by_interest(delivery: Delivery, _: Generator) -> None:
    ai = np.log1p(delivery.years_of_ai)
    _scale_gdp(delivery, np.exp(0.027 * (ai - ai[:, :1])))


def gdp_by_interest_beside_a_second(delivery: Delivery, rng: Generator) -> None:
    gdp = delivery.yearbook["gdp_100m_cny"]
    delivery.second_gdp = np.round(gdp * np.exp(0.02 * rng.standard_normal(gdp.shape)), 2)
    gdp_by_interest(delivery, rng)


def preliminary_gdp(delivery: Delivery, _: Generator) -> None:
    ai = delivery.drawn.applications.ai[:, -1]
    factor = np.ones(delivery.drawn.firms.shape)
    factor[ai > np.quantile(ai, 0.75), _at(2019)] = 0.98
    _scale_gdp(delivery, factor)


def gdp_before_the_census(delivery: Delivery, rng: Generator) -> None:
    factor = np.ones(delivery.drawn.firms.shape)
    factor[_provinces(rng, 12), : YEARS.index(2018)] = 1.08
    _scale_gdp(delivery, factor)


def industry_reclassified(delivery: Delivery, rng: Generator) -> None:
    cities = _provinces(rng, 6)
    moved = np.round(0.1 * delivery.yearbook["secondary_100m_cny"][cities, _at(2016)], 2)
    delivery.yearbook["secondary_100m_cny"][cities, _at(2016)] -= moved
    delivery.yearbook["tertiary_100m_cny"][cities, _at(2016)] += moved


def broader_ai(delivery: Delivery, rng: Generator) -> None:
    counts = delivery.firms.counts
    electronics = delivery.firms.labels["行业代码"].eq("39").to_numpy()
    part = counts[:, :, electronics]
    stock = part[AI_STOCK].copy()
    stock[..., _at(2018)] += rng.binomial(stock[..., _at(2018)], 0.5)
    _set_stock(part, AI_STOCK, np.minimum(stock, part[STOCK]))
    counts[:, :, electronics] = part


def electronics_as_software(delivery: Delivery, rng: Generator) -> None:
    counts, cities = delivery.firms.counts, np.flatnonzero(_provinces(rng, 15))
    codes = delivery.firms.labels["行业代码"].tolist()
    source, target = codes.index("39"), codes.index("65")
    counts[:, cities, target, _at(2017)] += counts[:, cities, source, _at(2017)]
    counts[:, cities, source, _at(2017)] = 0


def patents_cut_off(delivery: Delivery, _: Generator) -> None:
    np.minimum(delivery.patents.counts, 99, out=delivery.patents.counts)


def ai_grants_late(delivery: Delivery, _: Generator) -> None:
    counts = delivery.patents.counts
    counts[AI_GRANTS, ..., 1:] = np.minimum(counts[AI_GRANTS, ..., :-1], counts[GRANTS, ..., 1:])


SILENT_BEFORE: dict[str, Fault] = {
    "AI firms set to 0 in cells that never exceed 4": cells_never_above_four,
    "R&D in full-time equivalents in one province from 2015": multiplied(
        "rd_personnel", GUANGDONG, 2015, 0.65
    ),
    "half of the dissolved AI firms kept in the stock": lambda delivery, rng: dissolved_kept(
        delivery, rng, 0.5
    ),
    "GDP moved in proportion to AI": gdp_by_interest,
    "preliminary GDP where AI patents are many": preliminary_gdp,
    "GDP before the census in 12 provinces, totals too": gdp_before_the_census,
    "a seventh of the patents booked at the provincial capital": patents_at_the_capital(1 / 7),
}
"""Deliveries that passed in silence before cells were judged."""

OTHERS: dict[str, Fault] = {
    "GDP moved in proportion to AI, and a second source of GDP": gdp_by_interest_beside_a_second,
    "AI stocks under 5 set to 0": stocks_under_five,
    "AI firms set to 0 in cells that never exceed 4, in 15 provinces": (
        lambda delivery, rng: cells_never_above_four(delivery, rng, 15)
    ),
    "AI patents under 3 set to 0": ai_patents_under_three,
    "patents set to 0 in cells that never exceed 9": patent_cells_never_above_nine,
    "AI patents of 1 to 4 delivered as 3": small_ai_patents_as_three,
    "AI firms rounded to fives": ai_firms_to_fives,
    "firms rounded to tens in 15 provinces": firms_to_tens,
    "patents rounded to threes at random": patents_to_threes,
    "AI firms of 10 provinces fall to 0 for two years": lambda delivery, rng: stocks_fall_to_zero(
        delivery, rng, True
    ),
    "the same, without entries and exits": lambda delivery, rng: stocks_fall_to_zero(
        delivery, rng, False
    ),
    "all dissolved AI firms kept in the stock": lambda delivery, rng: dissolved_kept(
        delivery, rng, 1
    ),
    "dissolved AI firms kept in the stock from 2017": lambda delivery, rng: dissolved_kept(
        delivery, rng, 1, 2017
    ),
    "half of the AI entries left out from 2017": entries_left_out,
    "a third of the patents booked at the provincial capital": patents_at_the_capital(1 / 3),
    "a quarter of the patents of two years booked at the capital": patents_at_the_capital(
        1 / 4, _at(2019)
    ),
    "a quarter of the firms booked at the provincial capital": ai_firms_at_the_capital,
    "unit employment with private firms in one province from 2014": multiplied(
        "unit_employment_10k", JIANGSU, 2014, 1.4
    ),
    "a tenth of industry counted as services in 6 provinces": industry_reclassified,
    "AI firms of electronics by a broader definition from 2018": broader_ai,
    "electronics booked as software in 15 provinces from 2017": electronics_as_software,
    "patents cut off at 99 in each cell": patents_cut_off,
    "AI grants a year late": ai_grants_late,
}

FAULTS = SILENT_BEFORE | OTHERS


def faulty(name: str, seed: int = SEED) -> Delivery:
    """Return the delivery of a seed with the fault of this name."""
    delivery = clean(seed)
    FAULTS[name](delivery, np.random.default_rng(seed))
    return delivery
