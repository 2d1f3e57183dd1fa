"""One job on the three backends, beside the naive ways; checkpoints; memory over many batches.

    python bench/backends.py [--readings 6000000] [--sensors 1000] [--repeats 3] [--only PART]
                             [--before FOLDER]

PART is one of speed, curve, naive, checkpoint, memory, share. FOLDER holds another commit's
``gapcast/``, as ``build/ns`` does after ``make lint``; share runs it beside this one. Rates are
from the first read to the last write: the start of a cluster is not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import job as jobs
import machine
import naive_dask
import naive_spark
import numpy as np
import psutil

from gapcast import read_config, run
from gapcast.engine.run.loop import RunResult

BACKENDS: dict[str, dict[str, object]] = {
    "local, 2 threads": {"type": "local", "threads": 2},
    "dask, 2 workers x 1 thread": {"type": "dask", "workers": 2, "threads": 1},
    "dask, 2 workers x 4 threads": {"type": "dask", "workers": 2, "threads": 4},
    "spark, local[2]": {"type": "spark", "master": "local[2]"},
}


def once(
    path: Path,
    folder: Path,
    backend: dict[str, object],
    look: Callable[[str], None] = lambda at: None,
    **more: object,
) -> RunResult:
    """One run of rls with p = 11 over a file, forecasts and scores into Parquet."""
    config = {
        "name": "bench",
        "source": {"type": "replay", "path": str(path), "format": "parquet"},
        "grid": {"interval": "30min"},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "models": {"model": {"type": "rls", "lags": 5}},
        "sinks": {"files": {"type": "files"}},
        "backend": backend,
    }
    return run(read_config(config | more), folder, look)


def speed(folder: Path, readings: int, sensors: int, repeats: int) -> list[dict[str, object]]:
    """Readings a second of each backend, side by side, after one round to warm up."""
    path = folder / f"readings-{sensors}.parquet"
    jobs.write_readings(path, sensors, max(4, readings // sensors))
    rates: dict[str, list[float]] = {name: [] for name in BACKENDS}
    for repeat in range(repeats + 1):
        for i, (name, backend) in enumerate(BACKENDS.items()):
            result = once(path, folder / f"{sensors}-{repeat}-{i}", backend)
            if repeat:
                rates[name].append(result.counts.read / result.seconds)
    path.unlink()
    local = median(rates["local, 2 threads"])
    return [
        {
            "backend": name,
            "series": sensors,
            **machine.rates(of),
            "x local": median(of) / local,
        }
        for name, of in rates.items()
    ]


def share(
    folder: Path, readings: int, sensors: int, repeats: int, before: str
) -> list[dict[str, object]]:
    """What of the CPU time of a job on Dask, two workers of one thread, the driver spends."""
    path = folder / "shared.parquet"
    jobs.write_readings(path, sensors, max(4, readings // sensors))
    script = Path(__file__).with_name("share.py")
    found: dict[str, list[dict[str, float]]] = {}
    for repeat in range(repeats):
        for name, where in {"before": before, "this": ""}.items():
            if name == "before" and not before:
                continue
            done = subprocess.run(
                [sys.executable, str(script), str(path), str(folder / f"{name}-{repeat}")],
                capture_output=True, text=True, check=True,
                env=os.environ | ({"PYTHONPATH": where} if where else {}),
            )  # fmt: skip
            found.setdefault(name, []).append(json.loads(done.stdout.splitlines()[-1]))
    path.unlink()
    return [
        {"commit": name} | {key: median(one[key] for one in of) for key in of[0]}
        for name, of in found.items()
    ]


def peers() -> list[dict[str, object]]:
    """The naive ways, in the same minutes."""
    return [
        {
            "peer": "streamz + Dask, a task a reading",
            "readings/s": naive_dask.readings_per_second(),
        },
        {
            "peer": "applyInPandasWithState, NumPy loop, local[2]",
            "readings/s": naive_spark.readings_per_second(),
        },
    ]


def checkpoints(folder: Path, sensors: int = 1_000_000) -> list[dict[str, object]]:
    """A checkpoint of many series: time to write it, how long the run stood, time to resume."""
    script = Path(__file__).with_name("checkpoint_run.py")
    path, run_dir = folder / "many.parquet", folder / "many"
    jobs.write_readings(path, sensors, 8)
    rows: list[dict[str, object]] = []
    for resume in (False, True):
        done = subprocess.run(
            [sys.executable, str(script), str(path), str(run_dir), *(["--resume"] * resume)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows += [
            {"what": k, "value": v} for k, v in json.loads(done.stdout.splitlines()[-1]).items()
        ]
    return rows


def memory(folder: Path, batches: int = 10_000) -> list[dict[str, object]]:
    """Growth of driver and workers per 1,000 batches, fitted over the second half of a run."""
    sensors, rows = 50, []
    path = folder / "long.parquet"
    jobs.write_readings(path, sensors, batches)
    for name, backend in BACKENDS.items():
        if name == "dask, 2 workers x 4 threads":
            continue
        seen: list[tuple[float, float, float]] = []

        def look(at: str, seen: list[tuple[float, float, float]] = seen) -> None:
            if "readings (" not in at:
                return
            done = float(at.split(" readings")[0].split()[-1].replace(",", "")) / sensors
            children = sum(rss(p) for p in psutil.Process().children(recursive=True))
            seen.append((done, psutil.Process().memory_info().rss, children))

        config = backend | {"batch": sensors}
        where = folder / f"memory-{len(rows)}"
        once(path, where, config, look, checkpoint={"interval": "5s"})
        late = np.array([s for s in seen if s[0] > batches / 2])
        slopes = [np.polyfit(late[:, 0], late[:, i], 1)[0] * 1000 / 2**20 for i in (1, 2)]
        rows.append(
            {
                "backend": name,
                "batches": batches,
                "driver MiB": late[-1, 1] / 2**20,
                "driver MiB/1,000": slopes[0],
                "workers MiB": late[-1, 2] / 2**20,
                "workers MiB/1,000": slopes[1],
            }
        )
    return rows


def rss(process: psutil.Process) -> int:
    """Resident memory, 0 for a process that has just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=6_000_000)
    parser.add_argument("--sensors", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--before", default="")
    options = parser.parse_args()
    facts = machine.describe("distributed", "streamz", "pyspark")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        parts = {
            "speed": lambda: speed(folder, options.readings, options.sensors, options.repeats),
            "naive": peers,
            "curve": lambda: [
                row for n in (100, 10_000, 100_000) for row in speed(folder, options.readings, n, 1)
            ],
            "checkpoint": lambda: checkpoints(folder),
            "memory": lambda: memory(folder),
            "share": lambda: share(
                folder, options.readings, options.sensors, options.repeats, options.before
            ),
        }
        for part, measure in parts.items():
            if options.only in ("", part):
                rows = measure()
                title = f"{part} (after {time.perf_counter() - began:,.0f} s)"
                machine.print_table(title, facts, rows)
                machine.save(f"backends-{part}", facts, rows)


if __name__ == "__main__":
    main()
