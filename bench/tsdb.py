"""Points stored and confirmed a second: the sink `opentsdb`, and a bare loop posting its bodies.

python bench/tsdb.py [--rows 40000] [--repeats 7]

HBase and OpenTSDB run on this machine and share its cores with what is measured. The loop has the
bodies ready, compressed, and as many connections as the sink, which makes its bodies anew each
time. Both rewrite the same points; they take turns, and ratios are of neighbours.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import machine
import numpy as np
import pyarrow as pa
import requests

from gapcast.engine.sink import FORECASTS, Committed, JobInfo
from gapcast.plugins.sinks.opentsdb import OpenTsdbSink
from gapcast.plugins.sinks.opentsdb_points import bodies

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from services.hbase import Hbase
from services.opentsdb import OpenTsdb

SENSORS, MODELS = 54, 5


def table(rows: int) -> pa.Table:
    """Forecasts with bounds and truth of `SENSORS` by `MODELS`, every half hour."""
    rng, i = np.random.default_rng(1), np.arange(rows)
    times = 1_078_099_200 + i // (SENSORS * MODELS) * 1800
    names = {
        "sensor": (i % SENSORS, [str(s) for s in range(SENSORS)]),
        "model": (i // SENSORS % MODELS, [f"model-{m}" for m in range(MODELS)]),
        "quantity": (i * 0, ["temperature"]),
        "status": (i * 0, ["observed"]),
    }
    columns = {
        name: pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words))
        for name, (codes, words) in names.items()
    }
    columns |= {n: pa.array(rng.normal(20, 5, rows)) for n in ("forecast", "lower", "upper")}
    truth = rng.normal(20, 5, (rows // (SENSORS * MODELS) + 1, 1, SENSORS))
    columns["truth"] = pa.array(np.repeat(truth, MODELS, axis=1).ravel()[:rows])
    columns["time"] = pa.array(times * 1_000_000)
    columns |= {"horizon": pa.array(i * 0), "gap_age": pa.array(i * 0 + 1)}
    columns |= {n: pa.nulls(rows) for n in ("regressors", "experts", "flag")}
    return pa.table([columns[f.name].cast(f.type) for f in FORECASTS], schema=FORECASTS)


def bare(url: str, contents: list[bytes], connections: int) -> None:
    """Post all, each connection taking the next."""
    waiting: Iterator[bytes] = iter(contents)

    def post() -> None:
        with requests.Session() as session:
            session.trust_env = False
            for content in waiting:
                answer = session.post(
                    f"{url}/api/put?details=true&sync=true",
                    data=content,
                    headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
                    timeout=60,
                )
                answer.raise_for_status()

    with ThreadPoolExecutor(connections) as pool:
        for done in [pool.submit(post) for _ in range(connections)]:
            done.result()


def measure(url: str, rows: int, repeats: int) -> list[dict[str, object]]:
    """Rates of the loop and the sink in turn, after one round that makes the names known."""
    forecasts = table(rows)
    sink = OpenTsdbSink(OpenTsdbSink.Params(url=url))
    sink.open(JobInfo("bench", Path(), 1_800_000_000, ("m",), SENSORS, ("observed",)), "bench")
    made = list(bodies(sink._layout, forecasts, [], sink.params.bytes))
    points = sum(map(len, made))
    contents = [gzip.compress(body.json(), 1) for body in made]
    rates: dict[str, list[float]] = {"bare loop": [], "sink": []}
    for epoch in range(repeats + 1):
        began = time.perf_counter()
        bare(url, contents, sink.params.connections)
        middle = time.perf_counter()
        while not isinstance(sink.write(epoch, forecasts), Committed):
            pass
        if epoch:
            rates["bare loop"].append(points / (middle - began))
            rates["sink"].append(points / (time.perf_counter() - middle))
    sink.close()
    ratio = median(s / b for b, s in zip(*rates.values(), strict=True))
    return [
        {
            "what": name,
            "points": points,
            "points/s": round(median(of)),
            "lowest": round(min(of)),
            "highest": round(max(of)),
            "x bare loop": round(ratio, 3) if name == "sink" else 1.0,
        }
        for name, of in rates.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hbase = Hbase(Path(folder) / "hbase")
        with hbase, OpenTsdb(Path(folder) / "tsd", hbase) as tsdb:
            rows = measure(tsdb.url, options.rows, options.repeats)
    facts = machine.describe("requests")
    machine.print_table("Points stored and confirmed by OpenTSDB", facts, rows)
    machine.save("tsdb", facts, rows)


if __name__ == "__main__":
    main()
