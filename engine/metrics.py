"""The table of scores: what each adds up, over which forecasts, how it is finished, its unit.

Kernel, files, report, backtest and command line go by `METRICS`. A new score is a line at its end
and, unless its sums are there already, a term: a plain function of a `Cell`, which is compiled into
`accumulate`. The kernel stands in this module since Numba compiles a cached kernel anew only when
the file changes that it stands in.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from gapcast.engine.forecaster import Floats
from gapcast.engine.kernels.arcs import arc
from gapcast.engine.kernels.uncounted import inlined_part


class Cell(NamedTuple):
    """A forecast beside its truth, as terms see it.

    error: forecast - truth. lower, upper: NaN where there is no interval. deviation: standard
    deviation of a normal distribution, as a share of half its interval at the model's level.
    """

    error: float
    forecast: float
    lower: float
    upper: float
    truth: float
    deviation: float


Term = Callable[[Cell], float]
"""What a forecast adds to a sum."""


def every(cell: Cell) -> float:
    """Counts forecasts."""
    return 1.0


def squared(cell: Cell) -> float:
    """The error's square."""
    return cell.error * cell.error


def absolute(cell: Cell) -> float:
    """The error without its sign."""
    return abs(cell.error)


def signed(cell: Cell) -> float:
    """The error."""
    return cell.error


def bounded(cell: Cell) -> float:
    """Counts forecasts that have an interval."""
    return 0.0 if math.isnan(cell.lower) or math.isnan(cell.upper) else 1.0


def covered(cell: Cell) -> float:
    """Counts truths that lie in their interval."""
    return 1.0 if cell.lower <= cell.truth <= cell.upper else 0.0


_FINENESS, _FAR = 64, 8
_GRID = np.arange(_FAR * _FINENESS + 1) / _FINENESS
_DENSITY = np.array([math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in _GRID])
_BEYOND = np.array([math.erfc(x / math.sqrt(2)) / 2 for x in _GRID])
_LOSS = np.column_stack([_DENSITY - _GRID * _BEYOND, _BEYOND, _DENSITY / 2])
"""Of each x of a grid: the loss L(x), -L'(x) and L''(x) / 2."""
_SPREAD = 1 / math.sqrt(math.pi)
_HALF = (math.sqrt(2) - 1) / (2 * math.sqrt(math.pi))
"""Integral of Φ² from -∞ to 0."""


def crps(cell: Cell) -> float:
    """Continuous ranked probability score of the distribution that forecast and interval imply.

    The distribution: two halves of normal ones, which meet at the forecast as its median, each
    with its quantile at its bound, so that (1 - level) / 2 lies beyond either. Where the bounds
    are equally far it is the normal distribution; a half without width is a point. (The two-piece
    normal whose density has no step is not given by its bounds in closed form.)

    With σ the deviation of the half that the truth lies in, σ' that of the other, x = |error| / σ:

        CRPS = σ (x (2 Φ(x) - 1) + 2 φ(x) - 1/√π) + (σ' - σ) (√2 - 1) / (2 √π)

    The first part is the normal distribution's (Gneiting & Raftery, *Strictly Proper Scoring Rules,
    Prediction, and Estimation*, JASA 102, 2007, section 4.2). In it the far half has σ, too. What a
    far half adds is its deviation times the integral of Φ² from -∞ to 0; the second part puts
    that right.

    x (2 Φ(x) - 1) + 2 φ(x) = x + 2 L(x) with L(x) = φ(x) - x Φ(-x), L' = -Φ(-x), L'' = φ: a Taylor
    series from the nearest x of a grid is right to 1e-10 and a third of the work of erf and exp.
    Without an interval nothing is added: a number is not a distribution.
    """
    if math.isnan(cell.lower) or math.isnan(cell.upper):
        return 0.0
    below, above = cell.forecast - cell.lower, cell.upper - cell.forecast
    near, far = (below, above) if cell.error > 0 else (above, below)
    near = near * cell.deviation if near > 0 else 0.0
    far = far * cell.deviation if far > 0 else 0.0
    error = abs(cell.error)
    x = error / near
    loss = 0.0
    if x < _FAR:
        i = int(x * _FINENESS + 0.5)
        d = x - i / _FINENESS
        loss = _LOSS[i, 0] - d * (_LOSS[i, 1] - d * _LOSS[i, 2] * (1 - d * i / (3 * _FINENESS)))
    return float(error + near * (2 * loss - _SPREAD - _HALF) + far * _HALF)


class Unit(enum.StrEnum):
    """How a score's unit comes from that of what is measured; a share of one has none."""

    SAME = "same"
    SQUARE = "square"
    SHARE = "share"


class Finish(NamedTuple):
    """From the mean of a term to the score, and back, so that scores can be pooled."""

    score: Callable[[Any], Any]
    mean: Callable[[Any], Any]


MEAN = Finish(lambda mean: mean, lambda score: score)
ROOT = Finish(np.sqrt, np.square)


@dataclass(frozen=True)
class Metric:
    """A line of the table: the mean of a term, finished.

    name: of its columns. title: over its columns, for people. about: in words. over: counts the
    forecasts that the mean is over. short: whether it also stands in the table that ends a run.
    """

    name: str
    title: str
    about: str
    unit: Unit
    term: Term
    over: Term = every
    finish: Finish = MEAN
    short: bool = False

    def counted(self, sums: Floats) -> Floats:
        """Of sums (..., FIELDS): the number of forecasts that the score is made of."""
        return sums[..., TERMS.index(self.over)]

    def of(self, sums: Floats) -> Floats:
        """The score of each of sums (..., FIELDS); NaN where no forecast counts."""
        counted = self.counted(sums)
        total = sums[..., TERMS.index(self.term)]
        score: Floats = self.finish.score(total / np.where(counted > 0, counted, np.nan))
        return score

    def pooled(self, scores: Iterable[tuple[float | None, int]]) -> float | None:
        """Of groups of forecasts, each (its score if it has one, its size), together; in whatever
        order they come."""
        told = [(score, n) for score, n in scores if score is not None]
        n = sum(n for _, n in told)
        if n == 0:
            return None
        return float(self.finish.score(math.fsum(self.finish.mean(s) * n for s, n in told) / n))

    def written(self, score: float) -> str:
        """For a table of text."""
        return f"{score:.1%}" if self.unit is Unit.SHARE else f"{score:.4f}"


METRICS = (
    Metric("mse", "MSE", "mean squared error", Unit.SQUARE, squared, short=True),
    Metric("mae", "MAE", "mean absolute error", Unit.SAME, absolute, short=True),
    Metric("bias", "bias", "mean of forecast - truth", Unit.SAME, signed, short=True),
    Metric("coverage", "coverage", "truths within their intervals", Unit.SHARE, covered, bounded),
    Metric("rmse", "RMSE", "root of the mean squared error", Unit.SAME, squared, finish=ROOT),
    Metric("crps", "CRPS", "error and interval as one", Unit.SAME, crps, bounded, short=True),
)
"""In the order of the files' columns, which is public: new ones come last."""
BY_NAME = {metric.name: metric for metric in METRICS}

TERMS = tuple(dict.fromkeys((every, *(t for m in METRICS for t in (m.over, m.term)))))
"""What is added up, in the order of the sums."""
FIELDS = len(TERMS)
COUNT = TERMS.index(every)


def _together(terms: tuple[Term, ...]) -> Any:
    """One compiled function of a cell that gives what each of `terms` gives, as a tuple."""
    if len(terms) == 1:
        only = inlined_part(terms[0])

        @inlined_part
        def first(cell):
            return (only(cell),)

        return first
    before, last = _together(terms[:-1]), inlined_part(terms[-1])

    @inlined_part
    def found(cell):
        return (*before(cell), last(cell))

    return found


_terms = _together(TERMS)


@njit(cache=True, nogil=True, error_model="numpy")
def accumulate(
    mean, lower, upper, truth, scored, age, ages, deviation, period, total, window, by_age
):  # fmt: skip
    """Add the errors of a chunk of steps to the sums of the run, of a window and of gap ages.

    mean, lower, upper (T, N, H); truth (T, N); scored (T, N) whether a cell counts; age (T, N);
    ages (B - 1,): where the next class of ages begins, ascending; deviation: see `Cell`; period
    (N,) after which a target's quantity begins anew, or 0: its errors go the shorter way; total,
    window (N, H, FIELDS); by_age (N, H, B, FIELDS). Each target's sums grow in the order of the
    steps, so they do not depend on how steps are cut into chunks or targets into shards.
    """
    T, S, H = mean.shape
    for t in range(T):
        for n in range(S):
            if not scored[t, n]:
                continue
            b = 0
            while b < len(ages) and age[t, n] >= ages[b]:
                b += 1
            for h in range(H):
                error = arc(mean[t, n, h] - truth[t, n], period[n])
                if np.isnan(error):
                    continue
                low, high = lower[t, n, h], upper[t, n, h]
                there = mean[t, n, h] - error if period[n] > 0 else truth[t, n]
                found = _terms(Cell(error, mean[t, n, h], low, high, there, deviation))
                for sums in (total[n, h], window[n, h], by_age[n, h, b]):
                    for k in range(FIELDS):
                        sums[k] += found[k]
