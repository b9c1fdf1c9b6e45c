"""What a reader computes of est_curve_sums, who has nothing but the sums."""

from typing import NamedTuple

import numpy as np
import pandas as pd


class Answer(NamedTuple):
    """A slope and its two errors; the second is of a jackknife by groups of provinces."""

    estimate: float
    by_city: float
    by_group: float
    groups: int


def fitted(sums: pd.DataFrame, outcome: str, measure: str, controls: list[str]) -> Answer:
    """Regress an outcome on a measure and controls by the sums of one period.

    Parameters
    ----------
    sums : DataFrame
        Rows of est_curve_sums, of one period.
    outcome, measure : str
        Terms; a measure is "transform weighting".
    controls : list of str
        Terms.
    """
    of_groups, of_cities = sums[sums["provinces"].notna()], sums[sums["provinces"].isna()]
    years = sorted({name for name in of_groups["term"] if name.isdigit()})
    names = [measure, *controls, *years, outcome]
    place = {name: position for position, name in enumerate(names)}
    shown = of_groups[of_groups["term"].isin(names) & of_groups["with_term"].isin(names)]
    matrices = []
    for _, rows in shown.groupby("provinces"):
        matrix = np.zeros((len(names), len(names)))
        for one, other, value in rows[["term", "with_term", "value"]].itertuples(index=False):
            matrix[place[one], place[other]] = matrix[place[other], place[one]] = value
        matrices.append(matrix)

    def slopes(matrix: np.ndarray) -> np.ndarray:
        return np.linalg.lstsq(matrix[:-1, :-1], matrix[:-1, -1])[0]

    whole = np.sum(matrices, axis=0)
    estimates = slopes(whole)
    left_out = np.array([slopes(whole - matrix)[0] for matrix in matrices])
    count = len(matrices)
    by_group = np.sqrt((count - 1) / count * ((left_out - estimates[0]) ** 2).sum())
    # the years are gone from these sums, and so from the weights of the first slope
    regressors = [measure, *controls]
    weights = dict(zip(regressors, np.linalg.inv(whole[:-1, :-1])[0], strict=False))
    residual = {outcome: 1.0, **dict(zip(regressors, -estimates, strict=False))}

    def score(one: str, other: str) -> float:
        same = weights.get(one, 0.0) * residual.get(other, 0.0)
        return same if one == other else same + weights.get(other, 0.0) * residual.get(one, 0.0)

    meat = 0.0
    terms = ["term", "with_term", "and_term", "and_with_term", "value"]
    for one, with_one, other, with_other, value in of_cities[terms].itertuples(index=False):
        twice = 1 if (one, with_one) == (other, with_other) else 2
        meat += twice * score(one, with_one) * score(other, with_other) * value
    rows, cities = (int(sums[f"{name}_count"].iloc[0]) for name in ("observation", "city"))
    parameters = len(regressors) + len(years) + 1
    factor = cities / (cities - 1) * (rows - 1) / (rows - parameters)
    return Answer(estimates[0], np.sqrt(factor * meat), by_group, count)
