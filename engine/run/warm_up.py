"""Compile every kernel a job uses before its first reading, so that the run proper is steady."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from types import TracebackType
from typing import Self

from gapcast.engine.forecaster import Series
from gapcast.engine.network.series import Network
from gapcast.engine.parallel.shares import together
from gapcast.engine.run.job import Job
from gapcast.engine.run.rehearsal import (
    SecondProcess,
    compilations,
    only,
    rehearse,
    rehearse_grid,
    without_collection,
)
from gapcast.engine.shard.plan import Plan


class WarmUp:
    """A stretch of time in which kernels are compiled, on two cores where there are two.

    Begun before the source is looked at, whose kernels are the first ones. progress: is told what
    is compiled, if anything is: where the cache has all of it, nothing is, and no second process
    is started.
    """

    def __init__(self, progress: Callable[[str], None]) -> None:
        self._progress = progress
        self._second: SecondProcess | None = None
        self._plan: Plan | None = None
        self._at = "the source"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(compilations(self._tell))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def rehearse(self, job: Job) -> None:
        """Rehearse with the first target's unit and made-up values, on states that are thrown away.

        Also finds out whether a model breaks its contract before anything is written. Interrupting
        it is safe: nothing has been started.
        """
        if not job.targets:
            job = _imagined(job)
        plan = job.plan.for_targets(together(job.layouts, 0))
        self._plan = plan = plan.narrow(plan.columns())
        if self._second is not None:
            self._second.begin(plan)
            self._second.wait_for_grid()
        self._at = "the grid"
        with without_collection():
            rehearse_grid(Network.of(plan.layouts[0].series), job.grid, job.screen)
            for m, model in enumerate(plan.models):
                self._at = f"model {model.name}, {m + 1} of {len(plan.models)}"
                if self._second is not None:
                    self._second.take(m)
                rehearse(only(plan, m))

    def _tell(self, number: int) -> None:
        if self._second is None and len(os.sched_getaffinity(0)) > 1:
            self._second = self._stack.enter_context(closing(SecondProcess()))
            if self._plan is not None:
                self._second.begin(self._plan)
        self._progress(f"compiling kernels, the first time only: {number} so far, for {self._at}")


def _imagined(job: Job) -> Job:
    """`job`, in which no sensor is known yet, with two that might join."""
    imagined = replace(job, targeted=lambda series: True)
    imagined.grow([Series(sensor, q) for sensor in "ab" for q in sorted(job.network.joining)])
    return imagined
