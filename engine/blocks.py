"""Blocks: the network cut into groups of series small enough to be solved jointly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Ints

if TYPE_CHECKING:
    from gapcast.engine.network import Network


def blocks(network: Network, targets: Ints, size: int) -> tuple[Ints, NDArray[np.int64]]:
    """Units (N,) of the targets (columns of the network, (N,)) and members (U, M <= size).

    A block holds series of one quantity, consecutive in the network's order. Blocks without a
    target are left out; units are numbered in the order of their first targets.
    """
    quantities = np.array([s.quantity for s in network.series])
    block_of = np.full(len(quantities), -1, np.int64)
    members: list[Ints] = []
    for quantity in dict.fromkeys(quantities.tolist()):
        columns = np.flatnonzero(quantities == quantity)
        for piece in np.array_split(columns, -(-len(columns) // size)):
            block_of[piece] = len(members)
            members.append(piece)
    used, first = np.unique(block_of[targets], return_index=True)
    used = used[np.argsort(first)]
    number = np.full(len(members), -1, np.int64)
    number[used] = np.arange(len(used))
    table = np.full((len(used), max((len(members[b]) for b in used), default=0)), -1, np.int64)
    for u, b in enumerate(used):
        table[u, : len(members[b])] = members[b]
    return number[block_of[targets]], table
