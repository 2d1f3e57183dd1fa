"""A lab's climate as its motes would measure it: smooth in space, daily and slow in time.

Temperature is the building's daily cycle, slow weather, a field of a few metres and hours (random
Fourier features: Rahimi and Recht, "Random features for large-scale kernel machines", 2007), what
the sun adds near windows, and each mote's own offset. Humidity follows from it through a dew point
that hardly changes (Magnus' formula with 17.62 and 243.12 °C), which is why they run against each
other. Nothing here draws on a place in a chunk: a moment's climate is the same however it is cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOUR = 3_600_000_000
DAY = 24 * HOUR
_KNOT = HOUR // 6
_FEATURES = 24
_REACH = 9.0  # metres over which the field's values resemble each other
_A, _B = 17.62, 243.12


@dataclass(frozen=True)
class Climate:
    """What (steps, motes) would be measured without noise: °C, % and lux."""

    temperature: Floats
    humidity: Floats
    light: Floats


class Lab:
    """The lab's climate from `start` (µs since 1970) on, for `days`, at `positions` (motes, 2)."""

    def __init__(self, positions: Floats, start: int, days: float, seed: int) -> None:
        motes = len(positions)
        self._start = start
        knots = int(days * DAY // _KNOT) + 2
        random = np.random.default_rng([seed, 1])
        self._weather = 1.3 * _slow(random, knots, 1, hours=40)[0]
        self._dew = 6.5 + 1.6 * _slow(random, knots, 1, hours=60)[0]
        self._clouds = _slow(random, knots, 1, hours=4)[0]
        self._amplitudes = _slow(random, knots, _FEATURES, hours=5)
        waves = random.normal(scale=1 / _REACH, size=(_FEATURES, 2))
        phases = random.uniform(0, 2 * np.pi, _FEATURES)
        x, y = positions.T
        angles = waves[:, :1] * x + waves[:, 1:] * y + phases[:, None]
        self._features = 0.9 * np.sqrt(2 / _FEATURES) * np.cos(angles)
        own = np.random.default_rng([seed, 2])
        self._offset = own.normal(0, 0.6, motes)
        self._humid = own.normal(0, 1.2, motes)
        self._sun = own.beta(0.7, 2.0, motes)
        self._noon = own.normal(0, 1.6, motes)
        self._lamp = own.uniform(0, 450, motes) * (own.random(motes) < 0.7)

    def at(self, times: NDArray[np.int64]) -> Climate:
        """The climate at `times` (steps, motes), whose rows are all but simultaneous."""
        since = (times[:, 0] - self._start) / _KNOT
        hour = (times % DAY) / HOUR
        sun = np.clip(np.sin(np.pi * (hour - self._noon - 6.5) / 12), 0, None) ** 1.4
        clouds = 0.65 + 0.35 * np.tanh(_between(self._clouds, since))[:, None]
        sun *= clouds * self._sun
        busy = ((times // DAY + 3) % 7 < 5) & (hour > 8) & (hour < 19)
        day = 2 * np.pi * hour / 24
        temperature = 20.3 + 1.5 * np.cos(day - 4.1) + 0.4 * np.cos(2 * day - 1.0)
        temperature += 0.5 * busy + 4.5 * sun + self._offset
        temperature += _between(self._weather, since)[:, None]
        for amplitude, feature in zip(self._amplitudes, self._features, strict=True):
            temperature += _between(amplitude, since)[:, None] * feature
        dew = _between(self._dew, since)[:, None]
        humidity = 100 * np.exp(_A * dew / (_B + dew) - _A * temperature / (_B + temperature))
        humidity += self._humid
        light = 1.5 + 900 * sun + busy * self._lamp
        return Climate(temperature, humidity, light)


def _slow(random: np.random.Generator, knots: int, n: int, hours: float) -> Floats:
    """(n, knots) stationary first-order processes of variance 1 that forget within `hours`."""
    keep = float(np.exp(-_KNOT / HOUR / hours))
    shocks = random.normal(size=(n, knots)) * np.sqrt(1 - keep * keep)
    shocks[:, 0] = random.normal(size=n)
    for k in range(1, knots):
        shocks[:, k] += keep * shocks[:, k - 1]
    return np.asarray(shocks)


def _between(values: Floats, knots: Floats) -> Floats:
    """`values`, given at whole knots, at others: straight lines between them."""
    return np.asarray(np.interp(knots, np.arange(len(values)), values))
