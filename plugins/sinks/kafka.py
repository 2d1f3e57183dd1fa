"""``kafka``, ``kafka-dead-letters``, ``kafka-readings``: rows of each kind to a topic."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from gapcast.engine.errors import SinkError
from gapcast.engine.sink import (
    AlreadyCommitted,
    Committed,
    Delivery,
    JobInfo,
    Outcome,
    Receives,
    Retry,
    Sink,
)
from gapcast.plugins.kafka.connection import Connection, Trouble, kafka, words
from gapcast.plugins.kafka.encoders import lines, moments, objects, sensors, streams
from gapcast.plugins.kafka.sender import LASTING, Sender

log = logging.getLogger("gapcast.kafka")


class KafkaSink(Sink):
    """Forecasts as JSON objects of the columns of forecasts, keyed by sensor, exactly once.

    An epoch is a transaction: its records and its number, as the offset of a consumer group that
    is the run's own (``gapcast-GENERATION-TOPIC``), are committed together. Consumers must read
    committed records only (`isolation.level`). A group's offsets are forgotten a week after the
    last commit (the broker's `offsets.retention.minutes`): a run that crashed, and is resumed
    later than that, repeats the epochs since its last checkpoint.
    """

    class Params(Connection):
        pass

    params: Params
    delivery = Delivery.TRANSACTIONAL

    def open(self, job: JobInfo, generation: str) -> None:
        """End what a process before this one left open, and find its last epoch."""
        self._own = f"gapcast-{generation}-{self.params.topic}"
        self._kafka = kafka()
        self._sender: Sender | None = None
        self._group: Any = None
        self._last: int | None = None
        settings = self.params.client(
            Trouble(), group_id=self._own, enable_auto_commit=False,
            isolation_level="read_committed",
        )  # fmt: skip
        try:
            # One for all connections: closing one may wait as long as brokers are gone.
            self._group = self._kafka.Consumer(settings)
            self._connect().partitions()
        except self._kafka.KafkaException as error:
            raise SinkError(f"sink kafka: {words(error)}") from None

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Send and commit one epoch. After any failure the next try begins with a new client,
        which asks first whether the epoch was committed after all."""
        try:
            sender = self._sender or self._connect()
            if self._last is not None and epoch <= self._last:
                return AlreadyCommitted()
            self._commit(sender, epoch, forecasts)
        except self._kafka.KafkaException as error:
            self._sender = None
            if error.args[0].name() in LASTING:
                raise SinkError(f"topic {self.params.topic!r}: {words(error)}") from None
            return Retry(words(error))
        self._last = epoch
        return Committed()

    def close(self) -> None:
        """Let go of the connection."""
        self._sender = None
        if self._group is not None:
            self._group.close()

    def _connect(self) -> Sender:
        sender = Sender(
            self.params, transactional_id=self._own, transaction_timeout_ms=60_000,
            message_timeout_ms=60_000,
        )  # fmt: skip
        sender.producer.init_transactions(self.params.seconds)
        place = self._kafka.TopicPartition(self.params.topic, 0)
        (found,) = self._group.committed([place], timeout=self.params.seconds)
        self._last = found.offset - 1 if found.offset > 0 else None
        self._sender = sender
        return sender

    def _commit(self, sender: Sender, epoch: int, forecasts: pa.Table) -> None:
        sender.producer.begin_transaction()
        rows = forecasts.unify_dictionaries().combine_chunks()
        columns = {name: _array(rows[name]) for name in rows.column_names}
        if len(rows):
            sender.send(objects(columns), sensors(rows))
        place = self._kafka.TopicPartition(self.params.topic, 0, epoch + 1)
        sender.producer.send_offsets_to_transaction(
            [place], self._group.consumer_group_metadata(), 60
        )
        sender.producer.commit_transaction(60)


class KafkaDeadLettersSink(Sink):
    """Dead letters as JSON objects, without a key, at least once; `raw` is Base64."""

    class Params(Connection):
        pass

    params: Params
    delivery = Delivery.AT_LEAST_ONCE
    receives = Receives.DEAD_LETTERS

    def open(self, job: JobInfo, generation: str) -> None:
        """See `Sink.open`."""
        self._sender = Sender(self.params)
        self._sender.partitions()

    def write(self, epoch: int, letters: pa.Table) -> Outcome:
        """Send dead letters and wait until the brokers have them."""
        self._sender.send(objects({name: _array(letters[name]) for name in letters.column_names}))
        return self._sender.delivered() or Committed()


class KafkaReadingsSink(Sink):
    """Readings, of `gapcast produce`, to a topic; a sensor's stay in order in one partition."""

    class Params(Connection):
        format: Literal["json", "json-wide", "arrow", "intel-lab"] = Field(
            default="json",
            description="json: an object for each reading, `{time, sensor, quantity, value}`; "
            "json-wide: one for each moment of a sensor, `{time, sensor, temperature, humidity}`; "
            "arrow: IPC streams of up to 10,000 readings; intel-lab: the original's lines.",
        )

    params: Params
    delivery = Delivery.AT_LEAST_ONCE
    receives = Receives.READINGS

    def open(self, job: JobInfo, generation: str) -> None:
        """See `Sink.open`."""
        self._sender = Sender(self.params)
        self._partitions = self._sender.partitions()

    def write(self, epoch: int, readings: pa.Table) -> Outcome:
        """Send readings and wait until the brokers have them."""
        send: dict[str, Callable[[], None]] = {
            "json": lambda: self._sender.send(*_long(readings)),
            "json-wide": lambda: self._sender.send(*moments(readings)),
            "intel-lab": lambda: self._sender.send(*lines(readings)),
            "arrow": partial(self._streams, readings),
        }
        send[self.params.format]()
        return self._sender.delivered() or Committed()

    def _streams(self, readings: pa.Table) -> None:
        """Streams hold many sensors, so the partition is chosen here: as it would be by key."""
        sensor = _array(readings["sensor"])
        where = [self._sender.partition(n, self._partitions) for n in sensor.dictionary.to_pylist()]
        of_row = np.array(where, np.int64)[sensor.indices.to_numpy()]
        for number in range(self._partitions):
            rows = readings.filter(pa.array(of_row == number)).drop_columns("offset")
            self._sender.send(streams(rows), partition=number)


def _long(readings: pa.Table) -> tuple[list[str], list[str]]:
    columns = {name: _array(readings[name]) for name in readings.column_names if name != "offset"}
    return objects(columns), sensors(readings)


def _array(column: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
