"""The contract of a file format, and the base of those that are lines of text.

To add one, subclass `TextFormat` (or `Format`, for files that are not lines) and name the class in
a config as ``format: my.module:MyFormat``; a format of gapcast's own is a module in this folder
and a line in ``formats/__init__.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np

from gapcast.engine.forecaster import Series
from gapcast.engine.output.unused import Unused
from gapcast.engine.plugin import Params
from gapcast.engine.source import Position
from gapcast.plugins.sources.files import File
from gapcast.plugins.sources.formats.chunk import Chunk
from gapcast.plugins.sources.formats.rows import Raw, Rows, chunk, too_long
from gapcast.plugins.sources.text.blocks import Block, Blocks
from gapcast.plugins.sources.text.split import Bytes, Fields


class Format(ABC):
    """One file read as one format. Its methods are called one at a time.

    file: what to read. options: what the config says, an instance of `Options`. quantities: those
    wanted, or ``None`` for all. size: bytes to read at once, about.
    """

    Options: ClassVar[type[Params]] = Params
    """Keys of the config that the format understands; they stand beside ``format``."""

    def __init__(
        self, file: File, options: Params, quantities: frozenset[str] | None, size: int
    ) -> None:
        self.file = file
        self.options = options
        self.quantities = quantities
        self.size = size

    @abstractmethod
    def chunks(self, position: Position | None) -> Iterator[Chunk]:
        """Chunks from `position` on, or from the beginning, each where the one before ended.

        The first may begin before `position` says to skip readings of its first line. Where the
        chunks are cut must not change what is in them. Raises SourceError when the file cannot be
        read; a record that cannot be understood is a dead letter.
        """

    def series(self, unused: Unused) -> set[Series]:
        """The series in the file, all of which is read. `unused` is given its dead letters."""
        found: set[Series] = set()
        for piece in self.chunks(None):
            unused.add(piece.dead_letters)
            sensor, quantity = piece.readings["sensor"], piece.readings["quantity"]
            of = len(quantity.dictionary)
            pairs = sensor.indices.to_numpy().astype(np.int64) * of + quantity.indices.to_numpy()
            sensors, quantities = sensor.dictionary.to_pylist(), quantity.dictionary.to_pylist()
            for pair in np.flatnonzero(np.bincount(pairs)) if len(pairs) else ():
                found.add(Series(sensors[pair // of], quantities[pair % of]))
        return found

    def wanted(self, quantity: str) -> bool:
        """Whether readings of `quantity` are asked for."""
        return self.quantities is None or quantity in self.quantities


class Parsed(NamedTuple):
    """Rows of text, and where it says so: the field ``fields[:, slots[j]]`` is column j."""

    rows: Rows
    fields: Fields
    slots: list[int]


class TextFormat(Format):
    """A format whose every record is a line. Positions hold the byte and the number of a line."""

    HEADER: ClassVar[bool] = False
    """Whether the first line is not a record: it goes to `header`."""

    @abstractmethod
    def parse(self, text: Bytes) -> Parsed:
        """Rows of whole lines, one for each line. What a line gives depends on it alone."""

    def header(self, line: bytes) -> None:
        """Take note of the first line, before any `parse`. Raises SourceError if it is wrong."""

    def chunks(self, position: Position | None) -> Iterator[Chunk]:
        """See `Format.chunks`. Place in a compressed file costs the decompression up to it."""
        byte, line = (position["byte"], position["line"]) if position else (0, 1)
        if self.HEADER and (header := self._header()):
            self.header(header)
            if byte == 0:
                byte, line = len(header), 2
        with self.file.stream(byte) as stream:
            try:
                for block in Blocks(stream, self.size):
                    piece = self._chunk(block, byte, line)
                    byte, line = byte + block.length, piece.end
                    yield piece
            except OSError as error:
                raise self.file.unreadable(error) from error

    def _chunk(self, block: Block, byte: int, line: int) -> Chunk:
        name, end = self.file.name, byte + block.length
        if block.long:
            return too_long(block.text.tobytes(), name, line, byte, end)
        parsed = self.parse(block.text)
        starts = parsed.fields.lines + byte
        starts[-1] = end  # the last line of a file may lack its newline
        return chunk(parsed.rows, name, line, Raw(parsed.fields, parsed.slots, starts))

    def _header(self) -> bytes:
        with self.file.stream() as stream:
            try:
                for block in Blocks(stream, 1 << 16):
                    return block.text.tobytes().split(b"\n", 1)[0] + b"\n"
            except OSError as error:
                raise self.file.unreadable(error) from error
        return b""
