"""The flow of one run: frames come out of it, results go back in, a `RunResult` ends it.

Backends differ only in where the shards between `frames` and `add` live.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gapcast.engine.checkpoint import Arrays, Checkpoints, Snapshot
from gapcast.engine.delivery import DeadLetters, Delivery
from gapcast.engine.grid import Counts, Grid, GridFrame
from gapcast.engine.intake import Intake
from gapcast.engine.outlet import Outlet
from gapcast.engine.shard import Shard, StepResult
from gapcast.engine.sink import JobInfo

if TYPE_CHECKING:
    from gapcast.engine.job import Job


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    counts: what became of every reading. scores: the whole run's, schema `SCORES`. forecasts:
    rows delivered. seconds: wall time from the first read to the last write. model_seconds: time
    spent in each model's steps, summed over shards. complete: whether every source had ended.
    """

    run_dir: Path
    counts: Counts
    scores: pa.Table
    forecasts: int
    seconds: float
    model_seconds: dict[str, float]
    complete: bool


def _intake(job: Job, dead: DeadLetters) -> Intake:
    grid = Grid(job.grid, job.source.partitions(), job.network, job.limits)
    intake = Intake(job.source, grid, dead, job.idle, job.stopping)
    if job.resume:
        grid.restore(job.resume.meta["grid"], job.resume.below("grid"))
        intake.positions = list(job.resume.meta["positions"])
    return intake


class Flow:
    """Intake and outlet of a job. A context manager: leaving it closes files, sinks and threads."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.began = time.monotonic()
        before = job.resume.meta if job.resume else None
        self.dead = DeadLetters(job.run_dir / "dead", before["dead"] if before else 0)
        self.checkpoints = Checkpoints(job)
        self.intake = _intake(job, self.dead)
        info = JobInfo(
            job.name,
            job.run_dir,
            job.grid.interval,
            tuple(m.name for m in job.models),
            len(job.targets),
            (job.evaluation.scored,),
        )
        for sink in job.sinks.values():
            sink.open(info, job.generation)
        self.delivery = Delivery(job.sinks, self.dead, job.stopping)
        self.outlet = Outlet(
            self.delivery,
            job.targets,
            job.models,
            job.grid.interval,
            job.window,
            job.run_dir,
            self.checkpoints.epochs,
            before and before["outlet"],
        )

    def __enter__(self) -> Flow:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.job.stopping.set()
        try:
            self.outlet.close(deliver=error is None)
        finally:
            self.checkpoints.close()
            self.delivery.close()
            self.job.source.close()

    def frames(
        self, drain: Callable[[], None], shards: Callable[[], Arrays]
    ) -> Iterator[GridFrame]:
        """Frames of closed steps, in order, until the source ends or the job is stopping.

        drain: adds the results of all frames given so far; called when the source pauses, when a
        checkpoint is due, and at an early stop. shards: gives the joined snapshots of all shards
        as they stand then.
        """
        for turn in self.intake.turns():
            yield from turn.frames
            if turn.paused:
                drain()
                self.outlet.flush()
            if self.job.stopping.is_set() or self.checkpoints.due():
                drain()
                self._checkpoint(shards)

    def _checkpoint(self, shards: Callable[[], Arrays]) -> None:
        outlet = self.outlet.settle()
        if outlet is None:
            return
        self.dead.flush()
        meta, grid = self.intake.grid.snapshot()
        arrays = {f"grid/{k}": a for k, a in grid.items()}
        arrays |= {f"shards/{k}": a for k, a in shards().items()}
        meta = {"grid": meta, "outlet": outlet, "dead": self.dead.files}
        meta["positions"] = list(self.intake.positions)
        self.checkpoints.take(Snapshot(meta, arrays), wait=self.job.stopping.is_set())

    def add(self, result: StepResult) -> None:
        """Take the joined result of the shards for one frame; waits when the sinks are slow."""
        self.outlet.add(result)

    def finish(self, shards: Sequence[Shard]) -> RunResult:
        """Deliver what waits, finish the scores and say how the run went."""
        complete = not self.job.stopping.is_set()
        windows = [shard.finish() for shard in shards]
        for of in zip(*windows, strict=True):
            m, index, _ = of[0]
            sums = np.concatenate([w[2] for w in of])
            self.outlet.scores.write_windows([(m, index, sums)])
        self.outlet.close(deliver=True)
        models = range(len(self.job.models))
        totals, by_gap = (
            [np.concatenate([s.scorers[m].state[key] for s in shards]) for m in models]
            for key in ("total", "by_gap")
        )
        scores = self.outlet.scores.write_whole(totals, by_gap)
        counts = self.intake.grid.settled()
        return RunResult(
            self.job.run_dir,
            counts,
            scores,
            self.delivery.rows,
            time.monotonic() - self.began,
            {m.name: sum(s.seconds[i] for s in shards) for i, m in enumerate(self.job.models)},
            complete,
        )
