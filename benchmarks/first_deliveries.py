"""Measure how faulty first deliveries change coefficients, and whether the gate detects them.

A first delivery cannot be compared with an earlier release, so only its own data can reveal a
fault. Each fault is planted in the vendor's counts by city and industry in one simulated sample,
and judged by the SQL and the expectation suites of the gate. Movements are measured in standard
errors of the coefficient in the clean sample. Run the script from the project's root:

    python -m benchmarks.first_deliveries > benchmarks/first_deliveries.md
"""

import argparse
import sys

import numpy as np
import pandas as pd
from numpy.random import Generator

from ai_manufacturing.estimation import specifications, tables
from ai_manufacturing.paper.synthetic.geography import read_units
from benchmarks import replication
from tests.lib import first_deliveries, samples
from tests.lib.first_deliveries import (
    AI_APPLICATIONS,
    AI_ENTRIES,
    AI_GRANTS,
    AI_STOCK,
    APPLICATIONS,
    GRANTS,
    STOCK,
    YEARS,
    Counts,
    Delivery,
    Fault,
    kept_in_the_stock,
    multiplied,
    provinces_drawn,
    scale_gdp,
    set_stock,
    since,
)


def entries_left_out(delivery: Delivery, rng: Generator) -> None:
    late = delivery.firms.counts[..., since(2017)]
    lost = rng.binomial(late[AI_ENTRIES], 0.5)
    # Keep all entries if removing some would make the stock of AI firms negative.
    lost[(late[AI_STOCK] < np.cumsum(lost, axis=-1)).any(axis=-1)] = 0
    late[AI_ENTRIES] -= lost
    late[AI_STOCK] -= np.cumsum(lost, axis=-1)


def at_the_capital(counts: Counts, share: float, years: slice = slice(None)) -> None:
    """Move a share of each city's counts to the first city of its province, the capital."""
    provinces = read_units().reset_index(drop=True).groupby("province_id").groups
    for rows in provinces.values():
        cities = np.asarray(rows)
        moved = np.rint(share * counts[:, cities[1:], ..., years]).astype(np.int64)
        counts[:, cities[1:], ..., years] -= moved
        counts[:, cities[0], ..., years] += moved.sum(axis=1)


def patents_at_the_capital(share: float, years: slice = slice(None)) -> Fault:
    def fault(delivery: Delivery, _: Generator) -> None:
        at_the_capital(delivery.patents.counts, share, years)

    return fault


def ai_firms_at_the_capital(delivery: Delivery, _: Generator) -> None:
    at_the_capital(delivery.firms.counts, 0.25)


def preliminary_gdp(delivery: Delivery, _: Generator) -> None:
    ai = delivery.drawn.applications.ai[:, -1]
    factor = np.ones(delivery.drawn.firms.shape)
    factor[ai > np.quantile(ai, 0.75), since(2019)] = 0.98
    scale_gdp(delivery, factor)


def gdp_before_the_census(delivery: Delivery, rng: Generator) -> None:
    factor = np.ones(delivery.drawn.firms.shape)
    factor[provinces_drawn(rng, 12), : YEARS.index(2018)] = 1.08
    scale_gdp(delivery, factor)


def industry_reclassified(delivery: Delivery, rng: Generator) -> None:
    cities = provinces_drawn(rng, 6)
    moved = np.round(0.1 * delivery.yearbook["secondary_100m_cny"][cities, since(2016)], 2)
    delivery.yearbook["secondary_100m_cny"][cities, since(2016)] -= moved
    delivery.yearbook["tertiary_100m_cny"][cities, since(2016)] += moved


def broader_ai(delivery: Delivery, rng: Generator) -> None:
    counts = delivery.firms.counts
    electronics = delivery.firms.labels["行业代码"].eq("39").to_numpy()
    part = counts[:, :, electronics]
    stock = part[AI_STOCK].copy()
    stock[..., since(2018)] += rng.binomial(stock[..., since(2018)], 0.5)
    set_stock(part, AI_STOCK, np.minimum(stock, part[STOCK]))
    counts[:, :, electronics] = part


def electronics_as_software(delivery: Delivery, rng: Generator) -> None:
    counts, cities = delivery.firms.counts, np.flatnonzero(provinces_drawn(rng, 15))
    codes = delivery.firms.labels["行业代码"].tolist()
    source, target = codes.index("39"), codes.index("65")
    counts[:, cities, target, since(2017)] += counts[:, cities, source, since(2017)]
    counts[:, cities, source, since(2017)] = 0


def patents_cut_off(delivery: Delivery, _: Generator) -> None:
    np.minimum(delivery.patents.counts, 99, out=delivery.patents.counts)


def ai_grants_late(delivery: Delivery, _: Generator) -> None:
    counts = delivery.patents.counts
    counts[AI_GRANTS, ..., 1:] = np.minimum(counts[AI_GRANTS, ..., :-1], counts[GRANTS, ..., 1:])


def patent_cells_never_above_nine(delivery: Delivery, _: Generator) -> None:
    counts = delivery.patents.counts
    for count, of_all in ((APPLICATIONS, AI_APPLICATIONS), (GRANTS, AI_GRANTS)):
        small = counts[count].max(axis=-1) <= 9
        counts[count][small] = counts[of_all][small] = 0


def small_ai_patents_as_three(delivery: Delivery, _: Generator) -> None:
    counts = delivery.patents.counts
    ai = counts[AI_APPLICATIONS]
    counts[AI_APPLICATIONS] = np.where((ai > 0) & (ai < 5), 3, ai)
    counts[APPLICATIONS] = np.maximum(counts[APPLICATIONS], counts[AI_APPLICATIONS])


def patents_to_threes(delivery: Delivery, rng: Generator) -> None:
    """Round each patent count at random to one of the two nearest multiples of three."""
    counts = delivery.patents.counts
    counts[:] = 3 * np.floor(counts / 3 + rng.random(counts.shape)).astype(np.int64)
    counts[:AI_APPLICATIONS] = np.maximum(counts[:AI_APPLICATIONS], counts[AI_APPLICATIONS:])


FURTHER: dict[str, Fault] = {
    "patents set to 0 in cells that never exceed 9": patent_cells_never_above_nine,
    "AI patents of 1 to 4 delivered as 3": small_ai_patents_as_three,
    "patents rounded to threes at random": patents_to_threes,
    "unit employment with private firms in one province from 2014": multiplied(
        "unit_employment_10k", "320000", 2014, 1.4
    ),
    "all dissolved AI firms kept in the stock": kept_in_the_stock(1),
    "GDP moved in proportion to AI": first_deliveries.gdp_by_interest,
    "preliminary GDP in cities with many AI patents": preliminary_gdp,
    "GDP before the census in 12 provinces, including totals": gdp_before_the_census,
    "a seventh of the patents booked at the provincial capital": patents_at_the_capital(1 / 7),
    "AI firms of 10 provinces fall to 0 for two years": (
        lambda delivery, rng: first_deliveries.stocks_fall_to_zero(delivery, rng, True)
    ),
    "dissolved AI firms kept in the stock from 2017": kept_in_the_stock(1, 2017),
    "half of the AI entries left out from 2017": entries_left_out,
    "a third of the patents booked at the provincial capital": patents_at_the_capital(1 / 3),
    "a quarter of the patents of two years booked at the capital": patents_at_the_capital(
        1 / 4, since(2019)
    ),
    "a quarter of the firms booked at the provincial capital": ai_firms_at_the_capital,
    "a tenth of industry counted as services in 6 provinces": industry_reclassified,
    "AI firms in electronics by a broader definition from 2018": broader_ai,
    "electronics booked as software in 15 provinces from 2017": electronics_as_software,
    "patents cut off at 99 in each cell": patents_cut_off,
    "AI grants delivered one year late": ai_grants_late,
}
"""Faults that no test plants. The gate misses most of them, or they hardly change estimates."""


def coefficients(delivery: first_deliveries.Delivery) -> pd.DataFrame:
    """Estimate the paper's coefficients from the data of a delivery."""
    inputs = samples.inputs(first_deliveries.city_years(delivery))
    found = tables.estimate_coefficients(
        specifications.read_specifications(inputs.specifications), inputs
    ).to_pandas()
    keys = ["table_id", "column_number", "term"]
    printed = samples.seed_table("published_estimates")[keys].drop_duplicates()
    return printed.merge(found, on=keys)[[*keys, "estimate", "std_error"]].set_index(keys)


def movements(before: pd.DataFrame, after: pd.DataFrame) -> tuple[float, float]:
    """Return the largest change of a coefficient in Table 1 and overall, in standard errors."""
    moved = ((after["estimate"] - before["estimate"]) / before["std_error"]).abs()
    return float(moved.loc["table_1"].max()), float(moved.max())


def verdict(failed: pd.DataFrame) -> str:
    """Return whether the gate stops, warns or is silent, with the names of failing suites."""
    for severity, word in (("critical", "stopped"), ("warning", "warned")):
        suites = failed.loc[failed["severity"] == severity, "suite"]
        if len(suites):
            return f"{word}: {', '.join(dict.fromkeys(suites))}"
    return "silent"


def main() -> None:
    """Test each faulty delivery, print a report, and fail if the gate misses a serious fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=first_deliveries.SEED,
        help=f"random seed of the sample (default: {first_deliveries.SEED})",
    )
    seed = parser.parse_args().seed
    before = coefficients(first_deliveries.clean(seed))
    usual = {*first_deliveries.failures(first_deliveries.clean(seed))["description"]}
    rows = []
    for name, fault in (first_deliveries.FAULTS | FURTHER).items():
        delivery = first_deliveries.faulty(fault, seed)
        failed = first_deliveries.failures(delivery)
        new = failed[~failed["description"].isin(usual)]
        rows.append((name, *movements(before, coefficients(delivery)), verdict(new)))
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    found = pd.DataFrame(rows, columns=["delivery", "Table 1", "any column", "gate"])
    print(
        f"""\
# Faulty first deliveries

The table shows how many standard errors each fault moves the printed coefficients, and how the gate
responds. The random seed is {seed}.

    python -m benchmarks.first_deliveries --seed {seed}

{replication.markdown(found, {"Table 1": 2, "any column": 2})}
""",
        end="",
    )
    silent = found[(found["any column"] > 1) & (found["gate"] == "silent")]["delivery"]
    if len(silent):
        sys.exit(
            "The gate does not report these faults, although each moves a coefficient by more than"
            f" one standard error: {'; '.join(silent)}."
        )


if __name__ == "__main__":
    main()
