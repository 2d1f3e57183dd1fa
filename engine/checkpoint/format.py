"""Checkpoints: everything a run needs to go on, as plain arrays and JSON, whole or not at all.

``00000012/`` holds the bytes of all arrays end to end, cut into parts ``0000.bin``, ``0001.bin``,
…, and ``meta.json``: what the arrays are called and look like, and the checksum of every part. The
parts are written first and the meta last; it goes first when a checkpoint is removed. So a
checkpoint is there once its meta is, on any filesystem. The last few are kept, so that a torn or
flipped one costs only the work since the one before; savepoints stay until someone removes them.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.checkpoint.savepoints import Requests
from gapcast.engine.errors import CheckpointError
from gapcast.engine.output.epoch_log import EpochLog
from gapcast.engine.state import below
from gapcast.engine.storage import Folder, open_folder

if TYPE_CHECKING:
    from gapcast.engine.run.job import Job

log = logging.getLogger("gapcast.checkpoint")

VERSION = 4
META = "meta.json"
PART = 32 << 20
"""Bytes of a part, save the last."""
THREADS = 4
"""Parts are written and read by so many threads."""

Arrays = Mapping[str, NDArray[Any]]
Place = Folder | Path
"""A folder, or the path of a local one."""


@dataclass(frozen=True)
class Snapshot:
    """The state of a run between two batches: JSON values and named arrays."""

    meta: dict[str, Any]
    arrays: Arrays

    def below(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays whose names begin with ``prefix/``, without it."""
        return below(self.arrays, prefix)


@dataclass(frozen=True)
class About:
    """What a checkpoint's meta says of it: when it was written, its bytes, who keeps it."""

    written: datetime
    size: int
    savepoint: bool
    meta: dict[str, Any]


class _OtherVersion(CheckpointError):
    """Whole, but not for this gapcast: to pass over it would be to lose what it holds."""


def write(
    folder: Place, number: int, snapshot: Snapshot, keep: int = 3, savepoint: bool = False
) -> Folder:
    """Write checkpoint `number` below `folder`, durably; remove all but the last `keep` and the
    savepoints. Raises OSError; the ones before it are then untouched."""
    folder = open_folder(folder)
    place = folder / f"{number:08d}"
    _remove(place)  # of a life that was cut short
    arrays = {name: np.asarray(a, order="C") for name, a in snapshot.arrays.items()}
    total = sum(a.nbytes for a in arrays.values())
    sizes = [min(PART, total - start) for start in range(0, total, PART)]
    with ThreadPoolExecutor(THREADS, "gapcast-parts") as pool:
        sums = list(pool.map(partial(_store, place), count(), _cut(arrays, sizes)))
    content = {
        "version": VERSION,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "savepoint": savepoint,
        "meta": snapshot.meta,
        "arrays": [[name, a.dtype.str, a.shape] for name, a in arrays.items()],
        "parts": [{"size": s, "crc32": crc} for s, crc in zip(sizes, sums, strict=True)],
    }
    text = json.dumps(content, sort_keys=True)
    sealed = json.dumps({"crc32": zlib.crc32(text.encode()), "content": content}, sort_keys=True)
    place.put(META, lambda file: file.write(sealed.encode()))
    _remove_older(folder, keep)
    return place


def numbers(folder: Place) -> list[int]:
    """Numbers of the checkpoints in `folder`, ascending; what was left half-written is no one."""
    folder = open_folder(folder)
    try:
        return [n for n in _numbered(folder) if META in (folder / f"{n:08d}").names()]
    except OSError as error:
        raise CheckpointError(f"{folder.url} cannot be listed: {error}") from None


def about(place: Place) -> About:
    """What a checkpoint is, from its meta alone. Raises CheckpointError when that is damaged."""
    content = _content(open_folder(place))
    size = sum(part["size"] for part in content["parts"])
    written = datetime.fromisoformat(content["written"])
    return About(written, size, content["savepoint"], content["meta"])


def read(place: Place) -> Snapshot:
    """Read a checkpoint and verify every byte. Raises CheckpointError naming what is wrong."""
    place = open_folder(place)
    content = _content(place)
    parts = content["parts"]
    arrays = {name: np.empty(shape, dtype) for name, dtype, shape in content["arrays"]}
    cuts = _cut(arrays, [part["size"] for part in parts])
    with ThreadPoolExecutor(THREADS, "gapcast-parts") as pool:
        for _ in pool.map(partial(_load, place), count(), parts, cuts):
            pass
    return Snapshot(content["meta"], arrays)


def newest(folder: Place) -> tuple[int, Snapshot] | None:
    """The newest checkpoint that is whole, with its number; says loudly what it passes over.

    Raises CheckpointError at one of another version: there is nothing wrong with it.
    """
    folder = open_folder(folder)
    for number in reversed(numbers(folder)):
        try:
            return number, read(folder / f"{number:08d}")
        except _OtherVersion:
            raise
        except CheckpointError as error:
            log.error("checkpoint passed over: %s", error)
    return None


def _numbered(folder: Folder) -> list[int]:
    return sorted(int(name) for name in folder.names() if name.isdecimal())


def _remove(place: Folder) -> None:
    place.remove(META)
    place.drop()


def _remove_older(folder: Folder, keep: int) -> None:
    """Remove what is neither a savepoint nor one of the last `keep` of the others."""
    there = numbers(folder)
    plain = [n for n in there if not _is_savepoint(folder / f"{n:08d}")]
    stay = {*there} - {*plain[:-keep]}
    for number in {*_numbered(folder)} - stay:
        _remove(folder / f"{number:08d}")


def _is_savepoint(place: Folder) -> bool:
    try:
        return about(place).savepoint
    except CheckpointError:
        return False


def _content(place: Folder) -> dict[str, Any]:
    name = f"{place.url}/{META}"
    try:
        sealed = json.loads(place.read(META))
        text = json.dumps(sealed["content"], sort_keys=True)
        whole = zlib.crc32(text.encode()) == sealed["crc32"]
        content: dict[str, Any] = sealed["content"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{name} cannot be read: {error}") from None
    if not whole:
        raise CheckpointError(f"{name} does not match its checksum")
    if content["version"] != VERSION:
        raise _OtherVersion(
            f"{place.url} has version {content['version']}, this gapcast reads version {VERSION}; "
            "go on with the gapcast that wrote it, or begin a new run"
        )
    return content


def _cut(arrays: Arrays, sizes: Iterable[int]) -> Iterator[list[memoryview]]:
    """The bytes of all arrays, end to end, as parts of so many bytes, without a copy."""
    left = deque(a.reshape(-1).view(np.uint8).data for a in arrays.values())
    for size in sizes:
        part = []
        while size:
            whole = left.popleft()
            part.append(whole[:size])
            if len(whole) > size:
                left.appendleft(whole[size:])
            size -= len(part[-1])
        yield part


def _store(place: Folder, number: int, part: Sequence[memoryview]) -> int:
    """Write one part; what is in it and its checksum go into the meta."""

    def fill(file: BinaryIO) -> None:
        for piece in part:
            file.write(piece)

    place.write(f"{number:04d}.bin", fill)
    crc = 0
    for piece in part:
        crc = zlib.crc32(piece, crc)
    return crc


def _load(place: Folder, number: int, about: dict[str, int], part: Sequence[memoryview]) -> None:
    """Read one part into the arrays it was cut from."""
    name = f"{number:04d}.bin"
    try:
        whole = memoryview(place.read(name))
    except OSError as error:
        raise CheckpointError(
            f"{place.url}/{name} cannot be read: {error.strerror or error}"
        ) from None
    if len(whole) != about["size"] or zlib.crc32(whole) != about["crc32"]:
        raise CheckpointError(f"{place.url}/{name} does not match its checksum")
    for piece in part:
        piece[:] = whole[: len(piece)]
        whole = whole[len(piece) :]


@dataclass(frozen=True)
class Schedule:
    """Where the checkpoints of a job go, seconds between two by the clock, how many are kept."""

    folder: Folder
    interval: float
    keep: int


def folder_of(run_dir: Path, path: str | None, name: str, generation: str) -> Folder:
    """Where a run keeps its checkpoints: in its own folder, or below `path`, apart from others."""
    if path is None:
        return open_folder(run_dir / "checkpoint")
    return open_folder(path) / f"{name}-{generation}"


class Checkpoints:
    """The checkpoints of a job in progress, written beside it by a thread of their own."""

    def __init__(self, job: Job) -> None:
        self.schedule = job.checkpoint
        self._source = job.source
        self.about = describe(job)
        self.epochs = EpochLog(self.schedule.folder / "epochs")
        self._requests = Requests(job.run_dir)
        self._number = max(numbers(self.schedule.folder), default=-1)
        self._ends: deque[int] = deque(maxlen=self.schedule.keep)
        self._since = time.monotonic()
        self._pool = ThreadPoolExecutor(1, "gapcast-checkpoint")
        self._pending: Future[None] | None = None

    def due(self) -> bool:
        """Whether it is time for the next one, or a savepoint is asked for. Raises what stopped
        the one before."""
        if self._pending is not None and self._pending.done():
            self._pending.result()
            self._pending = None
        if self._pending is not None:
            return False
        old = time.monotonic() - self._since >= self.schedule.interval
        return old or bool(self._requests.waiting())

    def take(self, snapshot: Snapshot, wait: bool) -> None:
        """Write the next checkpoint, in the background unless told to wait for it.

        It is a savepoint if one has been asked for.
        """
        if self._pending is not None:
            self._pending.result()
        self._number += 1
        self._since = time.monotonic()
        whole = Snapshot(snapshot.meta | {"job": self.about}, snapshot.arrays)
        asked = self._requests.waiting()
        self._pending = self._pool.submit(self._write, self._number, whole, asked)
        if wait:
            self._pending.result()

    def close(self) -> None:
        """Wait for the one being written."""
        self._pool.shutdown()

    def _write(self, number: int, snapshot: Snapshot, asked: Sequence[str]) -> None:
        folder, keep = self.schedule.folder, self.schedule.keep
        try:
            write(folder, number, snapshot, keep, savepoint=bool(asked))
            if not asked:
                self._ends.append(snapshot.meta["outlet"]["epoch"])
                if len(self._ends) == keep:
                    self.epochs.forget(self._ends[0])
        except OSError as error:
            raise CheckpointError(
                f"checkpoint {number} cannot be written to {folder.url}: "
                f"{error.strerror or error}; the one before it stands, go on with --resume when "
                "it can be written again"
            ) from error
        names, positions = snapshot.meta["grid"]["partitions"], snapshot.meta["positions"]
        self._source.checkpointed({n: p for n, p in zip(names, positions, strict=True) if p})
        self._requests.answer(asked, number)


def describe(job: Job) -> dict[str, Any]:
    """What a checkpoint must agree with: generation, series, models and their state versions."""
    series = "\n".join(f"{s.sensor}\t{s.quantity}" for s in job.network.series)
    return {
        "generation": job.generation,
        "series": zlib.crc32(series.encode()),
        "targets": len(job.targets),
        "models": {m.name: m.forecaster.state_version for m in job.models},
    }
