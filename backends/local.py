"""The `local` backend: one process, shards over threads (kernels and Arrow release the GIL)."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.backend import Backend
from gapcast.engine.flow import RunResult
from gapcast.engine.job import Job
from gapcast.engine.rows import join, join_snapshots


class LocalBackend(Backend):
    """Steps the shards of each frame in parallel, while the next is read and the last written."""

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
            for frame in flow.frames(lambda: join_snapshots([s.snapshot() for s in shards])):
                flow.add(join(list(pool.map(lambda shard, frame=frame: shard.step(frame), shards))))
            return flow.finish(shards)
