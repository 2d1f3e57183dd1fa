"""Layouts: where targets and what their models read stand in the columns of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.forecaster import Ints, Layout, Model, Needs, Series
from gapcast.engine.network.blocks import blocks
from gapcast.engine.network.neighbours import neighbours_of
from gapcast.engine.network.series import Network


def lay_out(network: Network, targets: Sequence[Series], model: Model, interval: int) -> Layout:
    """The layout of `model` over all `targets`, its columns those of the whole network."""
    needs = model.forecaster.needs()
    column = network.column
    columns = np.fromiter((column[t] for t in targets), np.int64, len(targets))
    horizons = np.array(model.asked, np.int64)
    units, members = np.arange(len(targets)), np.empty((len(targets), 0), np.int64)
    inputs, leads = np.empty(0, np.int64), np.empty((len(horizons), 0), np.int64)
    if needs.block is not None:
        if needs.inputs:
            inputs = np.array(sorted(column[s] for s in network.inputs), np.int64)
            leads = _leads(network, inputs, horizons)
        units, members = _blocks(network, columns, needs.block)
        members = joined(members, inputs)
    regressors, companions, choose = _reads(network, targets, needs)
    partners = _partners(network, needs)
    if needs.partners:
        companions = np.column_stack([companions, partners[columns]])
    return Layout(
        interval, network.columns, columns, regressors, companions, choose, horizons, model.level,
        units, members, partners, inputs, leads,
    )  # fmt: skip


def joined(members: NDArray[np.int64], inputs: Ints) -> NDArray[np.int64]:
    """`Layout.members` with the inputs behind those of every unit."""
    own = (members >= 0).sum(axis=1)
    found = np.pad(members, ((0, 0), (0, len(inputs))), constant_values=-1)
    found[np.arange(len(found))[:, None], own[:, None] + np.arange(len(inputs))] = inputs
    return found


def for_targets(layout: Layout, targets: Ints | slice) -> Layout:
    """The layout of a shard that owns some of the targets (ascending indices), in the same
    columns."""
    owned, units = np.unique(layout.units[targets], return_inverse=True)
    return replace(
        layout,
        targets=layout.targets[targets],
        regressors=layout.regressors[targets],
        companions=layout.companions[targets],
        units=units,
        members=layout.members[owned],
    )


_READ = ("targets", "regressors", "companions", "members", "leads")


def halo(layout: Layout) -> Ints:
    """Columns that the targets of `layout` read, their own included, ascending."""
    read = np.concatenate(
        [getattr(layout, name).ravel() for name in _READ],
    )
    columns = np.unique(read)
    columns = columns[columns >= 0]
    if len(layout.partners):
        columns = np.union1d(columns, layout.partners[columns])
    return columns[columns >= 0]


def narrow(layout: Layout, columns: Ints) -> Layout:
    """The same layout over frames that have only `columns` (ascending, its `halo` among them)."""

    def place(old: Ints) -> Ints:
        return np.where(old < 0, -1, np.searchsorted(columns, old))

    return replace(
        layout,
        series=tuple(layout.series[c] for c in columns),
        targets=place(layout.targets),
        regressors=place(layout.regressors),
        companions=place(layout.companions),
        members=place(layout.members),
        partners=place(layout.partners[columns]) if len(layout.partners) else layout.partners,
        inputs=place(layout.inputs),
        leads=place(layout.leads),
    )


def _leads(network: Network, inputs: Ints, horizons: Ints) -> NDArray[np.int64]:
    """`Layout.leads`."""
    place = {lead: len(network.series) + i for i, lead in enumerate(network.leads)}
    found = [[place.get((network.series[c], int(h)), -1) for c in inputs] for h in horizons]
    return np.array(found, np.int64).reshape(len(horizons), len(inputs))


def _blocks(network: Network, targets: Ints, size: int) -> tuple[Ints, NDArray[np.int64]]:
    """Units and members, as `blocks` finds them among all series but for inputs."""
    own = np.array([c for c, s in enumerate(network.series) if s not in network.inputs], np.int64)
    series, places = [network.series[c] for c in own], np.searchsorted(own, targets)
    units, members = blocks(series, network.positions, places, size)
    return units, np.where(members < 0, -1, own[members])


def _reads(
    network: Network, targets: Sequence[Series], needs: Needs
) -> tuple[NDArray[np.int64], NDArray[np.int64], int | None]:
    """`Layout.regressors`, the companions of `Needs.quantities`, `Layout.choose`."""
    if needs.neighbours is None and not needs.quantities:
        none = np.empty((len(targets), 1, 0), np.int64)
        return none, none[:, 0], None
    column = network.column
    reads, choose = neighbours_of(network, targets, needs)
    quantities = [[t.quantity, *(q for q in needs.quantities if q != t.quantity)] for t in targets]
    width = max((len(q) for q in quantities), default=1)
    depth = max((len(r) for r in reads), default=0)
    regressors = np.full((len(targets), width, depth), -1, np.int64)
    companions = np.full((len(targets), width - 1), -1, np.int64)
    for n, target in enumerate(targets):
        for q, quantity in enumerate(quantities[n]):
            found = [column.get(Series(sensor, quantity), -1) for sensor in reads[n]]
            regressors[n, q, : len(found)] = found
            if q:
                companions[n, q - 1] = column.get(Series(target.sensor, quantity), -1)
    return regressors, companions, choose


def _partners(network: Network, needs: Needs) -> Ints:
    """`Layout.partners`."""
    other = dict(needs.partners)
    if not other:
        return np.empty(0, np.int64)
    found = (
        network.column.get(Series(s.sensor, other[s.quantity]), -1) if s.quantity in other else -1
        for s in network.columns
    )
    return np.fromiter(found, np.int64, len(network.columns))
