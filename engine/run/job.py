"""A job: one config made concrete. What to read, whom to forecast with what, where it goes."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gapcast.engine.checkpoint.contents import Contents
from gapcast.engine.checkpoint.schedule import CheckpointSchedule
from gapcast.engine.forecaster import Layout, Model, Series
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.screening import Screener, ScreeningSpec
from gapcast.engine.grid.silence import Silence
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.network.series import Network
from gapcast.engine.parallel.workers import Work
from gapcast.engine.progress import Progress
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.withheld import Withheld
from gapcast.engine.sink import Sink
from gapcast.engine.source import Source


@dataclass
class Job:
    """Everything a run needs, resolved and checked; no reading has been read yet.

    layouts: one a model, over all `targets`, its columns those of `network`. Durations in µs,
    `idle` in seconds. checkpoint: where, how often. latency: seconds for which rows may wait.
    screen: what is looked for in closed steps. resume: what to go on from; reopened: partitions
    that it had read to their ends, and in which there is more since. stopping: set it to end the
    run early, with everything read so far delivered. progress: is told about every second how the
    run is getting on; latest: what it was told last.
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
    checkpoint: CheckpointSchedule
    latency: float = 1.0
    screen: ScreeningSpec | None = None
    bounds: Bounds = field(default_factory=Bounds)
    resume: Contents | None = None
    reopened: tuple[str, ...] = ()
    stopping: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[Progress], None] = lambda at: None
    latest: Progress = field(default_factory=Progress)

    @cached_property
    def plan(self) -> Plan:
        """All that a shard of all the targets would need."""
        return Plan(
            self.models, self.layouts, self.evaluation, self.window, self.layouts[0].targets,
            self.grid.periods,
        )  # fmt: skip

    def work(self) -> Work:
        """What workers are given, afresh or as the checkpoint has it."""
        shards = self.resume.shards if self.resume else {}
        return Work(self.name, self.generation, self.run_dir, self.plan, shards, self.withheld())

    def withheld(self) -> Withheld:
        """Frames of the span in progress: none, or those that the checkpoint has."""
        frames = Withheld(self.evaluation)
        if self.resume:
            frames.restore(self.resume.withheld)
        return frames

    def gridded(self, partitions: list[str]) -> Grid:
        """The grid of these partitions, afresh or as the checkpoint has it."""
        screen = Screener(self.network, self.grid.interval, self.screen) if self.screen else None
        grid = Grid(self.grid, partitions, self.network, self.limits, screen)
        if self.resume:
            grid.restore(*self.resume.grid)
        return grid

    def silence(self) -> Silence:
        """Which steps are silent: none yet, or what the checkpoint has."""
        silence = Silence(self.grid.max_gap)
        if self.resume:
            silence.restore(self.resume.silence)
        return silence

    def description(self) -> dict[str, Any]:
        """What a checkpoint must agree with: generation, series, models and state versions."""
        series = "\n".join(f"{s.sensor}\t{s.quantity}" for s in self.network.series)
        return {
            "generation": self.generation,
            "series": zlib.crc32(series.encode()),
            "targets": len(self.targets),
            "models": {m.name: m.forecaster.state_version for m in self.models},
        }
