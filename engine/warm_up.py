"""Compile every kernel a job uses before its first reading, so that the run proper is steady."""

from __future__ import annotations

import numpy as np

from gapcast.engine.evaluation import Evaluation
from gapcast.engine.grid import Grid, GridFrame
from gapcast.engine.job import Job
from gapcast.engine.network import Network, part
from gapcast.engine.readings import READINGS, empty
from gapcast.engine.shard import Shard


def warm_up(job: Job) -> None:
    """Step each model over one empty step of one target, on a state that is thrown away.

    Also finds out whether a model breaks its contract before anything is written. Interrupting
    it is safe: nothing has been started.
    """
    layouts = [part(layout, slice(1)) for layout in job.layouts]
    shard = Shard(job.models, layouts, Evaluation(), job.window, layouts[0].targets)
    nothing = np.full((1, len(job.network.series)), np.nan)
    shard.step(GridFrame(0, nothing, nothing))
    grid = Grid(job.grid, ["nothing"], Network.of(job.network.series[:1]), {})
    grid.add(0, empty(READINGS), 0)
    grid.compile()
