"""What shards have learnt, carried over to a network that has grown."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Layout, Model, State
from gapcast.engine.shard.plan import Plan
from gapcast.engine.shard.shard import STATES, Shard
from gapcast.engine.state import Arrays, below, within

log = logging.getLogger("gapcast.run")


def extended(shards: Arrays, before: Plan, after: Plan, step: int) -> dict[str, NDArray[Any]]:
    """The joined snapshots of shards of `before`, for shards of `after`, which has further targets
    behind those of `before` from `step` on."""
    if not shards:
        return {}
    fresh = Shard(after).snapshot() | {"last_seen": np.full(after.layouts[0].n, step - 1)}
    found: dict[str, NDArray[Any]] = {}
    for m, model in enumerate(before.models):
        for part in STATES:
            state = below(shards, f"{m}/{part}")
            if state:
                grown = _extended(model, state, before.layouts[m], after.layouts[m])
                found |= within(f"{m}/{part}", grown)
    targets = after.layouts[0].n
    for name, old in shards.items():
        if name not in found:
            new = _beginning(name, old, fresh, targets)
            new[: len(old)] = old
            found[name] = new
    return found


def _extended(model: Model, state: State, before: Layout, after: Layout) -> State:
    try:
        return model.forecaster.extend(state, before, after)
    except ValueError as error:
        log.warning("models.%s learns anew: %s", model.name, error)
        return model.forecaster.start(after)


def _beginning(name: str, old: NDArray[Any], fresh: Arrays, targets: int) -> NDArray[Any]:
    """The array of that name, of all targets, before anything was learnt."""
    if name.endswith("/score/current") and len(old):  # all targets are in the same window
        return np.full(targets, old[0])
    known = fresh.get(name, fresh.get(name.replace("/before_", "/")))
    if known is not None:
        return np.array(known)
    nothing = np.nan if old.dtype.kind == "f" else -1
    return np.full((targets, *old.shape[1:]), nothing, old.dtype)
