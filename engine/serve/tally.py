"""Running errors and numbers of rows, of each model at each horizon and of each quantity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.serve.entries import Entries, Entry, Part
from gapcast.engine.sink import AHEAD, STATUSES


class Score(NamedTuple):
    """Of one entry and quantity: forecasts scored, the sums of their squared and absolute errors,
    those of them with an interval, and those with the truth within it."""

    entry: Entry
    quantity: str
    scored: int
    squared: float
    absolute: float
    bounded: int
    covered: int

    @property
    def mse(self) -> float | None:
        """Mean squared error, in the quantity's unit squared."""
        return self.squared / self.scored if self.scored else None

    @property
    def mae(self) -> float | None:
        """Mean absolute error."""
        return self.absolute / self.scored if self.scored else None

    @property
    def coverage(self) -> float | None:
        """Share of the truths within their intervals."""
        return self.covered / self.bounded if self.bounded else None


class Tally:
    """Sums over all rows since this process began. scored: the status of rows that are scored."""

    def __init__(self, entries: Entries, scored: str) -> None:
        self._entries = entries
        self._scored = STATUSES.index(scored)
        self._sums = np.zeros((5, len(entries) * len(entries.quantities)))
        self._rows = np.zeros((2, len(entries)), np.int64)
        periods = (entries.periods.get(q, 0.0) for q in entries.quantities)
        self._period = np.array([*periods])

    def add(self, part: Part) -> None:
        """Take rows into the sums."""
        known = (part.target >= 0) & (part.entry >= 0)
        early = part.status == STATUSES.index(AHEAD)
        for stage, of in enumerate((known & early, known & ~early)):
            self._rows[stage] += np.bincount(part.entry[of], minlength=self._rows.shape[1])
        with np.errstate(invalid="ignore", over="ignore"):
            rows = known & (part.status == self._scored) & ~np.isnan(part.truth - part.forecast)
            if rows.any():
                self._score(part.where(rows))

    def scores(self) -> list[Score]:
        """By entry, then quantity."""
        pairs = [(e, q) for e in self._entries.of for q in self._entries.quantities]
        sums = self._sums.T.tolist()
        return [
            Score(entry, quantity, int(n), squared, absolute, int(bounded), int(covered))
            for (entry, quantity), (n, squared, absolute, bounded, covered) in zip(
                pairs, sums, strict=True
            )
        ]

    def rows(self) -> dict[tuple[str, str], int]:
        """Rows by model and stage, ``ahead`` or ``final``."""
        found: dict[tuple[str, str], int] = {}
        for stage, counts in zip(("ahead", "final"), self._rows.tolist(), strict=True):
            for entry, n in zip(self._entries.of, counts, strict=True):
                found[entry.model, stage] = found.get((entry.model, stage), 0) + n
        return found

    def _score(self, part: Part) -> None:
        """Rows that have a forecast and a truth."""
        quantity = self._entries.quantity_of(part.target)
        error = part.forecast - part.truth
        truth = part.truth
        if self._period.any():
            period = self._period[quantity]
            turns = np.where(period > 0, np.floor(error / np.where(period > 0, period, 1) + 0.5), 0)
            error = error - period * turns
            truth = part.forecast - error
        bounded = ~(np.isnan(part.lower) | np.isnan(part.upper))
        covered = (part.lower <= truth) & (truth <= part.upper)
        cell, size = part.entry * len(self._entries.quantities) + quantity, self._sums.shape[1]
        weights: tuple[NDArray[Any] | None, ...] = (None, error**2, np.abs(error), bounded, covered)
        for sums, weight in zip(self._sums, weights, strict=True):
            sums += np.bincount(cell, weight, size)
