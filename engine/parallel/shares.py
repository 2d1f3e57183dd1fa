"""Shares: how the targets of a job are divided among its shards, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints, Layout
from gapcast.engine.shard.results import Ending, Stepped, StepResult
from gapcast.engine.shard.shard import units_of
from gapcast.engine.state import Arrays


class Shares:
    """The targets of each shard, and each model's units of them, as ascending indices.

    No unit of any model is split. Where every target is a unit, shards own runs of neighbours.
    """

    def __init__(self, layouts: Sequence[Layout], count: int) -> None:
        owner = _owners(layouts, count)
        self.targets = [np.flatnonzero(owner == s) for s in range(owner.max(initial=0) + 1)]
        self.units = [[np.unique(lay.units[mine]) for mine in self.targets] for lay in layouts]
        """[model][shard]"""
        self._order = _order(self.targets)
        self._unit_orders = [_order(owned) for owned in self.units]

    def __len__(self) -> int:
        return len(self.targets)

    def join(self, parts: Sequence[StepResult]) -> StepResult:
        """One result of a frame from those of the shards."""
        if len(parts) == 1:
            return parts[0]
        order = self._order

        def side(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
            return _joined(arrays, order, axis=1)

        result = StepResult.joined(parts, side)
        result.windows = self._windows([p.windows for p in parts])
        return result

    def join_stepped(self, parts: Sequence[Stepped]) -> Stepped:
        """What the shards say of one frame."""
        each = sum(p.each for p in parts)
        windows = self._windows([p.windows for p in parts])
        return Stepped(parts[0].first, parts[0].steps, each, windows)

    def join_endings(self, parts: Sequence[Ending]) -> Ending:
        """One ending of the run from those of the shards."""
        totals, by_gap = (
            [_joined(a, self._order) for a in zip(*(getattr(p, name) for p in parts), strict=True)]
            for name in ("totals", "by_gap")
        )
        seconds = [sum(s) for s in zip(*(p.seconds for p in parts), strict=True)]
        return Ending(self._windows([p.windows for p in parts]), totals, by_gap, seconds)

    def join_snapshots(self, parts: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
        """One snapshot of the job from those of the shards."""
        return {name: _joined([p[name] for p in parts], self._order_of(name)) for name in parts[0]}

    def share(self, arrays: Arrays, shard: int) -> dict[str, NDArray[Any]]:
        """What one shard needs of the snapshot of a job, copied."""
        return part(arrays, self.targets[shard], [units[shard] for units in self.units])

    def _order_of(self, name: str) -> Ints | None:
        """Where to take each entry of a snapshot's array from in what the shards give."""
        m = units_of(name)
        return self._order if m is None else self._unit_orders[m]

    def _windows(
        self, parts: Sequence[list[tuple[int, int, Floats]]]
    ) -> list[tuple[int, int, Floats]]:
        return [
            (of[0][0], of[0][1], _joined([w[2] for w in of], self._order))
            for of in zip(*parts, strict=True)
        ]


def part(arrays: Arrays, targets: Ints, units: Sequence[Ints]) -> dict[str, NDArray[Any]]:
    """What belongs to some of the targets of the snapshot of a job, copied; units: theirs, by
    model."""
    found = {}
    for name, array in arrays.items():
        m = units_of(name)
        found[name] = array[targets if m is None else units[m]]
    return found


def together(layouts: Sequence[Layout], target: int) -> Ints:
    """The targets that must be in one shard with `target`, itself included."""
    found: Ints = np.array([target])
    while True:
        before = len(found)
        for layout in layouts:
            found = np.flatnonzero(np.isin(layout.units, layout.units[found]))
        if len(found) == before:
            return found


def _owners(layouts: Sequence[Layout], count: int) -> Ints:
    """Shard of each target: groups that share no unit, dealt out in order, of nearly equal size."""
    n = layouts[0].n
    group = np.arange(n)
    while True:
        before = group
        for layout in layouts:
            least = np.full(layout.u, n, np.int64)
            np.minimum.at(least, layout.units, group)
            group = least[layout.units]
        if (group == before).all():
            break
    firsts, index, sizes = np.unique(group, return_inverse=True, return_counts=True)
    middle = np.cumsum(sizes) - (sizes + 1) // 2
    shard = middle * min(count, len(firsts)) // max(1, n)
    owner: Ints = np.unique(shard, return_inverse=True)[1][index]
    return owner


def _order(owned: Sequence[Ints]) -> Ints | None:
    """Where to take each place from in what the owners give, one after the other; None: as is."""
    given = np.concatenate(owned)
    if (np.diff(given) > 0).all():
        return None
    return np.argsort(given)


def _joined(parts: Sequence[NDArray[Any]], order: Ints | None, axis: int = 0) -> NDArray[Any]:
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis)
    return joined if order is None else np.take(joined, order, axis)
