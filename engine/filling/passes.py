"""A pass of a model over a record, forwards or backwards, as a run would step it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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


class Playing:
    """A model at work on a network, record after record."""

    def __init__(self, record: Record, forecaster: Forecaster, level: float, told: Told) -> None:
        """record: of the series that all records to be played have."""
        network = record.network
        model = Model("fill", forecaster, level=level)
        self.layout: Layout = lay_out(network, network.series, model, record.interval)
        self.forecaster, self.told = forecaster, told
        self.state = forecaster.start(self.layout)
        self.intervals = Intervals(self.layout, forecaster)
        self._next: int | None = None

    def play(self, record: Record) -> Pass:
        """Step the model over a record, after the steps without values that lie before it."""
        if self._next is not None:
            empty = np.full((record.first - self._next, len(record.series)), np.nan)
            self._steps(replace(record, values=empty, first=self._next))
        self._next = record.first + len(record.values)
        return self._steps(record)

    def _steps(self, record: Record) -> Pass:
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


class BothWays:
    """A model forwards and one backwards, at the same time in two threads."""

    def __init__(self, record: Record, forecaster: Forecaster, level: float, told: Told) -> None:
        self._record = record
        self._last = 2 * record.first + len(record.values) - 1
        self._one, self._other = (Playing(record, forecaster, level, told) for _ in range(2))

    def rehearse(self, part: Record) -> tuple[Pass, Pass]:
        """Passes over a part of the record, played as if it had been long before the record."""
        return self._both(*(_early(of, self._record.first) for of in (part, self._mirrored(part))))

    def play(self) -> tuple[Pass, Pass]:
        """Passes over the record, each in its order."""
        return self._both(self._record, self._mirrored(self._record))

    def _mirrored(self, record: Record) -> Record:
        return record.reversed(self._last)

    def _both(self, one: Record, other: Record) -> tuple[Pass, Pass]:
        with ThreadPoolExecutor(1) as pool:
            backwards = pool.submit(self._other.play, other)
            return self._one.play(one), backwards.result().reversed()


def _early(part: Record, before: int) -> Record:
    """A record moved to before the step `before` by whole weeks, of about whole years where it is
    longer than one: seasons stay what they are."""
    needed: float = part.first + len(part.values) + APART - before
    week = max(1.0, 7 * MICROSECONDS["d"] / part.interval)
    year = YEAR / part.interval
    if len(part.values) > year:
        needed = ceil(needed / year) * year - week / 2
    return part.moved(-round(ceil(needed / week) * week))
