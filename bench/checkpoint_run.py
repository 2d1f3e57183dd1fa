"""One life of a run over many series, for bench/backends.py: prints what its checkpoint cost.

    python bench/checkpoint_run.py READINGS.parquet RUN_DIR [--resume]

Without --resume the run is stopped after its first checkpoint was written beside it; with it, it
goes on and the time to the first forecast after the process is up is printed.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

UP = time.perf_counter()

from gapcast import read_config, run  # noqa: E402
from gapcast.engine.checkpoint import schedule  # noqa: E402
from gapcast.engine.output.epochs import Epochs  # noqa: E402
from gapcast.engine.run import loop  # noqa: E402


def main() -> None:
    """Run, and print one JSON line."""
    path, run_dir, resume = sys.argv[1], Path(sys.argv[2]), "--resume" in sys.argv
    found: dict[str, float] = {}
    write, checkpoint, add, carry = schedule.write, loop._checkpoint, Epochs.add, loop._follow
    written: list[bool] = []
    jobs: list[loop.Job] = []

    def timed_write(*args: object, **more: object) -> object:
        began = time.perf_counter()
        place = write(*args, **more)
        found["checkpoint written, s"] = time.perf_counter() - began
        written.append(True)
        return place

    def timed_checkpoint(*args: object, **more: object) -> None:
        began = time.perf_counter()
        checkpoint(*args, **more)
        found.setdefault("run stood still, s", time.perf_counter() - began)

    def timed_add(self: Epochs, result: object) -> None:
        found.setdefault("process up to first forecast, s", time.perf_counter() - UP)
        add(self, result)
        if written and not resume:
            jobs[0].stopping.set()

    def noted(job: loop.Job, *rest: object) -> bool:
        jobs.append(job)
        return carry(job, *rest)

    schedule.write, loop._checkpoint, loop._follow = timed_write, timed_checkpoint, noted
    Epochs.add = timed_add
    config = {
        "name": "bench",
        "source": {"type": "replay", "path": path, "format": "parquet"},
        "grid": {"interval": "30min"},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "models": {"model": {"type": "rls", "lags": 5}},
        "checkpoint": {"interval": "1h" if resume else "2s"},
        "backend": {"type": "local", "threads": 2},
    }
    run(read_config(config), run_dir, resume=resume)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    name = "resume: " if resume else ""
    print(json.dumps({name + k: v for k, v in found.items()} | {name + "peak memory, GiB": peak}))


if __name__ == "__main__":
    main()
