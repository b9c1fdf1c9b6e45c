"""Find the smallest multiplicative error in each series that the gate finds in 90 % of trials.

The script multiplies values of a built warehouse in memory: single cells, and all cities of a
province in one year. An error in a cell counts as found if the cell is marked as unexplained or as
a copy. An error in a province counts as found if the gate reports an odd step of the province or an
odd definition of the year, or marks half of the province's cities. For each factor, the script
reports the largest movement of Table 1, column 1 that such an error can cause, to first order, in
standard errors clustered by city.

The script writes seeds/found_slips.csv, which `dim_series` joins by provider, and prints the new
rows to stdout. Run it from the project's root, for each extract set with series in that file:

    python -m benchmarks.slips --warehouse build/warehouse.duckdb
"""

import argparse
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ai_manufacturing.estimation import inputs, specifications
from ai_manufacturing.robustness.case import Case, get_case
from ai_manufacturing.system import duckdb_client
from benchmarks import measuring
from tests.lib import judged_samples

SEED = measuring.PROJECT / "seeds/found_slips.csv"
HEADLINE = "table_1_col_1"
KEY = ["series", "scope", "provider"]
SUITES = ("year_definitions", "doubtful_values", "province_steps")
CELL_FACTORS = (1.05, 1.1, 1.2, 1.3, 1.5, 2.0, 3.0, 5.0, 10.0)
PROVINCE_FACTORS = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0)
FOUND_SHARE = 0.9
# Number of cells per series and factor in which an error is planted.
CELLS = 40
# Number of rounds, and of provinces per series and round in which an error is planted. Errors in
# more provinces at once would mask each other.
ROUNDS, PROVINCES = 5, 2
# Minimum number of cities in a province in which an error is planted.
LEAST_CITIES = 5


class Warehouse:
    """Series of a warehouse, with their use in specifications and effect on the headline estimate.

    Attributes
    ----------
    series, used, pairs : DataFrame
        int_series_conformed, dim_specification_series and fct_source_pairs.
    judged : DataFrame
        Positive values of the series that an estimate uses, with their province.
    movements : DataFrame
        Largest movement of the headline, in standard errors, per log point of slip in a series:
        `cell` for one cell, `province` for one province in one year.
    """

    def __init__(self, path: str) -> None:
        with duckdb_client.connect(path, read_only=True) as connection:
            self.series, self.used, self.pairs, cities, estimates = (
                connection.table(name).df()
                for name in (
                    "intermediate.int_series_conformed",
                    "marts.dim_specification_series",
                    "marts.fct_source_pairs",
                    "marts.dim_city",
                    "estimates.est_coefficients",
                )
            )
            tables = inputs.read_warehouse_inputs(connection)
        self.provinces = cities.set_index("city_id")["province_id"]
        used = self.used[["series", "scope"]].drop_duplicates()
        rows = self.series.reset_index().merge(used, on=["series", "scope"]).set_index("index")
        rows = rows[(rows["series"] == rows["quantity"]) & (rows["value"] > 0)]
        self.judged = rows.assign(province_id=rows["city_id"].map(self.provinces))
        is_headline = tables.specifications["specification_id"] == HEADLINE
        (headline,) = specifications.read_specifications(tables.specifications[is_headline])
        case = get_case(headline, tables, cities.set_index("city_id"))
        of_headline = estimates[estimates["specification_id"] == HEADLINE].set_index("term")
        self.movements = self._movements(case, of_headline)

    def _movements(self, case: Case, estimates: pd.DataFrame) -> pd.DataFrame:
        """Compute Warehouse.movements.

        A log point of a control moves the estimate like a log point of the outcome, times the
        control's slope. For the measure log(1 + x), a log point of x counts as x / (1 + x). A slip
        in a share that is held fixed changes all years.
        """
        weights = pd.Series(np.linalg.pinv(case.regression.design)[0], index=case.rows.index)
        regressor = case.specification.regressor
        of_measure = weights * -np.expm1(-case.rows[regressor])
        city, year = case.rows["city_id"], case.rows["year"]
        province = city.map(self.provinces)
        std_error = estimates["std_error"][regressor]
        rows = []
        for row in self.used[self.used["specification_id"] == HEADLINE].itertuples():
            slope = 1.0 if row.role == "outcome" else abs(estimates["estimate"][row.variable])
            moved = of_measure if row.role in ("measure", "scaling") else weights
            years = [] if row.role == "measure" else [year]
            cell, together = (
                slope * moved.groupby([place, *years]).sum().abs().max() / std_error
                for place in (city, province)
            )
            rows.append({"series": row.series, "cell": cell, "province": together})
        return pd.DataFrame(rows).set_index("series")

    def judge(self, factors: Mapping[int, float]) -> dict[str, pd.DataFrame]:
        """Return the gate's check tables after multiplying given rows of `series` by factors."""
        rows = self.series.loc[[*factors]]
        values = rows["value"] * pd.Series(factors)
        values = values.where(rows["value"] != rows["value"].round(), values.round())
        wrong = self.series.copy()
        wrong.loc[values.index, "value"] = values
        firsts = rows.assign(wrong=values)[
            ["quantity", "scope", "provider", "city_id", "year", "wrong"]
        ].rename(columns={"quantity": "series", "provider": "first_provider"})
        pairs = self.pairs.merge(firsts, how="left")
        is_wrong = pairs["wrong"] > 0
        pairs.loc[is_wrong, "first_value"] = pairs["wrong"]
        pairs.loc[is_wrong, "first_ln"] = np.log(pairs.loc[is_wrong, "wrong"])
        return judged_samples.checked(wrong, self.used, pairs.drop(columns="wrong"), only=SUITES)


def cells(warehouse: Warehouse, factor: float, rng: random.Random) -> Iterator[tuple[str, bool]]:
    """Plant errors in single cells, and yield each cell's series and whether the gate found it."""
    factors = {}
    for _, rows in warehouse.judged.groupby("series"):
        chosen = rng.sample(sorted(rows["city_id"].unique()), min(CELLS, rows["city_id"].nunique()))
        for number, city in enumerate(chosen):
            place = rng.choice([*rows.index[rows["city_id"] == city]])
            factors[place] = factor if number % 2 else 1 / factor
    marks = warehouse.judge(factors)["doubtful_values"]
    marks = marks[marks["is_unexplained"] | (marks["cause"] == "repeat")]
    cell = ["series", "scope", "city_id", "year"]
    found = {*marks[cell].itertuples(index=False, name=None)}
    for row in warehouse.series.loc[[*factors], cell].itertuples(index=False, name=None):
        yield row[0], row in found


def provinces(
    warehouse: Warehouse, factor: float, rng: random.Random
) -> Iterator[tuple[str, bool]]:
    """Plant errors in whole provinces, and yield the series and whether the gate found each one."""
    factors, planted = {}, []
    for name, rows in warehouse.judged.groupby("series"):
        sizes = rows.groupby(["province_id", "year"]).size()
        places = sorted(sizes.index[sizes >= LEAST_CITIES])
        for province, year in rng.sample(places, min(PROVINCES, len(places))):
            here = rows.index[(rows["province_id"] == province) & (rows["year"] == year)]
            factors |= dict.fromkeys(here, factor)
            planted.append((name, province, year, len(here)))
    tables = warehouse.judge(factors)
    odd, steps = tables["year_definitions"], tables["province_steps"]
    odd, steps = odd[odd["undeclared_change"].notna()], steps[steps["odd_factor"].notna()]
    marks = tables["doubtful_values"].query("is_unexplained")
    marks = marks.assign(province_id=marks["city_id"].map(warehouse.provinces))
    for name, province, year, count in planted:
        years = [year, year + 1]
        is_odd = ((odd["series"] == name) & odd["year"].isin(years)).any()
        step = (steps["series"] == name) & (steps["province_id"] == province)
        marked = (marks["series"] == name) & (marks["province_id"] == province)
        marked &= marks["year"] == year
        yield name, bool(is_odd or step.any() or 2 * marked.sum() >= count)


def smallest(found: pd.DataFrame) -> pd.Series:
    """Return the factor per series at and above which the gate finds 90 % of errors."""
    shares = found.pivot_table(index="series", columns="factor", values="is_found")
    lasting = shares.iloc[:, ::-1].cummin(axis=1) >= FOUND_SHARE
    return lasting.apply(lambda row: min(row.index[row], default=np.nan), axis=1)


def measured(path: str) -> pd.DataFrame:
    """Return the rows of seeds/found_slips.csv for the series of a warehouse."""
    warehouse, rng = Warehouse(path), random.Random(2026)
    rows = warehouse.judged[~warehouse.judged["is_spliced"].fillna(False)]
    table = rows[KEY].drop_duplicates("series").set_index("series")
    for kind, factors, rounds, plants in (
        ("cell", CELL_FACTORS, 1, cells),
        ("province", PROVINCE_FACTORS, ROUNDS, provinces),
    ):
        found = []
        for factor in factors:
            for _ in range(rounds):
                found += [(*plant, factor) for plant in plants(warehouse, factor, rng)]
            print(f"{kind}s times {factor}", file=sys.stderr)
        least = smallest(pd.DataFrame(found, columns=["series", "is_found", "factor"]))
        table[f"{kind}_factor"] = least
        movement = warehouse.movements[kind] * np.log(least)
        table[f"{kind}_standard_errors"] = movement.groupby(level=0).max().round(2)
    return table.reset_index()[[*KEY, *table.columns.drop(KEY[1:])]]


def main() -> None:
    """Run the trials for a warehouse, and update the rows of its series in found_slips.csv."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--warehouse", required=True, help="path of a built warehouse")
    parser.add_argument("--out", type=Path, default=SEED, help="path of the CSV file to update")
    arguments = parser.parse_args()
    new = measured(arguments.warehouse)
    old = pd.read_csv(arguments.out) if arguments.out.exists() else new.iloc[:0]
    rest = old[~old.set_index(KEY).index.isin(new.set_index(KEY).index)]
    table = pd.concat([rest, new]).sort_values(KEY)
    table.to_csv(arguments.out, index=False)
    print(new.to_string(index=False))


if __name__ == "__main__":
    main()
