"""A shard in a worker process: bytes in, bytes out, and no frame is ever skipped or repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine import plan, wire
from gapcast.engine.errors import ShardsLost
from gapcast.engine.evaluation import Evaluation
from gapcast.engine.kept import Kept
from gapcast.engine.shard import Shard


class Hosted:
    """A shard made from a packed plan, fresh or as a packed snapshot and kept frames have it."""

    def __init__(self, packed: wire.Blob, state: wire.Blob, frames: wire.Blob) -> None:
        self.shard = Shard(plan.unpack(packed))
        arrays = wire.unpack(state)[1]
        if arrays:
            kept = Kept(Evaluation())
            kept.restore(wire.unpack(frames)[1])
            self.shard.restore(arrays, kept.frames)
        self.next: int | None = None

    def step(self, blob: wire.Blob) -> pa.Buffer:
        """Step a packed frame. Raises ShardsLost unless it is the next one."""
        frame = wire.unpack_frame(blob)
        if self.next is not None and frame.first != self.next:
            raise ShardsLost(f"a shard stands at step {self.next}, not {frame.first}")
        result = self.shard.step(frame)
        self.next = frame.first + len(frame.values)
        return wire.pack_result(result)

    def snapshot(self) -> pa.Buffer:
        """The shard's snapshot, packed."""
        return wire.pack({}, self.shard.snapshot())

    def finish(self) -> pa.Buffer:
        """The shard's ending, packed."""
        return wire.pack_ending(self.shard.finish())


def start(
    run_plan: plan.Plan,
    state: Mapping[str, NDArray[Any]],
    kept: Kept,
) -> tuple[pa.Buffer, pa.Buffer, pa.Buffer]:
    """What a `Hosted` is made from, packed: plan, state (empty: fresh) and kept frames."""
    return run_plan.pack(), wire.pack({}, state), wire.pack({}, kept.snapshot())
