"""A plain backend of two shards in this process, and what can be wrong with one."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import ClassVar

import numpy as np

from gapcast.engine.backend import Backend
from gapcast.engine.errors import RunError, ShardsLost
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.parallel.workers import Workers
from gapcast.engine.shard.shard import Shard


class TwoShards(Workers):
    """Steps both when it is sent a frame: right in every way."""

    def __init__(self, work, backend):
        self.work, self.backend = work, backend
        self.shares = work.shares(2)
        self.shards = self.begin()
        self.steps = 0

    def begin(self):
        return self.work.begin(self.shares)

    def step(self, frame):
        if self.backend.killed.is_set():
            self.lose()
        result = self.join([shard.step(frame) for shard in self.shards])
        self.steps += 1
        return lambda: result

    def lose(self):
        raise ShardsLost("both shards are gone")

    def join(self, parts):
        return self.shares.join(parts)

    def snapshot(self):
        return self.shares.join_snapshots([s.snapshot() for s in self.shards])

    def finish(self):
        return self.shares.join_endings([s.finish() for s in self.shards])

    def alive(self):
        return 2, 2, 2


class Good(Backend):
    """Its workers die when `kill` is called."""

    batch = 100_000
    killed: ClassVar = threading.Event()
    made = TwoShards

    @classmethod
    def kill(cls):
        cls.killed.set()

    @contextmanager
    def workers(self, work):
        self.killed.clear()
        yield self.made(work, self)


class DropsAFrame(Good):
    class made(TwoShards):  # noqa: N801
        def step(self, frame):
            if self.steps == 20:
                self.steps += 1
                strangers = [Shard(self.work.plan.for_targets(t)) for t in self.shares.targets]
                result = self.join([shard.step(frame) for shard in strangers])
                return lambda: result
            return super().step(frame)


class RepeatsAFrame(Good):
    class made(TwoShards):  # noqa: N801
        def step(self, frame):
            if self.steps == 20:
                for shard in self.shards:
                    shard.step(frame)
            return super().step(frame)


class JoinsInTheWrongOrder(Good):
    class made(TwoShards):  # noqa: N801
        def join(self, parts):
            return super().join(parts[::-1])


class EndsInTheWrongOrder(Good):
    class made(TwoShards):  # noqa: N801
        def finish(self):
            return self.shares.join_endings([s.finish() for s in self.shards[::-1]])


class ForgetsTheHalo(Good):
    """Each shard sees its own targets only."""

    class made(TwoShards):  # noqa: N801
        def step(self, frame):
            results = []
            for shard in self.shards:
                values = np.full_like(frame.values, np.nan)
                values[:, shard.targets] = frame.values[:, shard.targets]
                results.append(shard.step(GridFrame(frame.first, values, frame.rejected)))
            result = self.join(results)
            return lambda: result


class SavesAnEarlierState(Good):
    class made(TwoShards):  # noqa: N801
        earlier = None

        def snapshot(self):
            self.earlier, now = super().snapshot(), self.earlier
            return now or self.earlier


class SavesInTheWrongOrder(Good):
    class made(TwoShards):  # noqa: N801
        def snapshot(self):
            return self.shares.join_snapshots([s.snapshot() for s in self.shards[::-1]])


class MindsTheBatches(Good):
    """Long frames are more than it can hold."""

    class made(TwoShards):  # noqa: N801
        def step(self, frame):
            short = frame.values.copy()
            short[40:] = np.nan
            return super().step(GridFrame(frame.first, short, frame.rejected))


class IgnoresTheCheckpoint(Good):
    class made(TwoShards):  # noqa: N801
        def begin(self):
            return replace(self.work, shards={}).begin(self.shares)


class RestoresTheWrongShare(Good):
    class made(TwoShards):  # noqa: N801
        def begin(self):
            shards = super().begin()
            if self.work.shards:
                for i, shard in enumerate(shards):
                    mine = self.shares.share(self.work.shards, 1 - i)
                    shard.restore(mine, self.work.withheld.frames)
            return shards


class ForgetsTheSpan(Good):
    class made(TwoShards):  # noqa: N801
        def begin(self):
            shards = super().begin()
            if self.work.shards:
                for i, shard in enumerate(shards):
                    shard.restore(self.shares.share(self.work.shards, i), [])
            return shards


class OutOfOrder(Good):
    """Whoever waits is given the newest result."""

    class made(TwoShards):  # noqa: N801
        ahead = 2

        def begin(self):
            self.results = []
            return super().begin()

        def step(self, frame):
            self.results.append(super().step(frame)())
            return self.results.pop


class BuffersWithoutBound(Good):
    class made(TwoShards):  # noqa: N801
        ahead = 1_000_000


class SwallowsErrors(Good):
    class made(TwoShards):  # noqa: N801
        def step(self, frame):
            with suppress(ValueError):
                self.last = super().step(frame)
            return self.last


class SaysNothing(Good):
    class made(TwoShards):  # noqa: N801
        def step(self, frame):
            try:
                return super().step(frame)
            except ValueError:
                raise RunError("a task failed") from None


class LeavesAThread(Good):
    over: ClassVar = threading.Event()

    @contextmanager
    def workers(self, work):
        threading.Thread(target=self.over.wait, daemon=True).start()
        with super().workers(work) as workers:
            yield workers


class LeavesAProcess(Good):
    started: ClassVar = []

    @contextmanager
    def workers(self, work):
        wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        self.started.append(subprocess.Popen(wait, stdin=subprocess.PIPE))
        with super().workers(work) as workers:
            yield workers


class BeginsAfresh(Good):
    """Workers come back empty and go on as if nothing had been."""

    class made(TwoShards):  # noqa: N801
        def lose(self):
            self.backend.killed.clear()
            self.shards = [Shard(self.work.plan.for_targets(t)) for t in self.shares.targets]


class BuriesTheLoss(Good):
    class made(TwoShards):  # noqa: N801
        def lose(self):
            raise ConnectionError("reset by peer")
