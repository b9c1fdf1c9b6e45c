"""Helpers of the estimator tests: golden records, random panels, dummies and refusals."""

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
    """Return golden numbers."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def golden_data(name: str) -> pd.DataFrame:
    """Return the data behind golden numbers, with the entity column renamed to city_id."""
    data = pd.read_csv(GOLDEN / f"{name}.csv")
    return data.rename(columns=dict.fromkeys(("firm", "state", "city"), "city_id"))


def grid(cities: Iterable[object], years: Iterable[int]) -> pd.DataFrame:
    """Return a row for each city and year."""
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
    """Partial the fixed effects out of a regression on a random panel."""
    return partial_out(data, "y", REGRESSORS, **options)


def refusal(function: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """Return the reason why a function refuses to estimate."""
    with pytest.raises(NotEstimable) as caught:
        function(*arguments, **options)
    return caught.value.reason.en


def changed(data: pd.DataFrame, change: str) -> pd.DataFrame:
    """Apply a pandas assignment if the change contains " = ", else a query; "" changes nothing."""
    if " = " in change:
        return data.eval(change)
    return data.query(change) if change else data


def without_singletons(data: pd.DataFrame, time: str = "year") -> pd.DataFrame:
    """Drop singletons of city and period repeatedly until none remains."""
    while True:
        sizes = [data.groupby(name)[name].transform("size") for name in ("city_id", time)]
        rest = data[np.min(sizes, axis=0) > 1]
        if len(rest) == len(data):
            return rest
        data = rest


class OnDummies:
    """Least squares on regressors and explicit dummies, with textbook covariances."""

    def __init__(self, data: pd.DataFrame, outcome: str, regressors: Sequence[str]) -> None:
        dummies = [pd.get_dummies(data[name]) for name in ("city_id", "year")]
        self.design = np.column_stack([data[[*regressors]], *dummies]).astype(float)
        self.inverse = np.linalg.pinv(self.design, rcond=1e-12)
        slopes = self.inverse @ data[outcome].to_numpy()
        self.residuals = data[outcome].to_numpy() - self.design @ slopes
        self.freedom = len(data) - np.linalg.matrix_rank(self.design)
        self.estimates = slopes[: len(regressors)]

    def covariance(self, kind: str) -> Floats:
        """Return the covariance of the estimates, iid or robust (HC1)."""
        parts = self.inverse[: len(self.estimates)]
        squares = self.residuals**2
        if kind == "iid":
            squares = np.full_like(squares, squares.mean())
        covariance: Floats = len(squares) / self.freedom * (parts * squares) @ parts.T
        return covariance
