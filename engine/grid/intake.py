"""Intake: from the partitions of a source to frames of closed steps. The same on every backend."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from gapcast.engine.grid.grid import Grid, GridFrame
from gapcast.engine.output.delivery import DeadLetters
from gapcast.engine.source import Position, Read, Source

log = logging.getLogger("gapcast.intake")

AHEAD = 4
"""Batches that may wait in open steps before nothing is read but what holds these steps back."""


class Turn(NamedTuple):
    """What one call of the source brought: frames of the steps it closed, and whether the source
    has nothing just now, so that waiting work can be finished."""

    frames: Iterator[GridFrame]
    paused: bool


class Intake:
    """Reads the partition furthest behind, one call ahead of the grid.

    While that one has nothing, those ahead of it are asked too, in turn, so that a silent
    partition neither keeps the others from being read nor goes unnoticed among them.

    positions: where each of the grid's partitions has been read to and handed to the grid. idle:
    seconds after which a silent partition stops holding the others back; the one thing clock time
    decides. batch: readings asked of the source in one call; how they are cut changes no result.
    linger: seconds for which what smaller calls bring is gathered to a batch.
    """

    def __init__(
        self,
        source: Source,
        grid: Grid,
        dead: DeadLetters,
        idle: float,
        stopping: threading.Event,
        batch: int,
        linger: float,
    ) -> None:
        self.source = source
        self.grid = grid
        self.dead = dead
        self.idle = idle
        self.batch = batch
        self.linger = linger
        self.positions: list[Position | None] = [None] * len(grid.partitions)
        self._stopping = stopping
        self._silent: dict[int, float] = {}  # since when each partition has answered with nothing
        self._asked: dict[int, int] = {}  # the last turn of each partition
        self._turn = itertools.count()

    def turns(self) -> Iterator[Turn]:
        """One turn a batch, until all partitions have ended or the job is stopping. What small
        calls of the source bring is gathered for `linger` seconds at most.

        The frames of a turn must be taken before the next turn is asked for. Between turns
        `positions` and the grid agree: that is when a checkpoint can be taken.
        """
        with ThreadPoolExecutor(1, "gapcast-read") as reader:
            ahead = self._ask(reader)
            taken, since = 0, time.monotonic()
            while ahead is not None and not self._stopping.is_set():
                partition, pending = ahead
                read = pending.result()
                self.positions[partition] = read.position
                if read.ended:
                    self.grid.end(partition)
                self._note(partition, read)
                self._grow()
                ahead = self._ask(reader)
                self._take(partition, read)
                nothing = len(read.readings) == 0 and not read.ended
                taken += len(read.readings)
                soon = time.monotonic() - since < self.linger and 2 * taken < self.batch
                if soon and ahead is not None and not nothing and not self._stopping.is_set():
                    continue
                frames = self.grid.closed(self.dead.add)
                yield Turn(frames, nothing and self._silent.keys() >= {*self._next()})
                taken, since = 0, time.monotonic()

    def _ask(self, reader: ThreadPoolExecutor) -> tuple[int, Future[Read]] | None:
        eligible = self._next()
        if not eligible:
            return None
        partition = min(eligible, key=lambda p: self._asked.get(p, -1))
        self._asked[partition] = next(self._turn)
        name, position = self.grid.partitions[partition], self.positions[partition]
        return partition, reader.submit(self.source.read, name, position, self.batch)

    def _next(self) -> list[int]:
        """The partitions that may be asked: from the furthest behind to the first not silent.

        That one is left out while too much waits for those behind it.
        """
        eligible: list[int] = []
        for partition in self.grid.order():
            if partition not in self._silent:
                full = self.grid.waiting >= AHEAD * self.batch
                if not (full and any(map(self.grid.holds, eligible))):
                    eligible.append(partition)
                break
            eligible.append(partition)
        return eligible

    def _note(self, partition: int, read: Read) -> None:
        """Note who is silent, and since when."""
        if len(read.readings) or read.ended:
            self._silent.pop(partition, None)
        else:
            self._silent.setdefault(partition, time.monotonic())

    def _grow(self) -> None:
        """Take in the partitions that the source has gained."""
        new = [name for name in self.source.partitions() if name not in self.grid.partitions]
        if new:
            log.info("new partitions of the source: %s", ", ".join(new))
            self.grid.grow(new)
            self.positions += [None] * len(new)

    def _take(self, partition: int, read: Read) -> None:
        if len(read.readings):
            self.dead.add(self.grid.add(partition, read.readings, time.time_ns() // 1000))
        if len(read.dead_letters):
            self.grid.unreadable(len(read.dead_letters))
            self.dead.add(read.dead_letters)
        since = self._silent.get(partition)
        if since is not None and time.monotonic() - since > self.idle and self.grid.idle(partition):
            log.warning(
                "partition %s silent for %.0f s: it no longer holds the others back",
                self.grid.partitions[partition], self.idle,
            )  # fmt: skip
