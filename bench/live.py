"""From Kafka to Kafka: how long after a step closes its rows are in the output topic.

    python bench/live.py [--sensors 100 1000 5000] [--interval 1] [--seconds 25] [--brokers 2]

A process sends a reading of each sensor at every tick, in two partitions; the job nowcasts each and
forecasts ten steps ahead. A step closes when the first reading of the next one is sent, so the time
of that sending is where the clock starts; it stops when a consumer of committed records has a row.
Brokers, sender, job and consumer share this machine's cores. The first ten steps do not count.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import machine
import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from gapcast import read_config
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.run.loop import carry
from gapcast.engine.run.prepare import prepare
from gapcast.engine.run.warm_up import WarmUp

# In the place of this folder, in which `services` would be this file.
sys.path[0] = str(Path(__file__).parents[1] / "tests")

from services.kafka import Kafka  # noqa: E402

PARTITIONS = 2
AHEAD = 10
WARM = 10
"""Steps that do not count."""


def send(brokers: str, topic: str, sensors: int, interval: float, until: float, out: Path) -> None:
    """Send a reading a sensor and tick, on time; writes when each tick's sending began."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 1, "log_level": 0})
    began: dict[int, float] = {}
    rng = np.random.default_rng(0)
    tick = int(time.time() / interval) + 2
    while (due := tick * interval) < until:
        time.sleep(max(0.0, due - time.time()))
        began[tick] = time.time()
        moment = datetime.fromtimestamp(due).astimezone().isoformat()
        values = 20 + np.sin(tick / 10) + rng.normal(0, 0.1, sensors)
        for partition in range(PARTITIONS):
            messages = [
                {
                    "value": f'{{"time":"{moment}","sensor":"{n}","quantity":"t",'
                    f'"value":{values[n]:.3f}}}'
                }
                for n in range(partition, sensors, PARTITIONS)
            ]
            producer.produce_batch(topic, messages, partition=partition)
        producer.flush()
        tick += 1
    out.write_text(json.dumps(began))


def receive(brokers: str, topic: str, until: float, out: Path) -> None:
    """Note when rows come; writes [stage, step of `made`, seconds, rows] lines."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers, "group.id": "live", "enable.auto.commit": False,
            "isolation.level": "read_committed", "fetch.wait.max.ms": 500, "log_level": 0,
        }
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(PARTITIONS)])
    came: list[tuple[float, list[bytes]]] = []
    while time.time() < until:
        messages = consumer.consume(20_000, 0.005)
        if messages:
            came.append((time.time(), [m.value() for m in messages if m.error() is None]))
    with out.open("w") as file:
        for at, values in came:
            counts: dict[tuple[str, str], int] = defaultdict(int)
            for row in map(json.loads, values):
                if row["status"] == "ahead":
                    counts["ahead", row["made"]] += 1
                elif row["horizon"] == 0:
                    counts["nowcast", row["made"]] += 1
            for (stage, made), n in counts.items():
                file.write(json.dumps([stage, made, at, n]) + "\n")
    consumer.close()


def config(brokers: str, into: str, out: str, sensors: int, interval: float) -> dict:
    """The job's."""
    return {
        "name": "live",
        "source": {"type": "kafka", "brokers": brokers, "topic": into},
        "grid": {"interval": f"{int(interval * 1000)}ms"},
        "network": {"sensors": [str(n) for n in range(sensors)]},
        "targets": {"sensors": "all", "quantities": ["t"]},
        "models": {"m": {"type": "persistence", "horizons": [0, AHEAD]}},
        "sinks": {"out": {"type": "kafka", "brokers": brokers, "topic": out}},
    }


def process(*arguments: object) -> subprocess.Popen[bytes]:
    """This file, as a process of its own."""
    return subprocess.Popen([sys.executable, str(Path(__file__).resolve()), *map(str, arguments)])


def measure(brokers: str, sensors: int, interval: float, seconds: float, folder: Path) -> dict:
    """One row of the table."""
    folder.mkdir()
    name = f"live-{sensors}-{int(interval * 1000)}"
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    topics = [f"{name}-in", f"{name}-out"]
    for made in admin.create_topics([NewTopic(t, PARTITIONS, 2) for t in topics]).values():
        made.result(60)
    read = read_config(config(brokers, *topics, sensors, interval))
    with WarmUp(lambda text: None) as warm_up:
        job = prepare(read, folder / "run", None, Bounds())
        job.run_dir.mkdir()
        warm_up.rehearse(job)
    backend = read.backend.create()
    running = threading.Event()
    job.progress = lambda at: running.set()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(carry, job, backend)
        while not (running.wait(0.1) or done.done()):
            continue
        until = time.time() + 3 + WARM * interval + seconds
        others = [
            process("--receive", brokers, topics[1], until + 3, folder / "r"),
            process("--send", brokers, topics[0], sensors, interval, until, folder / "s"),
        ]
        others[1].wait()
        time.sleep(2)
        job.stopping.set()
        done.result()
        others[0].wait()
    backend.close()
    began = {int(t): at for t, at in json.loads((folder / "s").read_text()).items()}
    return {"sensors": sensors, "interval": interval} | latencies(began, folder / "r", interval)


def latencies(began: dict[int, float], received: Path, interval: float) -> dict:
    """Milliseconds from the close of a step to its rows, by stage."""
    first = min(began) + WARM
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for line in received.read_text().splitlines():
        stage, made, at, n = json.loads(line)
        tick = round(datetime.fromisoformat(made).timestamp() / interval)
        if tick >= first and tick + 1 in began:
            found[stage].append(np.full(n, 1000 * (at - began[tick + 1])))
    shown: dict[str, float] = {"ticks": len(began)}
    for stage, parts in found.items():
        all_ = np.concatenate(parts)
        shown[f"{stage} rows"] = len(all_)
        for share in (50, 99, 100):
            shown[f"{stage} p{share}"] = round(float(np.percentile(all_, share)), 1)
    return shown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sensors", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=25)
    parser.add_argument("--brokers", type=int, default=2)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder, Kafka(Path(folder) / "kafka", args.brokers) as k:
        for sensors in args.sensors:
            where = Path(folder) / str(sensors)
            rows.append(measure(k.address, sensors, args.interval, args.seconds, where))
    facts = machine.describe("confluent-kafka")
    title = (
        f"Kafka to Kafka; {args.brokers} brokers, sender, job and consumer on {facts['cores']} "
        "cores: milliseconds from the close of a step to its rows"
    )
    machine.print_table(title, facts, rows)
    machine.save("live", facts, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--send"]:
        brokers, topic, sensors, interval, until, out = sys.argv[2:]
        send(brokers, topic, int(sensors), float(interval), float(until), Path(out))
    elif sys.argv[1:2] == ["--receive"]:
        brokers, topic, until, out = sys.argv[2:]
        receive(brokers, topic, float(until), Path(out))
    else:
        main()
