"""Kafka: readings sent by `produce`, and whole jobs from a topic to Parquet, beside Bytewax.

    python bench/services.py [--readings 3000000] [--sensors 1000] [--repeats 3]

Three brokers run on this machine and share its cores with what is measured. Topics have three
partitions and three copies; `produce` reads Parquet and waits until two brokers have each record.
Jobs are timed from the call to the last file. The peer, in the same round and on the same topic of
JSON, is Bytewax's own Kafka input on one worker with one padasip FilterRLS a key, which neither
grids, scores nor writes; it reads the first `--peer-readings` only.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import job as jobs
import machine
import numpy as np
from confluent_kafka.admin import AdminClient, NewTopic

from gapcast import read_config, run
from gapcast.engine.config import load_production
from gapcast.engine.run.produce import produce

# In the place of this folder, in which `services` would be this file.
sys.path[0] = str(Path(__file__).parents[1] / "tests")

from services.kafka import Kafka  # noqa: E402

PARTITIONS = 3
PEER = "Kafka JSON -> Bytewax, padasip RLS of 11 lags a key"
FLOORS = {
    "produce, JSON": 300_000,
    "Kafka JSON -> spatial-rls -> files": 200_000,
    "Kafka Arrow -> spatial-rls -> files": 2_000_000,
}


@contextmanager
def topic(brokers: str, name: str) -> Iterator[str]:
    """An empty topic, gone afterwards."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    admin.create_topics([NewTopic(name, PARTITIONS, 3)])[name].result(60)
    yield name
    admin.delete_topics([name])[name].result(60)


def send(path: Path, brokers: str, topic: str, layout: str) -> tuple[int, float]:
    """Send a file's readings; returns how many, and seconds until the last was confirmed."""
    config = path.with_name("produce.yaml")
    source = {"type": "replay", "path": str(path), "format": "parquet"}
    sink = {"type": "kafka-readings", "brokers": brokers, "topic": topic, "format": layout}
    config.write_text(json.dumps({"source": source, "sinks": {"out": sink}}))
    sent = produce(load_production(config))
    return sent.readings, sent.seconds


def job(
    brokers: str, topic: str, layout: str, positions: Path, folder: Path
) -> tuple[int, int, float]:
    """One job over all of a topic; readings read, readings used, and seconds to the last file."""
    source = {"type": "kafka", "brokers": brokers, "topic": topic, "format": layout, "end": "now"}
    config = read_config(
        {
            "name": "bench",
            "source": source,
            "grid": {"interval": "30min"},
            "network": {"positions": str(positions)},
            "targets": {"sensors": "all", "quantities": ["temperature"]},
            "models": {"model": jobs.MODELS["spatial-rls, 10 nearest"]},
            "sinks": {"files": {"type": "files"}},
        }
    )
    began = time.perf_counter()
    counts = run(config, folder).counts
    return counts.read, counts.used, time.perf_counter() - began


def bytewax(brokers: str, topic: str, readings: int) -> tuple[int, float]:
    """Bytewax with a padasip RLS of 11 lags a key over about the first `readings` of a topic."""
    import bytewax.operators as op
    import padasip
    from bytewax.connectors.kafka import KafkaSource
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, run_main

    class Beginning(KafkaSource):
        def build_part(self, *where):
            part = super().build_part(*where)
            rest, left = part.next_batch, readings // PARTITIONS

            def next_batch():
                nonlocal left
                if left <= 0:
                    raise StopIteration
                batch = rest()
                left -= len(batch)
                return batch

            part.next_batch = next_batch
            return part

    def step(state, value):
        model, lags = state or (padasip.filters.FilterRLS(n=11, mu=0.99), np.zeros(11))
        forecast = model.predict(lags)
        model.adapt(value, lags)
        lags[1:] = lags[:-1].copy()
        lags[0] = value
        return (model, lags), forecast

    flow, out = Dataflow("peer"), list[object]()
    records = op.input("in", flow, Beginning(brokers.split(","), [topic], tail=False))
    pairs = op.map("json", records, lambda m: (m.key.decode(), json.loads(m.value)["value"]))
    op.output("out", op.stateful_map("rls", pairs, step), TestingSink(out))
    began = time.perf_counter()
    run_main(flow)
    return len(out), time.perf_counter() - began


def measure(
    brokers: str, folder: Path, readings: int, sensors: int, repeats: int, peer_readings: int
) -> dict[str, list[float]]:
    """Readings a second of each, side by side, after one round to warm up."""
    path, positions = folder / "readings.parquet", folder / "positions.txt"
    jobs.write_readings(path, sensors, max(4, readings // sensors))
    side = int(sensors**0.5) + 1
    positions.write_text("\n".join(f"s{i} {i % side * 5} {i // side * 5}" for i in range(sensors)))
    rates: dict[str, list[float]] = {}
    for repeat in range(repeats + 1):
        round_: dict[str, float] = {}
        for title, layout in (("JSON", "json"), ("Arrow", "arrow")):
            with topic(brokers, f"{layout}-{repeat}") as name:
                sent, seconds = send(path, brokers, name, layout)
                round_[f"produce, {title}"] = sent / seconds
                read, used, seconds = job(brokers, name, layout, positions, folder / name)
                if (read, used) != (sent, sent):
                    raise SystemExit(f"sent {sent:,} readings, read {read:,}, used {used:,}")
                round_[f"Kafka {title} -> spatial-rls -> files"] = read / seconds
                if repeat and layout == "json":
                    done, seconds = bytewax(brokers, name, peer_readings)
                    round_[PEER] = done / seconds
        for what, rate in round_.items():
            if repeat:
                rates.setdefault(what, []).append(rate)
    return rates


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=3_000_000)
    parser.add_argument("--sensors", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-readings", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Kafka(Path(name) / "kafka") as kafka:
        rates = measure(kafka.address, Path(name), **vars(options))
    rows: list[dict[str, object]] = [
        {
            "what": what,
            **machine.rates(of),
            "floor": FLOORS.get(what, ""),
            "x bytewax": "" if "produce" in what else median(of) / median(rates[PEER]),
        }
        for what, of in rates.items()
    ]
    facts = machine.describe("confluent-kafka", "bytewax", "padasip")
    title = (
        f"Three Kafka brokers on the same {facts['cores']} cores: {options.readings:,} readings of "
        f"{options.sensors:,} series, median of {options.repeats} rounds after one warm-up"
    )
    machine.print_table(title, facts, rows)
    machine.save("services", facts, rows)


if __name__ == "__main__":
    main()
