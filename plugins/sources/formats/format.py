"""The contract of a file format, and the base of those that are lines of text.

To add one, subclass `TextFormat` (or `Format`, for files that are not lines) and name the class in
a config as ``format: my.module:MyFormat``; a format of gapcast's own is a module in this folder
and a line in ``formats/__init__.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from codecs import BOM_UTF8
from collections.abc import Iterator, Set
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from gapcast.engine.forecaster import Series
from gapcast.engine.output.unused import Unused
from gapcast.engine.plugin import Params
from gapcast.engine.source import Position
from gapcast.plugins.sources.files import File
from gapcast.plugins.sources.formats.chunk import Chunk, Order, Since
from gapcast.plugins.sources.formats.rows import Raw, Rows, chunk, rest_of_line, too_long
from gapcast.plugins.sources.text.blocks import Block, Blocks
from gapcast.plugins.sources.text.clock import Clock
from gapcast.plugins.sources.text.encodings import Transcoded, old_line_ends, sniffed
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
        self.name = type(self).__name__
        """What the config calls the format."""
        self.growing = False
        """Whether more may be written to the file: what is not whole yet is left for later."""

    @abstractmethod
    def chunks(self, position: Position | None) -> Iterator[Chunk]:
        """Chunks from `position` on, or from the beginning, each where the one before ended.

        They may begin before `position`: the readings before it are skipped. Where the
        chunks are cut must not change what is in them. Raises SourceError when the file cannot be
        read; a record that cannot be understood is a dead letter.
        """

    def series(self, unused: Unused, order: Order) -> set[Series]:
        """The series in the file, all of which is read; `unused` and `order` see it pass by."""
        found: set[Series] = set()
        for piece in self.chunks(None):
            unused.add(piece.dead_letters)
            order.add(piece.readings)
            sensor, quantity = piece.readings["sensor"], piece.readings["quantity"]
            of = len(quantity.dictionary)
            pairs = sensor.indices.to_numpy().astype(np.int64) * of + quantity.indices.to_numpy()
            sensors, quantities = sensor.dictionary.to_pylist(), quantity.dictionary.to_pylist()
            for pair in np.flatnonzero(np.bincount(pairs)) if len(pairs) else ():
                found.add(Series(sensors[pair // of], quantities[pair % of]))
        return found

    def implicit(self) -> Set[str]:
        """Sensors that nothing but the names of the file's columns says. Default: none."""
        return frozenset()

    def facts(self) -> dict[str, str]:
        """What has been understood of the file since its chunks were asked for, in words by what it
        is, for people to check. Default: the format."""
        return {"format": self.name}

    def wanted(self, quantity: str) -> bool:
        """Whether readings of `quantity` are asked for."""
        return self.quantities is None or quantity in self.quantities


class Parsed(NamedTuple):
    """Rows of text, and where it says so: the field ``fields[:, slots[j]]`` is column j."""

    rows: Rows
    fields: Fields
    slots: list[int]


class TextFormat(Format):
    """A format whose every record is a line. Positions hold the byte and the number of a line.

    Lines are read as UTF-8, whatever the file's encoding is; bytes are counted as in UTF-8.
    """

    clock: Clock | None = None
    """Turns local times into UTC; `start` may make one. With it a line may depend on others."""

    @abstractmethod
    def parse(self, text: Bytes) -> Parsed:
        """Rows of whole lines, one for each line. What a line gives depends on it alone, but for
        what `clock` is shown."""

    def start(self, head: list[bytes]) -> int | None:
        """How many lines stand before the first record, such as a header; called before `parse`.
        None: of a growing file they are not there yet.

        head: the first lines, without their ends and a byte order mark. Raises SourceError if they
        are wrong.
        """
        return 0

    @property
    def encoding(self) -> str | None:
        """How the file is encoded; ``None``: see `sniffed`."""
        return None

    def facts(self) -> dict[str, str]:
        """See `Format.facts`."""
        return {"format": f"{self.name}, {self._encoding}"}

    def chunks(self, position: Position | None) -> Iterator[Chunk]:
        """See `Format.chunks`. A place in a file that is compressed, or not UTF-8, costs the
        reading of all before it."""
        begin = self.begin()
        if begin is None:
            return
        byte, line = begin
        within = False  # a line whose beginning was taken for all of it
        if position and position["byte"] >= byte:
            place = position.get("since", position)
            within = place is position and place["byte"] > byte
            byte, line = place["byte"], place["line"]
            if place is not position and (rest := self._rest(position)):
                yield rest
        if self.clock:
            self.clock.follow(line)
        self._since = -1
        with self._stream(byte - int(within)) as stream:
            try:
                within = within and stream.read(1) != b"\n"
                for block in Blocks(stream, self.size, self.growing):
                    if within:
                        within, head = False, block.first_line
                        block, byte = block.after(head), byte + head.length
                        yield rest_of_line(head.text.tobytes(), self.file.name, line, byte)
                        if not block.length:
                            continue
                    piece = self._chunk(block, byte, line)
                    byte, line = byte + block.length, piece.end
                    yield piece
            except OSError as error:
                raise self.file.unreadable(error) from error
        if self.clock and not self.growing:
            self.clock.end()

    def _rest(self, position: Position) -> Chunk | None:
        """What was written to the line before `position` since that was read, if anything was."""
        byte, line = position["byte"], position["line"]
        with self._stream(byte - 1) as stream:
            if stream.read(1) == b"\n":
                return None
            for block in Blocks(stream, self.size, self.growing):
                head = block.first_line
                return rest_of_line(head.text.tobytes(), self.file.name, line, byte + head.length)
        return None

    def begin(self) -> tuple[int, int] | None:
        """Byte and number of the line of the first record. Looks at the file's first lines."""
        self._look()
        lines = self._lines(Blocks(self._stream(0), _HEAD, self.growing))
        mark = len(BOM_UTF8) if lines and lines[0].startswith(BOM_UTF8) else 0
        lines[:1] = [line[mark:] for line in lines[:1]]
        before = self.start([line.rstrip(b"\r\n") for line in lines])
        if before is None:
            return None
        return mark + sum(map(len, lines[:before])), 1 + before

    def _lines(self, blocks: Blocks) -> list[bytes]:
        try:
            for block in blocks:
                return block.text.tobytes().splitlines(keepends=True)
        except OSError as error:
            raise self.file.unreadable(error) from error
        return []

    def _look(self) -> None:
        """Find out how the file is encoded."""
        with self.file.stream() as stream:
            try:
                head = stream.read(_HEAD)
            except OSError as error:
                raise self.file.unreadable(error) from error
        self._encoding = self.encoding or sniffed(head)
        self._old = old_line_ends(head) and self._encoding in ("utf-8", "cp1252")
        if self.encoding is None and self._encoding != "utf-8":
            self.file.tell(f" is not UTF-8: read as {self._encoding} (source.encoding)")

    def _stream(self, byte: int) -> Any:
        """What is in the file, as UTF-8, from `byte` of that on."""
        if self._encoding == "utf-8" and not self._old:
            return self.file.stream(byte)
        stream = Transcoded(self.file.stream(), self._encoding, self._old)
        while byte > 0 and (passed := len(stream.read(min(byte, _HEAD)))):
            byte -= passed
        return stream

    def _chunk(self, block: Block, byte: int, line: int) -> Chunk:
        name, end = self.file.name, byte + block.length
        if block.long:
            made = too_long(block.text.tobytes(), name, line, byte, end)
            if self.clock:
                self.clock.pass_over(1)
            return replace(made, since=self._begin(made))
        parsed = self.parse(block.text)
        starts = parsed.fields.lines + byte
        starts[-1] = end  # the last line of a file may lack its newline
        made = chunk(parsed.rows, name, line, Raw(parsed.fields, parsed.slots, starts))
        return replace(made, since=self._begin(made))

    def _begin(self, made: Chunk) -> Since | None:
        """From where on to read to go on at each line of a chunk."""
        lines = None if self.clock is None else self.clock.since
        if lines is None or made.starts is None:
            return None
        places = made.starts[np.maximum(lines - made.first, 0)]
        found = np.where(lines < made.first, self._since, places)
        self._since = int(found[-1])
        return Since(lines, found)


_HEAD = 1 << 16
"""Bytes of which a file's encoding and its first lines are learnt."""
