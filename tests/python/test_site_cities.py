"""Test the city pages and maps: unique city names, source rows of each value, and map classes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ai_manufacturing.disclosure import terms
from ai_manufacturing.paper import maps
from ai_manufacturing.site import cities
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import changed
from tests.python.site_reader import Page, pages_of, release

Pages = Callable[..., Page]


def test_every_city_has_one_english_name_and_what_shares_it_is_known() -> None:
    """Compare with names from pypinyin 0.55, which differ if a name is not Chinese in origin or
    contains a character with several readings (长, 朝, 漯).
    """
    cities = pd.read_csv(PROJECT / "seeds/cities.csv", dtype=str).set_index("city_id")
    names, provinces = cities["name_en"], cities["province_name_en"]
    assert names.is_unique
    others = names[~names.str.fullmatch(r"[A-Z][a-z]+(['a-zA-Z ]*[a-z])?")]
    # Five English names are shared by two cities each.
    assert others.str.partition(" (")[0].value_counts().to_dict() == dict.fromkeys(
        ("Suzhou", "Taizhou", "Fuzhou", "Yichun", "Yulin"), 2
    )
    assert (others == others.str.partition(" (")[0] + " (" + provinces[others.index] + ")").all()
    # Names are spelled like the US Board on Geographic Names, but without accents.
    known = {
        "610100": "Xi'an",
        "650100": "Urumqi",
        "150100": "Hohhot",
        "610800": "Yulin (Shaanxi)",
        "411100": "Luohe",
        "653200": "Hotan Prefecture",
    }
    assert names[[*known]].to_dict() == known
    assert (provinces["140100"], provinces["610100"]) == ("Shanxi", "Shaanxi")
    assert provinces.nunique() == cities["province_id"].nunique() == 31


def test_the_rows_behind_each_value_add_up_to_it(
    few: Build, sample_build: Build, tmp_path: Path
) -> None:
    """The sample has no corrections, so each value equals the sum of its source rows."""
    expected = sample_build.pairs(
        "select (city_id, variable), value from marts.fct_city_year_values "
        "inner join marts.dim_series on variable = series "
        "where scope in ('industry', 'total') and year = 2015 and value is not null"
    )
    with Release(release(few, tmp_path, "synthetic")) as opened:
        cities.write_city_scripts(opened, opened.load_catalogue(), tmp_path)
    found = {}
    for path in (tmp_path / "cities").iterdir():
        words = re.fullmatch(
            r'cityDelivered\("(\d{6})",(.*)\);\n', path.read_text(encoding="utf-8")
        )
        assert words is not None, path
        for series, years in json.loads(words[2])["cells"].items():
            (cell,) = years.values()
            rest = (cell["more"] or [0, 0])[1]
            found[words[1], series] = sum(row[3] for row in cell["rows"]) + rest
    assert len(found) > 50
    assert found == pytest.approx({key: expected[key] for key in found}, rel=1e-9)


def test_the_ranking_lists_the_ranks_of_the_report_in_the_order_of_the_codes(
    few: Build, tmp_path: Path
) -> None:
    query = (
        "select variable, year, city_id, national_rank, growth_rank from reports.rpt_city_standing"
    )
    expected = {tuple(row) for row in few.rows(query)}
    assert len({row[:2] for row in expected}) > 10
    with Release(release(few, tmp_path, "synthetic")) as opened:
        page = cities.build_content(opened, opened.load_catalogue())
    content = json.loads(page["values"])
    codes = sorted(content["cities"])
    found = {
        (ranking["variable"], ranking["year"], city, rank, growth)
        for ranking in content["rankings"]
        for city, rank, growth in zip(codes, ranking["ranks"], ranking["growth_ranks"], strict=True)
        if rank is not None
    }
    assert found == expected


GAP = {
    "provider": "p",
    "year": 2012,
    "correction_id": None,
    "correction_reason": "sum",
    "correction_reason_zh": None,
    "set_aside_reason": None,
    "set_aside_file": "f.csv",
    "set_aside_row": 7,
    "has_year": False,
}


@pytest.mark.parametrize(
    ("known", "english", "chinese"),
    [
        ({"correction_id": "c1", "set_aside_reason": "not a number"}, "Correction c1: sum", "c1"),
        ({"set_aside_reason": "not a number"}, "f.csv", "f.csv"),
        ({"has_year": True}, "p", "p"),
        ({}, "p delivers no value for any city in 2012", "p未交付2012年任何城市的数值"),
    ],
)
def test_a_gap_has_the_first_reason_that_is_known(
    known: dict[str, object], english: str, chinese: str
) -> None:
    reasons = cities._explain_gap(GAP | known, Catalogue.load())
    for words, reason in zip((english, chinese), reasons, strict=True):
        assert words in reason
    assert ("delivers no value for any city" in reasons[0]) == (not known)


@pytest.mark.parametrize(
    ("bounds", "labels"),
    [
        ((99, 200), ["0", "1–99", "100–200", "> 200"]),
        ((0.01234, 1234.5), ["0", "≤ 0.0123", "0.0123–1,234", "> 1,234"]),
    ],
)
def test_classes_of_counts_leave_no_number_between_them(
    bounds: tuple[float, float], labels: list[str]
) -> None:
    assert maps.format_class_labels(bounds) == labels


def payload(page: Page) -> dict[str, Any]:
    """Return the JSON data that the script on the page of cities reads."""
    found: dict[str, Any] = page.script("city-values")
    return found


def frame(columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(dict(zip(columns["names"], columns["columns"], strict=True)))


@pytest.fixture(scope="module")
def copied_page(public_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Return the page of cities, built from a public copy of the public data."""
    path = tmp_path_factory.mktemp("copied") / "public.duckdb"
    terms.write_public_copy(public_release, path)
    return pages_of(path, with_restricted=False)("cities")


def first_of_quarter(rank: int, count: int) -> int:
    """Round a rank down to the first rank of its quarter, but keep the first four ranks."""
    if rank <= 4:
        return rank
    quarter_of = [(place - 1) * 4 // count for place in range(1, count + 1)]
    return max(5, 1 + quarter_of.index(quarter_of[rank - 1]))


def test_the_page_of_cities_has_their_ranks_on_the_public_site_and_no_value(
    copied_page: Page, public_page: Pages, public_build: Build
) -> None:
    given = payload(copied_page)
    assert given["providers"] == {}
    standings = frame(given["standings"])
    hefei = standings[standings["city_id"] == "340100"].set_index("variable")
    expected = public_build.frame(
        "select * from reports.rpt_city_standing where city_id = '340100' and year = 2020"
        " order by variable"
    ).set_index("variable")
    assert [*expected.index] == given["ranked"] == given["banded"] == given["series"]
    for rank, count in (
        ("national_rank", "city_count"),
        ("peer_rank", "peer_count"),
        ("growth_rank", "growth_city_count"),
    ):
        ranks = expected[[rank, count]].dropna().astype(int)
        assert hefei[rank].dropna().to_dict() == {
            variable: first_of_quarter(*numbers) for variable, *numbers in ranks.itertuples()
        }
    drawn = frame(given["values"]).set_index(["city_id", "year"])
    of_firms = {
        year: first_of_quarter(rank, count)
        for year, rank, count in public_build.rows(
            "select year, national_rank, city_count from reports.rpt_city_standing"
            " where city_id = '340100' and variable = 'firm_count'"
        )
    }
    assert drawn.loc["340100", "firm_count"].dropna().to_dict() == of_firms
    # A rank that belongs to the last tie is not drawn.
    tied = public_build.rows(
        "select city_id, year from reports.rpt_city_standing where is_last_tie"
        " and variable = 'ai_firm_count'"
    )
    assert len(tied) > 100
    assert drawn.loc[tied, "ai_firm_count"].isna().all()
    # Only search for values with four or more digits, because years and codes also appear on the
    # page.
    values = public_build.rows(
        "select delivered_value from marts.fct_delivered_values where city_id = '340100'"
        " union select value from marts.fct_city_year_values"
        " where city_id = '340100' and value is not null"
    )
    told_apart = {value for (value,) in values if len(f"{value:.10g}".strip("0.")) >= 4}
    copied, whole = (
        told_apart & {float(one) for one in re.findall(r"\d+(?:\.\d+)?", page.markup)}
        for page in (copied_page, public_page("cities"))
    )
    assert copied == set()
    assert len(whole) > 50


def test_rows_of_replaced_deliveries_are_not_listed(public_release: Path, tmp_path: Path) -> None:
    path = changed(
        public_release,
        tmp_path / "replaced.duckdb",
        "insert into marts.fct_delivered_values"
        " select * replace (2 as valid_until_delivery, delivered_value + 1 as delivered_value)"
        " from marts.fct_delivered_values where city_id = '340100'",
        "insert into marts.fct_rows_set_aside"
        " select * replace ('superseded' as set_aside_reason, '' as file_path)"
        " from marts.fct_rows_set_aside limit 1",
    )
    listed, scripts = [], []
    for database in (public_release, path):
        with Release(database) as opened:
            (folder := tmp_path / f"of_{database.stem}").mkdir()
            cities.write_city_scripts(opened, opened.load_catalogue(), folder)
        scripts.append({file.name: file.read_bytes() for file in folder.glob("cities/*")})
        page = pages_of(database, with_restricted=True)("quality")
        listed.append(page.rows("#rows/..//tbody/tr"))
    assert (listed[0], scripts[0]) == (listed[1], scripts[1])
    assert (len(listed[0]), len(scripts[0])) == (200, 367)
    cells = json.loads(scripts[0]["340100.js"].split(b",", 1)[1][:-3])["cells"]
    assert len(cells["gdp_100m_cny"]["2015"]["rows"]) == 1


def test_the_page_of_cities_draws_values_where_it_has_them_and_ranks_elsewhere(
    sample_page: Pages, sample_build: Build
) -> None:
    given = payload(sample_page("cities"))
    drawn = frame(given["values"]).set_index(["city_id", "year"])
    gdp, share = drawn.loc[("440300", 2020), ["gdp_100m_cny", "ai_firm_share"]]
    assert gdp == sample_build.value(
        "select gdp_100m_cny from marts.fct_city_year_panel where city_id = '440300' and year ="
        " 2020"
    )
    assert share == sample_build.value(
        "select national_rank from reports.rpt_city_standing"
        " where city_id = '440300' and year = 2020 and variable = 'ai_firm_share'"
    )
    assert "ai_firm_share" not in given["providers"]


def chosen(page: Page) -> dict[str, Any]:
    """Return the initial settings of the map."""
    params = page.figure("map")["specifications"]["en"]["params"]
    return {param["name"]: param["value"] for param in params}


def test_the_map_begins_with_the_papers_classes_for_its_counts_only(
    sample_page: Pages, public_page: Pages, public_build: Build
) -> None:
    sample, public = sample_page("maps"), public_page("maps")
    assert (chosen(sample)["classes"], chosen(public)["classes"]) == ("paper", "thirds")
    bounds = public_build.value(
        "select quantile_disc(measure_count, [1.0 / 3, 2.0 / 3]) "
        "from marts.fct_spatial_distribution "
        "where measure = 'ai_firms' and year = 2020 and measure_count > 0"
    )
    breaks = chosen(public)["breaks"]["ai_firms"]["measure_count"]
    assert breaks == {"paper": [99, 200], "thirds": bounds}
    assert "include other firms, the map starts with thirds" in public.text("#main")
