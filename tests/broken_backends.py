"""A plain backend of two shards in this process, and what can be wrong with one."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import ClassVar

import numpy as np

from gapcast.engine.backend import Backend
from gapcast.engine.errors import RunError, ShardsLost
from gapcast.engine.grid.grid import GridFrame
from gapcast.engine.parallel.workers import Workers, carry
from gapcast.engine.shard.shard import Shard

BATCH = 100_000


class TwoShards(Workers):
    """Steps both when the result is waited for: right in every way."""

    def __init__(self, job):
        self.job = job
        self.shares = job.shares(2)
        self.shards = self.begin()
        self.steps = 0

    def begin(self):
        return self.job.shards(self.shares)

    def step(self, frame):
        result = self.join([shard.step(frame) for shard in self.shards])
        self.steps += 1
        return lambda: result

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

    killed: ClassVar = threading.Event()
    workers = TwoShards

    @classmethod
    def kill(cls):
        cls.killed.set()

    def run(self, job):
        self.killed.clear()
        with job.flow(BATCH) as flow:
            workers = self.workers(job)
            self.carry(flow, workers)
            return flow.finish(workers.finish())

    def carry(self, flow, workers):
        for _ in carry(flow, workers):
            if self.killed.is_set():
                self.lose(workers)

    def lose(self, workers):
        raise ShardsLost("both shards are gone")


class DropsAFrame(Good):
    class workers(TwoShards):  # noqa: N801
        def step(self, frame):
            if self.steps == 20:
                self.steps += 1
                strangers = [Shard(self.job.plan.part(t)) for t in self.shares.targets]
                result = self.join([shard.step(frame) for shard in strangers])
                return lambda: result
            return super().step(frame)


class RepeatsAFrame(Good):
    class workers(TwoShards):  # noqa: N801
        def step(self, frame):
            if self.steps == 20:
                for shard in self.shards:
                    shard.step(frame)
            return super().step(frame)


class JoinsInTheWrongOrder(Good):
    class workers(TwoShards):  # noqa: N801
        def join(self, parts):
            return super().join(parts[::-1])


class EndsInTheWrongOrder(Good):
    class workers(TwoShards):  # noqa: N801
        def finish(self):
            return self.shares.join_endings([s.finish() for s in self.shards[::-1]])


class ForgetsTheHalo(Good):
    """Each shard sees its own targets only."""

    class workers(TwoShards):  # noqa: N801
        def step(self, frame):
            results = []
            for shard in self.shards:
                values = np.full_like(frame.values, np.nan)
                values[:, shard.targets] = frame.values[:, shard.targets]
                results.append(shard.step(GridFrame(frame.first, values, frame.refused)))
            result = self.join(results)
            return lambda: result


class SavesAnEarlierState(Good):
    class workers(TwoShards):  # noqa: N801
        earlier = None

        def snapshot(self):
            self.earlier, now = super().snapshot(), self.earlier
            return now or self.earlier


class SavesInTheWrongOrder(Good):
    class workers(TwoShards):  # noqa: N801
        def snapshot(self):
            return self.shares.join_snapshots([s.snapshot() for s in self.shards[::-1]])


class SavesNothing(Good):
    def carry(self, flow, workers):
        flow.checkpoints.due = lambda: False
        super().carry(flow, workers)


class MindsTheBatches(Good):
    """Long frames are more than it can hold."""

    class workers(TwoShards):  # noqa: N801
        def step(self, frame):
            short = frame.values.copy()
            short[40:] = np.nan
            return super().step(GridFrame(frame.first, short, frame.refused))


class IgnoresTheCheckpoint(Good):
    class workers(TwoShards):  # noqa: N801
        def begin(self):
            self.job.resume = None
            return super().begin()


class RestoresTheWrongShare(Good):
    class workers(TwoShards):  # noqa: N801
        def begin(self):
            shards = super().begin()
            if self.job.resume:
                arrays, kept = self.job.resume.below("shards"), self.job.kept().frames
                for i, shard in enumerate(shards):
                    shard.restore(self.shares.share(arrays, 1 - i), kept)
            return shards


class ForgetsTheSpan(Good):
    class workers(TwoShards):  # noqa: N801
        def begin(self):
            shards = super().begin()
            if self.job.resume:
                arrays = self.job.resume.below("shards")
                for i, shard in enumerate(shards):
                    shard.restore(self.shares.share(arrays, i), [])
            return shards


class OutOfOrder(Good):
    """Hands over every second result before the one before it."""

    def carry(self, flow, workers):
        held = []

        def drain():
            while held:
                flow.add(held.pop())

        for frame in flow.frames(drain, workers.snapshot):
            held.append(workers.step(frame)())
            if len(held) == 2:
                drain()
        drain()


class ReadsItAll(Good):
    def carry(self, flow, workers):
        for frame in list(flow.frames(lambda: None, workers.snapshot)):
            flow.add(workers.step(frame)())


class BuffersWithoutBound(Good):
    class workers(TwoShards):  # noqa: N801
        ahead = 1_000_000


class SwallowsErrors(Good):
    def carry(self, flow, workers):
        try:
            super().carry(flow, workers)
        except Exception:
            flow.outlet._failure = None


class SaysNothing(Good):
    def carry(self, flow, workers):
        try:
            super().carry(flow, workers)
        except Exception:
            raise RunError("a task failed") from None


class LeavesAThread(Good):
    over: ClassVar = threading.Event()

    def run(self, job):
        threading.Thread(target=self.over.wait, daemon=True).start()
        return super().run(job)


class LeavesAProcess(Good):
    started: ClassVar = []

    def run(self, job):
        wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        self.started.append(subprocess.Popen(wait, stdin=subprocess.PIPE))
        return super().run(job)


class BeginsAfresh(Good):
    """Workers come back empty and go on as if nothing had been."""

    def lose(self, workers):
        self.killed.clear()
        workers.shards = [Shard(workers.job.plan.part(t)) for t in workers.shares.targets]


class BuriesTheLoss(Good):
    def lose(self, workers):
        raise ConnectionError("reset by peer")
