"""``kafka``: a topic, each of its partitions a partition of the source."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.output.unused import Unused
from gapcast.engine.source import Position, Proposal, Read, Source
from gapcast.engine.spelling import counted
from gapcast.engine.units import MICROSECONDS, Duration, expecting
from gapcast.plugins.kafka.arrow_streams import ArrowStreams
from gapcast.plugins.kafka.connection import Connection
from gapcast.plugins.kafka.decoders import Beside, Columns, Decoder, Lines
from gapcast.plugins.kafka.json_values import JsonObjects
from gapcast.plugins.kafka.look import LOOKED, shape_of, tally
from gapcast.plugins.kafka.reader import Reader
from gapcast.plugins.kafka.records import NO_TIME, NOTHING, Records
from gapcast.plugins.sources.files import File
from gapcast.plugins.sources.formats import load
from gapcast.plugins.sources.formats.csv import Csv, CsvOptions, LineOptions
from gapcast.plugins.sources.formats.format import TextFormat

log = logging.getLogger("gapcast.kafka")

LONGEST_LOOK = 60.0
"""Seconds that looking for the series of a topic may take."""
_AT_ONCE = 16 << 20
_ROW = 24
"""Bytes of a reading in an Arrow IPC stream, about."""


class KafkaParams(LineOptions, Connection):
    """Parameters of the source ``kafka``; the keys of tables are those of ``replay``."""

    format: str = Field(
        default="json",
        description="What a record's value is: json (an object or an array of them), arrow (an IPC "
        "stream of many readings), csv, intel-lab, intel-lab-conv (a line or several) or "
        "my.module:MyFormat.",
    )
    time: str = Field(default="time", description="Column of the time.")
    columns: tuple[str, ...] = Field(
        default=("time", "sensor", "quantity", "value"),
        min_length=1,
        description="The fields of a csv line, in order.",
    )
    key_is_sensor: bool = Field(
        default=False, description="The sensor is the record's key instead of a field."
    )
    timestamp_is_time: bool = Field(
        default=False, description="The time is the record's timestamp instead of a field."
    )
    end: Literal["live", "now"] = Field(
        default="live",
        description="live: never; now: where the topic ends when the run begins or goes on.",
    )
    group: str | None = Field(
        default=None,
        description="Consumer group in which offsets are noted after each checkpoint, for "
        "monitoring the lag; nothing is ever read from it. Default: none.",
    )
    refresh: Duration = Field(
        default=30 * MICROSECONDS["s"], gt=0, description="How often new partitions are looked for."
    )
    patience: Duration = Field(
        default=2 * MICROSECONDS["min"],
        gt=0,
        description="How long it may last that no broker answers, or nothing comes although there "
        "are records, before the run fails; after half of it the client connects anew.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        beside = self.key_is_sensor or self.timestamp_is_time
        if self.format in ("json", "arrow"):
            return self
        reader = load(self.format)
        if not issubclass(reader, TextFormat):
            raise ValueError(f"format {self.format!r} is not a line format")
        if beside and reader is not Csv:
            raise ValueError(
                f"{self.format} lines contain their sensor and time: neither "
                "key_is_sensor nor timestamp_is_time"
            )
        return self

    @model_validator(mode="after")
    def _group_by_name(self) -> Self:
        if self.group == "":
            raise expecting("a group's name, or left out")
        return self

    @property
    def table(self) -> CsvOptions:
        """The keys of tables alone."""
        own = {name: getattr(self, name) for name in LineOptions.model_fields}
        if self.timestamp_is_time:
            own["time_format"] = "ms"
        return CsvOptions(**own)


class KafkaSource(Source):
    """Readings from a topic's records: JSON objects, lines of text, Arrow IPC streams.

    Positions are ours: every partition is assigned and read from where the checkpoint says, and a
    record that is no longer there stops the run rather than being passed over. A record without a
    value (a tombstone) gives nothing, one that cannot be understood is a dead letter with its
    ``topic-partition:offset``. Only what has been committed is read of transactions.
    """

    Params = KafkaParams
    resumable = frozenset(
        {"brokers", "tls", "sasl", "connect", "group", "refresh", "patience", "end"}
    )

    params: KafkaParams

    @classmethod
    def propose(cls, host: str, topic: str, seconds: float) -> Proposal:
        """See `Source.propose`: of the last records of each partition."""
        own = {"type": "kafka", "brokers": host, "topic": topic}
        plain = cls.Params(brokers=host, topic=topic, connect="5s")
        records = _last(Reader(plain, None, seconds), seconds)
        keys = [message.key() for message in records]
        shape = shape_of([message.value() for message in records], None not in keys)
        source = cls(cls.Params(**{k: v for k, v in own.items() if k != "type"}, **shape.keys))
        decoder = source._decoder_for(None)
        made = decoder.decode(source._records(0, records)) if records else NOTHING
        seen = tally(made)
        facts = {"topic": f"{topic}; {counted(len(records), 'record')} looked at", **seen.facts}
        return Proposal(
            own | shape.keys, seen.quantities, seen.sensors, seen.interval,
            bool(seen.quantities), shape.unsure, facts,
        )  # fmt: skip

    @property
    def live(self) -> bool:
        """See `Source.live`."""
        return self.params.end == "live"

    def open(self, quantities: Collection[str] | None) -> None:
        """See `Source.open`. Raises SourceError when no broker answers or the topic is not there.

        With ``end: now``, finds where each partition ends.
        """
        wanted = None if quantities is None else frozenset(quantities)
        self._decoder = self._decoder_for(wanted)
        self._reader = self._connected()
        self._count = self._reader.partitions()
        self._id = self._reader.topic_id()
        self._ends = self._ends_of(self._reader) if self.params.end == "now" else None
        self._looked = time.monotonic()
        self._noted: dict[int, int] = {}
        self._lock = threading.Lock()

    def partitions(self) -> list[str]:
        """See `Source.partitions`: ``topic-0``, ``topic-1`` and so on."""
        return [f"{self.params.topic}-{n}" for n in range(self._count)]

    def discover(self) -> Iterable[Series]:
        """The series of all records there are now. Raises SourceError when there are none, or
        too many to look through."""
        reader, found, unused = self._connected(), set[Series](), Unused()
        until = time.monotonic() + LONGEST_LOOK
        try:
            for number, end in self._ends_of(reader).items():
                for read in self._until(reader, number, end):
                    found |= _series(read.readings)
                    unused.add(read.dead_letters)
                    if time.monotonic() > until:
                        raise self._unknown("there is too much in it to look through")
        finally:
            reader.close()
        if not found and unused.kinds:
            raise self._unknown(f"no record of it can be used ({unused.kinds[0]})")
        if not found:
            raise self._unknown("it holds no readings that are asked for, yet")
        return sorted(found)

    def read(self, partition: str, position: Position | None, limit: int) -> Read:
        """See `Source.read`."""
        self._commit()
        number, start = self._number(partition), position["offset"] if position else None
        known = position.get("topic", self._id) if position else self._id
        if None not in (known, self._id) and known != self._id:
            raise SourceError(
                f"topic {self.params.topic!r} is not the one any more that was read up to offset "
                f"{start} of partition {number}: it was made anew since. Start a new run in "
                "another --run-dir, or read the topic that this run was reading"
            )
        if self._ends is None:
            self._look()
        end = None if self._ends is None else self._ends.get(number, 0)
        read = self._read(self._reader, number, start, limit, end)
        return replace(read, position=read.position | {"topic": known})

    def checkpointed(self, positions: Mapping[str, Position]) -> None:
        """See `Source.checkpointed`. The offsets go to the consumer group with the next read."""
        if self.params.group:
            there = {self._number(name): at["offset"] for name, at in positions.items()}
            with self._lock:
                self._noted = {n: offset for n, offset in there.items() if offset is not None}

    def close(self) -> None:
        """See `Source.close`."""
        self._commit(wait=True)
        self._reader.close()

    def _connected(self) -> Reader:
        patience = self.params.patience / MICROSECONDS["s"]
        return Reader(self.params, self.params.group, patience)

    def _number(self, partition: str) -> int:
        return int(partition.rpartition("-")[2])

    def _ends_of(self, reader: Reader) -> dict[int, int]:
        return {n: reader.bounds(n)[1] for n in range(reader.partitions())}

    def _unknown(self, why: str) -> SourceError:
        return SourceError(
            f"topic {self.params.topic!r}: its sensors cannot be discovered, since {why}; name "
            "them in network.sensors, or give network.positions"
        )

    def _until(self, reader: Reader, number: int, end: int) -> Iterable[Read]:
        start, ended = None, False
        while not ended:
            read = self._read(reader, number, start, 1 << 18, end)
            start, ended = read.position["offset"], read.ended
            yield read

    def _read(
        self, reader: Reader, number: int, start: int | None, limit: int, end: int | None
    ) -> Read:
        if end == 0 or (end is not None and start is not None and start >= end):
            return Read(*NOTHING, {"offset": start or 0}, ended=True)
        size = min(_AT_ONCE, limit * _ROW) if self.params.format == "arrow" else _AT_ONCE
        taken, after = reader.take(number, start, max(1, limit // self._per_record), size)
        ended = end is not None and after is not None and after >= end
        if ended and taken and taken[-1].offset() >= end:
            taken, after = [m for m in taken if m.offset() < end], end
        found = self._decoder.decode(self._records(number, taken)) if taken else NOTHING
        return Read(*found, {"offset": after}, ended)

    def _records(self, number: int, taken: list[Any]) -> Records:
        """The records that have a value."""
        message = type(taken[0])
        values = list(map(message.value, taken))
        if None in values:
            taken = [m for m, value in zip(taken, values, strict=True) if value is not None]
            values = [value for value in values if value is not None]
        params, times = self.params, np.empty(0, np.int64)
        if params.timestamp_is_time:
            stamps = [m.timestamp() for m in taken]
            times = np.array([at if kind else NO_TIME for kind, at in stamps], np.int64)
        return Records(
            f"{params.topic}-{number}",
            values,
            np.fromiter(map(message.offset, taken), np.int64, len(taken)),
            list(map(message.key, taken)) if params.key_is_sensor else [],
            times,
        )

    def _decoder_for(self, wanted: frozenset[str] | None) -> Decoder:
        params, topic = self.params, self.params.topic
        columns = Columns(params.table, wanted, params.key_is_sensor, params.timestamp_is_time)
        self._per_record = len(params.wide or ()) or 1
        if params.format == "json":
            return JsonObjects(columns, topic)
        if params.format == "arrow":
            return ArrowStreams(columns)
        own = [params.sensor] * params.key_is_sensor + [*params.times] * params.timestamp_is_time
        names = [*own, *(name for name in params.columns if name not in own)]
        delimiter = params.delimiter or ","
        options: Any = load(params.format).Options()
        if load(params.format) is Csv:
            options = params.table.model_copy(update={"columns": names, "delimiter": delimiter})
        reader: Any = load(params.format)(File(topic, topic, None), options, wanted, _AT_ONCE)
        cells = max(4, len(params.columns))  # a line of the Intel Lab's has four
        if not isinstance(reader, Csv):
            return Lines(reader, cells)
        reader.start([])
        if not own:
            return Lines(reader, cells)
        return Beside(reader, cells, delimiter, params.key_is_sensor, params.timestamp_is_time)

    def _look(self) -> None:
        """Look for new partitions, now and then."""
        if time.monotonic() - self._looked < self.params.refresh / MICROSECONDS["s"]:
            return
        self._looked = time.monotonic()
        try:
            self._count = max(self._count, self._reader.partitions(seconds=0.5))
        except SourceError as error:
            log.info("%s", error)  # whether it lasts is for `Reader.take` to say

    def _commit(self, wait: bool = False) -> None:
        with self._lock:
            noted, self._noted = self._noted, {}
        if noted:
            self._reader.commit(noted, wait)


def _last(reader: Reader, seconds: float) -> list[Any]:
    """Records from the ends of the partitions that have a value, within some seconds."""
    until, found = time.monotonic() + seconds, list[Any]()
    try:
        number = reader.partitions()
        for n in range(number):
            low, high = reader.bounds(n)
            start = max(low, high - max(1, LOOKED // number))
            while start < high and time.monotonic() < until:
                taken, after = reader.take(n, start, high - start, _AT_ONCE)
                found += [m for m in taken if m.value() is not None and m.offset() < high]
                start = start if after is None else after
    finally:
        reader.close()
    return found


def _series(readings: pa.RecordBatch) -> set[Series]:
    names = [readings[name].cast(pa.string()) for name in Series._fields]
    pairs = pa.table(names, list(Series._fields)).group_by(list(Series._fields)).aggregate([])
    return {Series(**pair) for pair in pairs.to_pylist()}
