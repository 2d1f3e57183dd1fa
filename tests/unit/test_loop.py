"""The loop of a run: what a turn asks for, and that no run is stopped without a checkpoint."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

import pytest

from gapcast.engine.backend import Backend
from gapcast.engine.run.loop import Act, decide
from gapcast.engine.testing.backend import MODELS
from gapcast.engine.testing.played import config, play
from gapcast.engine.testing.reference import OneShard
from gapcast.engine.testing.stage import Stage


@pytest.mark.parametrize(
    ("paused", "due", "act"),
    [
        (False, False, Act(settle=False, end_epoch=False, checkpoint=False)),
        (True, False, Act(settle=True, end_epoch=True, checkpoint=False)),
        (False, True, Act(settle=True, end_epoch=False, checkpoint=True)),
        (True, True, Act(settle=True, end_epoch=True, checkpoint=True)),
    ],
)
def test_what_a_turn_asks_for(paused, due, act):
    assert decide(paused, due) == act


class StoppedInBetween(Backend):
    """The run is asked to stop while a frame is stepped."""

    batch = 100_000

    @contextmanager
    def workers(self, work):
        workers = OneShard(work)
        step = workers.step

        def stopped(frame):
            os.kill(os.getpid(), signal.SIGTERM)
            workers.step = step
            return step(frame)

        workers.step = stopped
        yield workers


def test_a_run_is_never_stopped_without_a_checkpoint(tmp_path):
    backend = {"type": "test_loop:StoppedInBetween"}
    run = play(config(backend, MODELS, "each", tmp_path, "1h"), tmp_path, Stage(15)).sound()
    assert run.manifest["state"] == "interrupted"
    assert len(run.states) == 1
