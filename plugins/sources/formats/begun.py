"""A file whose beginning has been looked at, and is not read twice for that."""

from __future__ import annotations

from collections.abc import Iterator

from gapcast.engine.errors import SourceError
from gapcast.engine.source import Position
from gapcast.plugins.sources.formats.chunk import Chunk
from gapcast.plugins.sources.formats.format import Format


class Begun(Format):
    """The chunks of `reader`, of which some may have been looked at."""

    def __init__(self, reader: Format) -> None:
        super().__init__(reader.file, reader.options, reader.quantities, reader.size)
        self._reader = reader
        self._looked: list[Chunk] = []
        self._rest: Iterator[Chunk] | None = None

    def look(self) -> Iterator[Chunk]:
        """The chunks from the beginning on; those given are remembered, unless it raises."""
        self._rest = self._reader.chunks(None)
        try:
            for chunk in self._rest:
                self._looked.append(chunk)
                yield chunk
        except SourceError:
            self._looked, self._rest = [], None
            raise

    def chunks(self, position: Position | None) -> Iterator[Chunk]:
        """See `Format.chunks`. What was looked at is given once."""
        looked, rest = self._looked, self._rest
        self._looked, self._rest = [], None
        if position is not None or rest is None:
            yield from self._reader.chunks(position)
            return
        yield from looked
        yield from rest
