"""Workers: where the shards of a job live, given frames, giving back results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from gapcast.engine.description import loose_modules
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.parallel.shares import Shares
from gapcast.engine.parallel.writing import Prepared, Writing
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.results import Ending, Stepped, StepResult
from gapcast.engine.shard.shard import Shard
from gapcast.engine.shard.withheld import Withheld
from gapcast.engine.state import Arrays


@dataclass(frozen=True)
class Work:
    """What workers are given of a job.

    name, generation: of the run, to tell its shards from others'. run_dir: its folder, for logs of
    the workers' own. plan: of all targets. shards: the joined snapshots to go on from; none: begin
    afresh. withheld: the frames of a span in progress. writing: how shards write their own rows;
    None: they cannot.
    """

    name: str
    generation: str
    run_dir: Path
    plan: Plan
    shards: Arrays
    withheld: Withheld
    writing: Writing | None = None

    def shares(self, count: int) -> Shares:
        """The targets divided among `count` shards, or fewer where a model's units are too few."""
        return Shares(self.plan.layouts, count)

    def loose_modules(self) -> list[Path]:
        """Files of modules that workers elsewhere do not have."""
        sinks = list(self.writing.sinks.values()) if self.writing else []
        return [*dict.fromkeys([*self.plan.loose_modules(), *loose_modules(sinks)])]

    def begin(self, shares: Shares) -> list[Shard]:
        """A shard for each share, in this process, as fresh or as the checkpoint has it."""
        begun = [Shard(self.plan.for_targets(targets)) for targets in shares.targets]
        if self.shards:
            for i, shard in enumerate(begun):
                shard.restore(shares.share(self.shards, i), self.withheld.frames)
        return begun


class Workers(ABC):
    """The shards of one job, in this process or in others.

    Raise ShardsLost when a shard's state is gone with whoever held it: the run goes on from its
    newest checkpoint. A shard that is given a frame other than its next one must do so, too.
    """

    ahead: ClassVar[int] = 1
    """Frames that may be on their way before the result of the first one is waited for."""

    writes: bool = False
    """Whether shards make and store their own rows, as `Work.writing` says: then a step gives
    `Stepped`, and `prepare` is called."""

    @abstractmethod
    def step(self, frame: GridFrame) -> Callable[[], StepResult | Stepped]:
        """Send the next frame to every shard; what is returned waits for the joined result."""

    def prepare(self, epoch: int, until: int, silence: dict[str, Any]) -> list[Prepared]:
        """Have every shard store its rows of the steps before `until` that no epoch had; what each
        says, in order. Called from another thread than the rest, once the results of these steps
        were given. silence: the `Silence.snapshot` of them."""
        raise NotImplementedError

    @abstractmethod
    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The joined snapshots of all shards. Called when no frame is on its way."""

    @abstractmethod
    def finish(self) -> Ending:
        """The joined ending of all shards; the last call."""

    @abstractmethod
    def alive(self) -> tuple[int, int, int]:
        """How many shards there are, how many workers are alive, and how many there should be."""
