"""Watermarks: how far each partition has come in event time, and which of them steps wait for.

A step closes when every partition that it waits for has passed its end by the allowed lateness.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Ints
from gapcast.engine.grid.kernels.judging import HELD_SENSOR, NOTHING, SENSOR, UNSET
from gapcast.engine.state import Arrays


class Watermarks:
    """The watermarks of a source's partitions, by their place in `partitions`.

    `marks` (P, 11) is the judging kernel's to move: each partition's watermark in µs, and what else
    it knows of it.
    """

    def __init__(self, partitions: Iterable[str]) -> None:
        self.partitions: list[str] = []
        self.marks = np.empty((0, len(NOTHING)), np.int64)
        self._open = np.empty(0, bool)
        self._idle = np.empty(0, bool)
        self.grow(partitions)

    def grow(self, partitions: Iterable[str]) -> None:
        """Take in further partitions, after those known: steps wait for each from now on."""
        new = list(partitions)
        self.partitions += new
        self.marks = np.concatenate([self.marks, np.tile(NOTHING, (len(new), 1))])
        self._open = np.append(self._open, np.ones(len(new), bool))
        self._idle = np.append(self._idle, np.zeros(len(new), bool))

    def end(self, partition: int) -> None:
        """Nothing will follow in this partition: steps no longer wait for it."""
        self._open[partition] = False

    def reopen(self, partition: int) -> None:
        """Something follows in a partition that had ended: steps wait for it again."""
        self._open[partition] = True

    def idle(self, partition: int) -> bool:
        """The partition has been silent for too long: steps do not wait for it until it speaks.

        Returns whether they did until now.
        """
        held = self.holds(partition)
        self._idle[partition] = True
        return held

    def speaks(self, partition: int) -> None:
        """Readings have come: steps wait for the partition again."""
        self._idle[partition] = False

    def holds(self, partition: int) -> bool:
        """Whether steps wait for this partition."""
        return bool(self._open[partition] and not self._idle[partition])

    def order(self) -> list[int]:
        """The open partitions, the one whose watermark is furthest behind first."""
        candidates = np.flatnonzero(self._open)
        order = np.argsort(self.marks[candidates, 0], kind="stable")
        return [int(p) for p in candidates[order]]

    def renumber(self, place: Ints) -> None:
        """Have other numbers stand for sensors: `place`, by the old ones."""
        for column in (SENSOR, HELD_SENSOR):
            known = self.marks[:, column] >= 0
            self.marks[known, column] = place[self.marks[known, column]]

    @property
    def ended(self) -> bool:
        """Whether nothing will follow in any partition."""
        return not self._open.any()

    @property
    def lowest(self) -> int | None:
        """Event time (µs) that every partition waited for has reached, or ``None``."""
        holding = self.marks[self._open & ~self._idle, 0]
        mark = int(holding.min()) if len(holding) else int(self.marks[:, 0].max(initial=UNSET))
        return None if mark == UNSET else mark

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """All that changes but the partitions' names, copied."""
        return {"marks": self.marks.copy(), "open": self._open.copy()}

    def restore(self, known: list[str], arrays: Arrays) -> None:
        """Go on from a `snapshot` with the partitions `known`; those it lacks come after them.

        Raises RunError when one that had not ended is there no more.
        """
        there = self.partitions
        for name, unfinished in zip(known, arrays["open"], strict=True):
            if unfinished and name not in there:
                raise RunError(
                    f"the source has no partition {name!r} any more, which the checkpoint had "
                    "not read to its end; bring it back, or begin a new run"
                )
        self.partitions = list(known)
        self.marks, self._open = arrays["marks"], arrays["open"]
        self._idle = np.zeros(len(known), bool)
        self.grow(name for name in there if name not in known)
