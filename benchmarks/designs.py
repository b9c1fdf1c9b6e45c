"""Simulate how often the alternative designs of a published claim give the right verdict.

Regressors, controls, cities and flags come from a built warehouse. The simulated outcome of a claim
is the sum of its fitted values without the measure, an effect from TRUTHS and noise from NOISES.
Each draw is estimated under every design of claim_designs.csv, checked as the verdict rules
require, and judged by the SQL of rpt_credibility, rpt_verdicts and rpt_claims.

Draws are cached in build/benchmarks/designs, and cached seeds are not drawn again. Delete this
folder after you change estimators or rules. The script prints Markdown to stdout and progress to
stderr, and exits with a message if a target is missed. It also writes the rate at which each
required check fails to seeds/check_power.csv. Run the script from the project's root:

    python -m benchmarks.designs --warehouse public.duckdb > benchmarks/designs.md
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

from ai_manufacturing.estimation import specifications, tables
from ai_manufacturing.estimation.inputs import Inputs, Sample, read_warehouse_inputs
from ai_manufacturing.estimation.rows import Row, build_estimates_table
from ai_manufacturing.estimation.specifications import Specification
from ai_manufacturing.estimators import cluster_errors, fixed_effects
from ai_manufacturing.estimators.columns import Floats
from ai_manufacturing.estimators.not_estimable import get_result_or_reason
from ai_manufacturing.estimators.sentences import Sentence
from ai_manufacturing.robustness.case import get_case
from ai_manufacturing.system import duckdb_client
from benchmarks import measuring, replication
from benchmarks.verdicts import World, cities, error, judged
from tests.lib import samples

FIRST_SEED = 700_000
DRAWS = measuring.PROJECT / "build/benchmarks/designs"
POWER_SEED = measuring.PROJECT / "seeds/check_power.csv"
CLAIM = ["table_id", "column_number"]
HEADLINE = ("table_1", 1)
KEY = ["city_id", "year"]

# Autocorrelation of the redrawn noise between consecutive years.
PERSISTENCE = 0.7
# Share of the variance of the redrawn noise that all cities of a province have in common.
COMMON = 0.3


@dataclass(frozen=True)
class Truth:
    """True effect in a simulation: its shape, and its size in multiples of the paper's estimate."""

    shape: str
    size: float


OF_COUNTS = "the printed effect, of AI counts"
TRUTHS = {
    "no effect": Truth("measure", 0),
    "the printed effect": Truth("measure", 1),
    "a trend of each city": Truth("trend", 2),
    "firms three years after growth": Truth("lead_3", 2),
    "firms one year after growth": Truth("lead_1", 2),
    OF_COUNTS: Truth("ai", 1),
    "twice the printed effect": Truth("measure", 2),
}
NOISES = ("real residuals", "redrawn noise")
# True effects for which the benchmark limits the share of wrong answers.
JUDGED = ("no effect", "the printed effect", "a trend of each city")


# True effects with a limit on wrong answers are also simulated with redrawn noise, to check that
# the results do not depend on the noise model.
WORLDS = [
    *(World(truth, NOISES[0]) for truth in TRUTHS),
    *(World(truth, NOISES[1]) for truth in JUDGED),
]


@dataclass(frozen=True)
class Claim:
    """Coefficient that the paper reports, with the components of its simulated outcome.

    Attributes
    ----------
    rows : DataFrame
        city_id, year and province_id of the city-years.
    without_effect, residuals : ndarray, shape (n,)
        The outcome is their sum plus the estimate times the measure.
    shapes : mapping of str to ndarray
        Effects on the outcome, scaled to a slope of one under the printed design. AI counts are not
        scaled.
    printed : float
        The printed slope.
    """

    rows: pd.DataFrame
    without_effect: Floats
    residuals: Floats
    shapes: Mapping[str, Floats]
    printed: float

    def outcome(self, truth: Truth, noise: Floats) -> pd.Series:
        """Return the simulated outcome, indexed by city and year."""
        effect = truth.size * self.printed * self.shapes[truth.shape] if truth.size else 0.0
        index = pd.MultiIndex.from_frame(self.rows[KEY])
        return pd.Series(self.without_effect + effect + noise, index)


@dataclass(frozen=True)
class DrawnInputs(Inputs):
    """Estimation inputs in which simulated outcomes replace the real ones.

    Attributes
    ----------
    real : Inputs
        Inputs with the delivered outcomes, whose cached lookups serve all draws.
    outcomes : mapping of (str, int) to Series
        Outcome by city and year, for each claim.
    """

    real: Inputs
    outcomes: Mapping[tuple[str, int], pd.Series]

    @property
    def _series(self) -> Any:
        return self.real._series

    def sample(self, specification: Specification) -> Sample:
        """Return the estimation sample with the simulated outcome, cached by specification."""

        def drawn() -> Sample:
            real = self.real.sample(specification)
            values = self.outcomes[specification.table_id, specification.column_number]
            cells = pd.MultiIndex.from_frame(real.rows[KEY])
            outcome = values.reindex(cells).to_numpy()
            has_outcome = ~np.isnan(outcome)
            return Sample(
                real.rows.assign(**{specification.outcome: outcome})[has_outcome],
                real.is_estimated[has_outcome],
                real.singletons_dropped,
                real.cells[has_outcome],
            )

        return self.get_or_compute(("drawn", specification), drawn)


@dataclass(frozen=True)
class RealDesign:
    """Published claims that a warehouse can re-estimate, with their alternative designs."""

    inputs: Inputs
    claims: Mapping[tuple[str, int], Claim]

    def drawn(self, rng: np.random.Generator, truth: str, noise: str) -> DrawnInputs:
        """Simulate the outcomes of all claims, with common shocks to cities and provinces."""
        draw = {"real residuals": _flipped, "redrawn noise": _redrawn}[noise]
        noises = draw(rng, self.claims)
        own = {field.name: getattr(self.inputs, field.name) for field in fields(Inputs)}
        outcomes = {
            name: claim.outcome(TRUTHS[truth], noises[name]) for name, claim in self.claims.items()
        }
        return DrawnInputs(**own, real=self.inputs, outcomes=outcomes)


Noises = dict[tuple[str, int], Floats]


def _flipped(rng: np.random.Generator, claims: Mapping[tuple[str, int], Claim]) -> Noises:
    """Return the estimated residuals, multiplied by a random sign for each province."""
    provinces = sorted({name for claim in claims.values() for name in claim.rows["province_id"]})
    signs = dict(zip(provinces, rng.choice([-1.0, 1.0], len(provinces)), strict=True))
    return {
        name: claim.rows["province_id"].map(signs).to_numpy(float) * claim.residuals
        for name, claim in claims.items()
    }


def _redrawn(rng: np.random.Generator, claims: Mapping[tuple[str, int], Claim]) -> Noises:
    """Draw AR(1) noise with city and province components, scaled to the residuals' variance."""
    rows = pd.concat([claim.rows for claim in claims.values()])
    years = range(int(rows["year"].min()), int(rows["year"].max()) + 1)

    def paths(names: pd.Series) -> pd.Series:
        labels = sorted(names.unique())
        steps = rng.standard_normal((len(labels), len(years)))
        values = steps.copy()
        for year in range(1, len(years)):
            change = np.sqrt(1 - PERSISTENCE**2) * steps[:, year]
            values[:, year] = PERSISTENCE * values[:, year - 1] + change
        cells = pd.MultiIndex.from_product([labels, years])
        return pd.Series(values.ravel(), cells)

    shocks = {name: paths(rows[name]) for name in ("city_id", "province_id")}
    noises = {}
    for name, claim in claims.items():
        own, common = (
            shocks[level].reindex(pd.MultiIndex.from_frame(claim.rows[[level, "year"]])).to_numpy()
            for level in ("city_id", "province_id")
        )
        noise = np.sqrt(1 - COMMON) * own + np.sqrt(COMMON) * common
        noises[name] = noise * (claim.residuals.std() / noise.std())
    return noises


@cache
def real_design(warehouse: Path) -> RealDesign:
    """Read the claims of Tables 1 to 4, without claims whose regressor contains the outcome."""
    with duckdb_client.connect(str(warehouse), read_only=True) as connection:
        found = read_warehouse_inputs(connection)
    designs = samples.seed_table("claim_designs").query("question != 'reading'")
    rows = found.specifications
    is_design = (
        rows["reading"].isin(designs["reading"])
        & rows["table_id"].isin([f"table_{number}" for number in range(1, 5)])
        & rows["estimator"].isin(["fixed_effects", "iv_fixed_effects"])
    )
    # Store city IDs as Python strings, because the estimators build sets of cities, and an Arrow
    # array would create every string again.
    panel = found.panel.astype({"city_id": object})
    inputs = replace(found, specifications=rows[is_design], panel=panel)
    chosen = specifications.read_specifications(inputs.specifications)
    counts = {
        (one.table_id, one.column_number): one
        for one in chosen
        if one.weighting == "observed" and one.estimator == "fixed_effects"
    }
    claims = {}
    for specification in chosen:
        if specification.reading != "default" or inputs.is_mechanical(specification):
            continue
        name = specification.table_id, specification.column_number
        claim = get_result_or_reason(partial(_claim, specification, counts[name], inputs))
        if not isinstance(claim, Sentence):
            claims[name] = claim
    is_estimable = [
        (row.table_id, row.column_number) in claims for row in inputs.specifications.itertuples()
    ]
    return RealDesign(replace(inputs, specifications=inputs.specifications[is_estimable]), claims)


def _claim(specification: Specification, counts: Specification, inputs: Inputs) -> Claim:
    sample = inputs.sample(specification)
    fit, _ = tables.fit_fixed_effects(specification, sample, inputs)
    rows = sample.rows.loc[fit.regression.index]
    outcome, measure = (
        rows[name].to_numpy(float) for name in (specification.outcome, specification.regressor)
    )
    # Undo the scaling of the outcome, which the regression divides by its largest absolute value.
    residuals = np.abs(outcome).max() * fixed_effects.fit_least_squares(fit.regression).residuals
    ai = inputs.sample(counts).rows.set_index(KEY)[counts.regressor]
    ai_counts = ai.reindex(pd.MultiIndex.from_frame(rows[KEY]))
    of_rows = replace(sample, rows=rows)
    line = _lines(rows, measure)
    shapes = {"trend": line - pd.Series(line).groupby(rows["city_id"].to_numpy()).transform("mean")}
    for years in (1, 3):
        later = inputs.shift_measure(specification, of_rows, years)
        shapes[f"lead_{years}"] = np.where(np.isnan(later), _lines(rows, later), later)

    def slope(shape: Floats) -> float:
        placed = replace(sample, rows=rows.assign(**{specification.outcome: shape}))
        return float(tables.fit_fixed_effects(specification, placed, inputs)[0].estimates[0])

    return Claim(
        rows[[*KEY, "province_id"]].reset_index(drop=True),
        outcome - fit.estimates[0] * measure - residuals,
        residuals,
        {
            **{name: np.asarray(shape / slope(shape)) for name, shape in shapes.items()},
            "measure": measure,
            "ai": ai_counts.fillna(0.0).to_numpy(float),
        },
        inputs.find_printed_estimates(specification)[specification.regressor],
    )


def _lines(rows: pd.DataFrame, values: Floats) -> Floats:
    """Fit a linear trend to each city's values, and return the fitted values for all rows."""
    lines = np.zeros(len(rows))
    for positions in rows.reset_index(drop=True).groupby("city_id").indices.values():
        years = rows["year"].to_numpy(float)[positions]
        known = ~np.isnan(values[positions])
        if known.any():
            degree = min(1, int(known.sum()) - 1)
            fitted = np.polynomial.Polynomial.fit(
                years[known], values[positions][known], degree, domain=[years[0], years[0] + 1]
            )
            lines[positions] = fitted(years)
    return lines


def one_draw(seed: int, world: World, warehouse: Path) -> pd.DataFrame:
    """Simulate one draw; return its verdicts with one row per claim, design and required check."""
    design = real_design(warehouse)
    inputs = design.drawn(np.random.default_rng([seed]), world.truth, world.noise)
    return judged(inputs, inputs.specifications, DRAWN, measures_alone).assign(seed=seed)


def measures_alone(chosen: list[Specification], inputs: Inputs) -> pa.Table:
    """Estimate the coefficients of the AI measures, with errors clustered by province only."""

    def rows_of(specification: Specification) -> Iterator[Row]:
        if specification.estimator == "iv_fixed_effects":
            yield tables.estimate_with_instrument(specification, inputs.sample(specification))[0]
            return
        case = get_case(specification, inputs, cities().set_index("city_id"))
        found = cluster_errors.crv3(case.regression, 0, case.codes("province"))
        yield {
            "estimate": found.estimate,
            **{f"{name}_province": getattr(found, name) for name in tables.PROVINCE_STATISTICS},
        }

    def row_of(specification: Specification) -> Iterator[Row]:
        named = {name: getattr(specification, name) for name in tables.SPECIFICATION_COLUMNS}
        for row in rows_of(specification):
            yield {**named, "term": specification.regressor, "term_order": 1, **row}

    return build_estimates_table(chosen, inputs, "est_coefficients", row_of)


DRAWN = """
    select table_id, column_number, design, verdicts.question, estimate, printed_value, std_error,
        coalesce(verdicts.cause, verdict) as word,
        excludes_zero and sign(estimate) = sign(printed_value) as is_found,
        claims.association, claims.ai, checks.check_id, checks.passes
    from rpt_verdicts as verdicts
    inner join rpt_claims as claims using (table_id, column_number)
    left join (
        select specification_id, check_id, passes from rpt_credibility
        where aspect in ('required', 'shared', 'stable')
    ) as checks on verdicts.specification_id = checks.specification_id
    order by table_id, column_number, design_order, check_id
"""


# Wrong answers for each true effect: verdicts on the association, and on the contribution of AI.
WRONG = {
    "no effect": (("holds", "opposite_sign"), ("yes",)),
    "the printed effect": (("not_found", "opposite_sign"), ("yes",)),
    "twice the printed effect": (("not_found", "opposite_sign"), ("yes",)),
    OF_COUNTS: (("opposite_sign",), ("no",)),
    "a trend of each city": (("holds",), ("yes",)),
    "firms one year after growth": (("holds",), ("yes",)),
    "firms three years after growth": (("holds",), ("yes",)),
}
HOLDS_WITHOUT_EFFECT = 0.02
WRONG_AT_MOST = 0.05
HOLDS_WHERE_CONFOUNDED = 0.15
CONFOUNDED = ("a trend of each city", "firms three years after growth")
STILL_HOLDS = 0.80


def of_designs(drawn: pd.DataFrame) -> pd.DataFrame:
    """Summarise simulated draws by claim and design.

    Parameters
    ----------
    drawn : DataFrame
        Rows of one_draw.

    Returns
    -------
    DataFrame
        One row per claim and design: draws; estimate and std_error in multiples of the printed
        value; found (share of draws that are significant on the printed side); holds, fails_check,
        not_found and cannot_tell (shares of draws); would_hold (share that holds if next year's
        measure is the only check of confounding); held (share of found draws that hold); and
        still_held (share of would_hold draws that hold).
    """
    rows = []
    for name, of_design in drawn.groupby([*CLAIM, "design"], sort=False):
        # Include checks that have no result in any draw, as columns of missing values.
        passes = of_design.pivot_table(
            index="seed", columns="check_id", values="passes", aggfunc="first"
        ).reindex(columns=of_design["check_id"].dropna().unique())
        once = of_design.drop_duplicates("seed").set_index("seed")
        found = once["is_found"].fillna(value=False).astype(bool)
        words = once["word"]
        by_next_year = found & (words != "family")
        for check in {"next_year", "without_flagged"} & {*passes}:
            by_next_year &= passes[check].reindex(once.index).eq(other=True)
        holds = words == "holds"
        known = ["holds", "fails_check", "not_found", "opposite_sign"]
        rows.append(
            {
                **dict(zip([*CLAIM, "design"], name, strict=True)),
                "draws": len(once),
                "estimate": float((once["estimate"] / once["printed_value"]).mean()),
                "std_error": float((once["std_error"] / once["printed_value"]).abs().median()),
                "found": float(found.mean()),
                **{word: float((words == word).mean()) for word in known},
                "cannot_tell": float((~words.isin(known)).mean()),
                "would_hold": float(by_next_year.mean()),
                "held": float(holds.sum() / found.sum()) if found.any() else np.nan,
                "still_held": (
                    float(holds.sum() / by_next_year.sum()) if by_next_year.any() else np.nan
                ),
            }
        )
    return pd.DataFrame(rows)


def of_claims(drawn: pd.DataFrame, truth: str) -> pd.DataFrame:
    """Return the share of draws with each answer, and with a wrong answer, by claim."""
    once = drawn.drop_duplicates([*CLAIM, "seed"])
    association, ai = WRONG[truth]
    once = once.assign(
        wrong=once["association"].isin(association) | once["ai"].isin(ai),
        **{
            f"{column}: {answer}": once[column] == answer
            for column, answers in (
                ("association", ("holds", "depends", "fails_check", "not_found", "cannot_tell")),
                ("ai", ("yes", "no", "cannot_tell")),
            )
            for answer in answers
        },
    )
    measured = ["wrong", *(name for name in once if ": " in name)]
    shares = once.groupby(CLAIM)[measured].mean()
    return shares.assign(draws=once.groupby(CLAIM)["seed"].nunique()).reset_index()


def power_of_checks(drawn: Mapping[World, pd.DataFrame]) -> pd.DataFrame:
    """Return how often each required check fails a significant headline estimate, by true effect.

    The shares combine both noises. The truth without an effect is excluded.
    """
    headline = pd.concat([frame.assign(truth=world.truth) for world, frame in drawn.items()])
    is_found = headline["is_found"].fillna(value=False).astype(bool)
    asked = headline[
        is_found
        & (headline["table_id"] == HEADLINE[0])
        & (headline["column_number"] == HEADLINE[1])
        & (headline["question"] == "association")
        & headline["check_id"].isin(["next_year", "later", "city_trends"])
        & (headline["truth"] != "no effect")
    ]
    fails = asked.assign(fails=asked["passes"].eq(other=False))
    counted = fails.groupby([*CLAIM, "design", "check_id", "truth"], sort=False)["fails"]
    return counted.agg(fails_share="mean", draws="size").round({"fails_share": 3}).reset_index()


def exceeds(share: float, limit: float, draws: int, tests: int) -> bool:
    """Return whether a share exceeds its limit significantly, with a Bonferroni correction."""
    return bool(stats.binom.sf(round(share * draws) - 1, draws, limit) < 0.05 / tests)


def missed(world: World, designs: pd.DataFrame, claims: pd.DataFrame) -> list[str]:
    """Return a sentence for each target that a simulation misses by more than chance."""
    sentences = []
    for row in designs.to_dict("records"):
        name = (
            f'In the simulation "{world}", the design {row["design"]} of {row["table_id"]} column'
            f" {row['column_number']}"
        )
        found, would_hold = (round(row[name] * row["draws"]) for name in ("found", "would_hold"))
        if world.truth == "no effect" and exceeds(
            row["holds"], HOLDS_WITHOUT_EFFECT, row["draws"], len(designs)
        ):
            sentences.append(
                f"{name} holds in {row['holds']:.1%} of draws, but the target is at most"
                f" {HOLDS_WITHOUT_EFFECT:.0%}."
            )
        if world.truth in CONFOUNDED and exceeds(
            np.nan_to_num(row["held"]), HOLDS_WHERE_CONFOUNDED, found, len(designs)
        ):
            sentences.append(
                f"{name} holds in {row['held']:.0%} of the draws that find an association, but the"
                f" target is at most {HOLDS_WHERE_CONFOUNDED:.0%}."
            )
        if world.truth == "the printed effect" and exceeds(
            1 - np.nan_to_num(row["still_held"], nan=1), 1 - STILL_HOLDS, would_hold, len(designs)
        ):
            sentences.append(
                f"{name} holds in {row['still_held']:.0%} of the draws that would hold if next"
                " year's measure were the only check of confounding, but the target is at least"
                f" {STILL_HOLDS:.0%}."
            )
    if world.truth in JUDGED:
        for row in claims.to_dict("records"):
            if exceeds(row["wrong"], WRONG_AT_MOST, row["draws"], len(claims)):
                sentences.append(
                    f'In the simulation "{world}", the combined answer for {row["table_id"]} column'
                    f" {row['column_number']} is wrong in {row['wrong']:.1%} of draws, but the"
                    f" target is at most {WRONG_AT_MOST:.0%}."
                )
    return sentences


def shown(table: pd.DataFrame, plain: Mapping[str, int]) -> str:
    """Format a table of shares as Markdown, with a Monte Carlo standard error for each share."""
    draws = table["draws"]
    shares = table.drop(columns=["draws"])
    for name in shares.columns.difference([*CLAIM, "design", *plain, "held", "still_held"]):
        shares[name] = [
            "" if share == 0 else f"{share:.1%} ± {error(share, count):.1%}"
            for share, count in zip(shares[name], draws, strict=True)
        ]
    for name in {"held", "still_held"} & {*shares}:
        shares[name] = ["" if np.isnan(share) else f"{share:.0%}" for share in shares[name]]
    return replication.markdown(shares, plain)


def page(drawn: Mapping[World, pd.DataFrame]) -> tuple[str, list[str]]:
    """Return the Markdown report benchmarks/designs.md and the list of missed targets."""
    measured = {
        world: (of_designs(frame), of_claims(frame, world.truth)) for world, frame in drawn.items()
    }
    misses = [
        sentence for world, tables_ in measured.items() for sentence in missed(world, *tables_)
    ]
    summary = pd.DataFrame(
        [
            {
                "truth": world.truth,
                "noise": world.noise,
                "draws": int(claims["draws"].min()),
                "a design holds: mean, most": (
                    f"{designs['holds'].mean():.1%}, {designs['holds'].max():.1%}"
                ),
                "wrong: mean, most": f"{claims['wrong'].mean():.1%}, {claims['wrong'].max():.1%}",
            }
            for world, (designs, claims) in measured.items()
        ]
    )
    parts = [
        f"""\
# Designs and claims where the truth is known

The regressors are real and the outcomes are synthetic, so no number here is a finding about cities.
`benchmarks/designs.py` writes this page. Random seeds start at {FIRST_SEED:,}.

- In simulations with an effect, the measure has the printed slope or twice the printed slope, or
  each year's AI counts have the printed slope.
- In simulations without an effect, the outcome is unrelated to AI, or a confounder makes the
  printed design find twice the printed slope. One confounder is a linear trend of the outcome in
  each city, proportional to the city's trend in the measure. With the other two confounders, the
  outcome rises with the measure of one or three years later, as if firms followed growth. After the
  last year of the panel, a line through each city's values replaces the measure.
- The noise is either the residuals of the printed design, multiplied by one random sign per
  province, or autoregressive noise with the same variance. The autoregressive noise has a
  correlation of {PERSISTENCE} between consecutive years, and cities of a province share
  {COMMON:.0%} of its variance.

A target is missed if a binomial test rejects it at 5 %, with a Bonferroni correction for the rows
of the table. The targets are:

- If the outcome is unrelated to AI, the verdict on each design is `holds` in at most
  {HOLDS_WITHOUT_EFFECT:.0%} of draws.
- The combined answer of a claim's designs is wrong in at most {WRONG_AT_MOST:.0%} of draws if the
  outcome is unrelated to AI, if the effect has the printed size, and if cities have trends. An
  answer is wrong if it reports an association or a contribution of AI that does not exist, misses
  an existing association, or reports the opposite sign.
- If cities have trends, or if firms follow growth after three years, each design holds in at most
  {HOLDS_WHERE_CONFOUNDED:.0%} of the draws that find an association.
- If the effect has the printed size, at least {STILL_HOLDS:.0%} of the draws that would hold under
  the check of next year's measure alone also hold under all checks.""",
        "## In short",
        "The following table shows shares of the draws in each simulation:",
        replication.markdown(summary, {}),
        "## Targets missed",
        "\n".join(f"- {sentence}" for sentence in misses) or "All targets are met.",
        """\
## By truth

`estimate` (a mean) and `std_error` (a median, clustered by province) are multiples of the printed
value. `found` is the share of draws in which the estimate is
significant and has the printed sign. `would_hold` is the share of draws that would hold under the
check of next year's measure alone. `held` is the share of `found` draws that hold, and `still_held`
is the share of `would_hold` draws that hold. A cell is empty if no draw has the result.""",
    ]
    for world, (designs, claims) in measured.items():
        parts += [
            f"### {str(world)[0].upper()}{str(world)[1:]}",
            shown(designs, {"estimate": 2, "std_error": 2}),
            shown(claims, {}),
        ]
    return "\n\n".join(parts) + "\n", misses


def main() -> None:
    """Run the simulations that are not cached, and print the report on all cached draws."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--warehouse", type=Path, required=True, help="path of a built warehouse")
    parser.add_argument(
        "--seeds", type=int, default=200, help="draws of each simulation (default: 200)"
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=[str(world) for world in WORLDS],
        help="simulations to run; without a name, only the page is written",
    )
    parser.add_argument("--draws", type=Path, default=DRAWS, help="folder of the cached draws")
    parser.add_argument(
        "--power", type=Path, default=POWER_SEED, help="file for the rates at which checks fail"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="number of processes")
    arguments = parser.parse_args()
    arguments.draws.mkdir(parents=True, exist_ok=True)
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    only = [str(world) for world in WORLDS] if arguments.only is None else arguments.only
    with ProcessPoolExecutor(arguments.processes) as processes:
        for world in [world for world in WORLDS if str(world) in only]:
            path = world.path(arguments.draws)
            kept = [pd.read_parquet(path)] if path.exists() else []
            missing = sorted({*seeds}.difference(*(frame["seed"] for frame in kept)))
            draw = partial(one_draw, world=world, warehouse=arguments.warehouse)
            for count, found in enumerate(processes.map(draw, missing, chunksize=5), start=1):
                kept.append(found)
                if count % 20 == 0 or count == len(missing):
                    pd.concat(kept, ignore_index=True).to_parquet(path)
                    print(f"{world}: {count} of {len(missing)}", file=sys.stderr, flush=True)
    paths = {world: world.path(arguments.draws) for world in WORLDS}
    drawn = {world: pd.read_parquet(path) for world, path in paths.items() if path.exists()}
    power_of_checks(drawn).to_csv(arguments.power, index=False)
    text, misses = page(drawn)
    print(text, end="")
    if misses:
        sys.exit(f"{len(misses)} targets are missed. The page lists them.")


if __name__ == "__main__":
    main()
