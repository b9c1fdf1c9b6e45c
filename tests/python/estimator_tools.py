"""Helpers for testing estimators: reference results, random panels and dummy regressions."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import PartialledOut, partial_out
from ai_manufacturing.estimators.not_estimable import NotEstimable

approx = pytest.approx
REGRESSORS = ["x1", "x2", "x3"]
GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> Any:
    """Load reference results of another software package from a JSON file."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def golden_data(name: str) -> pd.DataFrame:
    """Load the data set of a reference result, with the entity column renamed to city_id."""
    data = pd.read_csv(GOLDEN / f"{name}.csv")
    return data.rename(columns=dict.fromkeys(("firm", "state", "city"), "city_id"))


def grid(cities: Iterable[object], years: Iterable[int]) -> pd.DataFrame:
    """Return a DataFrame with one row for each combination of city and year."""
    cells = pd.MultiIndex.from_product([[*cities], [*years]], names=["city_id", "year"])
    return cells.to_frame(index=False)


def random_panel(
    seed: int, *, provinces: int = 8, years: int = 8, slope: float = 0.4
) -> pd.DataFrame:
    """Return an unbalanced, shuffled panel whose error variance depends on the first regressor.

    Provinces differ in size, and their cities share trends in regressors and errors.
    """
    rng = np.random.default_rng(seed)
    province = np.repeat(np.arange(provinces), 2 + np.arange(provinces) % 3)
    data = grid(range(len(province)), range(2012, 2012 + years))
    data["province"] = province[data["city_id"]]
    data["province_year"] = data["province"] * 10_000 + data["year"]
    since = data["year"].to_numpy() - 2015
    shared = rng.normal(size=(4, provinces))[:, data["province"]] * since / 3
    *values, errors = shared + rng.normal(size=(4, len(data)))
    data[REGRESSORS] = np.transpose(values)
    data["y"] = slope * data["x1"] - 0.2 * data["x2"] + data["city_id"] + since**2
    data["y"] += errors * (1 + data["x1"].abs())
    return data[rng.random(len(data)) < 0.8].sample(frac=1, random_state=seed)


def regression_of(data: pd.DataFrame, **options: str) -> PartialledOut:
    """Partial the fixed effects out of the outcome and regressors of a random panel."""
    return partial_out(data, "y", REGRESSORS, **options)


def refusal(function: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """Return the message of the NotEstimable error that the function must raise."""
    with pytest.raises(NotEstimable) as caught:
        function(*arguments, **options)
    return caught.value.reason.en


def changed(data: pd.DataFrame, change: str) -> pd.DataFrame:
    """Return the data after a pandas assignment such as "x = 1" or a query such as "x > 1"."""
    if " = " in change:
        return data.eval(change)
    return data.query(change) if change else data


def without_singletons(data: pd.DataFrame, time: str = "year") -> pd.DataFrame:
    """Drop rows that are alone in their city or period, until no such row remains."""
    while True:
        sizes = [data.groupby(name)[name].transform("size") for name in ("city_id", time)]
        rest = data[np.min(sizes, axis=0) > 1]
        if len(rest) == len(data):
            return rest
        data = rest


class OnDummies:
    """Least-squares regression with explicit city and period dummies and textbook covariances.

    City trends are added if `trends` is set.
    """

    def __init__(
        self,
        data: pd.DataFrame,
        outcome: str,
        regressors: Sequence[str],
        time: str = "year",
        *,
        trends: bool = False,
    ) -> None:
        dummies = [pd.get_dummies(data[name]) for name in ("city_id", time)]
        if trends:
            dummies.append(dummies[0].mul(data["year"] - 2015, axis=0))
        self.design = np.column_stack([data[[*regressors]], *dummies]).astype(float)
        self.inverse = np.linalg.pinv(self.design, rcond=1e-12)
        slopes = self.inverse @ data[outcome].to_numpy()
        self.residuals = data[outcome].to_numpy() - self.design @ slopes
        self.freedom = len(data) - np.linalg.matrix_rank(self.design)
        self.estimates = slopes[: len(regressors)]

    def covariance(self, kind: str) -> Floats:
        """Return the iid or heteroskedasticity-robust (HC1) covariance matrix of the estimates."""
        parts = self.inverse[: len(self.estimates)]
        squares = self.residuals**2
        if kind == "iid":
            squares = np.full_like(squares, squares.mean())
        covariance: Floats = len(squares) / self.freedom * (parts * squares) @ parts.T
        return covariance
