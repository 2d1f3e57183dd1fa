"""Plays a run again up to one forecast, without its sinks, and asks what that is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gapcast.engine.checkpoint.format import Snapshot, newest
from gapcast.engine.explanation import Explanation
from gapcast.engine.forecaster import Floats, Ints, Layout, Series
from gapcast.engine.grid.frames import GridFrame, Joined
from gapcast.engine.horizon import Horizon
from gapcast.engine.output.rows import Rows
from gapcast.engine.parallel.shares import part, together
from gapcast.engine.run.job import Job
from gapcast.engine.run.loop import intake
from gapcast.engine.shard.evaluation import Segment
from gapcast.engine.shard.growing import extended
from gapcast.engine.shard.shard import Shard
from gapcast.engine.shard.withheld import cut
from gapcast.engine.sink import FORECASTS
from gapcast.engine.storage import Folder
from gapcast.engine.units import MICROSECONDS

BATCH = 262_144
"""Readings asked of the source at once."""
PATIENCE = 5.0
"""Seconds after which a source that says nothing has no more."""
SHOWN, LEAST, MOST = 2 * MICROSECONDS["d"], 60, 600
"""Of the time before the forecast so much is looked at, µs; in steps at least and at most."""


@dataclass(frozen=True)
class Asked:
    """One forecast: of `series`, by the job's model number `model`, at `horizon`, for `step`."""

    series: Series
    model: int
    horizon: Horizon
    step: int

    @property
    def made(self) -> int:
        """The step at which the forecaster makes it."""
        return self.step - self.horizon.lead

    @property
    def told(self) -> int:
        """The step at which its row is written."""
        return self.step + self.horizon.lag

    def key(self, model: str) -> dict[str, str | int]:
        """What its row, by the name of its model, has in these columns; but for the time."""
        of = self.series
        return {
            "sensor": of.sensor, "quantity": of.quantity, "model": model,
            "horizon": int(self.horizon),
        }  # fmt: skip


@dataclass(frozen=True)
class Played:
    """What was seen when a run was played again.

    first, last: its steps that were played; None: there was none. explanation: what the model says
    of the forecast. layout, target: of the model, as far as the shard of the target saw it. seen:
    (series of the layout,) what the model could see of the step at which it made the forecast;
    None: that was not reached. values: (T, series) of the last steps, up to `last`. rows: of schema
    `FORECASTS`, those of the same series, model and horizon that were made in the last steps.
    """

    first: int | None
    last: int | None
    explanation: Explanation | None
    layout: Layout
    target: int
    seen: Floats | None
    values: Floats
    rows: pa.Table


def shown(interval: int) -> int:
    """Steps before a forecast that are looked at."""
    return min(max(SHOWN // interval, LEAST), MOST)


def checkpoint_before(folder: Folder, made: int, steps: int) -> tuple[int, Snapshot] | None:
    """The newest checkpoint from which the `steps` before the step `made` are still to come, else
    the newest from which that one is."""
    early = newest(folder, partial(_before, made - steps))
    return early or newest(folder, partial(_before, made))


def _before(step: int, meta: Mapping[str, Any]) -> bool:
    """Whether a run goes on from a checkpoint with this meta at `step` or before it."""
    first = meta["grid"]["next"]
    return first is None or first <= step


def play(job: Job, asked: Asked, progress: Callable[[int], None]) -> Played:
    """Play `job`, from its checkpoint or from the beginning, until the row asked for is made.

    Only the shard of its target is stepped, by the code of every run. progress: is told each step
    that was reached. Raises `GapcastError` when the source cannot be read.
    """
    stage = _Play(job, asked)
    spoken = time.monotonic()
    with closing(job.source):
        for turn in intake(job, BATCH).turns():
            for closed in turn.closed:
                if isinstance(closed, Joined):
                    stage.grow(closed)
                    continue
                frame = closed.frame
                spoken = time.monotonic()
                stage.add(frame)
                progress(frame.first + len(frame.values) - 1)
                if stage.done:
                    break
            if stage.done or (turn.paused and time.monotonic() - spoken > PATIENCE):
                job.stopping.set()
    return stage.played()


class _Play:
    """The shard of one target, and what is noted of it. Where the target has not joined yet, the
    shard has all that there are: any of them may be its neighbours."""

    def __init__(self, job: Job, asked: Asked) -> None:
        self.asked, self.job = asked, job
        self.whole = asked.series not in job.targets
        self.silence = job.silence()
        work = job.work()
        mine = self._set()
        if work.shards:
            frames = work.withheld.narrow(self.columns).frames
            units = [np.unique(layout.units[mine]) for layout in job.layouts]
            self.shard.restore(part(work.shards, mine, units), frames)
        self.model = job.models[asked.model].name
        self.start = asked.made - shown(job.grid.interval)
        self.first: int | None = None
        self.last: int | None = None
        self.explanation: Explanation | None = None
        self.seen: Floats | None = None
        self.values: list[Floats] = []
        self.tables: list[pa.Table] = []

    @property
    def done(self) -> bool:
        """Whether the row has been made."""
        return self.last is not None and self.last >= self.asked.told

    def _set(self) -> Ints:
        """Make a fresh shard of the targets to step; which they are."""
        job, series = self.job, self.asked.series
        target = job.targets.index(series) if series in job.targets else -1
        mine: Ints = np.arange(len(job.targets))
        if not self.whole:
            mine = together(job.layouts, target)
        self.plan = job.plan.for_targets(mine)
        self.columns = self.plan.columns()
        self.shard = Shard(self.plan.narrow(self.columns))
        self.target = int(np.searchsorted(mine, target)) if target >= 0 else -1
        targets = [job.targets[n] for n in mine]
        self.rows = Rows(targets, job.models, job.grid, self.silence, ahead=False)
        return mine

    def grow(self, joined: Joined) -> None:
        """Go on in a network that others have joined."""
        before, learnt, frames = self.plan, self.shard.snapshot(), self.shard.withheld
        columns = len(self.columns)
        self.job.grow(joined.series)
        self._set()
        more = len(self.columns) - columns
        frames = [frame.wider(more) for frame in frames]
        self.shard.restore(extended(learnt, before, self.plan, joined.step), frames)
        aside = ((0, 0), (0, more))
        self.values = [np.pad(of, aside, constant_values=np.nan) for of in self.values]

    def add(self, frame: GridFrame) -> None:
        """Step what is wanted of a frame of the whole network."""
        self.silence.add(frame)
        for piece in self._pieces(frame.narrow(self.columns)):
            if piece.first == self.asked.made and self.target >= 0:
                view = self.shard.view(self.asked.model, piece)
                self.seen = view.values[0]
                self.explanation = self.shard.explain(
                    self.asked.model, view, self.target, self.asked.horizon.asked
                )
            result = self.shard.step(piece)
            self.first = piece.first if self.first is None else self.first
            self.last = piece.first + len(piece.values) - 1
            if piece.first >= self.start:
                self.values.append(piece.values)
                self.tables.append(self._mine(self.rows.table(result)))

    def played(self) -> Played:
        """All of it."""
        layout = self.shard.layouts[self.asked.model]
        values = self.values or [np.empty((0, len(layout.series)))]
        rows = pa.concat_tables(self.tables) if self.tables else FORECASTS.empty_table()
        return Played(
            self.first, self.last, self.explanation, layout, self.target, self.seen,
            np.concatenate(values), rows,
        )  # fmt: skip

    def _pieces(self, frame: GridFrame) -> Iterator[GridFrame]:
        """A frame, cut before and after the steps at which something is noted, up to the last."""
        until = min(frame.first + len(frame.values), self.asked.told + 1)
        inside = {self.start, self.asked.made, self.asked.made + 1}
        cuts = sorted({frame.first, until, *(c for c in inside if frame.first < c < until)})
        for a, b in pairwise(cuts) if until > frame.first else ():
            yield cut(frame, Segment(a, b))

    def _mine(self, table: pa.Table) -> pa.Table:
        """Of rows those of the series, model and horizon."""
        for name, value in self.asked.key(self.model).items():
            table = table.filter(pc.equal(table[name], value))
        return table
