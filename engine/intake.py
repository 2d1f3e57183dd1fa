"""Intake: from the partitions of a source to frames of closed steps. The same on every backend."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from gapcast.engine.delivery import DeadLetters
from gapcast.engine.grid import Grid, GridFrame
from gapcast.engine.source import Position, Read, Source

log = logging.getLogger("gapcast.intake")


class Turn(NamedTuple):
    """What one call of the source brought: frames of the steps it closed, and whether the source
    has nothing just now, so that waiting work can be finished."""

    frames: Iterator[GridFrame]
    paused: bool


class Intake:
    """Reads the partition furthest behind, one call ahead of the grid.

    positions: where each partition has been read to and handed to the grid. idle: seconds after
    which a silent partition stops holding the others back; the one thing clock time decides.
    batch: readings asked of the source in one call; how they are cut changes no result.
    """

    def __init__(
        self,
        source: Source,
        grid: Grid,
        dead: DeadLetters,
        idle: float,
        stopping: threading.Event,
        batch: int,
    ) -> None:
        self.source = source
        self.partitions = source.partitions()
        self.grid = grid
        self.dead = dead
        self.idle = idle
        self.batch = batch
        self.positions: list[Position | None] = [None] * len(self.partitions)
        self._stopping = stopping
        self._heard = [time.monotonic()] * len(self.partitions)

    def turns(self) -> Iterator[Turn]:
        """One turn a call of the source, until all partitions have ended or the job is stopping.

        The frames of a turn must be taken before the next turn is asked for. Between turns
        `positions` and the grid agree: that is when a checkpoint can be taken.
        """
        with ThreadPoolExecutor(1, "gapcast-read") as reader:
            ahead = self._ask(reader)
            while ahead is not None and not self._stopping.is_set():
                partition, pending = ahead
                read = pending.result()
                self.positions[partition] = read.position
                if read.ended:
                    self.grid.end(partition)
                ahead = self._ask(reader)
                self._take(partition, read)
                paused = len(read.readings) == 0 and not read.ended
                yield Turn(self.grid.closed(), paused)

    def _ask(self, reader: ThreadPoolExecutor) -> tuple[int, Future[Read]] | None:
        partition = self.grid.behind()
        if partition is None:
            return None
        name, position = self.partitions[partition], self.positions[partition]
        return partition, reader.submit(self.source.read, name, position, self.batch)

    def _take(self, partition: int, read: Read) -> None:
        now = time.monotonic()
        if len(read.readings):
            self._heard[partition] = now
            self.dead.add(self.grid.add(partition, read.readings, time.time_ns() // 1000))
        if len(read.dead):
            self.grid.unreadable(len(read.dead))
            self.dead.add(read.dead)
        for p, heard in enumerate(self._heard):
            if now - heard > self.idle and self.grid.idle(p):
                log.warning(
                    "partition %s silent for %.0f s: it no longer holds the others back",
                    self.partitions[p], self.idle,
                )  # fmt: skip
