"""A job: one config made concrete. What to read, whom to forecast with what, where it goes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from gapcast.engine.checkpoint import Snapshot
from gapcast.engine.evaluation import Evaluation
from gapcast.engine.flow import Flow
from gapcast.engine.forecaster import Layout, Model, Series
from gapcast.engine.grid import GridSpec
from gapcast.engine.network import Network, part
from gapcast.engine.shard import Shard
from gapcast.engine.sink import Sink
from gapcast.engine.source import Source


@dataclass
class Job:
    """Everything a backend needs, resolved and checked; no reading has been read yet.

    layouts: one a model, over all `targets`, its columns those of `network`. Durations in µs,
    `idle` and `checkpoint` (time between two) in seconds. resume: the checkpoint to go on from.
    stopping: set it to end the run early, with everything read so far
    delivered.
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
    checkpoint: float
    resume: Snapshot | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def flow(self) -> Flow:
        """Open the sinks and get ready to read from the beginning of every partition."""
        return Flow(self)

    def shards(self, count: int) -> list[Shard]:
        """The targets cut into `count` shards of nearly equal size, in their order, each as fresh
        or as the checkpoint has it."""
        cuts = np.linspace(0, len(self.targets), min(count, len(self.targets)) + 1).astype(int)
        shards = [
            Shard(
                self.models,
                [part(layout, slice(a, b)) for layout in self.layouts],
                self.evaluation,
                self.window,
                self.layouts[0].targets,
            )
            for a, b in pairwise(cuts)
        ]
        if self.resume:
            arrays = self.resume.below("shards")
            for shard, (a, b) in zip(shards, pairwise(cuts), strict=True):
                shard.restore(arrays, slice(a, b))
        return shards
