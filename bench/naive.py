"""What the naive peers share: readings, and a recursive least squares in NumPy for one sensor."""

from __future__ import annotations

import numpy as np

LAGS = 10
FORGETTING = 0.998


class Filter:
    """Recursive least squares of a sensor on its last ten values and a constant (p = 11)."""

    def __init__(self) -> None:
        self.theta = np.zeros(LAGS + 1)
        self.P = np.eye(LAGS + 1) * 1e3
        self.past = np.zeros(LAGS)

    def step(self, value: float) -> float:
        """Forecast the value from those before it, then learn it."""
        x = np.append(self.past, 1.0)
        forecast = float(self.theta @ x)
        Px = self.P @ x
        gain = Px / (FORGETTING + x @ Px)
        self.theta += gain * (value - forecast)
        self.P = (self.P - np.outer(gain, Px)) / FORGETTING
        self.past = np.append(self.past[1:], value)
        return forecast


def values(steps: int, sensors: int) -> np.ndarray:
    """(steps, sensors) daily waves with noise."""
    t = np.arange(steps)[:, None]
    wave = 20 + 4 * np.sin(2 * np.pi * t / 48 + np.arange(sensors) % 7 / 9)
    return np.round(wave + np.random.default_rng(0).normal(0, 0.3, wave.shape), 2)
