"""A file's readings in order of time, whatever their order in the file is.

Sorted outside of memory: pieces of `PIECE` readings are sorted and put aside, then merged. A
reading keeps the line it stands on as its offset; readings of one time keep their order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from gapcast.engine.readings import DEAD_LETTERS, READINGS, empty, plain
from gapcast.engine.source import Position
from gapcast.plugins.sources.formats.chunk import Chunk, Ints, Mark
from gapcast.plugins.sources.formats.format import Format

PIECE = 2_000_000
"""Readings sorted at once."""

_BATCH = 65_536

_READINGS, _LETTERS = plain(READINGS), plain(DEAD_LETTERS)
"""In a stream a dictionary of names would have to be replaced for each batch."""


@dataclass(frozen=True)
class SortedChunk(Chunk):
    """Readings in order of time; positions count readings instead of lines."""

    @property
    def lines(self) -> Ints:
        """(readings,) the place of each reading in the order of time."""
        return self.first + np.arange(len(self.readings), dtype=np.int64)

    def position(self, mark: Mark) -> Position:
        """See `Chunk.position`."""
        return super().position(mark) | {"sorted": True}

    @property
    def letter_lines(self) -> Ints:
        """(dead letters,) they stand in chunks of their own."""
        return np.full(len(self.dead_letters), self.first, np.int64)


class Ordered(Format):
    """The readings of `reader` in order of time. What cannot be read comes first."""

    def __init__(self, reader: Format) -> None:
        super().__init__(reader.file, reader.options, reader.quantities, reader.size)
        self._reader = reader

    def chunks(self, position: Position | None) -> Iterator[Chunk]:
        """See `Format.chunks`. The file is sorted anew, whatever the position."""
        start = position["line"] if position else 0
        with tempfile.TemporaryDirectory(prefix="gapcast-order-") as folder:
            letters = Path(folder) / "letters"
            pieces = self._sorted(Path(folder), letters)
            end = 0
            for chunk in chain(
                map(_unreadable, _batches(letters)), map(_readable, _merged(pieces))
            ):
                first, end = end, end + max(1, len(chunk.readings))
                if end > start:
                    yield replace(chunk, first=first, end=end)

    def _sorted(self, folder: Path, letters: Path) -> list[Path]:
        """Write the readings to sorted pieces, and what cannot be read to `letters`."""
        pieces: list[Path] = []
        waiting: list[pa.RecordBatch] = []
        rows = 0
        with pa.OSFile(str(letters), "wb") as out, pa.ipc.new_stream(out, _LETTERS) as unreadable:
            for chunk in self._reader.chunks(None):
                waiting.append(chunk.readings.cast(_READINGS))
                rows += len(chunk.readings)
                if len(chunk.dead_letters):
                    unreadable.write_batch(chunk.dead_letters.cast(_LETTERS))
                if rows >= PIECE:
                    pieces.append(_put_aside(folder / str(len(pieces)), waiting))
                    waiting, rows = [], 0
        return [*pieces, _put_aside(folder / str(len(pieces)), waiting)]


def _put_aside(path: Path, batches: list[pa.RecordBatch]) -> Path:
    table = pa.Table.from_batches(batches, _READINGS)
    order = np.argsort(_times(table), kind="stable")
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, _READINGS) as stream:
        stream.write_table(table.take(pa.array(order)), max_chunksize=_BATCH)
    return path


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
        for batch in stream:
            yield batch.cast(DEAD_LETTERS)


def _merged(pieces: list[Path]) -> Iterator[pa.RecordBatch]:
    """The readings of sorted pieces in order of time, those of one time by their pieces."""
    with ExitStack() as stack:
        streams = [
            iter(stack.enter_context(pa.ipc.open_stream(stack.enter_context(file))))
            for file in (pa.OSFile(str(path), "rb") for path in pieces)
        ]
        heads = {k: head for k, stream in enumerate(streams) if (head := next(stream, None))}
        while heads:
            # The head that ends first is taken whole, and what comes before its end in others.
            bound, first = min((_times(head)[-1], k) for k, head in heads.items())
            taken = []
            for k, head in list(heads.items()):
                n = np.searchsorted(_times(head), bound, "right" if k <= first else "left")
                taken.append(head.slice(0, n))
                rest = head.slice(n) if n < len(head) else next(streams[k], None)
                if rest:
                    heads[k] = rest
                else:
                    del heads[k]
            yield _in_order(taken)


def _times(batch: pa.RecordBatch | pa.Table) -> Ints:
    return np.asarray(batch["time"].cast(pa.int64()).to_numpy(), np.int64)


def _in_order(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches)
    order = np.argsort(_times(table), kind="stable")
    return table.take(pa.array(order)).combine_chunks().cast(READINGS).to_batches()[0]


def _readable(readings: pa.RecordBatch) -> SortedChunk:
    return SortedChunk(readings, empty(DEAD_LETTERS), 0, 0)


def _unreadable(letters: pa.RecordBatch) -> SortedChunk:
    return SortedChunk(empty(READINGS), letters, 0, 0)
