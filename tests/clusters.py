"""Clusters of real processes on loopback, for tests and by hand.

    python tests/clusters.py dask|spark [--workers 2] [--threads 4] [--nanny]

Every process is the leader of a session of its own; leaving the block ends whatever is left in
these sessions (executors, Python workers, orphans too) by pid and waits until it is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
NO_JAVA = "Spark needs Java: apt-get install openjdk-17-jre-headless, or set JAVA_HOME"


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Poll until `condition` is true; TimeoutError naming `what` otherwise."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for yet doesn't."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Processes:
    """What was started, each in a session of its own, logging into `folder`."""

    folder: Path
    leaders: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> int:
        """Start a command that logs into ``NAME.log``; its pid."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=os.environ | (env or {}),
                start_new_session=True,
            )
        self.leaders.append(process)
        return process.pid

    def wait_for(self, name: str, pattern: str) -> re.Match[str]:
        """Wait for a line in a log; RuntimeError with the log's end if its process ends first."""
        log = self.folder / f"{name}.log"
        found: list[re.Match[str]] = []

        def seen() -> bool:
            ended = any(process.poll() is not None for process in self.leaders)
            text = log.read_text(errors="replace")
            found.extend(re.finditer(pattern, text))
            if ended and not found:
                raise RuntimeError(f"{name} did not come up: {text[-2000:]}")
            return bool(found)

        wait_until(seen, f"{pattern!r} in {log}")
        return found[0]

    def members(self) -> list[int]:
        """Pids of everything that runs in the sessions."""
        sessions = {process.pid for process in self.leaders}
        pids = []
        for pid in psutil.pids():
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) in sessions and alive(pid):
                    pids.append(pid)
        return pids

    def end(self) -> None:
        """SIGTERM, five seconds, SIGKILL; returns when nothing is left."""
        for signum, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 30.0)):
            for pid in self.members():
                with suppress(ProcessLookupError):
                    os.kill(pid, signum)
            with suppress(TimeoutError):
                wait_until(lambda: not self.members(), "processes to end", seconds)
        for process in self.leaders:
            process.wait(30)
        if left := self.members():
            raise RuntimeError(f"still running: {left}")


@contextmanager
def _processes(folder: Path) -> Iterator[Processes]:
    folder.mkdir(parents=True, exist_ok=True)
    processes = Processes(folder)
    try:
        yield processes
    finally:
        processes.end()


@dataclass(frozen=True)
class Dask:
    """A Dask scheduler with workers: ``Client(cluster.address)``.

    `workers` holds the pids of what was started: the workers, or their nannies.
    """

    address: str
    scheduler: int
    workers: tuple[int, ...]
    processes: Processes

    def pids(self) -> dict[str, int]:
        """Pid of the process that runs the tasks, by worker address."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return client.run(os.getpid)


@contextmanager
def dask(folder: Path, workers: int = 2, threads: int = 4, nanny: bool = False) -> Iterator[Dask]:
    """``dask scheduler`` and as many ``dask worker`` with `threads` threads each."""
    program = [sys.executable, "-m", "dask"]
    common = ["--host", LOOPBACK, "--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"]
    with _processes(folder) as processes:
        file = folder / "scheduler.json"
        place = ["--port", "0", "--scheduler-file", str(file)]
        scheduler = processes.start("scheduler", [*program, "scheduler", *common, *place])
        processes.wait_for("scheduler", r"Scheduler at: +tcp://")
        wait_until(lambda: file.exists() and file.read_text().endswith("}"), f"{file}")
        address = json.loads(file.read_text())["address"]
        size = ["--nthreads", str(threads), "--nanny" if nanny else "--no-nanny"]
        names = [f"worker-{i}" for i in range(workers)]
        pids = [
            processes.start(
                n, [*program, "worker", address, *common, *size, "--local-directory", str(folder)]
            )
            for n in names
        ]
        for name in names:
            processes.wait_for(name, r"Registered to: +tcp://")
        yield Dask(address, scheduler, tuple(pids), processes)


@dataclass(frozen=True)
class Spark:
    """A standalone Spark master with workers: ``SparkSession.builder.master(cluster.url)``.

    A session that uses it runs with SPARK_LOCAL_IP=127.0.0.1 and PYSPARK_PYTHON=sys.executable
    in its environment.
    """

    url: str
    master: int
    workers: tuple[int, ...]
    processes: Processes

    def executors(self, application: str = "") -> list[int]:
        """Pids of the executor JVMs of an application (``sc.applicationId``), or of all."""
        found = []
        for pid in self.processes.members():
            with suppress(psutil.NoSuchProcess):
                line = psutil.Process(pid).cmdline()
                if any("CoarseGrainedExecutorBackend" in word for word in line) and (
                    not application or application in line
                ):
                    found.append(pid)
        return found

    def python_workers(self, application: str = "") -> list[int]:
        """Pids of the Python processes that run the executors' tasks, without their daemons."""
        found = []
        for executor in self.executors(application):
            with suppress(psutil.NoSuchProcess):
                for daemon in psutil.Process(executor).children():
                    found += [child.pid for child in daemon.children()]
        return found


def java() -> str:
    """The Java that Spark's scripts take; RuntimeError saying what to install if there is none."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home, "bin", "java")) if home else "java"
    found = shutil.which(program)
    if found is None:
        raise RuntimeError(NO_JAVA)
    return found


def java_or_skip() -> str:
    """The same for a test, which is skipped if there is none."""
    import pytest

    try:
        return java()
    except RuntimeError as error:
        pytest.skip(str(error))


@contextmanager
def spark(folder: Path, workers: int = 2, cores: int = 4, memory: str = "2g") -> Iterator[Spark]:
    """Master and workers of the installed pyspark, `cores` and `memory` for each worker."""
    java()
    package = find_spec("pyspark")
    assert package is not None, "pip install 'gapcast[spark]'"
    assert package.origin is not None
    home = Path(package.origin).parent
    env = {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": LOOPBACK,
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    }
    program = [str(home / "bin" / "spark-class")]
    place = ["--host", LOOPBACK, "--port", "0", "--webui-port", "0"]
    with _processes(folder) as processes:
        role = "org.apache.spark.deploy.master.Master"
        master = processes.start("master", [*program, role, *place], env)
        url = processes.wait_for("master", r"Starting Spark master at (spark://\S+)")[1]
        role = "org.apache.spark.deploy.worker.Worker"
        size = ["--cores", str(cores), "--memory", memory, "--work-dir", str(folder / "work")]
        names = [f"worker-{i}" for i in range(workers)]
        pids = [processes.start(n, [*program, role, *place, *size, url], env) for n in names]
        for name in names:
            processes.wait_for(name, "Successfully registered with master")
        yield Spark(url, master, tuple(pids), processes)


def main() -> None:
    """Bring a cluster up, say where it is, hold it until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kind", choices=("dask", "spark"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4, help="threads or cores of a worker")
    parser.add_argument("--nanny", action="store_true", help="restart Dask workers that die")
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with suppress(KeyboardInterrupt):
        if wanted.kind == "dask":
            with dask(folder, wanted.workers, wanted.threads, wanted.nanny) as d:
                print(f"{d.address}\nworkers {d.pids()}\nlogs in {folder}", flush=True)
                signal.pause()
        else:
            with spark(folder, wanted.workers, wanted.threads) as s:
                print(f"{s.url}\nworkers {s.workers}\nlogs in {folder}", flush=True)
                signal.pause()


if __name__ == "__main__":
    main()
