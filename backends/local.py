"""The `local` backend: one process, shards over threads (kernels and Arrow release the GIL)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.backend import Backend
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.output.shard_rows import ShardRows
from gapcast.engine.parallel.workers import Work, Workers
from gapcast.engine.parallel.writing import Prepared
from gapcast.engine.shard.results import Ending, Stepped, StepResult


class LocalBackend(Backend):
    """Steps the shards of each frame in parallel, while rows are made of the frame before, the
    next one is gridded, the one after it read and an earlier epoch written."""

    class Params(plugin.Params):
        threads: int | None = Field(
            default=None, ge=1, description="Shards stepped at once; by default one a core."
        )

        batch: int = Field(
            default=262_144, ge=1, description="Readings read, and stepped, at once."
        )

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.batch = params.batch

    @contextmanager
    def workers(self, work: Work) -> Iterator[Workers]:
        """Threads of this process."""
        threads = self.params.threads or len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads, "gapcast-shard") as pool:
            yield Threads(work, pool, threads)


class Threads(Workers):
    """Shards stepped by the threads of a pool."""

    def __init__(self, work: Work, pool: ThreadPoolExecutor, count: int) -> None:
        self.shares = work.shares(count)
        self.shards = work.begin(self.shares)
        self.pool = pool
        self.rows: list[ShardRows] = []
        if work.writing is not None:
            plans = (work.plan.for_targets(targets) for targets in self.shares.targets)
            self.rows = [ShardRows(work.writing, plan, i) for i, plan in enumerate(plans)]
        self.writes = bool(self.rows)

    def step(self, frame: GridFrame) -> Callable[[], StepResult | Stepped]:
        """Step the frame on every thread."""
        running = [self.pool.submit(shard.step, frame) for shard in self.shards]
        if not self.rows:
            return lambda: self.shares.join([step.result() for step in running])

        def done() -> Stepped:
            results = [step.result() for step in running]
            for rows, result in zip(self.rows, results, strict=True):
                rows.add(result)
            return self.shares.join_stepped([Stepped.of(result) for result in results])

        return done

    def prepare(self, epoch: int, until: int, silence: dict[str, Any]) -> list[Prepared]:
        """Store the part of every shard, each on a thread."""
        return list(self.pool.map(lambda rows: rows.prepare(epoch, until, silence), self.rows))

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Copy the state of all shards, each on its thread."""
        return self.shares.join_snapshots(list(self.pool.map(lambda s: s.snapshot(), self.shards)))

    def finish(self) -> Ending:
        """What the shards leave."""
        return self.shares.join_endings([shard.finish() for shard in self.shards])

    def alive(self) -> tuple[int, int, int]:
        """Threads are never lost."""
        return len(self.shards), len(self.shards), len(self.shards)
