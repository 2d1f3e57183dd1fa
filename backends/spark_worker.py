"""What a Spark executor does for the `spark` backend: steps shards whose state is in its folder.

Which of an executor's Python processes gets a task is Spark's to choose, so the state of a shard
is a file in the executor's own folder, read by whichever process has not stepped the shard last
and replaced after every step. Spark removes the folder with the executor.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gapcast.engine.errors import GapcastError, ShardsLost
from gapcast.engine.parallel import wire
from gapcast.engine.parallel.remote import RemoteShard
from gapcast.engine.shard.withheld import Withheld
from gapcast.engine.state import Parcel, below, within

Task = tuple[str, list[bytes]]
"""What to do with a shard (``begin``, ``step``, ``snapshot``, ``finish``) and packed parcels."""

Done = tuple[str, bytes] | tuple[str, str, str]
"""``done`` and a packed parcel; ``lost``, ``error`` or ``raised``, a message and a traceback."""

_held: dict[tuple[str, int], RemoteShard] = {}


def perform(run: str, tasks: Iterable[tuple[int, Task]]) -> Iterator[Done]:
    """Do what each task says to a shard of `run`, by number."""
    for number, (what, blobs) in tasks:
        try:
            yield "done", _perform(run, number, what, [wire.unpack(b) for b in blobs])
        except ShardsLost as error:
            yield "lost", str(error), ""
        except GapcastError as error:
            yield "error", str(error), traceback.format_exc()
        except Exception as error:
            yield "raised", f"{type(error).__name__}: {error}", traceback.format_exc()


def _perform(run: str, number: int, what: str, parcels: list[Parcel]) -> bytes:
    place = _folder() / f"gapcast-{run}-{number}"
    if what == "begin":
        for old in [key for key in _held if key[0] != run]:
            del _held[old]
        _held[run, number] = RemoteShard(*parcels)
        _replace(place.with_suffix(".plan"), wire.pack(parcels[0]))
        _save(place, _held[run, number])
        return b""
    hosted = _found(run, number, place)
    if what == "step":
        result = wire.pack(hosted.step(parcels[0])).to_pybytes()
        _save(place, hosted)
        return result
    parcel = hosted.snapshot() if what == "snapshot" else hosted.finish()
    return wire.pack(parcel).to_pybytes()


def _found(run: str, number: int, place: Path) -> RemoteShard:
    """The shard as its file has it. Raises ShardsLost where the executor is not its home."""
    try:
        meta, arrays = wire.unpack(place.read_bytes())
        hosted = _held.get((run, number))
        if hosted is not None and hosted.next == meta["next"]:
            return hosted
        plan = wire.unpack(place.with_suffix(".plan").read_bytes())
    except FileNotFoundError:
        raise ShardsLost("a Spark executor was given a shard that it does not hold") from None
    state, frames = below(arrays, "state"), below(arrays, "withheld")
    hosted = RemoteShard(plan, (meta, state), ({}, frames))
    _held[run, number] = hosted
    return hosted


def _save(place: Path, hosted: RemoteShard) -> None:
    meta, arrays = hosted.snapshot()
    withheld = Withheld(hosted.shard.how)
    withheld.frames = hosted.shard.withheld
    frames = within("withheld", withheld.snapshot())
    _replace(place, wire.pack((meta, within("state", arrays) | frames)))


def _replace(path: Path, content: Any) -> None:
    """Whole or not at all; not durable, for the executor's end is the end of its shards."""
    aside = path.with_name(f".{path.name}.tmp")
    with aside.open("wb") as file:
        file.write(content)
    aside.rename(path)


def _folder() -> Path:
    """The executor's own folder: Spark names it to its Python workers and removes it at the end."""
    return Path(os.environ["SPARK_LOCAL_DIRS"].partition(",")[0])
