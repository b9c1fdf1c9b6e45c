"""Test Moran's I against hand computation and esda, and the spatial tables of the builds."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from ai_manufacturing.paper import spatial
from ai_manufacturing.system import great_circle
from tests.python.conftest import PROJECT, Build
from tests.python.estimator_tools import approx, refusal


def rook(side: int) -> csr_array:
    """Return row-standardised rook contiguity weights for a square grid."""
    cells = np.indices((side, side)).reshape(2, -1)
    beside = np.abs(cells[:, :, None] - cells[:, None]).sum(axis=0) == 1
    return csr_array(beside / beside.sum(axis=1, keepdims=True))


def cities_of_the_seed() -> pd.DataFrame:
    return pd.read_csv(PROJECT / "seeds/cities.csv", dtype={"city_id": str})


def test_both_statistics_are_their_sums_over_pairs_and_z_counts_rearrangements() -> None:
    weights = rook(6)
    values = np.random.default_rng(5).normal(size=36)
    found, local = (
        spatial.compute_global_moran(values, weights),
        spatial.compute_local_moran(values, weights),
    )
    pairs = weights.toarray()

    def moran(values: np.ndarray) -> float:
        deviations = values - values.mean()
        products = pairs * np.outer(deviations, deviations)
        return float(36 / pairs.sum() * products.sum() / np.sum(deviations**2))

    observed = moran(values)
    stream = np.random.RandomState(spatial.SEED)
    draws = np.array([moran(stream.permutation(values)) for _ in range(spatial.PERMUTATIONS)])
    expected = (
        observed,
        -1 / 35,
        (observed - draws.mean()) / draws.std(),
        two_sided(observed, draws),
    )
    assert found == approx(expected, rel=1e-9)

    z = (values - values.mean()) / values.std()
    assert_allclose(local.statistic, 35 / 36 * z * (pairs @ z), rtol=1e-12)
    own, others = (np.where(side > 0, "H", "L") for side in (z, pairs @ z))
    assert local.quadrant == [*np.char.add(own, others)]


def test_neighbours_are_the_six_nearest_on_the_great_circle() -> None:
    cities = cities_of_the_seed().head(100)
    angles = great_circle.compute_angles(cities[["longitude", "latitude"]].to_numpy())
    np.fill_diagonal(angles, np.inf)
    expected = np.zeros((100, 100))
    np.put_along_axis(expected, np.argsort(angles, axis=1)[:, :6], 1 / 6, axis=1)
    assert_array_equal(spatial.weight_nearest_neighbours(cities).toarray(), expected)


@pytest.mark.soak
def test_esda_says_the_same() -> None:
    """Compare local Moran statistics and permutations with esda, for counts with many zeros.

    esda's p-values are one-sided, so two-sided ones are computed from its draws.
    """
    moran = pytest.importorskip("esda.moran")
    libpysal = pytest.importorskip("libpysal.weights")
    cities = cities_of_the_seed()
    theirs = libpysal.KNN(cities[["longitude", "latitude"]].to_numpy(), k=6, radius=6371.0)
    theirs.transform = "r"
    values = np.log1p(np.random.default_rng(21).poisson(0.4, size=len(cities)))

    local = moran.Moran_Local(values, theirs, permutations=999, seed=2020)
    cells = spatial.compute_local_moran(values, spatial.weight_nearest_neighbours(cities))
    assert_allclose(cells.statistic, local.Is, rtol=1e-12, atol=1e-15)
    assert [*cells.p_value] == [*map(two_sided, local.Is, local.sim.T)]


def two_sided(observed: float, draws: np.ndarray) -> float:
    tied = np.isclose(draws, observed, rtol=1e-10, atol=1e-10)
    tails = [((draws > observed) | tied).sum(), ((draws < observed) | tied).sum()]
    return min(1.0, 2 * (min(tails) + 1) / (len(draws) + 1))


def test_a_value_that_most_draws_share_is_not_rare() -> None:
    """Zeros far from the only nonzero city equal most permuted values, so they are not significant,
    although esda gives p = 0.03.
    """
    weights = rook(12)
    values = np.zeros(144)
    values[70] = 5.0
    local = spatial.compute_local_moran(values, weights)
    # Only the neighbours of the nonzero city have a p-value below 1.
    assert [i for i, p in enumerate(local.p_value) if p < 1] == [58, 69, 71, 82]
    for function in (spatial.compute_global_moran, spatial.compute_local_moran):
        reason = refusal(function, 0 * values, weights)
        assert reason == "All 144 cities have the same value."


def test_a_permutation_draws_each_neighbour_once() -> None:
    """If every other city is a neighbour, each permutation contains the same values, so p = 1."""
    others = csr_array((np.ones((12, 12)) - np.eye(12)) / 11)
    values = np.random.default_rng(5).normal(size=12)
    assert_array_equal(spatial.compute_local_moran(values, others).p_value, 1)


def test_cities_at_one_place_are_neighbours_and_none_is_its_own() -> None:
    places = np.repeat([[100.0, 30.0], [110.0, 40.0]], 9, axis=0)
    weights = spatial.weight_nearest_neighbours(
        pd.DataFrame(places, columns=["longitude", "latitude"])
    ).toarray()
    assert not weights.diagonal().any()
    assert_array_equal((weights > 0).sum(axis=1), 6)
    assert not weights[:9, 9:].any()


def test_what_cannot_be_estimated_is_a_row_with_its_reason() -> None:
    """A measure that cannot be estimated has a row with the reason if the site maps it."""
    counted = [*map(float, range(20))]
    counts = {
        "ai_firms": [*counted, np.nan],
        "ai_patent_grants": [np.nan] * 20,
        "ai_patent_applications": [1.0, *[np.nan] * 10, *counted[:8]],
        "ai_firm_net_entries": [-3.0, *counted],
    }
    cities, names = cities_of_the_seed(), [*counts]
    measures = pd.DataFrame(
        [
            (name, city, value)
            for name, values in counts.items()
            for city, value in zip(cities["city_id"], values, strict=False)
        ],
        columns=["measure", "city_id", "measure_count"],
    ).assign(extract_set="s", year=2020)
    weightings = pd.DataFrame({"measure": names, "weighting": "observed", "base_series": names})
    series = pd.DataFrame({"series": names, "scope": "industry"}).assign(
        substitution=["apples for pears", None, None, None],
        substitution_zh=["以苹果替代梨", None, None, None],
    )
    given = spatial.Tables(measures, cities, weightings, series)
    rows = {
        row["measure"]: row for row in spatial.estimate_global_autocorrelation(given).to_pylist()
    }
    assert (
        rows["ai_firms"].items()
        >= {
            "status": "estimated",
            "city_count": 20,
            "neighbour_count": 6,
            "substitutions": "apples for pears",
            "substitutions_zh": "以苹果替代梨",
        }.items()
    )
    grants = rows["ai_patent_grants"]
    assert grants["reason_zh"] == "2020年未交付：ai_patent_grants (industry)。"
    assert {name: row["reason"] for name, row in rows.items()} == {
        "ai_firms": None,
        "ai_patent_grants": "Not delivered: ai_patent_grants (industry) in 2020.",
        "ai_patent_applications": "9 cities have a value; at least 10 are needed.",
    }
    assert grants["statistic"] is None
    local = spatial.estimate_local_autocorrelation(given, 2020).to_pandas()
    assert local.groupby("measure")["city_id"].count().to_dict() == {
        "ai_firms": 20,
        "ai_patent_applications": 0,
        "ai_patent_grants": 0,
    }
    assert {*local.loc[local["city_id"].isna(), "status"]} == {"not_estimable"}


def test_the_largest_cities_of_a_class_are_named(sample_build: Build) -> None:
    named = sample_build.pairs(
        "select class, largest_cities_zh from reports.rpt_spatial_classes "
        "where largest_cities_zh is not null"
    )
    assert named == {"over_200": "深圳市", "100_to_200": "苏州市、广州市、东莞市、上海市"}


def test_the_largest_cities_share_what_their_counts_sum_to(sample_build: Build) -> None:
    counts = sample_build.frame(
        "select measure_count from marts.fct_spatial_distribution where measure = 'ai_firms' and"
        " year = 2020"
    )["measure_count"]
    top = counts.sort_values(ascending=False).cumsum().to_numpy() / counts.sum()
    (ours,) = sample_build.rows(
        "select top_1_share, top_5_share, top_10_share from marts.fct_spatial_concentration"
        " where measure = 'ai_firms' and year = 2020"
    )
    assert ours == approx(tuple(top[[0, 4, 9]]), rel=1e-12)
    sums = sample_build.rows(
        "select sum(national_share), count(*) from marts.fct_spatial_distribution group by measure,"
        " year"
    )
    assert sums == [(approx(1, abs=1e-12), 367)] * 33


def test_every_measure_and_year_of_the_sample_has_its_autocorrelation(sample_build: Build) -> None:
    estimated = sample_build.rows(
        "select statistic, p_value from estimates.est_spatial_autocorrelation where status ="
        " 'estimated'"
    )
    assert len(estimated) == 3 * 11
    assert all(statistic > 0 and p_value < 0.05 for statistic, p_value in estimated)
    local = sample_build.rows(
        "select count(*), count(distinct city_id), avg(here.statistic) * 367 / 366, "
        "any_value(whole.statistic) from estimates.est_local_spatial_autocorrelation as here "
        "inner join estimates.est_spatial_autocorrelation as whole using (measure, year) "
        "group by measure, year"
    )
    assert len(local) == 9
    for rows, cities, mean, whole in local:
        assert (rows, cities, mean) == (367, 367, approx(whole, rel=1e-9))


def test_the_public_deliveries_have_firms_and_no_patents(public_build: Build) -> None:
    for table in ("fct_spatial_distribution", "fct_spatial_concentration", "fct_spatial_trend"):
        assert public_build.rows(f"select distinct measure from marts.{table}") == [("ai_firms",)]
    estimates = public_build.rows(
        "select distinct measure, status, substitutions from estimates.est_spatial_autocorrelation"
        " order by measure"
    )
    assert estimates == [
        (
            "ai_firms",
            "estimated",
            "AI firms of all industries by keyword substitute for sections B-E",
        ),
        ("ai_patent_applications", "not_estimable", ""),
        ("ai_patent_grants", "not_estimable", ""),
    ]
    assert public_build.value(
        "select bool_and(substitutions like 'AI firms of all industries%') from"
        " reports.rpt_spatial_classes"
    )
