"""The checks of estimates as rows: figures that a referee computed by another route, and what cannot be checked."""

from dataclasses import replace
from typing import Any

import duckdb
import pandas as pd
import pytest

from ai_manufacturing.estimation import checks, curve, inputs, specifications
from ai_manufacturing.estimation.specifications import SpecificationError
from tests.python.conftest import Build

HEADLINE = "table_1_col_1"
TABLES = {
    "specifications": "intermediate.int_specifications_resolved",
    "panel": "intermediate.int_city_year_variables",
    "measures": "marts.fct_ai_measure",
    "groups": "marts.dim_city_groups",
    "series": "marts.dim_specification_series",
    "samples": "intermediate.int_specification_samples",
    "losses": "intermediate.int_specification_losses",
    "gate_results": "gates.gate_results",
    "published": "seeds.published_estimates",
    "substitution_labels": "seeds.substitutions",
}


def answer(build: Build, columns: str, method: str, setting: str, table: str = "est_inference") -> Any:
    """Return columns of the one row of a method and setting of the headline."""
    (row,) = build.rows(
        f"select {columns} from estimates.{table} "
        "where specification_id = ? and term = 'ai_firms' and method = ? and setting = ?",
        HEADLINE,
        method,
        setting,
    )
    return row


@pytest.mark.parametrize(
    ("method", "setting", "std_error", "p_value"),
    [
        ("crv1", "cluster=city", 0.0420, 0.0002),
        ("crv1", "cluster=province", 0.0879, 0.080),
        ("crv3", "cluster=province", 0.1013, 0.126),
        ("conley", "cutoff_km=100 kernel=bartlett", 0.046, None),
        ("conley", "cutoff_km=300 kernel=bartlett", 0.066, None),
        ("conley", "cutoff_km=500 kernel=bartlett", 0.076, None),
        ("conley", "cutoff_km=800 kernel=bartlett", 0.082, None),
        ("conley", "cutoff_km=1200 kernel=bartlett", 0.085, None),
    ],
)
def test_errors_of_the_public_headline_are_a_referees(
    public_build: Build, method: str, setting: str, std_error: float, p_value: float | None
) -> None:
    found = answer(public_build, "std_error, p_value", method, setting)
    digits = len(str(std_error)) - 2
    assert round(found[0], digits) == std_error
    if p_value is not None:
        assert round(found[1], len(str(p_value)) - 2) == p_value


@pytest.mark.parametrize(("method", "p_value"), [("wild_restricted", 0.1149), ("wild_unrestricted", 0.130)])
def test_bootstraps_of_the_public_headline_are_a_referees_but_for_the_draws(
    public_build: Build, method: str, p_value: float
) -> None:
    found = answer(public_build, "p_value, draws, monte_carlo_error", method, "cluster=province weights=rademacher")
    assert found[1] == 9999
    assert found[0] == pytest.approx(p_value, abs=3 * found[2])


def test_what_the_public_headline_rests_on_is_what_a_referee_found(public_build: Build) -> None:
    effective = answer(public_build, "effective_cluster_count, cluster_count", "crv3", "cluster=province")
    assert (round(effective[0], 1), effective[1]) == (17.3, 31)
    without = dict(
        public_build.rows(
            "select unit_id, round(estimate_without, 3) from estimates.est_influence "
            "where specification_id = ? and unit_kind = 'province'",
            HEADLINE,
        )
    )
    assert (without["210000"], without["320000"]) == (0.103, 0.215)
    assert (min(without.values()), max(without.values())) == (0.103, 0.215)
    assert public_build.rows(
        "select round(min(estimate_without), 3), round(max(estimate_without), 3) from estimates.est_influence "
        "where specification_id = ? and unit_kind = 'city'",
        HEADLINE,
    ) == [(0.147, 0.172)]
    assert public_build.rows(
        "select city_count, round(estimate_without, 4), round(std_error_without, 4) from estimates.est_influence "
        "where specification_id = ? and unit_id like 'GDP of a city grows%' order by setting",
        HEADLINE,
    ) == [(37, 0.0753, 0.0360), (37, 0.0753, 0.0713)]
    for setting, effect in (("cluster=city", 0.118), ("cluster=province", 0.255)):
        found = answer(public_build, "value", "minimum_detectable_effect", setting, "est_sensitivity")
        assert round(found[0], 3) == effect
    robustness = answer(public_build, "value", "robustness_value", "change=sign error=city", "est_sensitivity")
    assert round(robustness[0], 3) == 0.083


def test_trends_before_the_event_are_not_read_from_years_that_the_gate_voids(public_build: Build) -> None:
    """Exits come from a register that forgets its dead in its early years."""
    found = public_build.rows(
        "select distinct status, starts_with(reason, 'The gate voids the years 2010, 2011') "
        "from estimates.est_sensitivity where specification_id = 'table_5_col_2' and method = 'honest_did'"
    )
    assert found == [("not_estimable", True)]


def test_a_check_that_cannot_be_made_says_why(sample_build: Build, public_build: Build) -> None:
    for build in (sample_build, public_build):
        for table in ("est_inference", "est_influence", "est_sensitivity"):
            counted = build.rows(
                "select count(*), count(reason), count(reason_zh), "
                "count(case when status = 'estimated' then reason end) "
                f"from estimates.{table} where status = 'not_estimable' or reason is not null"
            )[0]
            assert counted[0] == counted[1] == counted[2]
            assert counted[3] == 0
    (reason,) = answer(public_build, "reason", "unit_sweep", "unit=10") or ("",)
    assert reason is None  # the headline is in log(1 + x)
    in_logs = sample_build.value(
        "select reason from estimates.est_inference where specification_id = 'table_1_col_2' and method = 'recentred' "
        "and setting = 'strata=none'"
    )
    assert in_logs.startswith("The measure does not differ from its mean over all permutations")


def test_every_row_of_the_seed_is_a_check_of_something(sample_build: Build) -> None:
    made = sample_build.rows(
        " union ".join(
            f"select distinct method, setting from estimates.{table}"
            for table in ("est_inference", "est_influence", "est_sensitivity")
        )
    )
    asked = sample_build.rows("select distinct method, coalesce(setting, '') from seeds.inference_checks")
    assert set(made) == set(asked)
    # Two groups of cities beside the lowest third, or one slope, in each year but the omitted one.
    dose = sample_build.rows(
        "select setting, count(*) from estimates.est_inference where specification_id = 'table_5_col_1' "
        "and method = 'dose' and status = 'estimated' group by setting order by setting"
    )
    assert dose == [("split=continuous", 10), ("split=terciles", 20)]


def drawn(build: Build) -> inputs.Inputs:
    """Return what the estimates of a build were drawn from."""
    with duckdb.connect(str(build.warehouse), read_only=True) as connection:
        relations = {name: connection.table(relation) for name, relation in TABLES.items()}
        return inputs.read(event_year=2016, event_window=[-5, 3], **relations)


def test_a_method_or_an_option_that_there_is_not_is_named(sample_build: Build) -> None:
    tables = drawn(sample_build)
    headline = specifications.read(tables.specifications[tables.specifications["specification_id"] == HEADLINE])
    cities = sample_build.frame("select * from marts.dim_city")
    for method, setting, said in (
        ("crv9", "cluster=city", r"inference_checks.csv, column method: 'crv9' is not one of crv1, crv3"),
        ("crv1", "clusters=city", r"method crv1, column setting: 'clusters=city'; it takes cluster="),
    ):
        asked = pd.DataFrame([{"specification_id": HEADLINE, "method": method, "setting": setting}])
        with pytest.raises(SpecificationError, match=said):
            checks.checked("inference", headline, asked, tables, cities)


def test_what_models_share_is_kept_by_specification_and_by_cities(sample_build: Build) -> None:
    tables = drawn(sample_build)
    (headline,) = specifications.read(tables.specifications[tables.specifications["specification_id"] == HEADLINE])
    in_levels = tables.sample(replace(headline, transform="level")).rows["ai_firms"]
    assert (in_levels != tables.sample(headline).rows["ai_firms"]).any()
    cities = sample_build.frame("select * from marts.dim_city")
    asked = pd.DataFrame(
        [{"specification_id": HEADLINE, "method": "conley", "setting": "cutoff_km=500 kernel=bartlett"}]
    )
    nearer = cities.assign(longitude=100 + (cities["longitude"] - 100) / 10)
    of_map, of_nearer, again = (
        checks.checked("inference", [headline], asked, tables, where)["std_error"].to_pylist()
        for where in (cities, nearer, cities)
    )
    assert of_map == again != of_nearer


def test_the_curve_holds_the_column_itself_and_its_readings(sample_build: Build, public_build: Build) -> None:
    for build, at_least in ((sample_build, 1000), (public_build, 300)):
        assert (
            build.value("select count(*) // 2 from estimates.est_specification_curve where status = 'estimated'")
            >= at_least
        )
    choice = (
        "transform = 'ln1p' and weighting = 'fixed_ratio' and scope = 'industry' and provider = 'default' "
        "and population = 'registered' and period = '2010-2020' and city_sample = 'all'"
    )
    for build, controls in ((sample_build, "research"), (public_build, "science")):
        for fixed_effects, reading in (("city year", ""), ("city province-year", "_province_years")):
            [of_curve] = build.rows(
                "select estimate, std_error, observation_count from estimates.est_specification_curve "
                f"where {choice} and controls = ? and fixed_effects = ? and errors = 'city'",
                controls,
                fixed_effects,
            )
            [of_column] = build.rows(
                "select estimate, std_error, observation_count from estimates.est_fixed_effects "
                "where specification_id = ? and term = 'ai_firms'",
                HEADLINE + reading,
            )
            assert of_curve == pytest.approx(of_column, rel=1e-9)


def test_the_same_permutation_runs_through_all_specifications(sample_build: Build) -> None:
    """On the sample AI content has an effect: permuted weights give smaller slopes in nearly all draws."""
    tables = drawn(sample_build)
    headline = specifications.read(tables.specifications[tables.specifications["specification_id"] == HEADLINE])
    choices = sample_build.frame(
        "select * from intermediate.int_specification_curve where transform in ('ln1p', 'asinh') "
        "and scope = 'industry' and provider = 'default' and controls in ('none', 'research') "
        "and population = 'registered' and fixed_effects = 'city year' and period = '2010-2020' "
        "and city_sample = 'all' and weighting = 'fixed_ratio'"
    )
    found = curve.joint(headline, choices, tables, draws=19).to_pandas()
    median = found[found["statistic"] == "median_estimate"]
    assert list(median["specification_count"]) == [4, 4]
    assert (median["observed"] > median["permuted_mean"]).all()
    assert (found["p_value"] >= 1 / 20).all()
    again = curve.joint(headline, choices, tables, draws=19).to_pandas()
    pd.testing.assert_frame_equal(found, again)
    backwards = curve.joint(headline, choices[::-1], tables, draws=19).to_pandas()
    pd.testing.assert_frame_equal(found, backwards, rtol=1e-9)
    none = curve.joint(headline, choices, tables, draws=0).to_pandas()
    assert list(none["status"].unique()) == ["not_estimable"]
    assert none["reason"].str.contains("CURVE_PERMUTATIONS").all()


def test_verdicts_are_right_where_the_truth_is_known(sample_build: Build) -> None:
    """The sample's GDP answers to AI firms by their AI share, and to all patents whatever their AI share."""
    verdicts = {
        (table, column): verdict
        for table, column, verdict in sample_build.rows(
            "select table_id, column_number, verdict from reports.rpt_verdicts"
        )
    }
    assert len(verdicts) == 21
    assert {verdicts["table_1", 1], verdicts["table_2", 1]} == {"holds"}
    in_logs = [("table_1", 2), ("table_1", 3), ("table_2", 2), ("table_2", 3), ("table_3", 2), ("table_3", 3)]
    assert {verdicts[column] for column in in_logs} == {"holds_not_ai"}
    assert verdicts["table_4", 3] == "mechanical"
    assert verdicts["table_4", 4] == "cannot_be_judged"  # its own tests reject it


def test_verdicts_on_the_public_set_follow_from_its_checks(public_build: Build) -> None:
    [(verdict, failed)] = public_build.rows(
        "select verdicts.verdict, list(credibility.check_id order by credibility.check_order) "
        "from reports.rpt_verdicts as verdicts "
        "inner join reports.rpt_credibility as credibility using (specification_id) "
        "where verdicts.specification_id = ? and not credibility.passes and credibility.aspect in ('robust', 'ai') "
        "group by all",
        HEADLINE,
    )
    assert verdict == "not_robust"
    assert failed == ["province_jackknife", "province_bootstrap", "spatial_components", "weights_permuted"]
    sentence = public_build.value(
        "select sentence from reports.rpt_credibility where specification_id = ? and check_id = 'province_jackknife'",
        HEADLINE,
    )
    assert sentence == "With jackknife errors by province it does not differ from zero (p = 0.126)."
    delivered = public_build.rows(
        "select distinct (verdict = 'no_data') = (status = 'not_estimable') from reports.rpt_verdicts "
        "inner join reports.rpt_column_specifications using (table_id, column_number)"
    )
    assert delivered == [(True,)]
