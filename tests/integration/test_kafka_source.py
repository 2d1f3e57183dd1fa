"""The Kafka source against real brokers: whatever they go through, every record once, in order."""

from __future__ import annotations

import itertools
import json
import logging
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from gapcast.engine.errors import SourceError
from gapcast.plugins.kafka.reader import Reader
from gapcast.plugins.sources.kafka import KafkaSource

NUMBERS = itertools.count()
QUANTITIES = {"temperature"}


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Topic:
    """A topic of its own for a test."""

    def __init__(self, kafka, partitions=1, copies=3, on=None, **config):
        self.kafka = kafka
        self.name = f"source-{next(NUMBERS)}"
        self.admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
        where = {"replica_assignment": [[on]]} if on is not None else {"replication_factor": copies}
        new = NewTopic(self.name, partitions, config=config, **where)
        self.admin.create_topics([new])[self.name].result(30)
        self.own = self.producer(**{"enable.idempotence": True})
        until(lambda: self._led(partitions))

    def _led(self, partitions):
        found = self.admin.list_topics(timeout=10).topics.get(self.name)
        there = found.partitions if found else {}
        return len(there) == partitions and all(p.leader >= 0 for p in there.values())

    def producer(self, **settings):
        return Producer({"bootstrap.servers": self.kafka.address, "log_level": 0, **settings})

    def send(self, values, partition=0, producer=None, key=None):
        producer = producer or self.own
        failures = []
        for value in values:
            producer.produce(
                self.name, value, key, partition,
                on_delivery=lambda error, _: error and failures.append(error),
            )  # fmt: skip
        assert producer.flush(60) == 0
        assert failures == []

    def source(self, opened=True, **params):
        source = KafkaSource(
            KafkaSource.Params(brokers=self.kafka.address, topic=self.name, **params)
        )
        if opened:
            source.open(QUANTITIES)
        return source


def value(i, sensor="7", quantity="temperature"):
    return json.dumps(
        {"time": f"2004-03-01T00:{i // 60 % 60:02d}:{i % 60:02d}", "sensor": sensor,
         "quantity": quantity, "value": float(i)}
    ).encode()  # fmt: skip


def take(source, number, partition=None, position=None, limit=100):
    """Read on until so many readings have come; values, offsets, the last position."""
    partition = partition or source.partitions()[0]
    values, offsets, dead = [], [], []
    deadline = time.monotonic() + 60
    while len(values) < number:
        assert time.monotonic() < deadline
        read = source.read(partition, position, limit)
        values += read.readings["value"].to_pylist()
        offsets += read.readings["offset"].to_pylist()
        dead += read.dead_letters.to_pylist()
        position = read.position
        if read.ended:
            break
    return values, offsets, dead, position


def everything(source):
    """All readings of all partitions of a source that ends, by partition."""
    return {p: take(source, 10**9, p) for p in source.partitions()}


@pytest.fixture
def closing():
    """Sources to close after the test."""
    sources = []
    yield lambda source: sources.append(source) or source
    for source in sources:
        source.close()


def test_every_record_of_every_partition_comes_once_and_in_order(kafka, closing):
    topic = Topic(kafka, partitions=3)
    for p in range(3):
        topic.send(map(value, range(p, 3000, 3)), p)
    found = everything(closing(topic.source(end="now")))
    assert list(found) == [f"{topic.name}-{p}" for p in range(3)]
    for p, (values, offsets, dead, position) in enumerate(found.values()):
        assert values == list(map(float, range(p, 3000, 3)))
        assert offsets == list(range(1000))
        assert dead == []
        assert position["offset"] == 1000


def test_reading_again_from_any_position_gives_the_same(kafka, closing):
    topic = Topic(kafka)
    topic.send(map(value, range(500)))
    source = closing(topic.source())
    _, _, _, middle = take(source, 200, limit=37)
    rest = take(source, 500 - middle["offset"], position=middle)
    assert rest[0] == list(map(float, range(middle["offset"], 500)))
    assert take(source, len(rest[0]), position=middle, limit=1)[:2] == rest[:2]
    assert take(source, 500)[0] == list(map(float, range(500)))


def test_a_topic_that_ends_now_ends_before_what_comes_later(kafka, closing):
    topic = Topic(kafka, partitions=2)
    topic.send(map(value, range(10)))
    source = closing(topic.source(end="now"))
    topic.send(map(value, range(10, 20)))
    topic.send(map(value, range(5)), 1)
    found = [values for values, *_ in everything(source).values()]
    assert found == [list(map(float, range(10))), []]


def test_a_live_topic_answers_soon_with_nothing(kafka, closing):
    topic = Topic(kafka)
    source = closing(topic.source())
    partition = f"{topic.name}-0"
    read = source.read(partition, None, 100)
    until(lambda: source.read(partition, None, 100).position["offset"] == 0)
    assert (len(read.readings), read.ended) == (0, False)
    topic.send([value(1)])
    assert take(source, 1, position={"offset": 0})[0] == [1.0]


def test_reading_goes_on_when_a_broker_dies(kafka, closing):
    topic = Topic(kafka, partitions=3)
    for p in range(3):
        topic.send(map(value, range(2000)), p)
    source = closing(topic.source())
    before = {p: take(source, 500, p, limit=100) for p in source.partitions()}
    kafka.kill(1)
    try:
        for p in range(3):
            topic.send(map(value, range(2000, 2500)), p)
        for p, (values, _, _, position) in before.items():
            rest = take(source, 2500 - len(values), p, position)[0]
            assert values + rest == list(map(float, range(2500)))
    finally:
        kafka.restart(1)


def test_tombstones_and_markers_give_nothing_and_hold_nothing_up(kafka, closing):
    topic = Topic(kafka)
    topic.send([value(0), None, value(1), None], key=b"k")
    transactions = topic.producer(**{"transactional.id": topic.name})
    transactions.init_transactions(30)
    for numbers, end in (
        ([2, 3], transactions.commit_transaction),
        ([77], transactions.abort_transaction),
        ([4], transactions.commit_transaction),
        ([88], transactions.abort_transaction),
    ):
        transactions.begin_transaction()
        topic.send(map(value, numbers), producer=transactions)
        end(30)
    source = closing(topic.source(end="now"))
    values, offsets, dead, position = take(source, 10**9)
    assert values == [0, 1, 2, 3, 4]
    assert offsets == [0, 2, 4, 5, 9]
    assert (dead, position["offset"]) == ([], 13)


def test_an_open_transaction_is_waited_for(kafka, closing):
    topic = Topic(kafka)
    transactions = topic.producer(**{"transactional.id": topic.name})
    transactions.init_transactions(30)
    topic.send([value(0)])
    transactions.begin_transaction()
    topic.send([value(1)], producer=transactions)
    topic.send([value(2)])
    source = closing(topic.source(patience="200ms"))
    values, _, _, position = take(source, 1)
    began = time.monotonic()
    while time.monotonic() - began < 0.5:  # longer than patience: waiting is no stall
        assert len(source.read(f"{topic.name}-0", position, 10).readings) == 0
    transactions.commit_transaction(30)
    assert values + take(source, 2, position=position)[0] == [0, 1, 2]


def test_what_a_compacted_topic_has_left(kafka, closing):
    often = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}
    topic = Topic(kafka, **{"cleanup.policy": "compact", "max.compaction.lag.ms": "100", **often})
    for i in range(30):
        topic.send([value(i)], key=b"k%d" % (i % 3))
    topic.send([None], key=b"k0")

    def compacted():
        topic.send([value(99)], key=b"last")  # the newest segment is never cleaned
        source = topic.source(end="now")
        values = take(source, 10**9)[0]
        source.close()
        return len(values) < 20

    until(compacted, 90)
    values, offsets, *_ = take(closing(topic.source(end="now")), 10**9)
    assert values[-1] == 99.0
    assert offsets == sorted(offsets)
    assert offsets[0] > 0


def test_a_log_cut_below_our_position_stops_the_run(kafka, closing):
    topic = Topic(kafka)
    topic.send(map(value, range(100)))
    (cut,) = topic.admin.delete_records([TopicPartition(topic.name, 0, 60)]).values()
    assert cut.result(30).low_watermark == 60
    source = closing(topic.source())
    with pytest.raises(
        SourceError, match=r"begins at offset 60 now.*from 50 to 59 are gone.*new run"
    ):
        take(source, 1, position={"offset": 50})
    with pytest.raises(SourceError, match="ends at offset 100, before 500"):
        take(closing(topic.source()), 1, position={"offset": 500})
    assert take(closing(topic.source()), 40)[1] == list(range(60, 100))


def test_a_topic_made_anew_is_not_read_on(kafka, closing):
    topic = Topic(kafka)
    topic.send(map(value, range(10)))
    source = closing(topic.source())
    position = source.read(f"{topic.name}-0", None, 5).position
    assert position["offset"] > 0
    topic.admin.delete_topics([topic.name])[topic.name].result(30)

    def gone():
        return topic.name not in topic.admin.list_topics(timeout=10).topics

    until(gone)
    topic.admin.create_topics([NewTopic(topic.name, 1, 3)])[topic.name].result(30)
    until(lambda: topic._led(1))
    topic.send(map(value, range(50)))
    again = closing(topic.source())
    with pytest.raises(SourceError, match=r"is not the one any more that was read up to offset"):
        again.read(f"{topic.name}-0", position, 5)
    assert take(again, 50)[1] == list(range(50))


def test_a_topic_of_which_nothing_can_be_used_says_why(kafka, closing):
    topic = Topic(kafka)
    topic.send([b"{", b"["])
    source = closing(topic.source())
    with pytest.raises(SourceError, match=r"no record of it can be used \(2 not JSON; the first: "):
        source.discover()


def test_new_partitions_are_found(kafka, closing):
    topic = Topic(kafka)
    topic.send([value(0)])
    source = closing(topic.source(refresh="1ms"))
    assert source.partitions() == [f"{topic.name}-0"]
    topic.admin.create_partitions([NewPartitions(topic.name, 3)])[topic.name].result(30)
    position = None

    def found():
        nonlocal position
        position = source.read(f"{topic.name}-0", position, 10).position
        return len(source.partitions()) == 3

    until(found)
    until(lambda: topic._led(3))
    topic.send([value(5)], 2, topic.producer())
    assert take(source, 1, f"{topic.name}-2")[0] == [5.0]


def test_poison_is_a_dead_letter_with_its_place(kafka, closing):
    topic = Topic(kafka, partitions=2)
    topic.send([value(0), b"\x00poison", value(1)], 1)
    values, _, (dead,), _ = take(closing(topic.source(end="now")), 9, f"{topic.name}-1")
    assert values == [0, 1]
    assert (dead["partition"], dead["offset"]) == (f"{topic.name}-1", 1)
    assert (dead["reason"], dead["raw"]) == ("not JSON", b"\x00poison")


def test_series_are_discovered_where_there_are_some(kafka, closing):
    topic = Topic(kafka, partitions=2)
    source = closing(topic.source())
    with pytest.raises(SourceError, match=r"holds no readings .* name them in network\.sensors"):
        source.discover()
    topic.send([value(0, "1"), value(1, "2", "humidity"), value(2, "2")])
    topic.send([value(0, "3"), value(0, "1")], 1)
    assert [tuple(s) for s in source.discover()] == [(s, "temperature") for s in "123"]


def test_offsets_are_noted_in_a_group_for_others_to_see(kafka):
    topic = Topic(kafka, partitions=2)
    topic.send(map(value, range(10)))
    source = topic.source(group="watched")
    position = take(source, 10)[3]
    source.checkpointed({f"{topic.name}-0": position, f"{topic.name}-1": {"offset": None}})
    source.close()
    seen = Consumer({"bootstrap.servers": kafka.address, "group.id": "watched"})
    (first, second) = seen.committed([TopicPartition(topic.name, p) for p in (0, 1)], 30)
    seen.close()
    assert first.offset == 10
    assert second.offset < 0


@pytest.fixture
def clients(monkeypatch):
    """Consumers made from now on: `deaf` ones get nothing that comes, `heard` counts bytes."""

    class Watched(Consumer):
        made: list[Watched] = []  # noqa: RUF012
        all_deaf = False

        def __init__(self, settings):
            super().__init__(settings)
            self.deaf, self.heard = self.all_deaf, 0
            self.made.append(self)

        def consume(self, number, seconds):
            found = [] if self.deaf else super().consume(number, seconds)
            self.heard += sum(len(m) for m in found if m.error() is None)
            return found

    monkeypatch.setattr("confluent_kafka.Consumer", Watched)
    return Watched


def test_a_stalled_client_is_replaced(kafka, closing, clients, caplog):
    topic = Topic(kafka)
    topic.send(map(value, range(5)))
    source = closing(topic.source(patience="2s"))
    values, _, _, position = take(source, 5)
    (first,) = clients.made
    first.deaf = True
    topic.send(map(value, range(5, 10)))
    with caplog.at_level(logging.WARNING):
        assert values + take(source, 5, position=position)[0] == list(map(float, range(10)))
    assert "although the log goes on to offset 10; reconnecting" in caplog.text
    assert len(clients.made) == 2


def test_a_stall_that_lasts_ends_the_run(kafka, closing, clients):
    topic = Topic(kafka)
    topic.send(map(value, range(10)))
    clients.all_deaf = True
    source = closing(topic.source(patience="200ms"))
    with pytest.raises(
        SourceError, match=r"nothing has come, although the log goes on to offset 10"
    ):
        take(source, 1)
    assert len(clients.made) == 2


def test_no_answer_for_too_long_ends_the_run(kafka, closing):
    topic = Topic(kafka, on=1)
    topic.send(map(value, range(10)))
    source = closing(topic.source(patience="1s"))
    position = take(source, 10)[3]
    kafka.kill(1)
    try:
        with pytest.raises(SourceError, match=rf"{topic.name}-0, offset 10: for .* no answer"):
            take(source, 1, position=position)
        again = closing(topic.source(patience="1min"))
    finally:
        kafka.restart(1)
    topic.send([value(10)])
    assert take(again, 1, position=position)[0] == [10.0]


def test_what_cannot_be_reached_is_told_in_one_line(kafka):
    topic = Topic(kafka)

    def rejected(words, **params):
        where = {"brokers": kafka.address, "topic": topic.name, "connect": "1s"}
        source = KafkaSource(KafkaSource.Params(**where | params))
        with pytest.raises(SourceError, match=words) as caught:
            source.open(QUANTITIES)
        assert "\n" not in str(caught.value)
        assert "s3cret" not in str(caught.value)

    rejected(rf"no topic '{topic.name}x'; did you mean '{topic.name}'", topic=topic.name + "x")
    rejected("Connection refused", brokers="127.0.0.1:1")
    rejected("SASL", sasl={"mechanism": "PLAIN", "username": "u", "password": "s3cret"})
    rejected('No such configuration property: "nonsense"', settings={"nonsense": 1})
    rejected("SSL", tls={})


def test_memory_is_bounded_while_one_partition_waits(kafka, clients):
    """Of 12 MB, a little more than what may wait here and what one look into the client brings."""
    topic = Topic(kafka, partitions=2)
    big = [json.dumps({**json.loads(value(i)), "note": "x" * 4000}).encode() for i in range(3000)]
    topic.send(big, 1)
    reader = Reader(topic.source(opened=False).params, None, patience=60, held=2 << 20)
    taken = reader.take(1, None, 100, 1 << 20)
    given = sum(map(len, taken.records))
    quiet = None
    for _ in range(30):
        quiet = reader.take(0, quiet, 10, 1 << 20).after
    (client,) = clients.made
    assert client.heard - given < 4 << 20 < sum(map(len, big)) // 2
    offsets = [m.offset() for m in taken.records]
    while len(offsets) < 3000:
        taken = reader.take(1, taken.after, 1000, 1 << 20)
        offsets += [m.offset() for m in taken.records]
    reader.close()
    assert offsets == list(range(3000))


def test_arrow_streams_come_whole(kafka, closing):
    import io

    import pyarrow as pa

    topic = Topic(kafka)
    time_ = pa.array(np.arange(1000) * 1000 + 1_078_099_200_000_000, pa.timestamp("us", "UTC"))
    table = pa.table({
        "time": time_, "sensor": pa.array(["1", "2"] * 500).dictionary_encode(),
        "quantity": ["temperature"] * 1000, "value": np.arange(1000.0),
    })  # fmt: skip
    for piece in (table.slice(0, 700), table.slice(700)):
        out = io.BytesIO()
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(piece)
        topic.send([out.getvalue()])
    values, offsets, *_ = take(closing(topic.source(end="now", format="arrow")), 10**9)
    assert values == list(map(float, range(1000)))
    assert offsets == [0] * 700 + [1] * 300


def test_a_live_run_begins_with_an_empty_topic_and_takes_in_who_appears(kafka, tmp_path):
    topic = Topic(kafka)
    about = {
        "name": "live",
        "source": {"type": "kafka", "brokers": kafka.address, "topic": topic.name},
        "grid": {"interval": "10s"},
        "targets": {"quantities": ["temperature"]},
        "models": {"last": {"type": "persistence", "horizons": [0, 2]}, "auto": {"type": "auto"}},
        "sinks": {"files": {"type": "files"}},
        "checkpoint": {"interval": "100ms"},
    }
    (tmp_path / "c.yaml").write_text(json.dumps(about))
    command = [sys.executable, "-c", "from gapcast.engine.cli import main; main()", "run"]

    def life(*more):
        return subprocess.Popen([*command, "c.yaml", "--run-dir", "r", *more], cwd=tmp_path)

    def there(stage, sensor):
        if not [*(tmp_path / "r" / stage).glob("**/*.parquet")]:
            return False
        rows = pq.read_table(tmp_path / "r" / stage, partitioning=None)
        return sensor in rows["sensor"].to_pylist()

    running = life()
    try:
        topic.send(value(i, "a") for i in range(100))
        until(lambda: there("forecasts", "a") and there("ahead", "a"))
        topic.send(value(i, s) for i in range(100, 300) for s in "ba")
        until(lambda: there("forecasts", "b") and there("ahead", "b"))
        running.kill()
        running.wait()
        topic.send(value(i, s) for i in range(300, 400) for s in "bac")
        running = life("--resume")
        until(lambda: there("forecasts", "c"))
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.wait()
    counts = json.loads((tmp_path / "r/manifest.json").read_text())["counts"]
    assert (counts["invalid"], counts["late"]) == (0, 0)
    rows = pq.read_table(tmp_path / "r/forecasts", partitioning=None).to_pylist()
    keys = [(r["time"], r["sensor"], r["model"], r["horizon"]) for r in rows]
    assert len(keys) == len({*keys})
    nowcasts = [r for r in rows if r["horizon"] == 0]
    first = {s: min(r["time"] for r in nowcasts if r["sensor"] == s).second // 10 for s in "ab"}
    assert first == {"a": 1, "b": (100 + 10) // 10 % 6}
