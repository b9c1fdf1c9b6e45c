"""Recompute the printed results from the delivered files without using the project's code.

It shares no code with the project: it reads the CSV files of the sample with pandas, and recomputes
the panel, every cell of the measure, Tables 1 to 3, their verdicts and the numbers of the first
page. A fault anywhere between a file and one of these numbers makes a test fail.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.lib.clustered_regression import Regression, log
from tests.python.conftest import PROJECT, Build

YEARS = range(2010, 2021)
BASE = 2020
SAME = {"rtol": 1e-8, "atol": 1e-10}
# First and last two-digit GB/T 4754 division of each scope: sections B to E, and section C.
SCOPES = {"industry": ("06", "50"), "manufacturing": ("13", "43")}
COUNTS = {
    "firm_survival": {
        "企业存续数": "firm_count",
        "企业新设数": "firm_entry_count",
        "企业注销数": "firm_exit_count",
        "人工智能企业存续数": "ai_firm_count",
        "人工智能企业新设数": "ai_firm_entry_count",
        "人工智能企业注销数": "ai_firm_exit_count",
    },
    "patents": {
        "专利申请数": "invention_application_count",
        "专利授权数": "invention_grant_count",
        "人工智能专利申请数": "ai_invention_application_count",
        "人工智能专利授权数": "ai_invention_grant_count",
    },
}
YEARBOOK = {
    "地区生产总值(亿元)": "gdp_100m_cny",
    "人均地区生产总值(元)": "gdp_per_capita_cny",
    "第一产业增加值(亿元)": "primary_value_added_100m_cny",
    "第二产业增加值(亿元)": "secondary_value_added_100m_cny",
    "第三产业增加值(亿元)": "tertiary_value_added_100m_cny",
    "户籍人口(万人)": "registered_population_10k",
    "常住人口(万人)": "resident_population_10k",
    "单位从业人员(万人)": "unit_employment_10k",
    "第二产业从业人员(万人)": "secondary_employment_10k",
    "制造业从业人员(万人)": "manufacturing_employment_10k",
    "R&D人员(人)": "rd_personnel_count",
    "规模以上工业企业数(个)": "above_scale_firm_count",
    "年末金融机构贷款余额(亿元)": "loans_100m_cny",
    "实际使用外资(百万美元)": "fdi_1m_usd",
    "教育支出(亿元)": "education_spending_100m_cny",
    "科学技术支出(亿元)": "science_spending_100m_cny",
}
CONTROLS = ["registered_population_10k", "unit_employment_10k", "rd_personnel_count"]
OUTCOMES = {
    "table_1": ["gdp_100m_cny"] * 3,
    "table_2": ["secondary_value_added_100m_cny"] * 3,
    "table_3": ["secondary_employment_10k"] * 3 + ["manufacturing_employment_10k"] * 3,
}
REGRESSORS = [
    ("ai_firms", "ai_firm_count", "firm_count"),
    (
        "ai_patent_applications",
        "ai_invention_application_count",
        "invention_application_count",
    ),
    ("ai_patent_grants", "ai_invention_grant_count", "invention_grant_count"),
]
PRINTED = {
    "table_1": [0.125, 0.033, 0.019],
    "table_2": [0.169, 0.048, 0.027],
    "table_3": [0.137, 0.052, 0.039, 0.064, 0.050, 0.043],
}
DESIGNS = {
    "as_printed": "",
    "within_provinces": "_province_years",
    "ai_beside_all": "_beside_all",
}
CLAIMS = [
    (table, column, design)
    for table, outcomes in OUTCOMES.items()
    for column in range(1, len(outcomes) + 1)
    for design in DESIGNS
]


def delivered(folder: Path) -> pd.DataFrame:
    """Return the rows of all yearly files in a folder, with every column as text."""
    return pd.concat(pd.read_csv(path, dtype=str) for path in sorted(folder.glob("*.csv")))


def by_city_and_year(rows: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """Sum columns by city and year; a sum is missing if all of its values are missing."""
    numbers = rows[[*names]].apply(pd.to_numeric).rename(columns=names)
    keys = [rows["城市代码"].rename("city"), rows["年份"].astype(int).rename("year")]
    return numbers.groupby(keys).sum(min_count=1)


@dataclass
class Shadow:
    """Results computed from one folder of delivered files, for comparison with a build."""

    extracts: Path

    @cached_property
    def cities(self) -> pd.Index:
        return pd.Index(delivered(self.extracts / "firm_survival")["城市代码"].unique())

    @cached_property
    def series(self) -> dict[str, pd.DataFrame]:
        """Return all series by industry scope, with one row per city and year."""
        every = pd.MultiIndex.from_product([self.cities, YEARS], names=["city", "year"])
        yearbook = by_city_and_year(delivered(self.extracts / "city_yearbook"), YEARBOOK)
        tables = {}
        for scope, codes in SCOPES.items():
            parts = [yearbook]
            for source, names in COUNTS.items():
                rows = delivered(self.extracts / source)
                rows = rows[rows["行业代码"].between(*codes)]
                if source == "patents":
                    rows = rows[rows["专利类型"] == "发明"]
                parts.append(by_city_and_year(rows, names))
            tables[scope] = pd.concat(parts, axis=1).reindex(every)
        return tables

    def rest_of_province(self, values: pd.Series) -> pd.Series:
        """Return the sum over the province's other cities that have values in every year."""
        wide = pd.DataFrame({year: values.xs(year, level="year") for year in YEARS})
        complete = wide[wide.notna().sum(axis=1) == wide.notna().any().sum()]
        rest = {
            city: complete[(complete.index.str[:2] == city[:2]) & (complete.index != city)]
            for city in wide.index
        }
        sums = {city: rows.sum(min_count=1) for city, rows in rest.items()}
        return pd.concat(sums, names=["city", "year"]).reindex(values.index)

    @cached_property
    def measures(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        """Return the count and weight of each measure by measure, weighting and scope."""
        return {
            (measure, weighting, scope): table
            for scope, values in self.series.items()
            for measure, weighting, table in self._measures(values)
        }

    def _measures(self, values: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
        def scaled(count: pd.Series, scale: pd.Series, year: int = BASE) -> pd.DataFrame:
            """Return equation 2 of the paper: the share in one year times the scaling series."""
            divisor = scale.xs(year, level="year")
            share = count.xs(year, level="year") / divisor.where(divisor != 0)
            weight = share.reindex(count.index, level="city")
            return pd.DataFrame({"weight": weight, "count": weight * scale})

        def observed(count: pd.Series) -> pd.DataFrame:
            return pd.DataFrame({"weight": np.nan, "count": count})

        gdp, secondary = values["gdp_100m_cny"], values["secondary_value_added_100m_cny"]
        entries, exits = values["ai_firm_entry_count"], values["ai_firm_exit_count"]
        for measure, part, whole in REGRESSORS:
            count = values[part]
            yield measure, "fixed_ratio", scaled(count, values[whole])
            yield measure, "first_ratio", scaled(count, values[whole], YEARS[0])
            yield measure, "gdp", scaled(count, gdp)
            yield measure, "observed", observed(count)
        firms = values["ai_firm_count"]
        yield "ai_firms", "secondary_value_added", scaled(firms, secondary)
        yield "ai_firms", "rest_of_province_gdp", scaled(firms, self.rest_of_province(gdp))
        yield "firms", "observed", observed(values["firm_count"])
        yield "ai_firm_entries", "fixed_ratio", scaled(entries, values["firm_entry_count"])
        yield "ai_firm_exits", "fixed_ratio", scaled(exits, values["firm_exit_count"])
        yield "ai_firm_net_entries", "fixed_ratio", scaled(entries - exits, values["firm_count"])
        yield "ai_firm_entries", "observed", observed(entries)
        yield "ai_firm_exits", "observed", observed(exits)
        yield "ai_firm_net_entries", "observed", observed(entries - exits)

    def regression(
        self, table: str, column: int, design: str, *, transform: str = "", later: int = 0
    ) -> Regression:
        """Return the regression of a table column under a design, optionally with leads of the
        measure.
        """
        outcome = OUTCOMES[table][column - 1]
        measure, _, whole = REGRESSORS[(column - 1) % 3]
        values = self.series["industry"]
        is_beside = design == "ai_beside_all"
        weighting = "observed" if is_beside else "fixed_ratio"
        count = self.measures[measure, weighting, "industry"]["count"]
        is_log = measure != "ai_firms" and not is_beside
        transforms = {"ln": log(count), "ln1p": log(1 + count), "level": count / 10_000}
        x = transforms[transform or ("ln" if is_log else "ln1p")]
        controls = [*CONTROLS, *([whole] if is_beside else [])]
        rows = pd.DataFrame(
            {
                "y": log(values[outcome]),
                "x": x,
                **{name: log(values[name]) for name in controls},
            }
        )
        if later:
            rows["later"] = x.groupby("city").shift(-later)
        return Regression(rows, within_provinces=design != "as_printed")


@pytest.fixture(scope="module")
def shadow(sample_build: Build) -> Shadow:
    return Shadow(sample_build.extracts)


def test_the_panel_has_the_delivered_values(shadow: Shadow, sample_build: Build) -> None:
    panel = sample_build.frame("from marts.fct_city_year_panel").set_index(["city_id", "year"])
    expected = shadow.series["industry"].astype(float)
    assert panel.index.is_unique
    assert len(panel) == len(expected)
    pd.testing.assert_frame_equal(
        panel.reindex(expected.index)[[*expected.columns]].astype(float), expected, rtol=1e-12
    )


def test_every_cell_of_the_measure_follows_from_the_files(
    shadow: Shadow, sample_build: Build
) -> None:
    columns = ["weight", "measure_count", "measure_10k"]
    columns += ["ln_measure", "ln1p_measure", "asinh_measure"]
    rows = sample_build.frame(
        f"select measure, weighting, scope, city_id, year, {', '.join(columns)}"
        " from marts.fct_ai_measure"
    )
    published = dict([*rows.groupby(["measure", "weighting", "scope"])])
    assert published.keys() == shadow.measures.keys()
    for key, expected in shadow.measures.items():
        table = published[key].set_index(["city_id", "year"])[columns]
        count = expected["count"]
        parts = [expected["weight"], count, count / 10_000]
        parts += [log(count), log(1 + count), np.arcsinh(count)]
        assert table.index.is_unique
        np.testing.assert_allclose(
            table.reindex(expected.index).to_numpy(float),
            np.column_stack(parts),
            **SAME,
            err_msg=" ".join(key),
        )


@pytest.fixture(scope="module")
def regressions(shadow: Shadow) -> dict[tuple[str, int, str], Regression]:
    return {claim: shadow.regression(*claim) for claim in CLAIMS}


def test_tables_1_to_3_follow_from_the_files(
    regressions: dict[tuple[str, int, str], Regression], sample_build: Build
) -> None:
    published = sample_build.frame(
        "select specification_id, estimate, std_error, std_error_province, conf_low_province,"
        " conf_high_province, observation_count, city_count, outcome_mean"
        " from estimates.est_coefficients where term = regressor"
    ).set_index("specification_id")
    for (table, column, design), regression in regressions.items():
        specification = f"{table}_col_{column}{DESIGNS[design]}"
        sample = regression.sample
        expected = [
            regression.estimate,
            regression.error_by_city,
            regression.error_by_province,
            *regression.interval,
            len(sample),
            sample.index.get_level_values("city").nunique(),
            sample["y"].mean(),
        ]
        np.testing.assert_allclose(
            published.loc[specification].to_numpy(float), expected, rtol=1e-7, err_msg=specification
        )


def test_the_printed_cells_are_the_rounded_estimates(
    regressions: dict[tuple[str, int, str], Regression], sample_build: Build
) -> None:
    cells = sample_build.pairs(
        "select (specification_id, line_kind), cell from reports.rpt_table_cells"
        " where line_kind in ('estimate', 'std_error', 'province_error') and is_in_table"
    )
    assert cells
    for (table, column, design), regression in regressions.items():
        if design == "as_printed":
            specification = f"{table}_col_{column}"
            assert cells[specification, "estimate"] == regression.printed
            assert cells[specification, "std_error"] == f"({regression.error_by_city:.3f})"
            assert cells[specification, "province_error"] == f"[{regression.error_by_province:.3f}]"


def test_each_verdict_follows_from_the_interval_and_the_later_measure(
    shadow: Shadow, regressions: dict[tuple[str, int, str], Regression], sample_build: Build
) -> None:
    """A claim holds if the interval excludes zero on the printed side and no check fails.

    The correction for the family of claims is at most Bonferroni's, so a claim that is significant
    without Bonferroni's correction but not with it may end either way.
    """
    published = sample_build.pairs(
        "select (table_id, column_number, design), (verdict, coalesce(cause, ''))"
        " from reports.rpt_verdicts"
    )
    for claim, regression in regressions.items():
        table, column, _ = claim
        value = PRINTED[table][column - 1]
        low, high = regression.interval
        if low <= 0 <= high:
            is_absent = not low <= value <= high
            allowed = [("not_found", "") if is_absent else ("cannot_tell", "imprecise")]
        elif shadow.regression(*claim, later=3).p_value("later") < 0.05:
            allowed = [("fails_check", "")]
        else:
            allowed = [("holds", "") if low > 0 else ("opposite_sign", "")]
            if 21 * regression.p_value("x") > 0.05:
                allowed.append(("cannot_tell", "family"))
        assert published[claim] in allowed, claim


def test_the_first_page_quotes_these_numbers(
    shadow: Shadow, regressions: dict[tuple[str, int, str], Regression], sample_build: Build
) -> None:
    sentences = sample_build.pairs("select finding, sentence from reports.rpt_findings")
    numbers = {
        finding: re.findall(r"\d[\d,]*(?:[.]\d+)?", sentence)
        for finding, sentence in sentences.items()
    }
    headline = regressions["table_1", 1, "as_printed"]
    beside = regressions["table_1", 1, "ai_beside_all"]
    trends = replace(headline, trends=True)
    ahead = shadow.regression("table_1", 1, "as_printed", later=3)
    ahead = replace(ahead, rows=ahead.sample[["y", "later", *CONTROLS]])
    level = shadow.regression("table_1", 1, "as_printed", transform="level")
    provinces = beside.provinces.nunique() - 1
    found = stats.t.ppf(0.975, provinces) + stats.t.ppf(0.8, provinces)
    of_ai = [beside.estimate, beside.error_by_province, found * beside.error_by_province, 0.125]
    of_cause = [trends.estimate, trends.error_by_province, ahead.estimate, ahead.error_by_province]
    of_level = [level.estimate, level.error_by_city, level.error_by_province]
    assert [f"{number:.3f}" for number in of_ai] == [n for n in numbers["ai"] if n[0] == "0"]
    assert [f"{number:.3f}" for number in of_cause] == [n for n in numbers["cause"] if "." in n]
    assert numbers["doubtful"] == [f"{len(headline.sample):,}"]
    quoted = [number for number in numbers["unit"] if "." in number]
    assert quoted == ["0.125", *(f"{number:.3f}" for number in of_level)]


def test_the_measure_of_near_cities_is_added_from_the_files(
    shadow: Shadow, sample_build: Build
) -> None:
    """Neighbours are cities within 250 km, computed from the coordinates in cities.csv."""
    places = pd.read_csv(PROJECT / "seeds/cities.csv", dtype={"city_id": str})
    longitude, latitude = np.radians(places[["longitude", "latitude"]].to_numpy().T)
    sines, cosines = (np.outer(each, each) for each in (np.sin(latitude), np.cos(latitude)))
    cosine = sines + cosines * np.cos(longitude[:, None] - longitude)
    is_near = (6371.01 * np.arccos(np.minimum(cosine, 1)) <= 250) & ~np.eye(len(places), dtype=bool)
    headline = shadow.regression("table_1", 1, "as_printed")
    count = shadow.measures["ai_firms", "fixed_ratio", "industry"]["count"]
    wide = pd.DataFrame({year: log(1 + count.xs(year, level="year")) for year in YEARS})
    wide = wide.reindex(places["city_id"])
    near = {city: wide[row].mean() for city, row in zip(wide.index, is_near, strict=True)}
    rows = headline.sample.assign(
        near=pd.concat(near, names=["city", "year"]).reindex(headline.sample.index)
    )
    regression = Regression(rows, within_provinces=False)
    published = sample_build.pairs(
        "select term, [estimate, std_error] from estimates.est_inference"
        " where specification_id = 'table_1_col_1' and method = 'neighbours'"
    )
    slopes = dict(zip(rows.columns[1:], regression.slopes(regression.sample), strict=True))
    errors = regression.jackknife_errors
    expected = {
        "ai_firms": [slopes["x"], errors["x"]],
        "ai_firms_neighbours": [slopes["near"], errors["near"]],
    }
    assert published.keys() == expected.keys()
    for term, numbers in expected.items():
        np.testing.assert_allclose(published[term], numbers, rtol=1e-7, err_msg=term)
