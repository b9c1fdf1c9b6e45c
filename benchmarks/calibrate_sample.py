"""Check, or solve for, the true parameters of the synthetic sample.

Draws many seeds, runs the default estimators on each and compares the mean estimate with the
printed number. With `--solve` it changes the solved parameters until the means agree and prints
them for `src/ai_manufacturing/paper/synthetic/truth.py`. Run from the project's root:

    python benchmarks/calibrate_sample.py --seeds 400
    python benchmarks/calibrate_sample.py --seeds 800 --solve

The estimator here is independent of the package's, so an error in one does not hide in the other.
"""

import argparse
import csv
import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ai_manufacturing.paper.synthetic.counts import Patents, scaled_to_years
from ai_manufacturing.paper.synthetic.panel import CityYears, draw
from ai_manufacturing.paper.synthetic.truth import EVENT_TERMS, TRUTH, Truth
from ai_manufacturing.settings import period, project_root

Floats = NDArray[np.float64]
Key = tuple[str, int, str]

# The check draws other seeds than the solution.
SOLUTION_SEEDS_FROM = 100_000
CHECK_SEEDS_FROM = 500_000
ROUNDS = 4
LINEAR_STEP = 0.05
EVENT_STEP = 0.15
EVENT_YEARS = (2011, 2012, 2013, 2014, 2016, 2017, 2018, 2019)
OMITTED_YEAR = 2015
CONTROLS = ("registered_population_10k", "unit_employment_10k", "rd_personnel")
ADDED_CONTROLS = (
    "above_scale_firm_count",
    "loans_100m_cny",
    "fdi_million_usd",
    "education_spending_100m_cny",
    "science_spending_100m_cny",
)
LEVEL_COLUMNS = {
    ("table_1", 0): "gdp_100m_cny",
    ("table_2", 0): "secondary_100m_cny",
    ("table_3", 0): "secondary_employment_10k",
    ("table_3", 3): "manufacturing_employment_10k",
}
# Each solved parameter and the printed coefficient that it mainly moves.
LINEAR_BLOCKS: tuple[tuple[tuple[str, ...], tuple[Key, ...]], ...] = (
    (
        ("gdp_on_firms", "gdp_on_applications", "gdp_on_grants", "gdp_on_mediators"),
        (
            ("table_1", 1, "ai_firms"),
            ("table_1", 2, "ai_patent_applications"),
            ("table_1", 3, "ai_patent_grants"),
            ("table_4", 2, "ai_firms"),
        ),
    ),
    (
        (
            "secondary_share_on_firms",
            "secondary_share_on_applications",
            "secondary_share_on_grants",
        ),
        (
            ("table_2", 1, "ai_firms"),
            ("table_2", 2, "ai_patent_applications"),
            ("table_2", 3, "ai_patent_grants"),
        ),
    ),
    (
        (
            "secondary_employment_on_firms",
            "secondary_employment_on_applications",
            "secondary_employment_on_grants",
        ),
        (
            ("table_3", 1, "ai_firms"),
            ("table_3", 2, "ai_patent_applications"),
            ("table_3", 3, "ai_patent_grants"),
        ),
    ),
    (
        (
            "manufacturing_employment_on_firms",
            "manufacturing_employment_on_applications",
            "manufacturing_employment_on_grants",
        ),
        (
            ("table_3", 4, "ai_firms"),
            ("table_3", 5, "ai_patent_applications"),
            ("table_3", 6, "ai_patent_grants"),
        ),
    ),
    (("resident_population_on_firms",), (("table_4", 1, "ai_firms"),)),
)
EVENT_SHIFTS = {
    "entry_shift": ("table_5", 1),
    "exit_shift": ("table_5", 2),
    "application_shift": ("table_6", 1),
    "grant_shift": ("table_6", 2),
}


@dataclass(frozen=True)
class Fit:
    """Coefficients of one regression with city-clustered errors."""

    estimates: Floats
    errors: Floats
    observations: int
    cities: int
    r2_inclusive: float


def demean(values: Floats, groups: NDArray[np.intp], counts: Floats) -> Floats:
    """Subtract group means from every column."""
    sums = np.stack([np.bincount(groups, column) for column in values.T], axis=1)
    return values - (sums / counts[:, None])[groups]


def two_way(outcome: Floats, regressors: list[Floats]) -> Fit:
    """Regress with city and year effects; all arguments are cities by years, non-finite cells are
    left out.
    """
    complete = np.isfinite(outcome) & np.all([np.isfinite(series) for series in regressors], axis=0)
    city, year = np.nonzero(complete)
    _, city = np.unique(city, return_inverse=True)
    _, year = np.unique(year, return_inverse=True)
    year_count = int(year.max()) + 1
    design = np.column_stack(
        [*(series[complete] for series in regressors), np.eye(year_count)[year][:, 1:]]
    )
    counts = np.bincount(city).astype(float)
    centred = demean(np.column_stack([outcome[complete], design]), city, counts)
    y, x = centred[:, 0], centred[:, 1:]
    inverse = np.linalg.inv(x.T @ x)
    coefficients = inverse @ (x.T @ y)
    residual = y - x @ coefficients
    scores = np.stack([np.bincount(city, column) for column in (x * residual[:, None]).T], axis=1)
    n, cities, slopes = len(y), len(counts), len(regressors)
    factor = cities / (cities - 1) * (n - 1) / (n - slopes - year_count)
    covariance = factor * inverse @ (scores.T @ scores) @ inverse
    total = outcome[complete] - outcome[complete].mean()
    return Fit(
        coefficients[:slopes],
        np.sqrt(np.diag(covariance)[:slopes]),
        n,
        cities,
        1 - float(residual @ residual) / float(total @ total),
    )


def estimate(panel: CityYears) -> dict[Key, tuple[float, float, int, int, float]]:
    """Return estimate, standard error, observations, cities and inclusive R-squared per printed
    coefficient.
    """
    rows = panel.in_yearbook
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore")
        logs = {name: np.log(series[rows]) for name, series in panel.yearbook.items()}
        regressors = {
            "ai_firms": np.log1p(scaled_to_years(panel.ai_firms.stock[:, -1], panel.firms)[rows]),
            "ai_patent_applications": log_scaled(panel.applications)[rows],
            "ai_patent_grants": log_scaled(panel.grants)[rows],
        }
        entries, exits = panel.ai_firms.entries[rows], panel.ai_firms.exits[rows]
        net = entries - exits
        event_outcomes = {
            ("table_5", 1): np.log1p(entries),
            ("table_5", 2): np.log1p(exits),
            ("table_5", 3): np.log1p(np.where(net > -1, net, np.nan)),
            ("table_6", 1): np.log1p(panel.applications.ai[rows]),
            ("table_6", 2): np.log(panel.grants.ai[rows]),
        }
    controls = [logs[name] for name in CONTROLS]
    found: dict[Key, tuple[float, float, int, int, float]] = {}

    def record(table: str, column: int, term: str, fit: Fit, position: int = 0) -> None:
        found[table, column, term] = (
            float(fit.estimates[position]),
            float(fit.errors[position]),
            fit.observations,
            fit.cities,
            fit.r2_inclusive,
        )

    for (table, offset), outcome in LEVEL_COLUMNS.items():
        for number, (term, regressor) in enumerate(regressors.items(), start=1 + offset):
            record(table, number, term, two_way(logs[outcome], [regressor, *controls]))
    per_head = logs["gdp_100m_cny"] - logs["resident_population_10k"]
    record("table_4", 1, "ai_firms", two_way(per_head, [regressors["ai_firms"], *controls]))
    added = [logs[name] for name in ADDED_CONTROLS]
    record(
        "table_4",
        2,
        "ai_firms",
        two_way(logs["gdp_100m_cny"], [regressors["ai_firms"], *controls, *added]),
    )

    share = panel.yearbook["secondary_100m_cny"][rows] / panel.yearbook["gdp_100m_cny"][rows]
    share_2015 = share[:, panel.years == OMITTED_YEAR].ravel()
    treated = (share_2015 > np.median(share_2015)).astype(float)
    event_years = [year for year in panel.years.tolist() if year != OMITTED_YEAR]
    dummies = [np.outer(treated, year == panel.years).astype(float) for year in event_years]
    for (table, column), outcome in event_outcomes.items():
        fit = two_way(outcome, dummies + (controls if table == "table_5" else []))
        for term, year in zip(EVENT_TERMS, EVENT_YEARS, strict=True):
            record(table, column, term, fit, event_years.index(year))
    return found


def log_scaled(patents: Patents) -> Floats:
    """Return the log of equation 2 for patents; not finite without an AI patent in 2020."""
    return np.log(scaled_to_years(patents.ai[:, -1], patents.total))


def simulate(truth: Truth, first_seed: int, seeds: int) -> dict[Key, Floats]:
    """Estimate on many seeds; per printed coefficient an array of seeds by the five numbers of
    `estimate`.
    """
    draws = [
        estimate(draw(seed, period(), truth)) for seed in range(first_seed, first_seed + seeds)
    ]
    return {key: np.array([found[key] for found in draws]) for key in draws[0]}


def means(truth: Truth, seeds: int) -> dict[Key, float]:
    """Return the mean estimate per printed coefficient."""
    return {
        key: float(values[:, 0].mean())
        for key, values in simulate(truth, SOLUTION_SEEDS_FROM, seeds).items()
    }


def printed() -> dict[Key, dict[str, str]]:
    """Return the rows of seeds/published_estimates.csv."""
    with (project_root() / "seeds" / "published_estimates.csv").open(encoding="utf-8") as file:
        return {
            (row["table_id"], int(row["column_number"]), row["term"]): row
            for row in csv.DictReader(file)
        }


def responses(truth: Truth, seeds: int) -> tuple[list[Floats], dict[str, Floats]]:
    """Return how the means move with the parameters, on common random numbers.

    The equations of Tables 1 to 4 are linear in their parameters and their responses form one
    matrix per block; the response of an event-year coefficient is to its own shift.
    """
    base = means(truth, seeds)
    linear: list[Floats] = []
    for names, keys in LINEAR_BLOCKS:
        columns = []
        for name in names:
            moved = means(replace(truth, **{name: getattr(truth, name) + LINEAR_STEP}), seeds)
            columns.append([(moved[key] - base[key]) / LINEAR_STEP for key in keys])
        linear.append(np.array(columns).T)
    events: dict[str, Floats] = {}
    for name, (table, column) in EVENT_SHIFTS.items():
        shift = np.array(getattr(truth, name))
        up, down = (
            means(replace(truth, **{name: tuple(shift + step)}), seeds)
            for step in (EVENT_STEP, -EVENT_STEP)
        )
        keys = [(table, column, term) for term in EVENT_TERMS]
        events[name] = np.array([(up[key] - down[key]) / (2 * EVENT_STEP) for key in keys])
    return linear, events


def solve(truth: Truth, seeds: int) -> Truth:
    """Change the solved parameters until the mean estimates equal the printed ones."""
    target = {key: float(row["estimate"]) for key, row in printed().items()}
    linear, events = responses(truth, max(seeds // 8, 30))
    for number in range(ROUNDS):
        now = means(truth, seeds)
        changes: dict[str, float | tuple[float, ...]] = {}
        for (names, keys), response in zip(LINEAR_BLOCKS, linear, strict=True):
            gap = np.array([target[key] - now[key] for key in keys])
            for name, change in zip(names, np.linalg.solve(response, gap), strict=True):
                changes[name] = getattr(truth, name) + float(change)
        worst = [0.0, 0.0]
        for name, (table, column) in EVENT_SHIFTS.items():
            gap = np.array(
                [target[table, column, term] - now[table, column, term] for term in EVENT_TERMS]
            )
            changes[name] = tuple((np.array(getattr(truth, name)) + gap / events[name]).tolist())
            worst[1] = max(worst[1], float(np.abs(gap).max()))
        worst[0] = max(abs(target[key] - now[key]) for _, keys in LINEAR_BLOCKS for key in keys)
        print(
            f"round {number + 1}, before the step: largest gap {worst[0]:.5f} in Tables 1-4,"
            f" {worst[1]:.5f} in 5-6",
            flush=True,
        )
        truth = replace(truth, **changes)
    return truth


def report(truth: Truth, seeds: int) -> None:
    """Print the comparison with the paper."""
    simulated = simulate(truth, CHECK_SEEDS_FROM, seeds)
    header = (
        "coefficient",
        "printed",
        "mean",
        "MC error",
        "mean s.e.",
        "sd",
        "printed s.e.",
        "coverage",
        "N",
        "N pr.",
        "R2",
    )
    print("{:<42}{:>8}{:>9}{:>9}{:>10}{:>8}{:>13}{:>9}{:>8}{:>7}{:>7}".format(*header))
    for key, row in printed().items():
        if key not in simulated:
            continue
        estimates, errors, observations, cities, r2 = simulated[key].T
        target = float(row["estimate"])
        critical = stats.t.ppf(0.975, cities - 1)
        coverage = np.mean(np.abs(estimates - target) <= critical * errors)
        sd = estimates.std(ddof=1)
        print(
            f"{' '.join(map(str, key)):<42}{target:>8.4f}{estimates.mean():>9.4f}"
            f"{sd / np.sqrt(seeds):>9.4f}{errors.mean():>10.4f}{sd:>8.4f}{row['std_error']:>13}"
            f"{coverage:>9.3f}{observations.mean():>8.0f}{row['n_obs']:>7}{r2.mean():>7.3f}"
        )


def main() -> None:
    """Parse the arguments, solve if asked, and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--solve", action="store_true")
    arguments = parser.parse_args()
    truth = TRUTH
    if arguments.solve:
        truth = solve(truth, arguments.seeds)
        for name in (*(name for names, _ in LINEAR_BLOCKS for name in names), *EVENT_SHIFTS):
            value = getattr(truth, name)
            text = (
                f"({', '.join(f'{item:.4f}' for item in value)})"
                if isinstance(value, tuple)
                else f"{value:.4f}"
            )
            print(f"    {name} = {text}")
    report(truth, arguments.seeds)


if __name__ == "__main__":
    main()
