"""Robust intervals against HonestDiD's printed ones, linear programs, and known truth."""

import json
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from ai_manufacturing.estimators import event_study
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.event_study import EventStudyFit
from ai_manufacturing.estimators.not_estimable import NotEstimable
from ai_manufacturing.robustness.honest_did import Bound, Restriction, Sensitivity, Target, of_event_study, of_path

pytestmark = pytest.mark.filterwarnings("error")

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "honest_did.json").read_text(encoding="utf-8"))
EHEC = GOLDEN["ehec"]
PATH, COVARIANCE, BEFORE = np.array(EHEC["betahat"]), np.array(EHEC["sigma"]), EHEC["numPre"]
TARGETS: tuple[Target, ...] = ("first", "average")


@cache
def ehec() -> Sensitivity:
    return of_path(PATH, COVARIANCE, BEFORE, magnitudes=EHEC["first"]["RM"]["Mbar"])


def ends(found: Sensitivity, restriction: Restriction, target: Target = "first") -> Floats:
    """Return the ends of a family of intervals, shape (bounds, 2)."""
    rows = [bound for bound in found.bounds if (bound.restriction, bound.target) == (restriction, target)]
    return np.array([(row.conf_low, row.conf_high) for row in rows])


def breakdown(found: Sensitivity, target: Target = "first") -> float | None:
    [row] = [row for row in found.breakdowns if row.target == target]
    return row.value


def made_up(before: int, after: int, seed: int) -> tuple[Floats, Floats]:
    """Return a path and its covariance, which all share the omitted period's error."""
    rng = np.random.default_rng(seed)
    count = before + after
    roots = rng.normal(size=(count, count + 3))
    return rng.normal(size=count), roots @ roots.T / count + rng.uniform(0, 3)


# ---------------------------------------------------------------- golden numbers


def test_the_usual_interval_is_that_of_r() -> None:
    np.testing.assert_allclose(ends(ehec(), "parallel_trends")[0], EHEC["first"]["original"], rtol=1e-12)


def test_relative_magnitudes_are_those_of_r_to_one_step_of_its_grid() -> None:
    record = EHEC["first"]["RM"]
    assert record["truncated_at_grid_end"] == [False] * 5
    theirs = np.column_stack([record["lb"], record["ub"]])
    np.testing.assert_allclose(ends(ehec(), "relative_magnitude"), theirs, rtol=0, atol=record["grid_step"])


def test_relative_magnitudes_are_those_of_r_on_a_tight_grid_but_for_its_draws() -> None:
    rows = GOLDEN["ehec_first_relative_magnitudes_tight_grid"]["ehec_first"]
    theirs = np.array([(row["lb"], row["ub"]) for row in rows])
    assert [row["Mbar"] for row in rows] == EHEC["first"]["RM"]["Mbar"][1:]
    np.testing.assert_allclose(ends(ehec(), "relative_magnitude")[1:], theirs, rtol=0, atol=0.02 * EHEC["first"]["se"])


# ---------------------------------------------------------------- relative magnitudes by linear programs


def accepted_by_linear_programs(
    path: Floats, covariance: Floats, before: int, weights: Floats, magnitude: float, values: Floats
) -> Floats:
    """Return which values of the target the C-LF tests accept, by a program for each and by enumerated vertices.

    The moments, the nuisance parameters and the program are those of Rambachan and Roth, section 3.2; the critical
    value of the first stage is drawn.
    """
    count, after = len(path), len(weights)
    changes = np.delete(np.diff(np.eye(count + 1), axis=0), before, axis=1)
    draws = np.random.default_rng(0).multivariate_normal(np.zeros(count), covariance, size=50_000)
    accepted = np.zeros(len(values), dtype=bool)
    for largest in np.vstack([changes[:before], -changes[:before]]):
        moments = np.vstack([changes[before:], -changes[before:]]) - magnitude * largest
        basis = np.eye(after)
        basis[0] = weights
        effects = moments[:, before:] @ np.linalg.inv(basis)  # of the target, then of the nuisance parameters
        variance = moments @ covariance @ moments.T
        program = np.column_stack([np.sqrt(np.diag(variance)), effects[:, 1:]])
        vertices = enumerated_vertices(program)
        critical = np.quantile((draws @ moments.T @ vertices.T).max(axis=1), 1 - 0.005)
        for i, value in enumerate(values):
            y = moments @ path - effects[:, 0] * value
            solved = optimize.linprog(np.eye(after)[0], A_ub=-program, b_ub=-y, bounds=(None, None))
            weight = -solved.ineqlin.marginals
            assert solved.fun == pytest.approx((vertices @ y).max(), rel=1e-8, abs=1e-10)
            if solved.fun > critical:
                continue
            error = np.sqrt(weight @ variance @ weight)
            slopes = vertices @ variance @ weight / error**2
            others = np.abs(slopes - 1) > 1e-8
            limits = ((vertices @ y - slopes * solved.fun)[others]) / (1 - slopes[others])
            low = max(limits[slopes[others] < 1], default=-np.inf)
            high = min([critical, *limits[slopes[others] > 1]])
            quantile = stats.truncnorm.ppf(1 - 0.045 / 0.995, low / error, high / error)
            accepted[i] |= solved.fun / error <= max(0.0, quantile)
    return accepted


def enumerated_vertices(program: Floats) -> Floats:
    """Return the weights g >= 0 with program' g = (1, 0, ...) of which no two are averaged by a third."""
    size = program.shape[1]
    found = []
    for rows in map(list, combinations(range(len(program)), size)):
        if np.linalg.matrix_rank(program[rows]) == size:
            weights = np.linalg.solve(program[rows].T, np.eye(size)[0])
            if (weights > -1e-12).all():
                found.append(np.zeros(len(program)))
                found[-1][rows] = weights
    return np.unique(np.round(found, 12), axis=0)


@pytest.mark.parametrize(
    ("before", "after", "magnitude", "seed", "target"),
    [(2, 2, 1.0, 1, "average"), (1, 2, 1.0, 39, "first"), (1, 3, 1.0, 115, "average"), (2, 1, 2.0, 3, "first")],
)
def test_relative_magnitudes_are_those_of_linear_programs(
    before: int, after: int, magnitude: float, seed: int, target: Target
) -> None:
    path, covariance = made_up(before, after, seed)
    weights = np.eye(after)[0] if target == "first" else np.full(after, 1 / after)
    found = of_path(path, covariance, before, magnitudes=[magnitude])
    low, high = ends(found, "relative_magnitude", target)[0]
    margin = 0.004 * (high - low)  # more than the drawn critical value can move an end
    around = np.array([low - 50 * margin, low - margin, low + margin, high - margin, high + margin, high + 50 * margin])
    theirs = accepted_by_linear_programs(path, covariance, before, weights, magnitude, around)
    assert list(theirs) == [False, False, True, True, False, False]


# ---------------------------------------------------------------- what must hold of relative magnitudes


@pytest.mark.parametrize("target", TARGETS)
def test_without_any_difference_in_trends_the_interval_is_the_usual_one(target: Target) -> None:
    found = of_path(*made_up(4, 3, seed=5), 4, magnitudes=[0.0])
    usual = ends(found, "parallel_trends", target)
    np.testing.assert_allclose(ends(found, "relative_magnitude", target), usual, rtol=1e-6)


def test_a_weaker_restriction_gives_a_wider_interval() -> None:
    found = of_path(*made_up(4, 3, seed=6), 4, magnitudes=[0.0, 0.5, 1.0, 2.0, 5.0])
    for target in TARGETS:
        low, high = ends(found, "relative_magnitude", target).T
        assert (np.diff(low) < 0).all()
        assert (np.diff(high) > 0).all()


@pytest.mark.parametrize("unit", [1e-6, 1e6, -1.0])
def test_the_unit_and_the_sign_of_the_outcome_do_not_matter(unit: float) -> None:
    path, covariance = made_up(3, 3, seed=7)
    path[3:] += 12
    ours = of_path(path, covariance, 3)
    scaled = of_path(unit * path, unit**2 * covariance, 3)
    for one, other in zip(ours.bounds, scaled.bounds, strict=True):
        expected = sorted([unit * one.conf_low, unit * one.conf_high])
        assert [other.conf_low, other.conf_high] == pytest.approx(expected, rel=1e-6)
    for first, second in zip(ours.breakdowns, scaled.breakdowns, strict=True):
        assert first.value is not None
        assert second.value == pytest.approx(first.value, rel=1e-4)


def test_errors_that_are_all_alike_have_an_interval() -> None:
    """Vertices then tie."""
    found = of_path(np.array([0.0, 0.0, 0.0, 1.0, 1.0]), np.eye(5), 3)
    assert not any(bound.is_empty_or_unbounded for bound in found.bounds)
    assert all(bound.conf_low < 1 < bound.conf_high for bound in found.bounds)


def test_no_change_before_the_event_leaves_sampling_error_only() -> None:
    """The more precise a flat path before the event, the nearer is the interval to the usual one."""
    widths = []
    for error in (1.0, 0.1, 0.001):
        covariance = np.diag([error**2] * 3 + [1.0])
        low, high = ends(of_path(np.array([0.0, 0.0, 0.0, 2.0]), covariance, 3), "relative_magnitude")[1]
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] == pytest.approx(2 * 1.96, abs=0.01)


def test_without_sampling_error_the_interval_is_the_identified_set() -> None:
    """Largest change before the event: .3, so the first effect moves by Mbar .3, the average of three by Mbar .6."""
    path = np.array([0.2, -0.1, 0.1, 1.0, 1.2, 1.7])
    roots = np.random.default_rng(2).normal(size=(6, 9))
    found = of_path(path, 1e-12 * roots @ roots.T, 3, magnitudes=[0.5, 2.0])
    expected = {"first": [[0.85, 1.15], [0.4, 1.6]], "average": [[1.0, 1.6], [0.1, 2.5]]}
    for target in TARGETS:
        np.testing.assert_allclose(ends(found, "relative_magnitude", target), expected[target], atol=1e-4)


# ---------------------------------------------------------------- breakdown values


@pytest.mark.parametrize("target", TARGETS)
def test_at_the_breakdown_value_the_interval_ends_at_zero(target: Target) -> None:
    value = breakdown(ehec(), target)
    assert value is not None
    at = of_path(PATH, COVARIANCE, BEFORE, magnitudes=[value])
    low, high = ends(at, "relative_magnitude", target)[0]
    assert low == pytest.approx(0, abs=1e-6)
    assert high > 0.08


def test_r_brackets_the_breakdown_value() -> None:
    """Its interval leaves out zero at Mbar 1.5, and has it at 2."""
    magnitude = breakdown(ehec())
    assert magnitude is not None
    assert 1.5 < magnitude < 2


def test_an_effect_that_is_not_found_under_parallel_trends_has_no_breakdown_value() -> None:
    found = of_path(np.array([0.1, -0.2, 0.3, 0.5]), np.eye(4), 2)
    assert [row.value for row in found.breakdowns] == [None] * 2


# ---------------------------------------------------------------- event studies


@cache
def study(trend: float, effect: float, window: tuple[int, int] = (-4, 3), **options: Any) -> EventStudyFit:
    """Fit 80 cities, half treated in 2016, whose treated differ by a trend from the others, and by an effect."""
    rng = np.random.default_rng(11)
    grid = pd.MultiIndex.from_product([[f"{c:03d}" for c in range(80)], range(2011, 2021)], names=["city_id", "year"])
    data = grid.to_frame(index=False)
    data["treated"] = (data["city_id"].astype(int) % 2).astype(float)
    since = data["year"] - 2016
    data["y"] = data["treated"] * (trend * since + effect * (since >= 0)) + rng.normal(scale=0.2, size=len(data))
    return event_study.fit(data, "y", "treated", event_year=2016, window=window, **{"omitted_year": 2015, **options})


def test_a_trend_that_the_usual_interval_takes_for_an_effect_is_told_apart() -> None:
    """The trend changes as much before the event as after it: zero is in at Mbar of one, and not much before."""
    found = of_event_study(study(trend=0.1, effect=0.0), window=(-4, 3))
    assert ends(found, "parallel_trends", "average")[0, 0] > 0.1
    value = breakdown(found, "average")
    assert value is not None
    assert value < 1


def test_an_effect_with_parallel_trends_survives_as_large_changes_as_before() -> None:
    found = of_event_study(study(trend=0.0, effect=1.0), window=(-4, 3))
    value = breakdown(found)
    assert value is not None
    assert value > 1
    low, high = ends(found, "relative_magnitude")[1]
    assert 0 < low < 1 < high


def test_the_path_is_that_of_the_window() -> None:
    """Years -5 and 4 have terms of their own, of which nothing is assumed."""
    fitted = study(trend=0.0, effect=1.0)
    assert fitted.event_times == (-5, -4, -3, -2, 0, 1, 2, 3, 4)
    inside = slice(1, 8)
    by_hand = of_path(fitted.estimates[inside], fitted.covariance_matrix[inside, inside], 3)
    assert of_event_study(fitted, window=(-4, 3)) == by_hand
    assert of_event_study(fitted, window=(-5, 4)) != by_hand


def test_the_default_bounds_are_rows_of_both_targets() -> None:
    found = of_event_study(study(trend=0.0, effect=1.0), window=(-4, 3))
    expected = [
        ("parallel_trends", 0.0),
        *(("relative_magnitude", magnitude) for magnitude in (0.5, 1.0, 2.0)),
    ]
    for target in TARGETS:
        rows = [bound for bound in found.bounds if bound.target == target]
        assert [(row.restriction, row.bound) for row in rows] == expected
        assert all(isinstance(row, Bound) and row.conf_low < row.conf_high for row in rows)
    assert not any(row.is_empty_or_unbounded for row in found.bounds)


# ---------------------------------------------------------------- what cannot be answered


def test_no_period_before_or_after() -> None:
    with pytest.raises(NotEstimable, match="no term before the event"):
        of_path(np.ones(3), np.eye(3), 0)
    with pytest.raises(NotEstimable, match="no term after the omitted period"):
        of_path(np.ones(3), np.eye(3), 3)
    with pytest.raises(NotEstimable, match="no term before the event"):
        of_event_study(study(trend=0.0, effect=1.0), window=(-1, 3))


def test_a_covariance_that_is_singular() -> None:
    """Fewer clusters than terms, and an outcome that is fitted exactly."""
    roots = np.random.default_rng(1).normal(size=(5, 3))
    with pytest.raises(NotEstimable, match="covariance of the 5 terms has rank 3"):
        of_path(np.ones(5), roots @ roots.T, 2)
    with pytest.raises(NotEstimable, match="fitted exactly"):
        of_path(np.ones(3), np.diag([1.0, 0.0, 1.0]), 1)


def test_a_year_without_a_term() -> None:
    fitted = study(trend=0.0, effect=1.0)
    gap = EventStudyFit(**{**vars(fitted), "event_times": (-6, -5, -3, -2, 0, 1, 2, 3, 4)})
    with pytest.raises(NotEstimable, match="the path lacks before4"):
        of_event_study(gap, window=(-6, 4))


def test_wrong_use() -> None:
    with pytest.raises(ValueError, match="omits the year before the event"):
        of_event_study(study(trend=0.0, effect=1.0, omitted_year=2014), window=(-4, 3))
    with pytest.raises(ValueError, match="covariance of 3 x 3"):
        of_path(np.ones(3), np.eye(2), 1)
    with pytest.raises(ValueError, match="cannot be negative"):
        of_path(np.ones(3), np.eye(3), 1, magnitudes=[-1.0])
