"""Tests for robustness checks and verdicts, some of them against a referee's results."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.estimation import inputs, specifications
from ai_manufacturing.estimation.specifications import SpecificationError
from ai_manufacturing.robustness import checks, specification_curve, spillover
from tests.python.conftest import Build

HEADLINE = "table_1_col_1"


def answer(
    build: Build, columns: str, method: str, setting: str, table: str = "est_inference"
) -> Any:
    """Return columns of one robustness check of the headline estimate, by method and setting."""
    (row,) = build.rows(
        f"select {columns} from estimates.{table} "
        "where specification_id = ? and term = 'ai_firms' and method = ? and setting = ?",
        HEADLINE,
        method,
        setting,
    )
    return row


def test_the_wild_bootstrap_of_the_public_headline_is_a_referees_but_for_the_draws(
    public_build: Build,
) -> None:
    p_value, draws, margin = answer(
        public_build,
        "p_value, draws, 3 * monte_carlo_error",
        "wild_restricted",
        "cluster=province",
    )
    assert draws == 9999
    assert p_value == pytest.approx(0.1149, abs=margin)


def test_next_years_measure_explains_this_years_gdp_as_a_referee_found(public_build: Build) -> None:
    found = public_build.rows(
        "select round(estimate, 3), warnings from estimates.est_inference where"
        " specification_id = ? and method = 'next_year' and setting = 'last_year=yes'"
        " order by term desc",
        HEADLINE,
    )
    part = "Estimated on 1,952 of the column's 2,228 city-years"
    assert [estimate for estimate, _ in found] == [0.325, 0.014, -0.127]
    assert all(warnings.startswith(part) for _, warnings in found)


def test_a_neighbour_is_another_city_that_has_a_value_within_the_distance() -> None:
    nan = np.nan
    # One degree on the equator is 111.2 km. The last city has no coordinates.
    places = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [9.0, 0.0], [nan, nan]])
    values = np.array([[1.0, 2.0, 4.0, 8.0, 5.0], [1.0, nan, 4.0, 8.0, 5.0]])
    means = spillover.average_neighbours(values, places, 112)
    np.testing.assert_array_equal(means, [[2, 2.5, 2, nan, nan], [nan, 2.5, nan, nan, nan]])


def test_half_of_the_city_years_of_the_public_headline_have_a_negative_weight(
    public_build: Build,
) -> None:
    """About half of the city-years have a negative weight, as a referee found.

    The referee found 51.7 % of the city-years, with a sum of -18.8.
    """
    share, total = (
        answer(public_build, "value", "negative_weights", f"figure={name}", "est_sensitivity")[0]
        for name in ("share", "sum")
    )
    assert (round(100 * share, 1), round(total, 1)) == (51.6, -18.8)
    sentences = public_build.pairs(
        "select check_id, sentence from reports.rpt_credibility where specification_id = ?",
        HEADLINE,
    )
    assert sentences["negative_weights"].startswith("A share of 0.516 of the city-years")
    assert sentences["spillover"].endswith("has no detectable effect (p = 0.554).")


def test_the_ai_content_of_the_public_headline_is_not_identified(public_build: Build) -> None:
    """Growth of all firms explains all but 0.19 % of the AI measure's variation.

    A referee found the same share, and that 20 cities account for 61 % of it.
    """
    share = answer(public_build, "value", "share_of_variation", "cities=all", "est_sensitivity")[0]
    in_cities = answer(public_build, "value", "share_of_variation", "cities=20", "est_sensitivity")[
        0
    ]
    assert (round(100 * share, 2), round(100 * in_cities)) == (0.19, 61)


def test_the_designs_of_the_public_headline_are_what_a_referee_found(public_build: Build) -> None:
    """Estimates, standard errors (CRV3 by province) and sample sizes match a referee's results.

    The referee computed them from the raw files with other code.
    """
    found = {
        name: tuple(numbers)
        for name, *numbers in public_build.rows(
            "select design, round(v.estimate, 3), round(v.std_error, 3), round(v.p_value, 4),"
            " round(v.detectable, 3), c.observation_count from reports.rpt_verdicts as v inner join"
            " reports.rpt_coefficients as c using (specification_id) where v.table_id = 'table_1'"
            " and v.column_number = 1 and c.term = c.regressor"
        )
    }
    assert found["as_printed"] == (0.158, 0.101, 0.1291, 0.292, 2228)
    assert found["within_provinces"] == (0.152, 0.036, 0.0003, 0.106, 2180)
    assert found["ai_beside_all"][:2] == (0.008, 0.021)
    assert found["ai_beside_all"][3] == 0.060
    others = public_build.pairs(
        "select specification_id, (round(estimate, 3), round(std_error_province, 3)) from"
        " reports.rpt_coefficients where reading = 'year effects by province' and term = 'ai_firms'"
    )
    assert others["table_2_col_1_province_years"] == (0.203, 0.070)
    assert others["table_3_col_1_province_years"] == (0.049, 0.078)
    assert others["table_4_col_1_province_years"] == (0.178, 0.043)


def test_the_designs_of_the_public_headline_say_that_gdp_rises_with_firms_and_not_with_ai(
    public_build: Build,
) -> None:
    assert public_build.rows(
        "select association, cause, ai from reports.rpt_claims where table_id = 'table_1' and"
        " column_number = 1"
    ) == [("holds", None, "no")]
    verdicts = public_build.pairs(
        "select design, coalesce(cause, verdict) from reports.rpt_verdicts where table_id ="
        " 'table_1' and column_number = 1"
    )
    assert verdicts == {
        "as_printed": "imprecise",
        "within_provinces": "holds",
        "ai_beside_all": "not_found",
        "ai_instrumented": "not_found",
    }
    # GDP per head of 2013 is set to missing, because it is based on another population. Without
    # that year, the claim passes all checks.
    assert public_build.rows(
        "select verdict, failed from reports.rpt_verdicts where specification_id ="
        " 'table_4_col_1_province_years'"
    ) == [("holds", None)]


def test_the_years_before_the_event_are_tested_together(sample_build: Build) -> None:
    """The joint pre-trend p-value is Bonferroni-corrected over the years before the event."""
    found = sample_build.pairs(
        "select specification_id, p_value from estimates.est_inference where method = 'pre_trend'"
        " and p_value is not null"
    )
    expected = sample_build.pairs(
        "select specification_id, least(1, count(*) * min(p_value_province)) from"
        " reports.rpt_coefficients where event_time < 0 group by 1"
    )
    assert len(found) > 10
    assert found == pytest.approx({name: expected[name] for name in found})


def test_what_the_public_headline_rests_on_is_what_a_referee_found(public_build: Build) -> None:
    effective = answer(
        public_build, "effective_cluster_count, cluster_count", "crv3", "cluster=province"
    )
    assert (round(effective[0], 1), effective[1]) == (17.3, 31)
    without = public_build.pairs(
        "select unit_kind, (round(min(estimate_without), 3), round(max(estimate_without), 3),"
        " arg_min(unit_id, estimate_without), arg_max(unit_id, estimate_without))"
        " from estimates.est_influence where specification_id = ? group by all",
        HEADLINE,
    )
    assert without["province"] == (0.102, 0.213, "210000", "320000")
    assert without["city"][:2] == (0.145, 0.170)
    detectable = public_build.value(
        "select detectable_province from reports.rpt_coefficients where specification_id ="
        " 'table_1_col_1' and term = 'ai_firms'"
    )
    # The factor would be 2.80 under a normal distribution, and is slightly larger under t(30).
    assert detectable == pytest.approx(2.90 * 0.1010, rel=0.01)
    robustness = answer(
        public_build, "value", "robustness_value", "cluster=province", "est_sensitivity"
    )
    # Cinelli and Hazlett (2020), for t = 0.1576 / 0.1010 and 1,920 degrees of freedom.
    assert round(robustness[0], 3) == 0.035


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
    for table, method, reason in (
        ("est_sensitivity", "share_of_variation", "In logs the measure's ratio is a constant"),
        ("est_sensitivity", "negative_weights", "The weights measure an effect relative to a"),
    ):
        in_logs = sample_build.value(
            f"select distinct reason from estimates.{table} where specification_id ="
            f" 'table_1_col_2' and method = '{method}'"
        )
        assert in_logs.startswith(reason)


def test_every_row_of_the_seed_is_a_check_of_something(sample_build: Build) -> None:
    made = sample_build.rows(
        " union ".join(
            f"select distinct method, setting from estimates.{table}"
            for table in ("est_inference", "est_influence", "est_sensitivity")
        )
    )
    asked = sample_build.rows(
        "select distinct method, coalesce(setting, '') from seeds.inference_checks"
    )
    assert set(made) == set(asked)


def inputs_of(build: Build) -> inputs.Inputs:
    """Read the input tables of the estimators from a built warehouse."""
    with duckdb.connect(str(build.warehouse), read_only=True) as connection:
        return inputs.read_warehouse_inputs(connection)


def test_a_method_or_an_option_that_there_is_not_is_named(sample_build: Build) -> None:
    tables = inputs_of(sample_build)
    headline = specifications.read_specifications(
        tables.specifications[tables.specifications["specification_id"] == HEADLINE]
    )
    cities = sample_build.frame("select * from marts.dim_city")
    for method, setting, said in (
        (
            "crv9",
            "cluster=city",
            (
                r"inference_checks.csv, column method: the method 'crv9' is unknown. Choose"
                r" one of the methods crv3, wild_restricted"
            ),
        ),
        (
            "crv3",
            "clusters=city",
            (
                r"method crv3: the setting is 'clusters=city', but the method requires a setting of"
                r" the form cluster="
            ),
        ),
    ):
        asked = pd.DataFrame([{"specification_id": HEADLINE, "method": method, "setting": setting}])
        with pytest.raises(SpecificationError, match=said):
            checks.run_checks("inference", headline, asked, tables, cities)


def test_the_curve_holds_the_column_itself_its_readings_and_its_trends(sample_build: Build) -> None:
    column = (
        "select estimate, {} from estimates.est_coefficients"
        f" where term = 'ai_firms' and specification_id = '{HEADLINE}"
    )
    with_trends = (
        "select estimate_without from"
        " estimates.est_influence where term = 'ai_firms' and method = 'with_city_trends'"
        f" and specification_id = '{HEADLINE}'"
    )
    for fixed_effects, dynamics, errors, expected in (
        ("city year", "levels", "city", f"{column}'".format("std_error")),
        ("city province-year", "levels", "city", f"{column}_province_years'".format("std_error")),
        ("city year", "city_trends", "province", with_trends),
    ):
        [of_curve] = sample_build.rows(
            "select estimate, std_error from estimates.est_specification_curve"
            " where transform = 'ln1p' and weighting = 'fixed_ratio' and scope = 'industry' and"
            " provider = 'default' and population = 'registered' and controls = 'research' and"
            " period = '2010-2020' and city_sample = 'all' and fixed_effects = ? and dynamics = ?"
            " and errors = ?",
            fixed_effects,
            dynamics,
            errors,
        )
        [of_table] = sample_build.rows(expected)
        assert of_curve[: len(of_table)] == pytest.approx(of_table, rel=1e-6), dynamics


DIFFERENCES = [f"difference_{years}" for years in (1, 3, 5, 7)]


def joint_of(build: Build) -> Callable[..., pd.DataFrame]:
    """Return a function that runs the specification curve's joint test on the given choices."""
    tables = inputs_of(build)
    headline = specifications.read_specifications(
        tables.specifications[tables.specifications["specification_id"] == HEADLINE]
    )

    def joint(choices: pd.DataFrame, draws: int = 19) -> pd.DataFrame:
        return specification_curve.estimate_joint_tests(
            headline, choices, ["province"], tables, draws
        ).to_pandas()

    return joint


def test_on_two_years_a_permuted_difference_is_the_permuted_level(sample_build: Build) -> None:
    """With two years, level and first-difference regressions give the same permuted slopes."""
    joint = joint_of(sample_build)
    medians = []
    for dynamics in ("levels", "difference_1"):
        choices = sample_build.frame(
            "select * from intermediate.int_specification_curve where transform = 'ln1p' and scope"
            " = 'industry' and provider = 'default' and controls = 'research' and population ="
            " 'registered' and fixed_effects = 'city year' and period = '2010-2020' and"
            f" city_sample = 'all' and weighting = 'observed' and dynamics = '{dynamics}'"
        )
        found = joint(choices.assign(first_year=2018, last_year=2019))
        medians.append(
            found.loc[
                found["statistic"] == "median_estimate",
                ["observed", "permuted_low", "permuted_high"],
            ]
        )
    assert np.ptp(medians[0].iloc[0]) > 0
    longer = joint(choices.assign(first_year=2018, last_year=2019, difference_years=3))
    assert longer["reason"].str.startswith("No city has all of ln_gdp, ").all()
    assert longer["reason"].str.contains("in two years of 2018-2019 that are 3 apart").all()
    np.testing.assert_allclose(medians[0], medians[1], rtol=1e-8)


def test_trends_and_differences_cross_measure_and_controls_only(sample_build: Build) -> None:
    """City trends and differences are only combined with variants of the measure and controls.

    Each has 70 specifications: (4 transforms x 2 weightings - 1 undefined pair) x 2 scopes x 5
    control sets.
    """
    counts = sample_build.rows(
        "select dynamics, count(*), count(distinct (provider, population, fixed_effects, period,"
        " city_sample)), count(*) filter (contains(curve_id, 'dynamics')) from"
        " intermediate.int_specification_curve group by dynamics order by count(*) desc, dynamics"
    )
    assert counts == [
        # Specifications in levels existed first, and their number and IDs must not change.
        ("levels", 3024, 64, 0),
        *((name, 70, 1, 70) for name in ("city_trends", *DIFFERENCES)),
    ]


def test_a_standing_that_there_is_not_is_named(sample_build: Build, tmp_path: Path) -> None:
    sql = sample_build.compiled("int_specification_curve")
    with duckdb.connect(str(shutil.copy(sample_build.warehouse, tmp_path))) as connection:
        connection.execute("update seeds.curve_axes set standing = 'fine' where value = 'asinh'")
        with pytest.raises(
            duckdb.InvalidInputException,
            match="transform=asinh, column standing: 'fine' is not arb",
        ):
            connection.execute(sql)


def test_the_same_permutation_runs_through_all_specifications(sample_build: Build) -> None:
    """The joint test uses the same permutations whatever the order and number of choices.

    In the sample AI content has an effect, so nearly all permuted slopes are smaller.
    """
    joint = joint_of(sample_build)
    choices = sample_build.frame(
        "select * from intermediate.int_specification_curve where transform in ('ln1p', 'asinh')"
        " and scope = 'industry' and provider = 'default' and controls in ('none', 'research') and"
        " population = 'registered' and fixed_effects = 'city year' and period = '2010-2020' and"
        " city_sample = 'all' and weighting = 'fixed_ratio' and dynamics in ('levels',"
        " 'difference_3')"
    )
    found = joint(choices)
    median = found[found["statistic"] == "median_estimate"]
    # Specifications without controls count as inferior (dominated), and so do errors clustered by
    # city.
    assert [
        *median[["choices", "errors", "specification_count"]].itertuples(index=False, name=None)
    ] == [
        ("all", "city", 8),
        ("all", "province", 8),
        ("without_dominated", "province", 4),
    ]
    assert (median["observed"] > median["permuted_mean"]).all()
    assert (found["p_value"] >= 1 / 20).all()
    pd.testing.assert_frame_equal(found, joint(choices[::-1]), rtol=1e-9)
    # The permutations do not depend on whether inferior (dominated) specifications are computed.
    alone = joint(choices[~choices["is_dominated"]])
    columns = ["statistic", "observed", "permuted_mean", "permuted_low", "permuted_high", "p_value"]
    pd.testing.assert_frame_equal(
        *(
            frame.loc[
                (frame["choices"] == name) & (frame["errors"] == "province"), columns
            ].reset_index(drop=True)
            for frame, name in ((found, "without_dominated"), (alone, "all"))
        ),
        rtol=1e-9,
    )


def test_permutations_are_made_in_rounds_until_each_statistic_has_enough(
    sample_build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    joint = joint_of(sample_build)
    choices = sample_build.frame(
        "select * from intermediate.int_specification_curve where transform = 'ln1p' "
        "and scope = 'industry' and provider = 'default' and controls in ('none', 'research') "
        "and population = 'registered' and fixed_effects = 'city year' and period = '2010-2020' "
        "and city_sample = 'all' and weighting = 'fixed_ratio' and dynamics = 'levels'"
    )
    monkeypatch.setattr(specification_curve, "FIRST_LOOK", 5)
    whole = joint(choices, draws=10)
    assert set(whole["draws"]) == {10}
    # Compute the two rounds of five permutations separately, each with its own seed.
    rounds = []
    for seed in (specification_curve.SEED, specification_curve.SEED + 1):
        monkeypatch.setattr(specification_curve, "SEED", seed)
        rounds.append(joint(choices, draws=5))
    means = (rounds[0]["permuted_mean"] + rounds[1]["permuted_mean"]) / 2
    np.testing.assert_allclose(whole["permuted_mean"], means, rtol=1e-9)
    larger = rounds[0]["larger_draws"] + rounds[1]["larger_draws"]
    assert [*whole["larger_draws"]] == [*larger]
    np.testing.assert_allclose(whole["p_value"], (1 + larger) / 11)


def test_verdicts_are_right_where_the_truth_is_known(sample_build: Build) -> None:
    """Verdicts agree with the simulated truth that GDP responds to firms, and not to AI counts."""
    verdicts = sample_build.pairs(
        "select (v.table_id[-1] || '.' || v.column_number), (verdict, v.cause, ai)"
        " from reports.rpt_verdicts as v"
        " inner join reports.rpt_claims using (table_id, column_number) where design_order = 1"
    )
    assert len(verdicts) == 21
    assert verdicts["1.1"] == verdicts["2.1"] == ("holds", None, "no")
    assert verdicts["4.3"][:2] == ("cannot_tell", "mechanical")
    # The specification tests pass, but the confidence interval contains zero and excludes the
    # printed 0.559 (see synthetic/truth.py).
    assert verdicts["4.4"][:2] == ("not_found", None)
    assert {row[2] for name, row in verdicts.items() if name > "5"} == {None}


def test_verdicts_on_the_public_set_follow_from_its_checks(public_build: Build) -> None:
    checks_of_claim = public_build.pairs(
        "select check_id, sentence from reports.rpt_credibility where specification_id = ?",
        HEADLINE,
    )
    assert (
        checks_of_claim["by_province"]
        == "The 95 % interval with CRV3 by province, -0.049 to 0.364, contains zero (p = 0.129)."
    )
    # These checks are only run for estimates that are significant with errors clustered by
    # province.
    assert not checks_of_claim.keys() & {"without_a_province", "family"}
    # The gate rejects the years before the event, so checks that use these years are not run.
    for column in (2, 3):
        void = public_build.pairs(
            "select check_id, (passes, sentence) from reports.rpt_credibility where table_id ="
            " 'table_5' and column_number = ? and aspect in ('zero', 'printed', 'required')",
            column,
        )
        assert len(void) == 3
        for passes, sentence in void.values():
            assert passes is None
            assert sentence.startswith("Not made. The gate rejects the years 2010, 2011,")
    assert public_build.rows(
        "select distinct verdict, cause from reports.rpt_verdicts where table_id = 'table_5' and"
        " column_number > 1"
    ) == [("cannot_tell", "not_made")]
    delivered = public_build.rows(
        "select distinct (cause is not distinct from 'no_data') = (status = 'not_estimable') from"
        " reports.rpt_verdicts inner join reports.rpt_column_specifications using (table_id,"
        " column_number) where design_order = 1"
    )
    assert delivered == [(True,)]


def test_no_p_value_in_a_sentence_is_zero_or_has_an_exponent(
    sample_build: Build, public_build: Build
) -> None:
    odd = """
        select sentence from reports.rpt_credibility
        where regexp_matches(sentence, 'p = 0[^.]|p = 0.000|[0-9]e-[0-9]')
    """
    assert sample_build.rows(odd) == public_build.rows(odd) == []


@pytest.fixture
def judged(sample_build: Build, tmp_path: Path) -> Iterator[Callable[[str], dict[str, str]]]:
    """Return a function that changes a copy of the warehouse by SQL and recomputes all verdicts."""
    warehouse = shutil.copy(sample_build.warehouse, tmp_path)
    with duckdb.connect(str(warehouse)) as connection:

        def after(change: str) -> dict[str, str]:
            connection.begin()
            connection.execute(change)
            for name in ("rpt_credibility", "rpt_verdicts"):
                connection.execute(
                    f"create or replace table reports.{name} as {sample_build.compiled(name)}"
                )
            found = connection.execute(
                "select specification_id, verdict from reports.rpt_verdicts"
            ).fetchall()
            connection.rollback()
            return dict(found)

        yield after


def test_a_check_that_was_not_made_never_makes_a_stronger_word(
    sample_build: Build, judged: Callable[[str], dict[str, str]]
) -> None:
    """A missing check never strengthens a verdict; the rows of each check are deleted in turn."""
    place = sample_build.pairs(
        "select verdict, max(place) from seeds.verdicts where question = 'design' group by 1"
    )
    before = sample_build.pairs("select specification_id, verdict from reports.rpt_verdicts")
    holding = {name for name, verdict in before.items() if verdict == "holds"}
    assert holding
    rules = sample_build.rows(
        "select distinct aspect, source, method, setting from seeds.verdict_rules where source <>"
        " 'estimate'"
    )
    for aspect, source, method, setting in rules:
        change = (
            f"delete from estimates.est_{source} where method = '{method}' and setting ="
            f" '{setting or ''}'"
        )
        after = judged(change)
        assert all(place[after[name]] <= place[before[name]] for name in before), (method, setting)
        if aspect in ("family", "required"):
            assert any(after[name] == "cannot_tell" for name in holding) or method in (
                "crv3",
                "romano_wolf",
            )


def fall(left: float, p_value: float) -> str:
    """Return SQL that sets the share of the estimate that remains after adding city trends."""
    return (
        f"update estimates.est_influence set estimate_without = {left} * estimate,"
        f" difference = ({left} - 1) * estimate, p_value_difference = {p_value}"
        " where method = 'with_city_trends'"
    )


def movement(difference: float, error: float) -> str:
    """Return SQL that sets the change of the estimate when doubtful values are dropped."""
    return (
        f"update estimates.est_influence set difference = {difference},"
        f" statistic_difference = {difference / error},"
        f" conf_low_difference = {difference - 2 * error},"
        f" conf_high_difference = {difference + 2 * error}"
        " where method = 'leave_out_flagged' and setting = 'cluster=province'"
    )


# tests/fixtures/limits.toml has the limits of each check.
CHANGES = {
    "update estimates.est_inference set p_value = 0.01 where method = 'later'": "fails_check",
    # An insignificant decrease passes if at least a quarter of the estimate remains.
    fall(0.3, 0.2): "holds",
    # The test is one-sided at 5 %, so a two-sided p-value of 0.09 is significant.
    fall(0.7, 0.09): "fails_check",
    # An estimate that increases when city trends are added passes.
    fall(1.6, 0.01): "holds",
    # A change passes if its confidence interval, here up to 0.05, stays below half of the printed
    # value of 0.125.
    movement(0.02, 0.015): "holds",
    # A significant change fails if it is larger than a tenth of the printed value.
    movement(-0.015, 0.004): "fails_check",
    # The check is inconclusive if the confidence interval of the change, here up to 0.08, exceeds
    # half of the printed value.
    movement(0.02, 0.03): "cannot_tell",
}


def test_a_verdict_follows_from_the_checks_of_its_estimate(
    judged: Callable[[str], dict[str, str]],
) -> None:
    assert {change: judged(change)[HEADLINE] for change in CHANGES} == CHANGES


def test_the_public_set_moves_without_doubtful_values_as_a_referee_found(
    public_build: Build,
) -> None:
    """Dropping doubtful values changes the estimates only slightly, as a referee found.

    GDP per head of 2013 is missing now, because it was based on another population. With it the
    estimate was 0.185, and 0.133 without the values flagged then.
    """
    moved = public_build.pairs(
        "select specification_id, (round(moved.estimate, 3), round(estimate_without, 3),"
        " round(std_error_difference, 4), round(statistic_difference, 2),"
        " round(p_value_difference, 3), passes) from estimates.est_influence as moved"
        " inner join reports.rpt_credibility using (specification_id) where term = 'ai_firms'"
        " and method = 'leave_out_flagged' and setting = 'cluster=province' and check_id ="
        " 'without_flagged'"
    )
    assert moved["table_4_col_1"] == (0.155, 0.15, 0.0096, -0.57, 0.575, True)
    assert moved[HEADLINE] == (0.158, 0.151, 0.0084, -0.74, 0.465, True)
    sentence = "select sentence from reports.rpt_credibility where check_id = 'without_flagged'"
    sentence += f" and specification_id = '{HEADLINE}'"
    assert public_build.value(sentence) == (
        "Without the city-years that data checks flag, the estimate changes by 5 % of the"
        " printed value (at most 19 % with 95 % confidence, CRV3 by province)."
    )


def test_an_estimate_that_its_family_does_not_let_stand_is_not_called_fragile(
    sample_build: Build, judged: Callable[[str], dict[str, str]]
) -> None:
    """The verdict is inconclusive if multiple-testing correction removes the significance."""
    before = sample_build.pairs("select specification_id, verdict from reports.rpt_verdicts")
    alone = {
        name
        for (name,) in sample_build.rows(
            "select specification_id from reports.rpt_verdicts where excludes_zero and cause is"
            " null"
        )
    }
    assert {before[name] for name in alone} >= {"holds"}
    # Make next year's measure significant, so that another check fails as well.
    after = judged(
        "update estimates.est_inference set p_value = case method when 'romano_wolf' then 0.2 else"
        " 0.001 end where method in ('romano_wolf', 'next_year')"
    )
    assert {after[name] for name in alone} == {"cannot_tell"}
    members = sample_build.rows(
        "select term, count(*) = count(distinct specification_id) from estimates.est_inference "
        "where method = 'romano_wolf' and setting = 'tables=5-6' group by all"
    )
    # The test family contains the average effect of each column, not the effects of single years.
    assert members == [("average", True)]
