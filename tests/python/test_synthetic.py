"""Test the synthetic sample by reading its files without using the code that wrote them."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from ai_manufacturing import cli
from ai_manufacturing.estimation import specifications
from ai_manufacturing.estimation.tables import estimate_coefficients
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.landing import LandingError
from ai_manufacturing.paper import synthetic
from ai_manufacturing.system import great_circle, settings
from tests.lib import samples, truths
from tests.lib.samples import seed_table
from tests.lib.truths import CommonShocks, truth_of
from tests.python.conftest import Build

SEED = 2020
YEARS = range(2010, 2021)
INDUSTRIES = seed_table("industries").astype({"industry_code": str})
INDUSTRY = {*INDUSTRIES.loc[INDUSTRIES["section"].isin([*"BCDE"]), "industry_code"].str.zfill(2)}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def description(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "extract_set.yml").read_text("utf-8")))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    synthetic.write_sample(folder, SEED, YEARS)
    return folder


@pytest.fixture(scope="session")
def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the CSV files of each entity as one data frame."""
    found = {}
    for entity in ("firm_survival", "patents", "city_yearbook"):
        files = sorted((folder / entity).glob("*.csv"))
        assert [path.stem[-4:] for path in files] == [str(year) for year in YEARS]
        found[entity] = pd.concat(
            [pd.read_csv(path, dtype={"城市代码": str, "行业代码": str}) for path in files],
            ignore_index=True,
        )
    return found


@pytest.fixture(scope="session")
def cities() -> pd.DataFrame:
    return seed_table("cities").astype({"city_id": str}).set_index("city_id")


def test_the_same_seed_gives_the_same_bytes_in_another_process(
    folder: Path, tmp_path: Path
) -> None:
    command = (
        f"from ai_manufacturing.cli import main; main(['synthetic', '--out', {str(tmp_path)!r},"
        f" '--seed', '{SEED}'])"
    )
    subprocess.run(
        [sys.executable, "-c", command], check=True, env={**os.environ, "PYTHONHASHSEED": "7"}
    )
    assert digests(tmp_path) == digests(folder)


def test_another_seed_gives_other_numbers_and_the_same_truth(folder: Path, tmp_path: Path) -> None:
    synthetic.write_sample(tmp_path, SEED + 1, YEARS)
    ours, theirs = digests(folder), digests(tmp_path)
    assert ours.keys() == theirs.keys()
    assert not ours.items() & theirs.items()
    first, second = description(folder), description(tmp_path)
    assert (first["seed"], second["seed"]) == (SEED, SEED + 1)
    assert first["true_parameters"] == second["true_parameters"]
    assert len(first["true_parameters"]) > 60


def test_the_years_of_a_set_hold_2015(tmp_path: Path) -> None:
    command = ["synthetic", "--out", str(tmp_path), "--years", "2016:2020"]
    refused = CliRunner().invoke(cli.main, command)
    assert refused.exit_code == 2
    assert "anchored in 2015; choose a range of years that includes 2015" in refused.output


def test_every_row_carries_the_synthetic_mark_and_the_names_and_codes_of_the_seeds(
    tables: dict[str, pd.DataFrame], cities: pd.DataFrame
) -> None:
    for table in tables.values():
        assert {*table["数据来源"]} == {"合成样本（synthetic sample）"}
        assert (table["城市名称"] == table["城市代码"].map(cities["name_zh"])).all()
    yearbook, firms = tables["city_yearbook"], tables["firm_survival"]
    assert (yearbook["省份"] == yearbook["城市代码"].map(cities["province_name_zh"])).all()
    assert {*firms["城市代码"]} == {*cities.index}
    assert {*firms["行业代码"]} == INDUSTRY | {"64", "65"}


def moves(levels: Floats) -> Floats:
    """Return standardised log changes without unit and year means, shape (units, years - 1)."""
    moved = np.diff(np.log(levels), axis=1)
    moved -= np.nanmean(moved, axis=0)
    moved -= moved.mean(axis=1, keepdims=True)
    scaled: Floats = moved / np.nanstd(moved)
    return scaled


def together(root: Floats | None, pairs: Floats) -> list[float]:
    """Return mean correlations between pairs of units, averaged over simulated samples.

    The correlations are between firms, between GDP, and between one unit's firms and the other's
    GDP.
    """
    found = []
    for seed in range(6):
        drawn = synthetic.draw_city_years(seed, YEARS, truth_of(0), root)
        firms, gdp = moves(drawn.firms.astype(float)), moves(drawn.yearbook["gdp_100m_cny"])
        products = [one @ other.T for one, other in ((firms, firms), (gdp, gdp), (firms, gdp))]
        found.append([np.nanmean(product[pairs]) / firms.shape[1] for product in products])
    return [*np.mean(found, axis=0)]


def test_cities_of_a_province_share_half_of_their_noise_and_firms_none_with_gdp(
    cities: pd.DataFrame,
) -> None:
    province = cities["province_id"].to_numpy()
    pairs = province[:, None] == province
    np.fill_diagonal(pairs, val=False)
    root = truths.root(CommonShocks("province", share=0.5))
    # The year means absorb some of the shocks that cities of a province share.
    np.testing.assert_allclose(together(root, pairs), [0.49, 0.49, 0], atol=0.05)
    np.testing.assert_allclose(together(None, pairs), [0, 0, 0], atol=0.02)


def test_the_correlation_of_neighbours_falls_with_their_distance(cities: pd.DataFrame) -> None:
    root = truths.root(CommonShocks("neighbours", share=0.5, range_km=250))
    km = great_circle.RADIUS_KM * great_circle.compute_angles(
        cities[["longitude", "latitude"]].to_numpy()
    )
    expected = 0.5 * np.exp(-km / 250)
    np.fill_diagonal(expected, 1)
    np.testing.assert_allclose(root @ root.T, expected, atol=1e-9)
    with pytest.raises(ValueError, match=r"share is 1: it is at least 0 and below 1"):
        truths.root(CommonShocks("province", 1))


def test_without_effects_no_outcome_and_no_control_moves_with_firms_or_patents() -> None:
    moved: dict[str, Any] = {
        "firm_noise_sd": 0.5,
        "firm_growth_slope_range": 0.02,
        "patent_own_noise_sd": 1.0,
    }
    for size in (0, 1):
        truths = (truth_of(size), replace(truth_of(size), **moved))
        first, second = (synthetic.draw_city_years(SEED, YEARS, truth) for truth in truths)
        assert (first.firms != second.firms).mean() > 0.5
        unmoved = {
            name
            for name, values in first.yearbook.items()
            if np.array_equal(values, second.yearbook[name], equal_nan=True)
        }
        # With nonzero effects, registered population is the only series independent of firms and
        # patents.
        assert unmoved == (first.yearbook.keys() if size == 0 else {"registered_population_10k"})


def test_ai_firms_of_industry_lie_in_the_east_and_most_are_of_other_industries(
    tables: dict[str, pd.DataFrame], cities: pd.DataFrame
) -> None:
    firms = tables["firm_survival"].query("年份 == 2020")
    is_inside = firms["行业代码"].isin(INDUSTRY)
    stock = (
        firms[is_inside]
        .groupby(firms["城市代码"].map(cities["region"]))["人工智能企业存续数"]
        .sum()
    )
    assert 0.65 < stock["east"] / stock.sum() < 0.85
    assert firms.loc[~is_inside, "人工智能企业存续数"].sum() > stock.sum()


@pytest.mark.parametrize("prefix", ["", "人工智能"])
def test_stock_and_flow_add_up_in_every_cell(tables: dict[str, pd.DataFrame], prefix: str) -> None:
    stock, entries, exits = (
        tables["firm_survival"].pivot_table(
            f"{prefix}{name}", ["城市代码", "行业代码"], "年份", fill_value=0
        )
        for name in ("企业存续数", "企业新设数", "企业注销数")
    )
    before = stock - entries + exits
    np.testing.assert_array_equal(before[YEARS[1:]], stock[YEARS[:-1]])
    assert np.min([before, stock, entries, exits]) >= 0


def test_employment_is_within_that_of_its_whole_and_sectors_sum_to_gdp(
    tables: dict[str, pd.DataFrame],
) -> None:
    yearbook = tables["city_yearbook"]
    sectors = yearbook[["第一产业增加值(亿元)", "第二产业增加值(亿元)", "第三产业增加值(亿元)"]]
    np.testing.assert_allclose(sectors.sum(axis=1), yearbook["地区生产总值(亿元)"], atol=0.0101)
    assert (sectors > 0).all().all()
    names = ["制造业从业人员(万人)", "第二产业从业人员(万人)", "单位从业人员(万人)"]
    known = yearbook[names].dropna(subset=names[0])
    assert (np.diff(known) >= 0).all()


def test_delivered_files_are_not_overwritten(tmp_path: Path) -> None:
    delivered = tmp_path / "firm_survival/企业存续_2015.csv"
    delivered.parent.mkdir()
    delivered.write_text("delivered", encoding="utf-8")
    with pytest.raises(LandingError, match="contains delivered files"):
        synthetic.write_sample(tmp_path, 2020, YEARS)
    assert delivered.read_text(encoding="utf-8") == "delivered"
    assert not (tmp_path / "extract_set.yml").exists()


def test_the_warehouse_gives_the_estimates_of_the_draw_it_was_written_from(
    sample_build: Build,
) -> None:
    drawn = samples.inputs(synthetic.draw_city_years(SEED, settings.period()))
    columns = ["specification_id", "term", "observation_count", "estimate", "std_error"]
    chosen = specifications.read_specifications(drawn.specifications)
    direct = estimate_coefficients(chosen, drawn).to_pandas()[columns]
    built = sample_build.rows(
        f"select {', '.join(columns)} from reports.rpt_coefficients where reading = 'default' and"
        " table_id in ('table_1', 'table_2', 'table_3', 'table_4', 'table_5', 'table_6')"
    )

    assert direct["estimate"].notna().all()
    keys = ["specification_id", "term"]
    pd.testing.assert_frame_equal(
        direct.set_index(keys).sort_index(),
        pd.DataFrame(built, columns=columns).set_index(keys).sort_index(),
        check_exact=False,
        rtol=1e-8,
        atol=0,
    )
