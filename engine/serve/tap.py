"""The tap: rows as sinks have taken them, kept for whoever looks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from gapcast.engine.plugin import Params
from gapcast.engine.progress import Progress
from gapcast.engine.run.job import Job
from gapcast.engine.serve.entries import Entries
from gapcast.engine.serve.kernels.rows import UNSET, Names, Part, newest, take
from gapcast.engine.serve.ring import Kept, Ring
from gapcast.engine.serve.states import States, states
from gapcast.engine.serve.tally import Score, Tally
from gapcast.engine.sink import (
    AHEAD,
    FORECASTS,
    Committed,
    Delivery,
    JobInfo,
    Outcome,
    Receives,
    Sink,
    Stages,
)


class Tap(Sink):
    """A sink after all others of `job`, so that what it has is with them; changes nothing of what
    they get. It takes rows ahead only where one of them does: otherwise none are made.

    silent: µs after which a sensor that is missing is called silent. epochs: how many it has
    taken. Rows are written by the run's thread and read by any other.
    """

    delivery = Delivery.AT_LEAST_ONCE

    def __init__(self, job: Job, silent: int) -> None:
        super().__init__(Params())
        others = [s for s in job.sinks.values() if s.receives is Receives.FORECASTS]
        self.stages = Stages(ahead=any(s.stages.ahead for s in others), shadow=True)
        self.entries = Entries(job)
        self.grid = job.grid
        self.epochs = 0
        self._job = job
        self._silent = max(1, silent // job.grid.interval)
        self._lock = threading.Lock()
        self._ring = Ring(len(job.targets), len(self.entries))
        self._tally = Tally(self.entries, job.evaluation.scored, job.grid.periods)
        self._number = {target: i for i, target in enumerate(job.targets)}

    def open(self, job: JobInfo, generation: str) -> None:
        """Compile what is done for every row, so that the first epoch does not wait for it."""
        self._take([self.entries.read(rows) for rows in _none().to_batches()])

    def write(self, epoch: int, forecasts: pa.Table) -> Outcome:
        """Take the rows of an epoch."""
        with self._lock:
            if len(self._job.targets) != len(self.entries.targets):
                self._grow()
            self._take([self.entries.read(rows) for rows in forecasts.to_batches()])
            self.epochs += 1
        return Committed()

    @property
    def progress(self) -> Progress:
        """How the run was getting on about a second ago."""
        return self._job.latest

    @property
    def last(self) -> int | None:
        """The last step with a final row."""
        return self._ring.last

    def states(self) -> States:
        """How each target does."""
        with self._lock:
            return states(self._ring, self._silent)

    def scores(self) -> list[Score]:
        """Running errors, by model and horizon, then quantity."""
        with self._lock:
            return self._tally.scores()

    def rows(self) -> dict[tuple[str, str], int]:
        """Rows by model and stage, since this process began."""
        with self._lock:
            return self._tally.rows()

    def series(self, sensor: str, quantity: str, since: int | None = None) -> Kept | None:
        """What is kept of a target, of steps that begin at `since`, µs, or later; None: no such."""
        target = self._number.get((sensor, quantity))  # type: ignore[call-overload]
        if target is None:
            return None
        with self._lock:
            if since is None:
                return self._ring.of(target)
            return self._ring.of(target, self.grid.since(since))

    def _grow(self) -> None:
        """Others have joined behind the targets that there were."""
        job = self._job
        self.entries = Entries(job)
        self._ring = self._ring.grown(len(job.targets))
        self._tally = self._tally.grown(self.entries, job.grid.periods)
        self._number = {target: i for i, target in enumerate(job.targets)}

    def _take(self, parts: Sequence[tuple[Part, Names]]) -> None:
        for part, names in parts:
            first, last = newest(part, names)
            if last != UNSET:
                self._ring.reach(first, last)
        last = UNSET if self._ring.last is None else self._ring.last
        for part, names in parts:
            take(part, names, last, self._ring.into, self._tally.into)


def _none() -> pa.Table:
    """A row of no target of any job."""
    row: dict[str, Any] = {field.name: None for field in FORECASTS}
    row |= {"sensor": "", "quantity": "", "model": "", "status": AHEAD, "horizon": 0}
    row |= {"time": 0, "made": 0, "forecast": 0.0, "gap_age": 0}
    return pa.table([pa.array([row[f.name]]).cast(f.type) for f in FORECASTS], schema=FORECASTS)
