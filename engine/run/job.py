"""A job: one config made concrete. What to read, whom to forecast with what, where it goes."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gapcast.engine.checkpoint.contents import Contents
from gapcast.engine.checkpoint.schedule import CheckpointSchedule
from gapcast.engine.forecaster import Layout, Model, Series
from gapcast.engine.grid.frames import Joined
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.screening import Screener, ScreeningSpec
from gapcast.engine.grid.silence import Silence
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.network.growing import grown
from gapcast.engine.network.names import packed
from gapcast.engine.network.series import Network
from gapcast.engine.parallel.workers import Work
from gapcast.engine.parallel.writing import writing
from gapcast.engine.progress import Progress
from gapcast.engine.run.bounds import Bounds
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.growing import extended
from gapcast.engine.shard.plan import Plan, layouts_of
from gapcast.engine.shard.withheld import Withheld
from gapcast.engine.sink import JobInfo, Sink
from gapcast.engine.source import Source
from gapcast.engine.state import Arrays


@dataclass
class Job:
    """Everything a run needs, resolved and checked; no reading has been read yet.

    targeted: which series are targets. layouts: one a model, over all `targets`, its columns those
    of `network`. Durations in µs, `idle` in seconds. checkpoint: where, how often. latency: seconds
    for which rows may wait. screen: what is looked for in closed steps. resume: what to go on from;
    reopened: partitions that it had read to their ends, and in which there is more since. stopping:
    set it to end the run early, with everything read so far delivered. progress: is told about
    every second how the run is getting on; latest: what it was told last. grew: whether series have
    joined. sections: of each model its section of the config; renewed: whether models are others
    than those of the checkpoint, so that another one is due. began: with how many series the run
    began.
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
    targeted: Callable[[Series], bool]
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
    grew: bool = False
    sections: Mapping[str, Any] = field(default_factory=dict)
    renewed: bool = False
    began: int = 0

    @cached_property
    def plan(self) -> Plan:
        """All that a shard of all the targets would need."""
        return Plan(
            self.models, self.layouts, self.evaluation, self.window, self.layouts[0].targets,
            self.grid.periods,
        )  # fmt: skip

    def take_in(self, joined: Joined, shards: Arrays, withheld: Withheld) -> Work:
        """Have series join the network, behind all others, from a step on. What workers are given
        then: what `shards` had learnt (their joined snapshots), for those of the larger plan, and
        the frames `withheld`, which become wider."""
        before = self.plan
        self.grow(joined.series)
        withheld.grow(len(joined.series))
        return self.work(extended(shards, before, self.plan, joined.step), withheld)

    def grow(self, series: Sequence[Series]) -> None:
        """Have `series` join the network, behind all others."""
        self.network = self.network.grown(series)
        self.targets += tuple(filter(self.targeted, series))
        self.layouts = tuple(
            grown(layout, self.network, self.targets, model)
            for layout, model in zip(self.layouts, self.models, strict=True)
        )
        for name in ("plan", "_names", "_checksum"):
            vars(self).pop(name, None)
        self.grew = True

    def work(self, shards: Arrays | None = None, withheld: Withheld | None = None) -> Work:
        """What workers are given, afresh or as the checkpoint has it; or with what shards have
        learnt and which frames of a span are held by now."""
        return Work(
            self.name,
            self.generation,
            self.run_dir,
            self.plan,
            shards if shards is not None else self.resume.shards if self.resume else {},
            withheld or self.withheld(),
            writing(self.sinks, self.grid, self.info(), self.generation),
        )

    def info(self) -> JobInfo:
        """What sinks may know of it."""
        return JobInfo(
            self.name,
            self.run_dir,
            self.grid.interval,
            tuple(m.name for m in self.models),
            len(self.targets),
            (self.evaluation.scored,),
            lambda: self.latest,
            self.grid.periods,
        )

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

    def network_held(self) -> dict[str, dict[str, NDArray[Any]]]:
        """What a checkpoint holds of the network: names, and the layouts if it has grown."""
        layouts = layouts_of(self.plan) if self.grew else {}
        return {"series": self._names, "layouts": layouts}

    @cached_property
    def _names(self) -> dict[str, NDArray[Any]]:
        return packed(self.network.series)

    @cached_property
    def _checksum(self) -> int:
        return zlib.crc32(
            "\n".join(f"{s.sensor}\t{s.quantity}" for s in self.network.series).encode()
        )

    def description(self) -> dict[str, Any]:
        """What a checkpoint must agree with: generation, series, models and state versions."""
        return {
            "generation": self.generation,
            "series": self._checksum,
            "targets": len(self.targets),
            "models": {m.name: m.forecaster.state_version for m in self.models},
            "order": [m.name for m in self.models],
            "sections": self.sections,
            "began": self.began,
        }
