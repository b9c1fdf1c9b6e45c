"""Slopes that differ between groups of cities, in one pooled regression: the difference has a p-value of its own."""

import pandas as pd

from ai_manufacturing.estimators.columns import groups_in
from ai_manufacturing.estimators.not_estimable import NotEstimable


def interact(
    sample: pd.DataFrame, regressor: str, group: str, reference: str | int, *, entity: str = "city_id"
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Add a regressor times each group but one.

    Beside these columns, the slope of the regressor itself is that of the reference group, and each interaction is
    another group's slope less it; event_study.wald tests several at once. City effects absorb those of the groups.

    Parameters
    ----------
    sample : DataFrame
        One row per city and year; nothing missing in the columns named.
    regressor : str
        Column whose slope may differ.
    group : str
        Column of the groups, fixed over a city's years.
    reference : str or int
        The group that the others are measured against.
    entity : str
        Column of the cities.

    Returns
    -------
    sample : DataFrame
        The sample with the interactions added.
    interactions : tuple of str
        Their names, `regressor:group`, in the order of the groups.

    Raises
    ------
    NotEstimable
        If a city changes its group, a group is missing, or there is none beside the reference.

    Notes
    -----
    With the year effects of all cities in common, a group that grows faster for any reason lends that to its slope;
    with group_year as the periods of fixed_effects.fit each group has its own. With those and all regressors
    interacted the slopes are the ones of split samples.
    """
    codes = groups_in(sample, group)
    cities = groups_in(sample, entity)
    moved = pd.Series(codes).groupby(cities).transform("nunique").to_numpy() > 1
    if moved.any():
        raise NotEstimable(
            f"{entity} {sample[entity].iloc[int(moved.argmax())]} changes its {group}: a group must be fixed over time."
        )
    values = sorted(sample[group].unique())
    if reference not in values or len(values) < 2:
        raise NotEstimable(
            f"No comparison of {group}: the sample has {', '.join(str(value) for value in values) or 'none'}, and the "
            f"others are measured against {reference}."
        )
    columns = {
        f"{regressor}:{value}": sample[regressor] * (sample[group] == value) for value in values if value != reference
    }
    return sample.assign(**columns), tuple(columns)


def group_year(sample: pd.DataFrame, group: str, *, time: str = "year") -> pd.Series:
    """Return a label of each row's group and year, to serve as the periods of fixed_effects.fit."""
    return sample[group].astype(str) + " " + sample[time].astype(str)
