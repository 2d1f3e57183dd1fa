"""Inputs known ahead: their values, which come early, put where the steps are that they are of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats
from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.network.series import Network


class Leads:
    """Takes frames in which inputs stand as early as they are known; gives frames in which every
    series stands at its own step, with the network's leads in further columns."""

    def __init__(self, network: Network) -> None:
        early = [(s, ahead) for s, ahead in network.inputs.items() if ahead]
        self._columns = np.array([network.column[s] for s, _ in early], np.int64)
        self._ahead = [ahead for _, ahead in early]
        place = {s: k for k, (s, _) in enumerate(early)}
        self._leads = [(place[s], h) for s, h in network.leads]
        self._past = np.full((max(self._ahead, default=0), len(early)), np.nan)

    def add(self, frame: GridFrame) -> GridFrame:
        """The next frame. The first steps of a run have nothing where it was known before them."""
        if not len(self._columns):
            return frame
        steps, depth = len(frame.values), len(self._past)
        known = np.concatenate([self._past, frame.values[:, self._columns]])
        self._past = known[steps:].copy()

        def of(k: int, horizon: int) -> Floats:
            first = depth - self._ahead[k] + horizon
            return known[first : first + steps, k]

        further = [of(k, horizon) for k, horizon in self._leads]
        values = np.column_stack([frame.values, *further])
        for k, column in enumerate(self._columns):
            values[:, column] = of(k, 0)
        flags = frame.flags
        if flags is not None:
            flags = np.pad(flags, ((0, 0), (0, len(further))))
            flags[:, self._columns] = 0
        if 0 in frame.rejected.strides:
            return GridFrame(frame.first, values, np.broadcast_to(np.nan, values.shape), flags)
        rejected = np.full(values.shape, np.nan)
        rejected[:, : frame.rejected.shape[1]] = frame.rejected
        rejected[:, self._columns] = np.nan
        return GridFrame(frame.first, values, rejected, flags)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that changes, copied; nothing where nothing is known ahead."""
        return {"past": self._past.copy()} if len(self._columns) else {}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from a `snapshot`."""
        if arrays:
            self._past = arrays["past"]
