"""What the ways to fill are worth, learnt where a record's values were withheld."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from gapcast.engine.filling.record import Mask
from gapcast.engine.filling.ways import WAYS, Estimates
from gapcast.engine.forecaster import Floats, Ints

NEAR = np.array([1, 2, 3, 5, 9, 17, 41, 101])
"""Least steps to the nearer end of a gap, by class."""
NEIGHBOUR = 0.3
"""What counts of the evidence of the class beside one, and so on."""
SHARED = 100.0
"""Values of its own at which a series is believed as much as all series together."""
ROUNDING = 1e-12
"""Square errors are rounding where they are no more than so great a share of the variance, and of
the square of that of mean squares."""
POWER = 4
"""Weights are mean square errors to minus this power."""
FEW = 30
"""Withheld values of a class that say how wide its intervals are; with fewer, those of all say."""


class Worth(NamedTuple):
    """shares: (WAYS, classes, S) of each way. wide: (classes,) factor of half-widths."""

    shares: Floats
    wide: Floats

    def mixed(self, of: Estimates) -> Floats:
        """(T, S) the ways together, NaN where none says anything."""
        shares = np.take_along_axis(self.shares, _classes(of)[None], axis=1)
        shares = np.where(np.isnan(of.ways), 0.0, shares)
        with np.errstate(invalid="ignore"):
            found: Floats = (shares * np.nan_to_num(of.ways)).sum(axis=0) / shares.sum(axis=0)
        return found

    def half(self, of: Estimates) -> Floats:
        """(T, S) half-widths of the intervals."""
        found: Floats = self.wide[_classes(of)] * of.half
        return found


def learnt(of: Estimates, truth: Floats, withheld: Mask, level: float) -> Worth:
    """The worth of the ways by the errors of their estimates of withheld values (T, S).

    level: nominal coverage of the intervals.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a series without any value
        size = np.nanvar(truth, axis=0) + ROUNDING * np.nanmean(truth**2, axis=0)
        least = ROUNDING * np.nan_to_num(size)
    shares = _shares((of.ways - truth) ** 2, withheld, _classes(of), least)
    worth = Worth(shares, np.ones(len(NEAR)))
    apart = np.abs(np.stack([worth.mixed(of), of.ways[WAYS.index("both")]]) - truth)
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = apart / of.half
    return worth._replace(wide=_wide(errors, withheld, _classes(of), level))


def _classes(of: Estimates) -> Ints:
    """(T, S) class of the distance to the nearer end."""
    return np.maximum(np.searchsorted(NEAR, of.where.near, side="right") - 1, 0)


def _shares(square: Floats, withheld: Mask, classes: Ints, least: Floats) -> Floats:
    """(WAYS, classes, S) weights by square errors (WAYS, T, S), relative to each series' own; where
    that is `least` (S,) or less, it is rounding and says nothing of the ways."""
    counted = withheld & np.isfinite(square).all(axis=0)
    number = np.array([(counted & (classes == c)).sum(axis=0) for c in range(len(NEAR))])
    total = np.array([
        np.where(counted & (classes == c), square, 0.0).sum(axis=1) for c in range(len(NEAR))
    ]).swapaxes(0, 1)  # fmt: skip
    count = number.sum(axis=0)
    if not count.any():
        alone = np.zeros((len(WAYS), 1, 1))
        alone[WAYS.index("both")] = 1.0
        return np.broadcast_to(alone, total.shape).copy()
    scale = total[0].sum(axis=0) / np.maximum(count, 1)
    scale = np.where(count > 0, scale, scale[count > 0].mean())
    told = scale > least
    total = np.where(told, total / np.where(told, scale, 1.0), number)
    like = NEIGHBOUR ** np.abs(np.subtract.outer(range(len(NEAR)), range(len(NEAR))))
    pooled = (total.sum(axis=2) @ like) / (number.sum(axis=1) @ like)
    error = (total + SHARED * pooled[..., None]) / (number + SHARED) + 1e-300
    found: Floats = (error.min(axis=0) / error) ** POWER
    return found


def _wide(errors: Floats, withheld: Mask, classes: Ints, level: float) -> Floats:
    """How much narrower, or wider, intervals are than those of both passes by themselves.

    errors: (2, T, S) in half-widths, of the ways together and of both passes. Intervals of passes
    hold by themselves; here they are only compared, since a rehearsal knows less than what follows.
    """
    counted = withheld & np.isfinite(errors).all(axis=0)
    found = np.ones(len(NEAR))
    for c in range(len(NEAR)):
        own = counted & (classes == c)
        of = own if own.sum() >= FEW else counted
        if of.sum() >= FEW:
            mixed, plain = np.quantile(errors[:, of], level, axis=1)
            found[c] = mixed / plain if plain > 0 else 1.0
    return found
