"""Open steps: readings that wait until their steps close."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.grid.kernels.judging import UNSET
from gapcast.engine.state import Arrays


@dataclass(frozen=True)
class Waiting:
    """Readings as parallel arrays: step, series, time (µs), value, partition, offset; rejected:
    whether their value lies outside its limits."""

    step: NDArray[np.int64]
    series: NDArray[np.int64]
    time: NDArray[np.int64]
    value: Floats
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    rejected: NDArray[np.bool_]

    @classmethod
    def none(cls) -> Waiting:
        """No readings."""
        whole = np.empty(0, np.int64)
        return cls(whole, whole, whole, np.empty(0), whole, whole, np.empty(0, bool))

    def __len__(self) -> int:
        """Number of readings."""
        return len(self.step)

    def in_order(self, *first: NDArray[Any]) -> NDArray[np.intp]:
        """Indices that sort them by `first`, then by time, partition and offset."""
        return np.lexsort((self.offset, self.partition, self.time, *first))

    def arrays(self) -> list[NDArray[Any]]:
        """The arrays, in order."""
        return list(vars(self).values())

    def where(self, mask: NDArray[Any] | slice) -> Waiting:
        """Some of the readings, by mask, indices or slice."""
        return Waiting(*(a[mask] for a in self.arrays()))


class OpenSteps:
    """The readings of the steps that have not closed; `next` is the first of these, None before
    any has closed."""

    def __init__(self) -> None:
        self.next: int | None = None
        self._last = UNSET
        self._waiting: list[Waiting] = []

    def __len__(self) -> int:
        """Number of readings that wait."""
        return sum(map(len, self._waiting))

    def add(self, readings: Waiting) -> None:
        """Take readings of steps from `next` on."""
        if len(readings):
            self._waiting.append(readings)
            self._last = max(self._last, int(readings.step.max()))

    def close(self, until: int | None) -> tuple[int, int, Waiting] | None:
        """Close the steps before `until`; None: all. First of them, the one after their last, and
        readings of them and perhaps of later ones; None where nothing closes."""
        if not self._may_close(until):
            return None
        joined = self._joined()
        until = self._last + 1 if until is None else until
        first = int(joined.step.min()) if self.next is None else self.next
        if until <= first:
            self._waiting = [joined]
            return None
        open_still = joined.where(joined.step >= until)
        self._waiting = [open_still] if len(open_still) else []
        self.next = until
        return first, until, joined

    def first_of(self, number: int, until: int | None) -> tuple[int, Ints] | None:
        """The first step before `until` (None: of all) with a reading within its limits of a series
        from `number` on, and which series these are in that step; None where there is none."""
        if not self._may_close(until):
            return None
        joined = self._joined()
        self._waiting = [joined]
        new = (joined.series >= number) & ~joined.rejected
        if until is not None:
            new &= joined.step < until
        if not new.any():
            return None
        step = int(joined.step[new].min())
        return step, np.unique(joined.series[new & (joined.step == step)])

    def _may_close(self, until: int | None) -> bool:
        """Whether any step before `until` is open that has readings."""
        return bool(self._waiting) and (until is None or self.next is None or until > self.next)

    def renumber(self, place: Ints) -> None:
        """Have other numbers stand for series: `place`, by the old ones."""
        joined = self._joined()
        self._waiting = [replace(joined, series=place[joined.series])] if len(joined) else []

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """All that changes, as JSON values and arrays."""
        return {"next": self.next, "last": self._last}, dict(vars(self._joined()))

    def restore(self, meta: dict[str, Any], arrays: Arrays) -> None:
        """Go on from a `snapshot`."""
        self.next, self._last = meta["next"], meta["last"]
        readings = Waiting(**arrays)
        self._waiting = [readings] if len(readings) else []

    def _joined(self) -> Waiting:
        if len(self._waiting) < 2:
            return self._waiting[0] if self._waiting else Waiting.none()
        columns = zip(*(w.arrays() for w in self._waiting), strict=True)
        return Waiting(*map(np.concatenate, columns))
