"""The MQTT source against a real broker: whatever both go through, every message is read."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as paho
import pyarrow.parquet as pq
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from services.mosquitto import Mosquitto

from gapcast.engine.errors import SourceError
from gapcast.engine.testing import source as kit
from gapcast.plugins.mqtt import session
from gapcast.plugins.sources import mqtt
from gapcast.plugins.sources.mqtt import MqttSource

ROOT = Path(__file__).parents[2]
NUMBERS = itertools.count()
GAPCAST = Path(sys.executable).with_name("gapcast")
PASSWORD = "s3cret-of-the-test"
MADE: list[MqttSource] = []
HERE: list[Mosquitto] = []
"""The broker of this module, once it runs."""


@pytest.fixture(scope="module", autouse=True)
def broker(tmp_path_factory, installed):
    """One for all tests that do not break it."""
    made = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    installed(made.start)
    HERE.append(made)
    yield made
    made.kill()
    HERE.remove(made)


@pytest.fixture
def own(tmp_path):
    """One to break."""
    with Mosquitto(tmp_path / "mosquitto") as made:
        yield made


@pytest.fixture(autouse=True)
def closed():
    """Closes what a test has opened."""
    yield
    while MADE:
        MADE.pop().close()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def publish(broker, messages, retain=False):
    """Publish (topic, payload) with QoS 1; returns when the broker has them all."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for sent in [client.publish(t, p, qos=1, retain=retain) for t, p in messages]:
        sent.wait_for_publish(60)
        assert sent.is_published()
    client.disconnect()
    client.loop_stop()


class Topic:
    """A topic of its own for a test, and sources of it with the spool in `folder`."""

    def __init__(self, broker, folder, **params):
        self.broker = broker
        self.root = f"test-{next(NUMBERS)}"
        self.params = {
            "broker": broker.address, "topic": f"{self.root}/{{sensor}}/{{quantity}}",
            "spool": folder / "spool", "format": "number",
        } | params  # fmt: skip

    def source(self, opened=True, **params):
        source = MqttSource(MqttSource.Params(**self.params | params))
        if opened:
            source.open(None)
            MADE.append(source)
        return source

    def send(self, values, sensor="a", **how):
        lots = [(f"{self.root}/{sensor}/temperature", str(v)) for v in values]
        publish(self.broker, lots, **how)


def take(source, number, position=None, limit=1000):
    """Read on until so many readings have come; values, dead letters, the last position."""
    values, dead = [], []
    deadline = time.monotonic() + 60
    while len(values) < number:
        assert time.monotonic() < deadline
        read = source.read(source.partitions()[0], position, limit)
        values += read.readings["value"].to_pylist()
        dead += read.dead_letters.to_pylist()
        position = read.position
    return values, dead, position


# The kit

LOTS = [
    json.dumps({"time": 1_078_099_200 + 60 * i, "sensor": f"s{i % 3}",
                "quantity": ("humidity", "temperature")[i % 2], "value": i + 0.5})
    for i in range(12)
]  # fmt: skip


class Closed(MqttSource):
    """Is closed after the test."""

    def open(self, quantities):
        MADE.append(self)
        super().open(quantities)


@pytest.fixture(autouse=True)
def soon(request, monkeypatch):
    """Kits read to the end of what is there again and again; waiting there proves nothing."""
    if request.cls is not None:
        monkeypatch.setattr(mqtt, "WAIT", 0.0)


def spooled(folder, topic, lots, **params):
    """A source, not opened, in whose spool these (topic, payload) are."""
    where = {"broker": HERE[0].address, "spool": folder / "spool", "topic": f"kit/{topic}"}
    made = Closed.Params(**where, **params)
    if not (folder / "spool").exists():
        source = Closed(made)
        source.open(None)
        publish(HERE[0], [(f"kit/{t}", p) for t, p in lots])
        stored, position = 0, None
        while stored < len(lots):
            read = source.read(source.partitions()[0], position, 1)
            stored, position = stored + (read.position != position), read.position
        source.close()
    return Closed(made)


def objects(folder, lots=LOTS):
    return spooled(folder, "#", [("x", lot) for lot in lots], time="time", time_format="s")


def spoiled(folder):
    return objects(folder, [*LOTS[:5], "{", *LOTS[5:], "[]"])


TestObjects = kit(objects, spoiled)


def numbers(folder):
    lots = [(f"s{i % 3}/{('humidity', 'temperature')[i % 2]}", f"{i}.5") for i in range(12)]
    return spooled(folder, "{sensor}/{quantity}", lots, format="number")


TestNumbers = kit(
    numbers, skip={"poison_costs_only_itself": "two spools differ in the times of arrival"}
)

# What a broker and a run go through


def test_messages_come_as_they_were_published(broker, tmp_path):
    topic = Topic(broker, tmp_path)
    source = topic.source()
    before = time.time()
    topic.send(range(3000))
    values, dead, _ = take(source, 3000)
    assert (values, dead) == (list(map(float, range(3000))), [])
    first = source.read(source.partitions()[0], None, 1).readings.to_pylist()[0]
    assert (first["sensor"], first["quantity"], first["offset"]) == ("a", "temperature", 0)
    assert before - 1 < first["time"].timestamp() < time.time() + 1
    with pytest.raises(SourceError, match=r"does not say what is published"):
        source.discover()


def test_the_broker_holds_what_comes_while_no_run_is_there(broker, tmp_path):
    topic = Topic(broker, tmp_path)
    first = topic.source()
    topic.send(range(10))
    values, _, position = take(first, 10)
    first.close()
    topic.send(range(10, 1510))
    again = topic.source()
    assert values + take(again, 1500, position)[0] == list(map(float, range(1510)))


def test_what_is_stored_need_not_be_read_before_the_run_ends(broker, tmp_path):
    topic = Topic(broker, tmp_path)
    first = topic.source()
    topic.send(range(100))
    until(lambda: len(Path(topic.params["spool"], f"{0:020d}.part").read_bytes()) > 4000)
    first.close()
    assert take(topic.source(), 100)[0] == list(map(float, range(100)))


def test_a_broker_that_is_stopped_and_started_again(own, tmp_path, caplog):
    topic = Topic(own, tmp_path)
    source = topic.source()
    topic.send(range(50))
    values, _, position = take(source, 50)
    own.stop()
    with caplog.at_level(logging.WARNING):
        until(lambda: caplog.text.count("calling again in") > 1)
    pauses = [float(r.getMessage().split()[-2]) for r in caplog.records]
    assert pauses[:2] == [0.5, 1.0]
    own.start()
    topic.send(range(50, 90))
    while 89.0 not in values:  # what was acknowledged just before may come again
        more, _, position = take(source, 1, position)
        values += more
    assert list(dict.fromkeys(values)) == list(map(float, range(90)))
    assert "does not know us" not in caplog.text


def test_a_broker_that_is_killed_and_forgets_us(own, tmp_path, caplog):
    topic = Topic(own, tmp_path)
    source = topic.source()
    topic.send(range(5))
    position = take(source, 5)[2]
    own.kill()
    own.start()
    until(lambda: "the broker does not know us any more" in caplog.text)
    read = None

    def back():
        nonlocal read
        topic.send([7])
        read = source.read(source.partitions()[0], position, 1)
        return len(read.readings)

    until(back)
    assert read.readings["value"].to_pylist() == [7.0]


def test_a_broker_that_stays_away_ends_the_run(own, tmp_path):
    topic = Topic(own, tmp_path)
    source = topic.source(patience="1s")
    topic.send(range(5))
    position = take(source, 5)[2]
    own.kill()
    with pytest.raises(SourceError, match=r"has been away for \d+ s: Connection refused; go on"):
        take(source, 1, position)


def test_retained_messages_are_old_values(broker, tmp_path):
    topic = Topic(broker, tmp_path, format="json", time="ts", time_format="s")
    topic.send(['{"ts": 5, "value": 1}'], retain=True)
    without, with_ = topic.source(), topic.source(spool=tmp_path / "other", retained=True)
    topic.send(['{"ts": 9, "value": 2}'], retain=True)
    assert take(without, 1)[0] == [2.0]
    assert take(with_, 2)[0] == [1.0, 2.0]
    with_.close()
    topic.send(['{"ts": 10, "value": 3}'])
    again = topic.source(spool=tmp_path / "other", retained=True)
    assert take(again, 3)[0] == [1.0, 2.0, 3.0]


def test_poison_is_a_dead_letter_with_its_place(broker, tmp_path):
    topic = Topic(broker, tmp_path)
    source = topic.source()
    topic.send(["1", "on", "2", "x" * 10_000_000, "3"])
    values, dead, _ = take(source, 3)
    assert values == [1.0, 2.0, 3.0]
    assert [d["reason"] for d in dead] == ["not a number"] * 2
    first = dead[0]
    assert (first["partition"], first["sensor"], first["raw"]) == (
        topic.params["topic"],
        "a",
        b"on",
    )
    assert source.read(source.partitions()[0], None, 1).position["offset"] == first["offset"]


def test_what_cannot_be_stored_is_not_acknowledged(broker, tmp_path, monkeypatch):
    topic = Topic(broker, tmp_path)
    source = topic.source()

    spool = Path(topic.params["spool"])

    def full(_):
        os.truncate(spool / f"{0:020d}.part", 0)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        topic.send(range(5))
        with pytest.raises(SourceError, match="No space left on device"):
            take(source, 6)
        source.close()
    assert take(topic.source(), 5)[0] == list(map(float, range(5)))


def test_no_more_is_taken_than_may_wait(broker, tmp_path):
    topic = Topic(broker, tmp_path, backlog="20kB")
    source = topic.source()
    topic.send(f"{i:099d}" for i in range(5000))
    spool = Path(topic.params["spool"])

    def stored():
        return sum(p.stat().st_size for p in spool.glob("*.part"))

    until(lambda: stored() > 20_000)
    topic.send(["7"])  # the broker is there, and could have sent on
    assert stored() <= 20_000 + session.ON_THEIR_WAY * 200
    assert take(source, 5001)[0] == [*map(float, range(5000)), 7.0]


def test_what_checkpoints_cover_is_removed_when_it_is_old(broker, tmp_path, monkeypatch):
    monkeypatch.setattr("gapcast.plugins.mqtt.journal.PART", 1000)
    topic = Topic(broker, tmp_path, retain="0s")
    source = topic.source()
    position = None
    for i in range(4):
        topic.send(range(100 * i, 100 * i + 100))
        position = take(source, 100, position)[2]
    journal = Path(topic.params["spool"])
    assert len([*journal.glob("*.part")]) > 2
    source.checkpointed({source.partitions()[0]: position})
    source.read(source.partitions()[0], position, 1)
    assert len([*journal.glob("*.part")]) == 1
    topic.send([1])
    assert take(source, 1, position)[0] == [1.0]
    with pytest.raises(SourceError, match=r"the messages from 0 on were removed after `retain`"):
        source.read(source.partitions()[0], position | {"offset": 0}, 1)


def test_runs_that_share_a_spool(broker, tmp_path):
    topic = Topic(broker, tmp_path)
    first, second = topic.source(), topic.source()
    topic.send(range(20))
    _, _, position = take(first, 20)
    assert take(second, 20)[2] == position
    first.close()
    topic.send(range(20, 30))
    assert take(second, 10, position)[0] == list(map(float, range(20, 30)))


def test_a_spool_that_was_replaced(broker, tmp_path):
    topic = Topic(broker, tmp_path)
    source = topic.source(spool=tmp_path / "other")
    topic.send([1])
    position = take(source, 1)[2]
    with pytest.raises(SourceError, match="is not the one that the run has read so far"):
        topic.source().read(topic.params["topic"], position, 1)


def test_two_clients_of_one_name_call_ever_less_often(broker, tmp_path, caplog):
    topic = Topic(broker, tmp_path, client="gapcast-of-the-test")
    topic.source()
    topic.source(spool=tmp_path / "other")
    until(
        lambda: (
            "another client of the id 'gapcast-of-the-test'?; calling again in 2 s" in caplog.text
        )
    )


# Who is let in


def refused(source, words):
    """Opening it raises one line with these words, and without the password."""
    with pytest.raises(SourceError, match=words) as caught:
        source.open(None)
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_what_does_not_answer(tmp_path):
    where = {"topic": "a/#", "spool": tmp_path / "spool", "connect": "1s"}
    source = MqttSource(MqttSource.Params(broker="127.0.0.1:1", **where))
    refused(source, r"^127.0.0.1:1: no answer within 1 s, Connection refused; is an MQTT 5 broker")


def test_only_who_is_known_is_let_in(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    (tmp_path / "users").touch(0o600)
    subprocess.run(["mosquitto_passwd", "-b", tmp_path / "users", "gapcast", PASSWORD], check=True)
    users = f"password_file {tmp_path}/users"
    with Mosquitto(tmp_path / "mosquitto", users, anonymous=False) as guarded:
        topic = Topic(guarded, tmp_path)
        refused(topic.source(opened=False), "does not let us connect: Not authorized")
        wrong = topic.source(opened=False, username="gapcast", password=PASSWORD + "x")
        refused(wrong, "does not let us connect: Not authorized")
        known = topic.source(username="gapcast", password=PASSWORD)
        assert "the password is sent unencrypted" in caplog.text
        told = [caplog.text, repr(known.params), repr(known.params.model_dump())]
        assert not any(PASSWORD in text for text in [*told, *capfd.readouterr()])


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """Files of an authority, of a stranger, of a broker's certificates and of a client's."""
    folder, ca = tmp_path_factory.mktemp("tls"), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
    for name, host in (("good", "127.0.0.1"), ("other", "elsewhere.test"), ("us", "gapcast")):
        made = ca.issue_cert(host)
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return folder


def encrypted(folder, files, name, *settings):
    keys = (
        f"{what} {files}/{name}.{end}" for what, end in (("certfile", "pem"), ("keyfile", "key"))
    )
    return Mosquitto(folder / name, f"cafile {files}/ca.pem", *keys, *settings)


# paho leaves a connection to be collected whose handshake fails.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_encryption(authorities, tmp_path):
    ca, stranger = {"ca": authorities / "ca.pem"}, {"ca": authorities / "stranger.pem"}
    with encrypted(tmp_path, authorities, "good") as good:
        topic = Topic(good, tmp_path, connect="3s")
        refused(topic.source(opened=False, tls=stranger), "certificate verify failed")
        refused(topic.source(opened=False, tls={"ca": "nowhere.pem"}), "nowhere.pem cannot be used")
        refused(topic.source(opened=False), "no answer within 3 s")
        topic.source(tls=ca)
    with encrypted(tmp_path, authorities, "other") as other:
        topic = Topic(other, tmp_path / "other")
        refused(topic.source(opened=False, tls=ca), "certificate verify failed|mismatch")
        topic.source(tls=ca | {"check_host": False})


def test_a_certificate_of_ours(authorities, tmp_path):
    ours = {"certificate": authorities / "us.pem", "key": authorities / "us.key"}
    ca = {"ca": authorities / "ca.pem"}
    with encrypted(tmp_path, authorities, "good", "require_certificate true") as strict:
        topic = Topic(strict, tmp_path, connect="3s")
        refused(topic.source(opened=False, tls=ca), str(strict.port))
        topic.source(tls=ca | ours)


# Whole runs

START = 1_078_099_200


def config(topic, spool):
    return {
        "name": "mqtt",
        "source": topic.params
        | {"type": "mqtt", "spool": str(spool), "format": "json", "time": "ts", "time_format": "s"},
        "grid": {"interval": "1min"},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "models": {"last": {"type": "persistence"}, "ema": {"type": "ema"}},
        "checkpoint": {"interval": "100ms"},
    }  # fmt: skip


class Life:
    """A process that runs a config."""

    def __init__(self, path, run_dir, *more):
        command = [GAPCAST, "run", path, "--run-dir", run_dir]
        self.run_dir = run_dir
        self.process = subprocess.Popen([*map(str, command), *more], cwd=ROOT)

    def forecasts(self):
        return forecasts(self.run_dir)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(60)


def forecasts(run_dir):
    if not [*run_dir.glob("forecasts/**/*.parquet")]:
        return []
    found = pq.read_table(run_dir / "forecasts", partitioning=None)
    order = [(name, "ascending") for name in ("time", "sensor", "quantity", "model")]
    return found.sort_by(order).to_pylist()


def readings(topic, first, last):
    """A reading a minute of two sensors, with gaps."""
    return [
        (f"{topic.root}/{s}/temperature", json.dumps({"ts": START + 60 * i, "value": i % 7 + k}))
        for i in range(first, last)
        for k, s in enumerate("ab")
        if i % 5 or s == "a"
    ]


def test_a_run_that_is_killed_ends_as_one_that_never_was(broker, tmp_path):
    topic = Topic(broker, tmp_path)
    for name in ("straight", "killed"):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(config(topic, tmp_path / f"s-{name}")))
    straight = Life(tmp_path / "straight.yaml", tmp_path / "straight")
    killed = Life(tmp_path / "killed.yaml", tmp_path / "killed")
    try:
        for name in ("straight", "killed"):
            until(lambda n=name: (tmp_path / f"s-{n}/{0:020d}.part").exists())
            until(lambda n=name: (tmp_path / n / "manifest.json").exists())
        publish(broker, readings(topic, 0, 60))
        until(lambda: len(killed.forecasts()) > 100)
        publish(broker, readings(topic, 60, 120))
        assert killed.end(signal.SIGKILL) == -signal.SIGKILL
        publish(broker, readings(topic, 120, 180))
        killed = Life(tmp_path / "killed.yaml", tmp_path / "killed", "--resume")
        last = START + 60 * 178
        for life in (straight, killed):
            until(lambda of=life: any(r["time"].timestamp() == last for r in of.forecasts()))
        assert [life.end(signal.SIGTERM) for life in (straight, killed)] == [0, 0]
        assert killed.forecasts() == straight.forecasts()
        assert len(straight.forecasts()) > 600
    finally:
        for life in (straight, killed):
            life.process.kill()
            life.process.wait()


def test_the_config_that_ships(broker, tmp_path):
    where = [f"source.broker={broker.address}", f"source.spool={tmp_path}/spool"]
    life = Life(
        "configs/mqtt.yaml", tmp_path / "run", *(w for s in where for w in ("--set", s)),
        "--set", "grid.interval=1s",
    )  # fmt: skip
    try:
        until(lambda: (tmp_path / "run/manifest.json").exists())

        def going():
            publish(broker, [("home/kitchen/temperature", "21.5"), ("home/hall/humidity", "40")])
            return len(life.forecasts()) > 2

        until(going)
        assert life.end(signal.SIGTERM) == 0
        assert {r["sensor"] for r in life.forecasts()} <= {"kitchen", "bedroom", "hall"}
    finally:
        life.process.kill()
        life.process.wait()
