"""What forecasts of withheld cells are worth: RMSE and CRPS in standard deviations, coverage.

By the project's own table of scores, `gapcast.engine.metrics`.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from gapcast.engine.metrics import BY_NAME, FIELDS, accumulate
from suite.patterns import Mask
from suite.sets import Floats, shortest

LEVEL = 0.9
"""Nominal coverage of the intervals."""


class Filled(NamedTuple):
    """(T, N) each: estimates of the withheld cells, in raw units, NaN where there is none; bounds,
    all NaN for those who have none."""

    mean: Floats
    lower: Floats
    upper: Floats


class Errors(NamedTuple):
    """sums: of `gapcast.engine.metrics`. unsaid: withheld cells without an estimate."""

    sums: Floats
    unsaid: int


def errors(
    filled: Filled, truth: Floats, withheld: Mask, held: Floats, spread: Floats, circle: Floats
) -> Errors:
    """Of the withheld cells, in units of `spread` (N,), by the shortest arc on a circle.

    A cell without an estimate counts as if the last value known, `held`, had been said.
    """
    unsaid = withheld & np.isnan(filled.mean)
    mean = np.where(unsaid, held, filled.mean)
    near = mean + shortest(truth - mean, circle)
    scaled = [np.ascontiguousarray((a / spread)[..., None]) for a in (mean, *filled[1:])]
    series = truth.shape[1]
    total, window = np.zeros((2, series, 1, FIELDS))
    ages, by_age = np.empty(0, np.int64), np.zeros((series, 1, 1, FIELDS))
    deviation = 1 / NormalDist().inv_cdf((1 + LEVEL) / 2)
    age = np.zeros(truth.shape, np.int32)
    plain = np.zeros(series)
    accumulate(*scaled, near / spread, withheld, age, ages, deviation, plain, total, window, by_age)
    return Errors(total.sum(axis=(0, 1)), int(unsaid.sum()))


def told(parts: list[Errors]) -> dict[str, float | int | None]:
    """The scores of a cell of the table, its parts pooled; None where there is nothing."""
    sums = np.sum([part.sums for part in parts], axis=0)
    found: dict[str, float | int | None] = {}
    for name in ("rmse", "coverage", "crps"):
        score = float(BY_NAME[name].of(sums))
        found[name] = None if np.isnan(score) else score
    found["n"] = int(BY_NAME["rmse"].counted(sums))
    return found | {"unsaid": sum(part.unsaid for part in parts)}
