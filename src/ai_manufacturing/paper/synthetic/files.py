"""Write the synthetic sample as one CSV file per year, with Chinese column headers.

Counts by city and year are first split over industries and patent types.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import yaml
from numpy.random import Generator
from numpy.typing import NDArray

from ai_manufacturing.landing import LandingError, read_extract_set
from ai_manufacturing.paper.synthetic.counts import Flows, Patents, draw_flows
from ai_manufacturing.paper.synthetic.geography import read_units
from ai_manufacturing.paper.synthetic.panel import CityYears, draw_city_years
from ai_manufacturing.paper.synthetic.paths import Floats, Integers
from ai_manufacturing.paper.synthetic.truth import list_true_parameters
from ai_manufacturing.paper.synthetic.yearbook import DIGITS
from ai_manufacturing.system.settings import project_root, variables

SYNTHETIC_MARK = "合成样本（synthetic sample）"
NOTICE = (
    "Every number in this extract set is synthetic: drawn at random from the true parameters below."
    " Only unit names and codes, industry names and codes and a few orders of magnitude are real."
)

SCOPE_SECTIONS = ("B", "C", "D", "E")
# Internet and software divisions, which contain most AI firms but are not industry.
OUTSIDE_DIVISIONS = ("64", "65")
PATENT_DIVISIONS = (
    "06",
    "26",
    "27",
    "29",
    "30",
    "33",
    "34",
    "35",
    "36",
    "37",
    "38",
    "39",
    "40",
    "44",
    "48",
)
OUTSIDE_PATENT_DIVISION = "65"
# Relative frequencies of firms, AI firms and patents by industry division. Unlisted divisions have
# weight 1 for firms and patents, and weight 0 for AI firms and AI patents.
FIRM_WEIGHTS = {
    **dict.fromkeys(("07", "12", "16"), 0.02),
    **dict.fromkeys(("06", "08", "09", "11", "25", "28", "45", "46"), 0.2),
    **dict.fromkeys(("13", "18", "29", "30", "38", "39", "47"), 4.0),
    **dict.fromkeys(("33", "34", "35", "48", "50"), 6.0),
}
AI_WEIGHTS = {
    "39": 30,
    "35": 18,
    "34": 14,
    "38": 12,
    "40": 10,
    "36": 8,
    "37": 3,
    "27": 2,
    "44": 2,
    "50": 1,
}
PATENT_WEIGHTS = {"39": 8, "38": 7, "35": 6, "34": 5, "26": 5, "40": 4, "36": 4}

# Patent types (invention, utility model, design), each with the number of patents per invention and
# the AI share relative to inventions. The tuple is empty for inventions, which counts.py draws.
PATENT_TYPES: dict[str, tuple[float, ...]] = {
    "发明": (),
    "实用新型": (1.8, 0.4),
    "外观设计": (0.5, 0.1),
}

FIRM_HEADERS = (
    "企业存续数",
    "企业新设数",
    "企业注销数",
    "人工智能企业存续数",
    "人工智能企业新设数",
    "人工智能企业注销数",
)
PATENT_HEADERS = ("专利申请数", "专利授权数", "人工智能专利申请数", "人工智能专利授权数")
YEARBOOK_HEADERS = {
    "gdp_100m_cny": "地区生产总值(亿元)",
    "gdp_per_capita_cny": "人均地区生产总值(元)",
    "primary_100m_cny": "第一产业增加值(亿元)",
    "secondary_100m_cny": "第二产业增加值(亿元)",
    "tertiary_100m_cny": "第三产业增加值(亿元)",
    "registered_population_10k": "户籍人口(万人)",
    "resident_population_10k": "常住人口(万人)",
    "unit_employment_10k": "单位从业人员(万人)",
    "secondary_employment_10k": "第二产业从业人员(万人)",
    "manufacturing_employment_10k": "制造业从业人员(万人)",
    "rd_personnel": "R&D人员(人)",
    "above_scale_firm_count": "规模以上工业企业数(个)",
    "loans_100m_cny": "年末金融机构贷款余额(亿元)",
    "fdi_million_usd": "实际使用外资(百万美元)",
    "education_spending_100m_cny": "教育支出(亿元)",
    "science_spending_100m_cny": "科学技术支出(亿元)",
}


def require_synthetic_folder(out: Path) -> None:
    """Raise LandingError if a folder contains files other than synthetic data."""
    if out.is_dir() and any(out.iterdir()) and read_extract_set(out).kind != "synthetic":
        raise LandingError(
            f"{out} contains delivered files, so nothing was written. Choose an empty folder."
        )


def write_description(
    out: Path, name: str, seed: int, period: dict[str, Any], truth: dict[str, Any]
) -> None:
    """Write extract_set.yml with the name, seed and true parameters of synthetic data."""
    description = {
        "name": name,
        "kind": "synthetic",
        **period,
        "seed": seed,
        "notice": NOTICE,
        "mark": SYNTHETIC_MARK,
        **truth,
    }
    text = yaml.safe_dump(description, allow_unicode=True, sort_keys=False, width=1000)
    (out / "extract_set.yml").write_text(text, encoding="utf-8")


def write_sample(out: Path, seed: int, period: range) -> None:
    """Write a synthetic sample, with byte-identical files for identical arguments.

    Parameters
    ----------
    out : Path
        Folder to write, created if absent.
    seed : int
        Random seed.
    period : range
        As in draw_city_years.

    Raises
    ------
    LandingError
        If the folder contains files and is not a synthetic extract set, so that delivered files are
        not overwritten.
    """
    require_synthetic_folder(out)
    panel = draw_city_years(seed, period)
    _write_counts(out / "firm_survival/企业存续", panel.years, firm_cells(seed, panel))
    _write_counts(out / "patents/专利", panel.years, patent_cells(seed, panel))
    _write_city_yearbook(out, panel)
    _write_province_yearbook(out, np.random.default_rng([seed, 12]), panel)
    base_year = variables()["base_year"]
    years = {
        "first_year": period[0],
        "last_year": period[-1],
        # Use the last year as base year if the period does not include the project's base year.
        "base_year": base_year if base_year in period else period[-1],
    }
    write_description(
        out, "sample", seed, {"period": years}, {"true_parameters": list_true_parameters()}
    )


def split(total: Integers, shares: Floats) -> Integers:
    """Split integer totals in proportion to shares, so that the parts sum to the total.

    Parameters
    ----------
    total : NDArray[np.int64]
        Totals, units by years.
    shares : NDArray[np.float64]
        Relative sizes of the parts, units by parts.

    Returns
    -------
    NDArray[np.int64]
        Units by parts by years.
    """
    cumulative = np.cumsum(shares, axis=1)
    cumulative /= cumulative[:, -1:]
    edges = np.rint(cumulative[:, :, None] * total[:, None, :]).astype(np.int64)
    return np.diff(edges, axis=1, prepend=0)


def spread_flows(rng: Generator, flows: Flows, weights: Floats) -> Integers:
    """Distribute firms over divisions, so that each division's stocks and flows are consistent.

    The firms of a unit exit in the order of their entry.

    Parameters
    ----------
    rng : Generator
        Random number generator.
    flows : Flows
        Stocks and flows, units by years.
    weights : NDArray[np.float64]
        Relative frequency of the divisions.

    Returns
    -------
    NDArray[np.int64]
        Stocks, entries and exits, 3 by units by divisions by years.
    """
    (unit_count, year_count), division_count = flows.stock.shape, len(weights)
    before_first = flows.stock[:, :1] - flows.entries[:, :1] + flows.exits[:, :1]
    arrivals = np.hstack([before_first, flows.entries])
    departures = np.hstack([flows.exits, flows.stock[:, -1:]])
    unit = np.repeat(np.arange(unit_count), arrivals.sum(axis=1))
    division = rng.choice(division_count, size=len(unit), p=weights / weights.sum())

    def tabulate(counts: Integers) -> Integers:
        when = np.repeat(np.tile(np.arange(year_count + 1), unit_count), counts.ravel())
        table = np.zeros((unit_count, division_count, year_count + 1), dtype=np.int64)
        np.add.at(table, (unit, division, when), 1)
        return table

    arrival_table, departure_table = tabulate(arrivals), tabulate(departures)
    entries, exits = arrival_table[:, :, 1:], departure_table[:, :, :-1]
    return np.stack([arrival_table[:, :, :1] + np.cumsum(entries - exits, axis=2), entries, exits])


def _spread_other_firms(rng: Generator, stock: Integers, weights: Floats) -> Integers:
    """Split the stocks of non-AI firms over divisions, draw exits, and derive the entries."""
    shares = weights * np.exp(0.5 * rng.standard_normal((len(stock), len(weights))))
    before_first = np.rint(0.93 * stock[:, :1]).astype(np.int64)
    cells = split(np.hstack([before_first, stock]), shares)
    before, after = cells[:, :, :-1], cells[:, :, 1:]
    exits = np.maximum(rng.poisson(0.06 * before), before - after)
    return np.stack([after, after - before + exits, exits])


@dataclass(frozen=True, eq=False)
class Cells:
    """Synthetic counts by city, category (such as industry) and year, with column headers.

    Attributes
    ----------
    labels : DataFrame
        One row per part, with the columns that identify it in the files.
    headers : tuple of str
        Chinese column names of the counts.
    counts : NDArray[np.int64]
        Counts, headers by units by parts by years.
    """

    labels: pd.DataFrame
    headers: tuple[str, ...]
    counts: Integers


def firm_cells(seed: int, panel: CityYears) -> Cells:
    """Split the number of firms in each city-year over industry divisions.

    Parameters
    ----------
    seed : int
        Random seed.
    panel : CityYears
        The draw.
    """
    rng = np.random.default_rng([seed, 10])
    table = pd.read_csv(project_root() / "seeds" / "industries.csv", dtype="str")
    chosen = table["section"].isin(SCOPE_SECTIONS) | table["industry_code"].isin(OUTSIDE_DIVISIONS)
    table = table[chosen].sort_values("industry_code")
    codes = table["industry_code"]
    outside = codes.isin(OUTSIDE_DIVISIONS).to_numpy()
    firm_weights = _weights(codes, FIRM_WEIGHTS, 1)
    ai_weights = np.where(outside, 1.0, _weights(codes, AI_WEIGHTS, 0))

    last_outside_ai = rng.poisson(4.0 * panel.ai_firms.stock[:, -1] + 1e-4 * panel.firms[:, -1])
    everywhere = np.ones(panel.firms.shape)
    outside_ai = draw_flows(rng, last_outside_ai, 0.22 * everywhere, 0.05 * everywhere)

    counts = np.zeros((6, len(panel.firms), len(codes), len(panel.years)), dtype=np.int64)
    for part, ai_flows, others in (
        (~outside, panel.ai_firms, panel.firms - panel.ai_firms.stock),
        (outside, outside_ai, np.rint(0.09 * panel.firms).astype(np.int64)),
    ):
        ai = spread_flows(rng, ai_flows, ai_weights[part])
        other = _spread_other_firms(rng, others, firm_weights[part])
        counts[:, :, part] = np.concatenate([ai + other, ai])
    labels = pd.DataFrame({"行业代码": codes, "行业名称": table["industry_name_zh"]})
    return Cells(labels, FIRM_HEADERS, counts)


def patent_cells(seed: int, panel: CityYears) -> Cells:
    """Split the number of patents in each city-year over industry divisions and patent types.

    Parameters
    ----------
    seed : int
        Random seed.
    panel : CityYears
        The draw.
    """
    rng = np.random.default_rng([seed, 11])
    codes = pd.Series([*PATENT_DIVISIONS, OUTSIDE_PATENT_DIVISION])
    shares = _weights(codes, PATENT_WEIGHTS, 1) * np.exp(
        0.9 * rng.standard_normal((len(panel.firms), len(codes)))
    )
    ai_weights = _weights(codes[:-1], AI_WEIGHTS, 0)
    ai_shares = ai_weights / ai_weights.sum()

    # The array has shape (headers, cities, divisions, patent types, years).
    counts = np.zeros(
        (4, len(panel.firms), len(codes), len(PATENT_TYPES), len(panel.years)), dtype=np.int64
    )
    for at, relative in enumerate(PATENT_TYPES.values()):
        for header, inventions in enumerate((panel.applications, panel.grants)):
            patents = _draw_other_patents(rng, inventions, *relative) if relative else inventions
            ai, total = counts[header + 2, :, :, at], counts[header, :, :, at]
            ai[:, :-1] = rng.multinomial(patents.ai, ai_shares).transpose(0, 2, 1)
            ai[:, -1] = rng.poisson(3.0 * patents.ai)
            total[:, :-1] = split(patents.total - patents.ai, shares[:, :-1])
            total[:, -1] = np.rint(0.2 * patents.total)
            total += ai
    labels = pd.MultiIndex.from_product(
        [codes, [0], PATENT_TYPES], names=["行业代码", "年份", "专利类型"]
    ).to_frame()
    return Cells(labels, PATENT_HEADERS, counts.reshape(4, len(panel.firms), -1, len(panel.years)))


def _draw_other_patents(
    rng: Generator, inventions: Patents, per_invention: float, ai_share: float
) -> Patents:
    """Draw utility model or design patents in proportion to invention patents."""
    relative = per_invention * np.exp(0.2 * rng.standard_normal(inventions.total.shape))
    total = np.rint(inventions.total * relative).astype(np.int64)
    ai = rng.poisson(inventions.ai * relative * ai_share)
    return Patents(total, np.minimum(ai, total))


def _write_counts(path: Path, years: Integers, cells: Cells) -> None:
    """Write one CSV file per year with the rows that have a nonzero count.

    Parameters
    ----------
    path : Path
        File path without year and suffix.
    years : NDArray[np.int64]
        Statistical years.
    cells : Cells
        Counts to write. The label column 年份 is filled with the year, and appended if absent.
    """
    for index, year in enumerate(years.tolist()):
        counts = cells.counts[..., index]
        unit, part = np.nonzero(counts.any(axis=0))
        values = dict(zip(cells.headers, counts[:, unit, part], strict=True))
        _write_csv(path, year, unit, {**cells.labels.assign(年份=year).iloc[part], **values})


def _write_city_yearbook(out: Path, panel: CityYears) -> None:
    unit = np.flatnonzero(panel.in_yearbook)
    for index, year in enumerate(panel.years.tolist()):
        columns = {
            "省份": read_units()["province_name_zh"].iloc[unit],
            "年份": np.full(len(unit), year),
        }
        for name, header in YEARBOOK_HEADERS.items():
            format_value = f"{{:.{DIGITS.get(name, 2)}f}}".format
            values = pd.Series(panel.yearbook[name][unit, index])
            columns[header] = values.map(format_value, na_action="ignore")
        _write_csv(out / "city_yearbook/城市统计年鉴", year, unit, columns)


def _write_province_yearbook(out: Path, rng: Generator, panel: CityYears) -> None:
    """Write provincial GDP, which differs randomly from the sum of its cities by about 1 %."""
    folder = out / "province_yearbook"
    folder.mkdir(parents=True, exist_ok=True)
    provinces = read_units()[["province_id", "province_name_zh"]]
    gdp = pd.DataFrame(panel.yearbook["gdp_100m_cny"], columns=panel.years.tolist())
    sums = gdp.groupby([provinces["province_id"], provinces["province_name_zh"]]).sum(min_count=1)
    sums *= np.exp(0.01 * rng.standard_normal(sums.shape))
    for year, column in sums.items():
        table = column.dropna().round(2).rename("全省地区生产总值(亿元)").reset_index()
        table.columns = ["省份代码", "省份", *table.columns[2:]]
        table.assign(年份=year, 数据来源=SYNTHETIC_MARK).to_csv(
            folder / f"分省统计年鉴_{year}.csv", index=False
        )


def _weights(codes: pd.Series, by_code: Mapping[str, float], otherwise: int) -> Floats:
    weights: Floats = codes.map(by_code).fillna(otherwise).to_numpy(dtype=np.float64)
    return weights


def _write_csv(path: Path, year: int, unit: NDArray[np.intp], columns: dict[str, Any]) -> None:
    """Write one year's CSV file; each row has a city code, a city name and a synthetic mark."""
    cities = read_units().iloc[unit]
    table = pa.table(
        {
            "城市代码": cities["city_id"],
            "城市名称": cities["name_zh"],
            **columns,
            "数据来源": pa.repeat(SYNTHETIC_MARK, len(unit)),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pa_csv.write_csv(
        table,
        f"{path}_{year}.csv",
        pa_csv.WriteOptions(quoting_style="none", quoting_header="none", batch_size=65536),
    )
