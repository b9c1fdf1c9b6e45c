"""Two measurements of one regressor: one as instrument for the other, and the attenuation corrected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.fixed_effects import PartialledOut
from ai_manufacturing.estimators.not_estimable import NotEstimable


@dataclass(frozen=True, eq=False)
class TwoMeasurementsFit:
    """Estimates of one specification; arrays run over the terms.

    Attributes
    ----------
    terms : tuple of str, length k
        The regressor; after two-stage least squares the controls too.
    estimates, std_errors, statistics, p_values, conf_low, conf_high : ndarray, shape (k,)
        As of FixedEffectsFit, with errors clustered.
    observation_count, city_count, cluster_count, degrees_of_freedom : int
        As of FixedEffectsFit.
    first_stage_estimate : float or None
        Slope of the regressor on the instrument, given controls and effects.
    first_stage_f : float or None
        Square of that slope's t by clustered errors: with one instrument the effective F of Montiel Olea and Pflueger.
    reliability_ratio : float or None
        Correlation of the two measurements, given controls and effects, that the slope was divided by.
    """

    terms: tuple[str, ...]
    estimates: Floats
    std_errors: Floats
    statistics: Floats
    p_values: Floats
    conf_low: Floats
    conf_high: Floats
    observation_count: int
    city_count: int
    cluster_count: int
    degrees_of_freedom: int
    first_stage_estimate: float | None = None
    first_stage_f: float | None = None
    reliability_ratio: float | None = None


def instrumented(
    sample: pd.DataFrame,
    outcome: str,
    regressor: str,
    instrument: str,
    controls: Sequence[str],
    *,
    cluster: str = "city_id",
) -> TwoMeasurementsFit:
    """Regress an outcome by two-stage least squares, with city and year effects.

    Parameters
    ----------
    sample : DataFrame
        One row per city and year; nothing missing in the columns named.
    outcome, regressor, instrument : str
        Columns; regressor and instrument measure one thing.
    controls : sequence of str
        Columns of further regressors, each its own instrument.
    cluster : str
        Column of the clusters, in which the cities must be nested.

    Returns
    -------
    TwoMeasurementsFit
        Of the regressor and the controls.

    Raises
    ------
    NotEstimable
        For any reason of fixed_effects.fit, of the regression that has the instrument beside the regressor.

    Notes
    -----
    IV2SLS of linearmodels fits what the effects leave. Its clustered covariance is multiplied by the factor of
    fixed_effects.cluster_factor, as fixest's feols does.

    References
    ----------
    Ashenfelter and Krueger (1994), "Estimates of the economic return to schooling from a new sample of twins",
    American Economic Review 84(5), on two reports of one thing; Montiel Olea and Pflueger (2013), "A robust test for
    weak instruments", Journal of Business and Economic Statistics 31(3).
    """
    from linearmodels.iv import IV2SLS  # here, as the import takes a second

    regression = fixed_effects.partialled_out(sample, outcome, (regressor, instrument, *controls), cluster=cluster)
    design = regression.design
    fitted = IV2SLS(
        regression.outcome,
        design[:, 2:] if controls else None,
        design[:, :1],
        design[:, 1:2],
    ).fit(cov_type="clustered", clusters=regression.clusters, debiased=False)
    # IV2SLS lists the instrumented regressor last.
    order = [len(controls), *range(len(controls))]
    units = np.delete(regression.units, 1)
    first = fixed_effects.fit(sample, regressor, (instrument, *controls), cluster=cluster)
    return _fit(
        (regressor, *controls),
        fitted.params.to_numpy(dtype=float)[order] * units,
        np.sqrt(_factor(regression)) * fitted.std_errors.to_numpy(dtype=float)[order] * units,
        regression,
        first_stage_estimate=float(first.estimates[0]),
        first_stage_f=float(first.statistics[0] ** 2),
    )


def corrected(
    sample: pd.DataFrame,
    outcome: str,
    regressor: str,
    second: str,
    controls: Sequence[str],
    *,
    cluster: str = "city_id",
) -> TwoMeasurementsFit:
    """Divide the slope on a regressor by the reliability of its measurement.

    Parameters
    ----------
    sample, outcome, regressor, controls, cluster
        As of instrumented.
    second : str
        Column of another measurement of what the regressor measures.

    Returns
    -------
    TwoMeasurementsFit
        Of the regressor alone.

    Raises
    ------
    NotEstimable
        For any reason of fixed_effects.fit, of the regression that has the second measurement beside the regressor; or
        if the two do not correlate positively.

    Notes
    -----
    Under classical errors of one variance in both measurements the correlation of the two is the share of the
    variation of each that is no error. It is taken given controls and effects, since these remove variation and no
    error. The error is by the delta method: the ratio is estimated on the same cities.

    With the covariance over the variance of one measurement as the ratio, the corrected slope is the 2SLS estimate of
    the other measurement, instrumented by that one; that assumes nothing about the variances and is a row of its own.

    References
    ----------
    Fuller (1987), Measurement Error Models, sections 1.1 and 2.2; Griliches and Hausman (1986), "Errors in variables in
    panel data", Journal of Econometrics 31(1).
    """
    regression = fixed_effects.partialled_out(sample, outcome, (regressor, second, *controls), cluster=cluster)
    columns = np.column_stack([regression.outcome, regression.design[:, :2]])
    others = regression.design[:, 2:]
    y, x, z = (columns - others @ np.linalg.lstsq(others, columns, rcond=None)[0]).T if controls else columns.T
    xx, zz, xy, xz = x @ x, z @ z, x @ y, x @ z
    if xz <= 0:
        raise NotEstimable("unrelated_measurements", name=regressor)
    ratio = xz / np.sqrt(xx * zz)
    estimate = xy / xx / ratio
    # By city, the first-order change of estimate = xy sqrt(zz) / (sqrt(xx) xz); free of the slope, which may be zero.
    change = (x * y - xy / xx * x * x) / (xx * ratio) + estimate * ((z * z / zz + x * x / xx) / 2 - x * z / xz)
    by_cluster = np.bincount(regression.clusters, weights=change)
    std_error = np.sqrt(_factor(regression) * by_cluster @ by_cluster)
    units = regression.units[:1]
    return _fit(
        (regressor,), np.array([estimate]) * units, np.array([std_error]) * units, regression, reliability_ratio=ratio
    )


def _factor(regression: PartialledOut) -> float:
    """Return the small-sample factor of the regression without the second measurement."""
    observations, columns = regression.design.shape
    return fixed_effects.cluster_factor(observations, regression.cluster_count, columns - 1, regression.time_count)


def _fit(
    terms: tuple[str, ...], estimates: Floats, std_errors: Floats, regression: PartialledOut, **found: float
) -> TwoMeasurementsFit:
    statistics = np.full(len(estimates), np.nan)
    np.divide(estimates, std_errors, out=statistics, where=std_errors > 0)
    half_width = special.stdtrit(regression.degrees_of_freedom, 0.975) * std_errors
    return TwoMeasurementsFit(
        terms=terms,
        estimates=estimates,
        std_errors=std_errors,
        statistics=statistics,
        p_values=2 * special.stdtr(regression.degrees_of_freedom, -np.abs(statistics)),
        conf_low=estimates - half_width,
        conf_high=estimates + half_width,
        observation_count=len(regression.outcome),
        city_count=regression.entity_count,
        cluster_count=regression.cluster_count,
        degrees_of_freedom=regression.degrees_of_freedom,
        **found,
    )
