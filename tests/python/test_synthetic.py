"""The synthetic sample, read back from its files by a route that shares nothing with the generator."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from ai_manufacturing import cli, synthetic
from ai_manufacturing.estimators import fixed_effects
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.settings import project_root
from benchmarks.verdicts import truth_of

SEED = 2020
YEARS = range(2010, 2021)
MARK = "合成样本（synthetic sample）"
KEY = ["城市代码", "行业代码"]
FIRM_COUNTS = ["企业存续数", "企业新设数", "企业注销数"]
PATENT_COUNTS = ["专利申请数", "专利授权数"]
HEADERS = {
    "firm_survival": "城市代码,城市名称,行业代码,行业名称,年份,企业存续数,企业新设数,企业注销数,"
    "人工智能企业存续数,人工智能企业新设数,人工智能企业注销数,数据来源",
    "patents": "城市代码,城市名称,行业代码,年份,专利类型,专利申请数,专利授权数,"
    "人工智能专利申请数,人工智能专利授权数,数据来源",
    "city_yearbook": "城市代码,城市名称,省份,年份,地区生产总值(亿元),人均地区生产总值(元),第一产业增加值(亿元),"
    "第二产业增加值(亿元),第三产业增加值(亿元),户籍人口(万人),常住人口(万人),单位从业人员(万人),"
    "第二产业从业人员(万人),制造业从业人员(万人),R&D人员(人),规模以上工业企业数(个),年末金融机构贷款余额(亿元),"
    "实际使用外资(百万美元),教育支出(亿元),科学技术支出(亿元),数据来源",
}
CONTROLS = ["户籍人口(万人)", "单位从业人员(万人)", "R&D人员(人)"]
ADDED_CONTROLS = [
    "规模以上工业企业数(个)",
    "年末金融机构贷款余额(亿元)",
    "实际使用外资(百万美元)",
    "教育支出(亿元)",
    "科学技术支出(亿元)",
]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(folder: Path, entity: str) -> pd.DataFrame:
    files = sorted((folder / entity).glob("*.csv"))
    assert [path.stem[-4:] for path in files] == [str(year) for year in YEARS]
    return pd.concat([pd.read_csv(path, dtype={"城市代码": str, "行业代码": str}) for path in files])


@pytest.fixture(scope="session")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sample")
    synthetic.write(out, SEED, YEARS)
    return out


@pytest.fixture(scope="session")
def firms(extracts: Path) -> pd.DataFrame:
    return read(extracts, "firm_survival")


@pytest.fixture(scope="session")
def patents(extracts: Path) -> pd.DataFrame:
    return read(extracts, "patents")


@pytest.fixture(scope="session")
def yearbook(extracts: Path) -> pd.DataFrame:
    return read(extracts, "city_yearbook")


@pytest.fixture(scope="session")
def scope() -> set[str]:
    industries = pd.read_csv(project_root() / "seeds" / "industries.csv", dtype=str)
    return set(industries.loc[industries["section"].isin(list("BCDE")), "industry_code"])


@pytest.fixture(scope="session")
def cities() -> pd.DataFrame:
    return pd.read_csv(project_root() / "seeds" / "cities.csv", dtype=str).set_index("city_id")


@pytest.fixture(scope="session")
def ai_firms_2020(firms: pd.DataFrame, scope: set[str], cities: pd.DataFrame) -> pd.Series:
    chosen = firms[firms["行业代码"].isin(scope) & (firms["年份"] == 2020)]
    return chosen.groupby("城市代码")["人工智能企业存续数"].sum().reindex(cities.index, fill_value=0)


# ---------------------------------------------------------------- the delivery


def test_the_same_seed_gives_the_same_bytes_in_another_process(extracts: Path, tmp_path: Path) -> None:
    command = (
        f"from ai_manufacturing.cli import main; main(['synthetic', '--out', {str(tmp_path)!r}, '--seed', '{SEED}'])"
    )
    subprocess.run([sys.executable, "-c", command], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert digests(tmp_path) == digests(extracts)


def test_another_seed_gives_other_numbers_and_the_same_truth(extracts: Path, tmp_path: Path) -> None:
    synthetic.write(tmp_path, SEED + 1, YEARS)
    ours, theirs = digests(extracts), digests(tmp_path)
    assert ours.keys() == theirs.keys()
    assert all(ours[name] != theirs[name] for name in ours)
    first, second = (yaml.safe_load((path / "extract_set.yml").read_text("utf-8")) for path in (extracts, tmp_path))
    assert (first["seed"], second["seed"]) == (SEED, SEED + 1)
    assert first["true_parameters"] == second["true_parameters"]
    assert len(first["true_parameters"]) > 60


def test_a_set_may_have_other_years_among_them_2015(tmp_path: Path) -> None:
    command = ["synthetic", "--out", str(tmp_path), "--years"]
    assert CliRunner().invoke(cli.main, [*command, "2014:2016"]).exit_code == 0
    files = ["企业存续_2014.csv", "企业存续_2015.csv", "企业存续_2016.csv"]
    assert sorted(path.name for path in (tmp_path / "firm_survival").iterdir()) == files
    refused = CliRunner().invoke(cli.main, [*command, "2016:2020"])
    assert (refused.exit_code, "anchored in 2015; name years that hold it" in refused.output) == (2, True)


def test_the_set_says_that_it_is_synthetic(extracts: Path) -> None:
    description = yaml.safe_load((extracts / "extract_set.yml").read_text("utf-8"))
    assert (description["name"], description["kind"]) == ("sample", "synthetic")
    assert "synthetic" in description["notice"]


@pytest.mark.parametrize("entity", HEADERS)
def test_every_row_carries_the_synthetic_mark_under_the_vendors_header(extracts: Path, entity: str) -> None:
    for path in sorted((extracts / entity).glob("*.csv")):
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        assert header == HEADERS[entity]
        assert rows
        assert all(row.endswith(f",{MARK}") for row in rows)


def test_names_and_codes_are_those_of_the_seeds(
    firms: pd.DataFrame, patents: pd.DataFrame, yearbook: pd.DataFrame, cities: pd.DataFrame, scope: set[str]
) -> None:
    for table in (firms, patents, yearbook):
        assert (table["城市名称"] == table["城市代码"].map(cities["name_zh"])).all()
    assert (yearbook["省份"] == yearbook["城市代码"].map(cities["province_name_zh"])).all()
    assert set(firms["城市代码"]) == set(cities.index)
    assert set(firms["行业代码"]) == scope | {"64", "65"}
    assert not firms.duplicated([*KEY, "年份"]).any()
    assert not patents.duplicated([*KEY, "年份", "专利类型"]).any()
    assert not yearbook.duplicated(["城市代码", "年份"]).any()


# ---------------------------------------------------------------- shocks that units share


def moves(levels: Floats) -> Floats:
    """Return the yearly moves of logs, units by years, less the means of unit and year, with a variance of 1."""
    moved = np.diff(np.log(levels), axis=1)
    moved = moved - np.nanmean(moved, axis=0) - moved.mean(axis=1, keepdims=True) + np.nanmean(moved)
    scaled: Floats = moved / np.nanstd(moved)
    return scaled


def together(shocks: synthetic.CommonShocks | None, pairs: Floats) -> list[float]:
    """Return the mean correlation of pairs of units, of firms, of GDP, and of one's firms with the other's GDP."""
    found = []
    for seed in range(6):
        drawn = synthetic.draw(seed, YEARS, truth_of(0), shocks)
        firms, gdp = moves(drawn.firms.astype(float)), moves(drawn.yearbook["gdp_100m_cny"])
        products = (one @ other.T / one.shape[1] for one, other in ((firms, firms), (gdp, gdp), (firms, gdp)))
        found.append([np.nanmean(product[pairs > 0]) for product in products])
    return [*np.mean(found, axis=0)]


@pytest.fixture(scope="session")
def pairs(cities: pd.DataFrame) -> dict[str, Floats]:
    """Pairs of units, 0 or 1, units by units: in one province, in two, within 60 to 100 km, beyond 1,500 km."""
    province = cities["province_id"].to_numpy()
    places = pd.read_csv(project_root() / "seeds" / "cities.csv", dtype={"city_id": str}).set_index("city_id")
    longitude, latitude = np.radians(places.loc[cities.index, ["longitude", "latitude"]].to_numpy()).T
    vectors = np.column_stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )
    km = 6371 * np.arccos(np.clip(vectors @ vectors.T, -1, 1))
    same = province[:, None] == province
    chosen = {
        "same province": same & ~np.eye(len(province), dtype=bool),
        "other province": ~same,
        "near": (km > 60) & (km < 100),
        "far": km > 1500,
    }
    return {name: np.asarray(pairs, dtype=float) for name, pairs in chosen.items()}


def test_cities_of_a_province_share_half_of_their_noise_and_firms_none_with_gdp(pairs: dict[str, Floats]) -> None:
    shocks = synthetic.CommonShocks("province", share=0.5)
    # The mean of a year takes a little of what provinces share.
    np.testing.assert_allclose(together(shocks, pairs["same province"]), [0.49, 0.49, 0], atol=0.05)
    np.testing.assert_allclose(together(shocks, pairs["other province"]), [-0.025, -0.025, 0], atol=0.02)
    np.testing.assert_allclose(together(None, pairs["same province"]), [0, 0, 0], atol=0.02)


def test_neighbours_share_less_the_further_they_are_apart(pairs: dict[str, Floats]) -> None:
    shocks = synthetic.CommonShocks("neighbours", share=0.5, range_km=250)
    near, far = (together(shocks, pairs[distance]) for distance in ("near", "far"))
    at_80_km = 0.5 * np.exp(-80 / 250)
    # What all share on average goes with the mean of the year, of near and far alike.
    np.testing.assert_allclose(np.subtract(near, far), [at_80_km, at_80_km, 0], atol=0.07)


def test_shocks_of_no_share_leave_every_number_as_it_is() -> None:
    default = synthetic.draw(SEED, YEARS)
    alone, shared = (synthetic.draw(SEED, YEARS, shocks=synthetic.CommonShocks("province", part)) for part in (0, 0.5))
    for name in ("firms", "applications", "grants", "ai_firms", "yearbook"):
        ours, same, other = (numbers(getattr(drawn, name)) for drawn in (default, alone, shared))
        np.testing.assert_array_equal(ours, same, err_msg=name)
        assert (ours != other).mean() > 0.2, name
    with pytest.raises(ValueError, match=r"share is 1: it is at least 0 and below 1"):
        synthetic.draw(SEED, YEARS, shocks=synthetic.CommonShocks("province", 1))


def numbers(part: Any) -> Floats:
    """Return all numbers of a part of a draw."""
    arrays = {"": part} if isinstance(part, np.ndarray) else part if isinstance(part, dict) else vars(part)
    return np.concatenate([array.ravel() for array in arrays.values()])


def test_without_effects_no_outcome_and_no_control_moves_with_firms_or_patents() -> None:
    moved: dict[str, Any] = {"firm_noise_sd": 0.5, "firm_growth_slope_range": 0.02, "patent_own_noise_sd": 1.0}
    for size in (0, 1):
        truths = (truth_of(size), replace(truth_of(size), **moved))
        first, second = (synthetic.draw(SEED, YEARS, truth) for truth in truths)
        assert (first.firms != second.firms).mean() > 0.5
        unmoved = {
            name
            for name, values in first.yearbook.items()
            if np.array_equal(values, second.yearbook[name], equal_nan=True)
        }
        # The sample's own effects leave only what nothing moves.
        assert unmoved == (first.yearbook.keys() if size == 0 else {"registered_population_10k"})


# ---------------------------------------------------------------- the paper's facts


@pytest.fixture(scope="session")
def facts() -> pd.Series:
    return pd.read_csv(project_root() / "seeds" / "published_facts.csv").set_index("fact_id")["value"]


FACTS: dict[str, Callable[[pd.Series], float]] = {
    "shenzhen_ai_firms": lambda stock: stock["440300"],
    "shenzhen_share": lambda stock: round(100 * stock["440300"] / stock.sum()),
    "top5_share": lambda stock: round(
        100 * stock[["440300", "320500", "440100", "441900", "310000"]].sum() / stock.sum(), 1
    ),
    "five_largest_share": lambda stock: round(100 * stock.nlargest(5).sum() / stock.sum(), 1),
    "cities_over_200": lambda stock: (stock > 200).sum(),
    "cities_100_to_200": lambda stock: stock.between(101, 199).sum(),
    "cities_1_to_100": lambda stock: stock.between(1, 100).sum(),
    "cities_single_digit": lambda stock: stock.between(1, 9).sum(),
    "cities_zero": lambda stock: (stock == 0).sum(),
}


def test_the_published_facts_hold_exactly(facts: pd.Series, ai_firms_2020: pd.Series) -> None:
    assert {name: fact(ai_firms_2020) for name, fact in FACTS.items()} == dict(facts)


def test_the_five_largest_are_those_the_paper_names(ai_firms_2020: pd.Series, cities: pd.DataFrame) -> None:
    largest = ai_firms_2020.nlargest(5)
    assert cities.loc[largest.index, "short_name_zh"].tolist() == ["深圳", "苏州", "广州", "东莞", "上海"]
    assert ai_firms_2020.sum() == 2923


def test_ai_firms_are_in_the_east(ai_firms_2020: pd.Series, cities: pd.DataFrame) -> None:
    share = ai_firms_2020[cities["region"] == "east"].sum() / ai_firms_2020.sum()
    assert 0.65 < share < 0.85


def test_growth_accelerates_after_2016(firms: pd.DataFrame, scope: set[str]) -> None:
    stock = firms[firms["行业代码"].isin(scope)].groupby("年份")["人工智能企业存续数"].sum()
    before = (stock[2016] / stock[2010]) ** (1 / 6) - 1
    after = (stock[2020] / stock[2016]) ** (1 / 4) - 1
    assert 0.05 < before < 0.13
    assert after > before + 0.02


# ---------------------------------------------------------------- what must add up


@pytest.mark.parametrize("prefix", ["", "人工智能"])
def test_stock_and_flow_add_up_in_every_cell(firms: pd.DataFrame, prefix: str) -> None:
    stock, entries, exits = (
        firms.pivot_table(index=KEY, columns="年份", values=f"{prefix}{name}", fill_value=0) for name in FIRM_COUNTS
    )
    flow = entries - exits
    for year in YEARS[1:]:
        pd.testing.assert_series_equal(stock[year], stock[year - 1] + flow[year], check_names=False)
    assert (stock[2010] - flow[2010] >= 0).all()
    assert min(table.to_numpy().min() for table in (stock, entries, exits)) >= 0


def test_ai_counts_are_among_all_counts(firms: pd.DataFrame, patents: pd.DataFrame) -> None:
    for table, columns in ((firms, FIRM_COUNTS), (patents, PATENT_COUNTS)):
        for column in columns:
            assert (table[f"人工智能{column}"] >= 0).all()
            assert (table[f"人工智能{column}"] <= table[column]).all()


def test_ai_firms_are_plentiful_outside_the_scope(firms: pd.DataFrame, scope: set[str]) -> None:
    in_2020 = firms[firms["年份"] == 2020]
    outside = in_2020.loc[~in_2020["行业代码"].isin(scope), "人工智能企业存续数"].sum()
    assert outside > 2923


def test_sectors_sum_to_gdp_and_parts_are_within_wholes(yearbook: pd.DataFrame) -> None:
    sectors = yearbook[["第一产业增加值(亿元)", "第二产业增加值(亿元)", "第三产业增加值(亿元)"]]
    np.testing.assert_allclose(sectors.sum(axis=1), yearbook["地区生产总值(亿元)"], atol=0.0101)
    assert (sectors > 0).all().all()
    known = yearbook.dropna(subset=["制造业从业人员(万人)"])
    assert (known["制造业从业人员(万人)"] <= known["第二产业从业人员(万人)"]).all()
    assert (known["第二产业从业人员(万人)"] <= known["单位从业人员(万人)"]).all()


def test_the_files_add_up_to_the_panel_that_is_calibrated(
    firms: pd.DataFrame, patents: pd.DataFrame, scope: set[str], cities: pd.DataFrame
) -> None:
    panel = synthetic.draw(SEED, YEARS)

    def by_unit(table: pd.DataFrame, column: str) -> np.ndarray:
        inside = table[table["行业代码"].isin(scope)]
        sums = inside.pivot_table(index="城市代码", columns="年份", values=column, aggfunc="sum", fill_value=0)
        return sums.reindex(index=cities.index, columns=list(YEARS), fill_value=0).to_numpy()

    inventions = patents[patents["专利类型"] == "发明"]
    for table, column, expected in (
        (firms, "企业存续数", panel.firms),
        (firms, "人工智能企业存续数", panel.ai_firms.stock),
        (firms, "人工智能企业新设数", panel.ai_firms.entries),
        (firms, "人工智能企业注销数", panel.ai_firms.exits),
        (inventions, "专利申请数", panel.applications.total),
        (inventions, "专利授权数", panel.grants.total),
        (inventions, "人工智能专利申请数", panel.applications.ai),
        (inventions, "人工智能专利授权数", panel.grants.ai),
    ):
        np.testing.assert_array_equal(by_unit(table, column), expected)


# ---------------------------------------------------------------- what the estimates rest on


@pytest.fixture(scope="session")
def panel(firms: pd.DataFrame, patents: pd.DataFrame, yearbook: pd.DataFrame, scope: set[str]) -> pd.DataFrame:
    """Yearbook rows with equation 2 beside them, infinite where a log does not exist."""
    keys = ["城市代码", "年份"]
    joined = yearbook.set_index(keys)
    inside = firms[firms["行业代码"].isin(scope)]
    inventions = patents[patents["行业代码"].isin(scope) & (patents["专利类型"] == "发明")]
    for name, table, column in (
        ("firms", inside, "企业存续数"),
        ("applications", inventions, "专利申请数"),
        ("grants", inventions, "专利授权数"),
    ):
        sums = table.groupby(keys)[[column, f"人工智能{column}"]].sum().reindex(joined.index, fill_value=0)
        base = sums.xs(2020, level="年份")
        weight = (base[f"人工智能{column}"] / base[column]).reindex(joined.index.get_level_values("城市代码"))
        joined[name] = weight.to_numpy() * sums[column]
    return joined


def observations(panel: pd.DataFrame, regressor: str, columns: list[str]) -> int:
    used = panel[columns + ([] if regressor == "firms" else [regressor])]
    return int(((used > 0) & used.notna()).all(axis=1).sum())


@pytest.mark.parametrize(
    ("table", "column", "regressor", "outcome", "added", "first_year"),
    [
        *((f"table_{t}", c, r, o, [], 2010)
          for t, o in ((1, "地区生产总值(亿元)"), (2, "第二产业增加值(亿元)"), (3, "第二产业从业人员(万人)"))
          for c, r in enumerate(("firms", "applications", "grants"), start=1)),
        *(("table_3", c, r, "制造业从业人员(万人)", [], 2010)
          for c, r in enumerate(("firms", "applications", "grants"), start=4)),
        ("table_4", 1, "firms", "人均地区生产总值(元)", [], 2010),
        ("table_4", 2, "firms", "地区生产总值(亿元)", ADDED_CONTROLS, 2010),
        ("table_4", 3, "firms", "地区生产总值(亿元)", [], 2010),
        ("table_4", 4, "firms", "地区生产总值(亿元)", [], 2011),
    ],
)  # fmt: skip
def test_observations_are_as_many_as_printed(
    panel: pd.DataFrame, table: str, column: int, regressor: str, outcome: str, added: list[str], first_year: int
) -> None:
    published = pd.read_csv(project_root() / "seeds" / "published_estimates.csv")
    row = published[(published["table_id"] == table) & (published["column_number"] == column)].iloc[0]
    used = panel[panel.index.get_level_values("年份") >= first_year]
    assert observations(used, regressor, [outcome, *CONTROLS, *added]) == pytest.approx(row["n_obs"], rel=0.02)


def test_the_five_largest_are_controls_in_the_event_studies(yearbook: pd.DataFrame, ai_firms_2020: pd.Series) -> None:
    of_2015 = yearbook[yearbook["年份"] == 2015].set_index("城市代码")
    share = of_2015["第二产业增加值(亿元)"] / of_2015["地区生产总值(亿元)"]
    assert (share[ai_firms_2020.nlargest(5).index] <= share.median()).all()
    assert len(share) == 260


def test_table_1_column_1_is_recovered_on_average(cities: pd.DataFrame) -> None:
    """The error of the mean of 8 seeds is .0043; four of them either way."""
    estimates = []
    for seed in range(8):
        drawn = synthetic.draw(seed, YEARS)
        series = drawn.yearbook
        ratio = drawn.ai_firms.stock[:, -1:] / drawn.firms[:, -1:]
        columns = {
            "y": np.log(series["gdp_100m_cny"]),
            "m": np.log1p(ratio * drawn.firms),
            "population": np.log(series["registered_population_10k"]),
            "employment": np.log(series["unit_employment_10k"]),
            "rd": np.log(series["rd_personnel"]),
        }
        index = pd.MultiIndex.from_product([cities.index, YEARS], names=["city_id", "year"])
        data = pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index).dropna()
        slopes = ["m", "population", "employment", "rd"]
        fit = fixed_effects.fit(data.reset_index(), "y", slopes, entity="city_id", time="year")
        estimates.append(fit.estimates[0])
    assert np.mean(estimates) == pytest.approx(0.125, abs=0.017)


def test_delivered_files_are_not_overwritten(tmp_path: Path) -> None:
    delivered = tmp_path / "firm_survival/企业存续_2015.csv"
    delivered.parent.mkdir()
    delivered.write_text("delivered", encoding="utf-8")
    with pytest.raises(synthetic.NotSyntheticError, match="holds delivered files"):
        synthetic.write(tmp_path, 2020, YEARS)
    assert delivered.read_text(encoding="utf-8") == "delivered"
    assert not (tmp_path / "extract_set.yml").exists()
