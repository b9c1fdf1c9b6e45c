"""Run the speed benchmarks in sequence, and write the report benchmarks/README.md.

    python -m benchmarks [--repeats 3] [--quick] [--only NAME ...] [--out benchmarks/README.md]

Sections are cached in build/benchmarks: with `--only` some of them are run again, and the page
shows these and the cached others.
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
    "replication.md": "how often fresh samples reproduce the printed numbers",
    "gate.md": "how often clean deliveries fail the gate",
    "designs.md": "how often the designs of a claim, and their combined answer, are right",
    "verdicts.md": "how often the verdicts on printed claims are right",
    "size_of_tests.md": "how often tests reject a true null",
}
COMMANDS = {
    "python -m benchmarks.first_deliveries": (
        "which wrong first deliveries the gate finds, and how far they move a shown column"
    ),
    "python -m benchmarks.slips": (
        "the smallest slip in each series that the gate finds; it writes `seeds/found_slips.csv`"
    ),
}
HEAD = """\
# Speed, compared with alternatives

This page compares the commands that users wait for with the tools that they could use instead.
`make bench` writes it. Runs of this project and of its peer alternate: each number is the median of
the runs, and each ratio the median of the paired ratios. Below 1, this project uses less.
`python -m benchmarks --only NAME` runs a section again. The table of runs names the commit of each
section: if `git log COMMIT.. -- src models python_models` lists commits, its numbers are outdated.
"""


def measure(name: str, out: Path, repeats: int, *, quick: bool) -> None:
    """Run one benchmark in a separate process, which writes its section to a JSON file."""
    if name == "spark" and not (SPARK.exists() and shutil.which("java")):
        print("spark: skipped. Java or .venv-spark is not here; `make spark` makes the latter.")
        return
    program = SPARK if name == "spark" else Path(sys.executable)
    options = ["--repeats", str(repeats), *(["--quick"] if quick else []), "--json", out]
    measuring.run([program, "-m", f"benchmarks.{name}", *options])


def page(sections: dict[str, Section]) -> str:
    """Return the benchmark report in Markdown."""
    rows = [
        (name.replace("_", " "), *row.cells)
        for name, section in sections.items()
        for row in section.rows
    ]
    runs = [(name.replace("_", " "), *section.run) for name, section in sections.items()]
    quality = [
        f"- [{name}]({name}): {what}"
        for name, what in QUALITY.items()
        if (PROJECT / "benchmarks" / name).exists()
    ]
    quality += [f"- `{command}`: {what}" for command, what in COMMANDS.items()]
    left_out = [name.replace("_", " ") for name in SECTIONS if name not in sections]
    parts = [
        HEAD,
        measuring.table(("section", *HEADINGS), rows),
        f"Sections without a run: {', '.join(left_out)}." if left_out else "",
        *(section.text for section in sections.values()),
        "## Runs",
        measuring.table(measuring.RUN, runs),
        "## Quality",
        "These pages and commands report how often the answers are right.",
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
        "--only", nargs="*", choices=SECTIONS, default=SECTIONS, help="sections to run (all)"
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
        sys.exit(f"No new figures of {', '.join(failed)}: see above.")


if __name__ == "__main__":
    main()
