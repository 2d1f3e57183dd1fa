"""One job on Dask, and what of its CPU time the driver spends.

    python bench/share.py READINGS.parquet RUN_DIR [WORKERS]

Prints one line of JSON. The time of imports, of the cluster's start and of compiling is left out:
it begins with the first report of progress, after about a second of reading.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil

from backends import once


class Clock:
    """CPU seconds of this process, and of those it started and has waited for, in a run."""

    def __init__(self) -> None:
        self.begun: tuple[float, float] | None = None
        self.readings = 0.0

    def look(self, at: str) -> None:
        """Told how far the run is; begins to count at the first reading."""
        if self.begun is None and "readings (" in at:
            running = sum(_used(child) for child in psutil.Process().children(recursive=True))
            own, ended = _times()
            self.begun = own, ended + running
            self.readings = float(at.split(" readings")[0].split()[-1].replace(",", ""))

    def spent(self) -> tuple[float, float]:
        """Seconds of the driver and of all others since the first reading; these have ended."""
        begun = self.begun or (0.0, 0.0)
        own, ended = _times()
        return own - begun[0], ended - begun[1]


def _times() -> tuple[float, float]:
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    """Run the job."""
    path, folder, *more = sys.argv[1:]
    workers = int(more[0]) if more else 2
    clock = Clock()
    backend = {"type": "dask", "workers": workers, "threads": 1}
    result = once(Path(path), Path(folder), backend, clock.look)
    driver, others = clock.spent()
    print(
        json.dumps(
            {
                "readings/s": result.counts.read / result.seconds,
                "driver s": driver,
                "workers s": others,
                "driver %": 100 * driver / (driver + others),
                "driver us/reading": 1e6 * driver / (result.counts.read - clock.readings),
            }
        )
    )


if __name__ == "__main__":
    main()
