"""What a forecast of `auto` was made of, from what its kernel noted of the one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.explanation import Explanation, Read, Regression, Said
from gapcast.engine.forecaster import Floats, Frame, Ints, State
from gapcast.engine.kernels.standin import ABSURD
from gapcast.engine.state import Arrays, below
from gapcast.plugins.forecasters.auto.cross import CROSS, FEW, GROUP, NETWORK
from gapcast.plugins.forecasters.auto.inputs import INFORMED
from gapcast.plugins.forecasters.auto.kernel import Told
from gapcast.plugins.forecasters.auto.moments import (
    JOINT,
    MEMORIES,
    RIDGE,
    Moments,
    deviation,
    remembered,
    shrunk,
)
from gapcast.plugins.forecasters.auto.season import Calendar
from gapcast.plugins.forecasters.network_rls.kernel import CENTRE, REF

DAY = 86_400_000_000
READS = 5
"""So many neighbours are named, those that say most."""
LEAST = 0.01
"""Least weight of an expert whose neighbours are named."""
CLOSE = 1e-9
"""How near a mixture comes to the forecast, of its size: the rest is rounding."""


def named(calendar: Calendar, interval: int, informed: int = 0) -> list[str]:
    """Which of its name each expert is: its memory or period. informed: how many of them read
    inputs alone."""
    of = {1: "day", 7: "week", 365: "year"}

    def period(steps: float) -> str:
        return of[int(steps * interval / DAY + 0.01)]

    memories = [*(f"{n:.0f} steps" for n in MEMORIES[:-1]), "all"]
    quick, every = memories[0], memories[-1]
    sets = [period(steps / 2) for steps in calendar.awake]
    groups = ("inputs", "inputs known ahead")[: informed // INFORMED]
    return [
        *memories, quick, every, "", quick, every, *map(period, calendar.periods),
        *(" and ".join(sets[: w + 1]) for w in range(len(sets))), "period found",
        *(f"{inputs} alone, {of}" for inputs in groups for of in memories[-INFORMED:]), "", "",
    ]  # fmt: skip


def explained(
    told: Told, state: State, before: Arrays, frame: Frame, target: int, h: int,
    group: Ints, experts: Sequence[str], names: Sequence[str],
) -> Explanation | None:  # fmt: skip
    """The forecast of `target` at the h-th horizon of a frame of one step; None: there is none.

    told: with what the kernel noted. state, before: after the step, and the moments before it.
    group, names: place in `experts` and particulars of every expert.
    """
    mean = float(told.mean[0, target, h])
    values, weights, errors = told.said[target, h]
    if np.isnan(mean):
        return None
    if not weights.any():
        hold = Said("hold", "", mean, 1.0)
        return Explanation([hold], mean, notes=("No expert is known yet: the last value is held.",))
    errors = np.where(np.isfinite(errors), np.sqrt(errors), np.nan)
    said = [
        Said(experts[group[e]], names[e], float(values[e]), float(weights[e]), float(errors[e]))
        for e in np.flatnonzero(~np.isnan(values))
    ]
    regression = None
    best = int(np.argmax(weights[:CROSS]))
    if frame.layout.horizons[h] == 0 and weights[best] >= LEAST:
        read = _read(best, state, before, frame, target)
        carried = float(values[best]) - read.said
        name, of = experts[group[best]], names[best]
        regression = replace(read, expert=name, of=of, carried=carried)
    found = Explanation(said, mean, regression)
    last = float(below(state, "weighing")["last"][_place(frame, target)])
    notes = [*_bounded(found), *_begun(frame.layout.horizons[h], float(values[-2]), last)]
    return replace(found, notes=tuple(notes))


def _place(frame: Frame, target: int) -> tuple[int, int]:
    """Unit of a target, and which of its members it is."""
    unit = int(frame.layout.units[target])
    return unit, int(np.flatnonzero(frame.layout.of_members[unit] == target)[0])


def _bounded(found: Explanation) -> list[str]:
    if abs(found.mixture - found.mean) <= CLOSE * max(1.0, abs(found.mean)):
        return []
    side = "lower" if found.mean > found.mixture else "upper"
    return [
        f"All together say {found.mixture:.6g}, beyond the {side} bound of the series' values, "
        f"{found.mean:.6g}: that is forecast."
    ]


def _begun(horizon: int, held: float, last: float) -> list[str]:
    """What to say of a forecast ahead that does not begin at the last value."""
    if horizon == 0 or held == last:
        return []
    return [f"Begun at the nowcast, {held:.6g}, which is known to err less than the last value."]


def _read(e: int, after: State, before: Arrays, frame: Frame, target: int) -> Regression:
    """The neighbours that expert e of the network read.

    Solved anew, in the plainest way, from the moments `before` the step, and the
    matrices and ranks that the kernel used, which it leaves as they are `after` it.
    """
    unit, i = _place(frame, target)
    members = frame.layout.members[unit]
    members = members[members >= 0]
    mo = Moments(**{name: array[unit] for name, array in before.items()})
    mo = mo._replace(**{name: after[f"moments/{name}"][unit] for name in _REFRESHED})
    x, m = frame.values[0, members], len(members)
    seen = (np.abs(x) < ABSURD) & (mo.count[:m] > 0)
    seen[i] = False
    k = e if e < JOINT else (0, JOINT - 1)[(e - JOINT) % 2]
    usual, part, read = mo.mean[k, :m], np.zeros(m), seen
    if e < JOINT:
        part[seen] = _all_seen(mo, k, seen, i, x)
    elif e < NETWORK:
        chosen = [int(j) for j in mo.near[i] if j >= 0 and seen[j]][:FEW]
        part[chosen] = _a_few(mo, k, chosen, i, x)
        read = np.isin(np.arange(m), chosen)
    else:
        alike = m - len(frame.layout.inputs)
        usual, weights = _of_network(below(after, "network"), unit, i, alike, m)
        part[seen] = (weights * (x - usual))[seen]
    near = mo.near[i, :GROUP]
    named = [int(j) for j in np.argsort(-np.abs(part), kind="stable")[:READS] if read[j]]
    others = read & ~np.isin(np.arange(m), named)
    named += [int(j) for j in near if j >= 0 and not seen[j]]
    x = np.where(seen, x, np.nan)
    reads = [Read(int(members[j]), float(x[j]), float(usual[j]), float(part[j])) for j in named]
    return Regression(
        "", "", float(usual[i]), reads, float(part[others].sum()), int(others.sum())
    )  # fmt: skip


def _of_network(models: Arrays, unit: int, i: int, alike: int, m: int) -> tuple[Floats, Floats]:
    """What `network-rls` takes for usual, of all m members, and their weights for member i; it
    reads the first `alike` of them, which are no inputs."""
    facts: Floats = models["facts"][unit]
    weights = np.zeros(m)
    weights[:alike] = models["weights"][unit, :alike, i]
    return np.full(m, facts[REF] + facts[CENTRE]), weights


_REFRESHED = ("precision", "diagonal", "scale", "near")


def _all_seen(mo: Moments, k: int, seen: NDArray[np.bool_], i: int, x: Floats) -> Floats:
    """What each member that is seen adds to the conditional mean of member i at memory k."""
    m = len(x)
    precision = mo.precision[k, :m, :m] + np.diag(mo.diagonal[k, :m])
    rest = np.flatnonzero(~seen)
    solved = np.linalg.solve(precision[np.ix_(rest, rest)], precision[np.ix_(rest, seen)])
    deviations = ((x - mo.mean[k, :m]) / mo.scale[k, :m])[seen]
    found: Floats = -solved[np.searchsorted(rest, i)] * deviations * mo.scale[k, i]
    return found


def _a_few(mo: Moments, k: int, chosen: Sequence[int], i: int, x: Floats) -> Floats:
    """What each of the `chosen` members adds to their regression for member i at memory k."""
    steps, more = remembered.py_func(mo, k)
    size = np.array([deviation.py_func(mo, j) for j in chosen])

    def alike(a: int, b: int) -> float:
        return float(shrunk.py_func(mo, k, a, b, steps, more))

    among = np.array([[alike(a, b) for b in chosen] for a in chosen]) / np.outer(size, size)
    with_it = np.array([alike(a, i) for a in chosen]) / size
    solved = np.linalg.solve(among + RIDGE / (steps + more) * np.eye(len(chosen)), with_it)
    found: Floats = solved * (x[chosen] - mo.mean[k, chosen]) / size
    return found
