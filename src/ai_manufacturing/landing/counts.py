"""City-year counts of the registers, by the engine that one asks for.

What `ai-manufacturing counts` runs.

On DuckDB the counts stay in the warehouse. On Spark they are handed over as Parquet among the
deliveries, and the next build of the warehouse reads them like counts that a vendor delivers
(docs/spark.md).
"""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from ai_manufacturing import landing
from ai_manufacturing.landing.readers.containers import SUCCESS_MARKER
from ai_manufacturing.system import dbt_process, settings
from ai_manufacturing.system.disk import private_folder, sync

OLDEST_JAVA = 17
SELECTION = ("--selector", "register_counts")
WAITING = "Initial job has not accepted any resources"
KNOWN_FAULTS = {
    r"All masters are unresponsive|Cannot call methods on a stopped SparkContext": (
        "SPARK_MASTER is {master}: the master stopped answering. Look at its log, and run the"
        " command again."
    ),
    r"FILE_NOT_EXIST|FileNotFoundException|Mkdirs failed|Failed to rename": (
        "SPARK_STORAGE is {storage}, LANDING_DIR {landing}: a worker does not see what the driver"
        " sees there. Mount both at the same path on all machines, writable by the user of the"
        " workers."
    ),
    r"another instance of Derby may have already booted|XSDB6": (
        "SPARK_STORAGE is {storage}: another run is writing there. Wait for it, or set"
        " SPARK_STORAGE to another folder."
    ),
    WAITING: (
        "SPARK_MASTER is {master}: it has no worker with a free core and enough memory. Start a"
        " worker."
    ),
}
"""Patterns of Spark's messages, and the way out of each."""
LONGEST_WAIT = 20
"""How often Spark may say that it waits for a worker before the run stops.

It says so four times a minute. An executor that a busy machine is slow to start is waited for as
well, so this is five minutes.
"""
SPARK_WARNING = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d WARN ")
COUNTED = ("firm_counts", "patent_counts")


class CountsError(Exception):
    """The registers cannot be counted; says why, and the way out."""


def count(
    engine: str, registers: Path | None, out: Path | None, echo: Callable[[str], None]
) -> None:
    """Land the registers, and count them.

    Parameters
    ----------
    engine : str
        "duckdb" or "spark".
    registers : Path, optional
        The extract set with the registers; EXTRACTS_DIR unless given.
    out : Path, optional
        Folder for the counts that Spark hands over; COUNTS_DIR, or `register_counts` in
        EXTRACTS_DIR unless given.
    echo : callable
        Takes each line that is printed.

    Raises
    ------
    CountsError
        If something is missing that the engine needs, or the run fails.
    LandingError
        If a delivery cannot be landed.
    OSError
        If a folder cannot be written to.
    """
    if engine == "duckdb":
        if registers or out:
            raise CountsError(
                "--registers and --out need --engine spark. DuckDB counts the registers in"
                " EXTRACTS_DIR and keeps the counts in the warehouse."
            )
        _dbt(["run", "--select", "raw_declared_sources", "+raw_deliveries"], {}, echo)
        _dbt(["build", *SELECTION], {}, echo)
        return
    read_by_duckdb = settings.extracts_dir() / "register_counts"
    counts = settings.project_root() / (
        out.resolve() if out else os.environ.get("COUNTS_DIR") or read_by_duckdb
    )
    storage = settings.spark_storage_dir()
    made = storage / "register_counts"
    if registers:
        os.environ["EXTRACTS_DIR"] = str(registers.resolve())
    check_packages()
    java = check_java()
    master = os.environ.get("SPARK_MASTER") or "local[*]"
    check_master(master)
    check_folders()
    echo(
        f"Spark {master}, Java {java}: counting the registers of {settings.extracts_dir()} into"
        f" {counts}."
    )
    landing.deliveries()
    storage.mkdir(parents=True, exist_ok=True)
    _dbt(["build", "--target", "spark", *SELECTION], {"COUNTS_DIR": str(made)}, echo)
    for name in COUNTED:
        hand_over(made / name, counts / name)
    echo(f"{counts}: city-year counts.")
    if counts == read_by_duckdb:
        echo("The next build of the warehouse reads them with the other deliveries.")
    else:
        echo(f"A build of the warehouse reads them once they are in {read_by_duckdb}.")


def hand_over(made: Path, to: Path) -> None:
    """Copy counts that Spark has written to where DuckDB reads them, in one step.

    A register that was not delivered has none, and leaves none of an earlier one.

    Raises
    ------
    CountsError
        If Spark has not written them to the end.
    """
    parts = sorted(made.glob("part-*"))
    if len(parts) > 1 or not (made / SUCCESS_MARKER).exists():
        raise CountsError(
            f"{made}: the counts are not in one complete file. Delete this folder, and run the"
            " command again."
        )
    to.mkdir(parents=True, exist_ok=True)
    with private_folder(to / "counts.parquet") as folder:
        if parts and pq.read_metadata(parts[0]).num_rows:
            written = Path(shutil.copyfile(parts[0], folder / "counts.parquet"))
            sync(written)
            written.replace(to / "counts.parquet")
        else:
            (to / "counts.parquet").unlink(missing_ok=True)
    # what a run of dbt alone has left there
    for part in to.glob("part-*"):
        part.unlink()
    shutil.rmtree(to / "_temporary", ignore_errors=True)


def check_packages() -> None:
    """Look for Spark's Python packages.

    Raises
    ------
    CountsError
        If pyspark or dbt-spark is missing.
    """
    if (
        importlib.util.find_spec("pyspark") is None
        or importlib.util.find_spec("dbt.adapters.spark") is None
    ):
        raise CountsError(
            f"{sys.prefix} has no pyspark and dbt-spark. `make spark` makes an environment that has"
            " them, and the command is .venv-spark/bin/ai-manufacturing; or install the extra"
            " `spark` of the package."
        )


def check_java() -> str:
    """Return the version of the Java that Spark will run on.

    Raises
    ------
    CountsError
        If Java is missing or too old.
    """
    install = (
        f"Install Java {OLDEST_JAVA} or later, on Debian `apt-get install"
        f" openjdk-{OLDEST_JAVA}-jre-headless`"
    )
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin/java") if home else "java"
    path = shutil.which(java)
    if path is None:
        raise CountsError(f"Spark needs Java, and there is no {java}. {install}, or set JAVA_HOME.")
    printed = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    # Java 8 calls itself 1.8
    version = re.search(r'version "(?:1\.)?(\d+)', printed)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise CountsError(
            f"{path}: `java -version` printed {printed.strip()[:200]!r}, and Spark needs"
            f" {OLDEST_JAVA} or later. {install}, or set JAVA_HOME."
        )
    return version[1]


def check_folders() -> None:
    """Refuse names of folders that Spark reads as patterns, and cannot be told to read otherwise.

    Raises
    ------
    CountsError
        If LANDING_DIR or SPARK_STORAGE has such a name.
    """
    for variable, folder in (
        ("LANDING_DIR", settings.landing_dir()),
        ("SPARK_STORAGE", settings.spark_storage_dir()),
    ):
        marks = sorted(set(str(folder)) & set('`*?[]{}"\\;'))
        if marks:
            raise CountsError(
                f"{variable} is {folder}: Spark cannot read {' '.join(marks)} in a path. Rename the"
                " folder."
            )


def check_master(master: str) -> None:
    """Knock at the masters of a standalone cluster, since Spark itself would try for a minute.

    Raises
    ------
    CountsError
        If none of them answers, or workers of another machine could not answer the driver.
    """
    if not master.startswith("spark://"):
        return
    driver = os.environ.get("SPARK_DRIVER_HOST") or "127.0.0.1"
    addresses = master.removeprefix("spark://").split(",")
    here = ("127.", "localhost:", "[::1]")
    if not all(address.startswith(here) for address in addresses) and driver.startswith(
        ("127.", "localhost")
    ):
        raise CountsError(
            f"SPARK_MASTER is {master}, and SPARK_DRIVER_HOST is {driver}, which workers on other"
            " machines cannot reach. Set SPARK_DRIVER_HOST to this machine's address as workers"
            " reach it."
        )
    faults = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, ValueError) as error:
            faults.append(f"{address} ({error})")
        else:
            return
    raise CountsError(
        f"SPARK_MASTER is {master}, and no master answers: {', '.join(faults)}. Start it, or"
        " correct SPARK_MASTER; without a cluster, local[*] runs Spark on this machine."
    )


def _dbt(arguments: list[str], environment: dict[str, str], echo: Callable[[str], None]) -> None:
    """Run dbt, and print what it prints but for Spark's warnings.

    Raises
    ------
    CountsError
        If it fails; says what Spark's own words mean.
    """
    printed: list[str] = []
    waits = 0
    with dbt_process.started(arguments, environment) as process:
        for line in process.stdout or ():
            if SPARK_WARNING.match(line) is None:
                waits = 0
                printed.append(line)
                echo(line.rstrip("\n"))
            elif WAITING in line:
                waits += 1
                if waits == 1:
                    echo("Spark waits for a worker with a free core and enough memory.")
                if waits == LONGEST_WAIT:
                    printed.append(line)
                    process.terminate()
    if process.returncode:
        output = "".join(printed)
        names = {
            "master": os.environ.get("SPARK_MASTER") or "local[*]",
            "storage": settings.spark_storage_dir(),
            "landing": settings.landing_dir(),
        }
        meant = [
            words.format(**names)
            for pattern, words in KNOWN_FAULTS.items()
            if re.search(pattern, output, re.I)
        ]
        raise CountsError(
            "\n".join(
                [*meant, f"dbt ended with code {process.returncode}. No counts were delivered."]
            )
        )
