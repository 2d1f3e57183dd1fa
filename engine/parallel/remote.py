"""Shards in other processes, reached by parcels: the driver's end and the worker's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gapcast.engine import plugin
from gapcast.engine.errors import ShardsLost
from gapcast.engine.forecaster import Ints
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.parallel import wire
from gapcast.engine.parallel.workers import Work, Workers
from gapcast.engine.shard import plan
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.results import Ending, Stepped, StepResult
from gapcast.engine.shard.shard import Shard
from gapcast.engine.shard.withheld import Withheld
from gapcast.engine.state import Parcel


class RemoteParams(plugin.Params):
    """Parameters of a backend for which carrying a batch costs more than waiting for its rest."""

    batch: int = Field(default=1_048_576, ge=1, description="Readings read, and carried, at once.")
    linger: float = Field(
        default=0.5, ge=0, description="Seconds that readings may wait for more of their batch."
    )


class Remote(Workers):
    """Workers that hold a `RemoteShard` for each share of a job's targets."""

    def __init__(self, work: Work, count: int) -> None:
        self.work = work
        self.shares = work.shares(count)
        self.plans = [work.plan.for_targets(mine) for mine in self.shares.targets]

    @abstractmethod
    def ask(self, what: Literal["snapshot", "finish"]) -> list[Parcel]:
        """What each shard's `RemoteShard` answers, after all the frames it was sent."""

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Copies of the shards' states, brought here."""
        return self.shares.join_snapshots([arrays for _, arrays in self.ask("snapshot")])

    def finish(self) -> Ending:
        """What the shards leave."""
        return self.shares.join_endings([wire.to_ending(p) for p in self.ask("finish")])

    def beginning(self, shard: int, columns: Ints) -> tuple[Parcel, Parcel, Parcel]:
        """What a `RemoteShard` that sees only `columns` is made from: fresh, or as the checkpoint
        has it."""
        state = self.shares.share(self.work.shards, shard)
        frames = self.work.withheld.narrow(columns).snapshot()
        return self.plans[shard].narrow(columns).parcel(), ({}, state), ({}, frames)

    def joined(self, frame: GridFrame, parcels: Sequence[Parcel]) -> StepResult | Stepped:
        """One result from those that the shards have sent for `frame`."""
        if self.writes:
            return self.shares.join_stepped([wire.to_stepped(parcel) for parcel in parcels])
        return self.shares.join(
            [
                wire.to_result(parcel, frame, plan.layouts[0].targets)
                for parcel, plan in zip(parcels, self.plans, strict=True)
            ]
        )


class RemoteShard:
    """A shard made from a plan's parcel, fresh or as its snapshot has it with the withheld
    frames of a span in progress (no arrays: none)."""

    own: Callable[[StepResult], None] | None = None
    """Takes the results, if their rows are made here."""

    def __init__(self, run_plan: Parcel, state: Parcel, frames: Parcel) -> None:
        self.plan = plan.of_parcel(run_plan)
        self.shard = Shard(self.plan)
        if state[1]:
            withheld = Withheld(Evaluation())
            withheld.restore(_own(frames))
            self.shard.restore(_own(state), withheld.frames)
        self.next: int | None = state[0].get("next")
        self.shard.seconds = state[0].get("seconds", self.shard.seconds)

    def step(self, parcel: Parcel) -> Parcel:
        """Step the frame in a parcel. Raises ShardsLost unless it is the next one."""
        frame = wire.to_frame(parcel)
        if self.next is not None and frame.first != self.next:
            raise ShardsLost(f"a shard expects step {self.next}, not {frame.first}")
        result = self.shard.step(frame)
        self.next = frame.first + len(frame.values)
        if self.own is None:
            return wire.of_result(result)
        self.own(result)
        return wire.of_stepped(Stepped.of(result))

    def snapshot(self) -> Parcel:
        """The shard's snapshot."""
        return {"next": self.next, "seconds": self.shard.seconds}, self.shard.snapshot()

    def finish(self) -> Parcel:
        """The shard's ending."""
        return wire.of_ending(self.shard.finish())


def _own(parcel: Parcel) -> dict[str, np.ndarray]:
    """Arrays to keep and write to, whatever the carrier does with what it brought."""
    return {name: np.array(a) for name, a in parcel[1].items()}
