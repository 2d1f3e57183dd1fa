"""The dead letters of readings that the grid does not use, and why it does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Series
from gapcast.engine.grid.kernels import judging as kernel
from gapcast.engine.grid.open_steps import Waiting
from gapcast.engine.readings import DEAD_LETTERS, dead_letters, empty

REASONS = {
    kernel.LATE: "late: its step had been closed",
    kernel.REJECTED: "rejected: outside the limits",
    kernel.UNKNOWN: "unknown series",
    kernel.EARLY: "time before grid.earliest",
    kernel.FUTURE: "time too far in the future",
    kernel.ABSURD: "not a number any measurement can have",
    kernel.AHEAD: "time too far ahead of the readings after it",
}

DUPLICATES = pa.array(
    ["duplicate: the same value again", "duplicate: another value of this time counts"]
)

_BY_VERDICT = pa.array([REASONS.get(verdict, "") for verdict in range(kernel.HELD)])


NONE = empty(DEAD_LETTERS)
"""No letters."""


def of_judged(batch: pa.RecordBatch, verdict: NDArray[np.uint8], partition: str) -> pa.RecordBatch:
    """The letters of those readings of a batch that are neither used nor held."""
    bad = np.flatnonzero((verdict != kernel.USED) & (verdict != kernel.HELD))
    if not len(bad):
        return NONE
    rows = batch.take(pa.array(bad))
    reasons = pa.DictionaryArray.from_arrays(pa.array(verdict[bad].astype(np.int32)), _BY_VERDICT)
    known = {name: rows[name] for name in ("time", "sensor", "quantity", "value")}
    return dead_letters(reasons, partition, rows["offset"], **known)


def of_waiting(
    readings: Waiting,
    reason: NDArray[np.integer],
    reasons: pa.Array,
    series: Sequence[Series],
    partitions: Sequence[str],
) -> pa.RecordBatch:
    """The letters of readings that waited for their steps; reason: of each, its number in
    `reasons`. series, partitions: by the numbers that the readings have."""
    sensor, quantity = ([series[s][i] for s in readings.series] for i in range(2))
    return dead_letters(
        pa.DictionaryArray.from_arrays(pa.array(reason, pa.int32()), reasons),
        pa.array(partitions).take(pa.array(readings.partition)),
        readings.offset,
        time=readings.time,
        sensor=sensor,
        quantity=quantity,
        value=pa.array(readings.value, mask=np.isnan(readings.value)),
    )
