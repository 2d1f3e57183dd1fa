"""Kafka sinks and `gapcast produce` against real brokers, read back by a client of its own."""

from __future__ import annotations

import base64
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import gapcast
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

from gapcast import read_config, run
from gapcast.engine.config import load_production
from gapcast.engine.errors import ConfigError, SinkError
from gapcast.engine.readings import DEAD_LETTERS
from gapcast.engine.run.produce import produce
from gapcast.engine.sink import FORECASTS, AlreadyCommitted, Committed, JobInfo, Retry
from gapcast.engine.testing import sink
from gapcast.engine.testing.sink import epoch
from gapcast.plugins.sinks.kafka import KafkaDeadLettersSink, KafkaSink

KAFKA: list = []
NUMBERS = itertools.count()
SAMPLE = Path(__file__).parents[2] / "data" / "intel-lab-3days.txt.gz"
JOB = JobInfo("kit", Path(), 1_800_000_000, ("m",), 2, ("observed",))


@pytest.fixture(autouse=True, scope="module")
def _brokers(kafka):
    KAFKA.append(kafka)


def address():
    return KAFKA[0].address


def make_topic(name=None, partitions=3):
    """A topic, made unless it is there."""
    name = name or f"sink-{next(NUMBERS)}"
    admin = AdminClient({"bootstrap.servers": address(), "log_level": 0})
    if name not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(name, partitions, 3)])[name].result(30)
        until(lambda: _led(admin, name, partitions))
    return name


def _led(admin, name, partitions):
    found = admin.list_topics(timeout=10).topics.get(name)
    return found and sum(p.leader >= 0 for p in found.partitions.values()) == partitions


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def records(topic):
    """All committed records of a topic, partition by partition."""
    settings = {"bootstrap.servers": address(), "group.id": "side-door", "log_level": 0}
    consumer = Consumer(
        {**settings, "enable.partition.eof": True, "isolation.level": "read_committed"}
    )
    count = len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    found = []
    for number in range(count):
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING)])
        while (message := consumer.poll(30)) is not None and message.error() is None:
            found.append(message)
        assert message.error().name() == "_PARTITION_EOF"
    consumer.close()
    return found


def forecasts(topic):
    rows = [json.loads(m.value()) for m in records(topic)]
    plain = pa.schema(
        [(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in FORECASTS]
    )
    columns = {f.name: [row[f.name] for row in rows] for f in plain}
    for name in ("time", "made"):
        columns[name] = pa.array(columns[name], pa.string()).cast(plain.field(name).type)
    return pa.table(columns, schema=plain)


def kafka_sink(topic):
    return KafkaSink(KafkaSink.Params(brokers=address(), topic=topic))


def of_folder(folder):
    return "kit-" + "-".join(folder.parts[-2:])


def make(folder):
    return kafka_sink(make_topic(of_folder(folder), partitions=2))


def read_back(folder):
    return forecasts(of_folder(folder))


TestKafka = sink(make, read_back, stages=True)


class Death(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def producer(monkeypatch):
    """The class of producers made from now on, to be told how to fail."""

    class Failing(Producer):
        """fails: what is called instead of a method, by its name, with what the method was given
        and the method."""

        fails: dict[str, Callable] = {}  # noqa: RUF012

        def __getattribute__(self, name):
            found = super().__getattribute__(name)
            fails = Failing.fails.get(name)
            return found if fails is None else partial(fails, found)

    monkeypatch.setattr("confluent_kafka.Producer", Failing)
    return Failing


@pytest.mark.parametrize("moment", ["send_offsets_to_transaction", "commit_transaction"])
def test_a_death_within_an_epoch_leaves_nothing_of_it(moment, producer):
    def dies(method, *arguments):
        raise Death

    topic = make_topic()
    first = kafka_sink(topic)
    first.open(JOB, "g")
    first.write(0, epoch(0))
    producer.fails[moment] = dies
    with pytest.raises(Death):
        first.write(1, epoch(1))
    producer.fails.clear()
    after = kafka_sink(topic)
    after.open(JOB, "g")
    assert isinstance(after.write(0, epoch(0)), AlreadyCommitted)
    assert isinstance(after.write(1, epoch(1)), Committed)
    assert isinstance(after.write(1, epoch(1)), AlreadyCommitted)
    assert len(forecasts(topic)) == 80
    assert {m.key() for m in records(topic)} == {b"1", b"24"}


def test_a_commit_whose_answer_was_lost_is_found(producer):
    def unheard(commit, *arguments):
        commit(*arguments)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    topic = make_topic()
    made = kafka_sink(topic)
    made.open(JOB, "g")
    producer.fails["commit_transaction"] = unheard
    assert isinstance(made.write(0, epoch(0)), Retry)
    producer.fails.clear()
    assert isinstance(made.write(0, epoch(0)), AlreadyCommitted)
    assert len(forecasts(topic)) == 40
    made.close()


def test_epochs_go_on_when_a_broker_dies(kafka):
    topic = make_topic()
    made = kafka_sink(topic)
    made.open(JOB, "g")
    made.write(0, epoch(0))
    kafka.kill(1)
    try:
        for e in range(1, 4):
            until(lambda e=e: isinstance(made.write(e, epoch(e)), Committed | AlreadyCommitted))
    finally:
        kafka.restart(1)
    assert len(forecasts(topic)) == 160
    made.close()


def test_a_sink_that_cannot_be_reached_says_so():
    nowhere = KafkaSink(KafkaSink.Params(brokers="127.0.0.1:1", topic="t", connect="1s"))
    with pytest.raises(SinkError, match="sink kafka: "):
        nowhere.open(JOB, "g")
    without = KafkaDeadLettersSink(KafkaDeadLettersSink.Params(brokers=address(), topic="no-such"))
    with pytest.raises(SinkError, match="there is no topic 'no-such'; make it first"):
        without.open(JOB, "g")


def config(sinks, source=None, **changes):
    """A small run; `sinks` beside files."""
    return read_config(
        {
            "name": "kafka",
            "source": source or {"type": "replay", "path": str(SAMPLE), "format": "intel-lab"},
            "grid": {"interval": "30min"},
            "network": {"sensors": [1, 2, 3, 4, 5]},
            "targets": {"quantities": ["temperature"]},
            "models": {"ema": {"type": "ema"}},
            "sinks": {"files": {"type": "files"}, **sinks},
            **changes,
        }
    )


KEY = [(k, "ascending") for k in ("time", "sensor", "model", "horizon")]


def stored(folder):
    table = pq.read_table(folder / "forecasts", partitioning=None)
    return table.cast(forecasts_schema()).sort_by(KEY)


def forecasts_schema():
    return pa.schema(
        [(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in FORECASTS]
    )


def test_dead_letters_of_a_run_go_to_a_topic(tmp_path):
    topic = make_topic(partitions=1)
    sinks = {"letters": {"type": "kafka-dead-letters", "brokers": address(), "topic": topic}}
    run(config(sinks, limits={"temperature": {"max": 19}}), tmp_path / "r")
    kept = pq.read_table(tmp_path / "r/dead_letters").to_pylist()
    sent = [json.loads(m.value()) for m in records(topic)]
    assert len(sent) == len(kept) > 100
    assert list(sent[0]) == DEAD_LETTERS.names
    for one, other in zip(sent, kept, strict=True):
        raw = base64.b64decode(one["raw"]) if one["raw"] is not None else None
        same = ("reason", "partition", "offset", "sensor", "value")
        assert [one[n] for n in same] == [other[n] for n in same]
        assert raw == other["raw"]


def test_sinks_are_given_what_they_are_for(tmp_path):
    with pytest.raises(ConfigError, match=r"sinks\.r\.type: is a sink for readings; one for fore"):
        config({"r": {"type": "kafka-readings", "brokers": "b:1", "topic": "t"}})
    with pytest.raises(ConfigError, match=r"none of them receives forecasts"):
        config({"files": {"type": "kafka-dead-letters", "brokers": "b:1", "topic": "t"}})
    path = tmp_path / "p.yaml"
    path.write_text("source: {type: replay, path: x.csv}\nsinks: {f: {type: files}}\ngrid: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_production(path)
    assert [p.message.partition(";")[0] for p in caught.value.problems] == [
        "is a sink for forecasts", "unknown key",
    ]  # fmt: skip


def production(tmp_path, topic, source=None, **keys):
    where = {"type": "kafka-readings", "brokers": address(), "topic": topic, **keys}
    source = source or {"type": "replay", "path": str(SAMPLE), "format": "intel-lab"}
    path = tmp_path / "produce.yaml"
    path.write_text(json.dumps({"source": source, "sinks": {"kafka": where}}))
    return path


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("json", {}),
        ("json-wide", {"wide": ["temperature", "humidity"]}),
        ("intel-lab", {"format": "intel-lab"}),
        ("arrow", {"format": "arrow"}),
    ],
)
def test_what_is_produced_is_forecast_as_from_the_file(sent, read, tmp_path):
    topic = make_topic()
    done = produce(load_production(production(tmp_path, topic, format=sent)))
    source = {"type": "kafka", "brokers": address(), "topic": topic, "end": "now", **read}
    models = {"rls": {"type": "spatial-rls"}, "ema": {"type": "ema"}}
    out = make_topic()
    to_kafka = {"kafka": {"type": "kafka", "brokers": address(), "topic": out}}
    there = run(config(to_kafka, source, models=models), tmp_path / "there")
    here = run(config({}, models=models), tmp_path / "here")
    assert stored(tmp_path / "there").equals(stored(tmp_path / "here"))
    assert forecasts(out).sort_by(KEY).equals(stored(tmp_path / "here"))
    assert there.counts.used == here.counts.used
    assert there.counts.late == there.counts.duplicate == 0
    assert done.readings >= there.counts.read
    assert done.invalid == 0


def test_the_command_says_how_much_it_sent_and_fails_when_it_could_not(tmp_path):
    topic = make_topic()
    good, bad = production(tmp_path, topic), tmp_path / "bad.yaml"
    bad.write_text(good.read_text().replace(topic, "no-such-topic"))
    done = gapcast("produce", good)
    assert done.returncode == 0, done.stderr
    assert "readings sent in" in done.stdout
    assert len(records(topic)) == 14_400
    failed = gapcast("produce", bad)
    assert failed.returncode == 1
    assert "failed: 0 readings sent" in failed.stdout
    assert "there is no topic 'no-such-topic'" in failed.stderr


RUN = """
import sys
from pathlib import Path
from gapcast import load_config, run
from gapcast.engine.run.bounds import Bounds
often = Bounds(epoch_seconds=0.0)
run(load_config(sys.argv[1]), Path(sys.argv[2]), resume=len(sys.argv) > 3, bounds=often)
"""


def test_a_killed_run_ends_with_each_forecast_once(tmp_path):
    """Kafka in, Kafka out, the process killed in the middle and gone on with."""
    source_topic, out = make_topic(), make_topic()
    produce(load_production(production(tmp_path, source_topic, format="json-wide")))
    path = tmp_path / "run.yaml"
    section = {"brokers": address()}
    wide = ["temperature", "humidity"]
    path.write_text(
        json.dumps(
            {
                "name": "killed",
                "source": {"type": "kafka", "topic": source_topic, "end": "now", "wide": wide}
                | section,
                "grid": {"interval": "30min"},
                "network": {"sensors": [1, 2, 3, 4, 5]},
                "targets": {"quantities": ["temperature"]},
                "models": {"ema": {"type": "ema"}},
                "sinks": {"kafka": {"type": "kafka", "topic": out} | section},
                "checkpoint": {"interval": "1ms"},
                "backend": {"type": "local", "batch": 200},
            }
        )
    )
    command = [sys.executable, "-c", RUN, path, tmp_path / "r"]
    process = subprocess.Popen(command)
    epochs = tmp_path / "r/checkpoint/epochs"
    until(lambda: epochs.exists() and len(list(epochs.iterdir())) > 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(records(out))
    assert subprocess.run([*command, "resume"]).returncode == 0
    run(config({}), tmp_path / "straight")
    assert before < len(stored(tmp_path / "straight"))
    assert forecasts(out).sort_by(KEY).equals(stored(tmp_path / "straight"))
