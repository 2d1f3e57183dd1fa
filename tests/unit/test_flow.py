"""From frames to epochs: what a backend may do in between without changing what sinks get."""

from __future__ import annotations

import os
import signal

import numpy as np

from gapcast.engine.backend import Backend
from gapcast.engine.forecaster import Model, Series
from gapcast.engine.rows import Rows, cut, joined
from gapcast.engine.shard import ModelRows, StepResult
from gapcast.engine.testing.backend import MODELS
from gapcast.engine.testing.played import config, play
from gapcast.engine.testing.stage import Stage


def test_rows_do_not_depend_on_where_frames_are_cut():
    rng = np.random.default_rng(3)

    def rows(horizons):
        sides = rng.normal(size=(3, 7, 4, horizons))
        sides[0][rng.random((7, 4, horizons)) < 0.2] = np.nan
        return ModelRows(*sides)

    status = rng.integers(0, 4, (7, 4)).astype(np.uint8)
    whole = StepResult(100, rng.normal(size=(7, 4)), status, [rows(2), rows(1)])
    models = [Model("a", None, (0, 3)), Model("b", None, (0,))]
    make = Rows([Series(str(i), "temperature") for i in range(4)], models, 1_800_000_000).table
    for at in range(1, 7):
        head, tail = cut(whole, at)
        assert make(joined([head, tail])).equals(make(whole))


class StoppedInBetween(Backend):
    """Is asked to stop when the flow has just looked whether it should, once."""

    def run(self, job):
        with job.flow(100_000) as flow:
            flow.checkpoints.due = lambda: self.stop()
            (shard,) = job.shards(job.shares(1))
            for frame in flow.frames(lambda: None, shard.snapshot):
                flow.add(shard.step(frame))
            return flow.finish(shard.finish())

    def stop(self):
        os.kill(os.getpid(), signal.SIGTERM)
        self.stop = bool
        return False


def test_a_run_is_never_stopped_without_a_checkpoint(tmp_path):
    backend = {"type": "test_flow:StoppedInBetween"}
    run = play(config(backend, MODELS, "each", tmp_path, "1h"), tmp_path, Stage(15)).sound()
    assert run.manifest["state"] == "interrupted"
    assert len(run.states) == 1
