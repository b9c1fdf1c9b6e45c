"""Run the speed benchmarks in sequence, and write the report benchmarks/README.md.

    python -m benchmarks [--repeats 3] [--quick] [--only NAME ...] [--out benchmarks/README.md]

The results of all sections are cached in build/benchmarks. With `--only`, the named sections run
again, and the page shows the cached results of the other sections.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

from benchmarks import measuring
from benchmarks.measuring import HEADINGS, PROJECT, Section

SPARK = PROJECT / ".venv-spark/bin/python"
KEPT = PROJECT / "build/benchmarks"
SECTIONS = (
    "whole_paper",
    "refresh",
    "registers",
    "landing",
    "estimation",
    "website",
    "spark",
    "growth",
)
QUALITY = {
    "replication.md": (
        "measures how often new synthetic samples reproduce the numbers printed in the paper."
    ),
    "gate.md": "measures how often deliveries without errors fail the data-quality gate.",
    "designs.md": (
        "measures how often alternative designs for the same claim, and their combined answer, are"
        " right."
    ),
    "verdicts.md": "measures how often the verdicts on the paper's claims are right.",
    "size_of_tests.md": "measures how often the statistical tests reject a true null hypothesis.",
    "mutants.md": "measures how often the quick tests detect random faults in code and data.",
}
COMMANDS = {
    "python -m benchmarks.first_deliveries": (
        "reports which faulty first deliveries the gate finds, and how far they move coefficients."
    ),
    "python -m benchmarks.slips": (
        "writes the smallest error in each series that the gate finds to `seeds/found_slips.csv`."
    ),
}
HEAD = """\
# Speed, compared with alternatives

This page compares the commands that users wait for with the tools that they could use instead.
`make bench` writes this page, and `python -m benchmarks --only NAME` measures a single section
again. Runs of this project alternate with runs of the compared tool (the peer). Each figure is the
median of several runs, and each ratio is the median of the ratios of paired runs. A ratio below 1
means that this project needs less time or memory than the peer.

The table of runs shows the commit of each section. A section is outdated if
`git log COMMIT.. -- src models python_models` lists any commits.
"""


def measure(name: str, out: Path, repeats: int, *, quick: bool) -> None:
    """Run one benchmark in a separate process, which writes its section to a JSON file."""
    if name == "spark" and not (SPARK.exists() and shutil.which("java")):
        print(
            "The section spark was skipped, because Java or .venv-spark is missing. `make spark`"
            " creates .venv-spark."
        )
        return
    program = SPARK if name == "spark" else Path(sys.executable)
    options = ["--repeats", str(repeats), *(["--quick"] if quick else []), "--json", out]
    measuring.run([program, "-m", f"benchmarks.{name}", *options])


def table_of_runs(sections: dict[str, Section]) -> str:
    """Return the table of runs, and a sentence on the machine if all sections share one."""
    rows = [[name.replace("_", " "), *section.run] for name, section in sections.items()]
    place = measuring.RUN.index("machine")
    machines = {row[place] for row in rows}
    if len(machines) != 1:
        return measuring.table(measuring.RUN, rows)
    headings, *rows = [[*row[:place], *row[place + 1 :]] for row in (measuring.RUN, *rows)]
    return f"All sections were measured on this machine: {machines.pop()}.\n\n" + measuring.table(
        headings, rows
    )


def page(sections: dict[str, Section]) -> str:
    """Return the benchmark report in Markdown."""
    rows = [
        (name.replace("_", " "), *row.cells)
        for name, section in sections.items()
        for row in section.rows
    ]
    quality = [
        f"- [{name}]({name}) {what}"
        for name, what in QUALITY.items()
        if (PROJECT / "benchmarks" / name).exists()
    ]
    quality += [f"- `{command}` {what}" for command, what in COMMANDS.items()]
    left_out = [name.replace("_", " ") for name in SECTIONS if name not in sections]
    parts = [
        HEAD,
        measuring.table(("section", *HEADINGS), rows),
        f"These sections have not been measured: {', '.join(left_out)}." if left_out else "",
        *(section.text for section in sections.values()),
        "## Runs",
        table_of_runs(sections),
        "## Quality",
        "The following pages and commands measure the quality of the project's results.",
        "\n".join(quality),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def main() -> None:
    """Run the selected benchmarks, and write a report on all benchmarks run so far."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    measuring.add_options(parser)
    parser.add_argument(
        "--only",
        nargs="*",
        choices=SECTIONS,
        default=SECTIONS,
        help="sections to run (default: all)",
    )
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks/README.md")
    arguments = parser.parse_args()
    failed: list[str] = []
    with measuring.scratch() as scratch:
        kept = scratch if arguments.quick else KEPT
        kept.mkdir(parents=True, exist_ok=True)
        for name in arguments.only:
            since = time.monotonic()
            try:
                measure(name, kept / f"{name}.json", arguments.repeats, quick=arguments.quick)
            except SystemExit as stopped:
                # Continue after a failure, because the other benchmarks take hours and do not
                # depend on this one.
                print(f"{name}: {stopped}", file=sys.stderr)
                failed.append(name)
            print(f"{name}: {time.monotonic() - since:.0f} s", flush=True)
        found = {name: kept / f"{name}.json" for name in SECTIONS}
        text = page({name: measuring.read(path) for name, path in found.items() if path.exists()})
    arguments.out.write_text(text, encoding="utf-8")
    print(arguments.out)
    if failed:
        sys.exit(
            f"These sections failed and have no new figures: {', '.join(failed)}. The errors are"
            " printed above."
        )


if __name__ == "__main__":
    main()
