"""Which sums may be shown, where the values of their single units may not.

A sum is safe if no one of its units follows from it: it has at least three, and what the largest
two leave is at least a tenth of the largest, so that the second largest cannot tell the largest to
within 10 % (the threshold rule and the p% rule). So are the differences of sums that are shown side
by side. Why these rules and thresholds: docs/decisions/disclosure.md.

References
----------
Hundepool et al., Handbook on Statistical Disclosure Control, chapter 4 (magnitude tables; of
contributions of either sign their absolute values).
"""

import numpy as np
from numpy.typing import NDArray

FEWEST_UNITS = 3
LEFT_BY_TWO = 0.10  # p: what the two largest leave, in times of the largest


def are_safe(contributions: NDArray[np.float64]) -> bool:
    """Whether all of some sums may be shown.

    Parameters
    ----------
    contributions : ndarray, shape (units, sums)
        What each unit adds to each sum. A sum to which none adds anything says nothing of any.
    """
    sizes = -np.sort(-np.abs(contributions), axis=0)
    if len(sizes) < FEWEST_UNITS:
        return not sizes.any()
    is_enough = (sizes[2] > 0) & (sizes[2:].sum(axis=0) >= LEFT_BY_TWO * sizes[0])
    return bool((is_enough | (sizes[0] == 0)).all())
