"""How often the verdicts on printed claims are right, on fresh synthetic samples whose truth is known.

Draws each seed in memory twice: with the true parameters, and with no effect of firms or patents. Estimates the
fixed-effects columns of Tables 1 to 4, makes the checks that decide a verdict, and judges by the SQL of
rpt_credibility. Prints Markdown on stdout and progress on stderr. From the project's root:

    python -m benchmarks.verdicts --seeds 200 > benchmarks/verdicts.md
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import pandas as pd

from ai_manufacturing import duckdb_client
from ai_manufacturing.estimation import checks, in_memory, specifications, tables
from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.settings import period
from ai_manufacturing.synthetic import draw
from ai_manufacturing.synthetic.geography import units
from ai_manufacturing.synthetic.truth import TRUTH
from benchmarks import replication

FIRST_SEED = 900_000
TABLES = ("table_1", "table_2", "table_3", "table_4")
# Without the effects of firms, and of patents, which move with firms.
NO_EFFECT = replace(
    TRUTH,
    gdp_on_applications=0.0,
    gdp_on_grants=0.0,
    secondary_share_on_applications=0.0,
    secondary_share_on_grants=0.0,
    secondary_employment_on_applications=0.0,
    secondary_employment_on_grants=0.0,
    manufacturing_employment_on_applications=0.0,
    manufacturing_employment_on_grants=0.0,
    gdp_on_firms=0.0,
    gdp_on_mediators=0.0,
    high_income_difference=0.0,
    secondary_share_on_firms=0.0,
    secondary_employment_on_firms=0.0,
    manufacturing_employment_on_firms=0.0,
    resident_population_on_firms=0.0,
)
TRUTHS = {"true parameters": TRUTH, "no effect": NO_EFFECT}


def asked(found: Inputs) -> pd.DataFrame:
    """Return the checks that decide a verdict, for each column."""
    rules = replication.seed_table("verdict_rules").query("aspect != 'told' and source != 'estimate'")
    made = replication.seed_table("inference_checks").merge(rules[["estimator", "method", "setting"]].drop_duplicates())
    return found.specifications.merge(made, on="estimator")[["specification_id", "method", "setting"]]


def verdicts(seed: int, truth: str) -> pd.DataFrame:
    """Return table, column and verdict of one draw."""
    found = replication.inputs(draw(seed, period(), TRUTHS[truth]))
    rows = found.specifications.query("estimator == 'fixed_effects' and table_id in @TABLES")
    found = replace(found, specifications=rows)
    chosen = specifications.read(rows)
    coefficients = tables.coefficients(chosen, found)
    cities = units().merge(replication.seed_table("city_coordinates").astype({"city_id": str}), on="city_id")
    made = {
        f"est_{name}": checks.checked(name, chosen, asked(found), found, cities)
        for name in ("inference", "influence", "sensitivity")
    }
    shown = (
        coefficients.to_pandas()
        .groupby(["table_id", "column_number", "specification_id"], as_index=False)["status"]
        .min()
    )
    with duckdb_client.connect(reads_files=True) as connection:
        connection.execute("create macro current_extract_set() as 'in memory'")
        for name, frame in (
            ("rpt_column_specifications", shown),
            ("int_specifications_resolved", rows),
            *((name, replication.seed_table(name)) for name in ("published_estimates", "verdict_rules", "verdicts")),
        ):
            in_memory.create(connection, name, frame)
        for name, table in {"rpt_coefficients": coefficients, **made}.items():
            connection.register(name, table)
        for model in ("rpt_credibility", "rpt_verdicts"):
            in_memory.run(connection, f"reports/{model}")
        judged = connection.execute(
            "select table_id, column_number, coalesce(cause, verdict) as verdict from rpt_verdicts"
        ).df()
    return judged.assign(seed=seed, truth=truth)


def simulated(seeds: int, truth: str) -> Iterator[pd.DataFrame]:
    """Judge each seed, in as many processes as there are processors."""
    with ProcessPoolExecutor() as processes:
        numbers = range(FIRST_SEED, FIRST_SEED + seeds)
        for count, judged in enumerate(processes.map(partial(verdicts, truth=truth), numbers), start=1):
            yield judged
            if count % 20 == 0:
                print(f"{truth}: {count} seeds", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200, help="draws of each truth (200)")
    seeds = parser.parse_args().seeds
    found = pd.concat([judged for truth in TRUTHS for judged in simulated(seeds, truth)])
    words = replication.seed_table("verdicts").query("question == 'claim'")
    order = [*words["cause"].fillna(words["verdict"])]
    print(
        f"# Verdicts where the truth is known\n\nShare of {seeds} draws with each verdict, by `benchmarks/verdicts.py`."
    )
    for truth, rows in found.groupby("truth", sort=False):
        share = pd.crosstab([rows["table_id"], rows["column_number"]], rows["verdict"], normalize="index")
        share = share.reindex(columns=[name for name in order if name in share]).reset_index()
        print(f"\n## {truth.capitalize()}\n")
        print(replication.markdown(share, dict.fromkeys(share.columns[2:], 2)))


if __name__ == "__main__":
    main()
