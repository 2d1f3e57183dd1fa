"""From bytes to readings: records a second through `ReplaySource.read`, and through peers.

    python bench/parse.py [--days 3] [--repeats 9]

A simulated log of 54 motes, without faults so that every peer can read it, as text (plain, gzip,
zstd), as a long CSV and as a long Parquet table. Everyone uses one thread and reads temperature
and humidity with their times and motes; files are in the page cache. All contenders of an input
are timed in the same run, one after the other within each repeat; the table shows medians. Arrow's
CSV reader leaves date and time of the log as two columns of text, which is less than ours does;
of the long CSV it makes timestamps. Plain Python reads the first 50,000 records only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from pathlib import Path
from statistics import median

import machine
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from gapcast.engine.data.simulate import Simulation, simulate
from gapcast.plugins.sources.replay import ReplaySource

QUANTITIES = ("temperature", "humidity")
LOG = ["date", "time", "epoch", "moteid", "temperature", "humidity", "light", "voltage"]
LONG = ["time", "sensor", "quantity", "value"]
AT_ONCE = 262_144
SAMPLE = 50_000

Once = Callable[[], int]  # one go; the records it read


def ours(path: Path, form: str, records: int) -> Once:
    """Everything, by `read`, as the engine asks for it."""
    params = ReplaySource.Params(path=str(path), format=form)

    def once() -> int:
        source = ReplaySource(params)
        source.open(QUANTITIES)
        (partition,) = source.partitions()
        position, ended = None, False
        while not ended:
            read = source.read(partition, position, AT_ONCE)
            position, ended = read.position, read.ended
        return records

    return once


def arrow_csv(path: Path, delimiter: str, columns: list[str], header: bool) -> Once:
    """Arrow's CSV reader, one thread, the columns needed."""
    wanted = [c for c in columns if c not in ("epoch", "light", "voltage")]
    names = pa.dictionary(pa.int32(), pa.string())
    types = {"sensor": names, "quantity": names, "moteid": names, "value": pa.float64()}
    types |= {"date": pa.string(), "time": pa.timestamp("us", "UTC") if header else pa.string()}

    def once() -> int:
        table = pc.read_csv(
            path,
            pc.ReadOptions(column_names=None if header else columns, use_threads=False),
            pc.ParseOptions(delimiter=delimiter),
            pc.ConvertOptions(include_columns=wanted, column_types=types),
        )
        return len(table)

    return once


def arrow_parquet(path: Path) -> Once:
    """Arrow's Parquet reader, one thread, names as dictionaries; no row is looked at."""
    return lambda: len(
        pq.ParquetFile(path, read_dictionary=["sensor", "quantity"]).read(use_threads=False)
    )


def python_log(path: Path) -> Once:
    """`str.split`, `float` and `datetime.fromisoformat` on each line."""

    def once() -> int:
        readings = []
        with open(path) as lines:
            for line in islice(lines, SAMPLE):
                date, clock, _, mote, *values = line.split(" ")
                moment = datetime.fromisoformat(f"{date}T{clock.ljust(15, '0')[:15]}")
                for quantity, value in zip(QUANTITIES, values, strict=False):
                    readings.append((moment, mote, quantity, float(value)))
        return SAMPLE

    return once


def python_csv(path: Path) -> Once:
    """The same of a long CSV."""

    def once() -> int:
        readings = []
        with open(path) as lines:
            next(lines)
            for line in islice(lines, SAMPLE):
                moment, sensor, quantity, value = line.replace('"', "").split(",")
                readings.append((datetime.fromisoformat(moment), sensor, quantity, float(value)))
        return SAMPLE

    return once


def inputs(folder: Path, days: float) -> dict[str, tuple[Path, dict[str, Once]]]:
    """The files, and of each who reads it."""
    what = Simulation(days=days, clean=True)
    log, long = folder / "log.txt", folder / "long.parquet"
    lines = simulate(what, log)
    simulate(what, long, "parquet")
    table = pq.read_table(long)
    table = table.filter(pa.compute.is_in(table["quantity"].cast("string"), pa.array(QUANTITIES)))
    pq.write_table(table, long)
    csv = folder / "long.csv"
    pc.write_csv(table, csv)
    packed = {codec: folder / f"log.txt.{codec}" for codec in ("gzip", "zstd")}
    for codec, path in packed.items():
        path.write_bytes(pa.compress(log.read_bytes(), codec, asbytes=True))
    return {
        "intel-lab text": (
            log,
            {
                "ours": ours(log, "intel-lab", lines),
                "Arrow CSV": arrow_csv(log, " ", LOG, header=False),
                "plain Python": python_log(log),
            },
        ),
        "the same, gzip": (packed["gzip"], {"ours": ours(packed["gzip"], "intel-lab", lines)}),
        "the same, zstd": (packed["zstd"], {"ours": ours(packed["zstd"], "intel-lab", lines)}),
        "long CSV": (
            csv,
            {
                "ours": ours(csv, "csv", len(table)),
                "Arrow CSV": arrow_csv(csv, ",", LONG, header=True),
                "plain Python": python_csv(csv),
            },
        ),
        "long Parquet": (
            long,
            {"ours": ours(long, "parquet", len(table)), "Arrow Parquet": arrow_parquet(long)},
        ),
    }


def rates(contenders: dict[str, Once], repeats: int) -> dict[str, float]:
    """Median records a second of each, repeats interleaved, after one go unmeasured."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for once in contenders.values():
        once()
    for _ in range(repeats):
        for name, once in contenders.items():
            began = time.perf_counter()
            records = once()
            found[name].append(records / (time.perf_counter() - began))
    return {name: median(each) for name, each in found.items()}


def main() -> None:
    """Print the table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=3)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    pa.set_cpu_count(1)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, contenders) in inputs(Path(folder), options.days).items():
            found = rates(contenders, options.repeats)
            peer = found.get("Arrow CSV") or found.get("Arrow Parquet")
            per_reading = 1 if name.startswith("long") else len(QUANTITIES)
            rows += [
                {
                    "input": name,
                    "reader": reader,
                    "records/s": rate,
                    "readings/s": rate * per_reading,
                    "× Arrow": rate / peer if peer else "",
                    "file MB": path.stat().st_size / 1e6,
                }
                for reader, rate in found.items()
            ]
    facts = machine.describe()
    title = f"Bytes to readings, one thread, {options.days:g} days of 54 motes, median of "
    machine.print_table(f"{title}{options.repeats}", facts, rows)
    machine.save("parse", facts, rows)


if __name__ == "__main__":
    main()
