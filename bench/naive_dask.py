"""How Dask with streamz is commonly written: one task a reading, all filters in one state.

    python bench/naive_dask.py [--readings 1000] [--sensors 100]

streamz's `accumulate` on a DaskStream chains a task for every reading. Prints readings a second.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import naive


def learn(
    filters: dict[int, naive.Filter], reading: tuple[int, float]
) -> tuple[dict[int, naive.Filter], float]:
    """One reading: the state after it and its forecast."""
    sensor, value = reading
    return filters, filters.setdefault(sensor, naive.Filter()).step(value)


def readings_per_second(readings: int = 1000, sensors: int = 100) -> float:
    """Readings through `scatter().accumulate().gather()` on two workers, by the wall clock."""
    from distributed import Client, LocalCluster
    from streamz import Stream

    rows = [
        (sensor, float(value))
        for step in naive.values(-(-readings // sensors), sensors)
        for sensor, value in enumerate(step)
    ]
    size = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**size) as cluster, Client(cluster) as client:
        for file in (naive.__file__, __file__):
            client.upload_file(str(Path(file)))
        source = Stream()
        forecasts: list[float] = []
        stream = source.scatter().accumulate(learn, start={}, returns_state=True)
        stream.buffer(100).gather().sink(forecasts.append)
        began = time.perf_counter()
        for row in rows[:readings]:
            source.emit(row)
        while len(forecasts) < readings:
            time.sleep(0.001)
        return readings / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=1000)
    parser.add_argument("--sensors", type=int, default=100)
    wanted = parser.parse_args()
    print(f"{readings_per_second(wanted.readings, wanted.sensors):,.0f} readings/s")


if __name__ == "__main__":
    main()
