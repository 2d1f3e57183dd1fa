"""TLS and SASL against a broker that insists: right ones are let in, wrong ones told in a line."""

from __future__ import annotations

import json
import logging
import subprocess

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from services.jvm import HOST, free_ports
from services.kafka import Kafka
from services.maven import classpath

from gapcast.engine.config import load_production
from gapcast.engine.errors import GapcastError
from gapcast.engine.run.produce import produce
from gapcast.plugins.sinks.kafka import KafkaSink
from gapcast.plugins.sources.kafka import KafkaSource

PASSWORD = "s3cret-of-the-test"
LOGIN = {"mechanism": "PLAIN", "username": "gapcast", "password": PASSWORD}
JAAS = "org.apache.kafka.common.security.plain.PlainLoginModule required"


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def authority(folder, name):
    openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2",
    )  # fmt: skip


def certificate(folder, name, host, days="2"):
    """Key and certificate of a broker in one PEM file, as Kafka wants them."""
    (folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
    openssl(
        folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}",
    )  # fmt: skip
    openssl(
        folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-out", f"{name}.crt", "-days", days, "-extfile", f"{name}.ext",
    )  # fmt: skip
    both = folder / f"{name}.pem"
    both.write_text((folder / f"{name}.key").read_text() + (folder / f"{name}.crt").read_text())
    return both


class Guarded(Kafka):
    """One broker; beside its plain listener one with SASL and TLS, and two whose certificates are
    for another host and too old."""

    def __init__(self, folder):
        super().__init__(folder, brokers=1)
        authority(self.folder, "ca")
        authority(self.folder, "stranger")
        self.listeners = {
            "good": ("SASL_SSL", certificate(self.folder, "good", f"IP:{HOST}")),
            "other": ("SSL", certificate(self.folder, "other", "DNS:elsewhere.test")),
            "old": ("SSL", certificate(self.folder, "old", f"IP:{HOST}", days="0")),
        }
        self.at = dict(zip(self.listeners, free_ports(3), strict=True))

    def settings(self, i):
        made = super().settings(i)
        for name, (protocol, pem) in self.listeners.items():
            place = f"{name.upper()}://{HOST}:{self.at[name]}"
            made["listeners"] += f",{place}"
            made["advertised.listeners"] += f",{place}"
            made["listener.security.protocol.map"] += f",{name.upper()}:{protocol}"
            made[f"listener.name.{name}.ssl.keystore.type"] = "PEM"
            made[f"listener.name.{name}.ssl.keystore.location"] = pem
        made["listener.name.good.sasl.enabled.mechanisms"] = "PLAIN"
        made["listener.name.good.plain.sasl.jaas.config"] = f'{JAAS} user_gapcast="{PASSWORD}";'
        return made


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, installed):
    installed(lambda: classpath("kafka"))
    with Guarded(tmp_path_factory.mktemp("guarded")) as broker:
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        admin.create_topics([NewTopic("readings", 1, 1)])["readings"].result(30)
        yield broker


def keys(broker, listener="good", **changes):
    found = {
        "brokers": f"{HOST}:{broker.at[listener]}",
        "topic": "readings",
        "connect": "4s",
        "tls": {"ca": str(broker.folder / "ca.pem")},
    }
    return found | ({"sasl": LOGIN} if listener == "good" else {}) | changes


def test_who_is_known_is_let_in(guarded, tmp_path):
    (tmp_path / "d.csv").write_text("time,sensor,quantity,value\n2004-03-01,1,temperature,20.5\n")
    path = tmp_path / "p.yaml"
    where = {"type": "kafka-readings", **keys(guarded)}
    source = {"type": "replay", "path": str(tmp_path / "d.csv")}
    path.write_text(json.dumps({"source": source, "sinks": {"k": where}}))
    assert produce(load_production(path)).readings == 1
    made = KafkaSource(KafkaSource.Params(**keys(guarded), end="now"))
    made.open({"temperature"})
    position, values = None, []
    while True:
        read = made.read("readings-0", position, 10)
        position = read.position
        values += read.readings["value"].to_pylist()
        if read.ended:
            break
    made.close()
    assert values == [20.5]


@pytest.mark.parametrize(
    ("listener", "changes", "words"),
    [
        ("good", {"sasl": LOGIN | {"password": PASSWORD + "x"}}, "Authentication failed"),
        ("good", {"sasl": None}, "Disconnected|SASL|connection closed|broker"),
        ("other", {}, "certificate verify failed|hostname|host"),
        ("old", {}, "certificate"),
    ],
)
def test_what_is_wrong_is_rejected_in_one_line(guarded, listener, changes, words, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    source = KafkaSource(KafkaSource.Params(**keys(guarded, listener, **changes)))
    with pytest.raises(GapcastError, match=words) as caught:
        source.open(None)
    told = [str(caught.value), repr(source.params), repr(source.params.model_dump())]
    sink = KafkaSink(KafkaSink.Params(**keys(guarded, listener, **changes)))
    with pytest.raises(GapcastError) as caught:
        sink.open(None, "g")
    told += [str(caught.value), caplog.text, *capfd.readouterr()]
    assert not any(PASSWORD in text for text in told)
    assert all("\n" not in text for text in (told[0], told[3]))


def test_another_authority_is_not_trusted(guarded):
    stranger = {"ca": str(guarded.folder / "stranger.pem")}
    source = KafkaSource(KafkaSource.Params(**keys(guarded, tls=stranger)))
    with pytest.raises(GapcastError, match="certificate verify failed"):
        source.open(None)
    unchecked = {"ca": str(guarded.folder / "ca.pem"), "check_host": False}
    lenient = KafkaSource(KafkaSource.Params(**keys(guarded, "other", tls=unchecked)))
    lenient.open(None)
    assert lenient.partitions() == ["readings-0"]
    lenient.close()
