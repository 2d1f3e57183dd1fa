"""Shards in other processes, reached by parcels: what every such backend has in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.forecaster import Ints
from gapcast.engine.grid.grid import GridFrame
from gapcast.engine.parallel import wire
from gapcast.engine.parallel.wire import Parcel
from gapcast.engine.parallel.workers import Workers
from gapcast.engine.run.job import Job
from gapcast.engine.shard.results import Ending, StepResult


class RemoteParams(plugin.Params):
    """Parameters of a backend for which carrying a batch costs more than waiting for its rest."""

    batch: int = Field(default=1_048_576, ge=1, description="Readings read, and carried, at once.")
    linger: float = Field(
        default=0.5, ge=0, description="Seconds that readings may wait for more of their batch."
    )


class Remote(Workers):
    """Workers that hold a `Hosted` for each share of a job's targets."""

    def __init__(self, job: Job, count: int) -> None:
        self.job = job
        self.shares = job.shares(count)
        self.plans = [job.plan.part(mine) for mine in self.shares.targets]

    @abstractmethod
    def ask(self, what: Literal["snapshot", "finish"]) -> list[Parcel]:
        """What each shard's `Hosted` answers, after all the frames it was sent."""

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Copies of the shards' states, brought here."""
        return self.shares.join_snapshots([arrays for _, arrays in self.ask("snapshot")])

    def finish(self) -> Ending:
        """What the shards leave."""
        return self.shares.join_endings([wire.to_ending(p) for p in self.ask("finish")])

    def beginning(self, shard: int, columns: Ints) -> tuple[Parcel, Parcel, Parcel]:
        """What a `Hosted` is made from that sees only `columns`: fresh, or as the checkpoint has
        it."""
        job = self.job
        arrays = job.resume.below("shards") if job.resume else {}
        state, frames = self.shares.share(arrays, shard), job.kept().narrow(columns).snapshot()
        return self.plans[shard].narrow(columns).parcel(), ({}, state), ({}, frames)

    def joined(self, frame: GridFrame, parcels: Sequence[Parcel]) -> StepResult:
        """One result from those that the shards have sent for `frame`."""
        return self.shares.join(
            [
                wire.to_result(parcel, frame, plan.layouts[0].targets)
                for parcel, plan in zip(parcels, self.plans, strict=True)
            ]
        )
