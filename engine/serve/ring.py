"""The last steps of every target, in arrays of a size that never changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints
from gapcast.engine.serve.entries import Part
from gapcast.engine.sink import AHEAD, STATUSES

BYTES = 64 << 20
"""What the last steps of all targets may take."""
MOST, LEAST = 2_000, 8
"""Steps that are kept, at most; and at least, whatever they take."""
NONE = len(STATUSES)
"""Status of a step of which nothing final has been said."""
_UNSET = -(1 << 62)
_REJECTED, _AHEAD = STATUSES.index("rejected"), STATUSES.index(AHEAD)


class Kept(NamedTuple):
    """Steps of one target, ascending: truth, status (an index into `STATUSES`, or `NONE`); of each
    entry forecast, lower and upper, (3, E, steps), NaN where nothing was said."""

    steps: Ints
    truth: Floats
    status: NDArray[np.uint8]
    said: Floats


class Ring:
    """Of `targets` targets and `entries` entries. size: steps that are kept, those ahead included,
    which are half of them at most. last: the last step with a final row, None before the first.
    arrived: (targets,) the last step at which a value came that was not rejected, or the one
    before the first that is known."""

    def __init__(self, targets: int, entries: int) -> None:
        each = max(1, targets) * (9 + 24 * entries)
        self.size = max(LEAST, min(MOST, BYTES // each))
        self.last: int | None = None
        self.arrived: Ints = np.full(targets, _UNSET)
        self._held: Ints = np.full(self.size, _UNSET)
        self._truth = np.full((self.size, targets), np.nan)
        self._status = np.full((self.size, targets), NONE, np.uint8)
        self._said = np.full((3, entries, self.size, targets), np.nan)

    def take(self, parts: Sequence[Part]) -> None:
        """Take the rows of an epoch; those of steps that are too old, or too far ahead, are left
        out."""
        before, known = self.last, self.last is not None
        for part in parts:
            steps = part.step[part.status != _AHEAD]
            if len(steps):
                if not known:
                    self.arrived[:] = np.maximum(self.arrived, int(steps.min()) - 1)
                newest = int(steps.max())
                self.last = newest if self.last is None else max(self.last, newest)
        for part in parts:
            self._put(part)
        if self.last is not None:
            least = self.last - self.size
            self._settle(least if before is None else max(before, least), self.last)

    def _put(self, part: Part) -> None:
        furthest = _UNSET if self.last is None else self.last + self.size // 2
        known = (part.target >= 0) & (part.entry >= 0) & (part.step <= furthest)
        if not known.any():
            return
        first = int(part.step.min(where=known, initial=furthest))
        self._turn(first, int(part.step.max(where=known, initial=_UNSET)))
        slot = part.step % self.size
        known &= self._held[slot] == part.step
        if not known.all():
            part, slot = part.where(known), slot[known]
        cell = slot * len(self.arrived) + part.target
        within = part.entry * self._truth.size + cell
        for kept, given in zip(self._said, (part.forecast, part.lower, part.upper), strict=True):
            kept.reshape(-1)[within] = given
        final = part.status != _AHEAD
        if not final.all():
            part, cell = part.where(final), cell[final]
        self._truth.reshape(-1)[cell] = part.truth
        self._status.reshape(-1)[cell] = part.status

    def _settle(self, before: int, last: int) -> None:
        """Find out at which steps values came, from the one after `before` to the last."""
        steps = np.arange(before + 1, last + 1)
        slots = steps % self.size
        came = (self._status[slots] != NONE) & (self._status[slots] != _REJECTED)
        came &= ~np.isnan(self._truth[slots]) & (self._held[slots] == steps)[:, None]
        newest = np.where(came, steps[:, None], _UNSET).max(axis=0, initial=_UNSET)
        np.maximum(self.arrived, newest, out=self.arrived)

    def latest(self) -> tuple[NDArray[np.uint8], Floats]:
        """(targets,) status and truth of the last step."""
        if self.last is None:
            return np.full(len(self.arrived), NONE, np.uint8), np.full(len(self.arrived), np.nan)
        slot = self.last % self.size
        return self._status[slot].copy(), self._truth[slot].copy()

    def of(self, target: int, since: int = _UNSET) -> Kept:
        """What is kept of a target, from the step `since` on, copied."""
        order = np.argsort(self._held)
        order = order[self._held[order] >= max(since, _UNSET + 1)]
        return Kept(
            self._held[order],
            self._truth[order, target],
            self._status[order, target],
            self._said[:, :, order, target],
        )

    def _turn(self, first: int, last: int) -> None:
        """Give the slots of steps up to `last` to these, where older ones have them."""
        steps = np.arange(max(first, last - self.size + 1), last + 1)
        slots = steps % self.size
        newer = self._held[slots] < steps
        slots, steps = slots[newer], steps[newer]
        self._held[slots] = steps
        self._truth[slots] = np.nan
        self._status[slots] = NONE
        self._said[:, :, slots] = np.nan
