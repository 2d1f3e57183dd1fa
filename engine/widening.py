"""States of layouts that have grown, for forecasters whose newcomers stand behind the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import State


def widened(old: State, fresh: State) -> State:
    """`fresh` with the entries of `old`, where it has an array of that name, at the beginning of
    every axis.

    What `Forecaster.extend` gives where every axis that grows with the layout, of units, targets,
    members or neighbours, has newcomers at its end.
    """
    return {name: _put(old[name], new) if name in old else new for name, new in fresh.items()}


def _put(old: NDArray[Any], fresh: NDArray[Any]) -> NDArray[np.generic]:
    found = fresh.copy()
    found[tuple(map(slice, old.shape))] = old
    return found
