"""Simulate a data vendor's first delivery, either clean or with a planted fault."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from ai_manufacturing.paper.synthetic import CityYears, draw_city_years
from ai_manufacturing.paper.synthetic.files import (
    OUTSIDE_DIVISIONS,
    OUTSIDE_PATENT_DIVISION,
    Cells,
    firm_cells,
    patent_cells,
)
from ai_manufacturing.paper.synthetic.geography import read_units
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
GUANGDONG = "440000"

Counts = NDArray[np.int64]


@dataclass
class Delivery:
    """Simulated data in the form of a vendor's delivery, which fault functions modify in place.

    Attributes
    ----------
    drawn : CityYears
        The clean sample.
    firms, patents : Cells
        Counts by city and industry.
    yearbook, stated : dict of str to NDArray[np.float64]
        The yearbook's series, and the series that the stated province totals sum.
    second_gdp : NDArray[np.float64], optional
        GDP from a second provider.
    """

    drawn: CityYears
    firms: Cells
    patents: Cells
    yearbook: dict[str, NDArray[np.float64]]
    stated: dict[str, NDArray[np.float64]]
    second_gdp: NDArray[np.float64] | None = None

    @property
    def years_of_ai(self) -> NDArray[np.float64]:
        """Return the number of AI firms in sections B to E, with shape (cities, years)."""
        return city_years(self).ai_firms.stock.astype(float)


Fault = Callable[[Delivery, Generator], None]


def clean(seed: int) -> Delivery:
    """Return a simulated delivery without faults for a random seed."""
    drawn = draw_city_years(seed, period())
    return Delivery(
        drawn,
        firm_cells(seed, drawn),
        patent_cells(seed, drawn),
        deepcopy(drawn.yearbook),
        deepcopy(drawn.yearbook),
    )


def city_years(delivery: Delivery) -> CityYears:
    """Sum a delivery's counts over the industries of sections B to E to city-years."""
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
    """Run the gate's check models on a delivery, and return their tables by expectation suite."""
    of_cities = city_years(delivery)
    series = judged_samples.conformed(of_cities, replace(of_cities, yearbook=delivery.stated))
    if not delivery.firms.counts[AI_EXITS].max() > 0:
        series = series[~series["series"].str.contains("entry|exit")]
    pairs = None
    if delivery.second_gdp is not None:
        gdp = series[series["series"].eq("gdp_100m_cny")]
        second = delivery.second_gdp[of_cities.in_yearbook].ravel()
        pairs = judged_samples.source_pairs(gdp, pd.Series(second, gdp.index))
    cells = judged_samples.records(delivery.firms, delivery.patents)
    return judged_samples.checked(series, judged_samples.used_series(), pairs, cells, models)


def failures(delivery: Delivery) -> pd.DataFrame:
    """Return the gate's expectations that a delivery fails, as rows of gates.gate_results.

    The series suites run only if the cell suites find no critical failure.
    """
    failed = pd.DataFrame()
    for models in (judged_samples.CELL_CHECKED, judged_samples.CHECKED):
        results = judged_samples.judged(checked(delivery, models), judged_samples.used_series())
        failed = pd.concat([failed, results[results["success"].eq(False)]])
        if failed["severity"].eq("critical").any():
            break
    return failed


def since(first: int) -> slice:
    return slice(YEARS.index(first), None)


def provinces_drawn(rng: Generator, count: int) -> NDArray[np.bool_]:
    """Return a Boolean mask that selects all cities of `count` random provinces."""
    ids = read_units()["province_id"]
    return ids.isin(rng.choice(ids.unique(), count, replace=False)).to_numpy()


def _in(province_id: str) -> NDArray[np.bool_]:
    return read_units()["province_id"].eq(province_id).to_numpy()


def set_stock(counts: Counts, stock: int, values: Counts) -> None:
    """Replace yearly firm counts, and recompute entries and exits to match their changes."""
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
    _remove_ai(counts, small & provinces_drawn(rng, provinces)[:, None])


def stocks_under_five(delivery: Delivery, _: Generator) -> None:
    counts = delivery.firms.counts
    set_stock(counts, AI_STOCK, np.where(counts[AI_STOCK] < 5, 0, counts[AI_STOCK]))


def ai_patents_under_three(delivery: Delivery, _: Generator) -> None:
    ai = delivery.patents.counts[AI_APPLICATIONS:]
    ai[ai < 3] = 0


def ai_firms_to_fives(delivery: Delivery, _: Generator) -> None:
    counts = delivery.firms.counts
    rounded = 5 * np.rint(counts[AI_STOCK] / 5).astype(np.int64)
    set_stock(counts, STOCK, counts[STOCK] - counts[AI_STOCK] + rounded)
    set_stock(counts, AI_STOCK, rounded)
    counts[ENTRIES : EXITS + 1] = np.maximum(
        counts[ENTRIES : EXITS + 1], counts[AI_ENTRIES : AI_EXITS + 1].max(axis=0)
    )


def firms_to_tens(delivery: Delivery, rng: Generator) -> None:
    counts, cities = delivery.firms.counts, provinces_drawn(rng, 15)
    part = counts[:, cities]
    rounded = 10 * np.rint(part[STOCK] / 10).astype(np.int64)
    set_stock(part, STOCK, np.maximum(rounded, part[AI_STOCK]))
    part[ENTRIES] += part[AI_ENTRIES] + part[AI_EXITS]
    part[EXITS] += part[AI_ENTRIES] + part[AI_EXITS]
    counts[:, cities] = part


def stocks_fall_to_zero(delivery: Delivery, rng: Generator, with_flows: bool) -> None:
    counts, cities = delivery.firms.counts, provinces_drawn(rng, 10)
    part = counts[:, cities]
    part[AI_STOCK:, :, :, YEARS.index(2018) : YEARS.index(2020)] = 0
    counts[:, cities] = part
    if not with_flows:
        counts[[ENTRIES, EXITS, AI_ENTRIES, AI_EXITS]] = judged_samples.MISSING


def kept_in_the_stock(share: float, first: int = 2010) -> Fault:
    def fault(delivery: Delivery, rng: Generator) -> None:
        late = delivery.firms.counts[..., since(first)]
        kept = rng.binomial(late[AI_EXITS], share)
        for exits, stock in ((EXITS, STOCK), (AI_EXITS, AI_STOCK)):
            late[exits] -= kept
            late[stock] += np.cumsum(kept, axis=-1)

    return fault


def multiplied(name: str, province_id: str, first: int, factor: float) -> Fault:
    def fault(delivery: Delivery, _: Generator) -> None:
        delivery.yearbook[name][_in(province_id), since(first)] *= factor

    return fault


def scale_gdp(delivery: Delivery, factor: NDArray[np.float64]) -> None:
    for name in GDP:
        delivery.yearbook[name] = np.round(
            delivery.yearbook[name] * factor, 0 if name == "gdp_per_capita_cny" else 2
        )
    delivery.stated = delivery.yearbook


def gdp_by_interest(delivery: Delivery, _: Generator) -> None:
    ai = np.log1p(delivery.years_of_ai)
    scale_gdp(delivery, np.exp(0.027 * (ai - ai[:, :1])))


def gdp_by_interest_beside_a_second(delivery: Delivery, rng: Generator) -> None:
    gdp = delivery.yearbook["gdp_100m_cny"]
    delivery.second_gdp = np.round(gdp * np.exp(0.02 * rng.standard_normal(gdp.shape)), 2)
    gdp_by_interest(delivery, rng)


FAULTS: dict[str, Fault] = {
    "AI firms set to 0 in cells that never exceed 4": cells_never_above_four,
    "R&D in full-time equivalents in one province from 2015": multiplied(
        "rd_personnel", GUANGDONG, 2015, 0.65
    ),
    "half of the dissolved AI firms kept in the stock": kept_in_the_stock(0.5),
    "GDP moved in proportion to AI, and a second source of GDP": gdp_by_interest_beside_a_second,
    "AI stocks under 5 set to 0": stocks_under_five,
    "AI firms set to 0 in cells that never exceed 4, in 15 provinces": (
        lambda delivery, rng: cells_never_above_four(delivery, rng, 15)
    ),
    "AI patents under 3 set to 0": ai_patents_under_three,
    "AI firms rounded to fives": ai_firms_to_fives,
    "firms rounded to tens in 15 provinces": firms_to_tens,
    "the same, without entries and exits": lambda delivery, rng: stocks_fall_to_zero(
        delivery, rng, False
    ),
}


def faulty(fault: Fault, seed: int = SEED) -> Delivery:
    """Return a simulated delivery with the given fault for a random seed."""
    delivery = clean(seed)
    fault(delivery, np.random.default_rng(seed))
    return delivery
