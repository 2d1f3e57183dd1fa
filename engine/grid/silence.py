"""Silence: steps of which nothing arrived, long after the last one of which something did."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.grid.frames import GridFrame

KEPT = 16
"""So many of the last silences are remembered: rows of steps further back are no longer made."""


class Silence:
    """Which of a run's steps lie more than `most` steps after the last that holds a value."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._last: int | None = None  # the last step that holds a value
        self._spans: list[tuple[int, int]] = []  # those ended: first step, and the one after

    def add(self, frame: GridFrame) -> None:
        """Take note of the next steps."""
        here = ~np.isnan(frame.values).all(axis=1)
        if not (here.all() or 0 in frame.rejected.strides):
            here |= ~np.isnan(frame.rejected).all(axis=1)
        steps = frame.first + np.flatnonzero(here)
        if not len(steps):
            return
        after = steps if self._last is None else np.append(self._last, steps)
        for i in np.flatnonzero(np.diff(after) > self._most + 1):
            self._spans.append((int(after[i]) + self._most + 1, int(after[i + 1])))
        self._spans = self._spans[-KEPT:]
        self._last = int(steps[-1])

    def of(self, first: int, steps: int) -> NDArray[np.bool_]:
        """(steps,) whether a step is silent, of those from `first` on."""
        at = first + np.arange(steps)
        silent = np.zeros(steps, bool) if self._last is None else at > self._last + self._most
        for start, stop in self._spans:
            silent |= (at >= start) & (at < stop)
        return silent

    def snapshot(self) -> dict[str, Any]:
        """All that changes, as JSON values."""
        return {"last": self._last, "spans": list(self._spans)}

    def restore(self, silence: dict[str, Any]) -> None:
        """Go on from a `snapshot`."""
        self._last = silence["last"]
        self._spans = [(a, b) for a, b in silence["spans"]]
