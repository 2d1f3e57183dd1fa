"""What a Dask worker does for the `dask` backend: tasks that find their shard in its memory."""

from __future__ import annotations

import threading
from typing import Any, Literal

from gapcast.engine.errors import ShardsLost
from gapcast.engine.parallel.remote import RemoteShard
from gapcast.engine.state import Parcel

_held: dict[tuple[str, int], RemoteShard] = {}
_lock = threading.Lock()


def begin(run: str, number: int, plan: Parcel, state: Parcel, frames: Parcel) -> None:
    """Hold shard `number` of a run, called ``generation:life``, from now on; let go of those of its
    earlier lives, whose driver may have been killed."""
    shard = RemoteShard(plan, state, frames)
    with _lock:
        for key in [k for k in _held if k[0] != run and _generation(k[0]) == _generation(run)]:
            del _held[key]
        _held[run, number] = shard


def _generation(run: str) -> str:
    return run.partition(":")[0]


def find(run: str, number: int) -> RemoteShard:
    """The shard held here. Raises ShardsLost when this process has never held it."""
    try:
        return _held[run, number]
    except KeyError:
        raise ShardsLost("a Dask worker has restarted and lost its shards") from None


class Step:
    """Steps one shard; as a task, it is given what the step before it left, so that it waits."""

    def __init__(self, run: str, number: int) -> None:
        self.run, self.number = run, number

    def __call__(self, before: Any, frame: Parcel) -> Parcel:
        """Step the shard with the frame in a parcel; its result."""
        return find(self.run, self.number).step(frame)


def tell(run: str, number: int, what: Literal["snapshot", "finish"], before: Any) -> Parcel:
    """The shard's snapshot or ending, after the task that left `before`."""
    shard = find(run, number)
    return shard.snapshot() if what == "snapshot" else shard.finish()


def forget(run: str) -> None:
    """Let go of all shards of a run."""
    with _lock:
        for key in [k for k in _held if k[0] == run]:
            del _held[key]
