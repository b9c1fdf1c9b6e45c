"""Run the benchmarks of speed, one after the other, and write benchmarks/README.md.

python -m benchmarks [--repeats 3] [--quick] [--only NAME ...] [--out benchmarks/README.md]
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import measuring
from benchmarks.measuring import HEADINGS, PROJECT, Section

SPARK = PROJECT / ".venv-spark/bin/python"
SECTIONS = ("whole_paper", "refresh", "registers", "landing", "estimation", "website", "spark", "growth")
QUALITY = {
    "replication.md": "how often fresh samples reproduce the printed numbers",
    "gate.md": "how often clean deliveries fail the gate",
    "verdicts.md": "how often the verdicts on printed claims are right",
    "size_of_tests.md": "how often tests reject a true null",
    "dictionary.md": "how well the AI dictionary tags real texts",
}
HEAD = """\
# How fast it is, and beside what

What people wait for, beside what they would use instead. `make bench` writes this page in one run. Each number is the
median of runs that were made in turn with their peer's, and each ratio the median of the ratios of these pairs. Below 1
this project is ahead. `python -m benchmarks.NAME` runs a section alone.
"""


def measured(name: str, folder: Path, repeats: int, *, quick: bool) -> Section:
    """Run one section in a process of its own."""
    if name == "spark" and not (SPARK.exists() and shutil.which("java")):
        return Section("Spark", "", skipped=["Spark: Java or .venv-spark is not here; `make spark` makes the latter."])
    program, out = SPARK if name == "spark" else Path(sys.executable), folder / f"{name}.json"
    measuring.run(
        [program, "-m", f"benchmarks.{name}", "--repeats", str(repeats), *(["--quick"] if quick else []), "--json", out]
    )
    return measuring.read(out)


def page(sections: dict[str, Section], repeats: int, began: datetime, load: float, minutes: float) -> str:
    """Return the page in Markdown."""
    rows = [(name.replace("_", " "), *row.cells) for name, section in sections.items() for row in section.rows]
    versions = sorted({version for section in sections.values() for version in section.versions})
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True, check=False
    ).stdout.strip()
    quality = [
        f"- [{name}]({name}): {what}" for name, what in QUALITY.items() if (PROJECT / "benchmarks" / name).exists()
    ]
    left_out = [name.replace("_", " ") for name in SECTIONS if name not in sections]
    parts = [
        HEAD,
        f"{began:%Y-%m-%d}, commit {commit}, {minutes:.0f} minutes. {measuring.machine()}. Load {load:.1f} at the "
        f"start. Paired runs of each row: {repeats}. Python {sys.version.split()[0]}, {', '.join(versions)}.",
        measuring.table(("section", *HEADINGS), rows),
        f"Not in this run: {', '.join(left_out)}." if left_out else "",
        *(section.text for section in sections.values()),
        "## Quality",
        "Pages that tell how good the answers are, not how fast. Each says how it was made.",
        "\n".join(quality),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def main() -> None:
    """Run the sections and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measuring.add_options(parser)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections (all)")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks/README.md")
    arguments = parser.parse_args()
    began, started, load = datetime.now(UTC), time.monotonic(), os.getloadavg()[0]
    sections: dict[str, Section] = {}
    with measuring.scratch() as folder:
        for name in arguments.only:
            since = time.monotonic()
            sections[name] = measured(name, folder, arguments.repeats, quick=arguments.quick)
            print(f"{name}: {len(sections[name].rows)} rows, {time.monotonic() - since:.0f} s", flush=True)
    text = page(sections, arguments.repeats, began, load, (time.monotonic() - started) / 60)
    arguments.out.write_text(text, encoding="utf-8")
    print(arguments.out)


if __name__ == "__main__":
    main()
