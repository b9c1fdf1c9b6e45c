"""Time refreshes with and without new data, and compare them with `dbt build` and a script."""

import functools
import shutil
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from benchmarks import measuring, whole_paper
from benchmarks.measuring import BY_HAND, PROJECT, Runs, Scratch, Section

# Exit code of a refresh without new data, as listed in docs/refresh.md.
NOTHING_NEW = 3


@dataclass(frozen=True)
class Cell:
    """Location of a cell in a delivered CSV file: the start of its line, and its column index."""

    file: str
    encoding: str
    line: str
    place: int

    def corrected(self, extracts: Path) -> None:
        """Change the delivered file by adding one to the last digit of the cell."""
        path = extracts / self.file
        lines = path.read_bytes().decode(self.encoding).split("\n")
        found = [number for number, line in enumerate(lines) if line.startswith(self.line)]
        if len(found) != 1:
            raise ValueError(
                f"{path}: {len(found)} lines begin with {self.line!r}, but exactly one is expected."
                " Update the cell's location if the layout of the file changed."
            )
        (number,) = found
        cells = lines[number].split(",")
        value = Decimal(cells[self.place])
        cells[self.place] = str(value + Decimal(1).scaleb(int(value.as_tuple().exponent)))
        lines[number] = ",".join(cells)
        path.write_bytes("\n".join(lines).encode(self.encoding))


# Cell with Shenzhen's GDP of 2015 in the files of each extract set.
CELLS = {
    "sample": Cell("city_yearbook/城市统计年鉴_2015.csv", "utf-8", "440300,", 4),
    "public set": Cell("city_yearbook/job_data.csv", "gb18030", "2015,广东省,深圳市,", 6),
}


def measure(repeats: int, *, quick: bool) -> Section:
    """Time refreshes after a correction of one cell, and a refresh without new data."""
    section = Section(
        "A refresh",
        "This section measures `ai-manufacturing refresh` from the corrected file to the"
        " published release, including its list of changes. Unlike `dbt build`, a refresh"
        " publishes a release and runs 500 permutations of the specification curve.",
    )
    with measuring.scratch() as folder:
        sets = [("sample", measuring.sample(folder / "sample"))]
        if not quick:
            sets += [
                (name, Path(shutil.copytree(extracts, folder / "public")))
                for name, extracts in measuring.public(section)
            ]
        for name, extracts in sets:
            ours, plain = Scratch(folder / "ours", extracts), Scratch(folder / "plain", extracts)
            script = [sys.executable, PROJECT / BY_HAND, extracts, folder / "coefficients.csv"]
            ours.emptied()
            plain.emptied()
            ours.command("refresh")
            plain.dbt("build")
            times = Runs()
            for _ in range(repeats):
                CELLS[name].corrected(extracts)
                said = times.clock("refresh", ours.command, "refresh")
                if "published" not in said:
                    raise SystemExit(f"The refresh published nothing:\n{said}")
                times.clock("dbt", plain.dbt, "build")
                if name == "sample":
                    times.clock("script", measuring.run, script)
            for _ in range(2 * repeats):
                refreshed = functools.partial(ours.command, "refresh", accepted=NOTHING_NEW)
                times.clock("nothing new", refreshed)
            section.add(
                f"refresh after one correction, {name}",
                times["refresh"],
                "`dbt build`",
                times["dbt"],
                "dbt build",
                "≤ 12 s",
                why="A refresh also publishes a release.",
            )
            if name == "sample":
                section.add(
                    f"refresh after one correction, {name}",
                    times["refresh"],
                    "pandas and linearmodels",
                    times["script"],
                    BY_HAND,
                    why=whole_paper.NO_CHECKS,
                )
            section.add(f"refresh without new data, {name}", times["nothing new"], limit="≤ 0.4 s")
            shutil.rmtree(ours.folder)
            shutil.rmtree(plain.folder)
    section.versions = [
        measuring.version(name) for name in ("dbt-core", "duckdb", "pandas", "linearmodels")
    ]
    return section


if __name__ == "__main__":
    measuring.main(measure)
