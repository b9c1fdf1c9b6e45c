"""Time the estimators beside those of others, in one run and on one panel, after checking that they agree.

    python benchmarks/estimation.py [--fits 1000] [--repeats 5] [--out benchmarks]

Prints the table, and writes it as estimation.md. Rivals: linearmodels, which the project requires; pyfixest, in a
temporary environment that this command makes with pip; R's fixest, fwildclusterboot and plm. One that is not found, or
stops, is skipped, and the table says why. The panel is synthetic: 260 cities of 31 provinces and 11 or 12 years. GMM
is of Blundell and Bond (1998), table 4, on the firms of Arellano and Bond (1991), whose panel has no year left out.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before numpy: threads that wait for each other would measure the other work of the machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

CITIES, PROVINCES, YEARS, ROWS = 260, 31, 12, 2_900
CONTROLS = ["population", "employment", "science"]
DRAWS, PERMUTATIONS = 9_999, 999
SAME = 1e-8
FIRMS = Path(__file__).parent.parent / "tests" / "python" / "golden" / "abdata.csv"
TASKS = {
    "one": "one fit, errors clustered by city",
    "shared": "{fits:,} regressors of one sample, errors clustered by city",
    "raw": "{fits:,} fits, each from a raw sample",
    "specification": "one more specification in a build, from the panel to its rows",
    "permuted": f"{PERMUTATIONS} permuted regressors with clustered t",
    "wild": f"wild cluster bootstrap by province, {DRAWS:,} draws",
    "gmm": "system GMM of 140 firms, two steps, Windmeijer's errors, collapsed",
}
RIVALS = ("linearmodels", "pyfixest", "R")
OFFERS = {
    "linearmodels": {"one", "shared", "raw", "specification", "permuted"},
    "pyfixest": {"one", "shared", "raw", "permuted", "wild"},
    "R": {"one", "shared", "raw", "permuted", "wild", "gmm"},
}

# Runs in the environment of pyfixest, without this package.
PYFIXEST = """
import sys, time
import pandas as pd, pyfixest
folder, fits, repeats, draws = sys.argv[1], *map(int, sys.argv[2:])
data = pd.read_csv(folder + "/panel.csv")
print("version", "pyfixest", pyfixest.__version__, sep="\\t")
controls = "population + employment + science"
cluster = {"CRV1": "city_id"}

def timed(task, call, values, scale=1, repeats=repeats):
    try:
        found, best = call(), float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            found = call()
            best = min(best, time.perf_counter() - start)
        print("time", task, best * scale, *[repr(float(value)) for value in values(found)], sep="\\t", flush=True)
    except Exception as error:
        print("skip", task, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", sep="\\t")

def one(name):
    frame = data[["y", name, *controls.split(" + "), "city_id", "province_id", "year"]]
    return pyfixest.feols(f"y ~ {name} + {controls} | city_id + year", frame, vcov=cluster)

def several(names):
    found = pyfixest.feols(f"y ~ sw({', '.join(names)}) + {controls} | city_id + year", data, vcov=cluster)
    return found.to_list()

def first(fit):
    return fit.coef().iloc[0], fit.se().iloc[0]

def of_all(found):
    return [value for fit in found for value in (fit.coef()[name_of(fit)], fit.se()[name_of(fit)])]

def name_of(fit):
    return next(name for name in fit.coef().index if name[0] in "rp" and name[1:].isdigit())

regressors, permuted = ([letter + str(j) for j in range(fits)] for letter in "rp")
timed("one", lambda: one("x"), first)
timed("shared", lambda: several(regressors), of_all, 1 / fits, 1)
timed("raw", lambda: [one(name) for name in regressors], of_all, 1 / fits, 1)
timed("permuted", lambda: several(permuted), of_all, 1 / fits, 1)
timed(
    "wild",
    lambda: one("x").wildboottest(reps=draws, cluster="province_id", param="x", seed=1),
    lambda found: (found["t value"], found["Pr(>|t|)"]),
)
"""

R = """
arguments <- commandArgs(TRUE)
folder <- arguments[1]; fits <- as.integer(arguments[2]); repeats <- as.integer(arguments[3])
draws <- as.integer(arguments[4])
data <- read.csv(file.path(folder, "panel.csv"))
firms <- read.csv(file.path(folder, "firms.csv"))
say <- function(...) cat(..., sep = "\\t", fill = FALSE)
timed <- function(task, package, call, values, scale = 1, times = repeats) {
  if (!requireNamespace(package, quietly = TRUE)) {
    say("skip", task, paste("package", package, "is not installed")); cat("\\n"); return(invisible())
  }
  tryCatch({
    suppressPackageStartupMessages(library(package, character.only = TRUE))
    found <- call(); best <- Inf
    for (i in seq_len(times)) {
      start <- as.numeric(Sys.time()); found <- call(); best <- min(best, as.numeric(Sys.time()) - start)
    }
    say("version", package, as.character(packageVersion(package))); cat("\\n")
    say("time", task, best * scale, sprintf("%.17g", values(found))); cat("\\n")
  }, error = function(e) { say("skip", task, strsplit(conditionMessage(e), "\\n")[[1]][1]); cat("\\n") })
}
fit <- function(name, cluster = ~city_id) {
  rows <- data[c("y", name, "population", "employment", "science", "city_id", "province_id", "year")]
  fixest::feols(as.formula(paste("y ~", name, "+ population + employment + science | city_id + year")), rows,
                cluster = cluster)
}
several <- function(names) {
  text <- paste0("y ~ sw(", paste(names, collapse = ", "), ") + population + employment + science | city_id + year")
  fixest::feols(as.formula(text), data, cluster = ~city_id)
}
pair <- function(fit, name) c(coef(fit)[[name]], fixest::se(fit)[[name]])
regressors <- paste0("r", seq_len(fits) - 1); permuted <- paste0("p", seq_len(fits) - 1)
pairs <- function(found, names) unlist(lapply(seq_along(names), function(j) pair(found[[j]], names[j])))
timed("one", "fixest", function() fit("x"), function(found) pair(found, "x"))
timed("shared", "fixest", function() several(regressors), function(found) pairs(found, regressors), 1 / fits, 1)
timed("raw", "fixest", function() lapply(regressors, fit), function(found) pairs(found, regressors), 1 / fits, 1)
timed("permuted", "fixest", function() several(permuted), function(found) pairs(found, permuted), 1 / fits, 1)
timed("wild", "fwildclusterboot",
      function() { set.seed(1); fwildclusterboot::boottest(fit("x", ~province_id), param = "x", B = draws,
                                                           clustid = "province_id") },
      function(found) c(found$t_stat, found$p_val))
timed("gmm", "plm",
      function() { found <- plm::pgmm(n ~ lag(n, 1) + lag(w, 0:1) + lag(k, 0:1) |
                                        lag(n, 2:99) + lag(w, 2:99) + lag(k, 2:99),
                                      plm::pdata.frame(firms, index = c("firm", "year")), effect = "twoways",
                                      model = "twosteps", transformation = "ld", collapse = TRUE)
                   coef(summary(found, robust = TRUE)) },
      function(table) c(t(table[c("lag(n, 1)", "lag(w, 0:1)0", "lag(k, 0:1)0"), 1:2])))
"""


@dataclass(frozen=True)
class Measured:
    """Seconds of a task, of one fit where it has many, and the numbers that must agree."""

    seconds: float
    numbers: list[float]


def panel() -> pd.DataFrame:
    """Draw the panel; the measure is the log of one plus weight times a scaling value."""
    rng = np.random.default_rng(2020)
    city, year = np.divmod(np.arange(CITIES * YEARS), YEARS)
    effect, trend = rng.normal(size=CITIES)[city], rng.normal(size=YEARS)[year]
    weight = rng.lognormal(-5, 1, CITIES)[city]
    growth = rng.normal(0.1, 0.05, CITIES)[city]
    scaling = np.exp(8 + 0.5 * effect + growth * year + rng.normal(0, 0.2, len(city)))
    data = pd.DataFrame({"city_id": 110_000 + city, "year": 2010 + year, "province_id": city % PROVINCES})
    controls = {name: 0.3 * effect + rng.normal(size=len(city)) for name in CONTROLS}
    x = np.log1p(weight * scaling)
    shock = rng.normal(size=(PROVINCES, YEARS))[city % PROVINCES, year]
    y = effect + trend + 0.1 * x + 0.2 * controls["population"] + 0.5 * shock + rng.normal(size=len(city))
    data = data.assign(y=y, x=x, weight=weight, scaling_value=scaling, **controls)
    return data.iloc[np.sort(rng.permutation(len(data))[:ROWS])].reset_index(drop=True)


def timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the fastest of repeated calls, after one that is not counted, and what the last one gave."""
    found, best = call(), math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        found = call()
        best = min(best, time.perf_counter() - start)
    return best, found


def permuted_columns(data: pd.DataFrame) -> np.ndarray:
    """Return the measure with each permutation of the weights, shape (rows, draws)."""
    from ai_manufacturing.estimators import randomisation

    codes, cities = pd.factorize(data["city_id"], sort=True)
    weights = data.groupby("city_id")["weight"].first().to_numpy()
    drawn = randomisation.permutations([str(city) for city in cities], draws=PERMUTATIONS)
    picked = weights[drawn.donors.T[codes]]
    columns: np.ndarray = np.log1p(picked * data["scaling_value"].to_numpy()[:, None])
    return columns


def ours(data: pd.DataFrame, firms: pd.DataFrame, regressors: list[str], repeats: int) -> dict[str, Measured]:
    """Time this package."""
    from ai_manufacturing.estimators import dynamic_panel, fixed_effects, randomisation, specification_curve
    from ai_manufacturing.estimators import wild_bootstrap as wild

    terms = ["x", *CONTROLS]

    def shared() -> Any:
        city, year = (pd.factorize(data[name], sort=True)[0] for name in ("city_id", "year"))
        effects = fixed_effects.Effects(city, year)
        columns = effects.removed_from(data[["y", *CONTROLS, *regressors]].to_numpy())
        clusters = {"city": np.arange(CITIES)}
        return specification_curve.slopes(effects, columns[:, 0], columns[:, 1:4], columns[:, 4:], clusters, YEARS)

    def permuted() -> Any:
        regression = fixed_effects.partialled_out(data, "y", terms)
        weights = data.groupby("city_id")["weight"].first().to_numpy()
        drawn = randomisation.permutations([str(city) for city in np.unique(data["city_id"])], draws=PERMUTATIONS)
        measure = randomisation.permuted_measure(regression, weights, data["scaling_value"].to_numpy(), "ln1p", drawn)
        return randomisation.of_measure(regression, 0, measure)

    def resampled() -> Any:
        wild.weight_vectors.cache_clear()
        return wild.fit(data, "y", terms, "x", cluster="province_id", draws=DRAWS)

    def gmm() -> Any:
        regressors = ["L.n", "w", "L.w", "k", "L.k"]
        limits = dict.fromkeys("nwk", (2, 99))
        return dynamic_panel.fit(firms, "n", regressors, limits, equation="system", collapse=True, entity="firm")

    found: dict[str, Measured] = {}
    seconds, fit = timed(lambda: fixed_effects.fit(data, "y", terms), repeats)
    found["one"] = Measured(seconds, [fit.estimates[0], fit.std_errors[0]])
    seconds, slopes = timed(shared, repeats)
    pairs = np.column_stack([slopes.estimates, slopes.std_errors["city"]])
    found["shared"] = Measured(seconds / len(regressors), [*pairs.ravel()])
    kept = ["city_id", "year", "y", *CONTROLS]
    seconds, fits = timed(
        lambda: [fixed_effects.fit(data[[*kept, name]], "y", [name, *CONTROLS]) for name in regressors], 1
    )
    pairs = np.array([(fit.estimates[0], fit.std_errors[0]) for fit in fits])
    found["raw"] = Measured(seconds / len(regressors), [*pairs.ravel()])
    seconds, drawn = timed(permuted, repeats)
    pairs = np.column_stack([drawn.slopes, drawn.slopes / drawn.statistics])
    found["permuted"] = Measured(seconds / PERMUTATIONS, [*pairs.ravel()])
    seconds, test = timed(resampled, repeats)
    found["wild"] = Measured(seconds, [test.statistic, test.p_value])
    seconds, dynamic = timed(gmm, repeats)
    found["gmm"] = Measured(seconds, [*np.column_stack([dynamic.estimates, dynamic.std_errors])[[0, 1, 3]].ravel()])
    return found


def specification() -> tuple[Measured, Measured]:
    """Time the default rows of Tables 1 to 3 on a draw of the sample, a specification each: ours and PanelOLS."""
    import replication  # beside this file

    from ai_manufacturing.estimation import specifications, tables
    from ai_manufacturing.settings import period
    from ai_manufacturing.synthetic import draw

    drawn = replication.inputs(draw(replication.FIRST_SEED, period()))
    rows = replication.default_rows()
    chosen = specifications.read(rows[rows["estimator"] == "fixed_effects"])
    seconds, table = timed(lambda: tables.coefficients(chosen, drawn), 3)
    second_seconds, second = timed(lambda: tables.second_route(chosen, drawn), 1)
    keys = ["specification_id", "term"]
    both = table.to_pandas().merge(second.to_pandas(), on=keys, suffixes=("", "_second"))
    values = [[*both[["estimate" + end, "std_error" + end]].to_numpy().ravel()] for end in ("", "_second")]
    return Measured(seconds / len(chosen), values[0]), Measured(second_seconds / len(chosen), values[1])


def linearmodels(data: pd.DataFrame, regressors: list[str], permuted: list[str], repeats: int) -> dict[str, Measured]:
    """Time PanelOLS, with fixest's factor in place of its own, as each build does."""
    from ai_manufacturing.estimators import fixed_effects

    def one(name: str) -> tuple[float, float]:
        rows = data[["city_id", "year", "y", name, *CONTROLS]]
        estimates, errors = fixed_effects.by_panel_ols(rows, "y", [name, *CONTROLS])
        return estimates[0], errors[0]

    found: dict[str, Measured] = {}
    for task, names in (("one", ["x"]), ("raw", regressors), ("permuted", permuted)):
        seconds, pairs = timed(lambda names=names: [one(name) for name in names], repeats if task == "one" else 1)  # type: ignore[misc]
        found[task] = Measured(seconds / len(names), [value for pair in pairs for value in pair])
    found["shared"] = found["raw"]  # it has no way to share a sample
    return found


def said_by(command: Sequence[str]) -> tuple[dict[str, Measured], dict[str, str], list[str]]:
    """Run a rival: what it measured, what it skipped and why, and its versions."""
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
        skipped = dict.fromkeys(TASKS, (run.stderr.strip().splitlines() or ["it stopped"])[-1])
    return found, skipped, versions


def pyfixest(folder: Path, options: list[str]) -> tuple[dict[str, Measured], dict[str, str], list[str]]:
    environment = folder / "pyfixest"
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "pyfixest",
        "wildboottest",
    ]
    if subprocess.run(install, capture_output=True, check=False).returncode:
        return {}, dict.fromkeys(TASKS, "pip could not install it"), []
    return said_by([str(python), "-c", PYFIXEST, str(folder), *options])


def in_r(folder: Path, options: list[str]) -> tuple[dict[str, Measured], dict[str, str], list[str]]:
    program = shutil.which("Rscript")
    if program is None:
        return {}, dict.fromkeys(TASKS, "R is not installed"), []
    script = folder / "rival.R"
    script.write_text(R, encoding="utf-8")
    return said_by([program, str(script), str(folder), *options])


def check(task: str, rival: str, mine: Measured, other: Measured) -> None:
    """Stop if the numbers of a rival are not ours."""
    mine_values, values = np.array(mine.numbers[: len(other.numbers)]), np.array(other.numbers)
    if task == "wild":  # other draws: p is within four Monte Carlo errors of two p-values
        p_value = mine_values[1]
        assert abs(values[1] - p_value) < 4 * math.sqrt(2 * p_value * (1 - p_value) / DRAWS), (task, rival)
        # n-K of the factor cancels in the bootstrap: ours counts slopes and years, a rival no effects, or all.
        slopes = 1 + len(CONTROLS)
        free = [ROWS - slopes - effects for effects in (YEARS, 0, CITIES + YEARS - 1)]
        known = abs(mine_values[0]) * np.sqrt(np.array(free) / free[0])
        mine_values, values = known[[np.abs(known - abs(values[0])).argmin()]], np.abs(values[:1])
    np.testing.assert_allclose(values, mine_values, rtol=SAME, atol=SAME, err_msg=f"{task}: {rival}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=1_000, help="of ours; rivals make a tenth")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    fits, rival_fits = arguments.fits, max(arguments.fits // 10, 1)
    data = panel()
    rng = np.random.default_rng(1)
    regressors, permuted = (
        [f"{letter}{j}" for j in range(count)] for letter, count in (("r", fits), ("p", rival_fits))
    )
    drawn = pd.DataFrame(rng.normal(size=(len(data), fits)), columns=regressors)
    data = pd.concat([data, drawn, pd.DataFrame(permuted_columns(data)[:, :rival_fits], columns=permuted)], axis=1)

    firms = pd.read_csv(FIRMS)
    mine = ours(data, firms, regressors, arguments.repeats)
    others = {"linearmodels": linearmodels(data, regressors[:rival_fits], permuted, arguments.repeats)}
    mine["specification"], others["linearmodels"]["specification"] = specification()
    skipped: dict[str, dict[str, str]] = {"linearmodels": {}}
    versions: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kept = [name for name in data if name not in regressors[rival_fits:]]
        data[kept].to_csv(folder / "panel.csv", index=False, float_format="%.17g")
        shutil.copy(FIRMS, folder / "firms.csv")
        options = [str(number) for number in (rival_fits, arguments.repeats, DRAWS)]
        for rival, run in (("pyfixest", pyfixest), ("R", in_r)):
            others[rival], skipped[rival], found = run(folder, options)
            versions += found
    for rival, tasks in others.items():
        for task, measured in tasks.items():
            check(task, rival, mine[task], measured)

    lines = [
        "# How fast the estimators are, beside those of others",
        "",
        f"{len(data):,} rows, {CITIES} cities, {PROVINCES} provinces, four regressors. Milliseconds, of one fit where",
        f"a task has many, and in brackets the multiple of ours: the fastest of {arguments.repeats} runs, or the only",
        f"one of many fits, all in one run of the command. Rivals make {rival_fits} of many fits. Results agree to",
        f"{SAME:g}, p-values of the bootstrap within Monte Carlo error. linearmodels cannot share a sample: its second",
        "row is its third. t of the bootstrap agrees up to which effects its small-sample factor counts. OpenBLAS has "
        f"{os.environ['OPENBLAS_NUM_THREADS']} thread; rivals' own threads are as they set them.",
        "",
        "    python benchmarks/estimation.py --out benchmarks",
        "",
        f"| task | this package | {' | '.join(RIVALS)} | first |",
        f"| --- | {'--- | ' * len(RIVALS)}--- | --- |",
    ]
    for task, name in TASKS.items():
        cells, times = [], {"this package": mine[task].seconds}
        for rival in RIVALS:
            if task in others[rival]:
                times[rival] = others[rival][task].seconds
                cells.append(f"{1000 * times[rival]:.3g} ({times[rival] / mine[task].seconds:.3g})")
            else:
                cells.append("skipped" if task in OFFERS[rival] else "")
        first = min(times, key=times.__getitem__) if len(times) > 1 else "no rival ran"
        lines.append(f"| {name.format(fits=fits)} | {1000 * mine[task].seconds:.3g} | {' | '.join(cells)} | {first} |")
    lines.append("")
    if versions:
        lines += [f"Versions: {', '.join(versions)}.", ""]
    reasons = {
        (rival, reason): [task for task in TASKS if skipped[rival].get(task) == reason and task in OFFERS[rival]]
        for rival in RIVALS
        for reason in dict.fromkeys(skipped[rival].values())
    }
    lines += [f"Skipped, {rival}: {', '.join(tasks)}: {reason}." for (rival, reason), tasks in reasons.items()]
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if arguments.out:
        (arguments.out / "estimation.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
