"""The streaming peer: plain recursive least squares on all the others, one regression a series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suite.sets import Floats

MEMORY, RIDGE, SOLVE_EVERY, CLIP = 500.0, 1.0, 10, 30.0
Mask = NDArray[np.bool_]


class Regressions:
    """Regressions of each of N series on all the others and a constant.

    Moments fade by 1 - 1/MEMORY at every step that a series is seen; so only the weights of those
    that are visible need to be solved for, whoever is missing.
    """

    def __init__(self, series: int) -> None:
        self.series = series
        self._gram = np.zeros((series, series + 1, series + 1))
        self._cross = np.zeros((series, series + 1))

    def weights(self, targets: NDArray[np.int64], visible: Mask) -> Floats:
        """(targets, N + 1) weights, zero for the target itself and what is not `visible` (N,)."""
        usable = np.tile(np.append(visible, True), (len(targets), 1))
        usable[np.arange(len(targets)), targets] = False
        both = usable[:, :, None] & usable[:, None, :]
        matrix = np.where(both, self._gram[targets], 0.0)
        diagonal = np.arange(self.series + 1)
        matrix[:, diagonal, diagonal] = np.where(usable, matrix[:, diagonal, diagonal] + RIDGE, 1)
        right = np.where(usable, self._cross[targets], 0.0)
        found: Floats = np.linalg.solve(matrix, right[..., None])[..., 0]
        return found

    def learn(self, seen: NDArray[np.int64], x: Floats) -> None:
        """Take in a step `x` (N + 1,), in which the series `seen` were there."""
        forget = 1 - 1 / MEMORY
        self._gram[seen] = forget * self._gram[seen] + np.outer(x, x)
        self._cross[seen] = forget * self._cross[seen] + x[seen, None] * x


class Scale:
    """Mean and standard deviation of all that was seen so far."""

    def __init__(self, series: int) -> None:
        self.mean, self._squares, self._count = np.zeros((3, series))

    @property
    def deviation(self) -> Floats:
        """(N,) standard deviation, 1 until there are two values."""
        variance = self._squares / np.maximum(self._count - 1, 1)
        return np.where(self._count > 1, np.sqrt(variance), 1.0) + 1e-9

    def learn(self, values: Floats) -> None:
        """Take in a step, NaN where missing."""
        seen = ~np.isnan(values)
        self._count += seen
        off = np.where(seen, values - self.mean, 0)
        self.mean = self.mean + off / np.maximum(self._count, 1)
        self._squares += np.where(seen, off * (values - self.mean), 0)


class Persistence:
    """How far a residual carries on: its autocorrelation at one step, faded as the moments."""

    def __init__(self, series: int) -> None:
        self._product, self._square = np.zeros(series), np.full(series, 1e-9)
        self._before = np.full(series, np.nan)

    @property
    def rate(self) -> Floats:
        """(N,) share of a residual that is left after a step."""
        return np.clip(self._product / self._square, 0, 1)

    def learn(self, residual: Floats) -> None:
        """Take in residuals, NaN where there is none."""
        forget, before = 1 - 1 / MEMORY, self._before
        both = ~np.isnan(residual) & ~np.isnan(before)
        mean = 0.5 * (residual**2 + before**2)
        self._product = np.where(both, forget * self._product + residual * before, self._product)
        self._square = np.where(both, forget * self._square + mean, self._square)
        self._before = residual


def rls(values: Floats, interval: float) -> Floats:
    """What the visible others say of each missing value, plus the last residual, faded by age."""
    steps, series = values.shape
    regressions, scale = Regressions(series), Scale(series)
    persistence, everyone = Persistence(series), np.arange(series)
    filled = np.full_like(values, np.nan)
    routine = np.zeros((series, series + 1))
    last_seen, age = np.zeros((series, series + 1)), np.zeros(series)
    carried: dict[int, tuple[bytes, Floats, float]] = {}
    for t in range(steps):
        visible = ~np.isnan(values[t])
        deviation = scale.deviation
        z = np.where(visible, (values[t] - scale.mean) / deviation, 0.0)
        x = np.append(np.clip(z, -CLIP, CLIP), 1.0)
        age += 1
        if t % SOLVE_EVERY == 0:
            routine = regressions.weights(everyone, np.ones(series, bool))
        missing = np.flatnonzero(~visible)
        _solve(regressions, missing, visible, last_seen, carried)
        for i in missing:
            _, weights, residual = carried[i]
            z_hat = weights @ x + persistence.rate[i] ** age[i] * residual
            filled[t, i] = z_hat * deviation[i] + scale.mean[i]
        persistence.learn(np.where(visible, x[:-1] - routine @ x, np.nan))
        seen = np.flatnonzero(visible)
        regressions.learn(seen, x)
        for i in seen:
            carried.pop(i, None)
        last_seen[seen], age[seen] = x, 0
        scale.learn(values[t])
    return filled


def _solve(
    regressions: Regressions,
    missing: NDArray[np.int64],
    visible: Mask,
    last_seen: Floats,
    carried: dict[int, tuple[bytes, Floats, float]],
) -> None:
    """For series that went missing, or for whom others did: weights on what is visible now, and
    the residual that these have at the last step that the series was seen."""
    key = visible.tobytes()
    new = np.array([i for i in missing if i not in carried or carried[i][0] != key], np.int64)
    if len(new) == 0:
        return
    for i, weights in zip(new, regressions.weights(new, visible), strict=True):
        carried[i] = key, weights, last_seen[i, i] - weights @ last_seen[i]
