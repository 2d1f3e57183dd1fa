"""Checkpoints: everything a run needs to go on, as plain arrays and JSON, whole or not at all.

``00000012/`` holds the bytes of all arrays end to end, cut into parts ``0000.bin``, ``0001.bin``,
…, and ``meta.json``: what the arrays are called and look like, and the checksum of every part. The
parts are written first and the meta last; it goes first when a checkpoint is removed. So a
checkpoint is there once its meta is, on any filesystem. The last few stay, so that a torn or
flipped one costs only the work since the one before; savepoints stay until someone removes them.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.errors import CheckpointError
from gapcast.engine.state import Arrays, below
from gapcast.engine.storage import Folder, open_folder

log = logging.getLogger("gapcast.checkpoint")

VERSION = 5
META = "meta.json"
MAGIC = b"gapcast\n"
"""How a checkpoint begins that is one text of bytes."""
PART = 32 << 20
"""Bytes of a part, save the last."""
THREADS = 4
"""Parts are written and read by so many threads."""

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
    arrays, sizes = _plain(snapshot.arrays)
    with ThreadPoolExecutor(THREADS, "gapcast-parts") as pool:
        sums = list(pool.map(partial(_store, place), count(), _cut(arrays, sizes)))
    sealed = _sealed(snapshot.meta, arrays, sizes, sums, savepoint)
    place.put(META, lambda file: file.write(sealed))
    _remove_older(folder, keep)
    return place


def packed(snapshot: Snapshot) -> bytes:
    """The same as one text of bytes: `MAGIC`, the length of the meta in 8 bytes, the meta, then the
    parts end to end."""
    arrays, sizes = _plain(snapshot.arrays)
    parts = [b"".join(part) for part in _cut(arrays, sizes)]
    sealed = _sealed(snapshot.meta, arrays, sizes, [zlib.crc32(part) for part in parts])
    return b"".join([MAGIC, len(sealed).to_bytes(8, "big"), sealed, *parts])


def unpacked(data: bytes | bytearray | memoryview) -> Snapshot:
    """What `packed` made bytes of. Raises CheckpointError where they are not whole."""
    begin = len(MAGIC) + 8
    if data[: len(MAGIC)] != MAGIC or len(data) < begin:
        raise CheckpointError("the state is not one of gapcast's")
    end = begin + int.from_bytes(data[len(MAGIC) : begin], "big")
    content = _opened(bytes(data[begin:end]), "the state")
    arrays = {name: np.empty(shape, dtype) for name, dtype, shape in content["arrays"]}
    for about, part in zip(
        content["parts"], _cut(arrays, [p["size"] for p in content["parts"]]), strict=True
    ):
        whole = memoryview(data)[end : end + about["size"]]
        end += about["size"]
        _fill(part, whole, about, "the state")
    if end != len(data):
        raise CheckpointError(f"the state has {len(data) - end} bytes more than it had")
    return Snapshot(content["meta"], arrays)


def _plain(given: Arrays) -> tuple[dict[str, NDArray[Any]], list[int]]:
    """Arrays as they are written, and the sizes of the parts."""
    arrays = {name: np.asarray(a, order="C") for name, a in given.items()}
    total = sum(a.nbytes for a in arrays.values())
    return arrays, [min(PART, total - start) for start in range(0, total, PART)]


def _sealed(
    meta: dict[str, Any],
    arrays: Arrays,
    sizes: Sequence[int],
    sums: Sequence[int],
    savepoint: bool = False,
) -> bytes:
    """The meta, with its checksum."""
    content = {
        "version": VERSION,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "savepoint": savepoint,
        "meta": meta,
        "arrays": [[name, a.dtype.str, a.shape] for name, a in arrays.items()],
        "parts": [{"size": s, "crc32": crc} for s, crc in zip(sizes, sums, strict=True)],
    }
    text = json.dumps(content, sort_keys=True)
    # as they stand: the order of a blend's experts is that of what they have learnt
    return json.dumps({"crc32": zlib.crc32(text.encode()), "content": content}).encode()


def numbers(folder: Place) -> list[int]:
    """Numbers of the checkpoints in `folder`, ascending; incomplete ones are not listed."""
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


def newest(
    folder: Place, wanted: Callable[[dict[str, Any]], bool] = lambda meta: True
) -> tuple[int, Snapshot] | None:
    """The newest checkpoint that is whole, with its number; says loudly what it passes over.

    wanted: whether one with this meta is looked for. Raises CheckpointError at one of another
    version: there is nothing wrong with it.
    """
    folder = open_folder(folder)
    for number in reversed(numbers(folder)):
        try:
            if wanted(about(folder / f"{number:08d}").meta):
                return number, read(folder / f"{number:08d}")
        except _OtherVersion:
            raise
        except CheckpointError as error:
            log.error("checkpoint skipped: %s", error)
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
        sealed = place.read(META)
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read: {error}") from None
    return _opened(sealed, name, place.url)


def _opened(data: bytes, name: str, place: str | None = None) -> dict[str, Any]:
    """What is in a sealed meta. Raises CheckpointError."""
    try:
        sealed = json.loads(data)
        text = json.dumps(sealed["content"], sort_keys=True)
        whole = zlib.crc32(text.encode()) == sealed["crc32"]
        content: dict[str, Any] = sealed["content"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{name} cannot be read: {error}") from None
    if not whole:
        raise CheckpointError(f"{name} does not match its checksum")
    if content["version"] != VERSION:
        raise _OtherVersion(
            f"{place or name} has version {content['version']}, this gapcast reads version "
            f"{VERSION}; go on with the gapcast that wrote it, or begin a new run"
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
    _fill(part, whole, about, f"{place.url}/{name}")


def _fill(part: Sequence[memoryview], whole: memoryview, about: dict[str, int], name: str) -> None:
    """Put the bytes of a part where they belong. Raises CheckpointError."""
    if len(whole) != about["size"] or zlib.crc32(whole) != about["crc32"]:
        raise CheckpointError(f"{name} does not match its checksum")
    for piece in part:
        piece[:] = whole[: len(piece)]
        whole = whole[len(piece) :]
