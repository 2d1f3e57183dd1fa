"""The grid: readings in arrival order go in, frames of closed steps come out.

A reading is judged once, against its own partition's watermark as it stood when it arrived, so
that neither batch boundaries nor the interleaving of partitions can change a verdict. Readings of
open steps wait in `OpenSteps`; a step closes when every partition that it waits for has passed it
(`Watermarks`), and only then are its readings sorted, freed of duplicates and aggregated. A reading
of an input that is known ahead counts as one of the time at which it is there.

A series that an open network does not have joins it at the first step that closes with a reading of
it: that is told between the frames, those after it have a column for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gapcast.engine.forecaster import Ints
from gapcast.engine.grid import letters
from gapcast.engine.grid.counts import Counts
from gapcast.engine.grid.frames import Closed, GridFrame, Joined
from gapcast.engine.grid.held import Held
from gapcast.engine.grid.kernels import cells
from gapcast.engine.grid.kernels import judging as kernel
from gapcast.engine.grid.leads import Leads
from gapcast.engine.grid.open_steps import OpenSteps, Waiting
from gapcast.engine.grid.roster import Roster
from gapcast.engine.grid.screening import Findings, Screener
from gapcast.engine.grid.spec import AHEAD, DUPLICATES, GridSpec
from gapcast.engine.grid.watermarks import Watermarks
from gapcast.engine.network.series import Network
from gapcast.engine.readings import READINGS, empty
from gapcast.engine.state import below, within

CLOCK_SKEW = 86_400_000_000
"""A reading may be this much (µs, one day) ahead of the clock of this machine."""


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
        self.watermarks = Watermarks(partitions)
        self._held = Held()
        self._roster = Roster(network, limits, spec)
        self._leads = Leads(network)
        self._open = OpenSteps()
        self._future = AHEAD * spec.interval if spec.future is None else spec.future

    @property
    def _series(self) -> int:
        return len(self._roster.network.series)

    @property
    def partitions(self) -> list[str]:
        """Names of the partitions, those that were there first, first."""
        return self.watermarks.partitions

    @property
    def waiting(self) -> int:
        """Readings held in steps that are still open."""
        return len(self._open)

    def add(self, partition: int, batch: pa.RecordBatch, now: int) -> pa.RecordBatch:
        """Take readings (schema `READINGS`) in arrival order; returns the dead letters.

        now: the clock, µs since 1970; nothing but the bound on future times depends on it.
        """
        if len(batch):
            self.watermarks.speaks(partition)
        self.counts.read += len(batch)
        return self._judge(partition, batch, now, ended=False)

    def end(self, partition: int, now: int) -> pa.RecordBatch:
        """Nothing will follow in this partition; returns dead letters of what it had left."""
        unused = self._judge(partition, empty(READINGS), now, ended=True)
        self.watermarks.end(partition)
        return unused

    def _judge(
        self, partition: int, batch: pa.RecordBatch, now: int, ended: bool
    ) -> pa.RecordBatch:
        held, batch = self._held.before(partition, batch)
        n, spec, marks = len(batch), self.spec, self.watermarks.marks[partition]
        time = batch["time"].cast(pa.int64()).to_numpy(zero_copy_only=False)
        value = batch["value"].to_numpy(zero_copy_only=False).astype(float, copy=False)
        roster = self._roster
        series = roster.of(batch["sensor"], batch["quantity"])
        offset = batch["offset"].to_numpy()
        step, verdict = np.empty(n, np.int64), np.empty(n, np.uint8)
        counts = np.zeros(kernel.HELD + 1, np.int64)
        shown = spec.even(time) - roster.ahead[series]
        earliest, latest = spec.even(np.array([spec.earliest, now + CLOCK_SKEW])).tolist()
        kernel.judge(
            shown, value, series, offset, roster.sensor, roster.lowest, roster.highest,
            spec.interval, spec.shift, spec.lateness, earliest, latest, self._future,
            kernel.UNSET if self._open.next is None else self._open.next, held, ended, marks,
            counts, step, verdict,
        )  # fmt: skip
        where, rejected = np.full(n, partition), verdict == kernel.REJECTED
        waiting = Waiting(step, series, time, value, where, offset, rejected)
        if counts[kernel.USED] < n:
            waiting = waiting.where((verdict == kernel.USED) | rejected)
        self._open.add(waiting)
        if counts[kernel.HELD]:
            self._held.keep(partition, batch.filter(pa.array(verdict == kernel.HELD)))
        self.counts.late += int(counts[kernel.LATE])
        self.counts.invalid += int(counts[kernel.UNKNOWN : kernel.HELD].sum())
        return letters.of_judged(batch, verdict, self.partitions[partition])

    @property
    def reached(self) -> int | None:
        """How far all partitions are that are waited for, µs since 1970, UTC."""
        mark = self.watermarks.lowest
        return None if mark is None else int(self.spec.moments(np.array([mark]))[0])

    def unreadable(self, records: int) -> None:
        """Count records that the source could not make readings of."""
        self.counts.read += records
        self.counts.invalid += records

    def closed(self) -> Iterator[Closed | Joined]:
        """The steps closed since the last call, as frames of bounded size, without holes, and who
        joined between them."""
        until, mark = None, self.watermarks.lowest
        if not self.watermarks.ended:
            until = kernel.UNSET
            if mark is not None:
                spec = self.spec
                until = (mark - spec.shift - spec.lateness) // spec.interval
        while (joining := self._joining(until)) is not None:
            step, numbers = joining
            yield from self._close(step)
            yield self._join(step, numbers)
        yield from self._close(until)

    def settled(self) -> Counts:
        """The counts without the readings that still wait in open steps: these add up."""
        return replace(self.counts, read=self.counts.read - self.waiting - len(self._held))

    def snapshot(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """All that changes, as JSON values and arrays; `restore` takes it back."""
        meta, waiting = self._open.snapshot()
        meta |= {
            "partitions": list(self.partitions),
            "counts": asdict(self.counts),
            "held": self._held.snapshot(),
            "newcomers": self._roster.newcomers,
        }
        screen = self.screen.snapshot() if self.screen is not None else {}
        arrays = self.watermarks.snapshot() | within("waiting", waiting)
        return meta, arrays | within("screen", screen) | within("leads", self._leads.snapshot())

    def restore(self, meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Go on from a `snapshot` of a grid over the same series.

        Partitions that the snapshot does not know come after those it does. Raises RunError when
        one of its own that had not ended is there no more.
        """
        self.watermarks.restore(meta["partitions"], arrays)
        self.counts = Counts(**meta["counts"])
        self._held.restore(meta["held"])
        self._roster.restore(meta.get("newcomers", ()))
        self._open.restore(meta, below(arrays, "waiting"))
        screen = below(arrays, "screen")
        if self.screen is not None and screen:
            self.screen.restore(screen)
        self._leads.restore(below(arrays, "leads"))

    def compile(self) -> None:
        """Compile the kernels that the first frame would otherwise wait for."""
        list(self._frames(Waiting.none(), 0, 1))

    def _joining(self, until: int | None) -> tuple[int, Ints] | None:
        """The first step before `until` in which newcomers join, and their numbers."""
        roster = self._roster
        return self._open.first_of(self._series, until) if roster.newcomers else None

    def _close(self, until: int | None) -> Iterator[Closed]:
        """Close the steps before `until`, in which nobody joins."""
        closed = self._open.close(until)
        if closed is None:
            return
        first, until, readings = closed
        if self._roster.newcomers:
            unknown = readings.series >= self._series
            self.counts.rejected += int(np.count_nonzero(unknown & (readings.step < until)))
            readings = readings.where(~unknown)
        yield from self._frames(readings, first, until)

    def _join(self, step: int, numbers: Ints) -> Joined:
        """Have newcomers join from `step` on."""
        before, sensors = self._series, self._roster.sensor
        network, place = self._roster.join(numbers)
        self._open.renumber(place)
        sensor = np.empty(len(place), np.int64)
        sensor[sensors] = self._roster.sensor[place]
        self.watermarks.renumber(sensor)
        if self.screen is not None:
            self.screen.grow(network)
        return Joined(step, network.series[before:])

    def _frames(self, ready: Waiting, first: int, until: int) -> Iterator[Closed]:
        most = max(1, self._most_cells // max(1, self._series))
        pieces = range(first, until, most)
        if len(pieces) > 1:
            order = np.argsort(ready.step, kind="stable")
            ready = ready.where(order)
        for start in pieces:
            stop = min(start + most, until)
            piece = ready
            if len(pieces) > 1:
                a, b = np.searchsorted(ready.step, [start, stop])
                piece = ready.where(slice(a, b))
            values = np.empty((stop - start, self._series))
            rejected_values = np.empty_like(values) if piece.rejected.any() else np.empty((0, 0))
            readings = (_read_only(a) for a in piece.arrays())
            fate = np.empty(len(piece), np.uint8)
            used, duplicates, rejected = cells.fill(
                *readings, start, self._roster.how, self._roster.period,
                DUPLICATES.index(self.spec.duplicates), values, rejected_values, fate,
            )  # fmt: skip
            if rejected_values.size == 0:
                rejected_values = np.broadcast_to(np.nan, values.shape)
            self.counts.used += used
            self.counts.duplicate += duplicates
            self.counts.rejected += rejected
            unused = [self._duplicates(piece, fate)] if duplicates else []
            flags = None
            if self.screen is not None:
                found = self.screen.judge(start, values)
                flags, rejections = found.flags(values.shape), found.rejected
                if len(rejections):
                    if not rejected_values.flags.writeable:
                        rejected_values = rejected_values.copy()
                    rejected_values[rejections.step, rejections.series] = rejections.value
                    unused.append(self._reject(piece, fate, start, rejections))
            yield Closed(self._leads.add(GridFrame(start, values, rejected_values, flags)), unused)

    def _duplicates(self, piece: Waiting, fate: NDArray[np.uint8]) -> pa.RecordBatch:
        """The letters of readings of which others with the same series and time count."""
        dropped = piece.where((fate != cells.TAKEN) & ~piece.rejected)  # those have letters
        fate = fate[(fate != cells.TAKEN) & ~piece.rejected]
        order = dropped.in_order()
        return self._letters(dropped.where(order), fate[order] - 1, letters.DUPLICATES)

    def _reject(
        self, piece: Waiting, fate: NDArray[np.uint8], start: int, rejections: Findings
    ) -> pa.RecordBatch:
        """Count the readings that had been used for rejected values as rejected; their letters."""
        S = self._series
        rejected = rejections.step * S + rejections.series
        cell = (piece.step - start) * S + piece.series
        place = np.searchsorted(rejected, cell)
        here = rejected[np.minimum(place, len(rejected) - 1)] == cell
        mine = np.flatnonzero(
            here & (fate == cells.TAKEN) & ~piece.rejected & ~np.isnan(piece.value)
        )
        mine = mine[piece.where(mine).in_order(place[mine])]
        self.counts.used -= len(mine)
        self.counts.rejected += len(mine)
        return self._letters(piece.where(mine), place[mine], rejections.reasons)

    def _letters(
        self, readings: Waiting, reason: NDArray[Any], reasons: pa.Array
    ) -> pa.RecordBatch:
        return letters.of_waiting(readings, reason, reasons, self._roster.series, self.partitions)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, not to be written to, as those are that Arrow made: kernels are compiled for
    one kind."""
    view = array.view()
    view.flags.writeable = False
    return view
