"""Instrument a mismeasured regressor with a second measurement of the same quantity."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.inference import Fit


@dataclass(frozen=True, eq=False)
class TwoMeasurementsFit(Fit):
    """Two-stage least squares estimates of the regressor and the controls, in this order.

    Standard errors are clustered.

    Attributes
    ----------
    first_stage_estimate : float
        Slope of the regressor on the instrument, given controls and effects.
    first_stage_f : float
        Squared clustered t statistic of that slope. With one instrument it equals the effective F
        of Montiel Olea and Pflueger.
    reduced_form, first_stage : PartialledOut
        Regressions of the outcome and of the regressor on the instrument, which comes first, and
        the controls. The slope of the regressor is the ratio of their first slopes.
    """

    first_stage_estimate: float
    first_stage_f: float
    reduced_form: PartialledOut
    first_stage: PartialledOut


def fit(
    sample: pd.DataFrame,
    outcome: str,
    regressor: str,
    instrument: str,
    controls: Sequence[str],
    *,
    time: str = "year",
    cluster: str = "city_id",
) -> TwoMeasurementsFit:
    """Estimate a regression by two-stage least squares, with city and period effects.

    Parameters
    ----------
    sample : DataFrame
        One row per city and year, without missing values in the columns named below.
    outcome, regressor, instrument : str
        Columns; regressor and instrument measure the same quantity.
    controls : sequence of str
        Columns of further, exogenous regressors.
    time : str
        Column of the period effects.
    cluster : str
        Column of the clusters, in which the cities must be nested.

    Returns
    -------
    TwoMeasurementsFit
        The slopes of the regressor and the controls.

    Raises
    ------
    NotEstimable
        For any reason that fixed_effects.fit raises it, in a regression that includes both the
        regressor and the instrument.

    Notes
    -----
    IV2SLS of linearmodels is fitted to the data after the effects are partialled out. Its clustered
    covariance is multiplied by fixed_effects.cluster_factor, as in fixest's feols.

    References
    ----------
    Ashenfelter and Krueger (1994), "Estimates of the economic return to schooling from a new sample
    of twins", American Economic Review 84(5), on two reports of one thing; Montiel Olea and
    Pflueger (2013), "A robust test for weak instruments", Journal of Business and Economic
    Statistics 31(3).
    """
    from linearmodels.iv import IV2SLS  # imported here, because the import takes a second

    regression = fixed_effects.partial_out(
        sample, outcome, (regressor, instrument, *controls), time=time, cluster=cluster
    )
    design = regression.design
    result = IV2SLS(
        regression.outcome,
        design[:, 2:] if controls else None,
        design[:, :1],
        design[:, 1:2],
    ).fit(cov_type="clustered", clusters=regression.clusters, debiased=False)
    # IV2SLS reports the instrumented regressor last, so move it to the front.
    order = [len(controls), *range(len(controls))]
    units = np.delete(regression.units, 1)
    # The small-sample factor does not count the instrument as a parameter.
    observations, columns = design.shape
    factor = fixed_effects.cluster_factor(
        observations, regression.cluster_count, columns - 1, regression.time_count
    )
    instruments = (instrument, *controls)
    first = fixed_effects.fit(sample, regressor, instruments, time=time, cluster=cluster)
    reduced_form = fixed_effects.partial_out(
        sample, outcome, instruments, time=time, cluster=cluster
    )
    return TwoMeasurementsFit(
        terms=(regressor, *controls),
        estimates=result.params.to_numpy(dtype=float)[order] * units,
        std_errors=np.sqrt(factor) * result.std_errors.to_numpy(dtype=float)[order] * units,
        observation_count=observations,
        city_count=regression.entity_count,
        cluster_count=regression.cluster_count,
        degrees_of_freedom=regression.cluster_count - 1,
        first_stage_estimate=float(first.estimates[0]),
        first_stage_f=float(first.statistics[0] ** 2),
        reduced_form=reduced_form,
        first_stage=first.regression,
    )
