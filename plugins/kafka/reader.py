"""One consumer for all partitions of a topic; what it brings waits here until it is asked for.

Partitions are assigned, never subscribed to, and read from where the caller says: no group, no
stored offset and no reset policy has a say.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from gapcast.engine.errors import SourceError
from gapcast.engine.spelling import meant
from gapcast.plugins.kafka.connection import Connection, Trouble, kafka, words

log = logging.getLogger("gapcast.kafka")

WAIT = 0.2
"""Seconds that one call waits for a partition with nothing to give."""
HELD = 64 << 20
_AT_ONCE = 20_000


class Taken(NamedTuple):
    """Records (as the client has them) and the offset after them, ``None`` if not known yet."""

    records: list[Any]
    after: int | None


@dataclass
class _Lane:
    """One partition. given: the offset after what was taken from here. tail: the one after what
    has come, so far as the end of the log was seen. held: runs of what waits, each with its bytes;
    end: the offset after that."""

    number: int
    name: str
    given: int | None
    tail: int | None = None
    held: deque[tuple[list[Any], int]] = field(default_factory=deque)
    bytes: int = 0
    end: int = 0
    paused: bool = False
    taken: int = -1
    waiting: float = field(default_factory=time.monotonic)
    checked: float = field(default_factory=time.monotonic)
    again: bool = False

    def add(self, run: list[Any]) -> None:
        """Records that have come after all that are here."""
        size = sum(map(len, run))
        self.held.append((run, size))
        self.bytes += size
        self.end = run[-1].offset() + 1
        self.tail = None
        self.waiting = time.monotonic()

    def take(self, most: int, size: int) -> list[Any]:
        """Records from the front, one at least: at most `most` and about `size` bytes."""
        taken: list[Any] = []
        while self.held and len(taken) < most and (size > 0 or not taken):
            run, length = self.held.popleft()
            number = min(len(run), most - len(taken))
            if length > size:
                number = min(number, max(1, len(run) * size // length))
            part = sum(map(len, run[:number])) if number < len(run) else length
            if number < len(run):
                self.held.appendleft((run[number:], length - part))
                run = run[:number]
            taken += run
            size -= part
            self.bytes -= part
        return taken

    @property
    def next(self) -> int | None:
        """The offset to go on from, were all that waits dropped but not what was taken."""
        return self.given if self.tail is None or self.held else max(self.tail, self.given or 0)


class Reader:
    """Reads the partitions of a topic, each from any offset. Calls may come from any thread.

    patience: seconds without any progress, although records are there or no broker answers,
    before it gives up; at half of it it connects anew. held: bytes that wait here at most, and as
    many again in the client; shared by the partitions, of which each may have 1 MiB.
    """

    def __init__(
        self, connection: Connection, group: str | None, patience: float, held: int = HELD
    ) -> None:
        self._kafka = kafka()
        self._connection = connection
        self._group = group or "gapcast"
        self._topic = connection.topic
        self._patience = patience
        self._held = held
        self._lock = threading.RLock()
        self._lanes: dict[int, _Lane] = {}
        self._rounds = 0
        self._trouble = Trouble()
        self._partitions = 1
        self._consumer = self._connect()

    def partitions(self, seconds: float | None = None) -> int:
        """How many partitions the topic has. Raises SourceError when that cannot be found out."""
        seconds = self._connection.seconds if seconds is None else seconds
        with self._lock:
            until = time.monotonic() + seconds
            while True:
                try:
                    found = self._consumer.list_topics(self._topic, timeout=min(seconds, 2.0))
                    topic = found.topics[self._topic]
                    if topic.error is None:
                        self._trouble.cleared()
                        self._partitions = max(self._partitions, len(topic.partitions))
                        return len(topic.partitions)
                    problem = topic.error.str()
                    if topic.error.name() in ("UNKNOWN_TOPIC_OR_PART", "TOPIC_EXCEPTION"):
                        raise self._no_topic()
                except self._kafka.KafkaException as error:
                    problem = words(error)
                self._consumer.poll(0)
                if self._trouble.denied or time.monotonic() > until:
                    raise SourceError(
                        f"{self._connection.brokers}: "
                        + self._trouble.after(
                            f"cannot be asked for topic {self._topic!r}, {problem}"
                        )
                    )

    def _no_topic(self) -> SourceError:
        try:
            all_ = self._consumer.list_topics(timeout=5).topics
            there = [name for name in all_ if not name.startswith("__")]
        except self._kafka.KafkaException:
            there = []
        return SourceError(
            f"{self._connection.brokers}: there is no topic {self._topic!r}"
            f"{meant(self._topic, there)}"
        )

    def topic_id(self) -> str | None:
        """What tells the topic from another one of its name, made after it was deleted; None where
        the brokers do not say."""
        from confluent_kafka.admin import AdminClient

        try:
            client = AdminClient(self._connection.client(Trouble()))
            asked = client.describe_topics(
                self._kafka.TopicCollection([self._topic]), request_timeout=10
            )
            return str(asked[self._topic].result(timeout=15).topic_id)
        except (self._kafka.KafkaException, TimeoutError) as error:
            log.info("topic %s: its id is not known: %s", self._topic, error)
            return None

    def bounds(self, number: int, seconds: float = 10.0) -> tuple[int, int]:
        """The first offset there is and the one after the last that is committed."""
        place = self._kafka.TopicPartition(self._topic, number)
        try:
            low, high = self._consumer.get_watermark_offsets(place, timeout=seconds)
        except self._kafka.KafkaException as error:
            raise SourceError(
                self._trouble.after(f"{self._topic}-{number}: no answer, {words(error)}")
            ) from None
        return low, high

    def take(self, number: int, start: int | None, most: int, size: int) -> Taken:
        """Records from `start` on (``None``: the first there is), at least one if any is there:
        at most `most` of them and about `size` bytes.

        Raises SourceError when there is no offset `start` any more, or patience is at an end.
        """
        with self._lock:
            lane = self._at(number, start)
            if not lane.held:
                self._receive(lane)
            if not lane.held:
                self._watch(lane)
                self._pass_end(lane)
                return Taken([], lane.given)
            taken = lane.take(most, size)
            self._rounds += 1
            lane.given = taken[-1].offset() + 1
            if not lane.held:
                self._pass_end(lane)
            if lane.paused and lane.bytes < self._share / 2:
                self._consumer.resume([self._place(lane)])
                lane.paused = False
            return Taken(taken, lane.given)

    def commit(self, positions: dict[int, int], wait: bool = False) -> None:
        """Note offsets in the group, for others to see."""
        places = [self._kafka.TopicPartition(self._topic, n, o) for n, o in positions.items()]
        try:
            with self._lock:
                self._consumer.commit(offsets=places, asynchronous=not wait)
        except self._kafka.KafkaException as error:
            log.info("offsets cannot be recorded in group %s: %s", self._group, words(error))

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._consumer.close()

    @property
    def _share(self) -> int:
        """Bytes that may wait of each partition."""
        return max(1 << 20, self._held // self._partitions)

    def _connect(self) -> Any:
        settings = self._connection.client(
            self._trouble,
            group_id=self._group,
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            isolation_level="read_committed",
        )
        usual = {
            "fetch.wait.max.ms": 100,
            "fetch.error.backoff.ms": 100,
            "queued.min.messages": 200_000,
            "queued.max.messages.kbytes": self._share >> 10,
        }
        try:
            return self._kafka.Consumer(usual | settings)
        except self._kafka.KafkaException as error:
            raise SourceError(f"source kafka: {words(error)}") from None

    def _place(self, lane: _Lane, offset: int | None = None) -> Any:
        if offset is None:
            return self._kafka.TopicPartition(self._topic, lane.number)
        return self._kafka.TopicPartition(self._topic, lane.number, offset)

    def _at(self, number: int, start: int | None) -> _Lane:
        """The partition, to be read on from `start`."""
        lane = self._lanes.get(number)
        if lane is None or start != lane.given:
            if lane is not None:
                self._consumer.incremental_unassign([self._place(lane)])
            lane = self._lanes[number] = _Lane(number, f"{self._topic}-{number}", start)
            self._assign(lane)
        return lane

    def _assign(self, lane: _Lane) -> None:
        start = self._kafka.OFFSET_BEGINNING if lane.next is None else lane.next
        self._consumer.incremental_assign([self._place(lane, start)])

    def _receive(self, lane: _Lane) -> None:
        """Take in what has come; wait if that is nothing, and nobody was served meanwhile."""
        self._sort(self._consumer.consume(_AT_ONCE, 0))
        others = any(other.held for other in self._lanes.values())
        if lane.held or (others and lane.taken != self._rounds):
            lane.taken = self._rounds
            return
        lane.taken = self._rounds
        self._sort(self._consumer.consume(1, WAIT))
        self._sort(self._consumer.consume(_AT_ONCE, 0))

    def _sort(self, messages: list[Any]) -> None:
        """Put runs of messages into their lanes; nothing here is done in Python for each one."""
        message = self._kafka.Message
        for number, same in groupby(messages, message.partition):
            run, lane = list(same), self._lanes.get(number)
            if set(map(message.error, run)) != {None}:
                for one in (m for m in run if m.error() is not None):
                    self._note(lane, one)
                run = [m for m in run if m.error() is None]
            if lane is not None and run:
                lane.add(run)
        for lane in self._lanes.values():
            if lane.bytes > self._share and not lane.paused:
                self._consumer.pause([self._place(lane)])
                lane.paused = True

    def _note(self, lane: _Lane | None, message: Any) -> None:
        error = message.error()
        if error.name() == "_PARTITION_EOF" and lane is not None:
            lane.tail, lane.waiting, lane.again = message.offset(), time.monotonic(), False
        elif error.name() == "_AUTO_OFFSET_RESET" and lane is not None:
            raise self._lost(lane, message.offset())
        elif error.name() in ("UNKNOWN_TOPIC_OR_PART", "TOPIC_AUTHORIZATION_FAILED"):
            raise SourceError(f"{self._topic}: {error.str()}")
        elif error.fatal():
            raise SourceError(f"{self._topic}: the client cannot continue: {error.str()}")
        else:
            self._trouble.note(error)

    def _lost(self, lane: _Lane, wanted: int) -> SourceError:
        low, high = self.bounds(lane.number)
        if wanted < low:
            what = (
                f"the log begins at offset {low} now, so that the records from {wanted} to "
                f"{low - 1} are gone (retention, or deleted by hand)"
            )
        else:
            what = (
                f"the log ends at offset {high}, before {wanted}: the topic was made anew, or "
                "records were lost with a broker"
            )
        return SourceError(
            f"{lane.name}: {what}; so the run cannot continue without a gap. Start a new run "
            "in another --run-dir, and retain records for longer than runs may be stopped "
            "(retention.ms)"
        )

    def _pass_end(self, lane: _Lane) -> None:
        """What the end of the log shows to be no records of ours (markers, aborted) is passed."""
        if lane.tail is not None and not lane.held:
            lane.given = max(lane.tail, lane.given or 0)

    def _watch(self, lane: _Lane) -> None:
        """See whether nothing has come because there is nothing. Raises SourceError if not."""
        now = time.monotonic()
        if now - lane.checked < self._patience / 4 or lane.paused:
            return
        lane.checked = now
        try:
            _, high = self.bounds(lane.number, seconds=0.5)
            if high <= max(lane.given or 0, lane.tail or 0):
                self._trouble.cleared()
                lane.waiting, lane.again = now, False
                return
            problem = f"nothing has come, although the log goes on to offset {high}"
        except SourceError as error:
            problem = str(error).removeprefix(f"{lane.name}: ")
        silent = now - lane.waiting
        message = f"{lane.name}, offset {lane.given}: for {silent:.0f} s {problem}"
        if silent > self._patience or self._trouble.denied:
            raise SourceError(f"{message}; see whether brokers {self._connection.brokers} are well")
        if silent > self._patience / 2 and not lane.again:
            log.warning("%s; reconnecting", message)
            self._anew()

    def _anew(self) -> None:
        """A new client in place of the old; what waits here stays."""
        self._consumer.close()
        self._consumer = self._connect()
        for lane in self._lanes.values():
            lane.again, lane.paused = True, False
            after = lane.end if lane.held else lane.next
            start = self._kafka.OFFSET_BEGINNING if after is None else after
            self._consumer.incremental_assign([self._place(lane, start)])
