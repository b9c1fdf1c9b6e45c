"""Estimate differences in slopes between groups of cities, and test them by permutation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Codes, Floats, sum_by
from ai_manufacturing.estimators.inference import TIE
from ai_manufacturing.estimators.not_estimable import NotEstimable


def add_interactions(
    sample: pd.DataFrame, regressor: str, group: str, reference: str | int
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Interact a regressor with dummies for all groups except the reference.

    With these interactions in the regression, the regressor's own slope applies to the reference
    group, and each interaction is another group's slope minus the reference slope; event_study.wald
    tests several interactions jointly. The city effects absorb the group effects.

    Parameters
    ----------
    sample : DataFrame
        One row per city and year, without missing values in the columns named below.
    regressor : str
        Column whose slope may differ between groups.
    group : str
        Column of the groups, constant over the years of a city.
    reference : str or int
        Group that the others are compared with.

    Returns
    -------
    sample : DataFrame
        The sample with the interactions added.
    interactions : tuple of str
        Column names of the interactions, `regressor:group`, in the order of the groups.

    Raises
    ------
    NotEstimable
        If no city belongs to the reference group, or all cities do.

    Notes
    -----
    If all cities share the year effects, a group that grows faster for any reason biases its slope.
    Passing label_group_years as the periods of fixed_effects.fit gives each group its own year
    effects. If all regressors are interacted as well, the slopes equal the slopes from split
    samples.
    """
    values = sorted(sample[group].unique())
    if reference not in values:
        groups = [str(value) for value in values] or ["none"]
        raise NotEstimable("no_reference_group", group=group, reference=reference, groups=groups)
    if len(values) < 2:
        raise NotEstimable("only_reference_group", group=group, reference=reference)
    columns = {
        f"{regressor}:{value}": sample[regressor] * (sample[group] == value)
        for value in values
        if value != reference
    }
    return sample.assign(**columns), tuple(columns)


def label_group_years(sample: pd.DataFrame, group: str) -> pd.Series:
    """Label each row with its group and year, to estimate separate year effects by group."""
    return sample[group].astype(str) + " " + sample["year"].astype(str)


def compute_permutation_p_values(
    sample: pd.DataFrame,
    outcome: str,
    regressor: str,
    controls: Sequence[str],
    group: str,
    reference: str | int,
    *,
    draws: int = 999,
    seed: int = 2020,
    time: str = "year",
) -> dict[str, float]:
    """Test each group's difference from the reference by permuting the groups across cities.

    Use it for groups with few cities, whose clustered standard errors are far too small: for a
    group of five among 260 cities, a 5 % test with t(G-1) rejects a true null in a third of the
    samples.

    Parameters
    ----------
    sample, regressor, group, reference
        As in add_interactions; the sample does not contain the interactions yet.
    outcome : str
        Column of the dependent variable.
    controls : sequence of str
        Columns of further regressors.
    draws, seed : int
        Number of permutations, and the seed of the random number generator.
    time : str
        Column of the period effects.

    Returns
    -------
    dict of str to float
        p-value by interaction, (1 + r)/(1 + draws), where r counts the permutations with a t
        statistic (difference over clustered standard error) at least as large as the sample's.

    Raises
    ------
    NotEstimable
        For the same reasons as add_interactions and fixed_effects.fit.

    References
    ----------
    Fisher (1935), The Design of Experiments; on few treated clusters, MacKinnon and Webb (2020),
    Journal of Econometrics 218(2).
    """
    # Use the row order of partial_out, so that its arrays align with these rows.
    rows = sample.sort_values(["city_id", time], ignore_index=True)
    _, interactions = add_interactions(rows, regressor, group, reference)
    regression = fixed_effects.partial_out(rows, outcome, [regressor, *controls], time=time)
    cities = regression.entities
    measure = (rows[regressor] / rows[regressor].abs().max()).to_numpy(dtype=float)
    others = [name.removeprefix(f"{regressor}:") for name in interactions]
    names, labels = np.unique(
        rows.drop_duplicates("city_id")[group].to_numpy(dtype=str), return_inverse=True
    )

    def compute_statistics(labels: Codes) -> Floats:
        """Return |t| of each group difference if cities are assigned to the given groups.

        The test compares t statistics because the variation of the measure differs between cities,
        which makes raw slopes incomparable across permutations.
        """
        is_in_group = names[labels][cities][:, None] == others
        within = regression.effects.remove_from(measure[:, None] * is_in_group)
        design = np.column_stack([within, regression.design])
        # The matrix is singular if the measure is zero in all cities of a permuted group. The
        # pseudo-inverse then sets the group's difference to zero.
        bread = np.linalg.pinv(design.T @ design, hermitian=True)
        slopes = bread @ (design.T @ regression.outcome)
        scores = design * (regression.outcome - design @ slopes)[:, None]
        variances = np.square(sum_by(cities, scores) @ bread).sum(axis=0)
        variances[variances <= 0] = np.inf
        t: Floats = np.abs(slopes) / np.sqrt(variances)
        return t[: len(others)]

    own, rng = compute_statistics(labels), np.random.default_rng(seed)
    larger = np.zeros(len(others))
    for _ in range(draws):
        larger += compute_statistics(rng.permutation(labels)) >= own * (1 - TIE)
    p_values = (1 + larger) / (1 + draws)
    return dict(zip(interactions, p_values.tolist(), strict=True))
