"""The `local` backend: one process, shards over threads (kernels and Arrow release the GIL)."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.backend import Backend
from gapcast.engine.flow import RunResult
from gapcast.engine.job import Job
from gapcast.engine.rows import join, join_snapshots
from gapcast.engine.shard import StepResult


class LocalBackend(Backend):
    """Steps the shards of each frame in parallel, while rows are made of the frame before, the
    next one is gridded, the one after it read and an earlier epoch written."""

    class Params(plugin.Params):
        threads: int | None = Field(
            default=None, ge=1, description="Shards stepped at once; by default one a core."
        )

    params: Params

    def run(self, job: Job) -> RunResult:
        """Run `job` in this process."""
        threads = self.params.threads or len(os.sched_getaffinity(0))
        shards = job.shards(threads)
        with job.flow() as flow, ThreadPoolExecutor(threads, "gapcast-shard") as pool:
            running: list[Future[StepResult]] = []

            def drain() -> None:
                done = [step.result() for step in running]
                running.clear()
                if done:
                    flow.add(join(done))

            for frame in flow.frames(drain, lambda: join_snapshots([s.snapshot() for s in shards])):
                done = [step.result() for step in running]
                running[:] = [pool.submit(shard.step, frame) for shard in shards]
                if done:
                    flow.add(join(done))
            drain()
            return flow.finish(shards)
