"""Run the tasks of benchmarks/estimation.py with pyfixest: fixed effects and wild bootstrap.

It does not use this project's package.

    python benchmarks/peers/estimation_pyfixest.py FOLDER FITS REPEATS DRAWS
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pyfixest

folder, fits, repeats, draws = sys.argv[1], *map(int, sys.argv[2:])
data = pd.read_csv(f"{folder}/panel.csv")
print("version", "pyfixest", pyfixest.__version__, sep="\t")
CONTROLS = "population + employment + science"
CLUSTER = {"CRV1": "city_id"}


def timed(
    task: str,
    call: Callable[[], Any],
    values: Callable[[Any], Sequence[float]],
    scale: float = 1,
    times: int = repeats,
) -> None:
    """Print the median seconds of repeated calls after a warm-up, and the estimates."""
    try:
        found, spent = call(), []
        for _ in range(times):
            start = time.perf_counter()
            found = call()
            spent.append(time.perf_counter() - start)
        numbers = [repr(float(value)) for value in values(found)]
        print("time", task, statistics.median(spent) * scale, *numbers, sep="\t", flush=True)
    except Exception as error:
        print(
            "skip",
            task,
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            sep="\t",
        )


def one(name: str) -> Any:
    """Fit a regression with one regressor on the raw sample."""
    frame = data[["y", name, *CONTROLS.split(" + "), "city_id", "province_id", "year"]]
    return pyfixest.feols(f"y ~ {name} + {CONTROLS} | city_id + year", frame, vcov=CLUSTER)


def several(names: Sequence[str]) -> Any:
    """Fit one regression per regressor on a common sample."""
    return pyfixest.feols(
        f"y ~ sw({', '.join(names)}) + {CONTROLS} | city_id + year", data, vcov=CLUSTER
    ).to_list()


def of_first(fit: Any) -> tuple[float, float]:
    """Return the coefficient and the standard error of the first regressor."""
    return fit.coef().iloc[0], fit.se().iloc[0]


def of_all(found: Sequence[Any]) -> list[float]:
    """Return coefficients and standard errors of the numbered regressors, such as r1 or p1."""
    names = [
        next(name for name in fit.coef().index if name[0] in "rp" and name[1:].isdigit())
        for fit in found
    ]
    return [
        value
        for fit, name in zip(found, names, strict=True)
        for value in (fit.coef()[name], fit.se()[name])
    ]


regressors, permuted = ([f"{letter}{number}" for number in range(fits)] for letter in "rp")
timed("one", lambda: one("x"), of_first)
timed("shared", lambda: several(regressors), of_all, 1 / fits, 1)
timed("raw", lambda: [one(name) for name in regressors], of_all, 1 / fits, 1)
timed("permuted", lambda: several(permuted), of_all, 1 / fits, 1)
timed(
    "wild",
    lambda: one("x").wildboottest(reps=draws, cluster="province_id", param="x", seed=1),
    lambda found: (found["t value"], found["Pr(>|t|)"]),
)
