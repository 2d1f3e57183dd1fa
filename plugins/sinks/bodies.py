"""Points of a database on the web as text, gathered into bodies, cut and divided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Body:
    """Points to be posted together.

    text: each point with a comma or a line break behind. ends: where in `text` each point ends.
    rows: the row of the epoch that each was made of.
    """

    text: memoryview
    ends: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def json(self) -> bytes:
        """A JSON array of points that have commas behind."""
        return b"[" + self.text[:-1] + b"]"

    def part(self, start: int, end: int) -> Body:
        """Points `start` to `end`."""
        begin = int(self.ends[start - 1]) if start else 0
        text = self.text[begin : int(self.ends[end - 1])]
        return Body(text, self.ends[start:end] - begin, self.rows[start:end])

    def pick(self, points: Sequence[int]) -> Body:
        """Some of the points; there must be one at least."""
        starts = np.concatenate([[0], self.ends[:-1]])
        texts = [self.text[starts[i] : self.ends[i]] for i in points]
        ends = np.cumsum([len(t) for t in texts])
        return Body(memoryview(b"".join(texts)), ends, self.rows[list(points)])

    def halves(self) -> tuple[Body, Body]:
        """The same points in two bodies; there must be two or more."""
        middle = len(self) // 2
        return self.part(0, middle), self.part(middle, len(self))


def cut(points: pa.Array, rows: NDArray[np.int64], size: int) -> Iterator[Body]:
    """Neighbouring points in bodies of up to `size` bytes; a larger point goes alone."""
    if not len(points):
        return
    _, offsets, data = points.buffers()
    ends = np.frombuffer(offsets, np.int32)[points.offset : points.offset + len(points) + 1]
    ends = ends.astype(np.int64)
    begin, ends = int(ends[0]), ends[1:] - ends[0]
    whole = Body(memoryview(data)[begin : begin + int(ends[-1])], ends, rows)
    start = 0
    while start < len(whole):
        before = int(ends[start - 1]) if start else 0
        end = max(int(np.searchsorted(ends, before + size, "right")), start + 1)
        yield whole.part(start, end)
        start = end
