"""Wrong first deliveries: how far each moves a shown coefficient, and what the gate says of it.

A first delivery has no release beside it, so only the data themselves can give it away. Each fault
is put into one draw of the sample, in the cells of city and industry that a vendor counts, and the
draw is judged by the SQL and the suites of the gate. A coefficient's movement is in its own
standard errors on the clean draw. From the project's root:

    python -m benchmarks.first_deliveries > benchmarks/first_deliveries.md
"""

import argparse
import sys

import pandas as pd

from ai_manufacturing.estimation import specifications, tables
from benchmarks import replication
from tests.lib import first_deliveries, samples


def coefficients(delivery: first_deliveries.Delivery) -> pd.DataFrame:
    """Return the printed coefficients as a delivery gives them."""
    inputs = samples.inputs(first_deliveries.city_years(delivery))
    found = tables.coefficients(specifications.read(inputs.specifications), inputs).to_pandas()
    keys = ["table_id", "column_number", "term"]
    printed = samples.seed_table("published_estimates")[keys].drop_duplicates()
    return printed.merge(found, on=keys)[[*keys, "estimate", "std_error"]].set_index(keys)


def movements(before: pd.DataFrame, after: pd.DataFrame) -> tuple[float, float]:
    """Return the largest movement in Table 1 and in any table, in standard errors before."""
    moved = ((after["estimate"] - before["estimate"]) / before["std_error"]).abs()
    return float(moved.loc["table_1"].max()), float(moved.max())


def verdict(failed: pd.DataFrame) -> str:
    """Return whether a delivery is stopped, warned of or silent, and which suites say so."""
    for severity, word in (("critical", "stopped"), ("warning", "warned")):
        suites = failed.loc[failed["severity"] == severity, "suite"]
        if len(suites):
            return f"{word}: {', '.join(dict.fromkeys(suites))}"
    return "silent"


def main() -> None:
    """Judge each delivery, report, and fail where one that matters passes in silence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=first_deliveries.SEED,
        help=f"the draw ({first_deliveries.SEED})",
    )
    seed = parser.parse_args().seed
    before = coefficients(first_deliveries.clean(seed))
    usual = {*first_deliveries.failures(first_deliveries.clean(seed))["description"]}
    rows = []
    for name in first_deliveries.FAULTS:
        delivery = first_deliveries.faulty(name, seed)
        failed = first_deliveries.failures(delivery)
        new = failed[~failed["description"].isin(usual)]
        rows.append((name, *movements(before, coefficients(delivery)), verdict(new)))
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    found = pd.DataFrame(rows, columns=["delivery", "Table 1", "any column", "gate"])
    print(
        f"""\
# Wrong first deliveries

Movement of the printed coefficients in standard errors, and the answer of the gate, on seed {seed}.

    python -m benchmarks.first_deliveries --seed {seed}

{replication.markdown(found, {"Table 1": 2, "any column": 2})}
""",
        end="",
    )
    silent = found[(found["any column"] > 1) & (found["gate"] == "silent")]["delivery"]
    if len(silent):
        sys.exit(f"Silent though they move a column by more than one error: {'; '.join(silent)}.")


if __name__ == "__main__":
    main()
