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
from gapcast.engine.checkpoint import format as checkpoint  # noqa: E402
from gapcast.engine.output import epochs as outlet  # noqa: E402
from gapcast.engine.run import loop as flow  # noqa: E402


def main() -> None:
    """Run, and print one JSON line."""
    path, run_dir, resume = sys.argv[1], Path(sys.argv[2]), "--resume" in sys.argv
    found: dict[str, float] = {}
    write, settle, add = checkpoint.write, flow.Flow._checkpoint, outlet.Outlet.add
    stop = []

    def timed_write(*args: object, **more: object) -> object:
        began = time.perf_counter()
        written = write(*args, **more)
        found["checkpoint written, s"] = time.perf_counter() - began
        stop.append(True)
        return written

    def timed_checkpoint(self: flow.Flow, shards: object) -> None:
        began = time.perf_counter()
        settle(self, shards)
        found.setdefault("run stood still, s", time.perf_counter() - began)

    def timed_add(self: outlet.Outlet, result: object) -> None:
        found.setdefault("process up to first forecast, s", time.perf_counter() - UP)
        add(self, result)
        if stop and not resume:
            the_flow[0].job.stopping.set()

    the_flow: list[flow.Flow] = []
    enter = flow.Flow.__enter__
    flow.Flow.__enter__ = lambda self: (the_flow.append(self), enter(self))[1]
    checkpoint.write, flow.Flow._checkpoint = timed_write, timed_checkpoint
    outlet.Outlet.add = timed_add
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
