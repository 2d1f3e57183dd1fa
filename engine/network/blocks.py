"""Blocks: the network cut into groups of series small enough to be solved jointly.

A block owns the targets of its cell and reads, beside the cell, a border of the nearest series
outside it, so that a sensor at the edge has neighbours on all sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints, Series
from gapcast.engine.network.nearest import nearest

Positions = Mapping[str, tuple[float, float]]

CELL = 0.6
"""Most a cell takes of a block that has a border. Chosen by experiment, see docs/network-rls.md."""
CLOSE = 32
"""How many nearest series of each one in a cell its border is chosen from."""


def blocks(
    series: Sequence[Series], positions: Positions, targets: Ints, size: int
) -> tuple[Ints, NDArray[np.int64]]:
    """Units (N,) of the targets (indices of `series`, (N,)) and members (U, M <= size).

    A block holds series of one quantity: all of them where they are no more than `size`; otherwise
    cells of neighbours by position, or where one has no position by the order of `series`, with a
    border. Members are in that order, too. Blocks without a target are left out; units are
    numbered in the order of their first targets.
    """
    quantities = np.array([s.quantity for s in series])
    sensors = np.array([s.sensor for s in series], object)
    block_of = np.full(len(quantities), -1, np.int64)
    members: list[Ints] = []
    for quantity in dict.fromkeys(quantities.tolist()):
        columns = np.flatnonzero(quantities == quantity)
        for cell, border in _cut(sensors[columns].tolist(), positions, size):
            block_of[columns[cell]] = len(members)
            members.append(np.sort(columns[np.concatenate([cell, border])]))
    used, first = np.unique(block_of[targets], return_index=True)
    used = used[np.argsort(first)]
    number = np.full(len(members), -1, np.int64)
    number[used] = np.arange(len(used))
    table = np.full((len(used), max((len(members[b]) for b in used), default=0)), -1, np.int64)
    for u, b in enumerate(used):
        table[u, : len(members[b])] = members[b]
    return number[block_of[targets]], table


def _cut(sensors: Sequence[str], positions: Positions, size: int) -> list[tuple[Ints, Ints]]:
    """Cells and their borders, as indices of `sensors`."""
    n = len(sensors)
    if n <= size:
        return [(np.arange(n), np.empty(0, np.int64))]
    most = max(1, int(CELL * size))
    if all(s in positions for s in sensors):
        at = np.array([positions[s] for s in sensors], float)
        return _by_position(at, most, size)
    cells = np.array_split(np.arange(n), -(-n // most))
    return [(cell, _beside(cell, n, size)) for cell in cells]


def _beside(cell: Ints, n: int, size: int) -> Ints:
    """Those before and behind a run of indices, as many on both sides as there are."""
    free = size - len(cell)
    first = min(max(cell[0] - free // 2, 0), n - size)
    before, after = np.arange(first, cell[0]), np.arange(cell[-1] + 1, first + size)
    return np.concatenate([before, after])


def _by_position(at: Floats, most: int, size: int) -> list[tuple[Ints, Ints]]:
    """Cells of up to `most` positions `at` (n, 2), halved again and again across their longer side
    (Bentley 1975, *Multidimensional binary search trees*); the nearest outside are the border."""
    close = nearest(at, min(CLOSE, len(at) - 1))
    cells, rest = [], [np.arange(len(at))]
    while rest:
        cell = rest.pop()
        if len(cell) <= most:
            cells.append((cell, _around(cell, close, at, size - len(cell))))
            continue
        side = int(np.argmax(np.ptp(at[cell], axis=0)))
        order = cell[np.argsort(at[cell, side], kind="stable")]
        pieces = -(-len(cell) // most)
        middle = len(cell) * (pieces // 2) // pieces
        rest += [order[middle:], order[:middle]]
    return cells


def _around(cell: Ints, close: NDArray[np.int64], at: Floats, free: int) -> Ints:
    """The `free` positions outside a cell that are nearest to one inside, of those in `close`."""
    found = close[cell]
    far = np.square(at[found] - at[cell][:, None]).sum(axis=2)
    outside = ~np.isin(found, cell)
    found, far = found[outside], far[outside]
    order = np.lexsort((found, far))
    _, first = np.unique(found[order], return_index=True)
    border: Ints = found[order][np.sort(first)][:free]
    return border
