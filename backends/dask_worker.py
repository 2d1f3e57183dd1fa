"""What a Dask worker does for the `dask` backend: tasks that find their shard in its memory."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from gapcast.engine.errors import ShardsLost
from gapcast.engine.output.shard_rows import ShardRows
from gapcast.engine.parallel.remote import RemoteShard
from gapcast.engine.parallel.writing import Writing
from gapcast.engine.state import Parcel


class Held(NamedTuple):
    """A shard, and its rows if it makes them itself."""

    shard: RemoteShard
    rows: ShardRows | None


_held: dict[tuple[str, int], Held] = {}
_lock = threading.Lock()


def begin(
    run: str,
    number: int,
    writing: dict[str, Any] | None,
    plan: Parcel,
    state: Parcel,
    frames: Parcel,
) -> None:
    """Hold shard `number` of a run, called ``generation:life``, from now on; let go of those of its
    earlier lives, whose driver may have been killed. writing: `Writing.json`, if it writes."""
    shard = RemoteShard(plan, state, frames)
    rows = ShardRows(Writing(**writing), shard.plan, number) if writing else None
    shard.own = rows.add if rows else None
    with _lock:
        for key in [k for k in _held if k[0] != run and _generation(k[0]) == _generation(run)]:
            del _held[key]
        _held[run, number] = Held(shard, rows)


def _generation(run: str) -> str:
    return run.partition(":")[0]


def find(run: str, number: int) -> Held:
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
        return find(self.run, self.number).shard.step(frame)


def tell(run: str, number: int, what: Literal["snapshot", "finish"], before: Any) -> Parcel:
    """The shard's snapshot or ending, after the task that left `before`."""
    shard = find(run, number).shard
    return shard.snapshot() if what == "snapshot" else shard.finish()


def prepare(run: str, number: int, epoch: int, until: int, silence: dict[str, Any]) -> Parcel:
    """Have the shard store its part of an epoch; a `Prepared` as JSON values."""
    rows = find(run, number).rows
    assert rows is not None
    return asdict(rows.prepare(epoch, until, silence)), {}


def forget(run: str) -> None:
    """Let go of all shards of a run."""
    with _lock:
        for key in [k for k in _held if k[0] == run]:
            del _held[key]
