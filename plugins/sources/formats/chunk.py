"""What a format makes of a stretch of a file, and how it is cut again at any reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.source import Position, Read

Ints = NDArray[np.int64]


class Since(NamedTuple):
    """Where to begin to read, so that a record is read as before though it depends on others.

    lines: (n + 1,) of each line, and of the end, the line from which on all must be read again; -1:
    none. bytes: where these begin, of a file that is read by bytes.
    """

    lines: Ints
    bytes: Ints | None = None


class Mark(NamedTuple):
    """A place between two readings: the line of the next one, and how many before it on it."""

    line: int
    skip: int = 0


@dataclass(frozen=True)
class Chunk:
    """The readings and dead letters of consecutive lines (or rows), in order.

    readings, dead_letters: schemas `READINGS` and `DEAD_LETTERS`; `offset` is the line. first: the
    first line. starts: (lines + 1,) byte in the decompressed file where each line begins and where
    the next chunk does; ``None`` for files that are not read by bytes, whose chunk ends before the
    line `end`. since: of a file whose lines depend on those before them.
    """

    readings: pa.RecordBatch
    dead_letters: pa.RecordBatch
    first: int
    end: int
    starts: Ints | None = None
    since: Since | None = None

    @property
    def lines(self) -> Ints:
        """(readings,) the line of each reading."""
        return np.asarray(self.readings["offset"].to_numpy(), np.int64)

    @property
    def letter_lines(self) -> Ints:
        """(dead letters,) the line of each dead letter."""
        return np.asarray(self.dead_letters["offset"].to_numpy(), np.int64)

    def mark(self, index: int) -> Mark:
        """Where the reading `index` stands; the chunk's end if there is none."""
        lines = self.lines
        if index >= len(lines):
            return Mark(self.end)
        line = int(lines[index])
        return Mark(line, index - int(np.searchsorted(lines, line)))

    def index(self, mark: Mark) -> int:
        """The number of readings before `mark`."""
        if mark.line >= self.end:
            return len(self.readings)
        return min(len(self.readings), int(np.searchsorted(self.lines, mark.line)) + mark.skip)

    def position(self, mark: Mark) -> Position:
        """`mark` as the position that leads to it again."""
        at = mark.line - self.first
        position: dict[str, Any] = {"line": mark.line, "skip": mark.skip}
        if self.starts is not None:
            position["byte"] = int(self.starts[at])
        if self.since is not None and self.since.lines[at] >= 0:
            position["since"] = {"line": int(self.since.lines[at])}
            if self.since.bytes is not None:
                position["since"]["byte"] = int(self.since.bytes[at])
        return position

    def between(self, start: Mark, stop: Mark) -> Read:
        """What stands between two marks. A line's dead letters go with its first reading."""
        a, b = self.index(start), self.index(stop)
        lines = self.letter_lines
        c, d = (
            int(np.searchsorted(lines, m.line, "right" if m.skip else "left"))
            for m in (start, stop)
        )
        return Read(
            readings=self.readings.slice(a, b - a),
            dead_letters=self.dead_letters.slice(c, d - c),
            position=self.position(stop),
        )


REST = "rest of a line that had been read before its end was written"


@dataclass(frozen=True)
class Rest(Chunk):
    """What was written to a line after it had been read as the last one: no reading. `first` and
    `end` are the line after it."""

    def between(self, start: Mark, stop: Mark) -> Read:
        """All of it, whatever the marks."""
        assert self.starts is not None
        position = {"line": self.end, "skip": 0, "byte": int(self.starts[-1])}
        return Read(self.readings, self.dead_letters, position)


DISORDER = 0.01
"""A file is out of order when more than this share of its readings are earlier than one before."""


class Order:
    """Sees readings pass by: how many there were (`seen`), how many earlier than one before."""

    def __init__(self) -> None:
        self._latest = np.iinfo(np.int64).min
        self.seen = self._behind = 0

    def add(self, readings: pa.RecordBatch) -> None:
        """Look at the next readings."""
        times = readings["time"].cast(pa.int64()).to_numpy()
        if len(times):
            latest = np.maximum(np.maximum.accumulate(times), self._latest)
            self._behind += int((times < latest).sum())
            self.seen += len(times)
            self._latest = int(latest[-1])

    @property
    def kept(self) -> bool:
        """Whether they come in order of time, but for a few."""
        return self._behind <= DISORDER * self.seen
