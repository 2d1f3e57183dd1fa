"""The flow of one run: frames come out of it, results go back in, a `RunResult` ends it.

Backends differ only in where the shards between `frames` and `add` live.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa

from gapcast.engine.checkpoint.format import Arrays, Checkpoints, Snapshot
from gapcast.engine.grid.grid import Counts, Grid, GridFrame
from gapcast.engine.grid.intake import Intake
from gapcast.engine.grid.screening import Screen
from gapcast.engine.output.delivery import DeadLetters, Delivery
from gapcast.engine.output.epochs import Outlet
from gapcast.engine.progress import Meter, Progress
from gapcast.engine.shard.results import Ending, StepResult
from gapcast.engine.sink import JobInfo

if TYPE_CHECKING:
    from gapcast.engine.run.job import Job


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    counts: what became of every reading. scores: the whole run's, schema `SCORES`. forecasts:
    rows delivered. seconds: wall time from the first read to the last write. model_seconds: time
    spent in each model's steps, summed over shards. complete: whether every source had ended.
    stopped_by: the signal that ended it before, if one did.
    """

    run_dir: Path
    counts: Counts
    scores: pa.Table
    forecasts: int
    seconds: float
    model_seconds: dict[str, float]
    complete: bool
    stopped_by: int | None = None


def intake(job: Job, dead: DeadLetters, batch: int, linger: float) -> Intake:
    """What `job` reads, from the beginning or from where its checkpoint stands."""
    screen = Screen(job.network, job.grid.interval, job.screen) if job.screen else None
    grid = Grid(job.grid, job.source.partitions(), job.network, job.limits, screen)
    found = Intake(job.source, grid, dead, job.idle, job.stopping, batch, linger)
    if job.resume:
        grid.restore(job.resume.meta["grid"], job.resume.below("grid"))
        known = job.resume.meta["positions"]
        found.positions = [*known, *[None] * (len(grid.partitions) - len(known))]
    return found


class Flow:
    """Intake and outlet of a job. A context manager: leaving it closes files, sinks and threads."""

    def __init__(self, job: Job, batch: int, linger: float) -> None:
        self.job = job
        self.began = time.monotonic()
        self._alive: Callable[[], tuple[int, int, int]] = lambda: (0, 0, 0)
        before = job.resume.meta if job.resume else None
        self.dead = DeadLetters(
            job.run_dir / "dead_letters", before["dead_letters"] if before else 0
        )
        self.checkpoints = Checkpoints(job)
        self.intake = intake(job, self.dead, batch, linger)
        self.kept = job.kept()
        self.meter = Meter(self.intake.grid.counts.read)
        self.latest = Progress()
        info = JobInfo(
            job.name,
            job.run_dir,
            job.grid.interval,
            tuple(m.name for m in job.models),
            len(job.targets),
            (job.evaluation.scored,),
            lambda: self.latest,
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

    def watch(self, alive: Callable[[], tuple[int, int, int]]) -> None:
        """Report as `Workers.alive` says it from now on."""
        self._alive = alive

    def frames(
        self, drain: Callable[[], None], shards: Callable[[], Arrays]
    ) -> Iterator[GridFrame]:
        """Frames of closed steps, in order, until the source ends or the job is stopping.

        drain: adds the results of all frames given so far; called when the source pauses, when a
        checkpoint is due, and at an early stop. shards: gives the joined snapshots of all shards
        as they stand then.
        """
        self.began = time.monotonic()
        for turn in self.intake.turns():
            for frame in turn.frames:
                self.kept.add(frame)
                yield frame
            if self.meter.due():
                self.latest = self._progress()
                self.job.progress(self.latest)
            if turn.paused:
                drain()
                self.outlet.flush()
            if self.checkpoints.due():
                drain()
                self._checkpoint(shards)
        if self.job.stopping.is_set():
            drain()
            self._checkpoint(shards)

    def _progress(self) -> Progress:
        readings, mark = self.intake.grid.counts.read, self.intake.grid.watermark
        rate = self.meter.rate(readings)
        lag = None if mark is None else time.time() - mark / 1e6
        return Progress(readings, rate, mark, lag, self.delivery.rows, *self._alive())

    def _checkpoint(self, shards: Callable[[], Arrays]) -> None:
        outlet = self.outlet.settle()
        if outlet is None:
            return
        self.dead.flush()
        meta, grid = self.intake.grid.snapshot()
        arrays = {f"grid/{k}": a for k, a in grid.items()}
        arrays |= {f"shards/{k}": a for k, a in shards().items()}
        arrays |= {f"kept/{k}": a for k, a in self.kept.snapshot().items()}
        meta = {"grid": meta, "outlet": outlet, "dead_letters": self.dead.files}
        meta["positions"] = list(self.intake.positions)
        self.checkpoints.take(Snapshot(meta, arrays), wait=self.job.stopping.is_set())

    def add(self, result: StepResult) -> None:
        """Take the joined result of the shards for one frame; waits when the sinks are slow."""
        self.outlet.add(result)

    def finish(self, ending: Ending) -> RunResult:
        """Deliver what waits, finish the scores and say how the run went."""
        complete = not self.job.stopping.is_set()
        self.outlet.scores.write_windows(ending.windows)
        self.outlet.close(deliver=True)
        scores = self.outlet.scores.write_whole(ending.totals, ending.by_gap)
        counts = self.intake.grid.settled()
        return RunResult(
            self.job.run_dir,
            counts,
            scores,
            self.delivery.rows,
            time.monotonic() - self.began,
            {m.name: s for m, s in zip(self.job.models, ending.seconds, strict=True)},
            complete,
        )
