"""Each real service comes up, does its simplest work, survives a loss and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def test_a_dead_service_shows_its_log(kafka, tmp_path):
    service = Kafka(tmp_path, brokers=1)
    service._settings = lambda i: {"process.roles": "cook"}
    with pytest.raises(Failed, match=r"format-0 ended with 1:\n(.|\n)*cook"):
        service.__enter__()


def test_a_missing_program_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(Missing, match=r"^mvn not found: install Maven"):
        program("mvn")
    with pytest.raises(Missing, match=r"^java not found: install a Java 17 development kit"):
        program("java")
