"""A stage for runs of the kit of backends: a source that plays readings, a sink that watches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from functools import cache
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from gapcast.engine.errors import SourceError
from gapcast.engine.forecaster import Series
from gapcast.engine.readings import DEAD_LETTERS, READINGS, empty
from gapcast.engine.sink import FORECASTS, Committed, Delivery, JobInfo, Outcome, Sink, is_ahead
from gapcast.engine.source import Position, Read, Source

MINUTE = 60_000_000
HOUR = 60 * MINUTE
START = 1_078_099_200_000_000  # 2004-03-01
STEPS = 50
PARTITIONS = {"a": ("1", "2", "3"), "b": ("4", "5", "6")}
QUANTITIES = ("humidity", "temperature")
QUIET = 1.0
"""Seconds without a read after which a source counts as pushed back."""


class Row(NamedTuple):
    """One reading: minutes since START; no sensor: a record that cannot be read."""

    minute: float
    sensor: str
    quantity: str
    value: float | None


@cache
def script(partition: str) -> list[Row]:
    """Two days of three sensors, hourly, with everything that befalls readings: gaps, nulls,
    duplicates, out of order, late, of unknown sensors, rejected, broken."""
    rng = np.random.default_rng(ord(partition))
    sensors = PARTITIONS[partition]
    rows: list[Row] = []
    held: list[Row] = []
    for i in range(STEPS):
        rows, held = rows + held, []
        for s in sensors:
            if s == sensors[2] and i % 30 in range(10, 18):
                continue
            for q, level in zip(QUANTITIES, (40.0, 20.0), strict=True):
                value = level + int(s) + 3 * np.sin(i / 3.8 + int(s)) + rng.normal(0, 0.2)
                row = Row(60.0 * i + rng.integers(0, 50), s, q, float(value))
                (held if rng.random() < 0.05 else rows).append(row)
                if rng.random() < 0.1:
                    rows.pop()
        if i % 12 == 7:
            rows += [rows[-1], rows[-2]._replace(value=None)]
            rows += [Row(60.0 * (i - 5), sensors[0], "temperature", 1.0)]
            rows += [Row(60.0 * i, "9", "temperature", 1.0), Row(0, "", "", None)]
            rows += [Row(60.0 * i + 55, sensors[1], "temperature", 122.0)]
    return rows


class Stage:
    """What a run plays and what its sink sees.

    cut: readings of a call of the source. on_read: is told the step that is read, before it is
    given; on_write: the epoch, before it is kept. `epochs` holds what was written, `faults` what
    no sink may see, `ahead` the most steps that had been read and not been delivered.
    """

    def __init__(
        self,
        cut: int,
        on_read: Callable[[int], None] = lambda step: None,
        on_write: Callable[[int], None] = lambda epoch: None,
    ) -> None:
        self.cut, self.on_read, self.on_write = cut, on_read, on_write
        self.epochs: dict[int, pa.Table] = {}
        self.faults: list[str] = []
        self.ahead = self.lives = 0
        self._delivered = 0
        self._last: int | None = None
        self._writing = threading.Lock()
        self._read = threading.Event()

    def opened(self) -> None:
        """A life of the run begins: it may repeat epochs, from one on."""
        self.lives += 1
        self._last = None

    def read(self, rows: list[Row]) -> None:
        """Note what the source is about to give."""
        step = max((int(r.minute // 60) for r in rows), default=0)
        self.on_read(step)
        self.ahead = max(self.ahead, step - self._delivered)
        self._read.set()

    def write(self, epoch: int, rows: pa.Table) -> None:
        """Note an epoch, and whether it may come now."""
        if not self._writing.acquire(blocking=False):
            self.faults.append(f"epoch {epoch} came before the outcome of another")
            return
        try:
            self.on_write(epoch)
            rows = rows.cast(_PLAIN)
            self._judge(epoch, rows)
            self.epochs[epoch], self._last = rows, epoch
            latest = rows["made"].cast(pa.int64()).to_numpy().max(initial=START)
            self._delivered = max(self._delivered, int(latest - START) // HOUR)
        finally:
            self._writing.release()

    def stall(self, most: int) -> None:
        """Return when the source is no longer read, or `most` steps ahead of what is delivered."""
        while self.ahead <= most and self._read.wait(QUIET):
            self._read.clear()

    def _judge(self, epoch: int, rows: pa.Table) -> None:
        known = len(self.epochs)
        if epoch > known or (self._last is not None and epoch != self._last + 1):
            self.faults.append(f"epoch {epoch} came after epoch {self._last}, of {known}")
        if epoch in self.epochs and not self.epochs[epoch].equals(rows):
            self.faults.append(f"epoch {epoch} came again with other rows")
        before = self.epochs.get(epoch - 1)
        if before is None or not len(rows):
            return
        first, last = _final(rows)["time"].to_pylist()[0], _final(before)["time"].to_pylist()[-1]
        if first <= last:
            self.faults.append(f"epoch {epoch} begins at {first}, the one before ends at {last}")


_PLAIN = pa.schema(
    [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in FORECASTS]
)


def _final(rows: pa.Table) -> pa.Table:
    return rows.filter(pa.array(~is_ahead(rows)))


class StageSource(Source):
    """Plays `script`, for the stage that is set."""

    stage: ClassVar[Stage]

    def open(self, quantities: Collection[str] | None) -> None:
        """Leave out what is not wanted."""
        self._wanted = quantities

    def partitions(self) -> list[str]:
        """Two, of three sensors each."""
        return list(PARTITIONS)

    def discover(self) -> Iterable[Series]:
        """All that is played."""
        return [Series(s, q) for of in PARTITIONS.values() for s in of for q in QUANTITIES]

    def read(self, partition: str, position: Position | None, limit: int) -> Read:
        """The next readings of the script."""
        start = position["at"] if position else 0
        rows = script(partition)[start : start + min(limit, self.stage.cut)]
        self.stage.read(rows)
        stop = start + len(rows)
        whole = [
            (*r, start + i)
            for i, r in enumerate(rows)
            if r.sensor and (self._wanted is None or r.quantity in self._wanted)
        ]
        broken = [
            {"reason": "broken", "partition": partition, "offset": start + i, "raw": b"?"}
            for i, r in enumerate(rows)
            if not r.sensor
        ]
        return Read(
            _readings(whole),
            pa.RecordBatch.from_pylist(broken, schema=DEAD_LETTERS),
            {"at": stop},
            stop == len(script(partition)),
        )


def _readings(rows: list[tuple[float, str, str, float | None, int]]) -> pa.RecordBatch:
    if not rows:
        return empty(READINGS)
    minute, sensor, quantity, value, offset = zip(*rows, strict=True)
    time = pa.array([START + int(m * MINUTE) for m in minute], pa.int64())
    columns = (time, pa.array(sensor), pa.array(quantity), pa.array(value, pa.float64()), offset)
    arrays = [
        pa.array(c).dictionary_encode().cast(f.type)
        if pa.types.is_dictionary(f.type)
        else pa.array(c).cast(f.type)
        for c, f in zip(columns, READINGS, strict=True)
    ]
    return pa.record_batch(arrays, schema=READINGS)


class StageSink(Sink):
    """Shows every epoch to the stage that is set."""

    delivery = Delivery.IDEMPOTENT

    def open(self, job: JobInfo, generation: str) -> None:
        """Tell the stage that a life begins."""
        StageSource.stage.opened()

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Show an epoch."""
        StageSource.stage.write(epoch, forecasts)
        return Committed()


def gone(step: int) -> None:
    """A source that cannot be read beyond the middle, for `Stage.on_read`."""
    if step >= STEPS // 2:
        raise SourceError("the kit's source is gone")
