"""The last steps of every target, in arrays of a size that never changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.serve.kernels.rows import NONE, UNSET, Last

BYTES = 64 << 20
"""What the last steps of all targets may take."""
MOST, LEAST = 2_000, 8
"""Steps that are kept, at most; and at least, whatever they take."""


class Kept(NamedTuple):
    """Steps of one target, ascending: truth, status (an index into `STATUSES`, or `NONE`); of each
    entry forecast, lower and upper, (3, E, steps), NaN where nothing was said."""

    steps: Ints
    truth: Floats
    status: NDArray[np.uint8]
    said: Floats


class Ring:
    """Of `targets` targets and `entries` entries. size: steps that are kept, those ahead included,
    which are a third of them at most. last: the last step with a final row, None before the first.
    into: the arrays. arrived: (targets,) the last step at which a value came that was not rejected,
    or the one before the first that is known."""

    def __init__(self, targets: int, entries: int) -> None:
        each = max(1, targets) * (9 + 24 * entries)
        self.size = max(LEAST, min(MOST, BYTES // each))
        self.last: int | None = None
        self.into = Last(
            np.full(self.size, UNSET),
            np.full((self.size, targets), np.nan),
            np.full((self.size, targets), NONE, np.uint8),
            np.full((3, entries, self.size, targets), np.nan),
            np.full(targets, UNSET),
        )

    def grown(self, targets: int) -> Ring:
        """One of more targets, of which there is nothing before now."""
        found = Ring(targets, self.into.said.shape[1])
        found.last = self.last
        held = self.into.held
        order = np.argsort(held)[-found.size :]
        order = order[held[order] != UNSET]
        slots, known = held[order] % found.size, self.into.truth.shape[1]
        found.into.held[slots] = held[order]
        found.into.truth[slots, :known] = self.into.truth[order]
        found.into.status[slots, :known] = self.into.status[order]
        found.into.said[:, :, slots, :known] = self.into.said[:, :, order]
        if self.last is not None:
            found.arrived[:] = self.last
        found.arrived[:known] = self.arrived
        return found

    @property
    def arrived(self) -> Ints:
        """(targets,) the last step at which a value came."""
        return self.into.arrived

    def reach(self, first: int, last: int) -> None:
        """Final rows come of steps from `first` to `last`."""
        if self.last is None:
            self.arrived[:] = first - 1
        self.last = last if self.last is None else max(self.last, last)

    def latest(self) -> tuple[NDArray[np.uint8], Floats]:
        """(targets,) status and truth of the last step."""
        slot = 0 if self.last is None else self.last % self.size
        return self.into.status[slot].copy(), self.into.truth[slot].copy()

    def of(self, target: int, since: int = UNSET) -> Kept:
        """What is kept of a target, from the step `since` on, copied."""
        held = self.into.held
        order = np.argsort(held)
        order = order[held[order] >= max(since, UNSET + 1)]
        return Kept(
            held[order],
            self.into.truth[order, target],
            self.into.status[order, target],
            self.into.said[:, :, order, target],
        )
