"""Kill a run with SIGKILL at random operations on its files, again and again, then compare.

    python tests/faults/rounds.py FOLDER ROUNDS SEED

Forks a child a life from a process in which everything is imported and compiled. Every life runs
on a backend that chance chooses: in this process, on a Dask cluster that runs beside, now and
then on Spark. Some lives are not killed but lose a Dask worker. Prints one JSON line a round: how
many times it was killed, how many workers it lost, where it ran, and what differs from the run
never killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import clusters
import distributed  # noqa: F401 - before the first fork
import psutil
import streamz.dask  # noqa: F401
from faults.life import OFTEN, at_operation, config, die, left_behind, set_stage

from gapcast import read_config, run

SPARK_EVERY = 15
"""One round of so many has a life on Spark, which takes longer to start than all others to run."""


def live(folder: Path, written: dict[str, object], moment: int, act: Callable[[], None]) -> int:
    """One life of a run in a child that does `act` at its n-th file operation; the status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    at_operation(folder, moment, act)
    try:
        resume = (folder / "manifest.json").exists()
        run(read_config(written), folder, resume=resume, bounds=OFTEN)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def workers(cluster: clusters.Dask) -> list[int]:
    """Pids of the processes that hold shards; their nannies start others when they die."""
    found = []
    for nanny in cluster.workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            of = psutil.Process(nanny).children()
            found += [p.pid for p in of if "spawn_main" in " ".join(p.cmdline())]
    return found


class Round:
    """One run, from its first life to its end."""

    def __init__(
        self, folder: Path, chance: random.Random, cluster: clusters.Dask, joint: bool
    ) -> None:
        self.folder, self.chance, self.cluster, self.joint = folder, chance, cluster, joint
        self.kills = self.lost = 0
        self.ran: list[str] = []
        self.failed = 0

    def backend(self, spark: bool) -> dict[str, object]:
        """Where the next life runs."""
        kind = "spark" if spark else self.chance.choice(("local", "dask"))
        self.ran.append(kind)
        linger = self.chance.choice((0.0, 0.0, 0.2))
        return {
            "local": {"type": "local", "threads": self.chance.randint(1, 3)},
            "dask": {"type": "dask", "address": self.cluster.address, "linger": linger},
            "spark": {"type": "spark", "master": "local[2]", "linger": linger},
        }[kind]

    def go(self, spark: bool) -> int:
        """All lives; the status of the last one."""
        for life in range(self.chance.randint(1, 4)):
            backend = self.backend(spark and life == 0)
            moment = self.chance.randint(0, 700)
            victims = workers(self.cluster)
            if backend["type"] == "dask" and victims and self.chance.random() < 0.4:
                self.lost += 1
                victim = self.chance.choice(victims)
                act = partial(_kill, victim)
                status = live(self.folder, config(backend, self.joint), moment, act)
            else:
                status = live(self.folder, config(backend, self.joint), moment, die)
                self.kills += status == -signal.SIGKILL
            if status != -signal.SIGKILL:
                self.failed += status != 0
                break
        manifest = self.folder / "manifest.json"
        done = manifest.exists() and json.loads(manifest.read_text())["state"] == "complete"
        return 0 if done else self.last()

    def last(self) -> int:
        """A life that nothing ends before its time."""
        return live(self.folder, config(self.backend(False), self.joint), -1, die)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Run the rounds."""
    base, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    set_stage()
    wanted = []
    for joint in (False, True):
        straight = base / f"straight-{joint}"
        one = {"type": "local", "threads": 1}
        run(read_config(config(one, joint)), straight, bounds=OFTEN)
        wanted.append(left_behind(straight))
    chance = random.Random(seed)
    java = bool(shutil.which("java") or os.environ.get("JAVA_HOME"))
    with clusters.dask(base / "cluster", workers=2, threads=2, nanny=True) as cluster:
        for number in range(rounds):
            joint = number % 2 == 1
            this = Round(base / f"round-{number}", chance, cluster, joint)
            status = this.go(java and number % SPARK_EVERY == SPARK_EVERY // 2)
            found = left_behind(this.folder) if status == 0 else {}
            differs = [key for key, of in wanted[joint].items() if found.get(key) != of]
            about = {"kills": this.kills, "lost": this.lost, "ran": this.ran, "failed": this.failed}
            print(json.dumps(about | {"status": status, "differs": differs}), flush=True)


if __name__ == "__main__":
    main()
