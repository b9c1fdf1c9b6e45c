"""Measure by simulation how often the verdicts on the paper's claims are right.

Synthetic samples have no effects, the printed effects or twice the printed effects. Cities are
independent, or share shocks within their province or with their neighbours. Each draw is estimated
by the printed design, checked as the verdict rules require, and judged by the SQL of
rpt_credibility and rpt_verdicts.

Draws are cached in build/benchmarks/verdicts, and cached seeds are not drawn again. Delete this
folder after you change estimators or rules. The script prints Markdown to stdout and progress to
stderr, and exits with a message if a target is missed. Run the script from the project's root:

    python -m benchmarks.verdicts --seeds 200 > benchmarks/verdicts.md
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

from ai_manufacturing.estimation import specifications, tables
from ai_manufacturing.estimation.inputs import Inputs
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.paper.synthetic import draw_city_years
from ai_manufacturing.paper.synthetic.geography import read_units
from ai_manufacturing.robustness import checks
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.settings import period
from benchmarks import measuring, replication
from tests.lib import in_memory, samples, truths
from tests.lib.truths import CommonShocks

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

FIRST_SEED = 900_000
DRAWS = measuring.PROJECT / "build/benchmarks/verdicts"


SIZES = {"no effect": 0.0, "printed effect": 1.0, "twice the printed effect": 2.0}
SHOCKS: dict[str, CommonShocks | None] = {
    "independent": None,
    "by province": CommonShocks("province"),
    "neighbours": CommonShocks("neighbours"),
}


@dataclass(frozen=True)
class World:
    """Simulated data-generating process: the name of a true effect and of a noise model."""

    truth: str
    noise: str

    def __str__(self) -> str:
        return f"{self.truth}, {self.noise}"

    def path(self, folder: Path) -> Path:
        """Return the path of the file that caches the draws of this simulation."""
        return folder / f"{str(self).replace(', ', '__').replace(' ', '_')}.parquet"


WORLDS = {
    str(world): world for noise in SHOCKS for truth in SIZES for world in [World(truth, noise)]
}


VERDICTS = """
    select table_id, column_number, specification_id, estimator, coalesce(cause, verdict) as word,
        printed_value, estimate, std_error, excludes_zero, failing.failed,
        coalesce(moves, false) as moves
    from rpt_verdicts
    inner join int_specifications_resolved using (table_id, column_number, specification_id)
    left join (
        select specification_id, string_agg(check_id, ' ') as failed,
            bool_or(aspect = 'stable') as moves
        from rpt_credibility
        where aspect in ('required', 'shared', 'stable') and not passes group by all
    ) as failing using (specification_id)
    order by table_id, column_number
"""


@cache
def asked() -> pd.DataFrame:
    """Return the robustness checks that the verdict rules read, for each estimator."""
    rules = samples.seed_table("verdict_rules")
    read_by_rules = rules.query("aspect != 'told' and source != 'estimate'")
    made = samples.seed_table("inference_checks")
    needed = made.merge(read_by_rules[["estimator", "method", "setting"]].drop_duplicates())
    # An event study also needs its average effect, which serves as its estimate.
    return pd.concat([needed, made.query("method == 'average'")])


@cache
def cities() -> pd.DataFrame:
    """Return the table of cities, with longitude and latitude as floats."""
    return read_units().astype({"longitude": float, "latitude": float})


def judged(
    inputs: Inputs,
    rows: pd.DataFrame,
    statement: str,
    estimated: Callable[[list[Specification], Inputs], pa.Table] = tables.estimate_coefficients,
) -> pd.DataFrame:
    """Estimate specifications, judge them with the SQL models, and return the result of a query."""
    chosen = specifications.read_specifications(rows)
    coefficients = estimated(chosen, inputs)
    mechanical = [each.specification_id for each in chosen if inputs.is_mechanical(each)]
    checked = rows[~rows["specification_id"].isin(mechanical)].merge(asked(), on="estimator")
    checked = checked[["specification_id", "method", "setting"]]
    made = {
        f"est_{name}": checks.run_checks(name, chosen, checked, inputs, cities())
        for name in ("inference", "influence", "sensitivity")
    }
    shown = (
        coefficients.to_pandas()
        .groupby(["table_id", "column_number", "specification_id", "reading"], as_index=False)[
            "status"
        ]
        .min()
        .assign(is_partial=False)
    )
    with duckdb_client.connect(reads_files=True) as connection:
        for name, frame in (
            ("rpt_specifications", shown),
            ("int_specifications_resolved", rows),
            *(
                (name, samples.seed_table(name))
                for name in (
                    "published_estimates",
                    "verdict_rules",
                    "verdicts",
                    "claim_designs",
                    "check_power",
                    "labels",
                )
            ),
        ):
            in_memory.create(connection, name, frame)
        for name, table in {"rpt_coefficients": coefficients, **made}.items():
            connection.register(name, table)
        for model in ("rpt_credibility", "rpt_verdicts", "rpt_claims"):
            in_memory.run(connection, f"reports/{model}")
        return connection.execute(statement).df()


def verdicts(seed: int, world: World) -> pd.DataFrame:
    """Return the verdict on each claim for one simulated sample."""
    shocks = SHOCKS[world.noise]
    root = truths.root(shocks) if shocks else None
    inputs = samples.inputs(
        draw_city_years(seed, period(), truths.truth_of(SIZES[world.truth]), root)
    )
    return judged(inputs, inputs.specifications, VERDICTS).assign(seed=seed)


# Power from which a claim must hold in 80 % of draws, because a required check fails by chance in
# 5 %. Power is the share of draws that are significant, alone and within the family of tests.
POWER = 0.80 / 0.95
HOLDS_WITH_POWER = 0.80
HOLDS_WITHOUT_EFFECT, OPPOSITE_WITHOUT_EFFECT = 0.05, 0.025
MOVES_WITH_EFFECT = 0.10
CLAIM = ["table_id", "column_number"]
SHARES = {
    "holds": "holds",
    "fails a check": "fails_check",
    "opposite sign": "opposite_sign",
    "not found": "not_found",
    "imprecise": "imprecise",
    "one of several": "family",
}


def error(share: float, draws: int) -> float:
    """Return the Monte Carlo standard error of a share of draws."""
    return float(np.sqrt(share * (1 - share) / draws))


def shares(drawn: pd.DataFrame) -> pd.DataFrame:
    """Summarise simulated draws by claim.

    Parameters
    ----------
    drawn : DataFrame
        Rows of verdicts.

    Returns
    -------
    DataFrame
        One row per claim: draws, estimate and std_error (mean and median, in multiples of the
        printed value), power (share of draws that are significant by province, alone and in the
        family), a column per word of SHARES and `other`, moves (share of draws in which the
        estimate depends on doubtful values), and failed (the check that most often fails a
        significant estimate, with its share of the draws).
    """
    rows = []
    for claim, of_claim in drawn.groupby(CLAIM):
        scale = of_claim["printed_value"]
        words = of_claim["word"].value_counts(normalize=True)
        counted = {name: float(words.get(word, 0.0)) for name, word in SHARES.items()}
        excludes_zero = of_claim["excludes_zero"].fillna(value=False).astype(bool)
        is_significant = excludes_zero & (of_claim["word"] != "family")
        failed = of_claim.loc[
            is_significant, "failed"
        ].dropna().str.split().explode().value_counts() / len(of_claim)
        rows.append(
            {
                **dict(zip(CLAIM, claim, strict=True)),
                "estimator": of_claim["estimator"].iloc[0],
                "draws": len(of_claim),
                "estimate": float((of_claim["estimate"] / scale).mean()),
                "std_error": float((of_claim["std_error"] / scale.abs()).median()),
                "power": float(is_significant.mean()),
                **counted,
                "other": max(0.0, round(1 - sum(counted.values()), 9)),
                "moves": float(of_claim["moves"].mean()),
                "failed": f"{failed.index[0]} {failed.iloc[0]:.0%}" if len(failed) else "",
            }
        )
    return pd.DataFrame(rows)


def missed(world: World, found: pd.DataFrame) -> list[str]:
    """Return a sentence for each claim that misses a target by more than chance.

    The level is 5 % for all claims of a page together.
    """
    level = 0.05 / len(found)
    sentences = []
    for row in found.to_dict("records"):
        claim, draws = f"{row['table_id']} column {row['column_number']}", row["draws"]
        name = f'In the simulation "{world}", {claim}'

        def exceeds(share: float, limit: float, draws: int = draws) -> bool:
            return bool(stats.binom.sf(round(share * draws) - 1, draws, limit) < level)

        if world.truth == "no effect":
            limits = {"holds": HOLDS_WITHOUT_EFFECT, "opposite sign": OPPOSITE_WITHOUT_EFFECT}
            sentences += [
                f'{name} gets the verdict "{word}" in {row[word]:.1%} of draws, but the target is'
                f" at most {limit:.1%}."
                for word, limit in limits.items()
                if exceeds(row[word], limit)
            ]
            continue
        if exceeds(row["moves"], MOVES_WITH_EFFECT):
            sentences.append(
                f"{name} depends on doubtful values in"
                f" {row['moves']:.0%} of draws, but the target is at most {MOVES_WITH_EFFECT:.0%}."
            )
        if row["power"] >= POWER and exceeds(1 - row["holds"] - row["other"], 1 - HOLDS_WITH_POWER):
            sentences.append(
                f'{name} gets the verdict "holds" in {row["holds"]:.0%} of draws, but the target is'
                f" at least {HOLDS_WITH_POWER:.0%}. The estimate is significant in"
                f" {row['power']:.0%} of draws."
            )
            if row["failed"]:
                check, share = row["failed"].split()
                sentences[-1] += (
                    f" The check that fails most often is {check}, in {share} of draws."
                )
        elif row["power"] < POWER and row["fails a check"] > max(
            row["imprecise"] + row["one of several"], row["holds"]
        ):
            sentences.append(
                f"{name} has a power of {row['power']:.0%}, and fails a check in"
                f" {row['fails a check']:.0%} of draws, which is more often than it holds or gets"
                f' the verdict "cannot tell"'
                f" ({row['imprecise'] + row['one of several']:.0%})."
            )
    return sentences


def simulate(world: World, seeds: range, path: Path, processes: ProcessPoolExecutor) -> None:
    """Simulate the seeds that are not cached, and add their verdicts to the cache file."""
    kept = [pd.read_parquet(path)] if path.exists() else []
    missing = sorted({*seeds}.difference(*(drawn["seed"] for drawn in kept)))
    judge = partial(verdicts, world=world)
    for count, found in enumerate(processes.map(judge, missing, chunksize=5), start=1):
        kept.append(found)
        if count % 10 == 0 or count == len(missing):
            pd.concat(kept, ignore_index=True).to_parquet(path)
            print(f"{world}: {count} seeds", file=sys.stderr, flush=True)


def shown(found: pd.DataFrame) -> str:
    """Format the summary of a simulation as a Markdown table."""
    columns = [*SHARES, "other", "moves"]
    table = found[[*CLAIM, "estimate", "std_error", "power", *columns, "failed"]].copy()
    for name in ("power", *columns):
        table[name] = [
            "" if share == 0 else f"{share:.1%} ± {error(share, draws):.1%}"
            for share, draws in zip(found[name], found["draws"], strict=True)
        ]
    table["failed"] = table["failed"].str.replace(r"^(\w+) ", r"`\1` ", regex=True)
    return replication.markdown(table, {"estimate": 2, "std_error": 2})


def over_claims(drawn: pd.DataFrame, word: str) -> str:
    """Return the mean and the largest share of a verdict over claims, with Monte Carlo errors."""
    is_word = drawn["word"] == word
    of_draws = is_word.groupby(drawn["seed"]).mean()
    mean_error = of_draws.std() / np.sqrt(len(of_draws))
    largest = is_word.groupby([drawn[name] for name in CLAIM]).mean().max()
    return (
        f"{of_draws.mean():.1%} ± {mean_error:.1%}, {largest:.1%} ±"
        f" {error(largest, len(of_draws)):.1%}"
    )


def summary(drawn: Mapping[World, pd.DataFrame]) -> pd.DataFrame:
    """Return one row per simulation with the mean and extreme of each share that has a target."""
    rows = []
    for world, verdicts_drawn in drawn.items():
        table = shares(verdicts_drawn)
        judged = table[table["other"] < 1]
        draws, has_effect = int(table["draws"].min()), world.truth != "no effect"
        able, unable = judged[judged["power"] >= POWER], judged[judged["power"] < POWER]
        cannot_tell = unable["imprecise"] + unable["one of several"]
        rows.append(
            {
                "simulation": str(world),
                "draws": draws,
                "holds": "" if has_effect else over_claims(verdicts_drawn, "holds"),
                "opposite sign": over_claims(verdicts_drawn, "opposite_sign"),
                "claims with power": f"{len(able)} of {len(judged)}" if has_effect else "",
                "claims with power: hold": (
                    f"{able['holds'].mean():.0%}, {able['holds'].min():.0%}"
                    if has_effect and len(able)
                    else ""
                ),
                "other claims: `cannot_tell`": (
                    f"{cannot_tell.mean():.0%}" if has_effect and len(unable) else ""
                ),
                "other claims: fails a check": (
                    f"{unable['fails a check'].mean():.0%}" if has_effect and len(unable) else ""
                ),
            }
        )
    return pd.DataFrame(rows)


def page(drawn: Mapping[World, pd.DataFrame]) -> tuple[str, list[str]]:
    """Return the Markdown report benchmarks/verdicts.md and the list of missed targets."""
    found = {world: shares(verdicts_drawn) for world, verdicts_drawn in drawn.items()}
    misses = [sentence for world, table in found.items() for sentence in missed(world, table)]
    parts = [
        f"""\
# Verdicts where the truth is known

The panels are synthetic and estimated by the printed design, so no number here is a finding about
cities. `benchmarks/verdicts.py` writes this page. Random seeds start at {FIRST_SEED:,}.

- The simulated effects of firms, patents and the event on outcomes are zero, the sample's true
  parameters, or twice these parameters. With the sample's true parameters, the mean estimates equal
  the printed ones, except for GMM and the column scaled by GDP (`synthetic/truth.py`).
- The noise is independent between cities, shared within provinces, or correlated between
  neighbours. Within a province, cities share half of the noise variance of each series. Between
  neighbours, the correlation is a half at distance zero, and falls to 1/e of this value at 250 km.
- In the simulated event studies, the rates of entries, exits and patents do not differ between
  groups before the event, although they differ in the sample and in the paper. Without an effect,
  the mean estimate in Table 5 is still .2 times the printed value, because the five cities with
  most AI firms are controls, and the log of one plus a count grows more for large counts.
- The simulation draws stocks of firms backwards from the last year. A large effect in Table 5
  therefore also changes the years before the event, and the pre-trend test is right to fail.

The targets for each claim are:

- If there is no effect, the verdict is "holds" in at most {HOLDS_WITHOUT_EFFECT:.0%} of draws, and
  "opposite sign" in at most {OPPOSITE_WITHOUT_EFFECT:.1%} of draws.
- If there is an effect and `power` is at least {POWER:.0%}, the verdict is "holds" in at least
  {HOLDS_WITH_POWER:.0%} of draws. The limit on `power` allows for a required check that fails by
  chance in 5 % of draws.
- If there is an effect but less power, the verdict "fails a check" is less frequent than
  `cannot_tell` or than "holds".
- If there is an effect, the estimate depends on doubtful values in at most {MOVES_WITH_EFFECT:.0%}
  of draws.

A target is missed if a binomial test with a Bonferroni correction for the number of claims rejects
it at 5 %.""",
        "## In short",
        (
            "The following table shows the mean and the largest share over the claims that can be"
            " judged. For\nclaims with power, the table shows the mean and the smallest share of"
            ' "holds". If a verdict never occurs\nin N draws, its true share is below 3/N with 95 %'
            " confidence."
        ),
        replication.markdown(summary(drawn), {}),
        "## Targets missed",
        "\n".join(f"- {sentence}" for sentence in misses) or "All targets are met.",
        """\
## Words by truth

`estimate` (a mean) and `std_error` (a median, clustered by province) are multiples of the printed
value. `power` is the share of draws in which the estimate is
significant, alone and in the family of tests. `imprecise`, `one of several` and `other` are the
causes of the verdict `cannot_tell`. `moves` is the share of draws in which the estimate depends on
doubtful values. `failed` is the check that a significant estimate fails most often. Each share is
shown with its Monte Carlo standard error. A cell is empty if no draw has the result.""",
    ]
    for world, table in found.items():
        parts += [f"### {str(world).capitalize()}", shown(table)]
    return "\n\n".join(parts) + "\n", misses


def main() -> None:
    """Run the simulations that are not cached, and print the report on all cached draws."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", type=int, default=200, help="draws of each simulation (default: 200)"
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=[*WORLDS],
        help="simulations to run; without a name, only the page is written",
    )
    parser.add_argument(
        "--draws",
        type=Path,
        default=DRAWS,
        help="folder of the cached draws, which are not drawn again",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=os.cpu_count(),
        help="number of processes (default: one per processor)",
    )
    arguments = parser.parse_args()
    names = [*WORLDS] if arguments.only is None else arguments.only
    chosen = [WORLDS[name] for name in names]
    arguments.draws.mkdir(parents=True, exist_ok=True)
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    with ProcessPoolExecutor(arguments.processes) as processes:
        for world in chosen:
            simulate(world, seeds, world.path(arguments.draws), processes)
    paths = {world: world.path(arguments.draws) for world in WORLDS.values()}
    text, misses = page(
        {world: pd.read_parquet(path) for world, path in paths.items() if path.exists()}
    )
    print(text, end="")
    if misses:
        sys.exit(f"{len(misses)} targets are missed. The page lists them.")


if __name__ == "__main__":
    main()
