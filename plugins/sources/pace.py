"""Replaying at a multiple of the recorded speed: when each reading is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

LONGEST_WAIT = 0.2
"""Seconds that one call waits at most."""
_DAY = 86_400_000_000


class Pace:
    """The clock that all partitions of a source share: started by the first reading read.

    factor: how many times faster than recorded. A reading is due when as much time has passed
    since the start, times `factor`, as lies between its recorded time and the first one's:
    whatever the caller does in between, no delay adds up.
    """

    def __init__(
        self,
        factor: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.factor = factor
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._start: tuple[float, int] | None = None

    def since_start(self, first: int) -> int:
        """µs from the first reading's recorded time to `first`; starts the clock if it stands."""
        with self._lock:
            if self._start is None:
                self._start = self._now(), first
            return first - self._start[1]

    def passed(self) -> float:
        """Recorded time that has passed since the start, in µs."""
        start = self._start[0] if self._start else self._now()
        return (self._now() - start) * self.factor * 1e6

    def wait(self, due: int) -> None:
        """Sleep until `due`, or `LONGEST_WAIT` if that is shorter."""
        self._sleep(min(LONGEST_WAIT, max(0.0, (due - self.passed()) / self.factor / 1e6)))


class Schedule:
    """When the readings of one partition are due, chunk after chunk.

    Goes by the recorded time between one reading and the next, whichever way; a step of more than
    a day takes no time, so that neither a clock in 2099 nor one in 1970 holds up what follows.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._last: tuple[int, int] | None = None
        self._latest = 0

    def due(self, times: Ints) -> Ints:
        """(n,) µs after the start, never falling, for readings of these recorded times."""
        if len(times) == 0:
            return times
        if self._last is None:
            near = np.abs(times - int(np.median(times))) <= _DAY
            first = int(times[np.argmax(near)])
            self._latest = self._pace.since_start(first)
            self._last = first, self._latest
        steps = np.diff(times, prepend=self._last[0])
        steps[np.abs(steps) > _DAY] = 0
        due = np.cumsum(steps) + self._last[1]
        self._last = int(times[-1]), int(due[-1])
        due = np.maximum(np.maximum.accumulate(due), self._latest)
        self._latest = int(due[-1])
        return np.asarray(due, np.int64)
