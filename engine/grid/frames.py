"""Frames: consecutive closed steps of all series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Series


@dataclass(frozen=True)
class GridFrame:
    """Consecutive closed steps of all series, (T, S), NaN where there is nothing.

    values: aggregates of good readings. rejected: aggregates of rejected ones, for reports only;
    a single NaN stands for all of it where nothing was rejected (broadcast, no memory). flags: what
    screening takes values for, rejected or not: an index into `FLAGS` plus one, 0: for nothing;
    None: all of it for nothing.
    """

    first: int
    values: Floats
    rejected: Floats
    flags: NDArray[np.uint8] | None = None

    def truth(self, columns: NDArray[np.int64]) -> Floats:
        """(T, N) what arrived for these series: good values, else rejected ones, else NaN."""
        good = np.take(self.values, columns, axis=1)
        if 0 in self.rejected.strides:
            return good
        return np.where(np.isnan(good), np.take(self.rejected, columns, axis=1), good)

    def flag(self, columns: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(T, N) the flags of these series."""
        if self.flags is None:
            return np.zeros((len(self.values), len(columns)), np.uint8)
        return self.flags[:, columns]

    def wider(self, series: int) -> GridFrame:
        """The same steps with so many more series, of which there is nothing."""
        more = ((0, 0), (0, series))
        values = np.pad(self.values, more, constant_values=np.nan)
        flags = None if self.flags is None else np.pad(self.flags, more)
        if 0 in self.rejected.strides:
            return GridFrame(self.first, values, np.broadcast_to(np.nan, values.shape), flags)
        rejected = np.pad(self.rejected, more, constant_values=np.nan)
        return GridFrame(self.first, values, rejected, flags)

    def narrow(self, columns: NDArray[np.int64]) -> GridFrame:
        """The same steps of some of the series."""
        values = np.take(self.values, columns, axis=1)  # in C order, as kernels are compiled for
        flags = None if self.flags is None else np.take(self.flags, columns, axis=1)
        if 0 in self.rejected.strides:
            return GridFrame(self.first, values, np.broadcast_to(np.nan, values.shape), flags)
        return GridFrame(self.first, values, np.take(self.rejected, columns, axis=1), flags)


class Joined(NamedTuple):
    """From `step` on, the next one, `series` belong to the network, behind all others."""

    step: int
    series: tuple[Series, ...]


class Closed(NamedTuple):
    """A frame, and the dead letters of its steps: duplicates, and what is screened out."""

    frame: GridFrame
    dead_letters: list[pa.RecordBatch]
