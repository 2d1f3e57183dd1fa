"""How each sensor does: a value comes, none has come for a while, it is not believed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Ints
from gapcast.engine.serve.kernels.rows import NONE
from gapcast.engine.serve.ring import Ring
from gapcast.engine.sink import STATUSES

STATES = ("ok", "missing", "rejected", "silent")
OK, MISSING, REJECTED, SILENT = range(len(STATES))


class States(NamedTuple):
    """(targets,) each: the state at the last step, an index into `STATES`, and the last step at
    which a value came. ok: a value came. rejected: it is not believed. missing: none came. silent:
    none has come for long."""

    state: NDArray[np.uint8]
    arrived: Ints

    def counts(self) -> dict[str, int]:
        """Targets in each state."""
        found = np.bincount(self.state, minlength=len(STATES)).tolist()
        return dict(zip(STATES, found, strict=True))


def states(ring: Ring, silent: int) -> States:
    """Of all targets. silent: steps after which a sensor that is missing is called that."""
    status, truth = ring.latest()
    arrived = ring.arrived.copy()
    state = np.full(len(status), MISSING, np.uint8)
    state[(status != NONE) & ~np.isnan(truth)] = OK
    state[status == STATUSES.index("rejected")] = REJECTED
    if ring.last is not None:
        state[(state == MISSING) & (ring.last - arrived >= silent)] = SILENT
    return States(state, arrived)
