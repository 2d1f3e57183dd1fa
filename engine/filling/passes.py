"""A pass of a model over a record, forwards or backwards, as a run would step it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import NamedTuple

import numpy as np

from gapcast.engine.errors import ContractError
from gapcast.engine.filling.record import Record
from gapcast.engine.forecaster import Floats, Forecaster, Frame, Layout, Model
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.shard.calibration import Intervals
from gapcast.engine.units import MICROSECONDS

CHUNK = 2048
"""Steps in a frame."""
APART = 400
"""Least steps without values between two records that one model sees: no model remembers the last
values before them as such."""
YEAR = 365.25 * MICROSECONDS["d"]

Told = Callable[[int], None]
"""Told after each frame how many values it had."""


class Pass(NamedTuple):
    """(T, S) each: what a model said of every step before it saw it, calibrated bounds, and what it
    said without the series' own values (NaN where it does not say)."""

    mean: Floats
    lower: Floats
    upper: Floats
    reference: Floats

    def reversed(self) -> Pass:
        """In the opposite order of steps."""
        return Pass(*(a[::-1] for a in self))


def forwards(
    record: Record, forecaster: Forecaster, level: float, before: Record | None, told: Told
) -> Pass:
    """A pass from the first step to the last.

    before: a record of the same series that the model learns first, moved back by whole weeks, and
    years where it is so long.
    """
    played = _Playing(record, forecaster, level, told)
    if before is not None:
        early = before.moved(-_offset(before, record.first))
        played.play(early)
        pause = record.first - early.first - len(early.values)
        played.play(_nothing(early, pause))
    return played.play(record)


def both(
    record: Record, forecaster: Forecaster, level: float, before: Record | None, told: Told
) -> tuple[Pass, Pass]:
    """A pass forwards and one backwards, at the same time, each in the order of the record."""
    last = 2 * record.first + len(record.values) - 1
    mirrored = before and before.reversed(last)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(forwards, record.reversed(last), forecaster, level, mirrored, told)
        one = forwards(record, forecaster, level, before, told)
        return one, other.result().reversed()


class _Playing:
    """A model at work on frames of one network."""

    def __init__(self, record: Record, forecaster: Forecaster, level: float, told: Told) -> None:
        network = record.network
        model = Model("fill", forecaster, level=level)
        self.layout: Layout = lay_out(network, network.series, model, record.interval)
        self.forecaster, self.told = forecaster, told
        self.state = forecaster.start(self.layout)
        self.intervals = Intervals(self.layout, forecaster.needs())

    def play(self, record: Record) -> Pass:
        """Step the model over a record."""
        out = Pass(*(np.full(record.values.shape, np.nan) for _ in Pass._fields))
        for begin in range(0, len(record.values), CHUNK):
            steps = slice(begin, begin + CHUNK)
            self._step(np.ascontiguousarray(record.values[steps]), record.first + begin, out, steps)
        return out

    def _step(self, values: Floats, first: int, out: Pass, steps: slice) -> None:
        companions = np.full((len(values), *self.layout.companions.shape), np.nan)
        t, n = np.nonzero(self.layout.companions >= 0)
        companions[:, t, n] = values[:, self.layout.companions[t, n]]
        frame = Frame(self.layout, first, values, values, companions)
        said = self.forecaster.step(self.state, frame)
        if said.mean.shape != (*values.shape, 1):
            raise ContractError(f"step returned mean of shape {said.mean.shape}")
        said = self.intervals.calibrate(said, frame, np.full(values.shape, np.nan))
        for into, of in zip(out, (said.mean, said.lower, said.upper), strict=False):
            into[steps] = of[..., 0]
        if said.reference is not None:
            out.reference[steps] = said.reference
        self.told(values.size)


def _offset(early: Record, before: int) -> int:
    """Whole weeks, about whole years where `early` is longer than one, that move it to before the
    step `before`; in steps."""
    needed = early.first + len(early.values) + APART - before
    week = max(1.0, 7 * MICROSECONDS["d"] / early.interval)
    year = YEAR / early.interval
    if len(early.values) > year:
        needed = ceil(needed / year) * year - week / 2
    return round(ceil(needed / week) * week)


def _nothing(record: Record, steps: int) -> Record:
    """So many steps after a record, without values."""
    empty = np.full((steps, len(record.series)), np.nan)
    return Record(
        empty, record.series, record.interval, record.first + len(record.values)
    )
