"""The network: which series there are, where the sensors stand, and who is whose neighbour."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Floats, Ints, Layout, Model, Needs, Series
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.network.blocks import blocks
from gapcast.engine.network.nearest import nearest

CANDIDATES = 63
"""How many neighbours `correlated` may choose from: the nearest so many, by position or name."""
MOST_FOR_ALL = 2048
"""Greatest network in which every sensor may read every other."""


def natural(name: str) -> str:
    """Sort key under which ``mote2`` comes before ``mote10``."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(20), name) + "\0" + name


@dataclass(frozen=True)
class Network:
    """All series of a job in natural order, and the sensors' positions in metres where known."""

    series: tuple[Series, ...]
    positions: Mapping[str, tuple[float, float]]

    @classmethod
    def of(
        cls, series: Iterable[Series], positions: Mapping[str, tuple[float, float]] | None = None
    ) -> Network:
        """The network of these series, each once, in natural order."""
        distinct = set(series)
        place = {name: natural(name) for name in {s.sensor for s in distinct}}
        ordered = sorted(distinct, key=lambda s: (place[s.sensor], s.quantity))
        return cls(tuple(ordered), positions or {})

    @cached_property
    def column(self) -> dict[Series, int]:
        """Column of each series in the frames."""
        return {s: i for i, s in enumerate(self.series)}

    def sensors(self, quantity: str) -> list[str]:
        """Sensors that report `quantity`, in order."""
        return [s.sensor for s in self.series if s.quantity == quantity]


def read_positions(path: Path) -> dict[str, tuple[float, float]]:
    """Positions from a text of lines ``sensor x y`` (metres); ``#`` starts a comment."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: positions cannot be read: {error}") from None
    positions = {}
    for number, line in enumerate(lines, 1):
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        try:
            sensor, x, y = fields
            positions[sensor] = (float(x), float(y))
        except ValueError:
            raise RunError(
                f"{path}:{number}: expected 'sensor x y' with x and y in metres, found {line!r}"
            ) from None
    return positions


def lay_out(network: Network, targets: Sequence[Series], model: Model, interval: int) -> Layout:
    """The layout of `model` over all `targets`, its columns those of the whole network."""
    needs = model.forecaster.needs()
    column = network.column
    columns = np.fromiter((column[t] for t in targets), np.int64, len(targets))
    horizons = np.array(model.asked, np.int64)
    units, members = np.arange(len(targets)), np.empty((len(targets), 0), np.int64)
    if needs.block is not None:
        units, members = blocks(network, columns, needs.block)
    regressors, companions, choose = _reads(network, targets, needs)
    partners = _partners(network, needs)
    if needs.partners:
        companions = np.column_stack([companions, partners[columns]])
    return Layout(
        interval, network.series, columns, regressors, companions, choose, horizons, model.level,
        units, members, partners,
    )  # fmt: skip


def part(layout: Layout, targets: Ints | slice) -> Layout:
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


def halo(layout: Layout) -> Ints:
    """Columns that the targets of `layout` read, their own included, ascending."""
    read = np.concatenate(
        [a.ravel() for a in (layout.targets, layout.regressors, layout.companions, layout.members)]
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
    )


def _reads(
    network: Network, targets: Sequence[Series], needs: Needs
) -> tuple[NDArray[np.int64], NDArray[np.int64], int | None]:
    """`Layout.regressors`, the companions of `Needs.quantities`, `Layout.choose`."""
    if needs.neighbours is None and not needs.quantities:
        none = np.empty((len(targets), 1, 0), np.int64)
        return none, none[:, 0], None
    column = network.column
    reads, choose = _neighbours_of(network, targets, needs)
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
        for s in network.series
    )
    return np.fromiter(found, np.int64, len(network.series))


def _neighbours_of(
    network: Network, targets: Sequence[Series], needs: Needs
) -> tuple[list[list[str]], int | None]:
    wanted = needs.neighbours
    if wanted is None:
        return [[] for _ in targets], None
    by_quantity: dict[str, dict[str, list[str]]] = {}
    for quantity in {t.quantity for t in targets}:
        sensors = network.sensors(quantity)
        by_quantity[quantity] = _choose(network, sensors, wanted)
    return [by_quantity[t.quantity].get(t.sensor, []) for t in targets], wanted.correlated


def _choose(network: Network, sensors: list[str], wanted: Neighbours) -> dict[str, list[str]]:
    if wanted.nearest is not None:
        return _nearest(network, sensors, wanted.nearest)
    if wanted.clusters is not None:
        return _clusters(_positions(network, sensors), sensors, wanted.clusters)
    if wanted.of is not None:
        known = set(sensors)
        return {s: [o for o in others if o in known] for s, others in wanted.of.items()}
    most = CANDIDATES if wanted.correlated is not None else MOST_FOR_ALL
    if len(sensors) <= most + 1:
        return {s: [o for o in sensors if o != s] for s in sensors}
    if wanted.correlated is None:
        raise RunError(
            f"neighbours: all is for up to {MOST_FOR_ALL} sensors, this network has "
            f"{len(sensors)}; use {{nearest: k}} or {{correlated: k}}"
        )
    if all(s in network.positions for s in sensors):
        return _nearest(network, sensors, CANDIDATES)
    return _by_name(sensors, CANDIDATES)


def _positions(network: Network, sensors: list[str]) -> Floats:
    missing = [s for s in sensors if s not in network.positions]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise RunError(
            f"neighbours by position: no position for sensor {shown}; name a file of lines "
            "'sensor x y' as network.positions, or use {correlated: k}"
        )
    return np.array([network.positions[s] for s in sensors], float).reshape(-1, 2)


def _nearest(network: Network, sensors: list[str], k: int) -> dict[str, list[str]]:
    xy = _positions(network, sensors)
    if len(sensors) < 2:
        return {s: [] for s in sensors}
    found = nearest(xy, min(k, len(sensors) - 1))
    return {s: [sensors[j] for j in row if j >= 0] for s, row in zip(sensors, found, strict=True)}


def _by_name(sensors: list[str], k: int) -> dict[str, list[str]]:
    """Sensors of neighbouring names stand for neighbours where positions are not known."""
    chosen = {}
    for i, sensor in enumerate(sensors):
        low = min(max(0, i - k // 2), len(sensors) - k - 1)
        chosen[sensor] = [s for s in sensors[low : low + k + 1] if s != sensor]
    return chosen


def _clusters(xy: Floats, sensors: list[str], k: int) -> dict[str, list[str]]:
    """Members of each sensor's k-means cluster (Lloyd 1982), started from the points that are
    farthest apart, so that the result needs no seed."""
    k = min(k, len(sensors))
    centres = [int(np.argmin(((xy - xy.mean(0)) ** 2).sum(1)))]
    while len(centres) < k:
        apart = np.min([((xy - xy[c]) ** 2).sum(1) for c in centres], axis=0)
        centres.append(int(np.argmax(apart)))
    means = xy[centres].copy()
    label: Ints = np.full(len(xy), -1)
    while True:
        distance = ((xy[:, None] - means[None]) ** 2).sum(2)
        new = np.argmin(distance, axis=1)
        if (new == label).all():
            break
        label = new
        for c in range(k):
            if (label == c).any():
                means[c] = xy[label == c].mean(0)
    members = {c: [s for s, m in zip(sensors, label, strict=True) if m == c] for c in range(k)}
    return {s: [o for o in members[int(c)] if o != s] for s, c in zip(sensors, label, strict=True)}
