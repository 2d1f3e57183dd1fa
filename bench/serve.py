"""What it costs a run to be watched: throughput with a page open, to throughput without a server.

    python bench/serve.py [--sensors 200] [--steps 5000] [--rounds 3] [--model rls]

A replay as fast as it goes, in turn without and with `serve`; with it, another process does what a
page does: it hears the events and asks for a series after each. A page shares this machine's cores.
The processor's time is that of the run's own process, and less moved by what else goes on here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import machine
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gapcast import read_config
from gapcast.engine.serve.running import run

MINUTE = 60_000_000
BEGIN = 1_704_067_200_000_000


def readings(sensors: int, steps: int, path: Path) -> None:
    """A reading a sensor and minute, one in fifty missing."""
    rng = np.random.default_rng(0)
    step, sensor = np.divmod(np.arange(sensors * steps), sensors)
    there = rng.random(len(step)) > 0.02
    step, sensor = step[there], sensor[there]
    value = 20 + np.sin(step / 300) + sensor % 7 + rng.normal(0, 0.2, len(step))
    table = pa.table(
        {
            "time": pa.array(BEGIN + step * MINUTE, pa.timestamp("us", "UTC")),
            "sensor": pa.DictionaryArray.from_arrays(
                pa.array(sensor.astype(np.int32)), pa.array([str(n) for n in range(sensors)])
            ),
            "quantity": pa.array(["t"] * len(step)).dictionary_encode(),
            "value": value,
        }
    )
    pq.write_table(table, path)


PAGE = """
import sys, urllib.request as web
url = sys.argv[1]
try:
    web.urlopen(url + "api/sensors").read()
    for line in web.urlopen(url + "api/events"):
        if line.startswith(b"data:"):
            web.urlopen(url + "api/series?sensor=7&quantity=t&model=m").read()
except (OSError, ValueError):
    pass
"""
"""What a page does, until the run is gone; by itself, so that it costs no more to start."""


def once(path: Path, folder: Path, model: str, watched: bool) -> dict[str, float]:
    """Seconds by the clock and of the processor."""
    config = {
        "name": "bench",
        "source": {"type": "replay", "path": str(path), "format": "parquet"},
        "grid": {"interval": "1min"},
        "targets": {"quantities": ["t"]},
        "models": {"m": {"type": model}},
        **({"serve": {"port": 0}} if watched else {}),
    }
    pages: list[subprocess.Popen[bytes]] = []

    def told(where: str) -> None:
        pages.append(subprocess.Popen([sys.executable, "-I", "-c", PAGE, where.split()[-1]]))

    cpu = time.process_time()
    result = run(read_config(config), folder, told=told)
    cpu = time.process_time() - cpu
    for one in pages:
        one.wait(30)
    return {"readings/s": result.counts.read / result.seconds, "processor, s": cpu}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    for name, default in (("sensors", 200), ("steps", 5000), ("rounds", 3)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--model", default="rls")
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "readings.parquet"
        readings(asked.sensors, asked.steps, path)
        once(path, Path(folder) / "warm", asked.model, False)
        for i in range(asked.rounds):
            for watched in (False, True) if i % 2 else (True, False):
                run_dir = Path(folder) / f"{i}-{watched}"
                found[watched].append(once(path, run_dir, asked.model, watched))
    rows = [
        {"": "watched" if watched else "alone"}
        | {name: round(median(f[name] for f in of), 3) for name in of[0]}
        for watched, of in found.items()
    ]
    rows.append({"": "ratio"} | {n: round(rows[1][n] / rows[0][n], 3) for n in found[True][0]})
    facts = machine.describe("starlette", "uvicorn")
    machine.print_table(f"{asked.sensors} sensors, {asked.model}", facts, rows)
    if asked.json:
        asked.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
