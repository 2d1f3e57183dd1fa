"""A shard in a worker process: parcels in, parcels out, no frame ever skipped or repeated."""

from __future__ import annotations

import numpy as np

from gapcast.engine.errors import ShardsLost
from gapcast.engine.parallel import wire
from gapcast.engine.parallel.wire import Parcel
from gapcast.engine.shard import plan
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.shard import Shard
from gapcast.engine.shard.withheld import Kept


class Hosted:
    """A shard made from a plan's parcel, fresh or as its snapshot has it with the kept frames of a
    span in progress (no arrays: none)."""

    def __init__(self, run_plan: Parcel, state: Parcel, frames: Parcel) -> None:
        self.shard = Shard(plan.of_parcel(run_plan))
        if state[1]:
            kept = Kept(Evaluation())
            kept.restore(_own(frames))
            self.shard.restore(_own(state), kept.frames)
        self.next: int | None = state[0].get("next")
        self.shard.seconds = state[0].get("seconds", self.shard.seconds)

    def step(self, parcel: Parcel) -> Parcel:
        """Step the frame in a parcel. Raises ShardsLost unless it is the next one."""
        frame = wire.to_frame(parcel)
        if self.next is not None and frame.first != self.next:
            raise ShardsLost(f"a shard stands at step {self.next}, not {frame.first}")
        result = self.shard.step(frame)
        self.next = frame.first + len(frame.values)
        return wire.of_result(result)

    def snapshot(self) -> Parcel:
        """The shard's snapshot."""
        return {"next": self.next, "seconds": self.shard.seconds}, self.shard.snapshot()

    def finish(self) -> Parcel:
        """The shard's ending."""
        return wire.of_ending(self.shard.finish())


def _own(parcel: Parcel) -> dict[str, np.ndarray]:
    """Arrays to keep and write to, whatever the carrier does with what it brought."""
    return {name: np.array(a) for name, a in parcel[1].items()}
