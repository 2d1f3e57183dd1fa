"""Compile every kernel a job uses before its first reading, so that the run proper is steady."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing

from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.screening import Screener
from gapcast.engine.network.series import Network
from gapcast.engine.parallel.shares import together
from gapcast.engine.readings import READINGS, empty
from gapcast.engine.run.job import Job
from gapcast.engine.run.rehearsal import (
    SecondProcess,
    compilations,
    only,
    rehearse,
    without_collection,
)
from gapcast.engine.shard.plan import Plan


def warm_up(job: Job, progress: Callable[[str], None] = lambda text: None) -> None:
    """Rehearse with the first target's unit and made-up values, on states that are thrown away.

    Also finds out whether a model breaks its contract before anything is written. Interrupting
    it is safe: nothing has been started. progress: is told what is compiled, if anything is: where
    the cache has all of it, nothing is.
    """
    plan = job.plan.for_targets(together(job.layouts, 0))
    plan = plan.narrow(plan.columns())
    shared = len(plan.models) > 1 and len(os.sched_getaffinity(0)) > 1
    second: SecondProcess | None = None
    at = "the grid"

    def tell(number: int) -> None:
        nonlocal second
        if second is None and shared:
            second = stack.enter_context(closing(SecondProcess(plan)))
        progress(f"compiling kernels, the first time only: {number} so far, for {at}")

    with ExitStack() as stack, compilations(tell), without_collection():
        _grid(job, plan)
        for m, model in enumerate(plan.models):
            at = f"model {model.name}, {m + 1} of {len(plan.models)}"
            if second is not None:
                second.take(m)
            rehearse(only(plan, m))


def _grid(job: Job, plan: Plan) -> None:
    network = Network.of(plan.layouts[0].series)
    screen = Screener(network, job.grid.interval, job.screen) if job.screen else None
    grid = Grid(job.grid, ["nothing"], network, {}, screen)
    grid.add(0, empty(READINGS), 0)
    grid.compile()
