"""Readings a second that ``gapcast.Stream`` takes in small pushes, beside a run of the same ones.

    python bench/stream.py [--sensors 100] [--steps 400] [--each 10] [--push 100] [--repeats 5]

Every sensor has a reading a second, and a step has `each` of them a sensor. What is pushed is made
before the clock starts, in each kind of container; the stream is warm. The run reads the same
readings from a Parquet file, on one thread and on all, and writes its rows as Parquet; its time is
from the first read to the last write. Kinds take turns within each repeat, and the table has
medians. `cpu` is processor time of this process, which is what counts on a machine with other work.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import machine
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import gapcast
from gapcast import read_config, run

SECOND = 1_000_000
BEGIN = 1_704_067_200 * SECOND  # 2024-01-01
WARM = 5
"""Steps before the clock starts."""
Timed = tuple[float, float]  # seconds by the clock, of the processor

CONTAINERS: dict[str, Callable[[pa.Table], object]] = {
    "Arrow": lambda table: table,
    "pandas": lambda table: table.to_pandas(),
    "polars": lambda table: pl.from_arrow(table),
    "mappings": lambda table: table.to_pylist(),
}


def readings(sensors: int, seconds: int) -> pa.Table:
    """A reading a second of each sensor, in order of time."""
    rng = np.random.default_rng(0)
    times = np.repeat(BEGIN + SECOND * np.arange(seconds), sensors)
    names = pa.array([f"s{n}" for n in range(sensors)])
    codes = pa.array(np.tile(np.arange(sensors, dtype=np.int32), seconds))
    values = 20 + np.sin(np.arange(len(times)) / 5000) + rng.normal(0, 0.1, len(times))
    quantity = pa.DictionaryArray.from_arrays(np.zeros(len(times), np.int32), pa.array(["t"]))
    columns = [
        pa.array(times).cast(pa.timestamp("us", "UTC")),
        pa.DictionaryArray.from_arrays(codes, names),
        quantity,
        pa.array(values),
    ]
    return pa.table(columns, ["time", "sensor", "quantity", "value"])


def config(model: str, interval: int) -> dict[str, object]:
    """What stream and run have in common."""
    return {
        "name": "stream",
        "grid": {"interval": f"{interval}s"},
        "targets": {"quantities": ["t"]},
        "models": {model: {"type": model}},
    }


def pushed(table: pa.Table, model: str, args: argparse.Namespace, kind: str) -> Timed:
    """One go through a stream."""
    warm = WARM * args.each * args.sensors
    common = config(model, args.each)
    common["source"] = {"type": "replay", "path": "none.parquet"}
    series = [(f"s{n}", "t") for n in range(args.sensors)]
    stream = gapcast.Stream.from_config(read_config(common), series)
    stream.push(table.slice(0, warm))
    made = CONTAINERS[kind]
    pushes = [made(table.slice(i, args.push)) for i in range(warm, len(table), args.push)]
    began, busy = time.perf_counter(), time.process_time()
    for push in pushes:
        stream.push(push)
    stream.close()
    return time.perf_counter() - began, time.process_time() - busy


def ran(path: Path, model: str, args: argparse.Namespace, threads: int | None) -> Timed:
    """One run of the same readings."""
    common = config(model, args.each)
    common["source"] = {"type": "replay", "path": str(path)}
    common["backend"] = {"type": "local"} | ({"threads": threads} if threads else {})
    with tempfile.TemporaryDirectory() as folder:
        busy = time.process_time()
        result = run(read_config(common), Path(folder) / "run", lambda _: None)
        return result.seconds, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=100)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--each", type=int, default=10, help="readings of a sensor in a step")
    parser.add_argument("--push", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["auto", "persistence"])
    args = parser.parse_args()
    table = readings(args.sensors, (WARM + args.steps) * args.each)
    count = args.sensors * args.steps * args.each
    found: dict[tuple[str, str], list[Timed]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "readings.parquet"
        pq.write_table(table, path)
        for repeat in range(args.repeats + 1):  # the first one compiles, and does not count
            for model in args.models:
                goes = {kind: pushed(table, model, args, kind) for kind in CONTAINERS}
                goes["run, 1 thread"] = ran(path, model, args, 1)
                goes["run"] = ran(path, model, args, None)
                for kind, timed in goes.items() if repeat else ():
                    found.setdefault((model, kind), []).append(timed)
    rows = []
    for (model, kind), goes in found.items():
        of_run = kind.startswith("run")
        clock, busy = (median(times) for times in zip(*goes, strict=True))
        all_ = len(table) if of_run else count
        row = {"what": f"{model}, {kind}" if of_run else f"{model}, pushes of {args.push}, {kind}"}
        row |= machine.rates([all_ / seconds for seconds, _ in goes])
        if not of_run:
            row |= {"µs a push": clock / count * args.push * 1e6}
            row |= {"cpu µs a push": busy / count * args.push * 1e6}
        rows.append(row)
    facts = machine.describe("pandas", "polars", "narwhals") | {
        "sensors": str(args.sensors), "readings": f"{count:,}", "steps": str(args.steps),
        "repeats": str(args.repeats),
    }  # fmt: skip
    machine.print_table("Stream", facts, rows)
    machine.save("stream", facts, rows)


if __name__ == "__main__":
    main()
