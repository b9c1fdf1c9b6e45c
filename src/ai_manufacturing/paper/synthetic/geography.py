"""Draw the time-invariant attributes of synthetic cities, such as size and AI firms in 2020."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from ai_manufacturing.paper.synthetic.paths import Draws, Flags, Floats, Integers
from ai_manufacturing.system.settings import project_root

YEARBOOK_SHARE = 260 / 367  # share of the rows of seeds/cities.csv that appear in the yearbook

# AI firms in 2020 as printed in the paper: five named cities, 46 cities with 10 to 100 firms and
# 124 cities with 1 to 9 firms. The total is 2,923.
TOP_FIVE_AI_FIRMS = {"深圳": 643, "苏州": 165, "广州": 150, "东莞": 135, "上海": 120}
MIDDLE_AI_FIRMS = np.rint(10 + 85 * np.linspace(1, 0, 46) ** 3.6).astype(np.int64)
SINGLE_DIGIT_AI_FIRMS = np.rint(1 + 8 * np.linspace(1, 0, 124) ** 2.9).astype(np.int64)

# Approximate levels of large cities in 2020: GDP (100 million CNY), resident population and
# registered population (10,000 persons).
KNOWN_CITIES = {
    "上海": (38700, 2490, 1475),
    "北京": (36100, 2190, 1400),
    "深圳": (27700, 1750, 590),
    "广州": (25000, 1870, 985),
    "重庆": (25000, 3200, 3410),
    "苏州": (20200, 1275, 745),
    "成都": (17700, 2090, 1520),
    "杭州": (16100, 1190, 815),
    "武汉": (15600, 1240, 915),
    "南京": (14800, 930, 720),
    "天津": (14100, 1390, 1130),
    "宁波": (12400, 940, 613),
    "青岛": (12400, 1010, 837),
    "郑州": (12000, 1260, 900),
    "东莞": (9700, 1050, 264),
}
# Log GDP (100 million CNY) of a median city in 2020.
MEDIAN_GDP: float = np.log(1900.0)
# Cap on the log GDP (100 million CNY) of cities that are not in KNOWN_CITIES.
LARGEST_UNNAMED_GDP = np.log(10000.0)
# Mean difference between a city's log GDP and MEDIAN_GDP, by region.
REGION_SIZE = {"east": 0.35, "central": 0.05, "northeast": -0.35, "west": -0.30}
# Log GDP per capita (CNY) of a city with median GDP, by region.
REGION_INCOME = {"east": 11.20, "central": 10.85, "northeast": 10.70, "west": 10.75}
EASTERN_AI_PREMIUM = 0.15  # increase in the log propensity for AI of eastern cities


@dataclass(frozen=True, eq=False)
class Geography:
    """Time-invariant attributes of cities, as arrays with one value per city.

    Attributes
    ----------
    size : NDArray[np.float64]
        ln GDP in 2020, in 100 million CNY.
    resident, registered : NDArray[np.float64]
        ln population in 2020, in 10,000 persons.
    secondary_share_2015 : NDArray[np.float64]
        Secondary value added divided by GDP in 2015.
    in_yearbook : NDArray[np.bool_]
        Units with yearbook rows.
    ai_firms_2020 : NDArray[np.int64]
        Active AI firms in sections B to E.
    patent_rank : NDArray[np.int64]
        Rank by propensity for AI patents, starting at 0; units outside the yearbook come last.
    """

    size: Floats
    resident: Floats
    registered: Floats
    secondary_share_2015: Floats
    in_yearbook: Flags
    ai_firms_2020: Integers
    patent_rank: Integers

    @property
    def relative_size(self) -> Floats:
        """Log GDP of each city minus the log GDP of a median city."""
        return self.size - MEDIAN_GDP

    @property
    def is_secondary_dominant(self) -> Flags:
        """Whether the secondary sector's share of GDP in 2015 is above the median, shape (n, 1).

        These cities are treated in equation 3.
        """
        share = self.secondary_share_2015
        return (self.in_yearbook & (share > np.median(share[self.in_yearbook])))[:, None]


@cache
def read_units() -> pd.DataFrame:
    """Read seeds/cities.csv as a data frame with all columns as strings."""
    return pd.read_csv(project_root() / "seeds" / "cities.csv", dtype="str")


def rank_descending(values: Floats) -> Integers:
    """Return the rank of each value in descending order, starting at 0 for the largest."""
    return np.argsort(np.argsort(-values, kind="stable"), kind="stable")


def draw_geography(draws: Draws) -> Geography:
    """Draw the GDP, population, secondary-sector share and AI activity of each city.

    Only the secondary shares, which define treatment in event studies, are correlated between
    units.
    """
    table = read_units()
    names = table["short_name_zh"].to_numpy()
    count = len(names)
    is_city = table["unit_kind"].isin(["municipality", "prefecture_level"]) & table[
        "name_zh"
    ].str.endswith("市")
    region = table["region"]

    size = MEDIAN_GDP + region.map(REGION_SIZE).to_numpy() + draws.draw_independent_noise(0.75)
    size = np.minimum(np.where(is_city, size, size - 1.5), LARGEST_UNNAMED_GDP)
    income = (
        region.map(REGION_INCOME).to_numpy()
        + 0.2 * (size - MEDIAN_GDP)
        + draws.draw_independent_noise(0.25)
    )
    resident = size + np.log(1e4) - income
    registered = resident + 0.04 - 0.08 * (size - MEDIAN_GDP) + draws.draw_independent_noise(0.06)
    for name, levels in KNOWN_CITIES.items():
        size[names == name], resident[names == name], registered[names == name] = np.log(levels)
    # Give the five cities with the most AI firms a low secondary-sector share, which makes them
    # untreated in the event studies.
    top_five = np.isin(names, list(TOP_FIVE_AI_FIRMS))
    secondary_share = np.clip(0.44 + 0.06 * draws.draw_correlated_noise(), 0.28, 0.58)
    secondary_share[top_five] = draws.rng.uniform(0.34, 0.39, len(TOP_FIVE_AI_FIRMS))

    in_yearbook = rank_descending(np.where(is_city, size, -np.inf)) < round(YEARBOOK_SHARE * count)
    premium = EASTERN_AI_PREMIUM * (region == "east").to_numpy()
    propensity = size + premium + draws.draw_independent_noise(0.4)
    propensity[~in_yearbook] = -np.inf
    without_any = np.zeros(count, dtype=np.int64)
    by_rank = np.concatenate([MIDDLE_AI_FIRMS, SINGLE_DIGIT_AI_FIRMS, without_any])
    ai_firms = by_rank[rank_descending(np.where(top_five, -np.inf, propensity))]
    for name, stock in TOP_FIVE_AI_FIRMS.items():
        ai_firms[names == name] = stock
    return Geography(
        size=size,
        resident=resident,
        registered=registered,
        secondary_share_2015=secondary_share,
        in_yearbook=in_yearbook,
        ai_firms_2020=ai_firms,
        patent_rank=rank_descending(propensity + draws.draw_independent_noise(0.3)),
    )
