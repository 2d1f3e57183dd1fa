"""Checkpoints: everything a run needs to go on, as plain arrays and JSON, whole or not at all.

``checkpoint/00000012/`` holds ``meta.json`` and one file of bare bytes an array, with its type,
shape and checksum in the meta. A checkpoint is written aside, flushed to disk and renamed into
place; the last few are kept, so that a torn or flipped one costs only the work since the one
before.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.durable import replace, sync
from gapcast.engine.errors import CheckpointError

if TYPE_CHECKING:
    from gapcast.engine.job import Job

log = logging.getLogger("gapcast.checkpoint")

VERSION = 1
KEPT = 3
"""So many checkpoints are kept."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Snapshot:
    """The state of a run between two batches: JSON values and named arrays."""

    meta: dict[str, Any]
    arrays: Arrays

    def below(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays whose names begin with ``prefix/``, without it."""
        start = f"{prefix}/"
        return {k.removeprefix(start): a for k, a in self.arrays.items() if k.startswith(start)}


def write(folder: Path, number: int, snapshot: Snapshot) -> Path:
    """Write checkpoint `number` below `folder`, durably, and remove the oldest ones."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{number:08d}"
    aside = folder / f".{place.name}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    parts = {}
    for i, (name, array) in enumerate(snapshot.arrays.items()):
        parts[name] = _store(aside / f"{i:04d}.bin", array)
    content = {"version": VERSION, "meta": snapshot.meta, "arrays": parts}
    text = json.dumps(content, sort_keys=True)
    sealed = json.dumps({"crc32": zlib.crc32(text.encode()), "content": content}, sort_keys=True)
    with (aside / "meta.json").open("w") as meta:
        meta.write(sealed)
        meta.flush()
        os.fsync(meta.fileno())
    sync(aside)
    if place.exists():
        shutil.rmtree(place)
    aside.rename(place)
    sync(folder)
    for old in numbers(folder)[:-KEPT]:
        shutil.rmtree(folder / f"{old:08d}")
    return place


def numbers(folder: Path) -> list[int]:
    """Numbers of the checkpoints in `folder`, ascending; what was left half-written is no one."""
    return sorted(int(p.name) for p in folder.glob("[0-9]*") if p.name.isdecimal())


def read(place: Path) -> Snapshot:
    """Read a checkpoint and verify every byte. Raises CheckpointError naming what is wrong."""
    try:
        sealed = json.loads((place / "meta.json").read_bytes())
        text = json.dumps(sealed["content"], sort_keys=True)
        whole = zlib.crc32(text.encode()) == sealed["crc32"]
        content = sealed["content"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{place}/meta.json cannot be read: {error}") from None
    if not whole:
        raise CheckpointError(f"{place}/meta.json does not match its checksum")
    if content["version"] != VERSION:
        raise CheckpointError(
            f"{place} has version {content['version']}, this gapcast reads version {VERSION}"
        )
    arrays = {}
    for name, part in content["arrays"].items():
        arrays[name] = _load(place, name, part)
    return Snapshot(content["meta"], arrays)


def newest(folder: Path) -> tuple[int, Snapshot] | None:
    """The newest checkpoint that is whole, with its number; says loudly what it passes over."""
    for number in reversed(numbers(folder)):
        try:
            return number, read(folder / f"{number:08d}")
        except CheckpointError as error:
            log.error("checkpoint passed over: %s", error)
    return None


def _store(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    """Write the bare bytes of an array; what they mean and their checksum go into the meta."""
    whole = np.ascontiguousarray(array)
    with path.open("wb") as file:
        file.write(whole.data)
        file.flush()
        os.fsync(file.fileno())
    about = {"dtype": whole.dtype.str, "shape": list(whole.shape)}
    return {"file": path.name, "crc32": zlib.crc32(whole.data), **about}


def _load(place: Path, name: str, part: dict[str, Any]) -> NDArray[Any]:
    path = place / part["file"]
    try:
        flat = np.fromfile(path, np.uint8)
    except OSError as error:
        raise CheckpointError(f"{path} ({name}) cannot be read: {error.strerror}") from None
    if zlib.crc32(flat.data) != part["crc32"]:
        raise CheckpointError(f"{path} ({name}) does not match its checksum")
    array: NDArray[Any] = flat.view(part["dtype"]).reshape(part["shape"])
    return array


class Checkpoints:
    """The checkpoints of a job in progress, written beside it by a thread of their own."""

    def __init__(self, job: Job) -> None:
        self.folder = job.run_dir / "checkpoint"
        self.folder.mkdir(exist_ok=True)
        self.interval = job.checkpoint
        self.about = describe(job)
        self.epochs = EpochLog(self.folder / "epochs.log")
        self._number = max(numbers(self.folder), default=-1)
        self._since = time.monotonic()
        self._pool = ThreadPoolExecutor(1, "gapcast-checkpoint")
        self._pending: Future[None] | None = None

    def due(self) -> bool:
        """Whether it is time for the next one. Raises what stopped the one before."""
        if self._pending is not None and self._pending.done():
            self._pending.result()
            self._pending = None
        return self._pending is None and time.monotonic() - self._since >= self.interval

    def take(self, snapshot: Snapshot, wait: bool) -> None:
        """Write the next checkpoint, in the background unless told to wait for it."""
        if self._pending is not None:
            self._pending.result()
        self._number += 1
        self._since = time.monotonic()
        whole = Snapshot(snapshot.meta | {"job": self.about}, snapshot.arrays)
        self._pending = self._pool.submit(self._write, self._number, whole)
        if wait:
            self._pending.result()

    def close(self) -> None:
        """Wait for the one being written."""
        self._pool.shutdown()

    def _write(self, number: int, snapshot: Snapshot) -> None:
        try:
            write(self.folder, number, snapshot)
        except OSError as error:
            raise CheckpointError(
                f"checkpoint {number} cannot be written to {self.folder}: {error.strerror}; "
                "the one before it stands, go on with --resume when there is room"
            ) from error
        self.epochs.forget(snapshot.meta["outlet"]["epoch"])


def describe(job: Job) -> dict[str, Any]:
    """What a checkpoint must agree with: generation, series, models and their state versions."""
    series = "\n".join(f"{s.sensor}\t{s.quantity}" for s in job.network.series)
    return {
        "generation": job.generation,
        "series": zlib.crc32(series.encode()),
        "targets": len(job.targets),
        "models": {m.name: m.forecaster.state_version for m in job.models},
    }


class EpochLog:
    """Which step each epoch ends before, written down before the epoch is delivered.

    After a crash the epochs since the checkpoint are made again from it: the same epoch carries
    the same rows although batches and clocks differ.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()  # one thread delivers epochs, another writes checkpoints

    def append(self, epoch: int, until: int) -> None:
        """Note, durably, that `epoch` holds the steps before `until` that none before it held."""
        with self._lock, self.path.open("a") as file:
            file.write(f"{epoch} {until}\n")
            file.flush()
            os.fsync(file.fileno())

    def since(self, epoch: int) -> Iterator[tuple[int, int]]:
        """(epoch, until) of the epochs noted from `epoch` on; a torn last line is none."""
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines(keepends=True):
            number, _, until = line.partition(" ")
            if line.endswith("\n") and int(number) >= epoch:
                yield int(number), int(until)

    def forget(self, epoch: int) -> None:
        """Drop what was noted of epochs before `epoch`: a checkpoint stands for them."""
        with self._lock:
            kept = "".join(f"{number} {until}\n" for number, until in self.since(epoch))
            replace(self.path, lambda file: file.write(kept.encode()))
