"""The grid: readings in arrival order go in, frames of closed steps come out.

A reading is judged once, against its own partition's watermark as it stood when it arrived, so
that neither batch boundaries nor the interleaving of partitions can change a verdict. Readings of
open steps wait in a buffer; a step closes when every partition that holds it back has passed it,
and only then are its readings sorted, freed of duplicates and aggregated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gapcast.engine.errors import RunError
from gapcast.engine.forecaster import Floats
from gapcast.engine.grid.counts import Counts
from gapcast.engine.grid.frames import Closed, GridFrame
from gapcast.engine.grid.kernels import cells as kernel
from gapcast.engine.grid.screening import Rejections, Screener
from gapcast.engine.network.series import Network
from gapcast.engine.readings import DEAD_LETTERS, dead_letters, empty
from gapcast.engine.state import below, within

UNSET = np.iinfo(np.int64).min
CLOCK_SKEW = 86_400_000_000
"""A reading may be this much (µs, one day) ahead of the clock of this machine."""

REASONS = {
    kernel.LATE: "late: its step had been closed",
    kernel.REJECTED: "rejected: outside the limits",
    kernel.UNKNOWN: "unknown series",
    kernel.EARLY: "time before grid.earliest",
    kernel.FUTURE: "time too far in the future",
    kernel.ABSURD: "not a number any measurement can have",
}


@dataclass(frozen=True)
class GridSpec:
    """How event time is cut. Durations and times in microseconds (since 1970, UTC)."""

    interval: int
    lateness: int = 0
    aggregate: str = "mean"
    future: int = 30 * 86_400_000_000
    earliest: int = 631_152_000_000_000


@dataclass(frozen=True)
class _Waiting:
    """Readings of open steps, as parallel arrays."""

    step: NDArray[np.int64]
    series: NDArray[np.int64]
    time: NDArray[np.int64]
    value: Floats
    partition: NDArray[np.int64]
    offset: NDArray[np.int64]
    rejected: NDArray[np.bool_]

    @classmethod
    def none(cls) -> _Waiting:
        whole = np.empty(0, np.int64)
        return cls(whole, whole, whole, np.empty(0), whole, whole, np.empty(0, bool))

    def arrays(self) -> list[NDArray[Any]]:
        return list(vars(self).values())

    def where(self, mask: NDArray[Any]) -> _Waiting:
        return _Waiting(*(a[mask] for a in self.arrays()))


class Grid:
    """Judges, holds and grids the readings of a job.

    partitions: names of the source's partitions; network: its series are the columns of the
    frames to come; limits: (lowest, highest) of a quantity; screen: judges the values of closed
    steps, if anything does; most_cells: greatest steps × series of one frame, so that work is done
    in pieces of bounded size.
    """

    def __init__(
        self,
        spec: GridSpec,
        partitions: list[str],
        network: Network,
        limits: dict[str, tuple[float, float]],
        screen: Screener | None = None,
        most_cells: int = 2_000_000,
    ) -> None:
        self._most_cells = most_cells
        self.spec = spec
        self.screen = screen
        self.counts = Counts()
        self.partitions = list(partitions)
        self._series = network.column
        self._known = (
            tuple(
                pa.array(sorted(set(of)), pa.string()) for of in zip(*network.series, strict=True)
            )
            or (pa.array([], pa.string()),) * 2
        )
        self._columns = self._all_columns()
        self._lowest, self._highest = np.tile([[-np.inf], [np.inf]], len(self._series))
        for quantity, bounds in limits.items():
            these = (s.quantity == quantity for s in network.series)
            here = np.fromiter(these, bool, len(self._series))
            self._lowest[here], self._highest[here] = bounds
        self._marks = np.tile(np.array([UNSET, 0]), (len(self.partitions), 1))
        self._open = np.ones(len(self.partitions), bool)
        self._idle = np.zeros(len(self.partitions), bool)
        self._names: tuple[pa.Array, pa.Array] | None = None
        self._table: NDArray[np.int64]
        self._waiting: list[_Waiting] = []
        self._next: int | None = None
        self._last = UNSET

    def add(self, partition: int, batch: pa.RecordBatch, now: int) -> pa.RecordBatch:
        """Take readings (schema `READINGS`) in arrival order; returns the dead letters.

        now: the clock, µs since 1970; nothing but the bound on future times depends on it.
        """
        self._idle[partition] &= len(batch) == 0
        time = batch["time"].cast(pa.int64()).to_numpy(zero_copy_only=False)
        value = batch["value"].to_numpy(zero_copy_only=False).astype(float, copy=False)
        series = self._indices(batch["sensor"], batch["quantity"])
        offset = batch["offset"].to_numpy()
        step, verdict = np.empty(len(batch), np.int64), np.empty(len(batch), np.uint8)
        spec, closed = self.spec, UNSET if self._next is None else self._next
        counts = np.zeros(len(REASONS) + 1, np.int64)
        kernel.judge(
            time, value, series, self._lowest, self._highest, spec.interval, spec.lateness,
            spec.earliest, now + CLOCK_SKEW, spec.future, closed, self._marks[partition], counts,
            step, verdict,
        )  # fmt: skip
        where, rejected = np.full(len(batch), partition), verdict == kernel.REJECTED
        waiting = _Waiting(step, series, time, value, where, offset, rejected)
        if counts[kernel.USED] < len(batch):
            waiting = waiting.where((verdict == kernel.USED) | rejected)
        if len(waiting.step):
            self._waiting.append(waiting)
            self._last = max(self._last, int(waiting.step.max()))
        self.counts.read += len(batch)
        self.counts.late += int(counts[kernel.LATE])
        self.counts.invalid += int(counts[kernel.UNKNOWN :].sum())
        return self._dead_letters(partition, batch, verdict)

    def unreadable(self, records: int) -> None:
        """Count records that the source could not make readings of."""
        self.counts.read += records
        self.counts.invalid += records

    def grow(self, partitions: Iterable[str]) -> None:
        """Take in further partitions, after those known: each holds steps back from now on."""
        new = list(partitions)
        self.partitions += new
        self._marks = np.concatenate([self._marks, np.tile([UNSET, 0], (len(new), 1))])
        self._open = np.append(self._open, np.ones(len(new), bool))
        self._idle = np.append(self._idle, np.zeros(len(new), bool))

    def end(self, partition: int) -> None:
        """Nothing will follow in this partition: it stops holding the others back."""
        self._open[partition] = False

    def idle(self, partition: int) -> bool:
        """The partition has been silent for too long: it stops holding until it speaks again.

        Returns whether it was holding until now.
        """
        held = self.holds(partition)
        self._idle[partition] = True
        return held

    def holds(self, partition: int) -> bool:
        """Whether steps wait for this partition."""
        return bool(self._open[partition] and not self._idle[partition])

    def order(self) -> list[int]:
        """The open partitions, the one whose watermark is furthest behind first."""
        candidates = np.flatnonzero(self._open)
        order = np.argsort(self._marks[candidates, 0], kind="stable")
        return [int(p) for p in candidates[order]]

    @property
    def waiting(self) -> int:
        """Readings held in steps that are still open."""
        return sum(len(w.step) for w in self._waiting)

    @property
    def watermark(self) -> int | None:
        """Event time (µs) that every partition still holding has reached, or ``None``."""
        holding = self._marks[self._open & ~self._idle, 0]
        mark = int(holding.min()) if len(holding) else int(self._marks[:, 0].max(initial=UNSET))
        return None if mark == UNSET else mark

    def closed(self) -> Iterator[Closed]:
        """The steps closed since the last call, as frames of bounded size, without holes."""
        if not self._waiting:
            return
        if self._open.any():
            mark = self.watermark
            until = UNSET if mark is None else (mark - self.spec.lateness) // self.spec.interval
        else:
            until = self._last + 1
        joined = self._waiting[0]
        if len(self._waiting) > 1:
            parts = zip(*(w.arrays() for w in self._waiting), strict=True)
            joined = _Waiting(*map(np.concatenate, parts))
        first = int(joined.step.min()) if self._next is None else self._next
        if until <= first:
            self._waiting = [joined]
            return
        open_still = joined.where(joined.step >= until)
        self._waiting = [open_still] if len(open_still.step) else []
        self._next = until
        yield from self._frames(joined, first, until)

    def settled(self) -> Counts:
        """The counts without the readings that still wait in open steps: these add up."""
        return replace(self.counts, read=self.counts.read - self.waiting)

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """All that changes, as JSON values and arrays; `restore` takes it back."""
        parts = zip(*(w.arrays() for w in self._waiting), strict=True)
        joined = _Waiting(*map(np.concatenate, parts)) if self._waiting else _Waiting.none()
        meta = {
            "partitions": list(self.partitions),
            "counts": asdict(self.counts),
            "next": self._next,
            "last": self._last,
        }
        arrays = {"marks": self._marks.copy(), "open": self._open.copy()}
        arrays |= within("waiting", vars(joined))
        screen = self.screen.snapshot() if self.screen is not None else {}
        return meta, arrays | within("screen", screen)

    def restore(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from a `snapshot` of a grid over the same series.

        Partitions that the snapshot does not know come after those it does. Raises RunError when
        one of its own that had not ended is there no more.
        """
        there, known = self.partitions, list(meta["partitions"])
        for name, unfinished in zip(known, arrays["open"], strict=True):
            if unfinished and name not in there:
                raise RunError(
                    f"the source has no partition {name!r} any more, which the checkpoint had "
                    "not read to its end; bring it back, or begin a new run"
                )
        self.counts = Counts(**meta["counts"])
        self._next, self._last = meta["next"], meta["last"]
        self.partitions, self._idle = known, np.zeros(len(known), bool)
        self._marks, self._open = arrays["marks"], arrays["open"]
        self.grow(name for name in there if name not in known)
        waiting = _Waiting(**below(arrays, "waiting"))
        self._waiting = [waiting] if len(waiting.step) else []
        screen = below(arrays, "screen")
        if self.screen is not None and screen:
            self.screen.restore(screen)

    def compile(self) -> None:
        """Compile the kernels that the first frame would otherwise wait for."""
        list(self._frames(_Waiting.none(), 0, 1))

    def _frames(self, ready: _Waiting, first: int, until: int) -> Iterator[Closed]:
        most = max(1, self._most_cells // max(1, len(self._series)))
        pieces = range(first, until, most)
        if len(pieces) > 1:
            order = np.argsort(ready.step, kind="stable")
            ready = _Waiting(*(a[order] for a in ready.arrays()))
        for start in pieces:
            stop = min(start + most, until)
            piece = ready
            if len(pieces) > 1:
                a, b = np.searchsorted(ready.step, [start, stop])
                piece = _Waiting(*(x[a:b] for x in ready.arrays()))
            values = np.empty((stop - start, len(self._series)))
            rejected_values = np.empty_like(values) if piece.rejected.any() else np.empty((0, 0))
            how = ("mean", "last", "min", "max", "sum").index(self.spec.aggregate)
            used, duplicates, rejected = kernel.fill(
                *piece.arrays(), start, how, values, rejected_values
            )
            if rejected_values.size == 0:
                rejected_values = np.broadcast_to(np.nan, values.shape)
            self.counts.used += used
            self.counts.duplicate += duplicates
            self.counts.rejected += rejected
            letters = empty(DEAD_LETTERS)
            if self.screen is not None:
                rejections = self.screen.judge(start, values)
                if len(rejections):
                    rejected_values = (
                        rejected_values
                        if rejected_values.flags.writeable
                        else rejected_values.copy()
                    )
                    rejected_values[rejections.step, rejections.series] = rejections.value
                    letters = self._reject(piece, start, rejections)
            yield Closed(GridFrame(start, values, rejected_values), letters)

    def _reject(self, piece: _Waiting, start: int, rejections: Rejections) -> pa.RecordBatch:
        """Count the readings that had been used for rejected values as rejected; their letters."""
        S = len(self._series)
        cells = rejections.step * S + rejections.series
        cell = (piece.step - start) * S + piece.series
        place = np.searchsorted(cells, cell)
        here = np.flatnonzero(cells[np.minimum(place, len(cells) - 1)] == cell)
        p = piece.where(here)
        order = np.lexsort((p.offset, p.partition, p.time, place[here]))
        p, place = p.where(order), place[here][order]
        # As in the kernel: the first of each time counts, whatever became of it.
        distinct = np.append(True, (np.diff(place) != 0) | (np.diff(p.time) != 0))
        mine = np.flatnonzero(distinct & ~p.rejected & ~np.isnan(p.value))
        p, place = p.where(mine), place[mine]
        self.counts.used -= len(mine)
        self.counts.rejected += len(mine)
        names = pa.array(self.partitions).take(pa.array(p.partition))
        reasons = pa.DictionaryArray.from_arrays(pa.array(place, pa.int32()), rejections.reasons)
        known = list(self._series)
        sensor, quantity = ([known[s][i] for s in p.series] for i in range(2))
        return dead_letters(
            reasons, names, p.offset, time=p.time, sensor=sensor, quantity=quantity, value=p.value
        )

    def _all_columns(self) -> NDArray[np.int64]:
        """(sensors + 1, quantities + 1) column of each known sensor's quantity, or -1."""
        sensors, quantities = ({n: i for i, n in enumerate(k.to_pylist())} for k in self._known)
        columns = np.full((len(sensors) + 1, len(quantities) + 1), -1, np.int64)
        for series, column in self._series.items():
            columns[sensors[series.sensor], quantities[series.quantity]] = column
        return columns

    def _indices(
        self, sensor: pa.DictionaryArray, quantity: pa.DictionaryArray
    ) -> NDArray[np.int64]:
        """Index of each reading's series, -1 where it is unknown."""
        names = (sensor.dictionary, quantity.dictionary)
        if self._names is None or not all(map(pa.Array.equals, self._names, names)):
            places = (
                pc.index_in(a, value_set=known) for a, known in zip(names, self._known, strict=True)
            )
            sensors, quantities = (p.fill_null(-1).to_numpy(zero_copy_only=False) for p in places)
            # What is not known has index -1, which is the last row or column: all of it -1.
            self._table = self._columns[np.ix_(sensors, quantities)]
            self._names = names
        found: NDArray[np.int64] = self._table[
            sensor.indices.to_numpy(), quantity.indices.to_numpy()
        ]
        return found

    def _dead_letters(
        self, partition: int, batch: pa.RecordBatch, verdict: NDArray[np.uint8]
    ) -> pa.RecordBatch:
        bad = np.flatnonzero(verdict != kernel.USED)
        rows = batch.take(pa.array(bad))
        reasons = pa.DictionaryArray.from_arrays(
            pa.array(verdict[bad].astype(np.int32)),
            pa.array([REASONS.get(v, "") for v in range(7)]),
        )
        known = {name: rows[name] for name in ("time", "sensor", "quantity", "value")}
        return dead_letters(reasons, self.partitions[partition], rows["offset"], **known)
