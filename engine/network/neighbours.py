"""Who reads whom: the neighbours that a config asks for, of each target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Floats, Ints, Needs, Series
from gapcast.engine.neighbours import Neighbours
from gapcast.engine.network.nearest import nearest
from gapcast.engine.network.series import Network

CANDIDATES = 63
"""How many neighbours `correlated` may choose from: the nearest so many, by position or name."""
MOST_FOR_ALL = 2048
"""Greatest network in which every sensor may read every other."""


def neighbours_of(
    network: Network, targets: Sequence[Series], needs: Needs
) -> tuple[list[list[str]], int | None]:
    """Each target's neighbours, best first, and of how many of them a model is to choose from the
    data: `Layout.choose`. Raises RunError when they cannot be told."""
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
