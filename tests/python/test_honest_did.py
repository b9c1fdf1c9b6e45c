"""Test intervals under violations of parallel trends against HonestDiD and linear programs."""

from functools import cache
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.event_study import EventStudyFit
from ai_manufacturing.robustness.honest_did import (
    Restriction,
    Sensitivity,
    Target,
    bound_event_study,
    bound_path,
)
from tests.python.estimator_tools import approx, golden, grid, refusal

GOLDEN: dict[str, Any] = golden("honest_did")
EHEC = GOLDEN["ehec"]
PATH, COVARIANCE, BEFORE = np.array(EHEC["betahat"]), np.array(EHEC["sigma"]), EHEC["numPre"]
TIGHT = GOLDEN["ehec_first_relative_magnitudes_tight_grid"]["ehec_first"]
TARGETS: tuple[Target, ...] = ("first", "average")


@cache
def ehec() -> Sensitivity:
    return bound_path(PATH, COVARIANCE, BEFORE, magnitudes=[row["Mbar"] for row in TIGHT])


def ends(found: Sensitivity, restriction: Restriction, target: Target = "first") -> Floats:
    """Return the confidence limits for one restriction and target, one row per bound."""
    rows = [
        bound
        for bound in found.bounds
        if (bound.restriction, bound.target) == (restriction, target)
    ]
    return np.array([(row.conf_low, row.conf_high) for row in rows])


def breakdown(found: Sensitivity, target: Target = "first") -> float | None:
    [row] = [row for row in found.breakdowns if row.target == target]
    return row.value


def made_up(before: int, after: int, seed: int) -> tuple[Floats, Floats]:
    """Return random event-study coefficients and their covariance, with a shared variance
    component.
    """
    rng = np.random.default_rng(seed)
    count = before + after
    roots = rng.normal(size=(count, count + 3))
    return rng.normal(size=count), roots @ roots.T / count + rng.uniform(0, 3)


def test_the_usual_interval_and_relative_magnitudes_are_those_of_r() -> None:
    """HonestDiD simulates its intervals, so the limits may differ by up to 0.02 standard errors."""
    usual = ends(ehec(), "parallel_trends")
    assert_allclose(usual, [EHEC["first"]["original"]], rtol=1e-12)
    theirs = [(row["lb"], row["ub"]) for row in TIGHT]
    margin = 0.02 * EHEC["first"]["se"]
    assert_allclose(ends(ehec(), "relative_magnitude"), theirs, rtol=0, atol=margin)


def test_without_any_difference_in_trends_the_interval_is_the_usual_one() -> None:
    found = bound_path(*made_up(4, 3, seed=5), 4, magnitudes=[0.0])
    for target in TARGETS:
        usual = ends(found, "parallel_trends", target)
        assert_allclose(ends(found, "relative_magnitude", target), usual, rtol=1e-6)


def test_the_unit_and_the_sign_of_the_outcome_do_not_matter() -> None:
    path, covariance = made_up(3, 3, seed=7)
    path[3:] += 12
    ours, scaled = bound_path(path, covariance, 3), bound_path(-1e6 * path, 1e12 * covariance, 3)
    for one, other in zip(ours.bounds, scaled.bounds, strict=True):
        mirrored = [-1e6 * one.conf_high, -1e6 * one.conf_low]
        assert [other.conf_low, other.conf_high] == approx(mirrored, rel=1e-6)
    for first, second in zip(ours.breakdowns, scaled.breakdowns, strict=True):
        assert second.value == approx(first.value, rel=1e-4)


def test_without_sampling_error_the_interval_is_the_identified_set() -> None:
    """With pre-event changes of at most 0.3 per period, the identified set is the estimate plus or
    minus 0.3 Mbar for the first effect, and plus or minus 0.6 Mbar for the average effect.
    """
    path = np.array([0.2, -0.1, 0.1, 1.0, 1.2, 1.7])
    roots = np.random.default_rng(2).normal(size=(6, 9))
    found = bound_path(path, 1e-12 * roots @ roots.T, 3, magnitudes=[0.5, 2.0])
    expected = {"first": [[0.85, 1.15], [0.4, 1.6]], "average": [[1.0, 1.6], [0.1, 2.5]]}
    for target in TARGETS:
        assert_allclose(ends(found, "relative_magnitude", target), expected[target], atol=1e-4)


def test_at_the_breakdown_value_the_interval_ends_at_zero() -> None:
    """HonestDiD's interval for the first effect excludes zero at Mbar 1.5 and includes it at 2."""
    assert 1.5 < breakdown(ehec()) < 2
    for target in TARGETS:
        at = bound_path(PATH, COVARIANCE, BEFORE, magnitudes=[breakdown(ehec(), target)])
        low, high = ends(at, "relative_magnitude", target)[0]
        assert low == approx(0, abs=1e-6)
        assert high > 0.08
    # With equal variances, several vertices of the linear program tie and no breakdown value is
    # found.
    unfound = bound_path(np.array([0.1, -0.2, 0.3, 0.5]), np.eye(4), 2)
    assert [row.value for row in unfound.breakdowns] == [None] * 2
    assert not any(bound.has_no_finite_interval for bound in unfound.bounds)


@cache
def study() -> EventStudyFit:
    """Fit an event study to 80 simulated cities, half of them treated in 2016."""
    data = grid(range(80), range(2011, 2021))
    data["treated"] = data["city_id"] % 2
    data["y"] = data["treated"] * (data["year"] >= 2016)
    data["y"] += np.random.default_rng(11).normal(scale=0.2, size=len(data))
    return event_study.fit(data, "y", event_year=2016, window=(-4, 3))


def test_an_effect_with_parallel_trends_survives_as_large_changes_as_before() -> None:
    """Coefficients outside the event window (years -5 and 4) are not part of the restriction."""
    fitted = study()
    found = bound_event_study(fitted, window=(-4, 3))
    assert breakdown(found) > 1
    low, high = ends(found, "relative_magnitude")[1]
    assert 0 < low < 1 < high
    assert fitted.event_times == (-5, -4, -3, -2, 0, 1, 2, 3, 4)
    inside = slice(1, 8)
    assert found == bound_path(
        fitted.estimates[inside], fitted.covariance_matrix[inside, inside], 3
    )
    assert [(row.restriction, row.bound) for row in found.bounds] == 2 * [
        ("parallel_trends", 0.0),
        ("relative_magnitude", 0.5),
        ("relative_magnitude", 1.0),
        ("relative_magnitude", 2.0),
    ]
    assert not any(row.has_no_finite_interval for row in found.bounds)


def test_what_a_path_does_not_tell_is_a_reason() -> None:
    """A missing period, a singular covariance or an exact fit makes the bounds not estimable."""
    ones, identity = np.ones(3), np.eye(3)
    roots = np.random.default_rng(1).normal(size=(5, 3))
    fitted = study()
    gap = EventStudyFit(**{**vars(fitted), "event_times": (-6, -5, -3, -2, 0, 1, 2, 3, 4)})
    for reason, part in (
        (refusal(bound_path, ones, identity, 3), "no term after the omitted period"),
        (refusal(bound_event_study, fitted, window=(-1, 3)), "no term before the event"),
        (
            refusal(bound_path, np.ones(5), roots @ roots.T, 2),
            "covariance of the 5 terms has rank 3",
        ),
        (refusal(bound_path, ones, np.diag([1.0, 0.0, 1.0]), 1), "fitted exactly"),
        (refusal(bound_event_study, gap, window=(-6, 4)), "the path lacks before4"),
    ):
        assert part in reason
