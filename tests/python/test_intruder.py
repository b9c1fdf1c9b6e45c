"""Test that an attacker cannot recover restricted city values from a release's public copy."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pytest

from ai_manufacturing.auditing import anchors
from ai_manufacturing.disclosure import published_numbers, terms
from ai_manufacturing.robustness.specification_curve import Panel
from tests.python import intruder
from tests.python.conftest import Build
from tests.python.intruder import KNOWN, Sensitivities, World
from tests.python.release_store import read
from tests.python.site_reader import Restricted


def bounds(
    world: World,
    path: Path,
    *added: Callable[[Sensitivities, World, Path], None],
    at_least: int = 0,
) -> pd.DataFrame:
    """Return the smallest relative error with which the numbers reveal each city's weight."""
    numbers = Sensitivities(Panel(world.headline, world.inputs).cities)
    for add in added:
        add(numbers, world, path)
    assert len(numbers) >= at_least
    return numbers.bounds()


class Given(NamedTuple):
    """A release, its public copy, and the other data that an attacker is assumed to have."""

    release: Path
    copy: Path
    world: World


@pytest.fixture(scope="module")
def sample(sample_build: Build, restricted_sample: Restricted) -> Given:
    return Given(*restricted_sample, intruder.world(sample_build.warehouse))


@pytest.fixture(scope="module")
def public(
    public_build: Build, public_release: Path, tmp_path_factory: pytest.TempPathFactory
) -> Given:
    copy = tmp_path_factory.mktemp("intruder") / "copy.duckdb"
    terms.write_public_copy(public_release, copy)
    return Given(public_release, copy, intruder.world(public_build.warehouse))


@pytest.mark.parametrize(
    ("given", "share"),
    [("sample", 0.9), pytest.param("public", 0.75, marks=pytest.mark.soak)],
)
def test_the_release_gives_nearly_every_weight_and_its_public_copy_none(
    given: str, share: float, request: pytest.FixtureRequest, sample_build: Build
) -> None:
    """Conservatively assume that the attacker knows the permutation behind each of 400 draws."""
    release, copy, world = request.getfixturevalue(given)
    whole, copied = (bounds(world, path, intruder.add_draws) for path in (release, copy))
    known = whole["alone"].reindex(world.weights.index) < KNOWN
    assert known.mean() > share
    assert copied.min().min() > KNOWN


def test_no_attack_on_the_curve_can_know_a_weight_to_ten_per_cent(sample: Given) -> None:
    """Every eighth point of the specification curve gives about one number per unknown weight."""
    found = bounds(sample.world, sample.copy, partial(intruder.add_curve, every=8), at_least=200)
    assert found.min().min() > KNOWN


@pytest.mark.soak
def test_no_attack_at_all_can_know_a_weight_to_ten_per_cent(public: Given) -> None:
    """The attacker combines the specification curve, the jackknife and all regression tables.

    The insider also knows the weights of all other cities in the province.
    """
    every = (intruder.add_curve, intruder.add_jackknife, intruder.add_tables)
    found = bounds(public.world, public.copy, *every, at_least=2_000)
    assert found.min().min() > KNOWN


def memberships(given: Given, shown: str = "") -> Iterator[pd.Series]:
    """Yield the cities that enter each sum of AI firms in a public copy, for the last year."""
    cities = intruder.published(
        given.release,
        """
        select city_id, region, class, is_single_digit
        from marts.fct_spatial_distribution
        where
            measure = 'ai_firms'
            and year = (select max(year) from reports.rpt_spatial_classes)
        order by measure_count desc, city_id
        """,
    ).set_index("city_id")
    place = np.arange(len(cities))
    sums = {
        ("national_count", "marts.fct_spatial_concentration"): place >= 0,
        ("top_1_share", "marts.fct_spatial_concentration"): place < 1,
        ("top_5_share", "marts.fct_spatial_concentration"): place < 5,
        ("top_10_share", "marts.fct_spatial_concentration"): place < 10,
        ("east_share", "marts.fct_spatial_concentration"): cities["region"] == "east",
    }
    classes = {name: cities["class"] == name for name in cities["class"].unique()}
    for name, members in {**classes, "single_digit": cities["is_single_digit"]}.items():
        sums["ai_firm_count", f"reports.rpt_spatial_classes where class = '{name}'"] = members
    listed = "select fact_id, city_ids from seeds.published_facts where city_ids is not null"
    for fact, city_ids in read(given.release, listed):
        row = f"reports.rpt_published_facts where fact_id = '{fact}'"
        sums["estimated_value", row] = cities.index.isin(city_ids.split())
    for (column, row), members in sums.items():
        ((count,),) = read(given.copy, f"select count({column}) from {row}")
        if count or column == shown:
            yield pd.Series(np.asarray(members, dtype=float), cities.index)


@pytest.mark.parametrize("given", ["sample", "public"])
def test_no_combination_of_published_sums_is_one_or_two_cities(
    given: str, request: pytest.FixtureRequest, sample_build: Build
) -> None:
    found: Given = request.getfixturevalue(given)
    sums = pd.DataFrame([*memberships(found)])
    assert len(sums) >= 4
    assert intruder.isolated(sums) == []
    # As a positive control, publishing the largest city's share must be detected as a disclosure.
    with_largest = pd.DataFrame([*memberships(found, shown="top_1_share")])
    assert intruder.isolated(with_largest) != []


def test_a_column_that_nobody_declared_and_a_text_with_digits_stop_a_copy(
    sample: Given, tmp_path: Path
) -> None:
    release = tmp_path / "release.duckdb"
    for change, named in (
        (
            "alter table estimates.est_inference add column skew double",
            "est_inference, column skew",
        ),
        (
            "update estimates.est_coefficients set reason = 'slope 0.1264783' where term_order = 2",
            "est_coefficients, column reason: .* 0.1264783",
        ),
    ):
        shutil.copyfile(sample.release, release)
        with duckdb.connect(str(release)) as connection:
            connection.execute(change)
        with pytest.raises(published_numbers.UndeclaredNumberError, match=named):
            terms.write_public_copy(release, tmp_path / "copy.duckdb")
        (tmp_path / "copy.duckdb").unlink(missing_ok=True)


def test_a_copy_says_how_exactly_it_shows_each_number(sample: Given) -> None:
    ((precision,),) = read(
        sample.copy,
        "select precision from release.published_numbers"
        " where (table_name, column_name) = ('estimates.est_coefficients', 'estimate')",
    )
    assert precision.startswith("the decimals of 2")
    headline = (
        "select estimate, std_error, std_error_province from estimates.est_coefficients where"
        " specification_id = 'table_1_col_1' and term_order = 1"
    )
    (shown,), (own,) = (read(path, headline) for path in (sample.copy, sample.release))
    # The public copy rounds estimates to three decimals, like the printed table.
    assert shown == tuple(round(value, 3) for value in own)
    draws = read(
        sample.copy,
        "select count(statistic), count(distinct estimate) from estimates.est_permuted_weights",
    )
    ((statistics, bars),) = draws
    assert statistics == 0
    assert 10 < bars < 60, "the bars of a histogram"
    influence = "select distinct estimate_without from estimates.est_influence where city_count < 3"
    assert read(sample.copy, influence) == [(None,)]


def test_the_order_of_the_rows_of_a_copy_tells_nothing(sample: Given) -> None:
    for table in ("reports.rpt_city_standing", "estimates.est_permuted_weights"):
        rows = f"from {table}"
        assert read(sample.copy, rows) == read(sample.copy, f"{rows} order by all")


def test_tables_of_a_published_release_are_declared() -> None:
    """Tables that a refresh adds to a release need a declared precision for each DOUBLE column."""
    numbers = published_numbers.read_published_numbers()
    for name, (_, columns) in anchors.TABLES.items():
        types = {column: type_.upper() for column, (type_, _) in columns.items()}
        shown = numbers.find_precisions(f"release.{name}", types, is_computed=True)
        assert {column for column, type_ in types.items() if type_ == "DOUBLE"} == {*shown}


RULES = [
    ("decimals", "3", "", 0.12651, 0.127),
    # A small number keeps two significant digits, because three decimals would round it to zero.
    ("decimals", "3", "", 0.0002649, 0.00026),
    ("digits", "2", "", 1234.5, 1200.0),
    ("error", "2", "0.0419", 0.157606, 0.158),
    ("error", "2", "0.452", 0.81249, 0.81),
    # The public copy shows at most three decimals, even if the standard error is tiny.
    ("error", "2", "0.0002", 0.157606, 0.158),
    ("error", "2", "null", 0.157606, 0.16),
    # Rounding must not move a p-value across the 5 % significance level.
    ("p", "1", "", 0.0496, 0.049),
    ("p", "1", "", 0.0504, 0.05),
    # Rounding 0.0496 to three decimals would give 0.050, so a value just below 5 % is shown.
    ("p", "3", "", 0.0496, 0.0499),
    ("p", "1", "", 1e-9, 0.0004),
    ("bands", "4", "367", 4, 4),
    ("bands", "4", "367", 92, 5),
    ("bands", "4", "367", 184, 93),
    # A missing rank remains missing in the public copy.
    ("bands", "4", "367", None, None),
    ("withheld", "", "", 0.5, None),
    ("decimals", "3", "", float("inf"), float("inf")),
]


@pytest.mark.parametrize(("rule", "places", "beside", "value", "shown"), RULES)
def test_a_number_is_shown_by_its_rule(
    rule: str, places: str, beside: str, value: float | None, shown: float | None
) -> None:
    with duckdb.connect() as connection:
        connection.execute(published_numbers.SQL["macros"])
        expression = published_numbers.RULES[rule].to_sql("x", places, beside)
        kind = "bigint" if rule == "bands" else "double"
        ((found,),) = connection.execute(
            f"select {expression} from (select cast(? as {kind}) as x)", [value]
        ).fetchall()
    assert found == (shown if shown is None else pytest.approx(shown, abs=1e-12))
