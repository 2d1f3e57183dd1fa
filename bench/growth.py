"""What a reading costs as the network grows, and what memory a network takes.

    python bench/growth.py [--most 1000000]

Each size runs in a process of its own, `rls` with p = 11, Parquet in and out, twice: once over a
few steps and once over as many more as make `--readings`. The cost of a reading is the difference,
so that what is paid once a series (finding it, its scores) is shown apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import machine

CHILD = """
import json, resource, sys, time
from pathlib import Path
from gapcast import read_config, run
path, folder = sys.argv[1:]
config = read_config({
    "name": "growth",
    "source": {"type": "replay", "path": path, "format": "parquet"},
    "grid": {"interval": "30min"},
    "targets": {"sensors": "all", "quantities": ["temperature"]},
    "models": {"rls": {"type": "rls", "lags": 5}},
})
began = time.perf_counter()
result = run(config, Path(folder))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps([result.counts.read, time.perf_counter() - began, peak]))
"""


def measure(sensors: int, steps: int, folder: Path) -> tuple[int, float, float]:
    """Readings, seconds and peak memory (GiB) of one job in its own process."""
    from job import write_readings

    path = folder / f"{sensors}-{steps}.parquet"
    write_readings(path, sensors, steps)
    out = folder / f"out-{sensors}-{steps}"
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(out)], check=True, stdout=subprocess.PIPE
    )
    path.unlink()
    read, seconds, peak = json.loads(done.stdout)
    return read, seconds, peak


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=8_000_000)
    parser.add_argument("--most", type=int, default=1_000_000)
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    sensors = 1000
    with tempfile.TemporaryDirectory() as folder:
        measure(100, 50, Path(folder))  # compiles
        while sensors <= options.most:
            few = 2
            many = few + max(4, options.readings // sensors)
            read, seconds, _ = measure(sensors, few, Path(folder))
            more_read, more_seconds, peak = measure(sensors, many, Path(folder))
            cost = (more_seconds - seconds) / (more_read - read)
            rows.append(
                {
                    "series": sensors,
                    "steps": many,
                    "ns a reading": cost * 1e9,
                    "readings/s": 1 / cost,
                    "seconds paid once": seconds,
                    "peak GiB": peak,
                }
            )
            sensors *= 10
    facts = machine.describe()
    machine.print_table("Cost of a reading and memory against series, rls p = 11", facts, rows)
    machine.save("growth", facts, rows)


if __name__ == "__main__":
    main()
