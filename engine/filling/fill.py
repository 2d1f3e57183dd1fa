"""A whole record filled: its values, bounds, and where each value comes from."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gapcast.engine.filling.passes import BothWays, Playing, Told
from gapcast.engine.filling.record import NEVER, Ends, Record, ends
from gapcast.engine.filling.rehearsal import planted
from gapcast.engine.filling.ways import estimates
from gapcast.engine.filling.weighing import Worth, learnt
from gapcast.engine.forecaster import Floats, Forecaster
from gapcast.engine.registry import Kind, Registry

MODEL = "auto"
REHEARSED = 500_000
"""Values that are rehearsed on at most, those of the last steps,"""
STEPS = 2000
"""but of so many steps in any case."""


class Origin(IntEnum):
    """Where a value comes from."""

    NOWHERE = 0
    """Nothing is known of it: it is still missing."""
    OBSERVED = 1
    BETWEEN = 2
    """Estimated from both ends of its gap."""
    AFTER = 3
    """Estimated from what was before it."""
    BEFORE = 4
    """Estimated from what came after it: the series begins later."""


class Filled(NamedTuple):
    """(T, S) each. values: those observed are untouched. lower, upper: the interval of what is
    estimated, NaN elsewhere. origin: an `Origin`."""

    values: Floats
    lower: Floats
    upper: Floats
    origin: NDArray[np.int8]


def model() -> Forecaster:
    """The forecaster that a config gets that names none. Raises PluginError."""
    found = Registry.installed().load(Kind.FORECASTER, MODEL)
    forecaster: Forecaster = found(found.Params())
    return forecaster


def fill(
    record: Record,
    forecaster: Forecaster | None = None,
    *,
    causal: bool = False,
    level: float = 0.9,
    told: Told = lambda values: None,
) -> Filled:
    """Fill what is missing in a record.

    causal: each value is estimated from earlier ones, and from other series of its step, alone;
    what a run would have said when the step closed. Otherwise a pass in each direction, after one
    on a copy of which gaps like its own were withheld (docs/fill.md). level: nominal coverage of
    the intervals. told: called with how many values a model went over, frame by frame.
    """
    forecaster = forecaster or model()
    where = ends(record.missing)
    if not record.missing.any():
        none = np.full(record.values.shape, np.nan)
        return _filled(record, record.values, none, none, where)
    if causal:
        told_then = Playing(record, forecaster, level, told).play(record)
        where = where._replace(until=np.where(record.missing, NEVER, 0))
        return _filled(record, told_then.mean, told_then.lower, told_then.upper, where)
    models = BothWays(record, forecaster, level, told)
    worth = _rehearse(models, record, level)
    said = estimates(record, models.play())
    mean, half = worth.mixed(said), worth.half(said)
    return _filled(record, mean, mean - half, mean + half, where)


def _rehearse(models: BothWays, record: Record, level: float) -> Worth:
    """What the ways to fill are worth, where values of the record's last steps are withheld."""
    steps, series = record.values.shape
    part = record.cut(slice(max(0, steps - max(STEPS, REHEARSED // series)), steps))
    withheld = planted(record.missing)[part.first - record.first :]
    seen = part.without(withheld)
    return learnt(estimates(seen, models.rehearse(seen)), part.values, withheld, level)


def _filled(record: Record, mean: Floats, lower: Floats, upper: Floats, where: Ends) -> Filled:
    missing = record.missing
    past, future = where.since < NEVER, where.until < NEVER
    origin = np.full(mean.shape, Origin.NOWHERE, np.int8)
    origin[past & future] = Origin.BETWEEN
    origin[past & ~future] = Origin.AFTER
    origin[~past & future] = Origin.BEFORE
    origin[missing & np.isnan(mean)] = Origin.NOWHERE
    origin[~missing] = Origin.OBSERVED
    values = np.where(missing, mean, record.values)
    lower, upper = (np.where(missing, bound, np.nan) for bound in (lower, upper))
    return Filled(values, lower, upper, origin)
