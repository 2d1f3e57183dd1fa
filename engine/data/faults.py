"""What goes wrong in a sensor network of 2004: gaps, dying batteries, lines that are not right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.data.field import DAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DEAD_TEMPERATURE, DEAD_HUMIDITY, DEAD_VOLTAGE = 122.153, -3.91901, 2.03397
"""What a mote of the original network says when its battery is gone: °C, %, V."""

STRANGERS = (55, 56, 58, 6485, 33117, 65407)
"""Mote ids that occur in the original and are none of its motes."""

_SHORTEST, _LONGEST = 30e6, 2.0 * DAY
_DECLINE = 1.5 * DAY


class Faults:
    """All faults of `motes` over `duration` µs from `start`, drawn before the first reading."""

    def __init__(self, motes: int, start: int, duration: int, seed: int) -> None:
        random = np.random.default_rng([seed, 3])
        self._lost = random.beta(1.5, 14, motes)
        gaps = random.poisson(0.6 * motes * duration / DAY)
        self._mote = random.integers(0, motes, gaps)
        self._begin = start + random.integers(0, max(1, duration), gaps)
        length = np.exp(random.uniform(np.log(_SHORTEST), np.log(_LONGEST), gaps))
        self._end = self._begin + length.astype(np.int64)
        dying = random.random(motes) < 0.08
        dying[random.integers(motes)] = True
        self._failing = np.where(dying, start + duration * random.uniform(0.5, 0.9, motes), np.inf)

    def present(self, times: Ints, random: np.random.Generator) -> NDArray[np.bool_]:
        """Which of the readings at `times` (steps, motes) arrive at all."""
        edges = np.zeros((len(times) + 1, times.shape[1]), np.int32)
        step = times[:, 0]
        np.add.at(edges, (np.searchsorted(step, self._begin), self._mote), 1)
        np.add.at(edges, (np.searchsorted(step, self._end), self._mote), -1)
        out = np.cumsum(edges[:-1], axis=0) > 0
        return np.asarray(~out & (random.random(times.shape) >= self._lost))

    def drain(self, times: Ints, temperature: Floats, humidity: Floats, voltage: Floats) -> None:
        """Let dying motes drift to what a dead one says, in place."""
        gone = np.clip((times - self._failing) / _DECLINE, 0.0, 1.0)
        gone = gone * gone * (3 - 2 * gone)
        for values, dead in (
            (temperature, DEAD_TEMPERATURE),
            (humidity, DEAD_HUMIDITY),
            (voltage, DEAD_VOLTAGE),
        ):
            values += gone * (dead - values)
            values[gone == 1] = dead


def disorder(times: Ints, end: int, random: np.random.Generator) -> Ints:
    """The order in which lines of these times are written, before `end`; some of them twice."""
    late = random.random(len(times)) < 0.002
    written = np.minimum(times + late * random.integers(0, 120_000_000, len(times)), end - 1)
    twice = np.flatnonzero(random.random(len(times)) < 0.001)
    lines = np.concatenate([np.arange(len(times)), twice])
    again = np.minimum(written[twice] + random.integers(0, 5_000_000, len(twice)), end - 1)
    return lines[np.argsort(np.concatenate([written, again]), kind="stable")]


def strangers(mote: Ints, random: np.random.Generator) -> Ints:
    """`mote` with a few ids replaced by such as are not of the network."""
    which = random.random(len(mote)) < 3e-5
    return np.where(which, random.choice(STRANGERS, len(mote)), mote)


def fields_kept(n: int, whole: int, random: np.random.Generator) -> Ints:
    """How many of its `whole` fields each of `n` lines has."""
    cut = random.random(n) < 2e-4
    return np.where(cut, random.integers(2, whole, n), whole)
