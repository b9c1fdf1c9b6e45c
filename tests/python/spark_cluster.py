"""A standalone Spark cluster on loopback, with a process for the master and for each worker."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.python.waiting import wait_for

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-spark"
"""The environment that `make spark` creates."""


@dataclass
class Cluster:
    """A running Spark cluster, and the folder with the logs of its processes and applications."""

    folder: Path
    master: str
    workers: list[subprocess.Popen[bytes]]
    started: list[subprocess.Popen[bytes]]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables for `dbt --target spark` on this cluster."""
        return {"SPARK_MASTER": self.master, "SPARK_CONF_DIR": str(self.folder / "conf")}

    def events(self) -> list[dict[str, Any]]:
        """Return the Spark events that applications have logged so far."""
        return read_events(self.folder / "events")

    def written(self) -> int:
        """Return the total size of all log files in bytes, as a measure of progress."""
        size = 0
        for path in self.folder.rglob("*"):
            # Spark may delete a file after it has been listed.
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def kill_worker(self, number: int) -> None:
        """Kill a worker and its executor at once, as a power failure would."""
        end(self.workers[number])

    def end(self) -> None:
        """Kill the master and all workers."""
        for process in self.started:
            end(process)


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return the events in all Spark event logs of a folder, skipping incomplete lines."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name.startswith(("app", "local", "events")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    found.append(json.loads(line))
    return found


def write_conf(folder: Path, **settings: str) -> Path:
    """Write a spark-defaults.conf with event logs enabled, and return its folder."""
    (folder / "conf").mkdir(parents=True, exist_ok=True)
    (folder / "events").mkdir(exist_ok=True)
    defaults = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.dir": f"file://{folder / 'events'}",
        **settings,
    }
    lines = "".join(f"{name} {value}\n" for name, value in defaults.items())
    (folder / "conf" / "spark-defaults.conf").write_text(lines, encoding="utf-8")
    return folder / "conf"


@contextlib.contextmanager
def running(
    folder: Path, workers: int, below: Sequence[str] = (), **settings: str
) -> Iterator[Cluster]:
    """Start a Spark master and single-core workers, and kill them when the context exits.

    Parameters
    ----------
    folder : Path
        Folder for process logs and event logs.
    workers : int
        Number of workers.
    below : sequence of str, optional
        Command, as a list of arguments, that starts each worker.
    **settings
        Spark settings beside the cluster's own.
    """
    (spark_class,) = map(str, ENVIRONMENT.glob("lib/python*/site-packages/pyspark/bin/spark-class"))
    folder.mkdir(parents=True, exist_ok=True)
    write_conf(folder, **{"spark.executor.memory": "1g", "spark.executor.cores": "1"} | settings)
    environment = {
        **os.environ,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_MEMORY": "256m",
    }
    cluster = Cluster(folder, f"spark://127.0.0.1:{free_port()}", [], [])

    def start(name: str, role: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [
            *(below if name.startswith("worker") else ()),
            spark_class,
            f"org.apache.spark.deploy.{role}",
            "--host",
            "127.0.0.1",
            "--webui-port",
            "0",
            *arguments,
        ]
        with (folder / f"{name}.log").open("wb") as log:
            # Start the process in a new process group, so that a worker is killed together with its
            # executor.
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        cluster.started.append(process)
        return process

    def whoever_ended() -> str:
        ended = [process.args for process in cluster.started if process.poll() is not None]
        return f"{ended} ended; see the logs in {folder}" if ended else ""

    def registered() -> bool:
        return (folder / "master.log").read_text(errors="replace").count(
            "Registering worker"
        ) == workers

    try:
        port = cluster.master.rpartition(":")[2]
        start("master", "master.Master", "--port", port)
        wait_for(lambda: answers(int(port)), whoever_ended, cluster.written)
        for number in range(workers):
            options = (
                "--cores",
                "1",
                "--memory",
                "2g",
                "--work-dir",
                str(folder / f"work_{number}"),
            )
            cluster.workers.append(
                start(f"worker_{number}", "worker.Worker", *options, cluster.master)
            )
        wait_for(registered, whoever_ended, cluster.written)
        yield cluster
    finally:
        cluster.end()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def answers(port: int) -> bool:
    """Return whether a process listens on a port of the loopback interface."""
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return the number of an unused port on the loopback interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
