"""Workers: where the shards of a job live, and how its frames are carried there and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from gapcast.engine.grid.grid import GridFrame
from gapcast.engine.shard.results import Ending, StepResult

if TYPE_CHECKING:
    from gapcast.engine.run.loop import Flow


class Workers(ABC):
    """The shards of one job, in this process or in others.

    Raise ShardsLost when a shard's state is gone with whoever held it: the run goes on from its
    newest checkpoint. A shard that is given a frame other than its next one must do so, too.
    """

    ahead: ClassVar[int] = 1
    """Frames that may be on their way before the result of the first one is waited for."""

    @abstractmethod
    def step(self, frame: GridFrame) -> Callable[[], StepResult]:
        """Send the next frame to every shard; what is returned waits for the joined result."""

    @abstractmethod
    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The joined snapshots of all shards. Called when no frame is on its way."""

    @abstractmethod
    def finish(self) -> Ending:
        """The joined ending of all shards; the last call."""

    @abstractmethod
    def alive(self) -> tuple[int, int, int]:
        """How many shards there are, how many workers are alive, and how many there should be."""


def carry(flow: Flow, workers: Workers) -> Iterator[None]:
    """Carry the frames of `flow` to `workers` and the results back, a frame each time."""
    waiting: deque[Callable[[], StepResult]] = deque()

    def drain() -> None:
        while waiting:
            flow.add(waiting.popleft()())

    flow.watch(workers.alive)
    for frame in flow.frames(drain, workers.snapshot):
        done = waiting.popleft()() if len(waiting) >= workers.ahead else None
        waiting.append(workers.step(frame))
        if done is not None:
            flow.add(done)
        yield
    drain()
