"""Each real service comes up, does its simplest work, survives a loss and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import fsspec
import hdfs_native
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from services.kafka import Kafka
from services.programs import Failed, Missing, program


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def produce(kafka, topic, numbers):
    failures = []
    producer = Producer({"bootstrap.servers": kafka.address, "acks": "all", "log_level": 0})
    for number in numbers:
        producer.produce(
            topic, str(number), on_delivery=lambda error, _: error and failures.append(error)
        )
    assert producer.flush(60) == 0
    assert failures == []


def consume(kafka, topic, number):
    settings = {"bootstrap.servers": kafka.address, "group.id": topic, "log_level": 0}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    seen = []
    deadline = time.monotonic() + 60
    while len(seen) < number and time.monotonic() < deadline:
        seen += [int(m.value()) for m in consumer.consume(500, 0.2) if not m.error()]
    consumer.close()
    return sorted(seen)


def test_kafka_goes_on_without_one_broker(kafka):
    topic = NewTopic("readings", num_partitions=3, replication_factor=3)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([topic])["readings"].result(30)
    produce(kafka, "readings", range(1000))
    kafka.kill(1)
    try:
        produce(kafka, "readings", range(1000, 2000))
        assert consume(kafka, "readings", 2000) == list(range(2000))
    finally:
        kafka.restart(1)


@pytest.fixture
def webhdfs(hdfs):
    host, port = hdfs.web.split(":")
    files = fsspec.filesystem(
        "webhdfs", host=host, port=int(port), user="gapcast", skip_instance_cache=True
    )
    yield files
    files.session.close()


def test_hdfs_keeps_files_without_one_data_node(hdfs, webhdfs):
    content = bytes(range(256)) * 1000
    webhdfs.mkdir("/runs")
    webhdfs.pipe("/runs/part.new", content)
    webhdfs.mv("/runs/part.new", "/runs/part")
    assert webhdfs.ls("/runs") == ["/runs/part"]
    assert webhdfs.cat("/runs/part") == content
    hdfs.kill(1)
    try:
        with hdfs_native.Client(hdfs.address).read("/runs/part") as file:
            assert file.read() == content
    finally:
        hdfs.restart(1)


def test_hdfs_comes_back_from_its_name_nodes_death(hdfs):
    client = hdfs_native.Client(hdfs.address)
    for words in (b"old", b"new"):
        with client.create("/epoch.new") as file:
            file.write(words)
        client.rename("/epoch.new", "/epoch", overwrite=True)
    hdfs.kill(0)
    hdfs.restart(0)
    with hdfs_native.Client(hdfs.address).read("/epoch") as file:
        assert file.read() == b"new"


def call(tsdb, path, body):
    request = urllib.request.Request(
        tsdb.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def stored(tsdb, metric):
    """Points of a metric by second, as a query answers them."""
    query = {"metric": metric, "aggregator": "none", "tags": {"sensor": "1"}}
    (series,) = call(tsdb, "/api/query", {"start": 1, "end": 2_000_000_000, "queries": [query]})
    return {int(time): value for time, value in series["dps"].items()}


def points(metric, number):
    return {
        1_078_099_200 + 30 * i: {
            "metric": metric,
            "timestamp": 1_078_099_200 + 30 * i,
            "value": 19.1 + i / 7,
            "tags": {"sensor": "1"},
        }
        for i in range(number)
    }


def test_opentsdb_gives_back_what_it_took(opentsdb):
    sent = points("lab.temperature", 10)
    answer = call(opentsdb, "/api/put?sync&details", list(sent.values()))
    assert answer == {"success": 10, "failed": 0, "errors": []}
    assert stored(opentsdb, "lab.temperature") == {t: p["value"] for t, p in sent.items()}


def test_opentsdb_takes_large_bodies(opentsdb):
    sent = points("lab.large", 5000)  # about half a megabyte
    assert call(opentsdb, "/api/put?sync&details", list(sent.values()))["success"] == 5000
    assert stored(opentsdb, "lab.large") == {t: p["value"] for t, p in sent.items()}


def test_opentsdb_and_hbase_come_back_with_their_points(opentsdb):
    sent = points("lab.humidity", 10)
    call(opentsdb, "/api/put?sync&details", list(sent.values()))
    opentsdb.kill(0)
    opentsdb.hbase.kill(0)
    opentsdb.hbase.restart(0)
    opentsdb.restart(0)
    assert stored(opentsdb, "lab.humidity") == {t: p["value"] for t, p in sent.items()}


def test_nothing_is_left_running(kafka, tmp_path):
    with Kafka(tmp_path, brokers=1) as service:
        pids = service.pids
        assert all(map(alive, pids))
    assert not any(map(alive, pids))


ORPHANS = """
import sys, pathlib, subprocess
from services.kafka import Kafka

with Kafka(pathlib.Path(sys.argv[1]), brokers=1) as service:
    print(*service.pids, flush=True)
    sys.stdin.read()
"""


def test_services_end_with_whoever_started_them(kafka, tmp_path):
    command = [sys.executable, "-c", ORPHANS, str(tmp_path)]
    path = str(Path(__file__).parents[1])
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as parent:
        pids = list(map(int, parent.stdout.readline().split()))
        parent.send_signal(signal.SIGKILL)
    assert pids
    until(lambda: not any(map(alive, pids)))


class Cook(Kafka):
    """Brokers that are set up for another job."""

    def settings(self, i):
        return {"process.roles": "cook"}


def test_a_dead_service_shows_its_log(kafka, tmp_path):
    with pytest.raises(Failed, match=r"format-0 ended with 1:\n(.|\n)*cook"):
        Cook(tmp_path, brokers=1).__enter__()


def test_a_missing_program_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(Missing, match=r"^mvn not found: install Maven"):
        program("mvn")
    with pytest.raises(Missing, match=r"^java not found: install a Java 17 development kit"):
        program("java")


def test_services_up_prints_where_they_are_and_makes_the_topics(kafka, tmp_path):
    up = [sys.executable, Path(__file__).parents[1] / "services" / "up.py"]
    try:
        done = subprocess.run([*up, "up", tmp_path], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found = dict(re.findall(r"^export (\w+)=(.+)$", done.stdout, re.M))
        assert found.keys() == {"KAFKA", "HDFS", "WEBHDFS", "HBASE", "OPENTSDB"}
        topics = AdminClient({"bootstrap.servers": found["KAFKA"]}).list_topics(timeout=30).topics
        assert {"readings", "dead-letters", "forecasts"} <= topics.keys()
    finally:
        subprocess.run([*up, "down", tmp_path], check=True, capture_output=True, timeout=120)


def test_services_up_says_what_is_missing(tmp_path):
    command = [sys.executable, Path(__file__).parents[1] / "services" / "up.py"]
    bare = {**os.environ, "PATH": "", "JAVA_HOME": ""}
    for _ in range(2):
        done = subprocess.run([*command, "up", tmp_path], env=bare, capture_output=True, text=True)
        assert done.returncode == 1
        assert "not found: install" in done.stderr
    assert subprocess.run([*command, "down", tmp_path], env=bare).returncode == 0


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_without_java_tests_are_not_run_and_ci_fails(ci, outcome):
    test = f"{__file__}::test_kafka_goes_on_without_one_broker"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        env={**os.environ, "PATH": "", "JAVA_HOME": "", "CI": ci},
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout
    assert "not found: install" in done.stdout
