"""Compile every kernel a job uses before its first reading, so that the run proper is steady."""

from __future__ import annotations

import numpy as np

from gapcast.engine.evaluation import Evaluation
from gapcast.engine.grid import Grid, GridFrame
from gapcast.engine.job import Job
from gapcast.engine.network import Network, halo, narrow, part
from gapcast.engine.readings import READINGS, empty
from gapcast.engine.shard import Shard

STEPS = 200
"""Steps of the rehearsal: enough for models that change their ways after a day of half-hours."""


def warm_up(job: Job) -> None:
    """Rehearse with one target and made-up values, on states that are thrown away.

    Also finds out whether a model breaks its contract before anything is written. Interrupting
    it is safe: nothing has been started.
    """
    firsts = [part(layout, slice(1)) for layout in job.layouts]
    columns = np.unique(np.concatenate([halo(layout) for layout in firsts]))
    layouts = [narrow(layout, columns) for layout in firsts]
    shard = Shard(job.models, layouts, Evaluation(), job.window, layouts[0].targets)
    wave = np.sin(np.arange(STEPS) / 7)[:, None] + np.arange(len(columns), dtype=float)
    shard.step(GridFrame(0, wave, np.full_like(wave, np.nan)))
    grid = Grid(job.grid, ["nothing"], Network.of(layouts[0].series), {})
    grid.add(0, empty(READINGS), 0)
    grid.compile()
