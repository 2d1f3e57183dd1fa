"""Patterns of gaps: from a pattern, a span, a network and a seed to a section `evaluation`.

Names are those of ImputeBench (Khayati, Lerner, Tymchenko & Cudré-Mauroux, "Mind the Gap", PVLDB
13(5), 2020) and ImputeGAP; what differs is said in docs/backtest.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np

from gapcast.engine.config.backtest import Pattern
from gapcast.engine.errors import RunError
from gapcast.engine.grid.spec import GridSpec
from gapcast.engine.units import MICROSECONDS, write_duration, write_time


@dataclass(frozen=True)
class Ground:
    """Where gaps may be: the steps [start, stop) of `grid`, and the sensors of the targets in the
    network's order, with positions in metres where known."""

    grid: GridSpec
    start: int
    stop: int
    sensors: Sequence[str]
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return self.stop - self.start

    def times(self, start: int, stop: int) -> dict[str, str]:
        """When some steps begin and end, as a config says it."""
        first, last = self.grid.begins(np.array([start, stop])).tolist()
        return {"from": write_time(first), "to": write_time(last)}


def withheld(pattern: Pattern, ground: Ground, key: str) -> dict[str, Any]:
    """A section `evaluation` that hides by `pattern`; truth is never released.

    key: seeds what is drawn; the same key, the same gaps. Raises RunError where `pattern` does
    not fit into `ground`.
    """
    length = length_of(pattern, ground)
    if length > ground.steps:
        raise RunError(f"a block of {length} steps is longer than the span, {ground.steps} steps")
    rng, whole = Random(key), (ground.start, ground.stop)
    at = rng.randrange(ground.start, ground.stop - length + 1)
    block = (at, at + length)
    match pattern.type:
        case "mcar":
            gaps = {"share": pattern.share, "steps": [length] * 2, "seed": rng.randrange(1 << 31)}
            return _dark(ground, "together", [whole], gaps=gaps)
        case "blackout":
            return _dark(ground, "together", [block])
        case "miss_perc":
            return _dark(ground, "each", [block])
        case "sensor":
            return _dark(ground, "each-sensor", [block])
        case "neighbours":
            group = _neighbours(pattern.count, ground, rng)
            return _dark(ground, "together", [block], sensors=group)
    shift = length if pattern.type == "disjoint" else max(1, length // 2)
    return _one_by_one(ground, length, shift, rng)


def length_of(pattern: Pattern, ground: Ground) -> int:
    """Steps of a block of `pattern`, its default where it says nothing."""
    if pattern.type == "miss_perc":
        return max(1, round(pattern.share * ground.steps))
    if pattern.length is not None:
        return pattern.length
    once = max(1, ground.steps // len(ground.sensors))
    length = {"mcar": 1, "disjoint": once, "overlap": 2 * once}.get(pattern.type, ground.steps)
    return min(length, ground.steps)


def defaults(ground: Ground) -> dict[str, Pattern]:
    """A pattern of every type, those with blocks of 1 h, 6 h and 1 d as far as they fit."""
    h, d = MICROSECONDS["h"], MICROSECONDS["d"]
    found = {"mcar-1": Pattern(type="mcar")}
    for name, least, most in (("mcar", 2, 3), ("blackout", 1, 1)):
        for duration in (h, 6 * h, d):
            steps, rest = divmod(duration, ground.grid.interval)
            if not rest and least <= steps and most * steps <= ground.steps:
                pattern = Pattern.model_validate({"type": name, "length": int(steps)})
                found[f"{name}-{write_duration(duration)}"] = pattern
    found["miss_perc"] = Pattern(type="miss_perc")
    if ground.steps >= 2:
        found |= {"disjoint": Pattern(type="disjoint"), "overlap": Pattern(type="overlap")}
    found["sensor"] = Pattern(type="sensor")
    if len(ground.sensors) > 5:
        found["neighbours"] = Pattern(type="neighbours")
    return found


def _dark(
    ground: Ground, hide: str, bounds: Sequence[tuple[int, int]], **more: Any
) -> dict[str, Any]:
    spans = [ground.times(a, b) for a, b in bounds]
    return {"mode": "blackout", "hide": hide, "release": "never", "spans": spans, **more}


def _one_by_one(ground: Ground, length: int, shift: int, rng: Random) -> dict[str, Any]:
    """Sensors in random order, each withheld for `length` steps from `shift` steps after the one
    before, as long as there are steps: spans between the moments at which anything changes."""
    order = rng.sample(list(ground.sensors), len(ground.sensors))
    starts = range(ground.start, ground.stop, shift)
    blocks = [(a, min(a + length, ground.stop), s) for a, s in zip(starts, order, strict=False)]
    cuts = sorted({t for a, b, _ in blocks for t in (a, b)})
    section = _dark(ground, "together", list(pairwise(cuts)))
    for span, t in zip(section["spans"], cuts, strict=False):
        span["sensors"] = [s for a, b, s in blocks if a <= t < b]
    return section


def _neighbours(count: int, ground: Ground, rng: Random) -> list[str]:
    """A sensor and those nearest to it; where positions are not known, next to it in order."""
    sensors, known = ground.sensors, ground.positions
    if count > len(sensors):
        raise RunError(f"{count} neighbours are more than there are sensors, {len(sensors)}")
    if all(s in known for s in sensors):
        centre = known[rng.choice(sensors)]
        near = sorted(sensors, key=lambda s: math.dist(known[s], centre))
        return sorted(near[:count], key=sensors.index)
    first = rng.randrange(len(sensors) - count + 1)
    return list(sensors[first : first + count])
