"""Rows of forecasts into the last steps of every target and into running sums, one pass."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from gapcast.engine.kernels.arcs import arc
from gapcast.engine.kernels.uncounted import inlined_part
from gapcast.engine.sink import AHEAD, STATUSES

NONE = len(STATUSES)
"""Status of a step of which nothing final has been said."""
UNSET = -(1 << 62)
"""No step."""
_AHEAD, _REJECTED = STATUSES.index(AHEAD), STATUSES.index("rejected")


class Part(NamedTuple):
    """Rows of one batch, as they are in it: begins of their steps (on the time that the grid cuts),
    numbers in the dictionaries of sensors, quantities, models and statuses, horizons, and what was
    forecast; NaN for null."""

    time: np.ndarray
    sensor: np.ndarray
    quantity: np.ndarray
    model: np.ndarray
    status: np.ndarray
    horizon: np.ndarray
    truth: np.ndarray
    forecast: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


class Names(NamedTuple):
    """From numbers in the dictionaries of one batch to those of the job, -1 for none of its own;
    then (sensors + 1, quantities + 1) the number of a target, (models + 1, horizons) of an entry,
    where the last ones are -1; the least horizon; length and offset of steps, µs."""

    sensors: np.ndarray
    quantities: np.ndarray
    models: np.ndarray
    statuses: np.ndarray
    target: np.ndarray
    entry: np.ndarray
    low: int
    interval: int
    offset: int


class Last(NamedTuple):
    """The last steps: (size,) which one a slot has; (size, targets) truth and status; (3, entries,
    size, targets) forecast, lower and upper; (targets,) the last step at which a value came."""

    held: np.ndarray
    truth: np.ndarray
    status: np.ndarray
    said: np.ndarray
    arrived: np.ndarray


class Sums(NamedTuple):
    """(entries, quantities, 5): forecasts scored, their squared and absolute errors, those with an
    interval and those with the truth in it; (2, entries) rows ahead and final; the status that is
    scored; (quantities,) the period of each, or 0."""

    errors: np.ndarray
    rows: np.ndarray
    scored: int
    period: np.ndarray


@inlined_part
def _score(part, i, errors, entry, quantity, period):
    """Add one row's error."""
    truth, forecast = part.truth[i], part.forecast[i]
    error = arc(forecast - truth, period)
    if np.isnan(error):
        return
    errors[entry, quantity, 0] += 1
    errors[entry, quantity, 1] += error * error
    errors[entry, quantity, 2] += abs(error)
    if np.isnan(part.lower[i]) or np.isnan(part.upper[i]):
        return
    there = forecast - error if period > 0 else truth
    errors[entry, quantity, 3] += 1
    if part.lower[i] <= there <= part.upper[i]:
        errors[entry, quantity, 4] += 1


@inlined_part
def _turn(kept, slot, step):
    """Give a slot to a step: nothing is known of it."""
    kept.held[slot] = step
    for n in range(kept.truth.shape[1]):
        kept.truth[slot, n] = np.nan
        kept.status[slot, n] = NONE
    for k in range(3):
        for e in range(kept.said.shape[1]):
            for n in range(kept.truth.shape[1]):
                kept.said[k, e, slot, n] = np.nan


@inlined_part
def _keep(part, i, kept, slot, target, entry, status):
    """Keep one row."""
    kept.said[0, entry, slot, target] = part.forecast[i]
    kept.said[1, entry, slot, target] = part.lower[i]
    kept.said[2, entry, slot, target] = part.upper[i]
    if status != _AHEAD:
        kept.truth[slot, target] = part.truth[i]
        kept.status[slot, target] = status


@njit(cache=True, nogil=True, error_model="numpy")
def newest(part, names):
    """The first and the last step with a final row, or `UNSET` twice."""
    first, last = UNSET, UNSET
    before = UNSET
    for i in range(len(part.time)):
        if part.time[i] != before and names.statuses[part.status[i]] != _AHEAD:
            before = part.time[i]
            step = (before - names.offset) // names.interval
            if last == UNSET or step > last:
                last = step
            if first == UNSET or step < first:
                first = step
    return first, last


@njit(cache=True, nogil=True, error_model="numpy")
def take(part, names, last, kept, sums):
    """Take rows. last: the last step with a final row; what is too far from it is not kept."""
    size = len(kept.held)
    before, step, slot, near = UNSET, UNSET, 0, False
    model, horizon, entry = -1, 0, -1
    for i in range(len(part.time)):
        if part.model[i] != model or part.horizon[i] != horizon:
            model, horizon = part.model[i], part.horizon[i]
            entry = names.entry[names.models[model], horizon - names.low]
        quantity = names.quantities[part.quantity[i]]
        target = names.target[names.sensors[part.sensor[i]], quantity]
        if target < 0 or entry < 0:
            continue
        if part.time[i] != before:
            before = part.time[i]
            step = (before - names.offset) // names.interval
            slot = step % size
            near = last - size < step <= last + size // 2 and kept.held[slot] <= step
            if near and kept.held[slot] < step:
                _turn(kept, slot, step)
        status = names.statuses[part.status[i]]
        sums.rows[int(status != _AHEAD), entry] += 1
        if status == sums.scored:
            _score(part, i, sums.errors, entry, quantity, sums.period[quantity])
        if near:
            _keep(part, i, kept, slot, target, entry, status)
        came = status != _AHEAD and status != _REJECTED and not np.isnan(part.truth[i])
        if came and step > kept.arrived[target]:
            kept.arrived[target] = step
