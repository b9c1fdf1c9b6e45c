"""Tests for city ranks, which must agree with pandas and not reveal restricted counts."""

import pandas as pd
import pytest

from tests.python.conftest import Build

SHARE = "ai_firm_share"
RANKED = ["ai_firm_count", "firm_count", SHARE, "gdp_100m_cny", "gdp_per_capita_cny"]
KEYS = ["variable", "city_id", "year"]
FEWEST_FIRMS, FEWEST_AT_FIRST, TELLING = 10_000, 10, 0.9


@pytest.fixture(params=["sample_build", "public_build"])
def build(request: pytest.FixtureRequest) -> Build:
    found: Build = request.getfixturevalue(request.param)
    return found


def told(values: pd.Series) -> pd.Series:
    """Flag counts that could be inferred to within 10 % from their rank."""
    places = pd.Series(range(1, values.nunique() + 1), index=sorted(values.unique()))
    telling = places.index[places >= TELLING * places.index]
    return values <= max(telling, default=-1)


def numbers_of(build: Build) -> pd.DataFrame:
    """Compute the levels and growth rates by which cities are ranked, using pandas."""
    wide = build.frame(
        "pivot (select city_id, year, variable, value from marts.fct_city_year_values"
        " where variable in ('ai_firm_count', 'firm_count', 'gdp_100m_cny', 'gdp_per_capita_cny'))"
        " on variable using max(value)"
    ).set_index(["city_id", "year"])
    told_of = {
        name: values.dropna().groupby("year").transform(told).reindex(wide.index, fill_value=False)
        for name, values in wide.items()
    }
    told_of[SHARE] = told_of["ai_firm_count"]
    wide[SHARE] = wide["ai_firm_count"] / wide["firm_count"]
    wide.loc[~(wide["firm_count"] >= FEWEST_FIRMS), SHARE] = None
    long = pd.concat(
        pd.DataFrame(
            {
                "variable": name,
                "number": wide[name],
                "is_told": told_of[name],
                "counted": wide["ai_firm_count" if name == SHARE else name],
            }
        ).dropna()
        for name in RANKED
    ).reset_index()
    long["first_year"] = long.groupby("variable")["year"].transform("min")
    first = long[(long["year"] == long["first_year"]) & (long["counted"] >= FEWEST_AT_FIRST)]
    first = first.set_index(["variable", "city_id"])["number"].rename("at_first")
    long = long.join(first, on=["variable", "city_id"])
    long["growth"] = long["number"] / long["at_first"]
    long.loc[long["is_told"] | (long["year"] == long["first_year"]), "growth"] = None
    return long[~(long["is_told"] & (long["variable"] == SHARE))]


def test_ranks_are_those_of_pandas_among_all_cities_and_among_peers(build: Build) -> None:
    found = build.frame("from reports.rpt_city_standing").sort_values(KEYS, ignore_index=True)
    numbers = numbers_of(build).sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(found[KEYS], numbers[KEYS], check_dtype=False)
    numbers["peer_group"] = found["peer_group"]
    numbers["size"] = numbers["number"].mask(numbers["is_told"], -1)
    for prefix, keys in (("", []), ("peer_", ["peer_group"])):
        group = numbers.groupby(["variable", "year", *keys])
        names = {
            f"{prefix}rank" if keys else "national_rank": group["size"].rank(
                "min", ascending=False
            ),
            f"{prefix}count" if keys else "city_count": group["size"].transform("count"),
            f"{prefix}growth_rank": group["growth"].rank("min", ascending=False),
            f"{prefix}growth_count" if keys else "growth_city_count": (
                group["growth"].transform("count")
            ),
        }
        for name, expected in names.items():
            pd.testing.assert_series_equal(
                found[name].astype(float), expected.astype(float), check_names=False, obj=name
            )
    assert found["first_year"].tolist() == numbers["first_year"].tolist()
    assert found["is_last_tie"].tolist() == numbers["is_told"].tolist()
    fewest = found.groupby("variable")["fewest_of_a_share"].max().dropna()
    assert fewest.to_dict() == {SHARE: FEWEST_FIRMS}
    assert found["decile"].isna().equals(found["is_last_tie"])
    ranked = found[~found["is_last_tie"]]
    tenths = (ranked["national_rank"] - 1) * 10 // ranked["city_count"] + 1
    assert ranked["decile"].astype(int).tolist() == tenths.astype(int).tolist()


def test_peers_are_of_one_region_and_size_and_a_later_first_year_gives_a_size_too(
    public_build: Build,
) -> None:
    """Peers share a region and a size class, based on GDP in the first available year.

    Hefei has no public GDP for 2010, the year of the split into sizes, so its size comes from 2011.
    """
    groups = public_build.pairs(
        "select city_id, any_value(peer_group) from reports.rpt_city_standing group by all"
    )
    split = public_build.pairs(
        "select city_id, group_name from marts.dim_city_groups where grouping = 'large_gdp'"
    )
    regions = public_build.pairs("select city_id, region from marts.dim_city")
    assert {city: group for city, group in groups.items() if city in split} == {
        city: f"region={regions[city]}, large_gdp={size}" for city, size in split.items()
    }
    assert "340100" not in split
    assert groups["340100"] == "region=central, large_gdp=above"
    without_gdp = public_build.pairs(
        "select city_id, region from marts.dim_city where city_id not in (select city_id"
        " from marts.fct_city_year_values where variable = 'gdp_100m_cny' and value is not null)"
    )
    assert len(without_gdp) > 10
    for city, region in without_gdp.items():
        assert groups[city] == f"region={region}"


def test_who_counts_the_places_from_the_last_gets_no_count_to_within_a_tenth(
    build: Build,
) -> None:
    """Small counts share the last rank, because a rank from the bottom would reveal them.

    Nearly every small integer occurs, so a rank from the bottom would equal the count.
    """
    found = build.frame(
        "select s.variable, s.year, s.national_rank, s.city_count, s.is_last_tie, v.value"
        " from reports.rpt_city_standing as s"
        " inner join marts.fct_city_year_values as v using (variable, city_id, year)"
    )
    ranked = found[~found["is_last_tie"]].copy()
    last = found[found["is_last_tie"]].groupby(["variable", "year"])["value"]
    assert last.nunique().max() > 10
    ranked = ranked.join(last.nunique().rename("tied"), on=["variable", "year"])
    place = ranked.groupby(["variable", "year"])["national_rank"].rank("dense", ascending=False)
    guess = place + ranked["tied"].fillna(0)
    assert (guess < TELLING * ranked["value"]).all()
    # Zeros must share the last rank with other small counts, so that the rank does not reveal them.
    zeros = found[found["value"] == 0]
    assert zeros["is_last_tie"].all()
