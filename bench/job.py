"""Whole jobs: a Parquet file of readings in, scored forecasts in Parquet out, one model.

    python bench/job.py [--readings 6000000] [--sensors 1000] [--repeats 3]

Beside ours, in the same run and on the same file: Bytewax's `stateful_map` with one padasip
FilterRLS a key, which neither grids, scores nor writes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import machine
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gapcast import read_config, run

STEP = 1_800_000_000
START = 1_078_099_200_000_000


def write_readings(path: Path, sensors: int, steps: int) -> None:
    """Long Parquet: time, sensor, quantity, value; daily waves and noise, 1 % missing."""
    rng = np.random.default_rng(0)
    names = pa.array([f"s{i}" for i in range(sensors)])
    writer = None
    for first in range(0, steps, 256):
        t = np.arange(first, min(first + 256, steps))
        wave = 20 + 4 * np.sin(2 * np.pi * t[:, None] / 48 + np.arange(sensors) % 7 / 9)
        value = wave + rng.normal(0, 0.3, wave.shape)
        keep = rng.random(value.size) > 0.01
        sensor = np.tile(np.arange(sensors, dtype=np.int32), len(t))[keep]
        table = pa.table(
            {
                "time": pa.array(np.repeat(START + t * STEP, sensors)[keep]).cast(
                    pa.timestamp("us", tz="UTC")
                ),
                "sensor": pa.DictionaryArray.from_arrays(pa.array(sensor), names),
                "quantity": pa.DictionaryArray.from_arrays(
                    pa.array(np.zeros(len(sensor), np.int32)), pa.array(["temperature"])
                ),
                "value": np.round(value.ravel()[keep], 2),
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def job(path: Path, model: dict[str, object], positions: Path, folder: Path) -> tuple[int, float]:
    """Run one job; returns readings and seconds from the call to the last file."""
    config = read_config(
        {
            "name": "bench",
            "source": {"type": "replay", "path": str(path), "format": "parquet"},
            "grid": {"interval": "30min"},
            "network": {"positions": str(positions)},
            "targets": {"sensors": "all", "quantities": ["temperature"]},
            "models": {"model": model},
        }
    )
    began = time.perf_counter()
    result = run(config, folder)
    return result.counts.read, time.perf_counter() - began


def bytewax(path: Path, rows: int) -> tuple[int, float]:
    """Bytewax with a padasip RLS of 10 lags a key over the first `rows` readings."""
    import bytewax.operators as op
    import padasip as pa_filters
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    table = pq.read_table(path, columns=["sensor", "value"]).slice(0, rows)
    pairs = list(zip(table["sensor"].to_pylist(), table["value"].to_pylist(), strict=True))

    def step(state, value):
        if state is None:
            state = (pa_filters.filters.FilterRLS(n=11, mu=0.99), np.zeros(11))
        model, lags = state
        forecast = model.predict(lags)
        model.adapt(value, lags)
        lags[1:] = lags[:-1].copy()
        lags[0] = value
        return state, forecast

    flow = Dataflow("peer")
    stream = op.input("in", flow, TestingSource(pairs, batch_size=1000))
    out: list[object] = []
    op.output("out", op.stateful_map("rls", stream, step), TestingSink(out))
    began = time.perf_counter()
    run_main(flow)
    return len(out), time.perf_counter() - began


MODELS: dict[str, dict[str, object]] = {
    "rls, p = 11": {"type": "rls", "lags": 5},
    "spatial-rls, 10 nearest": {"type": "spatial-rls", "neighbours": {"nearest": 10}},
    "seasonal": {"type": "seasonal"},
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=6_000_000)
    parser.add_argument("--sensors", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-readings", type=int, default=100_000)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, positions = Path(folder) / "readings.parquet", Path(folder) / "positions.txt"
        write_readings(path, options.sensors, options.readings // options.sensors)
        side = int(options.sensors**0.5) + 1
        lines = [f"s{i} {i % side * 5} {i // side * 5}" for i in range(options.sensors)]
        positions.write_text("\n".join(lines))
        for repeat in range(options.repeats + 1):
            for name, model in MODELS.items():
                read, seconds = job(path, model, positions, Path(folder) / f"{name}-{repeat}")
                if repeat:
                    rates.setdefault(name, []).append(read / seconds)
            if repeat:
                read, seconds = bytewax(path, options.peer_readings)
                rates.setdefault("bytewax stateful_map + padasip, 11 lags", []).append(
                    read / seconds
                )
    peer = median(rates["bytewax stateful_map + padasip, 11 lags"])
    rows: list[dict[str, object]] = [
        {
            "job": name,
            **machine.rates(of),
            "x bytewax": median(of) / peer,
        }
        for name, of in rates.items()
    ]
    facts = machine.describe("bytewax", "padasip")
    title = (
        f"Parquet in, forecasts and scores in Parquet out: {options.readings:,} readings of "
        f"{options.sensors:,} series, median of {options.repeats} runs after one warm-up"
    )
    machine.print_table(title, facts, rows)
    machine.save("job", facts, rows)


if __name__ == "__main__":
    main()
