"""How Spark is commonly written: `applyInPandasWithState` with a NumPy filter a sensor.

    python bench/naive_spark.py [--readings 200000] [--sensors 1000]

Structured Streaming over a folder of Parquet files, one a micro-batch; the state of a sensor is
its filter's arrays as bytes. Prints readings a second, the session's start and the first
micro-batch left out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BATCHES = 6
"""Micro-batches; the first warms up."""
SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def learn(key: tuple[int], frames: Iterator[Any], state: Any) -> Iterator[Any]:
    """One sensor's readings of one micro-batch, in order of time, into forecasts."""
    import pandas as pd

    frame = pd.concat(list(frames)).sort_values("time")
    rls = naive.Filter()
    if state.exists:
        rls.theta, rls.P, rls.past = (np.frombuffer(b).copy() for b in state.get)
        rls.P = rls.P.reshape(len(rls.theta), -1)
    forecast = [rls.step(value) for value in frame["value"]]
    state.update(tuple(a.tobytes() for a in (rls.theta, rls.P, rls.past)))
    yield pd.DataFrame({"time": frame["time"], "sensor": key[0], "forecast": forecast})


def write(folder: Path, readings: int, sensors: int) -> int:
    """One Parquet file a micro-batch; returns the readings of each."""
    steps = -(-readings // (sensors * BATCHES))
    parts = naive.values(steps * BATCHES, sensors).reshape(BATCHES, steps, sensors)
    for i, part in enumerate(parts):
        time_of = np.repeat(np.arange(i * steps, (i + 1) * steps), sensors)
        sensor = np.tile(np.arange(sensors), steps)
        table = pa.table({"time": time_of, "sensor": sensor, "value": part.ravel()})
        pq.write_table(table, folder / f"{i}.parquet")
    return steps * sensors


def readings_per_second(readings: int = 200_000, sensors: int = 1000) -> float:
    """Readings through a query on local[2], from the first micro-batch's end to the last's."""
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.state import GroupStateTimeout

    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    session = SparkSession.builder.master("local[2]").config(map=SETTINGS).getOrCreate()
    session.sparkContext.addPyFile(naive.__file__)
    ends: list[float] = []

    def collect(frame: Any, _epoch: int) -> None:
        frame.collect()
        ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        data.mkdir()
        each = write(data, readings, sensors)
        schema = "time long, sensor long, value double"
        source = session.readStream.schema(schema).option("maxFilesPerTrigger", 1)
        filters = (
            source.parquet(str(data))
            .groupBy("sensor")
            .applyInPandasWithState(
                learn,
                "time long, sensor long, forecast double",
                "theta binary, P binary, past binary",
                "append",
                GroupStateTimeout.NoTimeout,
            )
        )
        query = filters.writeStream.foreachBatch(collect)
        query = query.option("checkpointLocation", str(Path(folder, "checkpoint")))
        query.trigger(availableNow=True).start().awaitTermination()
        session.stop()
    return each * (len(ends) - 1) / (ends[-1] - ends[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=200_000)
    parser.add_argument("--sensors", type=int, default=1000)
    wanted = parser.parse_args()
    print(f"{readings_per_second(wanted.readings, wanted.sensors):,.0f} readings/s")


if __name__ == "__main__":
    main()
