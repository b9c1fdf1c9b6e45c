"""Count registered firms and patents by city and year, in DuckDB or Spark.

This implements `ai-manufacturing counts`. DuckDB writes the counts to the warehouse. Spark writes
them as Parquet among the deliveries, and the next build of the warehouse reads them like counts
that a vendor delivers (docs/growth.md).
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
        "SPARK_MASTER is {master}, but the Spark master stopped answering. Read its log,"
        " and run the command again."
    ),
    r"FILE_NOT_EXIST|FileNotFoundException|Mkdirs failed|Failed to rename": (
        "SPARK_STORAGE is {storage} and LANDING_DIR is {landing}, but a worker cannot find"
        " the driver's files there. Mount both folders at the same path on all machines, and"
        " let the workers' user write to them."
    ),
    r"another instance of Derby may have already booted|XSDB6": (
        "SPARK_STORAGE is {storage}, but another run is writing there. Wait until that run"
        " ends, or set SPARK_STORAGE to another folder."
    ),
    WAITING: (
        "SPARK_MASTER is {master}, but it has no worker with a free core and enough memory."
        " Start a worker."
    ),
}
"""Advice for errors of a Spark run, by a pattern that matches dbt's output."""
LONGEST_WAIT = 20
"""Number of Spark's warnings about a missing worker after which the run is stopped.

Spark repeats the warning four times a minute, so the limit is five minutes, which also covers
executors that start slowly on a busy machine.
"""
SPARK_WARNING = re.compile(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d WARN ")
COUNT_FOLDERS = ("firm_counts", "patent_counts")
"""Folders of counts that Spark writes and this command hands over to DuckDB."""


class CountsError(Exception):
    """Raised if firms and patents cannot be counted; the message gives the reason and a remedy."""


def count_registers(
    engine: str, registers: Path | None, out: Path | None, echo: Callable[[str], None]
) -> None:
    """Import the firm and patent registers, and count their records by city and year.

    Parameters
    ----------
    engine : str
        "duckdb" or "spark".
    registers : Path, optional
        Extract set with the registers. Default: EXTRACTS_DIR.
    out : Path, optional
        Folder for the counts from Spark. Default: COUNTS_DIR or, if that is not set,
        `register_counts` in EXTRACTS_DIR.
    echo : callable
        Called with each line of output.

    Raises
    ------
    CountsError
        If a requirement of the engine is missing, or the run fails.
    LandingError
        If a delivery cannot be landed.
    OSError
        If a folder cannot be written to.
    """
    if engine == "duckdb":
        if registers or out:
            raise CountsError(
                "--registers and --out require --engine spark. DuckDB always counts the registers"
                " in EXTRACTS_DIR and stores the counts in the warehouse."
            )
        _run_dbt(["run", "--select", "raw_declared_sources", "+raw_deliveries"], {}, echo)
        _run_dbt(["build", *SELECTION], {}, echo)
        return
    duckdb_folder = settings.extracts_dir() / "register_counts"
    counts = settings.project_root() / (
        out.resolve() if out else os.environ.get("COUNTS_DIR") or duckdb_folder
    )
    storage = settings.spark_storage_dir()
    spark_folder = storage / "register_counts"
    if registers:
        os.environ["EXTRACTS_DIR"] = str(registers.resolve())
    check_packages()
    java = check_java()
    master = os.environ.get("SPARK_MASTER") or "local[*]"
    check_master(master)
    check_folders()
    folder = settings.extracts_dir()
    echo(f"Counting the registers in {folder} with Spark ({master}) and Java {java}.")
    landing.land_deliveries()
    storage.mkdir(parents=True, exist_ok=True)
    _run_dbt(["build", "--target", "spark", *SELECTION], {"COUNTS_DIR": str(spark_folder)}, echo)
    for name in COUNT_FOLDERS:
        copy_counts(spark_folder / name, counts / name)
    echo(f"Wrote the counts by city and year to {counts}.")
    if counts == duckdb_folder:
        echo("The next build of the warehouse reads these counts with the other deliveries.")
    else:
        echo(
            f"Move the counts to {duckdb_folder}, so that the next build of the warehouse reads"
            " the counts."
        )


def copy_counts(source: Path, target: Path) -> None:
    """Atomically replace the counts file that DuckDB reads with the file that Spark wrote.

    If Spark counted nothing, because the register was not delivered, the old file is removed.

    Raises
    ------
    CountsError
        If Spark has not finished writing the counts.
    """
    parts = sorted(source.glob("part-*"))
    if len(parts) > 1 or not (source / SUCCESS_MARKER).exists():
        raise CountsError(
            f"{source} does not contain the counts in one complete file. Delete this folder,"
            " and run the command again."
        )
    target.mkdir(parents=True, exist_ok=True)
    with private_folder(target / "counts.parquet") as folder:
        if parts and pq.read_metadata(parts[0]).num_rows:
            copy = Path(shutil.copyfile(parts[0], folder / "counts.parquet"))
            sync(copy)
            copy.replace(target / "counts.parquet")
        else:
            (target / "counts.parquet").unlink(missing_ok=True)
    # Remove part files that Spark wrote here when dbt was run without this command.
    for part in target.glob("part-*"):
        part.unlink()
    shutil.rmtree(target / "_temporary", ignore_errors=True)


def check_packages() -> None:
    """Raise CountsError if pyspark or dbt-spark is not installed.

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
            f"pyspark or dbt-spark is not installed in {sys.prefix}. Run `make spark`, and use"
            " .venv-spark/bin/ai-manufacturing; or install this package with its extra"
            " `spark`."
        )


def check_java() -> str:
    """Return the major version of Java; raise CountsError if it is missing or too old for Spark.

    Raises
    ------
    CountsError
        If Java is missing or too old.
    """
    remedy = (
        f"Install Java {OLDEST_JAVA} or later (on Debian with `apt-get install"
        f" openjdk-{OLDEST_JAVA}-jre-headless`), or set JAVA_HOME."
    )
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin/java") if home else "java"
    path = shutil.which(java)
    if path is None:
        raise CountsError(f"Spark needs Java, but the program {java} was not found. {remedy}")
    version_text = subprocess.run(
        [path, "-version"], capture_output=True, text=True, check=False
    ).stderr
    # Skip a leading "1.", because Java 8 reports its version as 1.8.
    version = re.search(r'version "(?:1\.)?(\d+)', version_text)
    if version is None or int(version[1]) < OLDEST_JAVA:
        printed_text = version_text.strip()[:200]
        raise CountsError(
            f"{path}: `java -version` printed {printed_text!r}, but Spark needs Java {OLDEST_JAVA}"
            f" or later. {remedy}"
        )
    return version[1]


def check_folders() -> None:
    """Raise CountsError if a folder has a path with characters that Spark cannot read.

    Raises
    ------
    CountsError
        If the path of LANDING_DIR or SPARK_STORAGE contains such a character.
    """
    for variable, folder in (
        ("LANDING_DIR", settings.landing_dir()),
        ("SPARK_STORAGE", settings.spark_storage_dir()),
    ):
        marks = sorted(set(str(folder)) & set('`*?[]{}"\\;'))
        if marks:
            characters = " ".join(marks)
            raise CountsError(
                f"The setting {variable} is {folder}, but Spark does not support the characters"
                f" {characters} in a path. Rename the folder."
            )


def check_master(master: str) -> None:
    """Raise CountsError if no master of the Spark cluster accepts connections.

    Spark itself would retry for a minute before it fails.

    Raises
    ------
    CountsError
        If no master answers, or if workers on other machines could not reach the driver.
    """
    if not master.startswith("spark://"):
        return
    driver = os.environ.get("SPARK_DRIVER_HOST") or "127.0.0.1"
    addresses = master.removeprefix("spark://").split(",")
    local_prefixes = ("127.", "localhost:", "[::1]")
    if not all(address.startswith(local_prefixes) for address in addresses) and driver.startswith(
        ("127.", "localhost")
    ):
        raise CountsError(
            f"SPARK_MASTER is {master}, but workers on other machines cannot reach"
            f" SPARK_DRIVER_HOST, which is {driver}. Set SPARK_DRIVER_HOST to an address of"
            " this machine that the workers can reach."
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
    attempts = ", ".join(faults)
    raise CountsError(
        f"SPARK_MASTER is {master}, but no Spark master answers there: {attempts}. Start the"
        " master, or correct SPARK_MASTER. The value local[*] runs Spark on this machine without a"
        " cluster."
    )


def _run_dbt(
    arguments: list[str], environment: dict[str, str], echo: Callable[[str], None]
) -> None:
    """Run dbt and print its output, except for Spark's warnings.

    Raises
    ------
    CountsError
        If the run fails; the message includes advice on Spark errors that are known.
    """
    lines: list[str] = []
    warning_count = 0
    with dbt_process.start_dbt(arguments, environment) as process:
        for line in process.stdout or ():
            if SPARK_WARNING.match(line) is None:
                warning_count = 0
                lines.append(line)
                echo(line.rstrip("\n"))
            elif WAITING in line:
                warning_count += 1
                if warning_count == 1:
                    echo("Spark is waiting for a worker with a free core and enough memory.")
                if warning_count == LONGEST_WAIT:
                    lines.append(line)
                    process.terminate()
    if process.returncode:
        output = "".join(lines)
        names = {
            "master": os.environ.get("SPARK_MASTER") or "local[*]",
            "storage": settings.spark_storage_dir(),
            "landing": settings.landing_dir(),
        }
        advice = [
            text.format(**names)
            for pattern, text in KNOWN_FAULTS.items()
            if re.search(pattern, output, re.I)
        ]
        raise CountsError(
            "\n".join(
                [*advice, f"dbt ended with exit code {process.returncode}. No counts were written."]
            )
        )
