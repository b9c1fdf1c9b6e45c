"""Compute Tables 1 to 6 of the paper from the delivered files with pandas and linearmodels.

    python benchmarks/peers/paper_by_hand.py build/extracts/sample [coefficients.csv]

A careful economist would write this script for one paper and one layout of files. It uses nothing
of this project, and has no gate, trace, corrections, boundary changes, second source, other
readings or release. Errors are clustered by city only, and system GMM has no specification tests.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from linearmodels.panel import PanelOLS

YEARS = range(2010, 2021)
BASE, SPLIT, EVENT, OMITTED = 2020, 2015, 2016, 2015
YEARBOOK = {
    "城市代码": "city",
    "年份": "year",
    "地区生产总值(亿元)": "gdp",
    "人均地区生产总值(元)": "gdp_per_capita",
    "第二产业增加值(亿元)": "secondary_value_added",
    "户籍人口(万人)": "registered_population",
    "单位从业人员(万人)": "unit_employment",
    "第二产业从业人员(万人)": "secondary_employment",
    "制造业从业人员(万人)": "manufacturing_employment",
    "R&D人员(人)": "rd_personnel",
    "规模以上工业企业数(个)": "above_scale_firms",
    "年末金融机构贷款余额(亿元)": "loans",
    "实际使用外资(百万美元)": "fdi",
    "教育支出(亿元)": "education_spending",
    "科学技术支出(亿元)": "science_spending",
}
FIRMS = {
    "企业存续数": "firms",
    "人工智能企业存续数": "ai_firms",
    "人工智能企业新设数": "ai_firm_entries",
    "人工智能企业注销数": "ai_firm_exits",
}
PATENTS = {
    "专利申请数": "applications",
    "专利授权数": "grants",
    "人工智能专利申请数": "ai_applications",
    "人工智能专利授权数": "ai_grants",
}
CONTROLS = ["ln_registered_population", "ln_unit_employment", "ln_rd_personnel"]
MORE_CONTROLS = [
    "ln_above_scale_firms",
    "ln_loans",
    "ln_fdi",
    "ln_education_spending",
    "ln_science_spending",
]
MEASURES = ["ai_firms", "ai_patent_applications", "ai_patent_grants"]


def read(folder: Path, columns: Sequence[str], **types: str) -> pd.DataFrame:
    """Read and concatenate the yearly CSV files of a folder."""
    files = sorted(folder.glob("*.csv"))
    return pd.concat(
        [pd.read_csv(path, usecols=[*columns], dtype=types) for path in files], ignore_index=True
    )


def counts(folder: Path, names: dict[str, str], kinds: Sequence[str] = ()) -> pd.DataFrame:
    """Sum the counts of industry (GB/T 4754 sections B to E) by city and year.

    A sum with a missing part is missing.
    """
    rows = read(folder, ["城市代码", "行业代码", "年份", *kinds, *names], 行业代码="str")
    rows = rows[rows["行业代码"].between("06", "50")]
    if kinds:
        rows = rows[rows["专利类型"] == "发明"]
    rows = rows.rename(columns={"城市代码": "city", "年份": "year", **names})
    grouped = rows.groupby(["city", "year"])[[*names.values()]]
    return grouped.sum().where(grouped.count().eq(grouped.size(), axis=0))


def log(values: pd.Series) -> pd.Series:
    """Return the log of positive values, and NaN for all other values."""
    return np.log(values.where(values > 0))


def of_base_year(values: pd.Series) -> pd.Series:
    """Return a series that repeats each city's base-year value in all years."""
    cities = values.index.get_level_values("city")
    return pd.Series(values.xs(BASE, level="year").reindex(cities).to_numpy(), index=values.index)


def panel(folder: Path) -> pd.DataFrame:
    """Return the city-year panel with the variables of the paper."""
    yearbook = (
        read(folder / "city_yearbook", [*YEARBOOK])
        .rename(columns=YEARBOOK)
        .set_index(["city", "year"])
    )
    data = counts(folder / "firm_survival", FIRMS).join(
        [counts(folder / "patents", PATENTS, ["专利类型"]), yearbook], how="outer"
    )
    data = data[data.index.get_level_values("year").isin(YEARS)].sort_index()
    for name in [*YEARBOOK.values()][2:]:
        data[f"ln_{name}"] = log(data[name])

    # Equation 2: multiply each city's AI share in the base year by the series in each year.
    scaled = {
        "ai_firms": ("ai_firms", "firms"),
        "ai_patent_applications": ("ai_applications", "applications"),
        "ai_patent_grants": ("ai_grants", "grants"),
        "ai_firms_by_gdp": ("ai_firms", "gdp"),
    }
    for name, (ai, series) in scaled.items():
        whole = of_base_year(data[series])
        measure = of_base_year(data[ai]) / whole.where(whole != 0) * data[series]
        data[f"m_{name}"] = log(measure) if "patent" in name else log(1 + measure)

    # Equation 3: treated cities have a secondary-sector share of GDP above the median in the year
    # before the event.
    share = (data["secondary_value_added"] / data["gdp"]).xs(SPLIT, level="year").dropna()
    above = (share > share.median()).astype(float)
    data["treated"] = above.reindex(data.index.get_level_values("city")).to_numpy()
    data["e_entries"] = log(1 + data["ai_firm_entries"])
    data["e_exits"] = log(1 + data["ai_firm_exits"])
    data["e_net_entries"] = log(1 + data["ai_firm_entries"] - data["ai_firm_exits"])
    data["e_stock"] = log(1 + data["ai_firms"])
    data["e_applications"] = log(1 + data["ai_applications"])
    data["e_grants"] = log(data["ai_grants"])
    return data


def two_way(data: pd.DataFrame, outcome: str, regressors: Sequence[str]) -> pd.DataFrame:
    """Fit a regression with city and year effects, and errors clustered by city.

    The small-sample factor is the default of fixest and reghdfe.
    """
    rows = data[[outcome, *regressors]].dropna()
    while True:
        alone = pd.Series(False, index=rows.index)
        for level in ("city", "year"):
            alone |= rows.groupby(level=level)[outcome].transform("size").eq(1)
        if not alone.any():
            break
        rows = rows[~alone]
    model = PanelOLS(rows[outcome], rows[[*regressors]], entity_effects=True, time_effects=True)
    fit = model.fit(
        cov_type="clustered",
        cluster_entity=True,
        debiased=False,
        group_debias=False,
        auto_df=False,
        count_effects=False,
    )
    n, cities, years = (
        len(rows),
        *(rows.index.get_level_values(level).nunique() for level in ("city", "year")),
    )
    factor = np.sqrt(cities / (cities - 1) * (n - 1) / (n - len(regressors) - years))
    return pd.DataFrame({"estimate": fit.params, "std_error": fit.std_errors * factor})


def event_study(data: pd.DataFrame, outcome: str, controls: Sequence[str]) -> pd.DataFrame:
    """Regress an outcome on treatment interacted with each year except the omitted year."""
    data = data.dropna(subset=["treated"])
    years = data.index.get_level_values("year")
    terms = {}
    for year in YEARS:
        since = year - EVENT
        name = "current" if since == 0 else f"before{-since}" if since < 0 else f"after{since}"
        if year != OMITTED:
            terms[name] = data["treated"] * (years == year)
    return two_way(data.assign(**terms), outcome, [*terms, *controls])


def system_gmm(
    data: pd.DataFrame, outcome: str, endogenous: str, controls: Sequence[str]
) -> pd.DataFrame:
    """Estimate system GMM like xtabond2: two-step, collapsed lags 2 to 4, Windmeijer errors.

    No Python package implements it. Controls are instruments for their own differences, year
    effects for the level equation.
    """
    grids = {
        name: data[name].unstack("year").to_numpy()  # noqa: PD010 - the grid of cities and years
        for name in (outcome, endogenous, *controls)
    }
    cities, periods = grids[outcome].shape

    def lag(grid: np.ndarray, by: int) -> np.ndarray:
        return np.pad(grid, ((0, 0), (by, 0)), constant_values=np.nan)[:, :periods]

    columns = [lag(grids[outcome], 1), grids[endogenous], *(grids[name] for name in controls)]
    complete = np.isfinite(np.stack([grids[outcome], *columns])).all(axis=0)
    first = np.flatnonzero(complete.any(axis=0))[0]
    effects = np.eye(periods)[:, first + 1 :]
    level_x = np.dstack(
        [*columns, *np.broadcast_to(effects.T[:, None], (effects.shape[1], cities, periods))]
    )
    level_x = np.dstack([level_x, np.ones((cities, periods))])
    lags = [lag(grids[name], by) for name in (outcome, endogenous) for by in (2, 3, 4)]
    changes = [lag(grids[name], 1) - lag(grids[name], 2) for name in (outcome, endogenous)]
    own = [grids[name] - lag(grids[name], 1) for name in controls]
    to_changes, to_levels = (
        np.nan_to_num(np.dstack([*lags, *own])),
        np.nan_to_num(np.dstack(changes)),
    )

    zx, zy, independent = [], [], 0.0
    for i in range(cities):
        levels = np.flatnonzero(complete[i])
        after = levels[np.isin(levels - 1, levels)]
        if len(levels) == 0:
            continue
        y = np.concatenate(
            [grids[outcome][i, after] - grids[outcome][i, after - 1], grids[outcome][i, levels]]
        )
        x = np.vstack([level_x[i, after] - level_x[i, after - 1], level_x[i, levels]])
        z = np.block(
            [
                [
                    to_changes[i, after],
                    np.zeros((len(after), to_levels.shape[2] + effects.shape[1] + 1)),
                ],
                [
                    np.zeros((len(levels), to_changes.shape[2])),
                    to_levels[i, levels],
                    effects[levels],
                    np.ones((len(levels), 1)),
                ],
            ]
        )
        errors = np.eye(periods)
        root = np.vstack([errors[after] - errors[after - 1], errors[levels]])
        independent = independent + z.T @ root @ root.T @ z
        zx.append(z.T @ x)
        zy.append(z.T @ y)
    each_x, each_y = np.array(zx), np.array(zy)
    sum_x, sum_y = each_x.sum(axis=0), each_y.sum(axis=0)

    def step(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        weights = np.linalg.pinv(covariance, rcond=1e-12, hermitian=True)
        bread = np.linalg.inv(sum_x.T @ weights @ sum_x)
        slopes = bread @ sum_x.T @ weights @ sum_y
        return slopes, bread, weights, each_y - each_x @ slopes

    _, bread, weights, scores = step(np.asarray(independent))
    clustered = scores.T @ scores
    projected = bread @ sum_x.T @ weights
    one_step = projected @ clustered @ projected.T
    slopes, bread, weights, of_second = step(clustered)
    weighted = weights @ of_second.sum(axis=0)
    by_term = np.tensordot(scores @ weighted, each_x, axes=1) + scores.T @ np.tensordot(
        each_x, weighted, axes=(1, 0)
    )
    derivative = bread @ sum_x.T @ weights @ by_term
    covariance = (
        bread + derivative @ bread + bread @ derivative.T + derivative @ one_step @ derivative.T
    )
    names = [f"L.{outcome}", endogenous, *controls]
    found = {
        "estimate": slopes[: len(names)],
        "std_error": np.sqrt(np.diag(covariance))[: len(names)],
    }
    return pd.DataFrame(found, index=names)


def tables(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the estimates of each printed column, keyed by table and column number."""
    found = {}
    outcomes = [
        ("table_1", 0, "ln_gdp"),
        ("table_2", 0, "ln_secondary_value_added"),
        ("table_3", 0, "ln_secondary_employment"),
        ("table_3", 3, "ln_manufacturing_employment"),
    ]
    for table, before, outcome in outcomes:
        for number, measure in enumerate(MEASURES, start=before + 1):
            found[f"{table}_col_{number}"] = two_way(data, outcome, [f"m_{measure}", *CONTROLS])
    found["table_4_col_1"] = two_way(data, "ln_gdp_per_capita", ["m_ai_firms", *CONTROLS])
    found["table_4_col_2"] = two_way(data, "ln_gdp", ["m_ai_firms", *CONTROLS, *MORE_CONTROLS])
    found["table_4_col_3"] = two_way(data, "ln_gdp", ["m_ai_firms_by_gdp", *CONTROLS])
    found["table_4_col_4"] = system_gmm(data, "ln_gdp", "m_ai_firms", CONTROLS)
    for number, outcome in enumerate(("e_entries", "e_exits", "e_net_entries", "e_stock"), start=1):
        found[f"table_5_col_{number}"] = event_study(data, outcome, CONTROLS)
    for number, outcome in enumerate(("e_applications", "e_grants"), start=1):
        found[f"table_6_col_{number}"] = event_study(data, outcome, [])
    return found


def coefficients(folder: Path) -> pd.DataFrame:
    """Return a table of estimates with one row per printed column and term."""
    long = pd.concat(tables(panel(folder)), names=["column", "term"]).reset_index()
    long["term"] = long["term"].str.removeprefix("m_").str.removesuffix("_by_gdp")
    return long


if __name__ == "__main__":
    written = coefficients(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        written.to_csv(sys.argv[2], index=False, float_format="%.17g")
    else:
        print(written.to_string(index=False))
