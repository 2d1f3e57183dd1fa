"""What is told apart in rows of forecasts: targets, and models with their horizons."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Series
from gapcast.engine.network.names import encoded, table
from gapcast.engine.run.job import Job
from gapcast.engine.serve.codes import Codes
from gapcast.engine.serve.kernels.rows import Names, Part
from gapcast.engine.sink import STATUSES

FLOATS = ("truth", "forecast", "lower", "upper")


class Entry(NamedTuple):
    """A model at one of its horizons; level: the nominal coverage of its intervals."""

    model: str
    horizon: int
    level: float


class Entries:
    """Reads rows of one job. targets; quantities; of: all entries; each in the order of its
    numbers."""

    def __init__(self, job: Job) -> None:
        self.targets: tuple[Series, ...] = job.targets
        sensors, quantities = encoded(job.targets)
        self.quantities = tuple(quantities.dictionary.to_pylist())
        self.of = tuple(
            Entry(m.name, int(h), m.level) for m in job.models for h in sorted(m.horizons)
        )
        self._grid = job.grid
        models = [m.name for m in job.models]
        names = (sensors.dictionary.to_pylist(), self.quantities, models, STATUSES)
        self._codes = [Codes(of) for of in names]
        self._low = min(e.horizon for e in self.of)
        most = max(e.horizon for e in self.of)
        self._entry = np.full((len(models) + 1, most - self._low + 1), -1)
        for i, entry in enumerate(self.of):
            self._entry[models.index(entry.model), entry.horizon - self._low] = i
        self._target = table(sensors, quantities)

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self.of)

    def read(self, rows: pa.RecordBatch) -> tuple[Part, Names]:
        """Rows of schema `FORECASTS`, and what the numbers in them mean."""
        coded = [rows[name] for name in ("sensor", "quantity", "model", "status")]
        codes = (c.of(column.dictionary) for c, column in zip(self._codes, coded, strict=True))
        columns = (
            self._grid.even(rows["time"].cast(pa.int64()).to_numpy()),
            *(column.indices.to_numpy() for column in coded),
            rows["horizon"].to_numpy(),
            *(rows[name].to_numpy(zero_copy_only=False) for name in FLOATS),
        )
        grid = self._grid.interval, self._grid.offset
        of = (self._target, self._entry, self._low, *grid)
        return Part._make(map(_fixed, columns)), Names._make((*codes, *of))


def _fixed(column: NDArray[Any]) -> NDArray[Any]:
    """Read-only, as columns without nulls are, so that the kernels are compiled once."""
    column = column.view()
    column.flags.writeable = False
    return column
