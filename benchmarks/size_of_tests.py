"""How often tests at 5 % reject a true null in synthetic panels whose provinces move together.

Each panel has the provinces of the paper's estimation sample and a regressor without effect. Prints
Markdown on stdout, and exits with a message if a target is missed. From the project's root:

    python -m benchmarks.size_of_tests --panels 500 > benchmarks/size_of_tests.md
"""

import argparse
import sys
import time

import numpy as np

from ai_manufacturing.estimators import wild_bootstrap
from tests.lib.size_of_tests import (
    CITIES,
    FIRST_SEED,
    LEAST,
    MOST,
    PERSISTENCE,
    SHARE_OF_PROVINCE,
    TARGETED,
    rejected,
)


def main() -> None:
    """Parse the arguments, simulate, report, and fail where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--panels", type=int, default=500)
    parser.add_argument(
        "--draws", type=int, default=wild_bootstrap.DRAWS, help="of the wild bootstrap"
    )
    arguments = parser.parse_args()
    started = time.process_time()
    shares = rejected(arguments.panels, arguments.draws)
    seconds = time.process_time() - started
    lines = [
        f"| {name} | {share:.1%} | {np.sqrt(share * (1 - share) / arguments.panels):.1%} |"
        + (f" {LEAST:.0%} to {MOST:.0%} |" if name in TARGETED else " |")
        for name, share in shares.items()
    ]
    print(
        f"""\
# How often tests at 5 % reject a true null

{arguments.panels} synthetic panels of {sum(CITIES)} cities and 9 to 11 years, in
{len(CITIES)} provinces of the sizes of the public headline sample (1 to {max(CITIES)} cities).
The regressor has no effect. Regressor, control and error are persistent ({PERSISTENCE} a year),
and owe {SHARE_OF_PROVINCE:.0%} of their variance to shocks that the cities of a province share. \
The wild bootstrap takes {arguments.draws:,} draws.

    python -m benchmarks.size_of_tests --panels {arguments.panels} --draws {arguments.draws}

CPU time: {seconds:.0f} s. Seeds start at {FIRST_SEED:,}.

| test | rejects | Monte Carlo error | target |
| --- | --- | --- | --- |
"""
        + "\n".join(lines)
        + """

CRV1 and CRV3 take t(G−1). WCR is the wild cluster bootstrap with the null imposed.
"""
    )
    missed = [
        f"{name} rejects {shares[name]:.1%}."
        for name in TARGETED
        if not LEAST <= shares[name] <= MOST
    ]
    if missed:
        sys.exit(" ".join(missed))


if __name__ == "__main__":
    main()
