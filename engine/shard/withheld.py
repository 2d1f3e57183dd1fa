"""Frames of a span in progress, held until its end, when models learn what was withheld."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.shard.evaluation import Evaluation, Segment


def cut(frame: GridFrame, segment: Segment) -> GridFrame:
    """The steps of `frame` that lie in `segment`."""
    steps = slice(segment.start - frame.first, segment.stop - frame.first)
    flags = None if frame.flags is None else frame.flags[steps]
    return GridFrame(segment.start, frame.values[steps], frame.rejected[steps], flags)


class Withheld:
    """The whole frames of a span in progress, for checkpoints: whoever goes on from one may cut
    them to the columns of other shards."""

    def __init__(self, how: Evaluation) -> None:
        self.how = how
        self.frames: list[GridFrame] = []

    def add(self, frame: GridFrame) -> None:
        """Take the next frame: its steps within a span are held until the span closes."""
        if not self.how.release:
            return
        for segment in self.how.segments(frame.first, frame.first + len(frame.values)):
            if segment.opens or segment.closes:
                self.frames = []
            if segment.withheld and not segment.closes:
                self.frames.append(cut(frame, segment))

    def grow(self, series: int) -> None:
        """From now on frames have so many more series, of which those held have nothing."""
        self.frames = [frame.wider(series) for frame in self.frames]

    def narrow(self, columns: NDArray[np.int64]) -> Withheld:
        """The same frames for a shard that sees only `columns`."""
        narrowed = Withheld(self.how)
        narrowed.frames = [frame.narrow(columns) for frame in self.frames]
        return narrowed

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """The steps held as arrays, none if no span is in progress."""
        if not self.frames:
            return {}
        return {
            "first": np.array([self.frames[0].first]),
            "values": np.concatenate([f.values for f in self.frames]),
            "rejected": np.concatenate([f.rejected for f in self.frames]),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `snapshot`."""
        self.frames = []
        if arrays:
            first = int(arrays["first"][0])
            self.frames = [GridFrame(first, arrays["values"], arrays["rejected"])]
