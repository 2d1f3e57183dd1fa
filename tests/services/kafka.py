"""Kafka brokers that are their own controllers (KRaft), on loopback."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path

from services.jvm import HOST, Jvm, Service, free_ports
from services.maven import classpath

LOGGING = """\
status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
"""


class Kafka(Service):
    """`brokers` nodes; with three, topics have three copies and two must have a record.

    A majority of the nodes must live for anything to go on, since they elect the controller.
    """

    def __init__(self, folder: Path, brokers: int = 3) -> None:
        super().__init__(folder)
        self.brokers = brokers
        self.ports = free_ports(2 * brokers)

    @property
    def address(self) -> str:
        """Value of ``bootstrap.servers``."""
        return ",".join(f"{HOST}:{port}" for port in self.ports[: self.brokers])

    def begin(self) -> None:
        jars = classpath("kafka")
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        logging = self.folder / "log4j2.properties"
        logging.write_text(LOGGING)
        options = [f"-Dlog4j2.configurationFile={logging.as_uri()}"]
        formats = []
        for i in range(self.brokers):
            settings = self.folder / f"broker-{i}.properties"
            settings.write_text("".join(f"{k}={v}\n" for k, v in self.settings(i).items()))
            tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
            tool += ["--config", str(settings)]
            formats.append(Jvm(f"format-{i}", self.folder, jars, tool, options))
            self.launch(formats[i])
            command = ["kafka.Kafka", str(settings)]
            self.nodes.append(Jvm(f"broker-{i}", self.folder, jars, command, options, heap=320))
        for tool in formats:
            tool.finish(self.seconds)
        for node in self.nodes:
            self.launch(node)

    def settings(self, i: int) -> dict[str, object]:
        """What broker `i` is set up with."""
        copies = min(3, self.brokers)
        quorum = min(2, copies)
        controllers = self.ports[self.brokers :]
        return {
            "process.roles": "broker,controller",
            "node.id": i,
            "listeners": f"PLAINTEXT://{HOST}:{self.ports[i]},CONTROLLER://{HOST}:{controllers[i]}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.ports[i]}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": ",".join(
                f"{n}@{HOST}:{port}" for n, port in enumerate(controllers)
            ),
            "log.dirs": self.folder / f"data-{i}",
            "default.replication.factor": copies,
            "min.insync.replicas": quorum,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": quorum,
            "transaction.state.log.num.partitions": 3,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": quorum,
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 4000,
            "group.initial.rebalance.delay.ms": 0,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "log.cleaner.dedupe.buffer.size": 8 << 20,
            "log.cleaner.backoff.ms": 200,
        }

    def ready(self) -> bool:
        return all(self._whole(port) for port in self.ports[: self.brokers])

    def _whole(self, port: int) -> bool:
        """Whether this broker answers, knows all others, and knows no copy that lags."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": f"{HOST}:{port}", "log_level": 0})
        try:
            seen = admin.list_topics(timeout=2)
        except KafkaException:
            return False
        partitions = [p for topic in seen.topics.values() for p in topic.partitions.values()]
        return len(seen.brokers) == self.brokers and all(
            len(p.isrs) == len(p.replicas) for p in partitions
        )
