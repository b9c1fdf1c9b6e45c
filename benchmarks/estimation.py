"""Time the estimators, and compare them with other packages that give the same results."""

import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Limit OpenBLAS to one thread before numpy is imported, because other load on the machine would
# distort multi-threaded timings.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from benchmarks import measuring
from benchmarks.measuring import BY_HAND, PROJECT, Section
from benchmarks.peers import paper_by_hand
from tests.lib import samples

CITIES, PROVINCES, YEARS, ROWS = 260, 31, 12, 2_900
CONTROLS = ["population", "employment", "science"]
DRAWS, PERMUTATIONS = 9_999, 999
SAME = 1e-8
FIRMS = PROJECT / "tests/python/golden/abdata.csv"
TASKS = {
    "one": "one fit",
    "shared": "{fits:,} regressors on the same sample",
    "raw": "{fits:,} fits, each from a raw sample",
    "specification": "one more specification in a build",
    "permuted": f"{PERMUTATIONS} permuted regressors with clustered t",
    "wild": f"wild cluster bootstrap by province, {DRAWS:,} draws",
    "gmm": "system GMM on 140 firms",
}
RIVALS = ("linearmodels", "pyfixest", "R")
PACKAGES = {
    **dict.fromkeys(("one", "shared", "raw", "permuted"), "fixest"),
    "wild": "fwildclusterboot",
    "gmm": "plm",
}
SCRIPTS = {
    "linearmodels": BY_HAND,
    "pyfixest": "benchmarks/peers/estimation_pyfixest.py",
    "R": "benchmarks/peers/estimation.R",
}
PANEL_OLS = "src/ai_manufacturing/robustness/second_route.py"


@dataclass(frozen=True)
class Measured:
    """Seconds per fit of a task, and the estimates on which packages must agree."""

    seconds: float
    numbers: list[float]


def panel() -> pd.DataFrame:
    """Simulate a city-year panel with an outcome, controls and a log-transformed AI measure."""
    rng = np.random.default_rng(2020)
    city, year = np.divmod(np.arange(CITIES * YEARS), YEARS)
    effect, trend = rng.normal(size=CITIES)[city], rng.normal(size=YEARS)[year]
    weight = rng.lognormal(-5, 1, CITIES)[city]
    growth = rng.normal(0.1, 0.05, CITIES)[city]
    scaling = np.exp(8 + 0.5 * effect + growth * year + rng.normal(0, 0.2, len(city)))
    data = pd.DataFrame(
        {"city_id": 110_000 + city, "year": 2010 + year, "province_id": city % PROVINCES}
    )
    controls = {name: 0.3 * effect + rng.normal(size=len(city)) for name in CONTROLS}
    x = np.log1p(weight * scaling)
    shock = rng.normal(size=(PROVINCES, YEARS))[city % PROVINCES, year]
    y = (
        effect
        + trend
        + 0.1 * x
        + 0.2 * controls["population"]
        + 0.5 * shock
        + rng.normal(size=len(city))
    )
    data = data.assign(y=y, x=x, weight=weight, scaling_value=scaling, **controls)
    return data.iloc[np.sort(rng.permutation(len(data))[:ROWS])].reset_index(drop=True)


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the median seconds of repeated calls after a warm-up, and the last result."""
    found, spent = call(), []
    for _ in range(repeats):
        start = time.perf_counter()
        found = call()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent), found


def permuted_columns(data: pd.DataFrame) -> np.ndarray:
    """Return the AI measure under each permutation of city weights, shape (rows, draws)."""
    from ai_manufacturing.robustness import randomisation

    codes, cities = pd.factorize(data["city_id"], sort=True)
    weights = data.groupby("city_id")["weight"].first().to_numpy()
    drawn = randomisation.draw_permutations([str(city) for city in cities], draws=PERMUTATIONS)
    picked = weights[drawn.donors.T[codes]]
    columns: np.ndarray = np.log1p(picked * data["scaling_value"].to_numpy()[:, None])
    return columns


def ours(
    data: pd.DataFrame, firms: pd.DataFrame, regressors: list[str], repeats: int
) -> dict[str, Measured]:
    """Time this package's estimators on each task."""
    from ai_manufacturing.estimators import dynamic_panel, fixed_effects
    from ai_manufacturing.estimators import wild_bootstrap as wild
    from ai_manufacturing.robustness import panel_regressions, randomisation

    terms = ["x", *CONTROLS]

    def shared() -> Any:
        city, year = (pd.factorize(data[name], sort=True)[0] for name in ("city_id", "year"))
        effects = fixed_effects.Effects(city, year)
        columns = effects.remove_from(data[["y", *CONTROLS, *regressors]].to_numpy())
        clusters = {"city": np.arange(CITIES)}
        return panel_regressions.fit_slopes(
            city, columns[:, 0], columns[:, 1:4], columns[:, 4:], clusters, YEARS
        )

    def permuted() -> Any:
        regression = fixed_effects.partial_out(data, "y", terms)
        weights = data.groupby("city_id")["weight"].first().to_numpy()
        drawn = randomisation.draw_permutations(
            [str(city) for city in np.unique(data["city_id"])], draws=PERMUTATIONS
        )
        scaling = data["scaling_value"].to_numpy()
        return randomisation.fit_permutations(regression, weights, scaling, "ln1p", drawn)

    def resampled() -> Any:
        wild.draw_sign_vectors.cache_clear()
        regression = fixed_effects.partial_out(data, "y", terms, cluster="province_id")
        return wild.bootstrap_coefficient(regression, 0, clusters=regression.clusters, draws=DRAWS)

    def gmm() -> Any:
        regressors = ["L.n", "w", "L.w", "k", "L.k"]
        limits = dict.fromkeys("nwk", (2, 99))
        return dynamic_panel.fit(firms, "n", regressors, limits, equation="system", collapse=True)

    found: dict[str, Measured] = {}
    seconds, fit = timed(lambda: fixed_effects.fit(data, "y", terms), repeats)
    found["one"] = Measured(seconds, [fit.estimates[0], fit.std_errors[0]])
    seconds, slopes = timed(shared, repeats)
    pairs = np.column_stack([slopes.estimates, slopes.std_errors["city"]])
    found["shared"] = Measured(seconds / len(regressors), [*pairs.ravel()])
    kept = ["city_id", "year", "y", *CONTROLS]
    seconds, fits = timed(
        lambda: [
            fixed_effects.fit(data[[*kept, name]], "y", [name, *CONTROLS]) for name in regressors
        ],
        1,
    )
    pairs = np.array([(fit.estimates[0], fit.std_errors[0]) for fit in fits])
    found["raw"] = Measured(seconds / len(regressors), [*pairs.ravel()])
    seconds, drawn = timed(permuted, repeats)
    pairs = np.column_stack([drawn.slopes, drawn.slopes / drawn.statistics])
    found["permuted"] = Measured(seconds / PERMUTATIONS, [*pairs.ravel()])
    seconds, test = timed(resampled, repeats)
    found["wild"] = Measured(seconds, [test.statistic, test.p_value])
    seconds, dynamic = timed(gmm, repeats)
    found["gmm"] = Measured(
        seconds, [*np.column_stack([dynamic.estimates, dynamic.std_errors])[[0, 1, 3]].ravel()]
    )
    return found


def specification() -> tuple[Measured, Measured]:
    """Time the specifications of Tables 1 to 3 with our estimator and with PanelOLS.

    Seconds are per specification.
    """
    from ai_manufacturing.estimation import specifications, tables
    from ai_manufacturing.paper.synthetic import draw_city_years
    from ai_manufacturing.robustness import second_route
    from ai_manufacturing.system.settings import period
    from benchmarks import replication

    drawn = samples.inputs(draw_city_years(replication.FIRST_SEED, period()))
    rows = drawn.specifications
    chosen = specifications.read_specifications(rows[rows["estimator"] == "fixed_effects"])
    seconds, table = timed(lambda: tables.estimate_coefficients(chosen, drawn), 3)
    second_seconds, second = timed(lambda: second_route.estimate_second_route(chosen, drawn), 1)
    keys = ["specification_id", "term"]
    both = table.to_pandas().merge(second.to_pandas(), on=keys, suffixes=("", "_second"))
    values = [
        [*both[["estimate" + end, "std_error" + end]].to_numpy().ravel()] for end in ("", "_second")
    ]
    return Measured(seconds / len(chosen), values[0]), Measured(
        second_seconds / len(chosen), values[1]
    )


def linearmodels(
    data: pd.DataFrame, regressors: list[str], permuted: list[str], repeats: int
) -> dict[str, Measured]:
    """Time PanelOLS of linearmodels on each task that it supports."""
    indexed = data.rename(columns={"city_id": "city"}).set_index(["city", "year"])

    def one(name: str) -> tuple[float, float]:
        found = paper_by_hand.two_way(indexed, "y", [name, *CONTROLS]).loc[name]
        return found["estimate"], found["std_error"]

    found: dict[str, Measured] = {}
    for task, names in (("one", ["x"]), ("raw", regressors), ("permuted", permuted)):
        seconds, pairs = timed(
            lambda names=names: [one(name) for name in names], repeats if task == "one" else 1
        )  # type: ignore[misc]
        found[task] = Measured(seconds / len(names), [value for pair in pairs for value in pair])
    # PanelOLS cannot reuse a sample for several regressors, so the task is the same as separate
    # fits.
    found["shared"] = found["raw"]
    return found


def said_by(command: Sequence[str]) -> tuple[dict[str, Measured], dict[str, str], list[str]]:
    """Run the script of another package; return its timings, skipped tasks and versions."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found, skipped, versions = {}, {}, []
    for line in run.stdout.splitlines():
        kind, *rest = line.split("\t")
        if kind == "time":
            found[rest[0]] = Measured(float(rest[1]), [float(value) for value in rest[2:]])
        elif kind == "skip":
            skipped[rest[0]] = rest[1]
        elif kind == "version" and " ".join(rest) not in versions:
            versions.append(" ".join(rest))
    if run.returncode and not found:
        skipped = dict.fromkeys(PACKAGES, (run.stderr.strip().splitlines() or ["it stopped"])[-1])
    return found, skipped, versions


def pyfixest_python(folder: Path) -> Path | None:
    """Create a virtual environment with pyfixest; return its Python, or None if pip fails."""
    python = folder / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "pyfixest",
        "wildboottest",
    ]
    return (
        None
        if subprocess.run([str(python), *install], capture_output=True, check=False).returncode
        else python
    )


def check(task: str, rival: str, mine: Measured, other: Measured) -> None:
    """Raise AssertionError if the estimates of another package differ from ours."""
    mine_values, values = np.array(mine.numbers[: len(other.numbers)]), np.array(other.numbers)
    # Packages draw different bootstrap samples, so allow four Monte Carlo standard errors between
    # two p-values.
    if task == "wild":
        p_value = mine_values[1]
        assert abs(values[1] - p_value) < 4 * math.sqrt(2 * p_value * (1 - p_value) / DRAWS), (
            task,
            rival,
        )
        # The small-sample factor 1 / (n - K) cancels in the bootstrap p-value, so accept the t
        # statistic for each definition of K: ours counts slopes and years, others count no effects
        # or all of them.
        slopes = 1 + len(CONTROLS)
        free = [ROWS - slopes - effects for effects in (YEARS, 0, CITIES + YEARS - 1)]
        known = abs(mine_values[0]) * np.sqrt(np.array(free) / free[0])
        mine_values, values = known[[np.abs(known - abs(values[0])).argmin()]], np.abs(values[:1])
    np.testing.assert_allclose(
        values, mine_values, rtol=SAME, atol=SAME, err_msg=f"{task}: {rival}"
    )


def measure(repeats: int, *, quick: bool) -> Section:
    """Time each task with every package that supports it, in alternating rounds."""
    fits, calls = (20, 1) if quick else (1_000, 5)
    rival_fits = max(fits // 10, 1)
    data = panel()
    rng = np.random.default_rng(1)
    regressors, permuted = (
        [f"{letter}{j}" for j in range(count)] for letter, count in (("r", fits), ("p", rival_fits))
    )
    drawn = pd.DataFrame(rng.normal(size=(len(data), fits)), columns=regressors)
    data = pd.concat(
        [data, drawn, pd.DataFrame(permuted_columns(data)[:, :rival_fits], columns=permuted)],
        axis=1,
    )
    firms = pd.read_csv(FIRMS).rename(columns={"firm": "city_id"})
    section = Section(
        "Estimation",
        f"The synthetic panel has {len(data):,} rows, {CITIES} cities, {PROVINCES} provinces and"
        " four regressors. The regressions cluster their standard errors by city. If a task has"
        f" many fits, the table shows the time per fit, and peers run only {rival_fits} fits."
        f" Each round times this package and its peers in turn, and takes the median of {calls}"
        f" calls after a warm-up. The estimates of all packages agree to within {SAME:g}, and"
        " their bootstrap p-values agree to within Monte Carlo error. linearmodels cannot reuse"
        " a sample for several regressors. The time of one more specification includes all steps"
        " from the panel to the table of coefficients. The GMM estimate replicates Blundell and"
        " Bond (1998), Table 4, in two steps, with collapsed instruments and Windmeijer's"
        f" standard errors. OpenBLAS uses {os.environ['OPENBLAS_NUM_THREADS']} thread.",
    )
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    with measuring.scratch() as folder:
        kept = [name for name in data if name not in regressors[rival_fits:]]
        data[kept].to_csv(folder / "panel.csv", index=False, float_format="%.17g")
        shutil.copy(FIRMS, folder / "firms.csv")
        options = [str(folder), *(str(number) for number in (rival_fits, calls, DRAWS))]
        programs = {
            "pyfixest": None if quick else pyfixest_python(folder / "pyfixest"),
            "R": shutil.which("Rscript"),
        }
        absent = {
            "pyfixest": "quick runs exclude pyfixest"
            if quick
            else "pip could not install pyfixest",
            "R": "R is not installed",
        }
        section.skipped = [
            f"The comparison with {rival} was skipped, because {absent[rival]}."
            for rival, program in programs.items()
            if program is None
        ]
        for last in range(repeats - 1, -1, -1):
            mine = ours(data, firms, regressors, calls)
            others = {"linearmodels": linearmodels(data, regressors[:rival_fits], permuted, calls)}
            mine["specification"], others["linearmodels"]["specification"] = specification()
            for rival, program in programs.items():
                if program is not None:
                    others[rival], skipped, versions = said_by(
                        [str(program), str(PROJECT / SCRIPTS[rival]), *options]
                    )
                    if not last:
                        section.versions += versions
                        for reason in dict.fromkeys(skipped.values()):
                            tasks = [
                                TASKS[task].format(fits=fits)
                                for task, why in skipped.items()
                                if why == reason
                            ]
                            section.skipped.append(
                                f"{rival} skipped these tasks: {'; '.join(tasks)}. It reported:"
                                f" {reason}."
                            )
            for task, measured in mine.items():
                times["ours", task].append(measured.seconds)
            for rival, of_rival in others.items():
                for task, measured in of_rival.items():
                    check(task, rival, mine[task], measured)
                    times[rival, task].append(measured.seconds)
    for task, work in TASKS.items():
        rivals = [rival for rival in RIVALS if (rival, task) in times]
        for rival in rivals:
            script = PANEL_OLS if task == "specification" else SCRIPTS[rival]
            name = PACKAGES[task] if rival == "R" else rival
            section.add(
                work.format(fits=fits), times["ours", task], name, times[rival, task], script
            )
        if not rivals:
            section.add(work.format(fits=fits), times["ours", task])
    section.versions += [measuring.version(name) for name in ("numpy", "linearmodels")]
    return section


if __name__ == "__main__":
    measuring.main(measure)
