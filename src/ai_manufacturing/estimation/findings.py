"""Failed expectations of the gate, and whether an estimate rests on what they name."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ai_manufacturing.estimators.sentences import Sentence
from ai_manufacturing.gate import validation

Key = tuple[str, str]  # series and scope


@dataclass(frozen=True)
class Finding:
    """A failed expectation, by what fails it.

    Series in a year, series in a city and year, or series as a whole.
    """

    expectation: Sentence
    years: set[tuple[str, str, int]]
    city_years: dict[Key, set[tuple[str, int]]]
    series: set[Key]

    @classmethod
    def of_row(cls, failed: Any, scope_of: Callable[[str], str]) -> "Finding":
        """Read a row of gate_results.

        scope_of gives the scope of a series that the row names without one.
        """
        declared = failed.series.split() if isinstance(failed.series, str) else []
        years: set[tuple[str, str, int]] = set()
        city_years: dict[Key, set[tuple[str, int]]] = {}
        rows = json.loads(failed.failing_rows) if isinstance(failed.failing_rows, str) else []
        whole = set() if rows else {(series, scope_of(series)) for series in declared}
        for row in rows:
            for series in (row["series"],) if "series" in row else declared:
                scope = row.get("scope") or scope_of(series)
                if {"city_id", "year"} <= row.keys():
                    city_years.setdefault((series, scope), set()).add((row["city_id"], row["year"]))
                elif "year" in row:
                    years.add((series, scope, row["year"]))
        # an estimate that carries the warning uses the series or year that shown estimates do not
        words = (
            validation.declared_description(text)
            for text in (failed.description, failed.description_zh)
        )
        return cls(Sentence(*words), years, city_years, whole)


@dataclass(frozen=True)
class RestsOn:
    """The cities and years of each series that an estimate rests on, and the years whose values it holds fixed."""

    cities: set[str]
    pairs_of: dict[Key, set[tuple[str, int]]]
    fixed: dict[Key, set[int]]

    def broken_years(self, finding: Finding) -> dict[str, set[int]]:
        """Return the years of a finding that the estimate rests on, by series."""
        broken: dict[str, set[int]] = {}
        for series, scope, year in finding.years:
            key = (series, scope)
            of_sample = any(year == other for _, other in self.pairs_of.get(key, ()))
            if of_sample or year in self.fixed.get(key, ()):
                broken.setdefault(series, set()).add(year)
        return broken

    def broken_series(self, finding: Finding) -> list[str]:
        """Return the series of a finding that the estimate rests on and that fail as a whole."""
        return sorted(
            series for series, scope in finding.series & (self.pairs_of.keys() | self.fixed.keys())
        )

    def inside(self, finding: Finding) -> set[tuple[str, int]]:
        """Return the cities and years of a finding that the estimate rests on."""
        return {
            (city_id, year)
            for key, failing in finding.city_years.items()
            for city_id, year in failing
            if (city_id, year) in self.pairs_of.get(key, ())
            or (city_id in self.cities and year in self.fixed.get(key, ()))
        }
