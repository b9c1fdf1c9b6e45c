"""Fit two-way fixed-effects regressions in numpy, to verify the project's estimators.

It shares no code with the project's estimators: it removes effects by alternating projections, and
its jackknife reruns each regression.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats


def log(values: pd.Series) -> pd.Series:
    """Return natural logs, with NaN for values that are not positive."""
    return np.log(values.where(values > 0))


@dataclass
class Regression:
    """Linear regression with city and year effects, or with city and province-by-year effects.

    `rows` has the outcome in its first column, then the regressors, and the index (city, year).
    """

    rows: pd.DataFrame
    within_provinces: bool
    trends: bool = False

    @cached_property
    def sample(self) -> pd.DataFrame:
        """Return the rows without missing values, after dropping singleton cities and periods."""
        rows = self.rows.dropna()
        while True:
            city, period = self.groups(rows)
            alone = (np.bincount(city)[city] == 1) | (np.bincount(period)[period] == 1)
            if not alone.any():
                return rows
            rows = rows[~alone]

    def groups(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        city = rows.index.get_level_values("city")
        year = rows.index.get_level_values("year").astype(str)
        period = city.str[:2] + year if self.within_provinces else year
        return pd.factorize(city)[0], pd.factorize(period)[0]

    def residuals(self, rows: pd.DataFrame) -> np.ndarray:
        """Partial out the fixed effects, and city trends if any, by alternating projections."""
        values = rows.to_numpy(float)
        city, period = self.groups(rows)
        time = rows.index.get_level_values("year").to_numpy(float)
        time = time - (np.bincount(city, time) / np.bincount(city))[city]
        spread = np.maximum(np.bincount(city, time**2), 1e-12)
        for _ in range(5_000):
            before = values
            for group in (city, period):
                size = np.bincount(group)
                sums = [np.bincount(group, column) / size for column in values.T]
                values = values - np.column_stack(sums)[group]
            if self.trends:
                slopes = [np.bincount(city, column * time) / spread for column in values.T]
                values = values - np.column_stack(slopes)[city] * time[:, None]
            if np.abs(values - before).max() < 1e-12:
                return values
        raise AssertionError("the effects were not removed")

    def slopes(self, rows: pd.DataFrame) -> np.ndarray:
        values = self.residuals(rows)
        return np.linalg.lstsq(values[:, 1:], values[:, 0], rcond=None)[0]

    @cached_property
    def estimate(self) -> float:
        return float(self.slopes(self.sample)[0])

    @cached_property
    def error_by_city(self) -> float:
        """Return the CRV1 standard error by city, with fixest's factor for nested fixed effects."""
        values = self.residuals(self.sample)
        city, period = self.groups(self.sample)
        x = values[:, 1:]
        bread = np.linalg.inv(x.T @ x)
        scores = x * (values[:, 0] - x @ self.slopes(self.sample))[:, None]
        sums = np.column_stack([np.bincount(city, column) for column in scores.T])
        n, count = len(x), city.max() + 1
        factor = count / (count - 1) * (n - 1) / (n - x.shape[1] - period.max() - 1)
        return float(np.sqrt(factor * (bread @ sums.T @ sums @ bread)[0, 0]))

    @property
    def provinces(self) -> pd.Index:
        return self.sample.index.get_level_values("city").str[:2]

    @cached_property
    def jackknife_errors(self) -> dict[str, float]:
        """Return CRV3 standard errors by province, from regressions that each omit one province."""
        without = [
            self.slopes(self.sample[self.provinces != province])
            for province in self.provinces.unique()
        ]
        moves = np.array(without) - self.slopes(self.sample)
        variances = (len(moves) - 1) / len(moves) * (moves**2).sum(axis=0)
        return dict(zip(self.sample.columns[1:], np.sqrt(variances), strict=True))

    @property
    def error_by_province(self) -> float:
        return self.jackknife_errors[self.sample.columns[1]]

    def p_value(self, term: str) -> float:
        """Return the two-sided p-value of a t-test with (provinces - 1) degrees of freedom."""
        place = [*self.sample.columns[1:]].index(term)
        statistic = self.slopes(self.sample)[place] / self.jackknife_errors[term]
        return float(2 * stats.t.sf(abs(statistic), self.provinces.nunique() - 1))

    @property
    def interval(self) -> tuple[float, float]:
        half = stats.t.ppf(0.975, self.provinces.nunique() - 1) * self.error_by_province
        return self.estimate - half, self.estimate + half

    @property
    def printed(self) -> str:
        """Format the estimate for a table, with stars based on the standard error by city."""
        cities = self.sample.index.get_level_values("city").nunique()
        p_value = 2 * stats.t.sf(abs(self.estimate / self.error_by_city), cities - 1)
        return f"{self.estimate:.3f}" + "*" * sum(p_value < level for level in (0.01, 0.05, 0.1))
