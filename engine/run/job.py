"""A job: one config made concrete. What to read, whom to forecast with what, where it goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gapcast.engine.checkpoint.format import Schedule, Snapshot
from gapcast.engine.forecaster import Layout, Model, Series
from gapcast.engine.grid.grid import GridSpec
from gapcast.engine.grid.screening import Screening
from gapcast.engine.network.network import Network
from gapcast.engine.parallel.shares import Shares
from gapcast.engine.progress import Progress
from gapcast.engine.run.loop import Flow
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.shard import Shard
from gapcast.engine.shard.withheld import Kept
from gapcast.engine.sink import Sink
from gapcast.engine.source import Source


@dataclass
class Job:
    """Everything a backend needs, resolved and checked; no reading has been read yet.

    layouts: one a model, over all `targets`, its columns those of `network`. Durations in µs,
    `idle` in seconds. checkpoint: where, how often. screen: what is looked for in closed steps.
    resume: the checkpoint to go on from. stopping: set it to end the run early, with everything
    read so far delivered. progress: is told about every second how the run is getting on.
    """

    name: str
    run_dir: Path
    generation: str
    source: Source
    grid: GridSpec
    limits: dict[str, tuple[float, float]]
    idle: float
    network: Network
    targets: tuple[Series, ...]
    models: tuple[Model, ...]
    layouts: tuple[Layout, ...]
    evaluation: Evaluation
    window: int
    sinks: dict[str, Sink]
    checkpoint: Schedule
    screen: Screening | None = None
    resume: Snapshot | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[Progress], None] = lambda at: None

    def flow(self, batch: int, linger: float = 0.0) -> Flow:
        """Open the sinks and get ready to read, `batch` readings a call, from the beginning of
        every partition or from where the checkpoint stands. linger: seconds for which smaller
        calls are gathered to a batch, where carrying it costs more than waiting."""
        return Flow(self, batch, linger)

    @cached_property
    def plan(self) -> Plan:
        """All that a shard of all the targets would need."""
        return Plan(
            self.models, self.layouts, self.evaluation, self.window, self.layouts[0].targets
        )

    def shares(self, count: int) -> Shares:
        """The targets divided among `count` shards, or fewer where a model's units are too few."""
        return Shares(self.layouts, count)

    def kept(self) -> Kept:
        """Frames of the blackout in progress: none, or those that the checkpoint has."""
        kept = Kept(self.evaluation)
        if self.resume:
            kept.restore(self.resume.below("kept"))
        return kept

    def shards(self, shares: Shares) -> list[Shard]:
        """A shard for each share, in this process, as fresh or as the checkpoint has it."""
        shards = [Shard(self.plan.part(targets)) for targets in shares.targets]
        if self.resume:
            arrays, frames = self.resume.below("shards"), self.kept().frames
            for i, shard in enumerate(shards):
                shard.restore(shares.share(arrays, i), frames)
        return shards
