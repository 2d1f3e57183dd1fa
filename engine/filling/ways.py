"""Ways to fill a record from a pass in each direction: every one fills all that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gapcast.engine.filling.passes import Pass
from gapcast.engine.filling.record import NEVER, Ends, Record, ends
from gapcast.engine.forecaster import Floats

WAYS = ("both", "bridge", "line")
HABIT = 0.8
"""Share of a deviation that is left a step later, where the record does not say."""


class Estimates(NamedTuple):
    """ways: (WAYS, T, S), NaN where there is none. half: (T, S) half of the interval of both passes
    together. where: how far the ends are."""

    ways: Floats
    half: Floats
    where: Ends


def estimates(record: Record, passes: tuple[Pass, Pass]) -> Estimates:
    """What each way says of a record.

    both: the two passes, weighed by 1 / width² of their intervals, which grow with the time since
    a value. bridge: what the passes say without the series' own values, and of the deviations
    from it at both ends what a first-order autoregression leaves. line: from end to end.
    """
    one, other = passes
    where = ends(record.missing)
    weight = _weight(one, other)
    mean = _mixed(weight, one.mean, other.mean)
    reference = _mixed(weight, one.reference, other.reference)
    half = _mixed(weight, one.upper - one.lower, other.upper - other.lower) / 2
    ways = np.stack([mean, _bridged(record, reference, where), _lines(record)])
    return Estimates(ways, half, where)


def _weight(one: Pass, other: Pass) -> Floats:
    """(T, S) weight of the pass forwards; a half where a pass has no interval."""
    a, b = (one.upper - one.lower) ** 2, (other.upper - other.lower) ** 2
    with np.errstate(invalid="ignore"):
        weight = b / (a + b)
    return np.where(np.isfinite(weight), weight, 0.5)


def _mixed(weight: Floats, one: Floats, other: Floats) -> Floats:
    """A weighed mean; where one of both is NaN, the other."""
    found = weight * one + (1 - weight) * other
    return np.where(np.isnan(one), other, np.where(np.isnan(other), one, found))


def _bridged(record: Record, reference: Floats, where: Ends) -> Floats:
    apart = record.values - reference
    steps, found = np.arange(len(apart)), reference.copy()
    for n, (since, until) in _columns(where):
        left = _left(apart[:, n])
        near = _at(apart[:, n], steps - since, since)
        far = _at(apart[:, n], steps + until, until)
        i, j = (np.minimum(a, 1 << 20).astype(float) for a in (since, until))
        whole = 1 - left ** (2 * (i + j))
        found[:, n] += (
            near * left**i * (1 - left ** (2 * j)) + far * left**j * (1 - left ** (2 * i))
        ) / whole
    return found


def _columns(where: Ends) -> Iterator[tuple[int, tuple[Floats, Floats]]]:
    for n in range(where.since.shape[1]):
        yield n, (np.maximum(where.since[:, n], 1), np.maximum(where.until[:, n], 1))


def _at(column: Floats, steps: Floats, distance: Floats) -> Floats:
    """Values of a column at some steps, 0 where there is none."""
    there = (distance < NEVER) & (steps >= 0) & (steps < len(column))
    return np.nan_to_num(np.where(there, column[np.where(there, steps, 0)], 0.0))


def _left(apart: Floats) -> float:
    """Share of a deviation that is left a step later."""
    product = apart[1:] * apart[:-1]
    there = ~np.isnan(product)
    power = float(((apart[1:] ** 2 + apart[:-1] ** 2) / 2)[there].sum())
    return min(max(float(product[there].sum()) / power, 0.0), 0.99999) if power > 0 else HABIT


def _lines(record: Record) -> Floats:
    found, steps = record.values.copy(), np.arange(len(record.values))
    for column in found.T:
        seen = ~np.isnan(column)
        if seen.any():
            column[~seen] = np.interp(steps[~seen], steps[seen], column[seen])
    return found
