"""Look up which failed data quality expectations affect the data behind an estimate."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ai_manufacturing.estimators.sentences import Sentence
from ai_manufacturing.gate import validation

Key = tuple[str, str]  # series and scope
CityYear = tuple[str, int]
# Maps each (series, scope) to the city-years that an estimate uses.
UsedCityYears = Mapping[Key, set[CityYear]]


@dataclass(frozen=True)
class Finding:
    """A failed data quality expectation, with the series, years and city-years that fail.

    Attributes
    ----------
    expectation : Sentence
    city_years : dict of (series, scope) to set of (city_id, year)
        City-years that fail.
    years : dict of (series, scope) to set of int
        Years in which a series fails as a whole.
    series : set of (series, scope)
        Series that fail as a whole.
    """

    expectation: Sentence
    city_years: dict[Key, set[CityYear]]
    years: dict[Key, set[int]]
    series: set[Key]

    @classmethod
    def parse_row(
        cls,
        result: Any,
        find_scope: Callable[[str], str],
        cities_by_province: Mapping[str, Collection[str]],
    ) -> "Finding":
        """Create a Finding from a row of the table gate_results.

        find_scope returns the scope of a series if the row omits it. cities_by_province maps a
        province to its cities; if a row names a province and a year, all these cities fail.
        """
        series_names = result.series.split() if isinstance(result.series, str) else []
        failing_rows = (
            json.loads(result.failing_rows) if isinstance(result.failing_rows, str) else []
        )
        whole = set() if failing_rows else {(series, find_scope(series)) for series in series_names}
        city_years: defaultdict[Key, set[CityYear]] = defaultdict(set)
        years: defaultdict[Key, set[int]] = defaultdict(set)
        for row in failing_rows:
            for series in [row["series"]] if "series" in row else series_names:
                key = (series, row.get("scope") or find_scope(series))
                if {"city_id", "year"} <= row.keys():
                    city_years[key].add((row["city_id"], row["year"]))
                elif {"province_id", "year"} <= row.keys():
                    cities = cities_by_province.get(row["province_id"], ())
                    city_years[key] |= {(city_id, row["year"]) for city_id in cities}
                elif "year" in row:
                    years[key].add(row["year"])
        # Remove prefixes such as "Years that no headline estimate uses: ", which would be wrong in
        # a warning about an estimate that does use these years or series.
        sentences = (
            validation.remove_warning_prefix(text)
            for text in (result.description, result.description_zh)
        )
        return cls(Sentence(*sentences), city_years, years, whole)

    @property
    def clause(self) -> Sentence:
        """Text of the expectation without its final full stop, to embed in a longer sentence."""
        return Sentence(self.expectation.en.rstrip("."), self.expectation.zh.rstrip("。"))

    def find_broken_series(self, used_city_years: UsedCityYears) -> list[str]:
        """Return the series used by an estimate that fail as a whole, not only in single rows."""
        return sorted(series for series, _ in self.series & used_city_years.keys())

    def find_broken_years(self, used_city_years: UsedCityYears) -> dict[str, set[int]]:
        """Return the years used by an estimate that fail the expectation, grouped by series."""
        broken: defaultdict[str, set[int]] = defaultdict(set)
        for key, years in self.years.items():
            broken[key[0]] |= years & {year for _, year in used_city_years.get(key, ())}
        return {series: years for series, years in broken.items() if years}

    def find_broken_city_years(self, used_city_years: UsedCityYears) -> set[CityYear]:
        """Return the city-years used by an estimate that fail the expectation."""
        broken: set[CityYear] = set()
        for key, failing in self.city_years.items():
            broken |= failing & used_city_years.get(key, set())
        return broken
