"""What is told apart in rows of forecasts: targets, models with their horizons, stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Floats, Ints, Series
from gapcast.engine.run.job import Job
from gapcast.engine.serve.codes import Codes
from gapcast.engine.sink import STATUSES


class Entry(NamedTuple):
    """A model at one of its horizons; level: the nominal coverage of its intervals."""

    model: str
    horizon: int
    level: float


class Part(NamedTuple):
    """Rows that came together: of each its entry, its step, its target, -1 where it is none of
    this job's, its status (an index into `STATUSES`), and what was forecast."""

    entry: Ints
    step: Ints
    target: Ints
    status: Ints
    truth: Floats
    forecast: Floats
    lower: Floats
    upper: Floats

    def where(self, rows: NDArray[np.bool_]) -> Part:
        """Some of the rows."""
        return Part(*(column[rows] for column in self))  # type: ignore[arg-type]


class Entries:
    """Reads rows of one job. targets, entries: in the order of their numbers."""

    def __init__(self, job: Job) -> None:
        self.targets: tuple[Series, ...] = job.targets
        self.quantities = tuple(dict.fromkeys(t.quantity for t in job.targets))
        self.periods: Mapping[str, float] = job.grid.periods
        self.of = tuple(
            Entry(m.name, int(h), m.level) for m in job.models for h in sorted(m.horizons)
        )
        self._grid = job.grid
        self._sensors = tuple(dict.fromkeys(t.sensor for t in job.targets))
        names = (self._sensors, self.quantities, [m.name for m in job.models], STATUSES)
        self._codes = [Codes(of) for of in names]
        self._target = self._targets()
        self._low = min(e.horizon for e in self.of)
        self._entry = np.full(
            (len(job.models), max(e.horizon for e in self.of) - self._low + 1), -1
        )
        number = {m.name: i for i, m in enumerate(job.models)}
        for i, entry in enumerate(self.of):
            self._entry[number[entry.model], entry.horizon - self._low] = i

    def __len__(self) -> int:
        """How many models with horizons there are."""
        return len(self.of)

    def read(self, rows: pa.RecordBatch) -> Part:
        """Rows of schema `FORECASTS`."""
        names = ("sensor", "quantity", "model", "status")
        coded = zip(self._codes, names, strict=True)
        sensor, quantity, model, status = (codes.of(rows[name]) for codes, name in coded)
        return Part(
            self._entry[model, rows["horizon"].to_numpy() - self._low],
            self._grid.steps(rows["time"].cast(pa.int64()).to_numpy()),
            self._target[sensor, quantity],
            status,
            *(_floats(rows, name) for name in ("truth", "forecast", "lower", "upper")),
        )

    def quantity_of(self, target: Ints) -> Ints:
        """The number of each target's quantity."""
        found: Ints = self._quantity[target]
        return found

    def _targets(self) -> Ints:
        """(sensors + 1, quantities + 1) numbers of targets; the last ones are none of them."""
        sensor = {name: i for i, name in enumerate(self._sensors)}
        quantity = {name: i for i, name in enumerate(self.quantities)}
        found = np.full((len(sensor) + 1, len(quantity) + 1), -1)
        for i, target in enumerate(self.targets):
            found[sensor[target.sensor], quantity[target.quantity]] = i
        self._quantity = np.array([quantity[t.quantity] for t in self.targets])
        return found


def _floats(rows: pa.RecordBatch, name: str) -> Floats:
    column: Floats = np.asarray(rows[name].to_numpy(zero_copy_only=False), np.float64)
    return column
