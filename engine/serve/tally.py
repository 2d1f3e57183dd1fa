"""Running errors and numbers of rows, of each model at each horizon and of each quantity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gapcast.engine.serve.entries import Entries, Entry
from gapcast.engine.serve.kernels.rows import Sums
from gapcast.engine.sink import STATUSES


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
    """Sums over all rows since this process began. scored: the status of rows that are scored.
    periods: of quantities that begin anew. into: the arrays."""

    def __init__(self, entries: Entries, scored: str, periods: Mapping[str, float]) -> None:
        self._entries = entries
        self.into = Sums(
            np.zeros((len(entries), len(entries.quantities), 5)),
            np.zeros((2, len(entries)), np.int64),
            STATUSES.index(scored),
            np.array([float(periods.get(q, 0.0)) for q in entries.quantities]),
        )

    def grown(self, entries: Entries, periods: Mapping[str, float]) -> Tally:
        """One that goes on with these entries, perhaps of more quantities."""
        found = Tally(entries, STATUSES[self.into.scored], periods)
        found.into.rows[:] = self.into.rows
        found.into.errors[:, : self.into.errors.shape[1]] = self.into.errors
        return found

    def scores(self) -> list[Score]:
        """By entry, then quantity."""
        return [
            Score(entry, quantity, int(n), squared, absolute, int(bounded), int(covered))
            for entry, of in zip(self._entries.of, self.into.errors.tolist(), strict=True)
            for quantity, (n, squared, absolute, bounded, covered) in zip(
                self._entries.quantities, of, strict=True
            )
        ]

    def rows(self) -> dict[tuple[str, str], int]:
        """Rows by model and stage, ``ahead`` or ``final``."""
        found: dict[tuple[str, str], int] = {}
        for stage, counts in zip(("ahead", "final"), self.into.rows.tolist(), strict=True):
            for entry, n in zip(self._entries.of, counts, strict=True):
                found[entry.model, stage] = found.get((entry.model, stage), 0) + n
        return found
