"""Layouts that grow: where series that have joined stand beside those that were there.

What was there stays where it is, so that what was learnt keeps its meaning. Newcomers come behind:
as targets and units, and as neighbours and members where there is place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Ints, Layout, Model, Needs, Series
from gapcast.engine.network.blocks import CELL
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network


def grown(before: Layout, network: Network, targets: Sequence[Series], model: Model) -> Layout:
    """The layout of `model` over a network that has grown; `targets` begins with the old ones."""
    needs = model.forecaster.needs()
    found = lay_out(network, targets, model, before.interval)
    own = _own(before.regressors[:, 0], found.regressors[:, 0])
    regressors = _of_all(own, network, targets, needs, found.regressors.shape[1])
    if needs.block is None:
        return replace(found, regressors=regressors)
    units, members = _units(before, network, found.targets, needs.block)
    return replace(found, regressors=regressors, units=units, members=members)


def _own(old: NDArray[np.int64], fresh: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, C) neighbours of the targets' own quantities, -1 where there are fewer: the first targets
    have their `old` ones, behind them those of the `fresh` ones that they did not have, as far as
    there are more of these."""
    found = np.full((len(fresh), max(fresh.shape[1], old.shape[1])), -1, np.int64)
    found[:, : fresh.shape[1]] = fresh
    found[: len(old)] = -1
    found[: len(old), : old.shape[1]] = old
    for n in np.flatnonzero((found[: len(old)] < 0).any(axis=1)):
        known, now = old[n][old[n] >= 0], fresh[n][fresh[n] >= 0]
        more = now[~np.isin(now, known)][: max(0, len(now) - len(known))]
        found[n, len(known) : len(known) + len(more)] = more
    return found


def _of_all(
    own: NDArray[np.int64],
    network: Network,
    targets: Sequence[Series],
    needs: Needs,
    width: int,
) -> NDArray[np.int64]:
    """`Layout.regressors` with the neighbours `own` of the targets' own quantities."""
    found = np.full((len(own), width, own.shape[1]), -1, np.int64)
    found[:, 0] = own
    if width == 1:
        return found
    for n, target in enumerate(targets):
        others = [q for q in needs.quantities if q != target.quantity]
        for c, column in enumerate(own[n]):
            for q, quantity in enumerate(others if column >= 0 else ()):
                other = Series(network.series[column].sensor, quantity)
                found[n, q + 1, c] = network.column.get(other, -1)
    return found


def _units(
    before: Layout, network: Network, targets: Ints, size: int
) -> tuple[Ints, NDArray[np.int64]]:
    """`Layout.units` and `Layout.members`: who joins becomes a member of the newest unit of its
    quantity that has place, else a target of a new one, with a border of those that joined last."""
    quantity = np.array([s.quantity for s in network.series], object)
    units = before.units.tolist()
    rows = {u: row[row >= 0].tolist() for u, row in enumerate(before.members)}
    newest = {quantity[row[0]]: u for u, row in rows.items() if len(row) < size}
    targeted = {*targets.tolist()}
    count = before.u
    for column in range(len(before.series), len(network.series)):
        of = quantity[column]
        if of not in newest:
            if column not in targeted:
                continue
            border = np.flatnonzero(quantity[:column] == of)[-max(1, size - int(CELL * size)) :]
            newest[of], rows[count] = count, border.tolist()[: size - 1]
            count += 1
        unit = newest[of]
        rows[unit].append(column)
        if column in targeted:
            units.append(unit)
        if len(rows[unit]) >= size:
            del newest[of]
    members = np.full((count, max(map(len, rows.values()), default=0)), -1, np.int64)
    for u, row in rows.items():
        members[u, : len(row)] = row
    return np.array(units, np.int64), members
