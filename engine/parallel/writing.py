"""What shards need to make their own rows and to store their own part of every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gapcast.engine.description import Description, created, describe
from gapcast.engine.grid.calendar import Calendar
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.sink import JobInfo, ParallelSink, Part, Receives, Sink, SinkPart, Stages


@dataclass(frozen=True)
class Writing:
    """Sinks, the grid and the job as JSON values. stages: which rows each sink takes. reach: the
    least of the sinks'."""

    sinks: dict[str, Description]
    stages: dict[str, dict[str, bool]]
    grid: dict[str, Any]
    job: dict[str, Any]
    generation: str
    reach: int

    def writers(self, number: int) -> dict[str, SinkPart]:
        """The writer of a shard to every sink."""
        job = self.job | {"run_dir": Path(self.job["run_dir"])}
        part = Part(number, JobInfo(**job), self.generation)
        return {name: created(about).writer(part) for name, about in self.sinks.items()}

    def taken(self) -> dict[str, Stages]:
        """Which rows each sink takes."""
        return {name: Stages(**of) for name, of in self.stages.items()}

    def spec(self) -> GridSpec:
        """As far as rows depend on it."""
        calendar = self.grid["calendar"]
        return GridSpec(**self.grid | {"calendar": Calendar(**calendar) if calendar else None})

    def json(self) -> dict[str, Any]:
        """What another one is made of, in another process."""
        return asdict(self)


def writing(
    sinks: Mapping[str, Sink], grid: GridSpec, job: JobInfo, generation: str
) -> Writing | None:
    """How shards write to these sinks; None unless all that receive forecasts are parallel."""
    to = {name: sink for name, sink in sinks.items() if sink.receives is Receives.FORECASTS}
    parallel = {name: sink for name, sink in to.items() if isinstance(sink, ParallelSink)}
    if not to or len(parallel) < len(to):
        return None
    kept = ("interval", "offset", "nearest", "max_gap")
    calendar = grid.calendar and asdict(grid.calendar)
    about = {
        name: getattr(job, name) for name in ("name", "interval", "models", "targets", "scored")
    }
    return Writing(
        {name: describe(sink) for name, sink in parallel.items()},
        {name: asdict(sink.stages) for name, sink in parallel.items()},
        {name: getattr(grid, name) for name in kept} | {"calendar": calendar},
        about | {"run_dir": str(job.run_dir.absolute()), "periods": dict(job.periods)},
        generation,
        min(sink.reach for sink in parallel.values()),
    )


@dataclass(frozen=True)
class Prepared:
    """What a shard says of its part of an epoch: rows in it, of both stages, and how many of them
    are final; of each sink that takes some what is to be committed; of those that ask to be tried
    again the parts of `Retry`."""

    rows: int
    final: int
    committables: dict[str, Any] = field(default_factory=dict)
    retry: dict[str, tuple[str, float | None]] = field(default_factory=dict)
