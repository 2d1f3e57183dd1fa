"""Intake: from the partitions of a source to frames of closed steps. The same on every backend."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa

from gapcast.engine.grid.frames import Closed, Joined
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.reading_order import ReadingOrder
from gapcast.engine.source import Position, Read, Source

log = logging.getLogger("gapcast.intake")


class Turn(NamedTuple):
    """What a turn of the source brought.

    dead_letters: of the readings that were not used. closed: the frames of the steps it closed, and
    who joined between them, to be taken before the next turn is asked for. paused: whether the
    source has nothing just now, so that waiting work can be finished.
    """

    dead_letters: list[pa.RecordBatch]
    closed: Iterator[Closed | Joined]
    paused: bool


class Intake:
    """Reads the partition furthest behind, one call ahead of the grid.

    While that one has nothing, those ahead of it are asked too, in turn, so that a silent
    partition neither keeps the others from being read nor goes unnoticed among them.

    positions: where each of the grid's partitions has been read to and handed to the grid; None:
    all are at their beginning, as are those that have come since. idle: seconds after which a
    silent partition stops holding the others back; the one thing clock time decides. batch:
    readings asked of the source in one call; how they are cut changes no result. linger: seconds
    for which what smaller calls bring is gathered to a batch. waiting: batches that may wait in
    open steps before nothing is read but what holds these steps back. prompt: whether a source that
    does not answer at once has nothing just now, so that nothing waits until it does.
    """

    def __init__(
        self,
        source: Source,
        grid: Grid,
        idle: float,
        stopping: threading.Event,
        batch: int,
        linger: float,
        positions: Sequence[Position | None] | None = None,
        waiting: int = 4,
        prompt: bool = False,
    ) -> None:
        self.source = source
        self.grid = grid
        self.idle = idle
        self.batch = batch
        self.linger = linger
        known = positions or []
        self.positions = [*known, *[None] * (len(grid.partitions) - len(known))]
        self._waiting = waiting
        self._prompt = prompt
        self._stopping = stopping
        self._order = ReadingOrder()
        self._there = 0  # partitions that the source had when it was last asked

    def turns(self) -> Iterator[Turn]:
        """One turn a batch, until all partitions have ended or the job is stopping. What small
        calls of the source bring is gathered for `linger` seconds at most.

        Between turns `positions` and the grid agree: that is when a checkpoint can be taken.
        """
        with ThreadPoolExecutor(1, "gapcast-read") as reader:
            ahead = self._ask(reader)
            taken, since, letters = 0, time.monotonic(), list[pa.RecordBatch]()
            while ahead is not None and not self._stopping.is_set():
                partition, pending = ahead
                read = pending.result()
                self.positions[partition] = read.position
                if read.ended:
                    self.grid.watermarks.end(partition)
                something = len(read.readings) > 0 or read.ended
                self._order.answered(partition, something, time.monotonic())
                self._grow()
                ahead = self._ask(reader)
                letters += self._take(partition, read)
                taken += len(read.readings)
                soon = time.monotonic() - since < self.linger and 2 * taken < self.batch
                if soon and ahead is not None and something and not self._stopping.is_set():
                    continue
                paused = not something and self._paused()
                yield Turn(letters, self.grid.closed(), paused)
                if self._prompt and not paused and ahead is not None and not ahead[1].done():
                    yield Turn([], iter(()), True)
                taken, since, letters = 0, time.monotonic(), []

    def _ask(self, reader: ThreadPoolExecutor) -> tuple[int, Future[Read]] | None:
        partition = self._order.next(
            self.grid.watermarks.order(), self._full(), self.grid.watermarks.holds
        )
        if partition is None:
            return None
        name, position = self.grid.partitions[partition], self.positions[partition]
        return partition, reader.submit(self.source.read, name, position, self.batch)

    def _full(self) -> bool:
        return self.grid.waiting >= self._waiting * self.batch

    def _paused(self) -> bool:
        """Whether every partition that may be read has nothing just now."""
        eligible = self._order.eligible(
            self.grid.watermarks.order(), self._full(), self.grid.watermarks.holds
        )
        return self._order.silent.keys() >= {*eligible}

    def _grow(self) -> None:
        """Take in the partitions that the source has gained."""
        there = self.source.partitions()
        if len(there) == self._there:
            return
        self._there = len(there)
        known = set(self.grid.partitions)
        new = [name for name in there if name not in known]
        if new:
            log.info("new partitions of the source: %s", ", ".join(new))
            self.grid.watermarks.grow(new)
            self.positions += [None] * len(new)

    def _take(self, partition: int, read: Read) -> list[pa.RecordBatch]:
        """Hand what was read to the grid; the dead letters of what is not used."""
        letters = []
        if len(read.readings):
            letters.append(self.grid.add(partition, read.readings, time.time_ns() // 1000))
        if len(read.dead_letters):
            self.grid.unreadable(len(read.dead_letters))
            letters.append(read.dead_letters)
        if read.ended:
            letters.append(self.grid.end(partition, time.time_ns() // 1000))
        silent = self._order.silent_for(partition, time.monotonic())
        if silent > self.idle and self.grid.watermarks.idle(partition):
            log.warning(
                "partition %s has been silent for %.0f s: steps no longer wait for it",
                self.grid.partitions[partition], self.idle,
            )  # fmt: skip
        return letters
