"""Count how often clean simulated samples and the public data fail the data-quality gate.

Each sample is drawn in memory, checked by the SQL of the check models, and judged by the
expectation suites. The script prints Markdown to stdout and progress to stderr, and exits with a
message if the gate stops more than one sample. The public deliveries are read from a built
warehouse, and build/extracts/sample must exist (`make setup`). Run the script from the project's
root:

    python -m benchmarks.gate --seeds 50 --public build/public.duckdb > benchmarks/gate.md
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor

import pandas as pd

from ai_manufacturing.gate import validation
from ai_manufacturing.paper.synthetic import draw_city_years
from ai_manufacturing.paper.synthetic.files import firm_cells, patent_cells
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.settings import period
from benchmarks import replication
from tests.lib import judged_samples
from tests.lib.judged_samples import FIRST_SEED, checked, judged


def of_seed(seed: int) -> pd.DataFrame:
    """Return the gate's results for one clean simulated sample."""
    drawn = draw_city_years(seed, period())
    cells = judged_samples.records(firm_cells(seed, drawn), patent_cells(seed, drawn))
    found = judged(
        checked(judged_samples.conformed(drawn), judged_samples.used_series(), records=cells),
        judged_samples.used_series(),
    )
    return found.assign(drawn=f"seed {seed}")


def of_warehouse(path: str) -> pd.DataFrame:
    """Return the gate's results for the series in a built warehouse."""
    with duckdb_client.connect(path, read_only=True) as connection:
        series, used, pairs = (
            connection.table(name).df()
            for name in (
                "intermediate.int_series_conformed",
                "marts.dim_specification_series",
                "marts.fct_source_pairs",
            )
        )
        cells = connection.sql(
            "select * exclude (origin) from intermediate.int_records_conformed where"
            " list_contains(['firm_survival', 'patents'], entity)"
        ).df()
    return judged(checked(series, used, pairs, cells), used).assign(drawn=path)


def rates(results: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """Return the share of simulated samples that fail each expectation, by severity."""
    results = results.assign(
        expectation=results["description"].str.removeprefix(validation.OTHER_SERIES[0])
    )
    failed = results.assign(failed=results["success"].eq(False))
    counted = failed.pivot_table(
        index=["suite", "expectation"],
        columns="severity",
        values="failed",
        aggfunc="sum",
        sort=False,
    )
    shares = counted.fillna(0) / seeds
    return shares.reindex(columns=["critical", "warning"], fill_value=0).reset_index()


def main() -> None:
    """Run the gate on all samples, print a report, and fail if it stops too many of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", type=int, default=50, help="number of clean samples (default: 50)"
    )
    parser.add_argument("--public", help="path of a warehouse of the public deliveries")
    arguments = parser.parse_args()
    found = []
    with ProcessPoolExecutor() as processes:
        for count, results in enumerate(
            processes.map(
                of_seed,
                range(FIRST_SEED, FIRST_SEED + arguments.seeds),
            ),
            start=1,
        ):
            found.append(results)
            if count % 10 == 0:
                print(f"{count} seeds", file=sys.stderr, flush=True)
    drawn = pd.concat(found)
    public = of_warehouse(arguments.public) if arguments.public else drawn.head(0)
    both = pd.concat([drawn, public])
    held = both[(both["severity"] == "critical") & both["success"].eq(False)]
    option = " --public build/public.duckdb" if arguments.public else ""
    failing = public.merge(held)["expectation"].size
    print(
        f"""\
# How often clean deliveries fail expectations on series

Random seeds start at {FIRST_SEED:,}. The limits in `seeds/series.csv` and `seeds/series_pairs.csv`
were set with other random seeds and with the public deliveries. A failure is `critical`, and stops
the build, if a reported estimate uses the series and a headline estimate uses the year. Any other
failure is a `warning`. The simulated samples do not contain the entries and exits of all firms, so
the limits for these series are not tested here.

    python -m benchmarks.gate --seeds {arguments.seeds}{option}

The gate stops {drawn.merge(held)["drawn"].nunique()} of {arguments.seeds} clean simulated samples.
{f"The public deliveries fail {failing} critical expectations." if option else ""}

The following table shows the share of samples that fail each expectation:

{replication.markdown(rates(drawn, arguments.seeds), {"critical": 3, "warning": 3})}
""",
        end="",
    )
    names = sorted(set(held["drawn"]))
    if len(names) > 1:
        sys.exit(f"The gate stopped these clean deliveries: {', '.join(names)}.")


if __name__ == "__main__":
    main()
