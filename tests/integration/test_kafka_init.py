"""``gapcast init`` of topics: the config that it writes reads all that is there."""

from __future__ import annotations

import json
import threading
import time

import pytest
import yaml
from command import gapcast
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from services.mosquitto import Mosquitto


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def send(kafka, topic, values):
    admin = AdminClient({"bootstrap.servers": kafka.address, "log_level": 0})
    admin.create_topics([NewTopic(topic, 2, 3)])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka.address, "log_level": 0})
    for i, value in enumerate(values):
        producer.produce(topic, value, None, i % 2)
    assert producer.flush(60) == 0


def test_a_topic_of_json_is_read_whole(kafka, folder):
    begin = 1_709_942_400
    send(kafka, "init-json", [
        json.dumps({"ts": begin + 60 * (k // 3), "device": f"d{k % 3}", "t": 20 + k % 7 / 3,
                    "rh": 50 + k % 5 / 2, "firmware": "1.2"})
        for k in range(600)
    ])  # fmt: skip
    done = gapcast("init", f"kafka://{kafka.address.split(',')[0]}/init-json")
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((folder / "run.yaml").read_text())
    assert config["grid"] == {"interval": "1min", "lateness": "6s"}
    assert config["targets"]["quantities"] == ["rh", "t"]
    assert gapcast("check", "run.yaml").returncode == 0
    ran = gapcast("run", "run.yaml", "--run-dir", "out", "--set", "source.end=now")
    assert ran.returncode == 0, ran.stderr
    counts = json.loads((folder / "out/manifest.json").read_text())["counts"]
    assert counts["read"] == counts["used"] == 1200


def test_a_topic_without_records_gets_defaults_that_are_told(kafka, folder):
    send(kafka, "init-empty", [])
    done = gapcast("init", f"kafka://{kafka.address.split(',')[0]}/init-empty", "--seconds", "1")
    assert done.returncode == 0, done.stderr
    assert "not sure: source.format: no message was seen" in done.stderr
    assert (
        "# Not sure: no reading was seen: name the quantities" in (folder / "run.yaml").read_text()
    )
    assert gapcast("check", "run.yaml").returncode == 0
    missing = gapcast("init", f"kafka://{kafka.address.split(',')[0]}/init-emty", "--force")
    assert (missing.returncode, len(missing.stderr.splitlines())) == (1, 1)
    assert "there is no topic 'init-emty'; did you mean 'init-empty'?" in missing.stderr


def test_numbers_of_mqtt_name_their_sensors_by_their_topics(folder, installed):
    paho = pytest.importorskip("paho.mqtt.client")
    broker = Mosquitto(folder / "broker")
    installed(broker.start)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    over = threading.Event()

    def publish():
        while not over.wait(0.02):
            for sensor in ("kitchen", "hall"):
                client.publish(f"home/{sensor}/temperature", f"{20 + time.time() % 1:.2f}", 1)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        done = gapcast("init", f"mqtt://{broker.address}/home/#", "--seconds", "2")
    finally:
        over.set()
        thread.join()
        client.loop_stop()
        client.disconnect()
        broker.kill()
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((folder / "run.yaml").read_text())
    assert config["source"]["topic"] == "home/{sensor}/{quantity}"
    assert config["source"]["format"] == "number"
    assert config["network"]["sensors"] == ["hall", "kitchen"]
    assert config["targets"]["quantities"] == ["temperature"]
    assert gapcast("check", "run.yaml").returncode == 0
