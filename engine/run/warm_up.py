"""Compile every kernel a job uses before its first reading, so that the run proper is steady."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gapcast.engine.grid.frames import GridFrame
from gapcast.engine.grid.grid import Grid
from gapcast.engine.grid.screening import Screener
from gapcast.engine.network.series import Network
from gapcast.engine.parallel.shares import together
from gapcast.engine.readings import READINGS, empty
from gapcast.engine.run.job import Job
from gapcast.engine.shard.evaluation import Evaluation
from gapcast.engine.shard.shard import Shard

STEPS = 200
"""Steps of the rehearsal: enough for models that change their ways after a day of half-hours."""


def warm_up(job: Job) -> None:
    """Rehearse with the first target's unit and made-up values, on states that are thrown away.

    Also finds out whether a model breaks its contract before anything is written. Interrupting
    it is safe: nothing has been started.
    """
    plan = job.plan.for_targets(together(job.layouts, 0))
    columns = plan.columns()
    plan = replace(plan.narrow(columns), how=Evaluation())
    shard = Shard(plan)
    wave = np.sin(np.arange(STEPS) / 7)[:, None] + np.arange(len(columns), dtype=float)
    shard.step(GridFrame(0, wave, np.full_like(wave, np.nan)))
    network = Network.of(plan.layouts[0].series)
    screen = Screener(network, job.grid.interval, job.screen) if job.screen else None
    grid = Grid(job.grid, ["nothing"], network, {}, screen)
    grid.add(0, empty(READINGS), 0)
    grid.compile()
