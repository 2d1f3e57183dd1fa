"""A producer that accounts for every record: delivered, or told why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gapcast.engine.errors import SinkError
from gapcast.engine.sink import Retry
from gapcast.engine.spelling import meant
from gapcast.plugins.kafka.connection import DENIED, Connection, Trouble, kafka, words

_AT_ONCE = 10_000
_USUAL = {
    "linger.ms": 20,
    "batch.size": 1 << 20,
    "compression.type": "lz4",
    "queue.buffering.max.messages": 500_000,
    "queue.buffering.max.kbytes": 256 << 10,
    "message.timeout.ms": 60_000,
    "partitioner": "murmur2_random",  # a key goes where the clients of Java put it
}
LASTING = ("MSG_SIZE_TOO_LARGE", "TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
           "UNKNOWN_TOPIC_OR_PART", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", *DENIED)  # fmt: skip


class Sender:
    """Sends records to the topic of `connection`. Not for two threads at once.

    Idempotent: a record that a broker has is not stored again when its answer was lost.
    """

    def __init__(self, connection: Connection, **own: Any) -> None:
        self._kafka = kafka()
        self._topic = connection.topic
        self._seconds = connection.seconds
        self._failed: Counter[tuple[str, str]] = Counter()
        self.trouble = Trouble()
        settings = connection.client(
            self.trouble,
            enable_idempotence=True,
            acks="all",
            delivery_report_only_error=True,
            **own,
        )
        try:
            self.producer = self._kafka.Producer(_USUAL | settings)
        except self._kafka.KafkaException as error:
            raise SinkError(f"sink kafka: {words(error)}") from None

    def partitions(self) -> int:
        """How many partitions the topic has. Raises SinkError when that cannot be found out."""
        try:
            # Asked for by name, a topic that is not there would be made by most brokers.
            there = self.producer.list_topics(timeout=self._seconds).topics
        except self._kafka.KafkaException as error:
            self.producer.poll(0)
            problem = f"topic {self._topic!r} cannot be used, {words(error)}"
            raise SinkError(self.trouble.after(problem)) from None
        if self._topic not in there:
            close = meant(self._topic, [name for name in there if not name.startswith("__")])
            raise SinkError(f"there is no topic {self._topic!r}{close}; make it first")
        return len(there[self._topic].partitions)

    def partition(self, key: str, partitions: int) -> int:
        """Where records of that key go."""
        return int(self._kafka.murmur2(key.encode(), partitions))

    def send(
        self,
        values: Sequence[str | bytes],
        keys: Sequence[str] | None = None,
        partition: int = -1,
    ) -> None:
        """Hand over records, waiting where too many are on their way. `delivered` says of them."""
        for start in range(0, len(values), _AT_ONCE):
            part = values[start : start + _AT_ONCE]
            if keys is None:
                left = [{"value": v} for v in part]
            else:
                named = zip(part, keys[start : start + _AT_ONCE], strict=True)
                left = [{"value": v, "key": k} for v, k in named]
            while left:
                self.producer.produce_batch(
                    self._topic, left, partition=partition, on_delivery=self._note
                )
                left = [self._again(record) for record in left if "_error" in record]
                self.producer.poll(0.1 if left else 0)

    def delivered(self) -> Retry | None:
        """Wait until each record handed over is delivered or has failed.

        ``None`` if none has; `Retry` if it may be otherwise next time. Raises SinkError if not.
        """
        self.producer.flush()
        failed, self._failed = self._failed, Counter()
        if not failed:
            return None
        (code, text), _ = failed.most_common(1)[0]
        problem = f"{failed.total():,} records for topic {self._topic!r} were not delivered: {text}"
        if code in LASTING or self.trouble.denied:
            raise SinkError(self.trouble.after(problem))
        return Retry(problem)

    def _again(self, record: dict[str, Any]) -> dict[str, Any]:
        error = record.pop("_error")
        if error.name() != "_QUEUE_FULL":
            raise SinkError(f"topic {self._topic!r} cannot be sent to: {error.str()}")
        return record

    def _note(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed[error.name(), error.str()] += 1
