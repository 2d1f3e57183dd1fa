"""A place in one file, kept open between calls so that reading on need not seek."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gapcast.engine.readings import DEAD_LETTERS, READINGS, empty
from gapcast.engine.source import Position, Read
from gapcast.plugins.sources.formats.chunk import Chunk, Mark
from gapcast.plugins.sources.formats.format import Format
from gapcast.plugins.sources.pace import Pace, Schedule


class Cursor:
    """Reads a file as `reader` does, in pieces of any length. A cache: any call may go anywhere."""

    def __init__(self, reader: Format, pace: Pace | None) -> None:
        self._reader = reader
        self._pace = pace
        self._chunks: Iterator[Chunk] | None = None
        self._chunk: Chunk | None = None
        self._at = Mark(0)
        self._place: Position | None = None

    def read(self, position: Position | None, limit: int) -> Read:
        """At most `limit` readings from `position` on, and those only that are due."""
        chunk = self._seek(position)
        if chunk is None:
            return self._end(position)
        index = chunk.index(self._at)
        stop = min(index + max(limit, 1), len(chunk.readings))
        if self._pace is not None:
            stop = self._due(self._pace, index, stop)
        done = stop == len(chunk.readings)
        return self._give(chunk, Mark(chunk.end) if done else chunk.mark(stop))

    def close(self) -> None:
        """Let go of the file."""
        if self._chunks is not None:
            self._chunks.close()  # type: ignore[attr-defined]
        self._chunks = self._chunk = None

    def _seek(self, position: Position | None) -> Chunk | None:
        """The chunk in which `position` lies; ``None`` if it is the file's end."""
        if self._chunks is None or position != self._place:
            self.close()
            self._chunks = self._reader.chunks(position)
            self._schedule = Schedule(self._pace) if self._pace else None
            self._place = position
            self._at = Mark(position["line"], position["skip"]) if position else Mark(0)
        if self._chunk is None or self._at.line >= self._chunk.end:
            self._chunk = next(self._chunks, None)
            while self._chunk is not None and self._chunk.first < self._chunk.end <= self._at.line:
                self._chunk = next(self._chunks, None)
            if self._chunk is not None:
                self._at = max(self._at, Mark(self._chunk.first))
                if self._schedule:
                    times = self._chunk.readings["time"].cast("int64").to_numpy()
                    self._dues = self._schedule.due(times[self._chunk.index(self._at) :])
                    self._paced_from = self._chunk.index(self._at)
        return self._chunk

    def _give(self, chunk: Chunk, stop: Mark) -> Read:
        read = chunk.between(self._at, stop)
        self._at, self._place = stop, read.position
        return read

    def _end(self, position: Position | None) -> Read:
        at = position or {"byte": 0, "line": 1, "skip": 0}
        return Read(empty(READINGS), empty(DEAD_LETTERS), at, ended=True)

    def _due(self, pace: Pace, index: int, stop: int) -> int:
        """How far the readings from `index` to `stop` are due, after waiting for the first."""
        dues = self._dues[index - self._paced_from : stop - self._paced_from]
        if len(dues) and pace.passed() < dues[0]:
            pace.wait(int(dues[0]))
        return index + int(np.searchsorted(dues, pace.passed(), "right"))
