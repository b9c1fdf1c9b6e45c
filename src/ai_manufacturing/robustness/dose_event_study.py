"""Event study of a dose that every city has: slopes by year of a continuous treatment, or of its terciles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.estimation.rows import Row
from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Floats, groups_in, numbers_in
from ai_manufacturing.estimators.event_study import check_clusters, check_names, event_times_in, term, times_with_terms
from ai_manufacturing.estimators.fixed_effects import FixedEffectsFit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.estimators.sentences import Sentence, sentence
from ai_manufacturing.robustness.case import Case

Split = Literal["continuous", "terciles"]

TERCILES = ("low", "middle", "high")  # the names of dim_city_groups


def by_year(case: Case, split: Split) -> Iterator[Row]:
    """Give the slopes by year of an event study whose dose is the value that groups its cities."""
    specification, inputs = case.specification, case.inputs
    doses = inputs.value_of(specification.regressor, case.sample.rows["city_id"])
    estimated = fit(
        case.sample.rows.assign(dose=doses).dropna(subset="dose"),
        specification.outcome,
        "dose",
        event_year=inputs.event_year,
        omitted_year=inputs.event_year - 1,
        window=inputs.event_window,
        split=split,
        controls=specification.controls,
    )
    for j in range(len(estimated.event_times)):
        yield {"term": estimated.terms[j], **vars(estimated.inference(j, warnings=estimated.warnings))}


@dataclass(frozen=True, eq=False)
class DoseEventStudyFit(FixedEffectsFit):
    """Estimates of an event study of a dose; the event's terms come first, by group and in order of time.

    Attributes
    ----------
    event_times : tuple of int
        Years since the event of the leading terms. Those of a continuous dose are slopes: the change in the outcome
        since the omitted year per unit of dose. Those of a tercile are differences from the lowest one.
    warnings : tuple of Sentence
        That only slopes are identified, if no city is without a dose.
    """

    event_times: tuple[int, ...]
    warnings: tuple[Sentence, ...]


def fit(
    sample: pd.DataFrame,
    outcome: str,
    dose: str,
    *,
    event_year: int,
    omitted_year: int,
    window: tuple[int, int],
    split: Split = "continuous",
    controls: Sequence[str] = (),
) -> DoseEventStudyFit:
    """Regress an outcome on a dose times each year, with city and year effects and errors clustered by city.

    Parameters
    ----------
    sample, outcome, event_year, omitted_year, window, controls
        As in event_study.fit.
    dose : str
        Column of how much of the treatment a city has, in every year the same (a share before the event).
    split : {"continuous", "terciles"}
        The dose itself, or indicators of its middle and its highest third of the cities of the sample: above the
        first and the second tercile, as interpolated between cities.

    Returns
    -------
    DoseEventStudyFit
        Estimates, errors and counts.

    Raises
    ------
    NotEstimable
        With a sentence, if: the dose varies within a city; the omitted year is absent; a tercile has fewer than two
        cities; or for any reason of fixed_effects.fit, of which a year in which all cities have one dose is one.
    ValueError
        If the omitted year is outside the window, or a control has the name of a term.

    Notes
    -----
    If every city has some of the treatment, no city shows what would have been without it. Only slopes are
    identified: how much more the outcome changed where the dose is higher. The level of the effect of any dose is not,
    and comparing doses asks for more than parallel trends without treatment: cities with a low dose must show what
    cities with a high one would have gained from a low one. A slope over all cities is an average of slopes at each
    dose with weights that need not be those of the cities; the terciles show whether it hides a curve.

    References
    ----------
    Callaway, Goodman-Bacon and Sant'Anna (2024), "Difference-in-differences with a continuous treatment", NBER Working
    Paper 32117.
    """
    event_times, _ = event_times_in(
        sample, event_year=event_year, omitted_year=omitted_year, window=window, endpoints="kept"
    )
    doses = _fixed_doses(sample, dose)
    rows = fixed_effects.rows_without_singletons(*(groups_in(sample, name) for name in ("city_id", "year")))
    times = times_with_terms(event_times[rows], omitted_year - event_year, omitted_year)
    cities = sample["city_id"].iloc[rows]
    levels: dict[str, Floats | NDArray[np.bool_]] = {"": doses}
    if split == "terciles":
        of_cities = pd.Series(doses[rows]).groupby(cities.to_numpy()).first()
        terciles = np.searchsorted(of_cities.quantile([1 / 3, 2 / 3]), doses)  # equal to a bound is below it
        for group, name in enumerate(TERCILES):
            check_clusters(cities[terciles[rows] == group], name)
        levels = {f":{TERCILES[group]}": terciles == group for group in (1, 2)}
    columns = {
        f"{term(event_time)}{suffix}": (level * (event_times == event_time)).astype(float)
        for suffix, level in levels.items()
        for event_time in times
    }
    check_names(columns, (outcome, *controls))
    estimated = fixed_effects.fit(sample.assign(**columns), outcome, [*columns, *controls])
    return DoseEventStudyFit(
        **vars(estimated),
        event_times=tuple(times) * len(levels),
        warnings=() if (doses[rows] == 0).any() else (sentence("only_slopes", dose=dose),),
    )


def _fixed_doses(sample: pd.DataFrame, dose: str) -> Floats:
    """Return the doses, shape (n,), or raise NotEstimable if that is not a fixed trait of a city."""
    doses = numbers_in(sample, dose)
    varying = pd.Series(doses).groupby(groups_in(sample, "city_id")).transform("nunique").to_numpy() > 1
    if varying.any():
        name = sample["city_id"].iloc[int(varying.argmax())]
        raise NotEstimable("moving_dose", entity="city_id", name=name, column=dose)
    return doses
